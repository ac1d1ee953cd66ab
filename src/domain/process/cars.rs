//! What follows between Fleet and Reservation about a car itself: enrolment, blocks and retirement.

use crate::domain::time::Timestamp;
use crate::domain::{fleet, reservation};

/// What the calendar must know of a car.
fn car_for_calendar(car: &fleet::Car) -> reservation::Car {
    reservation::Car {
        revision: car.revision,
        model: car.data.model.clone(),
        car_class: car.data.car_class.clone(),
        branch: car.data.branch.clone(),
        daily_rate: car.data.daily_rate,
    }
}

/// The calendar learns of a car, and of its particulars, from the ledger: what to tell a calendar that knows the car in
/// this revision (0 for not at all).
pub fn enrolment(car: &fleet::Car, known_revision: u64) -> Option<reservation::Command> {
    (known_revision < car.revision).then(|| reservation::Command::UpsertCar(car_for_calendar(car)))
}

/// The ledger shows what the calendar decided of the car itself: what to tell it after an event.
pub fn ledger_step(event: &reservation::Event) -> Option<fleet::Command> {
    match event {
        reservation::Event::Blocked { block_no, block } => {
            Some(fleet::Command::Block { block_no: block_no.clone(), block: block.clone() })
        }
        reservation::Event::Unblocked { block_no } => Some(fleet::Command::Unblock { block_no: block_no.clone() }),
        reservation::Event::Retired => Some(fleet::Command::Retire),
        reservation::Event::CarUpserted(_)
        | reservation::Event::Held { .. }
        | reservation::Event::Confirmed { .. }
        | reservation::Event::Expired { .. }
        | reservation::Event::Cancelled { .. }
        | reservation::Event::PickedUp { .. }
        | reservation::Event::Completed { .. }
        | reservation::Event::NoShow { .. }
        | reservation::Event::ChangeBegun { .. }
        | reservation::Event::Changed { .. }
        | reservation::Event::Moved { .. }
        | reservation::Event::ChangeEnded { .. }
        | reservation::Event::IncomingHeld { .. }
        | reservation::Event::IncomingAccepted { .. }
        | reservation::Event::IncomingReleased { .. } => None,
    }
}

/// Whether the ledger shows what the calendar has decided of the car itself. Blocks that are over do not count, since the
/// calendar drops them.
pub fn ledger_is_current(calendar: &reservation::State, car: &fleet::Car, now: Timestamp) -> bool {
    let counts = |block: &reservation::Block| now < block.period.to();
    let decided = calendar.blocks.iter().filter(|(_, block)| counts(block)).map(|(no, _)| no);
    let shown = car.blocks.iter().filter(|(_, block)| counts(block)).map(|(no, _)| no);
    calendar.retired == car.retired && decided.eq(shown)
}
