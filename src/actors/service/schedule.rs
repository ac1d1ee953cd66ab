//! What stands in the calendars of cars: for the board, which shows them, and for the desk, which hands cars over and takes
//! them back. Which cars are read is found in the read models; each calendar is read as committed.

use super::reading::Cursored;
use super::{Result, Service};
use crate::actors::api::{Caller, CursorPage};
use crate::actors::committed::calendar;
use crate::actors::service::read_limiter::ReadKind;
use crate::actors::views::{CarPlace, CarsWanted};
use crate::domain::ids::{BlockNo, CarNo, CustomerNo, ReservationNo};
use crate::domain::reservation::{Booking, State, Status};
use crate::domain::time::{DAY_MS, Period, Timestamp};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::task::yield_now;

/// How many cars the desk looks at at most.
const DESK_CARS_MAX: usize = 10_000;
/// How many calendars the desk reads at most of what is overdue, and of what it has to do beside.
const DESK_CALENDARS_MAX: usize = 100;
/// Whose booking begins within this time waits for a car that is overdue, in milliseconds.
const WAITING_MS: i64 = 2 * DAY_MS;

/// Which cars are asked for: all, or those of a branch or a class.
#[derive(Debug, Clone, Copy, Default)]
pub struct CarsFilter<'a> {
    /// The branch.
    pub branch: Option<&'a str>,
    /// The class.
    pub car_class: Option<&'a str>,
}

/// Which part of the list of cars is asked for: a page has one car at least, and then so many that neither bound is passed.
#[derive(Debug, Clone, Copy)]
pub struct CarsPart<'a> {
    /// Those after this place.
    pub after: Option<&'a CarPlace>,
    /// Those up to this place.
    pub until: Option<&'a CarPlace>,
    /// The most cars.
    pub cars_max: usize,
    /// The most that stands in their calendars.
    pub entries_max: usize,
}

/// How a booking stands in a calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is not paid.
    Held,
    /// It is what a booking is being changed to.
    Changing,
    /// It is paid, and the car was not handed over.
    Paid,
    /// The same, and its time is over.
    NotCollected,
    /// Its customer has the car.
    Out,
    /// The same, and its time is over.
    Overdue,
    /// The car is back.
    Returned,
}

/// A booking as a calendar has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserved {
    /// Its number.
    pub reservation_no: ReservationNo,
    /// Whose it is.
    pub customer_no: CustomerNo,
    /// How it stands.
    pub standing: Standing,
    /// The period that was reserved.
    pub period: Period,
}

impl Reserved {
    /// Whether its customer has the car.
    pub const fn is_out(&self) -> bool {
        matches!(self.standing, Standing::Out | Standing::Overdue)
    }
}

/// By what a car is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A booking.
    Booked(Reserved),
    /// A maintenance block.
    Blocked {
        /// Its number.
        block_no: BlockNo,
        /// Why, in the words of the staff.
        reason: String,
    },
}

/// Something that stands in a calendar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When the car is taken by it.
    pub period: Period,
    /// What it is.
    pub kind: EntryKind,
}

/// A car with what stands in its calendar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarSchedule {
    /// Its place among all cars.
    pub place: CarPlace,
    /// Its number.
    pub car_no: CarNo,
    /// The model, in the words of the staff.
    pub model: String,
    /// Its class; empty when it has none.
    pub car_class: String,
    /// The branch at which it is; empty when unknown.
    pub branch: String,
    /// Whether it has left the fleet.
    pub is_retired: bool,
    /// What stands there, in the order of time.
    pub entries: Vec<Entry>,
}

/// A booking with which the desk has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeskEntry {
    /// The number of the car.
    pub car_no: CarNo,
    /// Its model.
    pub model: String,
    /// The branch at which it is; empty when unknown.
    pub branch: String,
    /// The booking.
    pub booking: Reserved,
    /// The booking of the car that it has to do with: of one that is overdue the next one, whom it keeps waiting; of a pick-up
    /// the one that still has the car.
    pub other: Option<Reserved>,
}

/// What the desk has to do on a day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Desk {
    /// What should be back by now: first those that keep somebody waiting, the most urgent first.
    pub overdue: Vec<DeskEntry>,
    /// What is to be handed over, in the order of time.
    pub pick_ups: Vec<DeskEntry>,
    /// What is to come back and is not overdue, in the order of time.
    pub returns: Vec<DeskEntry>,
    /// Whether there are more cars than are looked at at once.
    pub is_partial: bool,
}

impl Service {
    /// A page of cars with what stands in their calendars in a window, in the order of branch, class and number.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn schedule(
        &self,
        caller: &Caller,
        window: &Period,
        CarsFilter { branch, car_class }: CarsFilter<'_>,
        part: CarsPart<'_>,
    ) -> Result<Cursored<CursorPage<CarSchedule>>> {
        let _turn = self.read_models(ReadKind::List).await?;
        let wanted = CarsWanted { branch, car_class, cursor: None, limit: part.cars_max, scanned_max: usize::MAX };
        let page = match self.parts.views.cars_of_window(window, part.after, wanted).await? {
            Ok(page) => page,
            Err(invalid) => return Ok(Err(invalid)),
        };
        let now = self.now();
        let mut items: Vec<CarSchedule> = Vec::with_capacity(page.items.len());
        let (mut entries_left, mut last) = (part.entries_max, None);
        let mut goes_on = page.next_cursor.is_some();
        for (place, car_no) in page.items {
            if let Some(until) = part.until.filter(|until| place > **until) {
                return Ok(Ok(CursorPage { items, next_cursor: Some(until.to_string()) }));
            }
            // A row without a calendar is of a car that was registered this very moment.
            let calendar = calendar(&*self.parts.journal, car_no.as_str()).await?;
            let next = calendar.map(|calendar| car_schedule(caller, (place.clone(), car_no), calendar, window, now));
            let takes = next.as_ref().map_or(0, |next| next.entries.len());
            if takes > entries_left && !items.is_empty() {
                goes_on = true;
                break;
            }
            entries_left = entries_left.saturating_sub(takes);
            items.extend(next);
            last = Some(place);
            yield_now().await;
        }
        let next_cursor = last.filter(|_| goes_on).map(|last| last.to_string());
        Ok(Ok(CursorPage { items, next_cursor }))
    }

    /// What the desk has to do on a day, at one branch or at all.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn desk(&self, caller: &Caller, day: &Period, branch: Option<&str>) -> Result<Desk> {
        let _turn = self.read_models(ReadKind::List).await?;
        let now = self.now();
        let wanted =
            CarsWanted { branch, car_class: None, cursor: None, limit: DESK_CALENDARS_MAX, scanned_max: DESK_CARS_MAX };
        let views = &self.parts.views;
        // What is overdue is found however much there is to do beside.
        let overdue = views.booked_cars(wanted, |period, is_out| is_out && period.to() <= now).await?;
        let due = views.booked_cars(wanted, |period, is_out| section(&period, is_out, day, now).is_some()).await?;
        // Without a cursor none can be wrong.
        let pages: Vec<_> = [overdue, due].into_iter().filter_map(std::result::Result::ok).collect();
        let mut desk = Desk { is_partial: pages.iter().any(|page| page.next_cursor.is_some()), ..Desk::default() };
        let cars: BTreeSet<CarNo> = pages.into_iter().flat_map(|page| page.items).collect();
        for car_no in cars {
            if let Some(calendar) = calendar(&*self.parts.journal, car_no.as_str()).await? {
                desk.add(caller, &car_no, &calendar, day, now);
            }
            yield_now().await;
        }
        desk.sort();
        Ok(desk)
    }
}

/// Where the desk has a booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Overdue,
    PickUps,
    Returns,
}

/// The section of a booking that is paid, by its period and whether its car is out.
fn section(period: &Period, is_out: bool, day: &Period, now: Timestamp) -> Option<Section> {
    let is_over = period.to() <= now;
    // Whose day has come may be late; on another day it is in nobody's way.
    let begins = day.contains(period.from()) || (day.contains(now) && period.from() < day.from());
    // What is not out yet will be by then.
    let ends = day.contains(period.to()) && (is_out || now < day.from());
    match (is_out, is_over) {
        (true, true) => Some(Section::Overdue),
        (false, false) if begins => Some(Section::PickUps),
        (_, false) if ends => Some(Section::Returns),
        (_, _) => None,
    }
}

impl Desk {
    fn add(&mut self, caller: &Caller, car_no: &CarNo, calendar: &State, day: &Period, now: Timestamp) {
        let visible = |booking: &&Arc<Booking>| caller.may_see(&booking.subject.customer_no);
        let bookings = || calendar.bookings.values().filter(visible);
        for booking in bookings() {
            let Status::Confirmed { .. } = booking.status else { continue };
            let Some(section) = section(&booking.period, booking.is_out(), day, now) else { continue };
            let others = bookings().filter(|other| other.subject != booking.subject);
            let (list, other) = match section {
                Section::Overdue => (
                    &mut self.overdue,
                    others.filter(|other| waits(other, now)).min_by_key(|other| other.period.from()),
                ),
                Section::PickUps => {
                    (&mut self.pick_ups, others.filter(|other| other.is_out()).min_by_key(|other| other.period.from()))
                }
                Section::Returns => (&mut self.returns, None),
            };
            let (model, branch) =
                calendar.car.as_ref().map(|car| (car.model.clone(), car.branch.clone())).unwrap_or_default();
            list.push(DeskEntry {
                car_no: car_no.clone(),
                model,
                branch,
                booking: reserved(booking, now),
                other: other.map(|other| reserved(other, now)),
            });
        }
    }

    fn sort(&mut self) {
        self.overdue.sort_by_key(|late| {
            let waits_since = late.other.as_ref().map_or(Timestamp::MAX, |other| other.period.from());
            (waits_since, late.booking.period.to())
        });
        self.pick_ups.sort_by_key(|entry| entry.booking.period.from());
        self.returns.sort_by_key(|entry| entry.booking.period.to());
    }
}

/// Whether a booking waits for a car that is overdue, or will soon.
fn waits(booking: &Booking, now: Timestamp) -> bool {
    !booking.is_out() && now < booking.period.to() && booking.period.from() < now.saturating_add_millis(WAITING_MS)
}

fn reserved(booking: &Booking, now: Timestamp) -> Reserved {
    let is_over = booking.is_over(now);
    let standing = match booking.status {
        Status::PaymentPending { .. } => Standing::Held,
        Status::Confirmed { picked_up_at: None } if is_over => Standing::NotCollected,
        Status::Confirmed { picked_up_at: None } => Standing::Paid,
        Status::Confirmed { picked_up_at: Some(_) } if booking.period.to() <= now => Standing::Overdue,
        Status::Confirmed { picked_up_at: Some(_) } => Standing::Out,
        // The others that have ended take no time.
        Status::Completed { .. } | Status::Cancelled { .. } | Status::Expired { .. } | Status::NoShow { .. } => {
            Standing::Returned
        }
    };
    Reserved {
        reservation_no: booking.subject.reservation_no.clone(),
        customer_no: booking.subject.customer_no.clone(),
        standing,
        period: booking.period,
    }
}

fn car_schedule(
    caller: &Caller,
    (place, car_no): (CarPlace, CarNo),
    calendar: State,
    window: &Period,
    now: Timestamp,
) -> CarSchedule {
    let booked = |period, reserved| Entry { period, kind: EntryKind::Booked(reserved) };
    let mut entries = Vec::new();
    for booking in calendar.bookings.values() {
        let reserved = reserved(booking, now);
        if let Some(change) = booking.change_here() {
            let changing = Reserved { standing: Standing::Changing, period: change.period, ..reserved.clone() };
            entries.push(booked(change.period, changing));
        }
        entries.push(booked(booking.occupied(now), reserved));
    }
    entries.extend(calendar.incoming.into_values().map(|incoming| {
        let (reservation_no, customer_no) = (incoming.subject.reservation_no, incoming.subject.customer_no);
        let (period, standing) = (incoming.period, Standing::Changing);
        booked(period, Reserved { reservation_no, customer_no, standing, period })
    }));
    // The calendar remembers the last of them only.
    entries.extend(calendar.closed.iter().filter_map(|booking| {
        let Status::Completed { at } = booking.status else { return None };
        let period = Period::new(booking.period.from(), at).unwrap_or(booking.period);
        Some(booked(period, reserved(booking, now)))
    }));
    entries.retain(|entry| match &entry.kind {
        EntryKind::Booked(reserved) => caller.may_see(&reserved.customer_no),
        EntryKind::Blocked { .. } => true,
    });
    entries.extend(calendar.blocks.into_iter().map(|(block_no, block)| Entry {
        period: block.period,
        kind: EntryKind::Blocked { block_no, reason: block.reason },
    }));
    entries.retain(|entry| entry.period.overlaps(window));
    entries.sort_by_key(|entry| entry.period);
    let (model, car_class, branch) = calendar.car.map(|car| (car.model, car.car_class, car.branch)).unwrap_or_default();
    CarSchedule { place, car_no, model, car_class, branch, is_retired: calendar.retired, entries }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::BookingRef;
    use crate::domain::money::{Currency, Money};
    use crate::domain::reservation::{Block, Change, Changes, Incoming};
    use crate::domain::time::HOUR_MS;

    /// An hour of the days that begin with the first one.
    fn at(hour: i64) -> Timestamp {
        Timestamp::from_millis(hour * HOUR_MS).unwrap()
    }

    fn hours(from: i64, to: i64) -> Period {
        Period::new(at(from), at(to)).unwrap()
    }

    fn won() -> Money {
        Money::zero(Currency::KRW)
    }

    fn subject(no: &str) -> BookingRef {
        BookingRef {
            reservation_no: ReservationNo::parse(no).unwrap(),
            customer_no: CustomerNo::parse("kim").unwrap(),
            car_no: CarNo::parse("car01").unwrap(),
        }
    }

    const PAID: Status = Status::Confirmed { picked_up_at: None };
    const HELD: Status = Status::PaymentPending { hold_until: Timestamp::MAX };

    fn out(since: i64) -> Status {
        Status::Confirmed { picked_up_at: Some(at(since)) }
    }

    fn booking(no: &str, from: i64, to: i64, status: Status) -> Booking {
        Booking::new(subject(no), 1, hours(from, to), won(), Timestamp::MIN, status)
    }

    fn calendar(bookings: impl IntoIterator<Item = Booking>) -> State {
        let bookings = bookings.into_iter().map(|booking| (booking.subject.reservation_no.clone(), Arc::new(booking)));
        State { bookings: bookings.collect(), ..State::default() }
    }

    fn desk(calendars: impl IntoIterator<Item = State>, day: i64, now: i64) -> Desk {
        let mut desk = Desk::default();
        for calendar in calendars {
            let day = hours(24 * day, 24 * (day + 1));
            desk.add(&Caller::system(), &CarNo::parse("car01").unwrap(), &calendar, &day, at(now));
        }
        desk.sort();
        desk
    }

    /// Each with the other booking that it has to do with.
    fn numbers(entries: &[DeskEntry]) -> Vec<(&str, Option<&str>)> {
        fn number(reserved: &Reserved) -> &str {
            reserved.reservation_no.as_str()
        }
        entries.iter().map(|entry| (number(&entry.booking), entry.other.as_ref().map(number))).collect()
    }

    #[test]
    fn the_desk_hands_over_what_begins_on_its_day_and_today_what_is_late_and_not_over() {
        let calendar = || {
            calendar([
                booking("late", 10, 60, PAID),
                booking("over", 20, 34, PAID),
                booking("today", 40, 80, PAID),
                booking("unpaid", 41, 80, HELD),
                booking("tomorrow", 49, 80, PAID),
            ])
        };
        assert_eq!(numbers(&desk([calendar()], 1, 35).pick_ups), [("late", None), ("today", None)]);
        assert_eq!(numbers(&desk([calendar()], 2, 35).pick_ups), [("tomorrow", None)]);
    }

    #[test]
    fn the_desk_takes_back_what_is_out_and_on_a_day_to_come_what_will_be_out() {
        let calendar = || calendar([booking("out", 10, 40, out(10)), booking("next", 44, 60, PAID)]);
        assert_eq!(numbers(&desk([calendar()], 1, 30).returns), [("out", None)]);
        assert_eq!(numbers(&desk([calendar()], 1, 30).pick_ups), [("next", Some("out"))]);
        assert_eq!(numbers(&desk([calendar()], 2, 30).returns), [("next", None)]);
        let late = desk([calendar()], 1, 40);
        assert_eq!((numbers(&late.returns), numbers(&late.overdue)), (vec![], vec![("out", Some("next"))]));
    }

    #[test]
    fn of_the_overdue_those_come_first_that_keep_somebody_waiting_soonest() {
        let late = |no: &str, to, next: Option<i64>| {
            let waiting = next.map(|from| booking(&format!("after-{no}"), from, 200, HELD));
            calendar([booking(no, 1, to, out(1))].into_iter().chain(waiting))
        };
        let calendars = [late("a", 20, None), late("b", 25, Some(40)), late("c", 10, Some(31)), late("d", 5, Some(55))];
        let waiting = [("c", Some("after-c")), ("b", Some("after-b")), ("d", Some("after-d")), ("a", None)];
        assert_eq!(numbers(&desk(calendars, 1, 30).overdue), waiting);
    }

    #[test]
    fn what_the_desk_does_is_found_by_the_row_of_its_car() {
        // A row has the period from the hand-over on, which may be early.
        for (status, is_out, from) in [(PAID, false, 30), (out(28), true, 28)] {
            for now in 0..80 {
                for day in 0..3 {
                    let day_period = hours(24 * day, 24 * (day + 1));
                    let of_row = section(&hours(from, 50), is_out, &day_period, at(now)).is_some();
                    let desk = desk([calendar([booking("a", 30, 50, status)])], day, now);
                    let count = desk.overdue.len() + desk.pick_ups.len() + desk.returns.len();
                    assert_eq!(of_row, count == 1, "{status:?} at {now} on {day}");
                }
            }
        }
    }

    #[test]
    fn a_schedule_has_all_that_takes_the_car_in_the_window_in_the_order_of_time() {
        let change =
            Change { no: 1, car_no: subject("a").car_no, period: hours(30, 35), price: won(), hold_until: at(9) };
        let changes = Changes { last: 1, under_way: Some(change), fees: won(), came_by: 0 };
        let paid = Booking { changes: Some(Box::new(changes)), ..booking("changed", 10, 20, PAID) };
        let mut calendar = calendar([booking("late", 1, 4, out(1)), paid, booking("held", 90, 95, HELD)]);
        let incoming = Incoming {
            subject: subject("incoming"),
            change: 1,
            period: hours(40, 50),
            price: won(),
            hold_until: at(9),
        };
        calendar.incoming.insert(subject("incoming").reservation_no, incoming);
        let block = Block { period: hours(60, 99), reason: "tyres".to_owned() };
        calendar.blocks.insert(BlockNo::parse("b1").unwrap(), block);
        let returned = booking("returned", 0, 9, Status::Completed { at: at(1) });
        calendar.closed.extend([returned, booking("expired", 0, 9, Status::Expired { at: at(1) })].map(Arc::new));
        let shown = |from, to| {
            let (caller, car) = (Caller::system(), (CarPlace::parse("AAA").unwrap(), subject("a").car_no));
            let schedule = car_schedule(&caller, car, calendar.clone(), &hours(from, to), at(7));
            let told = |entry: Entry| match entry.kind {
                EntryKind::Booked(reserved) => {
                    (reserved.reservation_no.to_string(), Some(reserved.standing), entry.period)
                }
                EntryKind::Blocked { block_no, .. } => (block_no.to_string(), None, entry.period),
            };
            schedule.entries.into_iter().map(told).collect::<Vec<_>>()
        };
        let all = [
            ("returned", Some(Standing::Returned), hours(0, 1)),
            // A car that is late is taken until now.
            ("late", Some(Standing::Overdue), hours(1, 7)),
            ("changed", Some(Standing::Paid), hours(10, 20)),
            ("changed", Some(Standing::Changing), hours(30, 35)),
            ("incoming", Some(Standing::Changing), hours(40, 50)),
            ("b1", None, hours(60, 99)),
        ];
        let all = all.map(|(no, standing, period)| (no.to_owned(), standing, period));
        assert_eq!(shown(0, 90), all);
        assert_eq!(shown(4, 12), all[1..3]);
    }
}
