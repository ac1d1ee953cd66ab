//! The model beside the system: what customers were told, and what may therefore be. Written from the rules, knows
//! nothing of how the service keeps them.

use rentcar::domain::ids::{CarNo, CustomerNo, ReservationNo};
use rentcar::domain::reservation::{Booking, Status};
use rentcar::domain::time::Period;
use std::sync::Mutex;

/// How long after the end of its period a reservation whose car nobody came for is a no-show.
pub const NO_SHOW_GRACE_MS: i64 = 5_000;
/// How many cars a customer may hold without paying.
pub const HOLDS_MAX: usize = 2;
/// The least time between two rentals of a car.
pub const BUFFER_MS: i64 = 700;

/// What was acknowledged last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Nothing: the request is under way, or nobody knows what became of it.
    Nothing,
    /// It must not exist.
    Refused,
    Held,
    Confirmed,
    PickedUp,
    Returned,
    Cancelled,
    /// Nobody came for the car.
    NoShow,
}

/// What was tried and may have happened.
#[derive(Debug, Clone, Copy, Default)]
#[allow(clippy::struct_excessive_bools, reason = "any of them may have been tried, in any combination")]
pub struct Tried {
    pub pay: bool,
    pub cancel: bool,
    pub pick_up: bool,
    pub bring_back: bool,
}

/// A car in a period that a reservation has had, or that a change of it may give it.
#[derive(Debug, Clone)]
pub struct Place {
    pub car_no: CarNo,
    pub period: Period,
    /// Whether the reservation may still come to have it.
    pub may_come: bool,
    /// When it was certain that it does not have it.
    pub over_at_ms: Option<i64>,
}

/// A reservation as its customer remembers it.
#[derive(Debug, Clone)]
pub struct Memory {
    pub no: ReservationNo,
    pub car_no: CarNo,
    pub customer_no: CustomerNo,
    pub period: Period,
    /// What changes may make of it, and what it was before.
    pub others: Vec<Place>,
    pub known: Known,
    pub tried: Tried,
    /// Until when the car is held at least, if that was told.
    pub hold_until_ms: Option<i64>,
    /// When it was acknowledged to be over.
    pub over_at_ms: Option<i64>,
}

/// Memories of everybody; the number of one is its place.
#[derive(Default)]
pub struct Model(Mutex<Vec<Memory>>);

impl Memory {
    /// Whether the reservation may be like this now.
    pub fn allows(&self, booking: Option<&Booking>, now_ms: i64) -> Result<(), String> {
        let Some(booking) = booking else {
            let may_be_missing = matches!(self.known, Known::Nothing | Known::Refused);
            return if may_be_missing { Ok(()) } else { Err(format!("is gone: {self:?}")) };
        };
        let is_where = |car_no: &CarNo, period: &Period| booking.subject.car_no == *car_no && booking.period == *period;
        let may_be_there = |place: &Place| place.may_come && is_where(&place.car_no, &place.period);
        let as_asked = booking.subject.customer_no == self.customer_no
            && (is_where(&self.car_no, &self.period) || self.others.iter().any(may_be_there));
        let over = self.hold_until_ms.is_none_or(|until| until <= now_ms);
        let Tried { pay, cancel, pick_up, bring_back } = self.tried;
        let allowed = match (self.known, &booking.status) {
            (Known::Nothing | Known::Held, Status::PaymentPending { .. })
            | (Known::PickedUp, Status::Confirmed { picked_up_at: Some(_) })
            // The reservation follows the rental.
            | (Known::Returned, Status::Completed { .. } | Status::Confirmed { picked_up_at: Some(_) })
            | (Known::Cancelled, Status::Cancelled { .. })
            | (Known::NoShow, Status::NoShow { .. }) => true,
            (Known::Nothing | Known::Held, Status::Expired { .. }) => over,
            (Known::Nothing | Known::Held, Status::Confirmed { picked_up_at: None }) => pay,
            (Known::Nothing | Known::Held | Known::Confirmed, Status::Cancelled { .. }) => cancel,
            (Known::Confirmed, Status::Confirmed { picked_up_at }) => picked_up_at.is_none() || pick_up,
            (Known::Nothing | Known::Held, Status::Confirmed { picked_up_at: Some(_) }) => pay && pick_up,
            (Known::Nothing | Known::Held | Known::Confirmed, Status::NoShow { .. }) => {
                let to_ms = booking.period.to().as_millis();
                (pay || self.known == Known::Confirmed) && to_ms + NO_SHOW_GRACE_MS <= now_ms
            }
            (Known::PickedUp | Known::Confirmed, Status::Completed { .. }) => bring_back,
            _ => false,
        };
        if allowed && as_asked { Ok(()) } else { Err(format!("is {booking:?} but {self:?}")) }
    }

    /// Whether it was certainly over before `at_ms`.
    fn is_over(&self, at_ms: i64) -> bool {
        self.known == Known::Refused || self.over_at_ms.is_some_and(|over_ms| over_ms < at_ms)
    }

    /// What was seen of it stands.
    pub fn seen(&mut self, booking: &Booking, now_ms: i64) {
        let seen = (booking.subject.car_no.clone(), booking.period);
        if seen != (self.car_no.clone(), self.period) {
            let (car_no, period) = (self.car_no.clone(), self.period);
            self.others.push(Place { car_no, period, may_come: false, over_at_ms: Some(now_ms) });
            (self.car_no, self.period) = seen;
        }
    }

    /// Whether a change may be under way.
    pub fn may_change(&self) -> bool {
        self.others.iter().any(|place| place.may_come)
    }

    /// Whether its period may be over.
    pub fn may_be_past(&self, now_ms: i64) -> bool {
        let others = self.others.iter().filter(|place| place.may_come).map(|place| place.period);
        others.chain([self.period]).any(|period| period.to().as_millis() <= now_ms)
    }

    /// Whether it certainly has its car at `now_ms`.
    fn has_its_car(&self, now_ms: i64) -> bool {
        let undisturbed = !self.tried.cancel && !self.tried.bring_back && !self.may_change();
        // From then on it may be a no-show, and a change of a period that has begun may take its place.
        let no_show_ms = self.period.to().as_millis() + NO_SHOW_GRACE_MS;
        match self.known {
            Known::Confirmed => undisturbed && now_ms < no_show_ms,
            Known::PickedUp => undisturbed,
            Known::Held => undisturbed && self.hold_until_ms.is_some_and(|until| now_ms < until),
            Known::Nothing | Known::Refused | Known::Returned | Known::Cancelled | Known::NoShow => false,
        }
    }
}

/// Whether less than the buffer lies between two rentals.
fn comes_close(one: &Period, other: &Period) -> bool {
    let gap_ms = |before: &Period, after: &Period| after.from().millis_since(before.to());
    gap_ms(one, other).max(gap_ms(other, one)) < BUFFER_MS
}

impl Model {
    pub fn remember(&self, memory: Memory) -> usize {
        let mut memories = self.0.lock().unwrap();
        memories.push(memory);
        memories.len() - 1
    }

    pub fn get(&self, at: usize) -> Memory {
        self.0.lock().unwrap()[at].clone()
    }

    pub fn change(&self, at: usize, change: impl FnOnce(&mut Memory)) {
        change(&mut self.0.lock().unwrap()[at]);
    }

    pub fn all(&self) -> Vec<Memory> {
        self.0.lock().unwrap().clone()
    }

    /// How often a change of a reservation was tried.
    pub fn changes_of(&self, no: &ReservationNo) -> u32 {
        let memories = self.0.lock().unwrap();
        let memory = memories.iter().find(|memory| memory.no == *no);
        memory.map_or(0, |memory| u32::try_from(memory.others.len()).unwrap())
    }

    /// The reservations of a customer of which this is known.
    pub fn of(&self, customer_no: &CustomerNo, known: &[Known]) -> Vec<usize> {
        let memories = self.0.lock().unwrap();
        let fits = |memory: &Memory| memory.customer_no == *customer_no && known.contains(&memory.known);
        memories.iter().enumerate().filter(|(_, memory)| fits(memory)).map(|(at, _)| at).collect()
    }

    /// A reservation was acknowledged: nobody else certainly has the car then.
    pub fn nobody_else_has_it(&self, at: usize, now_ms: i64) -> Result<(), String> {
        let memories = self.0.lock().unwrap();
        let mine = &memories[at];
        let overlaps = |other: &Memory| other.car_no == mine.car_no && comes_close(&other.period, &mine.period);
        let double = memories.iter().find(|other| other.no != mine.no && overlaps(other) && other.has_its_car(now_ms));
        double.map_or(Ok(()), |other| Err(format!("two have one car: {mine:?} and {other:?}")))
    }

    /// A hold was refused because the customer has `max` unpaid ones: as many may be held since `since_ms`.
    pub fn may_hold_as_many(&self, at: usize, max: usize, since_ms: i64) -> Result<(), String> {
        let memories = self.0.lock().unwrap();
        let mine = &memories[at];
        let may = |other: &&Memory| {
            let unpaid = matches!(other.known, Known::Nothing | Known::Held);
            other.no != mine.no && other.customer_no == mine.customer_no && unpaid && !other.is_over(since_ms)
        };
        let count = memories.iter().filter(may).count();
        if count >= max { Ok(()) } else { Err(format!("refused with {count} unpaid holds at most: {mine:?}")) }
    }

    /// A hold was acknowledged: its customer certainly holds no more than `max` unpaid.
    pub fn holds_no_more_than(&self, max: usize, at: usize, now_ms: i64) -> Result<(), String> {
        let memories = self.0.lock().unwrap();
        let mine = &memories[at];
        let holds = |other: &&Memory| {
            let Tried { pay, cancel, .. } = other.tried;
            let runs = other.hold_until_ms.is_some_and(|until| now_ms < until);
            other.customer_no == mine.customer_no && other.known == Known::Held && runs && !pay && !cancel
        };
        let count = memories.iter().filter(holds).count();
        if count <= max { Ok(()) } else { Err(format!("{count} unpaid holds with {mine:?}")) }
    }

    /// A reservation or a change was refused because the car is taken: somebody may have had it since `since_ms`.
    pub fn somebody_may_have_had_it(&self, at: usize, asked: &Place, since_ms: i64) -> Result<(), String> {
        let memories = self.0.lock().unwrap();
        let mine = &memories[at];
        let may = |other: &Memory| {
            let since_ms = since_ms - if other.tried.bring_back { BUFFER_MS } else { 0 };
            // A car that is out is taken from its hand-over on, which may be early, until it is back, and rests then.
            let takes = |car_no: &CarNo, period: &Period| {
                *car_no == asked.car_no && (other.tried.pick_up || comes_close(period, &asked.period))
            };
            let has_left = |place: &Place| place.over_at_ms.is_some_and(|over_ms| over_ms < since_ms);
            let had = |place: &Place| !has_left(place) && takes(&place.car_no, &place.period);
            let took = takes(&other.car_no, &other.period) || other.others.iter().any(had);
            other.no != mine.no && took && !other.is_over(since_ms)
        };
        let justified = memories.iter().any(may);
        if justified { Ok(()) } else { Err(format!("refused {asked:?} although nobody can have the car: {mine:?}")) }
    }
}
