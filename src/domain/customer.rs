//! A customer: personal data that only a key outside the journal can open, and that is gone with the key.
//!
//! The domain sees the sealed bytes only; who seals them, and with what, is not known here.

use super::CorruptHistory;
use super::spelling::is_blank;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest name, in characters.
pub const NAME_CHARS_MAX: usize = 100;

/// Whether a text looks like a mail address. Only sending mail could show whether it exists.
pub fn is_mail_address(text: &str) -> bool {
    text.split_once('@').is_some_and(|(local, domain)| {
        !is_blank(local) && !is_blank(domain) && !domain.contains('@') && !text.contains(char::is_whitespace)
    })
}

/// The key that opens one customer's data, as it is stored: wrapped by the master key, where there is one. It is never part
/// of an event's stored form.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredKey(pub Vec<u8>);

impl fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredKey(..)")
    }
}

/// The entry of a registered number: open, closed while an erasure is decided, or erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Customer {
    /// Known by sealed data.
    Registered {
        /// The personal data, sealed.
        sealed: Vec<u8>,
        /// When it happened, by the clock of the service.
        at: Timestamp,
    },
    /// The personal data is gone.
    Erased {
        /// When it happened, by the clock of the service.
        at: Timestamp,
    },
    /// Registered, but closed for bookings while it is checked whether the customer can be erased.
    Closed {
        /// The personal data, sealed.
        sealed: Vec<u8>,
        /// When the customer was registered.
        at: Timestamp,
        /// Since when it is closed; also the name of this closing.
        closed_at: Timestamp,
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
        key: StoredKey,
    },
    /// Let the number book nothing more.
    Close,
    /// Let it book again.
    Reopen {
        /// Which closing is to end.
        closed_at: Timestamp,
    },
    /// Throw the key away.
    Erase {
        /// Since which closing nothing can have been booked.
        closed_at: Timestamp,
    },
}

/// What has happened to a customer's entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The data is kept.
    Registered {
        /// The personal data, sealed.
        sealed: Vec<u8>,
        /// When it happened, by the clock of the service.
        at: Timestamp,
        /// The key, when the event has just been decided; a stored event has none.
        key: Option<StoredKey>,
    },
    /// The key is gone.
    Erased {
        /// When it happened, by the clock of the service.
        at: Timestamp,
    },
    /// The number books nothing more.
    Closed {
        /// When it happened, by the clock of the service.
        at: Timestamp,
    },
    /// The number may book again.
    Reopened {
        /// When it happened, by the clock of the service.
        at: Timestamp,
    },
}

/// Why a customer's entry refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The number was never registered.
    #[error("there is no such customer")]
    CustomerNotFound,
    /// The number is registered, or closed for an erasure that may yet be given up.
    #[error("the customer number is already registered")]
    CustomerAlreadyRegistered,
    /// The data was erased, and an erased number is not registered again.
    #[error("the customer's personal data has been erased")]
    CustomerErased,
    /// An erased customer books nothing.
    #[error(
        "the customer of this number was erased, and nothing can be booked under it; register under another number"
    )]
    NumberErased,
    /// Nothing is booked while it is checked whether the customer can be erased.
    #[error("the customer of this number is being erased; try again in a moment to learn whether it was")]
    NumberClosed,
    /// The closing that an erasure relied on has ended.
    #[error("the erasure took too long, and the customer may book again; ask for the erasure once more")]
    ErasureInterrupted,
}

impl Rejection {
    /// The permanent machine code.
    pub const fn code(&self) -> &'static str {
        match self {
            Rejection::CustomerNotFound => "customer_not_found",
            Rejection::CustomerAlreadyRegistered => "customer_already_registered",
            Rejection::CustomerErased => "customer_erased",
            Rejection::NumberErased => "customer_number_erased",
            Rejection::NumberClosed => "customer_number_closed",
            Rejection::ErasureInterrupted => "erasure_interrupted",
        }
    }
}

impl Customer {
    /// Whether something can be booked under its number.
    ///
    /// # Errors
    /// [`Rejection::NumberErased`] or [`Rejection::NumberClosed`].
    pub fn may_book(&self) -> Result<(), Rejection> {
        match self {
            Customer::Registered { .. } => Ok(()),
            Customer::Closed { .. } => Err(Rejection::NumberClosed),
            Customer::Erased { .. } => Err(Rejection::NumberErased),
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
        (Command::Register { .. }, Some(Customer::Registered { .. } | Customer::Closed { .. })) => {
            Err(Rejection::CustomerAlreadyRegistered)
        }
        (Command::Register { .. }, Some(Customer::Erased { .. })) => Err(Rejection::CustomerErased),
        (Command::Close | Command::Reopen { .. } | Command::Erase { .. }, None) => Err(Rejection::CustomerNotFound),
        (Command::Close, Some(Customer::Registered { .. })) => Ok(vec![Event::Closed { at: now }]),
        (Command::Reopen { closed_at: ended }, Some(Customer::Closed { closed_at, .. })) if ended == closed_at => {
            Ok(vec![Event::Reopened { at: now }])
        }
        (Command::Erase { closed_at: since }, Some(Customer::Closed { closed_at, .. })) if since == closed_at => {
            Ok(vec![Event::Erased { at: now }])
        }
        (Command::Erase { .. }, Some(Customer::Registered { .. } | Customer::Closed { .. })) => {
            Err(Rejection::ErasureInterrupted)
        }
        // Two concurrent erasures share the closing, and the later one finds its work done.
        (Command::Close, Some(Customer::Closed { .. } | Customer::Erased { .. }))
        | (Command::Reopen { .. }, Some(_))
        | (Command::Erase { .. }, Some(Customer::Erased { .. })) => Ok(vec![]),
    }
}

/// The entry after an event. Before there was a closing, an erasure followed on the registration.
///
/// # Errors
/// When the event cannot have happened in this state.
pub fn evolve(state: State, event: &Event) -> Result<State, CorruptHistory> {
    let impossible = |event, state| Err(CorruptHistory { event, state });
    let customer = match (event, state.0) {
        (Event::Registered { sealed, at, .. }, None) => Customer::Registered { sealed: sealed.clone(), at: *at },
        (Event::Erased { at }, Some(Customer::Registered { .. } | Customer::Closed { .. })) => {
            Customer::Erased { at: *at }
        }
        (Event::Closed { at: closed_at }, Some(Customer::Registered { sealed, at })) => {
            Customer::Closed { sealed, at, closed_at: *closed_at }
        }
        (Event::Reopened { .. }, Some(Customer::Closed { sealed, at, .. })) => Customer::Registered { sealed, at },
        (Event::Registered { .. }, Some(_)) => return impossible("registered", "registered"),
        (Event::Erased { .. }, None | Some(Customer::Erased { .. })) => return impossible("erased", "no data"),
        (Event::Closed { .. }, _) => return impossible("closed", "not open"),
        (Event::Reopened { .. }, _) => return impossible("reopened", "not closed"),
    };
    Ok(State(Some(customer)))
}
