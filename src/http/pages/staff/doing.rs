//! What a car is doing, as staff ask for it.

use crate::actors::api::CarView;
use crate::domain::fleet::{RentalState, Status};
use crate::domain::time::Timestamp;
use crate::http::pages::texts::Staff;

/// A car with a paid booking may be at the branch, out, or blocked before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    Available,
    Booked,
    Out,
    Overdue,
    Blocked,
    Retired,
}

impl Doing {
    pub const ALL: [Doing; 6] =
        [Doing::Available, Doing::Booked, Doing::Out, Doing::Overdue, Doing::Blocked, Doing::Retired];

    pub fn of(view: &CarView, now: Timestamp) -> Doing {
        let has = |wanted| view.car.rentals.values().any(|state| *state == wanted);
        match view.status {
            Status::Retired => Doing::Retired,
            _ if has(RentalState::Overdue) => Doing::Overdue,
            _ if has(RentalState::PickedUp) => Doing::Out,
            _ if view.car.blocks.values().any(|block| block.period.contains(now)) => Doing::Blocked,
            Status::Maintenance => Doing::Blocked,
            Status::Rented => Doing::Booked,
            Status::Available => Doing::Available,
        }
    }

    /// In addresses.
    pub const fn name(self) -> &'static str {
        match self {
            Doing::Available => "available",
            Doing::Booked => "booked",
            Doing::Out => "out",
            Doing::Overdue => "overdue",
            Doing::Blocked => "blocked",
            Doing::Retired => "retired",
        }
    }

    /// The class of its badge, and its word.
    pub const fn badge(self, t: &'static Staff) -> (&'static str, &'static str) {
        match self {
            Doing::Available => ("ok", t.available),
            Doing::Booked => ("ok", t.booked),
            Doing::Out => ("info", t.out),
            Doing::Overdue => ("bad", t.overdue),
            Doing::Blocked => ("warn", t.blocked),
            Doing::Retired => ("", t.retired),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fleet::{Car, CarData};
    use crate::domain::ids::{BlockNo, CarNo, RentalNo};
    use crate::domain::money::{Currency, Money};
    use crate::domain::reservation::Block;
    use crate::domain::time::Period;

    #[test]
    fn a_car_that_is_blocked_or_out_is_told_as_such_whatever_is_booked() {
        let at = |ms| Timestamp::from_millis(ms).expect("an instant");
        let of = |rentals: &[RentalState], blocked: bool, retired: bool| {
            let daily_rate = Money::zero(Currency::KRW);
            let data = CarData {
                model: String::new(),
                car_class: String::new(),
                branch: String::new(),
                daily_rate,
                registered_on: 0,
            };
            let numbered = rentals
                .iter()
                .enumerate()
                .map(|(place, state)| (RentalNo::parse(&format!("rent-{place}")).expect("a number"), *state));
            let block = Block { period: Period::new(at(5), at(15)).expect("a period"), reason: "wash".to_owned() };
            let blocks = blocked.then(|| (BlockNo::parse("b").expect("a number"), block));
            let car =
                Car { data, revision: 1, retired, blocks: blocks.into_iter().collect(), rentals: numbered.collect() };
            let status = car.status(at(10));
            Doing::of(&CarView { car_no: CarNo::parse("car").expect("a number"), car, status }, at(10))
        };
        for (rentals, blocked, retired, doing) in [
            (&[][..], false, false, Doing::Available),
            (&[RentalState::Rented], false, false, Doing::Booked),
            (&[RentalState::Rented, RentalState::PickedUp], true, false, Doing::Out),
            (&[RentalState::PickedUp, RentalState::Overdue], false, false, Doing::Overdue),
            (&[RentalState::Rented], true, false, Doing::Blocked),
            (&[], true, false, Doing::Blocked),
            (&[], true, true, Doing::Retired),
        ] {
            assert_eq!(of(rentals, blocked, retired), doing, "{rentals:?} {blocked} {retired}");
        }
    }
}
