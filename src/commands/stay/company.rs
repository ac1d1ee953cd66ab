//! The company as it lives through its month: each act at its own time, through the service, by whoever would do it.

use super::plan::{self, CUSTOMERS, Fate, Plan, PlannedBlock, PlannedBooking};
use crate::commands::print_progress;
use anyhow::{Context as _, anyhow, bail};
use rentcar::actors::account::hashing::Turn;
use rentcar::actors::api::{
    Caller, Identity, PaymentMeans, PersonalData, PickUpFacts, ReservationView, ReserveRequest,
};
use rentcar::actors::runtime::ManualClock;
use rentcar::actors::service::{NewPassword, Service};
use rentcar::domain::account::Role;
use rentcar::domain::desk::DeskFacts;
use rentcar::domain::fleet::{CarData, Changes, Expected, Versions};
use rentcar::domain::ids::{CarNo, CustomerNo, ReservationNo};
use rentcar::domain::money::{Currency, Money};
use rentcar::domain::rental;
use rentcar::domain::reservation::{Block, DayCounting, Status};
use rentcar::domain::time::{DAY_MS, HOUR_MS, MINUTE_MS, Timestamp};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

const STAFF: &str = "staff@example.com";
const OPERATOR: &str = "operator@example.com";
/// Letters and digits that nobody confuses.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// How long the service may take to do by itself what is due.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(20);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// What is done at a time.
enum Act<'a> {
    Book(usize, &'a PlannedBooking),
    PickUp(usize, &'a PlannedBooking),
    Return(usize, &'a PlannedBooking),
    Cancel(usize, &'a PlannedBooking),
    /// The service does something by itself.
    Await(usize, &'a PlannedBooking),
    Block(&'a PlannedBlock),
    /// The rate of a car is changed.
    Rate(usize, u64),
}

pub struct Company {
    service: Arc<Service>,
    clock: Arc<ManualClock>,
    cars: Vec<CarNo>,
    customers: Vec<CustomerNo>,
    staff: Caller,
    reservations: BTreeMap<usize, ReservationNo>,
    odometers: BTreeMap<usize, u32>,
}

fn password() -> String {
    let random: [u8; 12] = rand::random();
    let letters = random.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)]));
    let mut password = String::new();
    for (place, letter) in letters.enumerate() {
        if place > 0 && place % 4 == 0 {
            password.push('-');
        }
        password.push(letter);
    }
    password
}

fn by(identity: Identity) -> Caller {
    Caller { identity, command_id_prefix: None }
}

/// The acts of a plan up to now, in their order.
fn acts(plan: &Plan) -> Vec<(Timestamp, Act<'_>)> {
    let mut acts: Vec<(Timestamp, Act<'_>)> = vec![];
    for block in &plan.blocks {
        acts.push((block.made, Act::Block(block)));
    }
    for (place, booking) in plan.bookings.iter().enumerate() {
        acts.push((booking.made, Act::Book(place, booking)));
        let hold_ms = i64::from(super::HOLD_SECONDS) * 1_000;
        match booking.fate {
            Fate::Driven { out, back } => {
                acts.push((out, Act::PickUp(place, booking)));
                acts.push((back, Act::Return(place, booking)));
            }
            Fate::Overdue { out } => {
                acts.push((out, Act::PickUp(place, booking)));
                acts.push((booking.period.to().saturating_add_millis(MINUTE_MS), Act::Await(place, booking)));
            }
            Fate::NoShow => {
                let after = booking.period.to().saturating_add_millis(HOUR_MS + MINUTE_MS);
                acts.push((after, Act::Await(place, booking)));
            }
            Fate::Cancelled { at } => acts.push((at, Act::Cancel(place, booking))),
            Fate::Held => {
                let ends = booking.made.saturating_add_millis(hold_ms).min(booking.period.to());
                acts.push((ends.saturating_add_millis(MINUTE_MS), Act::Await(place, booking)));
            }
        }
    }
    acts.push((plan.now.saturating_add_millis(-9 * DAY_MS), Act::Rate(12, 95_000)));
    acts.push((plan.now.saturating_add_millis(-4 * DAY_MS), Act::Rate(5, 79_000)));
    acts.retain(|(at, _)| *at < plan.now);
    acts.sort_by_key(|(at, _)| *at);
    acts
}

impl Company {
    pub fn new(service: Arc<Service>, clock: Arc<ManualClock>) -> Company {
        let (staff, reservations, odometers) = (Caller::system(), BTreeMap::new(), BTreeMap::new());
        Company { service, clock, cars: vec![], customers: vec![], staff, reservations, odometers }
    }

    /// Lives through the month. Returns who signs in with what, in lines for a person.
    ///
    /// # Errors
    /// When the service refuses something, which a plan does not foresee.
    pub async fn live(mut self, plan: &Plan) -> anyhow::Result<String> {
        print_progress("Making a small company, a month of its life:");
        let signs_in = self.found(plan.begins).await?;
        print_progress(format_args!("  {} cars, {} customers", self.cars.len(), self.customers.len()));
        let mut told = plan.begins.saturating_add_millis(7 * DAY_MS);
        for (at, act) in acts(plan) {
            self.clock.set_ms(at.as_millis());
            if at >= told {
                print_progress(format_args!("  {} bookings …", self.reservations.len()));
                told = told.saturating_add_millis(7 * DAY_MS);
            }
            self.act(act).await.with_context(|| format!("the company at {}", at.as_millis()))?;
        }
        self.clock.set_ms(plan.now.as_millis());
        print_progress(format_args!("  {} bookings, and it is today", self.reservations.len()));
        Ok(signs_in)
    }

    /// Accounts, cars and customers.
    async fn found(&mut self, begins: Timestamp) -> anyhow::Result<String> {
        let mut signs_in = String::new();
        let (operator, line) = self.account("operator", OPERATOR, Role::Operator).await?;
        let (staff, staff_line) = self.account("staff", STAFF, Role::Staff).await?;
        self.staff = by(Identity::Staff(staff));
        for car in plan::cars() {
            let car_no = CarNo::parse(&car.car_no).context("a car number")?;
            let data = CarData {
                model: car.model.to_owned(),
                car_class: car.car_class.to_owned(),
                branch: car.branch.to_owned(),
                daily_rate: Money::new(car.daily_rate, Currency::KRW).context("a rate")?,
                registered_on: car.registered_on,
            };
            self.service.register_car(&self.staff, car_no.clone(), data).await?;
            self.cars.push(car_no);
        }
        for (place, (no, name, phone, email)) in CUSTOMERS.iter().enumerate() {
            let customer_no = CustomerNo::parse(no).context("a customer number")?;
            let has_licence = place % 3 != 2;
            let data = PersonalData {
                name: (*name).to_owned(),
                phone: (*phone).to_owned(),
                email: (*email).to_owned(),
                licence_no: has_licence
                    .then(|| format!("11-{:02}-{:06}-{:02}", 10 + place, 104_729 * (place + 1), 31 + place)),
                licence_consent_at: has_licence.then_some(begins),
            };
            self.clock.advance_ms(60_000);
            self.service.register_customer(&self.staff, Some(customer_no.clone()), data).await?;
            self.customers.push(customer_no);
        }
        let (first, (.., email)) = (self.customers[0].clone(), CUSTOMERS[0]);
        let password = password();
        let new = NewPassword::chosen(&password, Some(email)).map_err(|why| anyhow!("a password: {why}"))?;
        let operator = by(Identity::Staff(operator));
        self.service.open_account(&operator, email, new, Role::Customer(first)).await?;
        writeln!(signs_in, "  {:<10} {email:<22} {password}", "customer")?;
        signs_in.push_str(&staff_line);
        signs_in.push_str(&line);
        Ok(signs_in)
    }

    /// Opens an account of the company's own people.
    async fn account(&self, word: &str, email: &str, role: Role) -> anyhow::Result<(Arc<str>, String)> {
        let password = password();
        let new = NewPassword::chosen(&password, Some(email)).map_err(|why| anyhow!("a password: {why}"))?;
        let opened = self.service.accounts()?.open((Turn::OPERATOR, Some(&Caller::system())), email, new, role).await?;
        Ok((opened.account_no, format!("  {word:<10} {email:<22} {password}\n")))
    }

    async fn act(&mut self, act: Act<'_>) -> anyhow::Result<()> {
        match act {
            Act::Book(place, booking) => self.book(place, booking).await,
            Act::PickUp(place, booking) => self.pick_up(place, booking).await,
            Act::Return(place, booking) => self.take_back(place, booking).await,
            Act::Cancel(place, booking) => {
                self.service.cancel(&self.customer(booking), self.reservation(place)?, None).await?;
                Ok(())
            }
            Act::Await(place, booking) => self.follows(place, booking).await,
            Act::Block(block) => {
                let set = Block { period: block.period, reason: block.reason.to_owned() };
                self.service.block_car(&self.staff, self.cars[block.car].clone(), None, set, None).await?;
                Ok(())
            }
            Act::Rate(car, rate) => {
                let whatever = Expected { one_of: Versions::Any, none_of: Versions::OneOf(vec![]) };
                let changes = Changes { daily_rate: Money::new(rate, Currency::KRW), ..Changes::default() };
                self.service.amend_car(&self.staff, self.cars[car].clone(), whatever, changes).await?;
                Ok(())
            }
        }
    }

    fn customer(&self, booking: &PlannedBooking) -> Caller {
        let customer_no = self.customers[booking.customer].clone();
        by(Identity::Customer { customer_no, registered: true })
    }

    fn reservation(&self, place: usize) -> anyhow::Result<ReservationNo> {
        self.reservations.get(&place).cloned().context("a booking that was not made")
    }

    /// Most customers book themselves, and some by telephone; whoever has not paid yet, since a customer may hold few cars.
    async fn book(&mut self, place: usize, booking: &PlannedBooking) -> anyhow::Result<()> {
        let is_by_staff = place % 4 == 3 || booking.fate == Fate::Held;
        let caller = if is_by_staff { self.staff.clone() } else { self.customer(booking) };
        let means =
            (booking.fate != Fate::Held).then(|| PaymentMeans { method: "card".into(), token: "tok-visa".into() });
        let request = ReserveRequest {
            reservation_no: None,
            car_no: self.cars[booking.car].clone(),
            customer_no: self.customers[booking.customer].clone(),
            period: booking.period,
            means,
            day_counting: DayCounting::Hours,
        };
        let (view, _) = self.service.reserve(&caller, request).await?;
        self.reservations.insert(place, view.booking.subject.reservation_no);
        Ok(())
    }

    fn facts(&mut self, booking: &PlannedBooking, km: u32, fuel_percent: u8) -> DeskFacts {
        let first = 8_000 + u32::try_from(booking.car).unwrap_or(0) * 1_370;
        let odometer = self.odometers.entry(booking.car).or_insert(first);
        *odometer += km;
        DeskFacts { odometer_km: Some(*odometer), fuel_percent: Some(fuel_percent), condition: None }
    }

    async fn pick_up(&mut self, place: usize, booking: &PlannedBooking) -> anyhow::Result<()> {
        let told = PickUpFacts { car: self.facts(booking, 0, 100), licence_checked: true };
        self.service.pick_up(&self.staff, self.reservation(place)?.rental(), told).await?;
        Ok(())
    }

    async fn take_back(&mut self, place: usize, booking: &PlannedBooking) -> anyhow::Result<()> {
        let hours = u32::try_from(booking.period.millis() / HOUR_MS).unwrap_or(0);
        let mut facts = self.facts(booking, 20 + hours * 4, 60 + u8::try_from(place % 40).unwrap_or(0));
        if place % 11 == 5 {
            facts.condition = Some("Small scratch at the rear bumper".to_owned());
        }
        self.service.return_car(&self.staff, self.reservation(place)?.rental(), facts).await?;
        Ok(())
    }

    /// Waits for what the service does by itself at this time.
    async fn follows(&self, place: usize, booking: &PlannedBooking) -> anyhow::Result<()> {
        let reservation_no = self.reservation(place)?;
        let begun = Instant::now();
        loop {
            let view = self.service.reservation(&Caller::system(), &reservation_no).await?;
            if has_followed(&view, booking.fate) {
                return Ok(());
            }
            if begun.elapsed() > FOLLOWS_WITHIN {
                bail!("nothing has followed for booking {reservation_no}, which is {:?}", view.booking.status);
            }
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
    }
}

fn has_followed(view: &ReservationView, fate: Fate) -> bool {
    match fate {
        Fate::Held => matches!(view.booking.status, Status::Expired { .. }),
        Fate::NoShow => matches!(view.booking.status, Status::NoShow { .. }),
        Fate::Overdue { .. } => view
            .rental
            .as_ref()
            .is_some_and(|rental| matches!(rental.status, rental::Status::PickedUp { overdue: true, .. })),
        Fate::Driven { .. } | Fate::Cancelled { .. } => true,
    }
}
