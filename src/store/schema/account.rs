//! The stored forms of accounts. Neither the hash of the mail address nor that of the password is part of an event: they are
//! documents beside the journal, which erasing an account removes.

use super::wire::{
    Encoded, StateError, Text, customer_no, instant, json_instant, read, read_state, unknown_tag, write, write_state,
};
use crate::domain::account::{Event, Role, State, TokenHash};
use crate::store::codec::CodecError;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt::Write as _;

const OPENED_V1: &str = "account.opened.v1";
const PASSWORD_SET_V1: &str = "account.password_set.v1";
const SESSION_STARTED_V1: &str = "account.session_started.v1";
const SESSION_USED_V1: &str = "account.session_used.v1";
const SESSION_ENDED_V1: &str = "account.session_ended.v1";
const RESET_ALLOWED_V1: &str = "account.reset_allowed.v1";
const RESET_ENDED_V1: &str = "account.reset_ended.v1";
const CALENDAR_RENEWED_V1: &str = "account.calendar_renewed.v1";
const DISABLED_V1: &str = "account.disabled.v1";
const ENABLED_V1: &str = "account.enabled.v1";
const ERASED_V1: &str = "account.erased.v1";

/// Every tag of this context, old versions included.
pub const TAGS: &[&str] = &[
    OPENED_V1,
    PASSWORD_SET_V1,
    SESSION_STARTED_V1,
    SESSION_USED_V1,
    SESSION_ENDED_V1,
    RESET_ALLOWED_V1,
    RESET_ENDED_V1,
    CALENDAR_RENEWED_V1,
    DISABLED_V1,
    ENABLED_V1,
    ERASED_V1,
];

/// The kind of the state documents; their key is the account's number.
pub const STATE_KIND: &str = "account";
/// The schema version of the state documents.
pub const STATE_SCHEMA: u16 = 2;
/// The kind of the documents with the hash of an account's password, in the PHC string format. They are the only place that
/// has it.
pub const PASSWORD_KIND: &str = "account-password";
/// The kind of the documents with the hash of an account's mail address, 32 bytes: what leads back to the entry in
/// [`MAIL_INDEX`]. They and that entry are the only places that have it.
pub const MAIL_KIND: &str = "account-mail";

/// From the keyed hash of a mail address, in hexadecimal, to the account.
pub const MAIL_INDEX: &str = "account-mail";
/// From a customer's number to the account.
pub const CUSTOMER_INDEX: &str = "account-customer";
/// From the hash of a session's token, in hexadecimal, to the account.
pub const SESSION_INDEX: &str = "account-session";
/// From the hash of a reset's token, in hexadecimal, to the account.
pub const RESET_INDEX: &str = "account-reset";

/// A hash as the key of an index.
pub fn hash_key(hash: &[u8; 32]) -> String {
    hash.iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[derive(Serialize, Deserialize)]
enum RoleV1<'a> {
    #[serde(borrow)]
    Customer(Text<'a>),
    Staff,
    Operator,
}

/// No field for the hashes, so that they cannot be stored by mistake.
#[derive(Serialize, Deserialize)]
struct OpenedV1<'a> {
    #[serde(borrow)]
    role: RoleV1<'a>,
    at_ms: i64,
}

/// Password set, calendar renewed, disabled, enabled, erased.
#[derive(Serialize, Deserialize)]
struct StepV1 {
    at_ms: i64,
}

/// Session used or ended, reset ended.
#[derive(Serialize, Deserialize)]
struct TokenStepV1 {
    token: [u8; 32],
    at_ms: i64,
}

/// Session started, reset allowed.
#[derive(Serialize, Deserialize)]
struct TokenMadeV1 {
    token: [u8; 32],
    at_ms: i64,
    expires_ms: i64,
}

impl<'a> From<&'a Role> for RoleV1<'a> {
    fn from(role: &'a Role) -> RoleV1<'a> {
        match role {
            Role::Customer(customer_no) => RoleV1::Customer(customer_no.as_str().into()),
            Role::Staff => RoleV1::Staff,
            Role::Operator => RoleV1::Operator,
        }
    }
}

impl RoleV1<'_> {
    fn role(&self) -> Result<Role, CodecError> {
        Ok(match self {
            RoleV1::Customer(no) => Role::Customer(customer_no(no)?),
            RoleV1::Staff => Role::Staff,
            RoleV1::Operator => Role::Operator,
        })
    }
}

/// Encodes in the newest version; hashes of mail addresses and passwords are left out.
pub fn encode(event: &Event) -> Result<Encoded, CodecError> {
    match event {
        Event::Opened { role, at, mail: _, password: _ } => {
            write(OPENED_V1, &OpenedV1 { role: role.into(), at_ms: at.as_millis() })
        }
        Event::PasswordSet { at, password: _ } => write(PASSWORD_SET_V1, &StepV1 { at_ms: at.as_millis() }),
        Event::SessionStarted { id: token, at, expires_at } => {
            let (at_ms, expires_ms) = (at.as_millis(), expires_at.as_millis());
            write(SESSION_STARTED_V1, &TokenMadeV1 { token: token.0, at_ms, expires_ms })
        }
        Event::ResetAllowed { token, at, expires_at } => {
            let (at_ms, expires_ms) = (at.as_millis(), expires_at.as_millis());
            write(RESET_ALLOWED_V1, &TokenMadeV1 { token: token.0, at_ms, expires_ms })
        }
        Event::SessionUsed { id, at } => write(SESSION_USED_V1, &TokenStepV1 { token: id.0, at_ms: at.as_millis() }),
        Event::SessionEnded { id, at } => write(SESSION_ENDED_V1, &TokenStepV1 { token: id.0, at_ms: at.as_millis() }),
        Event::ResetEnded { token, at } => {
            write(RESET_ENDED_V1, &TokenStepV1 { token: token.0, at_ms: at.as_millis() })
        }
        Event::CalendarRenewed { at } => write(CALENDAR_RENEWED_V1, &StepV1 { at_ms: at.as_millis() }),
        Event::Disabled { at } => write(DISABLED_V1, &StepV1 { at_ms: at.as_millis() }),
        Event::Enabled { at } => write(ENABLED_V1, &StepV1 { at_ms: at.as_millis() }),
        Event::Erased { at, mail: _ } => write(ERASED_V1, &StepV1 { at_ms: at.as_millis() }),
    }
}

/// Decodes any version; hashes of mail addresses and passwords are not part of it.
///
/// # Errors
/// When the tag is not known, the bytes are not its body, or a value is not one of the domain.
pub fn decode(tag: &str, payload: &[u8]) -> Result<Event, CodecError> {
    let step = || instant(read::<StepV1>(payload)?.at_ms);
    let token_step = || {
        let TokenStepV1 { token, at_ms } = read(payload)?;
        Ok::<_, CodecError>((TokenHash(token), instant(at_ms)?))
    };
    let token_made = || {
        let TokenMadeV1 { token, at_ms, expires_ms } = read(payload)?;
        Ok::<_, CodecError>((TokenHash(token), instant(at_ms)?, instant(expires_ms)?))
    };
    Ok(match tag {
        OPENED_V1 => {
            let OpenedV1 { role, at_ms } = read(payload)?;
            Event::Opened { role: role.role()?, at: instant(at_ms)?, mail: None, password: None }
        }
        PASSWORD_SET_V1 => Event::PasswordSet { at: step()?, password: None },
        SESSION_STARTED_V1 => {
            let (id, at, expires_at) = token_made()?;
            Event::SessionStarted { id, at, expires_at }
        }
        RESET_ALLOWED_V1 => {
            let (token, at, expires_at) = token_made()?;
            Event::ResetAllowed { token, at, expires_at }
        }
        SESSION_USED_V1 => token_step().map(|(id, at)| Event::SessionUsed { id, at })?,
        SESSION_ENDED_V1 => token_step().map(|(id, at)| Event::SessionEnded { id, at })?,
        RESET_ENDED_V1 => token_step().map(|(token, at)| Event::ResetEnded { token, at })?,
        CALENDAR_RENEWED_V1 => Event::CalendarRenewed { at: step()? },
        DISABLED_V1 => Event::Disabled { at: step()? },
        ENABLED_V1 => Event::Enabled { at: step()? },
        ERASED_V1 => Event::Erased { at: step()?, mail: None },
        _ => return Err(unknown_tag(tag)),
    })
}

/// Hashes as hexadecimal digits.
pub fn json(event: &Event) -> Value {
    match event {
        Event::Opened { role, at, mail: _, password: _ } => {
            let name = match role {
                Role::Customer(_) => "customer",
                Role::Staff => "staff",
                Role::Operator => "operator",
            };
            let mut json = json!({ "role": name, "at": json_instant(*at) });
            if let Some(customer_no) = role.customer() {
                json["customerNo"] = customer_no.as_str().into();
            }
            json
        }
        Event::SessionStarted { id: TokenHash(hash), at, expires_at }
        | Event::ResetAllowed { token: TokenHash(hash), at, expires_at } => {
            json!({ "hash": hash_key(hash), "at": json_instant(*at), "expires": json_instant(*expires_at) })
        }
        Event::SessionUsed { id: TokenHash(hash), at }
        | Event::SessionEnded { id: TokenHash(hash), at }
        | Event::ResetEnded { token: TokenHash(hash), at } => {
            json!({ "hash": hash_key(hash), "at": json_instant(*at) })
        }
        Event::PasswordSet { at, password: _ }
        | Event::CalendarRenewed { at }
        | Event::Disabled { at }
        | Event::Enabled { at }
        | Event::Erased { at, mail: _ } => json!({ "at": json_instant(*at) }),
    }
}

pub fn encode_state(state: &State) -> Result<Bytes, CodecError> {
    write_state(STATE_SCHEMA, state)
}

pub fn decode_state(body: &[u8]) -> Result<State, StateError> {
    read_state(STATE_SCHEMA, body)
}
