//! A customer: personal data that only a key outside the journal can open, and that is gone with the key.
//!
//! The domain sees the sealed bytes only; who seals them, and with what, is not known here.

use super::CorruptHistory;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest name, in characters.
pub const NAME_CHARS_MAX: usize = 100;

/// The key that opens one customer's data. It is never part of an event's stored form.
#[derive(Clone, PartialEq, Eq)]
pub struct DataKey(pub [u8; 32]);

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(..)")
    }
}

/// A customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Customer {
    /// Known by sealed data.
    Registered {
        /// The personal data, sealed.
        sealed: Vec<u8>,
        /// Since when.
        at: Timestamp,
    },
    /// The personal data is gone.
    Erased {
        /// Since when.
        at: Timestamp,
    },
}

/// A customer, once registered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State(pub Option<Customer>);

/// What can be asked of a customer's entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Keep the customer's data.
    Register {
        /// The personal data, sealed.
        sealed: Vec<u8>,
        /// The key that opens it.
        key: DataKey,
    },
    /// Throw the key away.
    Erase,
}

/// What has happened to a customer's entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The data is kept.
    Registered {
        /// The personal data, sealed.
        sealed: Vec<u8>,
        /// Since when.
        at: Timestamp,
        /// The key, when the event has just been decided; a stored event has none.
        key: Option<DataKey>,
    },
    /// The key is gone.
    Erased {
        /// Since when.
        at: Timestamp,
    },
}

/// Why a customer's entry refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// No such customer.
    #[error("there is no such customer")]
    CustomerNotFound,
    /// The number is taken.
    #[error("the customer number is already registered")]
    CustomerAlreadyRegistered,
    /// The data is gone.
    #[error("the customer's personal data has been erased")]
    CustomerErased,
}

impl Rejection {
    /// The permanent machine code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Rejection::CustomerNotFound => "customer_not_found",
            Rejection::CustomerAlreadyRegistered => "customer_already_registered",
            Rejection::CustomerErased => "customer_erased",
        }
    }
}

/// What follows from a command, or why it is refused. No events means that it is already as asked for.
///
/// # Errors
/// The rule that the command would break.
pub fn decide(state: &State, command: &Command, now: Timestamp) -> Result<Vec<Event>, Rejection> {
    match (command, &state.0) {
        (Command::Register { sealed, key }, None) => {
            Ok(vec![Event::Registered { sealed: sealed.clone(), at: now, key: Some(key.clone()) }])
        }
        (Command::Register { .. }, Some(Customer::Registered { .. })) => Err(Rejection::CustomerAlreadyRegistered),
        (Command::Register { .. }, Some(Customer::Erased { .. })) => Err(Rejection::CustomerErased),
        (Command::Erase, None) => Err(Rejection::CustomerNotFound),
        (Command::Erase, Some(Customer::Registered { .. })) => Ok(vec![Event::Erased { at: now }]),
        (Command::Erase, Some(Customer::Erased { .. })) => Ok(vec![]),
    }
}

/// The entry after an event.
///
/// # Errors
/// When the event cannot have happened in this state.
pub fn evolve(state: State, event: &Event) -> Result<State, CorruptHistory> {
    let customer = match (event, state.0) {
        (Event::Registered { sealed, at, .. }, None) => Customer::Registered { sealed: sealed.clone(), at: *at },
        (Event::Erased { at }, Some(Customer::Registered { .. })) => Customer::Erased { at: *at },
        (Event::Registered { .. }, Some(_)) => {
            return Err(CorruptHistory { event: "registered", state: "registered" });
        }
        (Event::Erased { .. }, None | Some(Customer::Erased { .. })) => {
            return Err(CorruptHistory { event: "erased", state: "no data" });
        }
    };
    Ok(State(Some(customer)))
}
