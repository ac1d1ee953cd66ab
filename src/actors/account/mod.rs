//! The Account context: one entity per account, whose key is a number that says nothing of its owner. The hashes of mail
//! address and password are documents beside the journal.

pub mod alone;
mod calendar;
pub mod delivery;
pub mod follows_customer;
pub mod hashing;
pub mod password;
pub mod secret;
pub mod service;
mod sessions;
pub mod throttle;

use super::reservation::instant;
use super::runtime::{CorruptHistory, Derived, Entity};
use crate::domain::account::{self, Account, Command, Event, Rejection, Role, State, TokenHash};
use crate::store::codec::{self, CodecError};
use crate::store::journal::{Claim, Context, DocumentWrite, IndexWrite};
use crate::store::schema;
use crate::store::schema::account::{
    CUSTOMER_INDEX, MAIL_INDEX, MAIL_KIND, PASSWORD_KIND, RESET_INDEX, SESSION_INDEX, hash_key,
};
use bytes::Bytes;
use std::sync::Arc;

pub struct Accounts;

impl Entity for Accounts {
    const CONTEXT: Context = schema::ACCOUNT;
    const STATE_KIND: &'static str = schema::account::STATE_KIND;
    type State = State;
    type EncodingCache = ();
    type Command = Command;
    type Event = Event;
    type Reply = Option<Account>;
    type Rejection = Rejection;

    fn command_name(&self, command: &Command) -> &'static str {
        match command {
            Command::Open { .. } => "open",
            Command::SetPassword { .. } => "set password",
            Command::StartSession { .. } => "start session",
            Command::UseSession { .. } => "use session",
            Command::EndSession { .. } => "end session",
            Command::EndOtherSessions { .. } => "end other sessions",
            Command::AllowReset { .. } => "allow reset",
            Command::RenewCalendar => "renew calendar",
            Command::Disable => "disable",
            Command::Enable => "enable",
            Command::Erase { .. } => "erase",
        }
    }

    fn initial(&self, _key: &str) -> State {
        State::default()
    }

    fn decide(&self, state: &State, command: &Command, now_ms: i64) -> Result<Vec<Event>, Rejection> {
        account::decide(state, command, instant(now_ms))
    }

    fn taken(&self, _command: &Command, index: &'static str) -> Option<Rejection> {
        match index {
            MAIL_INDEX => Some(Rejection::MailAddressTaken),
            CUSTOMER_INDEX => Some(Rejection::CustomerHasAccount),
            _ => None,
        }
    }

    fn evolve(&self, state: State, event: &Event) -> Result<State, CorruptHistory> {
        account::evolve(state, event).map_err(|error| CorruptHistory::new(error.to_string()))
    }

    fn reply(&self, state: &State, _command: &Command, _events: &[Event]) -> Option<Account> {
        state.0.clone()
    }

    fn derive(&self, key: &str, state: &mut State, events: &[Event], _at_ms: i64) -> Derived {
        let mut derived = Derived::default();
        for event in events {
            derive_one(key, state, event, &mut derived);
        }
        derived
    }

    fn encode_event(&self, event: &Event) -> Result<(Arc<str>, Bytes), CodecError> {
        schema::account::encode(event)
    }

    fn decode_event(&self, tag: &str, payload: &[u8]) -> Result<Event, CodecError> {
        schema::account::decode(tag, payload)
    }

    fn encode_state(&self, state: &State, (): &mut ()) -> Result<Bytes, CodecError> {
        schema::account::encode_state(state)
    }

    fn decode_state(&self, body: &[u8]) -> Result<State, CodecError> {
        schema::account::decode_state(body).map_err(|error| CodecError::Decode(error.to_string()))
    }

    fn encode_reply(&self, answer: &Option<Account>) -> Result<Bytes, CodecError> {
        codec::to_bytes(answer)
    }

    fn decode_reply(&self, body: &[u8]) -> Result<Option<Account>, CodecError> {
        codec::from_bytes(body)
    }
}

fn derive_one(key: &str, state: &State, event: &Event, derived: &mut Derived) {
    let document = |kind, body| DocumentWrite { kind, key: key.into(), body };
    let entry = |index, entry: String, is_there: bool| {
        let value = is_there.then(|| Arc::from(key));
        IndexWrite { index, key: entry.into(), value }
    };
    let of_token = |index, token: &TokenHash, is_there| entry(index, hash_key(&token.0), is_there);
    let claim = |index, entry: String| Claim { index, key: entry.into(), value: key.into() };
    match event {
        Event::Opened { role, mail, password, .. } => {
            if let Role::Customer(customer_no) = role {
                derived.claims.push(claim(CUSTOMER_INDEX, customer_no.to_string()));
            }
            // A stored event has neither: what they led to stays as it is when everything is derived anew.
            if let Some(mail) = mail {
                derived.claims.push(claim(MAIL_INDEX, hash_key(&mail.0)));
                derived.documents.push(document(MAIL_KIND, Some(Bytes::copy_from_slice(&mail.0))));
            }
            if let Some(password) = password {
                derived.documents.push(document(PASSWORD_KIND, Some(password.0.clone().into())));
            }
        }
        Event::PasswordSet { password: Some(password), .. } => {
            derived.documents.push(document(PASSWORD_KIND, Some(password.0.clone().into())));
        }
        Event::SessionStarted { id, .. } => derived.index.push(of_token(SESSION_INDEX, id, true)),
        Event::SessionEnded { id, .. } => derived.index.push(of_token(SESSION_INDEX, id, false)),
        Event::ResetAllowed { token, .. } => derived.index.push(of_token(RESET_INDEX, token, true)),
        Event::ResetEnded { token, .. } => derived.index.push(of_token(RESET_INDEX, token, false)),
        Event::Erased { mail, .. } => {
            derived.documents.extend([document(MAIL_KIND, None), document(PASSWORD_KIND, None)]);
            derived.index.extend(mail.map(|mail| entry(MAIL_INDEX, hash_key(&mail.0), false)));
            let customer = state.0.as_ref().and_then(|account| account.role().customer());
            derived.index.extend(customer.map(|customer_no| entry(CUSTOMER_INDEX, customer_no.to_string(), false)));
        }
        Event::PasswordSet { password: None, .. }
        | Event::SessionUsed { .. }
        | Event::CalendarRenewed { .. }
        | Event::Disabled { .. }
        | Event::Enabled { .. } => {}
    }
}
