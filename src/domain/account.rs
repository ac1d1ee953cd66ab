//! An account: how somebody signs in where the company has no identity provider. Knows hashes only: of the mail address, of
//! the password, of the tokens of sessions and resets. Who hashes, and with what, is not known here.

use super::CorruptHistory;
use super::ids::CustomerNo;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The most sessions of one account; one more ends the one that was used least recently.
pub const SESSIONS_MAX: usize = 16;

/// How long after the last one a further use of a session is noted, in milliseconds: not each of them.
pub const USE_NOTED_MS: i64 = 60_000;

/// SHA-256 of a token of 256 random bits, of a session or of a reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TokenHash(pub [u8; 32]);

/// A hash of a mail address that only the holder of a key can make. It is never part of an event's stored form.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MailHash(pub [u8; 32]);

impl fmt::Debug for MailHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MailHash(..)")
    }
}

/// The hash of a password, in the PHC string format. It is never part of an event's stored form.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(pub String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// Whose account it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// A customer, who does what is theirs.
    Customer(CustomerNo),
    /// A person of the company who rents cars out.
    Staff,
    /// A person who operates the service.
    Operator,
}

impl Role {
    /// The customer whose account it is, if it is one's.
    pub const fn customer(&self) -> Option<&CustomerNo> {
        match self {
            Role::Customer(customer_no) => Some(customer_no),
            Role::Staff | Role::Operator => None,
        }
    }
}

/// Somebody who has signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The hash of its token.
    pub id: TokenHash,
    /// When its owner signed in.
    pub at: Timestamp,
    /// When it was used last, as far as that was noted.
    pub used_at: Timestamp,
    /// From when on it holds no longer, however often it is used.
    pub expires_at: Timestamp,
}

/// A password that can be set without the old one, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reset {
    /// The hash of the token that allows it.
    pub token: TokenHash,
    /// From when on it is void.
    pub expires_at: Timestamp,
}

/// An account that can be used, unless it is disabled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// Whose it is.
    pub role: Role,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When the password was set; also its name.
    pub password_at: Timestamp,
    /// Since when nobody can sign in.
    pub disabled_at: Option<Timestamp>,
    /// The oldest first.
    pub sessions: Vec<Session>,
    /// A password that may be set without the old one.
    pub reset: Option<Reset>,
    /// When its owner asked for the present link of a calendar; also its name. None before the first one.
    pub calendar_at: Option<Timestamp>,
}

impl Open {
    /// The session with this hash, expired or not.
    pub fn session(&self, id: &TokenHash) -> Option<&Session> {
        self.sessions.iter().find(|session| session.id == *id)
    }

    /// Whether the password may be set with this token at that moment.
    pub fn may_reset(&self, token: &TokenHash, now: Timestamp) -> bool {
        self.disabled_at.is_none()
            && self.reset.as_ref().is_some_and(|reset| reset.token == *token && now < reset.expires_at)
    }
}

/// An account: open until it is erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Account {
    /// Somebody can sign in, unless it is disabled.
    Open(Open),
    /// Mail address and password are gone, and nobody can sign in.
    Erased {
        /// Whose it was.
        role: Role,
        /// When it was erased.
        at: Timestamp,
    },
}

impl Account {
    /// Whose it is, or was.
    pub const fn role(&self) -> &Role {
        match self {
            Account::Open(open) => &open.role,
            Account::Erased { role, .. } => role,
        }
    }

    /// The account, unless it is erased.
    pub const fn open(&self) -> Option<&Open> {
        match self {
            Account::Open(open) => Some(open),
            Account::Erased { .. } => None,
        }
    }
}

/// An account, once opened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State(pub Option<Account>);

/// What may set another password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// The old password, by the name that it had when it was checked; the session that asks goes on.
    OldPassword {
        /// The name of the password that was checked.
        password_at: Timestamp,
        /// The session that goes on.
        keep: Option<TokenHash>,
    },
    /// The token of a reset.
    Reset(TokenHash),
    /// An operator's word.
    Operator,
}

/// What can be asked of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Let somebody sign in from now on.
    Open {
        /// Whose it is.
        role: Role,
        /// Under which it is found.
        mail: MailHash,
        /// The first password.
        password: PasswordHash,
    },
    /// Set another password, which ends all sessions but the one that asks.
    SetPassword {
        /// Why that may be.
        proof: Proof,
        /// The new one.
        password: PasswordHash,
    },
    /// Somebody has signed in.
    StartSession {
        /// The hash of its token.
        id: TokenHash,
        /// The name of the password that was checked.
        password_at: Timestamp,
        /// From when on it holds no longer.
        expires_at: Timestamp,
    },
    /// Note that a session is used.
    UseSession {
        /// The hash of its token.
        id: TokenHash,
    },
    /// Somebody has signed out.
    EndSession {
        /// The hash of its token.
        id: TokenHash,
    },
    /// Sign out everywhere else.
    EndOtherSessions {
        /// The session that goes on.
        keep: TokenHash,
    },
    /// Let the password be set without the old one, once.
    AllowReset {
        /// The hash of the token that allows it.
        token: TokenHash,
        /// From when on it is void.
        expires_at: Timestamp,
    },
    /// Give the calendar of its owner's bookings another link.
    RenewCalendar,
    /// Let nobody sign in.
    Disable,
    /// Let somebody sign in again.
    Enable,
    /// Throw mail address and password away.
    Erase {
        /// The hash under which the account is found, so that another may be opened under it.
        mail: Option<MailHash>,
    },
}

/// What has happened to an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Somebody can sign in.
    Opened {
        /// Whose it is.
        role: Role,
        /// When it happened, by the clock of the service.
        at: Timestamp,
        /// When the event has just been decided; a stored event has none.
        mail: Option<MailHash>,
        /// The same.
        password: Option<PasswordHash>,
    },
    /// Another password counts.
    PasswordSet {
        /// When it happened, by the clock of the service.
        at: Timestamp,
        /// When the event has just been decided; a stored event has none.
        password: Option<PasswordHash>,
    },
    /// Somebody has signed in.
    SessionStarted {
        /// The hash of its token.
        id: TokenHash,
        /// When it happened, by the clock of the service.
        at: Timestamp,
        /// From when on it holds no longer.
        expires_at: Timestamp,
    },
    /// It was still used then. Not every use is noted.
    SessionUsed {
        /// The hash of its token.
        id: TokenHash,
        /// When it happened, by the clock of the service.
        at: Timestamp,
    },
    /// Signed out, expired, or ended by something else that happened to the account.
    SessionEnded {
        /// The hash of its token.
        id: TokenHash,
        /// When it happened, by the clock of the service.
        at: Timestamp,
    },
    /// The password may be set without the old one, once.
    ResetAllowed {
        /// The hash of the token that allows it.
        token: TokenHash,
        /// When it happened, by the clock of the service.
        at: Timestamp,
        /// From when on it is void.
        expires_at: Timestamp,
    },
    /// Used, replaced, or void.
    ResetEnded {
        /// The hash of its token.
        token: TokenHash,
        /// When it happened, by the clock of the service.
        at: Timestamp,
    },
    /// The calendar has another link, and the one before shows nothing any more.
    CalendarRenewed {
        /// When it happened, by the clock of the service.
        at: Timestamp,
    },
    /// Nobody can sign in.
    Disabled {
        /// When it happened, by the clock of the service.
        at: Timestamp,
    },
    /// Somebody can sign in again.
    Enabled {
        /// When it happened, by the clock of the service.
        at: Timestamp,
    },
    /// Mail address and password are gone.
    Erased {
        /// When it happened, by the clock of the service.
        at: Timestamp,
        /// When the event has just been decided; a stored event has none.
        mail: Option<MailHash>,
    },
}

/// Why an account refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It was never opened, or is erased.
    #[error("there is no such account")]
    AccountNotFound,
    /// An operator has disabled it.
    #[error("this account is disabled; ask the company")]
    AccountDisabled,
    /// Another account is found under the mail address.
    #[error("there is an account with this mail address already; sign in, or reset its password")]
    MailAddressTaken,
    /// A customer has one account.
    #[error("this customer has an account already")]
    CustomerHasAccount,
    /// What was checked is no longer the password.
    #[error("the password has been changed meanwhile; sign in with the new one")]
    PasswordChanged,
    /// Used, replaced, expired, or never given.
    #[error("this token does not allow to set a password, or no longer; ask for another one")]
    ResetTokenInvalid,
}

impl Rejection {
    /// The permanent machine code.
    pub const fn code(&self) -> &'static str {
        match self {
            Rejection::AccountNotFound => "account_not_found",
            Rejection::AccountDisabled => "account_disabled",
            Rejection::MailAddressTaken => "mail_address_taken",
            Rejection::CustomerHasAccount => "customer_has_account",
            Rejection::PasswordChanged => "password_changed",
            Rejection::ResetTokenInvalid => "reset_token_invalid",
        }
    }
}

/// What follows from a command, or why it is refused. No events means that it is already as asked for.
///
/// # Errors
/// The rule that the command would break.
pub fn decide(state: &State, command: &Command, now: Timestamp) -> Result<Vec<Event>, Rejection> {
    match (command, &state.0) {
        (Command::Open { role, mail, password }, None) => {
            Ok(vec![Event::Opened { role: role.clone(), at: now, mail: Some(*mail), password: Some(password.clone()) }])
        }
        (Command::Open { .. }, Some(_)) => Err(Rejection::MailAddressTaken),
        (Command::Erase { .. }, Some(Account::Erased { .. })) => Ok(vec![]),
        (
            Command::SetPassword { .. }
            | Command::StartSession { .. }
            | Command::UseSession { .. }
            | Command::EndSession { .. }
            | Command::EndOtherSessions { .. }
            | Command::AllowReset { .. }
            | Command::RenewCalendar
            | Command::Disable
            | Command::Enable
            | Command::Erase { .. },
            None | Some(Account::Erased { .. }),
        ) => Err(Rejection::AccountNotFound),
        (command, Some(Account::Open(open))) => decide_open(open, command, now),
    }
}

fn decide_open(open: &Open, command: &Command, now: Timestamp) -> Result<Vec<Event>, Rejection> {
    Ok(match command {
        Command::Open { .. } => return Err(Rejection::MailAddressTaken),
        Command::SetPassword { proof, password } => {
            let keep = kept_session(open, proof, now)?;
            let mut events = ended_sessions(open, keep, now);
            events.extend(ended_reset(open, now));
            events.push(Event::PasswordSet { at: now, password: Some(password.clone()) });
            events
        }
        Command::StartSession { id, password_at, expires_at } => {
            if open.disabled_at.is_some() {
                return Err(Rejection::AccountDisabled);
            }
            if open.password_at != *password_at {
                return Err(Rejection::PasswordChanged);
            }
            if open.session(id).is_some() {
                return Ok(vec![]);
            }
            let mut events = sessions_to_make_room(open, now);
            events.push(Event::SessionStarted { id: *id, at: now, expires_at: *expires_at });
            events
        }
        Command::UseSession { id } => match open.session(id) {
            Some(session) if session.used_at.as_millis().saturating_add(USE_NOTED_MS) <= now.as_millis() => {
                vec![Event::SessionUsed { id: *id, at: now }]
            }
            Some(_) | None => vec![],
        },
        Command::EndSession { id } => {
            open.session(id).map(|session| Event::SessionEnded { id: session.id, at: now }).into_iter().collect()
        }
        Command::EndOtherSessions { keep } => ended_sessions(open, Some(*keep), now),
        Command::AllowReset { token, expires_at } => {
            if open.disabled_at.is_some() {
                return Err(Rejection::AccountDisabled);
            }
            let mut events: Vec<_> = ended_reset(open, now).into_iter().collect();
            events.push(Event::ResetAllowed { token: *token, at: now, expires_at: *expires_at });
            events
        }
        Command::RenewCalendar if open.disabled_at.is_some() => return Err(Rejection::AccountDisabled),
        // Two within one millisecond would have one name.
        Command::RenewCalendar if open.calendar_at == Some(now) => vec![],
        Command::RenewCalendar => vec![Event::CalendarRenewed { at: now }],
        Command::Disable if open.disabled_at.is_some() => vec![],
        Command::Disable => {
            let mut events = ended_sessions(open, None, now);
            events.extend(ended_reset(open, now));
            events.push(Event::Disabled { at: now });
            events
        }
        Command::Enable if open.disabled_at.is_none() => vec![],
        Command::Enable => vec![Event::Enabled { at: now }],
        Command::Erase { mail } => {
            let mut events = ended_sessions(open, None, now);
            events.extend(ended_reset(open, now));
            events.push(Event::Erased { at: now, mail: *mail });
            events
        }
    })
}

/// Which session goes on when the password is set.
fn kept_session(open: &Open, proof: &Proof, now: Timestamp) -> Result<Option<TokenHash>, Rejection> {
    match proof {
        Proof::OldPassword { .. } if open.disabled_at.is_some() => Err(Rejection::AccountDisabled),
        Proof::OldPassword { password_at, .. } if open.password_at != *password_at => Err(Rejection::PasswordChanged),
        Proof::OldPassword { keep, .. } => Ok(*keep),
        Proof::Reset(token) if open.may_reset(token, now) => Ok(None),
        Proof::Reset(_) => Err(Rejection::ResetTokenInvalid),
        Proof::Operator => Ok(None),
    }
}

fn ended_sessions(open: &Open, keep: Option<TokenHash>, now: Timestamp) -> Vec<Event> {
    let ended = open.sessions.iter().filter(|session| Some(session.id) != keep);
    ended.map(|session| Event::SessionEnded { id: session.id, at: now }).collect()
}

fn ended_reset(open: &Open, now: Timestamp) -> Option<Event> {
    open.reset.as_ref().map(|reset| Event::ResetEnded { token: reset.token, at: now })
}

/// Sessions that have expired end, and, where there is no room for one more, the one that was used least recently.
fn sessions_to_make_room(open: &Open, now: Timestamp) -> Vec<Event> {
    let (expired, live): (Vec<_>, Vec<_>) = open.sessions.iter().partition(|session| session.expires_at <= now);
    let least = live.iter().min_by_key(|session| session.used_at).filter(|_| live.len() >= SESSIONS_MAX);
    let ended = expired.iter().chain(least);
    ended.map(|session| Event::SessionEnded { id: session.id, at: now }).collect()
}

/// The account after an event.
///
/// # Errors
/// When the event cannot have happened in this state.
pub fn evolve(state: State, event: &Event) -> Result<State, CorruptHistory> {
    let account = match (event, state.0) {
        (Event::Opened { role, at, .. }, None) => Account::Open(Open {
            role: role.clone(),
            opened_at: *at,
            password_at: *at,
            disabled_at: None,
            sessions: Vec::new(),
            reset: None,
            calendar_at: None,
        }),
        (Event::Erased { at, .. }, Some(Account::Open(open))) => Account::Erased { role: open.role, at: *at },
        (event, Some(Account::Open(open))) => Account::Open(evolve_open(open, event)?),
        (_, None) => return Err(CorruptHistory { event: "something", state: "no account" }),
        (_, Some(Account::Erased { .. })) => return Err(CorruptHistory { event: "something", state: "erased" }),
    };
    Ok(State(Some(account)))
}

fn evolve_open(mut open: Open, event: &Event) -> Result<Open, CorruptHistory> {
    let impossible = |event, state| Err(CorruptHistory { event, state });
    match event {
        Event::Opened { .. } => return impossible("opened", "open"),
        Event::Erased { .. } => return impossible("erased", "open"),
        Event::PasswordSet { at, .. } => open.password_at = *at,
        Event::SessionStarted { id, at, expires_at } => {
            if open.sessions.len() >= SESSIONS_MAX || open.session(id).is_some() {
                return impossible("session started", "no room");
            }
            open.sessions.push(Session { id: *id, at: *at, used_at: *at, expires_at: *expires_at });
        }
        Event::SessionUsed { id, at } => {
            let used = open.sessions.iter_mut().find(|session| session.id == *id);
            let Some(session) = used else { return impossible("session used", "no such session") };
            session.used_at = *at;
        }
        Event::SessionEnded { id, .. } => {
            let before = open.sessions.len();
            open.sessions.retain(|session| session.id != *id);
            if open.sessions.len() == before {
                return impossible("session ended", "no such session");
            }
        }
        Event::ResetAllowed { token, expires_at, .. } => {
            open.reset = Some(Reset { token: *token, expires_at: *expires_at });
        }
        Event::ResetEnded { token, .. } => {
            if open.reset.take().is_none_or(|reset| reset.token != *token) {
                return impossible("reset ended", "no such reset");
            }
        }
        Event::CalendarRenewed { at } => open.calendar_at = Some(*at),
        Event::Disabled { at } => open.disabled_at = Some(*at),
        Event::Enabled { .. } => open.disabled_at = None,
    }
    Ok(open)
}
