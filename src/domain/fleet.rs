//! The ledger entry of one car: what it is, what a day costs, and what is known to be happening to it.
//!
//! It follows rentals with a delay and never decides whether a car is free.

use super::CorruptHistory;
use super::ids::{BlockNo, RentalNo};
use super::money::Money;
use super::reservation::Block;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The data of a car that staff maintain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarData {
    /// The model, in the words of the staff.
    pub model: String,
    /// Its class, such as `compact`; empty when it has none.
    pub car_class: String,
    /// The branch at which it is; empty when it has none.
    pub branch: String,
    /// The price of a day for reservations made from now on; what was reserved keeps its price.
    pub daily_rate: Money,
    /// The civil date of its registration, `yyyyMMdd` as a number; 0 when it is not known.
    pub registered_on: u32,
}

/// The changes that staff want; `None` changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The model, in the words of the staff.
    pub model: Option<String>,
    /// Its class; the empty text removes it.
    pub car_class: Option<String>,
    /// The branch at which it is; the empty text removes it.
    pub branch: Option<String>,
    /// The price of a day.
    pub daily_rate: Option<Money>,
    /// The civil date of its registration, `yyyyMMdd` as a number; 0 removes it.
    pub registered_on: Option<u32>,
}

impl Changes {
    fn applied_to(&self, data: &CarData) -> CarData {
        CarData {
            model: self.model.as_ref().unwrap_or(&data.model).clone(),
            car_class: self.car_class.as_ref().unwrap_or(&data.car_class).clone(),
            branch: self.branch.as_ref().unwrap_or(&data.branch).clone(),
            daily_rate: self.daily_rate.unwrap_or(data.daily_rate),
            registered_on: self.registered_on.unwrap_or(data.registered_on),
        }
    }
}

/// A rental that keeps a car.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RentalState {
    /// The car will be handed over.
    Rented,
    /// The car is out.
    PickedUp,
    /// The car should have been back.
    Overdue,
}

/// A car's entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Car {
    /// The data that staff maintain.
    pub data: CarData,
    /// How often the particulars were set, from 1 on.
    pub revision: u64,
    /// Whether it has left the fleet.
    pub retired: bool,
    /// The maintenance blocks.
    pub blocks: BTreeMap<BlockNo, Block>,
    /// The paid rentals that are neither returned nor cancelled.
    pub rentals: BTreeMap<RentalNo, RentalState>,
}

/// What a car is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// In the fleet, neither rented nor blocked now. Whether it is reserved is known to its calendar.
    Available,
    /// At least one paid rental that is neither returned nor cancelled.
    Rented,
    /// In a maintenance block now.
    Maintenance,
    /// It has left the fleet.
    Retired,
}

/// The version of an entry for callers: entries of the same version look the same to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// How often the particulars were set.
    pub revision: u64,
    /// What the car is doing.
    pub status: Status,
}

/// Versions that a caller names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Versions {
    /// Every one, as `*` in a precondition.
    Any,
    /// Those listed; an empty list names none.
    OneOf(Vec<Version>),
}

impl Versions {
    /// Whether `version` is among them.
    pub fn include(&self, version: Version) -> bool {
        match self {
            Versions::Any => true,
            Versions::OneOf(versions) => versions.contains(&version),
        }
    }
}

/// What a caller expects of an entry, so that nothing is done to one that has changed since it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// It is at one of these versions.
    pub one_of: Versions,
    /// It is at none of these.
    pub none_of: Versions,
}

impl Expected {
    /// Whether an entry at `version` is as expected.
    pub fn is_met_by(&self, version: Version) -> bool {
        self.one_of.include(version) && !self.none_of.include(version)
    }
}

impl Car {
    /// Which version the entry is at `now`.
    pub fn version(&self, now: Timestamp) -> Version {
        Version { revision: self.revision, status: self.status(now) }
    }

    /// What the car is doing at `now`.
    pub fn status(&self, now: Timestamp) -> Status {
        if self.retired {
            Status::Retired
        } else if !self.rentals.is_empty() {
            Status::Rented
        } else if self.blocks.values().any(|block| block.period.contains(now)) {
            Status::Maintenance
        } else {
            Status::Available
        }
    }

    /// Whether a rental of it should have ended.
    pub fn is_overdue(&self) -> bool {
        self.rentals.values().any(|note| *note == RentalState::Overdue)
    }
}

/// The entry, once the car is registered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State(pub Option<Car>);

/// What can be asked of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Add the car to the fleet.
    Register(CarData),
    /// Change particulars of the car.
    Amend {
        /// What the caller expects of the entry.
        expected: Expected,
        /// What is to be different.
        changes: Changes,
    },
    /// Changes nothing; refused when the entry is not as the caller expects.
    Check(Expected),
    /// The car left the fleet.
    Retire,
    /// A block was set.
    Block {
        /// The block's number.
        block_no: BlockNo,
        /// Its period and its reason.
        block: Block,
    },
    /// A block was ended.
    Unblock {
        /// The number of the block that has ended.
        block_no: BlockNo,
    },
    /// A rental keeps the car, or keeps it in another way.
    SetRentalState {
        /// The number of the rental.
        rental_no: RentalNo,
        /// In which way it keeps the car.
        note: RentalState,
    },
    /// A rental does not keep the car any more.
    EndRental {
        /// The number of the rental.
        rental_no: RentalNo,
    },
}

/// What has happened to an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The car was added.
    Registered(CarData),
    /// Its particulars were changed.
    Amended(CarData),
    /// It left the fleet.
    Retired,
    /// A block was set.
    Blocked {
        /// The block's number.
        block_no: BlockNo,
        /// Its period and its reason.
        block: Block,
    },
    /// A block was ended.
    Unblocked {
        /// The number of the block that has ended.
        block_no: BlockNo,
    },
    /// A rental keeps the car.
    RentalNoted {
        /// The number of the rental.
        rental_no: RentalNo,
        /// In which way it keeps the car.
        note: RentalState,
    },
    /// A rental does not keep the car any more.
    RentalEnded {
        /// The number of the rental.
        rental_no: RentalNo,
    },
}

/// Why an entry refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The car was never registered.
    #[error("there is no such car")]
    CarNotFound,
    /// The number was registered before; a retired car keeps it.
    #[error("the car is already registered")]
    CarAlreadyRegistered,
    /// The car has left the fleet.
    #[error("the car is no longer in the fleet")]
    CarRetired,
    /// The entry has changed since it was read.
    #[error("the car is not as the request says it was seen; read it again")]
    StaleRevision,
}

impl Rejection {
    /// The permanent machine code.
    pub const fn code(&self) -> &'static str {
        match self {
            Rejection::CarNotFound => "car_not_found",
            Rejection::CarAlreadyRegistered => "car_already_registered",
            Rejection::CarRetired => "car_retired",
            Rejection::StaleRevision => "stale_etag",
        }
    }
}

/// What follows from a command, or why it is refused. No events means that it is already as asked for.
///
/// # Errors
/// The rule that the command would break.
pub fn decide(state: &State, command: &Command, now: Timestamp) -> Result<Vec<Event>, Rejection> {
    let Some(car) = &state.0 else {
        return match command {
            Command::Register(data) => Ok(vec![Event::Registered(data.clone())]),
            Command::Amend { .. }
            | Command::Check(_)
            | Command::Retire
            | Command::Block { .. }
            | Command::Unblock { .. }
            | Command::SetRentalState { .. }
            | Command::EndRental { .. } => Err(Rejection::CarNotFound),
        };
    };
    let unless = |known: bool, event: Event| if known { vec![] } else { vec![event] };
    match command {
        Command::Register(_) => Err(Rejection::CarAlreadyRegistered),
        Command::Amend { .. } if car.retired => Err(Rejection::CarRetired),
        Command::Amend { expected, .. } | Command::Check(expected) if !expected.is_met_by(car.version(now)) => {
            Err(Rejection::StaleRevision)
        }
        Command::Check(_) => Ok(vec![]),
        Command::Amend { changes, .. } => {
            let data = changes.applied_to(&car.data);
            Ok(unless(car.data == data, Event::Amended(data)))
        }
        Command::Retire => Ok(unless(car.retired, Event::Retired)),
        Command::Block { block_no, block } => {
            let event = Event::Blocked { block_no: block_no.clone(), block: block.clone() };
            Ok(unless(car.blocks.contains_key(block_no), event))
        }
        Command::Unblock { block_no } => {
            let event = Event::Unblocked { block_no: block_no.clone() };
            Ok(unless(!car.blocks.contains_key(block_no), event))
        }
        Command::SetRentalState { rental_no, note } => {
            let event = Event::RentalNoted { rental_no: rental_no.clone(), note: *note };
            Ok(unless(car.rentals.get(rental_no) == Some(note), event))
        }
        Command::EndRental { rental_no } => {
            let event = Event::RentalEnded { rental_no: rental_no.clone() };
            Ok(unless(!car.rentals.contains_key(rental_no), event))
        }
    }
}

/// The entry after an event.
///
/// # Errors
/// When the event cannot have happened in this state.
pub fn evolve(state: State, event: &Event) -> Result<State, CorruptHistory> {
    let Some(mut car) = state.0 else {
        let Event::Registered(data) = event else {
            return Err(CorruptHistory { event: "a change", state: "not registered" });
        };
        let (data, blocks, rentals) = (data.clone(), BTreeMap::new(), BTreeMap::new());
        return Ok(State(Some(Car { data, revision: 1, retired: false, blocks, rentals })));
    };
    match event {
        Event::Registered(_) => return Err(CorruptHistory { event: "registered", state: "registered" }),
        Event::Amended(data) => {
            car.data = data.clone();
            car.revision += 1;
        }
        Event::Retired => car.retired = true,
        Event::Blocked { block_no, block } => {
            car.blocks.insert(block_no.clone(), block.clone());
        }
        Event::Unblocked { block_no } => {
            car.blocks.remove(block_no);
        }
        Event::RentalNoted { rental_no, note } => {
            car.rentals.insert(rental_no.clone(), *note);
        }
        Event::RentalEnded { rental_no } => {
            car.rentals.remove(rental_no);
        }
    }
    Ok(State(Some(car)))
}
