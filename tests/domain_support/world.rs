//! All contexts driven by the steps of the real process, without actors, stores or clocks: the test chooses every step, in any order and
//! any number of times. Policies read the contexts' events in order from a position that may be reset, and repeats are
//! dropped by their cause, as in the runtime.

use super::keeper::Keeper;
use super::provider::{Provider, Verdict};
use super::{START_MS, at, car, days};
use rentcar::domain::desk::WaiverReason;
use rentcar::domain::ids::{CarNo, CustomerNo, ReservationNo};
use rentcar::domain::invariants::{self as must, Violation};
use rentcar::domain::money::Money;
use rentcar::domain::payment::{Outstanding, Payment};
use rentcar::domain::process::{self, Action, Known, NewCalendar, RentalStanding, Target};
use rentcar::domain::reservation::{Booking, ChangeRequest, DayCounting, Incoming, Status, Terms};
use rentcar::domain::time::{DAY_MS, Period, Timestamp};
use rentcar::domain::{BookingRef, fleet, payment, rental, reservation};
use rentcar::store::journal::{Cause, Context};
use rentcar::store::schema;
use std::collections::BTreeMap;

/// A step of somebody. The numbers choose among what there is.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    Reserve { car: u8, from: u8, days: u8 },
    Pay { reservation: u8 },
    Provider { call: u8, verdict: Verdict, answers: bool },
    MarkUnknown { call: u8 },
    Inquire { reservation: u8 },
    Refund { reservation: u8, answers: bool },
    TimerGoesOff { reservation: u8 },
    Cancel { reservation: u8 },
    PickUp { reservation: u8 },
    Return { reservation: u8 },
    MarkOverdue { reservation: u8 },
    Retire { car: u8 },
    Policy { policy: u8, events: u8 },
    ThrowBack { policy: u8, events: u8 },
    Change { reservation: u8, car: u8, from: u8, days: u8, pays: bool },
    Wait { minutes: u16 },
}

/// A charge on its way to the provider.
struct Call {
    subject: BookingRef,
    attempt: u32,
    key: String,
    amount: Money,
    /// Somebody was told that nothing happened while this was on its way: the provider will not be silent.
    must_answer: bool,
}

pub const POLICIES: [(&str, Context); 8] = [
    ("reservation-follows-payment", schema::PAYMENT),
    ("payment-follows-reservation", schema::RESERVATION),
    ("rental-follows-reservation", schema::RESERVATION),
    ("reservation-follows-rental", schema::RENTAL),
    ("fleet-follows-rental", schema::RENTAL),
    ("fleet-follows-reservation", schema::RESERVATION),
    ("reservation-follows-fleet", schema::FLEET),
    ("reservation-follows-reservation", schema::RESERVATION),
];

pub struct World {
    pub now: Timestamp,
    pub terms: Terms,
    pub calendars: Keeper<reservation::State, reservation::Event>,
    pub payments: Keeper<payment::State, payment::Event>,
    pub rentals: Keeper<rental::State, rental::Event>,
    pub ledger: Keeper<fleet::State, fleet::Event>,
    /// The latest state of every reservation.
    pub bookings: BTreeMap<ReservationNo, Booking>,
    pub provider: Provider,
    pub positions: [usize; POLICIES.len()],
    calls: Vec<Call>,
}

pub const CARS: [&str; 2] = ["12가3456", "car02"];

impl World {
    /// Two registered cars that the calendars know.
    pub fn new() -> Self {
        let mut world = World {
            now: at(0),
            terms: Terms { no_show_fee_percent: 70, ..Terms::default() },
            calendars: Keeper::default(),
            payments: Keeper::default(),
            rentals: Keeper::default(),
            ledger: Keeper::default(),
            bookings: BTreeMap::new(),
            provider: Provider::default(),
            positions: [0; POLICIES.len()],
            calls: vec![],
        };
        for car_no in CARS {
            let reservation::Car { model, car_class, branch, daily_rate, .. } = car(1, 45_000);
            let registered_on = 20_260_101;
            let data = fleet::CarData { model, car_class, branch, daily_rate, registered_on };
            world.ledger(car_no, &fleet::Command::Register(data), None);
        }
        world.run_policy(6, usize::MAX);
        world
    }

    fn calendar(
        &mut self,
        car_no: &str,
        command: &reservation::Command,
        cause: Option<&Cause>,
    ) -> Result<Vec<reservation::Event>, reservation::Rejection> {
        let (terms, now) = (&self.terms, self.now);
        let decide = |state: &reservation::State| reservation::decide(state, command, terms, now);
        let events = self.calendars.tell(car_no, cause, now, decide, reservation::evolve)?;
        let state = self.calendars.state(car_no);
        for (_, booking) in events.iter().filter_map(|event| state.booking_after(event)) {
            self.bookings.insert(booking.subject.reservation_no.clone(), booking.clone());
        }
        Ok(events)
    }

    fn payment(
        &mut self,
        subject: &BookingRef,
        command: &payment::Command,
        cause: Option<&Cause>,
    ) -> Result<Vec<payment::Event>, payment::Rejection> {
        let key = subject.reservation_no.payment();
        self.payments.tell(key.as_str(), cause, self.now, |state| payment::decide(state, command), payment::evolve)
    }

    fn rental(
        &mut self,
        subject: &BookingRef,
        command: &rental::Command,
        cause: Option<&Cause>,
    ) -> Result<Vec<rental::Event>, rental::Rejection> {
        let (key, now) = (subject.reservation_no.rental(), self.now);
        self.rentals.tell(key.as_str(), cause, now, |state| rental::decide(state, command, now), rental::evolve)
    }

    fn ledger(&mut self, car_no: &str, command: &fleet::Command, cause: Option<&Cause>) {
        // Nothing that a policy tells the ledger of a registered car is refused.
        let now = self.now;
        let told = self.ledger.tell(car_no, cause, now, |state| fleet::decide(state, command, now), fleet::evolve);
        told.expect("the ledger follows");
    }

    pub fn payment_of(&self, no: &ReservationNo) -> payment::State {
        self.payments.state(no.payment().as_str())
    }

    /// The booking that a number chooses.
    fn chosen(&self, number: u8) -> Option<Booking> {
        let count = self.bookings.len().max(1);
        self.bookings.values().nth(usize::from(number) % count).cloned()
    }

    /// Takes a step. Refusals are answers.
    pub fn step(&mut self, step: Step) {
        match step {
            Step::Reserve { car, from, days } => self.reserve(car, from, days),
            Step::Provider { call, verdict, answers } => self.provider_works(call, verdict, answers),
            Step::MarkUnknown { call } => self.lose_sight(call),
            Step::Retire { car } => {
                let _ = self.calendar(CARS[usize::from(car) % CARS.len()], &reservation::Command::Retire, None);
            }
            Step::Policy { policy, events } => self.run_policy(usize::from(policy), usize::from(events)),
            Step::ThrowBack { policy, events } => {
                let position = &mut self.positions[usize::from(policy) % POLICIES.len()];
                *position = position.saturating_sub(usize::from(events));
            }
            Step::Wait { minutes } => self.now = self.now.saturating_add_millis(i64::from(minutes) * 60_000),
            Step::Pay { reservation }
            | Step::Inquire { reservation }
            | Step::Refund { reservation, .. }
            | Step::TimerGoesOff { reservation }
            | Step::Cancel { reservation }
            | Step::PickUp { reservation }
            | Step::Return { reservation }
            | Step::Change { reservation, .. }
            | Step::MarkOverdue { reservation } => {
                if let Some(booking) = self.chosen(reservation) {
                    self.step_of(step, &booking);
                }
            }
        }
    }

    fn step_of(&mut self, step: Step, booking: &Booking) {
        let subject = &booking.subject;
        let (reservation_no, car_no) = (subject.reservation_no.clone(), subject.car_no.to_string());
        match step {
            Step::Pay { .. } => self.pay(booking),
            Step::Inquire { .. } => self.inquire(subject),
            Step::Refund { answers, .. } => self.refund(subject, answers),
            Step::TimerGoesOff { .. } => {
                // As the booking's timer does it, and that of what is held for it elsewhere.
                for car_no in CARS {
                    self.follow_new_calendar(booking, car_no, None);
                }
                let command = match (&booking.status, booking.change()) {
                    (Status::Confirmed { .. }, Some(change)) => {
                        reservation::Command::EndChange { reservation_no, change_no: change.no }
                    }
                    (Status::Confirmed { .. }, None) => reservation::Command::CompleteNoShow { reservation_no },
                    (
                        Status::PaymentPending { .. }
                        | Status::Cancelled { .. }
                        | Status::Expired { .. }
                        | Status::Completed { .. }
                        | Status::NoShow { .. },
                        _,
                    ) => reservation::Command::Expire { reservation_no },
                };
                let _ = self.calendar(&car_no, &command, None);
            }
            Step::Change { car, from, days, pays, .. } => self.change(booking, (car, from, days), pays),
            Step::Cancel { .. } => self.cancel(booking),
            Step::PickUp { .. } => {
                let _ = self.calendar(&car_no, &reservation::Command::PickUp { reservation_no, hand_over: None }, None);
            }
            Step::Return { .. } => {
                let _ = self.rental(subject, &rental::Command::Return { facts: None }, None);
            }
            Step::MarkOverdue { .. } => {
                let _ = self.rental(subject, &rental::Command::MarkOverdue, None);
            }
            Step::Reserve { .. }
            | Step::Provider { .. }
            | Step::MarkUnknown { .. }
            | Step::Retire { .. }
            | Step::Policy { .. }
            | Step::ThrowBack { .. }
            | Step::Wait { .. } => {}
        }
    }

    fn reserve(&mut self, car: u8, from: u8, length: u8) {
        let serial = u64::try_from(self.bookings.len()).unwrap() + 1;
        let car_no = CARS[usize::from(car) % CARS.len()];
        let subject = BookingRef {
            reservation_no: ReservationNo::parse(&format!("r{serial:03}")).unwrap(),
            customer_no: CustomerNo::parse("c1").unwrap(),
            car_no: CarNo::parse(car_no).unwrap(),
        };
        let today = (self.now.as_millis() - START_MS) / DAY_MS + 1;
        let from = today + i64::from(from % 8);
        let period = days(from, from + 1 + i64::from(length % 3));
        // The lowest slot that no unpaid hold has, as the append makes sure.
        let is_taken = |slot| {
            let holds = self.bookings.values().filter(|one| matches!(one.status, Status::PaymentPending { .. }));
            holds.filter_map(|one| one.hold_slot).any(|taken| taken == slot)
        };
        let hold_slot = (0..1_000).find(|slot| !is_taken(*slot));
        let _ = self.calendar(
            car_no,
            &reservation::Command::Reserve { subject, serial, period, day_counting: DayCounting::Hours, hold_slot },
            None,
        );
    }

    /// As the request does it: begun, held at another car, and made if nothing is to be paid; a booking on its way arrives
    /// first.
    fn change(&mut self, booking: &Booking, (car, from, length): (u8, u8, u8), pays: bool) {
        let own = booking.subject.car_no.to_string();
        self.follow_new_calendar(booking, &own, None);
        let car_no = if car % 2 == 0 { own.clone() } else { CARS[usize::from(car / 2) % CARS.len()].to_owned() };
        let today = (self.now.as_millis() - START_MS) / DAY_MS + 1;
        let begin = today + i64::from(from % 8);
        let to = begin + 1 + i64::from(length % 4);
        // Often the beginning stays: after the hand-over it must.
        let period = if from % 3 == 0 { Period::new(booking.period.from(), at(to * DAY_MS)) } else { None };
        let period = period.unwrap_or_else(|| days(begin, to));
        let Ok(price) = self.calendars.state(&car_no).price(&period, &self.terms) else { return };
        let reservation_no = booking.subject.reservation_no.clone();
        let request = ChangeRequest { car_no: CarNo::parse(&car_no).unwrap(), period, price, pays };
        let begin = reservation::Command::BeginChange { reservation_no: reservation_no.clone(), request };
        if self.calendar(&own, &begin, None).is_err() {
            return;
        }
        let begun = self.bookings[&reservation_no].clone();
        let Some(change) = begun.change().cloned() else { return };
        let is_held = self.follow_new_calendar(&begun, change.car_no.as_str(), None);
        let held = self.incoming(&begun);
        let refused = if is_held { held.as_ref().into() } else { NewCalendar::Refused };
        let action = self.due(Target::Reservation, &Known::of(&begun).with_new_calendar(refused));
        if let Some(Action::Reservation(command)) = action {
            let _ = self.calendar(&own, &command, None);
        }
    }

    fn incoming(&self, booking: &Booking) -> Option<Incoming> {
        let change = booking.change_of_car()?;
        let calendar = self.calendars.state(change.car_no.as_str());
        calendar.incoming.get(&booking.subject.reservation_no).cloned()
    }

    /// Takes what is due in the calendar of another car; whether it was not refused.
    fn follow_new_calendar(&mut self, booking: &Booking, car_no: &str, cause: Option<&Cause>) -> bool {
        let incoming = self.calendars.state(car_no).incoming.get(&booking.subject.reservation_no).cloned();
        let known = Known::of(booking).with_new_calendar(NewCalendar::of(car_no, incoming.as_ref()));
        match self.due(Target::NewCalendar, &known) {
            Some(Action::Reservation(command)) => self.calendar(car_no, &command, cause).is_ok(),
            _ => true,
        }
    }

    fn pay(&mut self, booking: &Booking) {
        let (subject, amount, change) = match self.due(Target::Payment, &Known::of(booking)) {
            Some(Action::Charge { amount, change }) => (booking.subject.clone(), amount, change),
            _ => (booking.subject.clone(), booking.price, 0),
        };
        let command = payment::Command::Request { subject: subject.clone(), serial: booking.serial, amount, change };
        let requested = self.payment(&subject, &command, None).unwrap_or_default();
        for _ in &requested {
            let payment = self.payment_of(&subject.reservation_no).0.expect("it was requested");
            let (attempt, key) = (payment.attempt(), payment.charge_key());
            let amount = payment.last_charge().expect("it was requested").amount;
            self.calls.push(Call { subject: subject.clone(), attempt, key, amount, must_answer: false });
        }
    }

    /// The provider carries out a call; the answer may be lost.
    fn provider_works(&mut self, call: u8, verdict: Verdict, answers: bool) {
        if self.calls.is_empty() {
            return;
        }
        let Call { subject, attempt, key, amount, must_answer } =
            self.calls.remove(usize::from(call) % self.calls.len());
        let verdict = self.provider.charge(&key, amount, verdict);
        let command = match verdict {
            _ if !answers && !must_answer => payment::Command::MarkUnknown { attempt },
            Verdict::Approved => payment::Command::Approve { attempt, provider_ref: format!("ref-{key}") },
            Verdict::Declined => payment::Command::Decline { attempt, reason: "no".to_owned() },
        };
        let _ = self.payment(&subject, &command, None);
    }

    /// Waiting for an answer ended; the call may still arrive.
    fn lose_sight(&mut self, call: u8) {
        let Some(call) = self.calls.get(usize::from(call) % self.calls.len().max(1)) else { return };
        let (subject, attempt) = (call.subject.clone(), call.attempt);
        let _ = self.payment(&subject, &payment::Command::MarkUnknown { attempt }, None);
    }

    fn inquire(&mut self, subject: &BookingRef) {
        let Some(payment) = self.payment_of(&subject.reservation_no).0 else { return };
        if payment.outstanding() != Some(Outstanding::Charge) {
            return;
        }
        let (key, attempt) = (payment.charge_key(), payment.attempt());
        let command = match self.provider.charges.get(&key) {
            Some((Verdict::Approved, _)) => payment::Command::Approve { attempt, provider_ref: format!("ref-{key}") },
            Some((Verdict::Declined, _)) => payment::Command::Decline { attempt, reason: "no".to_owned() },
            None => {
                self.calls.iter_mut().filter(|call| call.key == key).for_each(|call| call.must_answer = true);
                payment::Command::NotCharged { attempt }
            }
        };
        self.payment(subject, &command, None).expect("its outcome was outstanding");
    }

    fn refund(&mut self, subject: &BookingRef, answers: bool) {
        let Some(payment) = self.payment_of(&subject.reservation_no).0 else { return };
        if let Some(Outstanding::Refund(refund)) = payment.outstanding() {
            self.provider.refund(&payment.refund_key(refund.number), refund.amount);
            if answers {
                let (number, provider_ref) = (refund.number, "refund".to_owned());
                let done = payment::Command::RefundReceipt { number, provider_ref };
                self.payment(subject, &done, None).expect("its refund was outstanding");
            }
        }
    }

    /// As the request does it: the calendar first, then at once the payment. The rental follows by policy.
    fn cancel(&mut self, booking: &Booking) {
        let reservation_no = booking.subject.reservation_no.clone();
        // By their numbers, some at no fee.
        let waiver = reservation_no.as_str().ends_with(['1', '3']).then_some(WaiverReason::Goodwill);
        let command = reservation::Command::Cancel { reservation_no: reservation_no.clone(), waiver };
        if self.calendar(booking.subject.car_no.as_str(), &command, None).is_ok() {
            let booking = self.bookings[&reservation_no].clone();
            if let Some(Action::Payment(cancel)) = self.due(Target::Payment, &Known::of(&booking)) {
                self.payment(&booking.subject, &cancel, None).expect("a payment can always be cancelled");
            }
        }
    }

    /// Lets a policy handle up to so many events.
    pub fn run_policy(&mut self, policy: usize, events: usize) {
        let policy = policy % POLICIES.len();
        let (subscription, source) = POLICIES[policy];
        for _ in 0..events {
            let position = self.positions[policy];
            let shard_position = u64::try_from(position).unwrap() + 1;
            let cause = Cause {
                subscription: subscription.into(),
                context: source.0.into(),
                shard: 0,
                position: shard_position,
            };
            let handled = match policy {
                0 => self.payments.log.get(position).map(|logged| logged.event.clone()).map(|event| {
                    self.reservation_follows_payment(&event, &cause);
                }),
                3 | 4 => self.rentals.log.get(position).map(|logged| logged.event.clone()).map(|event| {
                    self.follows_rental(policy, &event, &cause);
                }),
                6 => self.ledger.log.get(position).map(|logged| logged.entity.clone()).map(|car_no| {
                    self.reservation_follows_fleet(&car_no, &cause);
                }),
                _ => self
                    .calendars
                    .log
                    .get(position)
                    .map(|logged| (logged.entity.clone(), logged.event.clone()))
                    .map(|(car_no, event)| self.follows_reservation(policy, &car_no, &event, &cause)),
            };
            if handled.is_none() {
                return;
            }
            self.positions[policy] += 1;
        }
    }

    fn due(&self, target: Target, known: &Known<'_>) -> Option<Action> {
        process::due(target, known, &self.terms, self.now)
    }

    /// Tells a context what is due in it, unless it refuses.
    fn carry_out(&mut self, subject: &BookingRef, action: Option<Action>, cause: &Cause) -> bool {
        match action {
            Some(Action::Reservation(command)) => self.calendar(subject.car_no.as_str(), &command, Some(cause)).is_ok(),
            Some(Action::Payment(command)) => {
                self.payment(subject, &command, Some(cause)).expect("a payment can always be cancelled");
                true
            }
            Some(Action::Rental(command)) => self.rental(subject, &command, Some(cause)).is_ok(),
            Some(Action::Fleet(command)) => {
                self.ledger(subject.car_no.as_str(), &command, Some(cause));
                true
            }
            Some(Action::Charge { .. } | Action::Provider(_)) | None => false,
        }
    }

    fn reservation_follows_payment(&mut self, event: &payment::Event, cause: &Cause) {
        if !matches!(event, payment::Event::Approved { .. } | payment::Event::Declined { .. }) {
            return;
        }
        let payment = match event.clone().approved() {
            Some(payment) if !payment.pays_for_change() => payment,
            _ => self.payment_of(&event.subject().reservation_no).0.expect("something has happened to it"),
        };
        if !payment.pays_for_change() && !payment.has_paid(0) {
            return;
        }
        for target in [Target::Reservation, Target::Payment] {
            let booking = self.bookings[&payment.subject.reservation_no].clone();
            let incoming = self.incoming(&booking);
            let known = Known::of(&booking).with_payment(Some(&payment));
            let action = self.due(target, &known.with_new_calendar(incoming.as_ref().into()));
            if self.carry_out(&booking.subject, action, cause) {
                return;
            }
        }
    }

    fn follows_reservation(&mut self, policy: usize, car_no: &str, event: &reservation::Event, cause: &Cause) {
        if policy == 5 {
            if let Some(command) = process::ledger_step(event) {
                self.ledger(car_no, &command, Some(cause));
            }
            return;
        }
        let Some(subject) = event.subject() else { return };
        let booking = self.bookings[&subject.reservation_no].clone();
        if policy == 7 {
            let new_car = match event {
                reservation::Event::Moved { booking, .. } => Some(&booking.subject.car_no),
                reservation::Event::ChangeEnded { car_no, .. } => Some(car_no),
                _ => None,
            };
            if let Some(new_car) = new_car {
                self.follow_new_calendar(&booking, new_car.as_str(), Some(cause));
            }
            return;
        }
        let action = if policy == 1 {
            let payment = self.payment_of(&subject.reservation_no).0;
            self.due(Target::Payment, &Known::of(&booking).with_payment(payment.as_ref()))
        } else {
            let rental = self.rentals.state(subject.reservation_no.rental().as_str()).0;
            let known = Known::after(event).unwrap_or(Known::of(&booking));
            self.due(Target::Rental, &known.with_rental_of(rental.as_ref()))
        };
        self.carry_out(subject, action, cause);
    }

    fn follows_rental(&mut self, policy: usize, event: &rental::Event, cause: &Cause) {
        let subject = event.subject();
        let booking = self.bookings[&subject.reservation_no].clone();
        let rental = self.rentals.state(subject.reservation_no.rental().as_str()).0;
        let standing = RentalStanding::after(event).or(rental.map(|rental| RentalStanding::from(&rental.status)));
        if policy == 3 {
            if matches!(event, rental::Event::Returned { .. }) {
                let action = self.due(Target::Reservation, &Known::of(&booking).with_rental(standing));
                self.carry_out(&booking.subject, action, cause);
            }
            return;
        }
        let known = Known::nothing_of(subject).with_rental(standing);
        let known = if matches!(event, rental::Event::Left { .. }) { known.at_former_car() } else { known };
        let action = self.due(Target::Fleet, &known);
        self.carry_out(subject, action, cause);
    }

    fn reservation_follows_fleet(&mut self, car_no: &str, cause: &Cause) {
        let Some(car) = self.ledger.state(car_no).0 else { return };
        let news = process::enrolment(&car, 0).expect("it is registered");
        self.calendar(car_no, &news, Some(cause)).expect("news is taken");
    }

    /// Lets everything come to its end: calls arrive, holds run out, policies catch up, refunds are given.
    pub fn settle(&mut self) {
        while !self.calls.is_empty() {
            self.provider_works(0, Verdict::Approved, true);
        }
        self.catch_up();
        self.now = self.now.saturating_add_millis(self.terms.hold_ms);
        for booking in self.bookings.clone().values() {
            self.step_of(Step::TimerGoesOff { reservation: 0 }, booking);
        }
        self.catch_up();
    }

    fn catch_up(&mut self) {
        for _round in 0..4 {
            for policy in 0..POLICIES.len() {
                self.run_policy(policy, usize::MAX);
            }
            for booking in self.bookings.clone().values() {
                self.inquire(&booking.subject);
                self.refund(&booking.subject, true);
            }
        }
    }

    /// Everything that must be true at every instant.
    pub fn check(&self) -> Result<(), Violation> {
        for (car_no, (calendar, _)) in &self.calendars.entities {
            let car_no = CarNo::parse(car_no).unwrap();
            must::calendar_in_order(&car_no, calendar)?;
            must::no_overlap(calendar)?;
            must::out_once(calendar)?;
            let ledger = self.ledger.state(car_no.as_str());
            must::calendar_follows_ledger(&car_no, calendar, &ledger)?;
            for rental_no in ledger.0.iter().flat_map(|car| car.rentals.keys()) {
                must::ledger_matches_rentals(&car_no, rental_no, &self.rentals.state(rental_no.as_str()))?;
            }
        }
        for (no, booking) in &self.bookings {
            let (payment, rental) = (self.payment_of(no), self.rentals.state(no.rental().as_str()));
            must::quote_adds_up(booking)?;
            must::waived_costs_nothing(booking)?;
            must::confirmed_has_approved_payment(booking, &payment)?;
            must::refund_honours_quote(booking, &payment)?;
            must::fulfilled_stays_paid(booking, &payment)?;
            must::no_show_keeps_its_fee(booking, &payment)?;
            must::no_rental_without_approved_payment(&rental, &payment)?;
            if let Some(rental) = &rental.0 {
                must::rental_follows_reservation(rental, Some(booking))?;
            }
            if let Some(payment) = &payment.0 {
                must::money_conserved(payment)?;
                must::payment_belongs_to_reservation(payment, Some(booking))?;
                self.check_provider(payment)?;
            }
        }
        Ok(())
    }

    fn check_provider(&self, payment: &Payment) -> Result<(), Violation> {
        let no = payment.subject.reservation_no.payment();
        let (charged, charges) = self.provider.charged(no.as_str());
        let refunded = self.provider.refunded(no.as_str());
        let wrong = |detail: String| Err(Violation::new("provider_agrees", &no, detail));
        let changes = self.bookings[&payment.subject.reservation_no].last_change();
        if charges > 1 + usize::try_from(changes).unwrap() {
            return wrong(format!("charged {charges} times with {changes} changes"));
        }
        if refunded > charged || payment.charged().amount() > charged || payment.refunded().amount() > refunded {
            return wrong(format!("the provider took {charged} and gave back {refunded}: {payment:?}"));
        }
        Ok(())
    }
}
