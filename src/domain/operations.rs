//! What operators do to the service itself, and what leaves no other event: it is noted, so that it can be told who did it.
//! Decides nothing: whatever is noted is noted.

use serde::{Deserialize, Serialize};

/// What an operator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Forces the circuit breaker, or lets it decide again.
    BreakerSet,
    /// Takes a backup.
    BackupTaken,
    /// Compares our payments with the provider's record.
    PaymentsReconciled,
    /// Makes a context fail, or come back.
    FaultInjected,
    /// Changes how the sandbox provider behaves.
    ProviderChanged,
}

impl Act {
    /// All of them.
    pub const ALL: [Act; 5] =
        [Act::BreakerSet, Act::BackupTaken, Act::PaymentsReconciled, Act::FaultInjected, Act::ProviderChanged];

    /// Its permanent name.
    pub const fn name(self) -> &'static str {
        match self {
            Act::BreakerSet => "breaker_set",
            Act::BackupTaken => "backup_taken",
            Act::PaymentsReconciled => "payments_reconciled",
            Act::FaultInjected => "fault_injected",
            Act::ProviderChanged => "provider_changed",
        }
    }

    /// The act of that name.
    pub fn named(name: &str) -> Option<Act> {
        Act::ALL.into_iter().find(|act| act.name() == name)
    }
}

/// An act with what there is to say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What was done.
    pub act: Act,
    /// A code that says more, such as the state that was forced; nothing personal.
    pub why: Option<String>,
}

/// How much was noted; what it was is in the events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// How many notes there are.
    pub notes: u64,
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Note an act, before it is done.
    Note(Note),
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An act was noted.
    Noted(Note),
}

/// What follows from a command: nothing is refused.
pub fn decide(command: &Command) -> Vec<Event> {
    match command {
        Command::Note(note) => vec![Event::Noted(note.clone())],
    }
}

/// The state after an event.
///
/// # Errors
/// Never: whatever is noted can have happened.
pub fn evolve(state: State, event: &Event) -> Result<State, super::CorruptHistory> {
    match event {
        Event::Noted(_) => Ok(State { notes: state.notes.saturating_add(1) }),
    }
}
