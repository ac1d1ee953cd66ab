//! What staff note at the desk when a car is handed over and when it comes back, and why they waive a fee.

use super::who::Who;
use serde::{Deserialize, Serialize};

/// The highest reading of an odometer, in kilometres.
pub const ODOMETER_KM_MAX: u32 = 2_000_000;
/// The longest text about the condition of a car, in characters.
pub const CONDITION_CHARS_MAX: usize = 500;

/// How a car is, as far as staff have told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeskFacts {
    /// What the odometer shows, in kilometres, up to [`ODOMETER_KM_MAX`].
    pub odometer_km: Option<u32>,
    /// How full the tank or the battery is, from 0 to 100.
    pub fuel_percent: Option<u8>,
    /// What there is to say of the car, in the words of the staff; up to [`CONDITION_CHARS_MAX`] characters.
    pub condition: Option<String>,
}

impl DeskFacts {
    /// These facts, if each is within its bounds.
    pub fn checked(self) -> Option<DeskFacts> {
        let is_text = |text: &String| !text.is_empty() && text.chars().count() <= CONDITION_CHARS_MAX;
        let is_legal = self.odometer_km.is_none_or(|km| km <= ODOMETER_KM_MAX)
            && self.fuel_percent.is_none_or(|percent| percent <= 100)
            && self.condition.as_ref().is_none_or(is_text);
        is_legal.then_some(self)
    }

    /// These facts, unless nothing was told.
    pub fn told(self) -> Option<Box<DeskFacts>> {
        (self != DeskFacts::default()).then(|| Box::new(self))
    }
}

/// That the customer's driving licence was checked, at the hand-over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LicenceCheck {
    /// Who checked it; `None` where that is not known, as in an open service.
    pub by: Option<Who>,
}

/// What was told when a car was handed over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandOver {
    /// How the car was.
    pub facts: DeskFacts,
    /// Whether the licence was checked, and by whom.
    pub licence: Option<LicenceCheck>,
}

impl HandOver {
    /// This, unless nothing was told.
    pub fn told(self) -> Option<Box<HandOver>> {
        (self != HandOver::default()).then(|| Box::new(self))
    }
}

/// Why staff waive the fee of a cancellation. A code and no words of theirs, so that nothing personal gets into the audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WaiverReason {
    /// The company has made a mistake.
    CompanyFault,
    /// The car cannot be had.
    CarUnavailable,
    /// For the customer's sake.
    Goodwill,
    /// Any other reason. New ones go to the end: stored states keep the place of a reason.
    Other,
}

impl WaiverReason {
    /// All of them.
    pub const ALL: [WaiverReason; 4] =
        [WaiverReason::CompanyFault, WaiverReason::CarUnavailable, WaiverReason::Goodwill, WaiverReason::Other];

    /// The permanent code.
    pub const fn code(self) -> &'static str {
        match self {
            WaiverReason::CompanyFault => "COMPANY_FAULT",
            WaiverReason::CarUnavailable => "CAR_UNAVAILABLE",
            WaiverReason::Goodwill => "GOODWILL",
            WaiverReason::Other => "OTHER",
        }
    }

    /// The reason of that code.
    pub fn of_code(code: &str) -> Option<WaiverReason> {
        WaiverReason::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

/// What the desk has added to a reservation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeskNotes {
    /// What was told when the car was handed over.
    pub hand_over: Option<HandOver>,
    /// Why the fee of its cancellation was waived, if it was.
    pub waiver: Option<WaiverReason>,
}
