//! Reads. A thing is read by its number as committed, so that a writer always sees what it wrote; lists come from the
//! read models, after waiting a moment for them to catch up. No read sends a message to an entity.

use super::read_limiter::{ReadKind, ReadPermit};
use super::{Result, Service};
use crate::actors::api::{
    Caller, CarView, CursorPage, CustomerView, InvalidCursor, LiveEntry, MyPage, Offer, OffsetPage, ReservationView,
    ServiceError,
};
use crate::actors::committed::{booking, booking_if, calendar, committed};
use crate::actors::customer::Customers;
use crate::actors::fleet::Ledger;
use crate::actors::rental::Rentals;
use crate::actors::views::feed::SeenPositions;
use crate::actors::views::{CarsWanted, FreeCar, List, Registered};
use crate::domain::cancellation::CancellationTerms;
use crate::domain::ids::{CarNo, CustomerNo, PaymentNo, RentalNo, ReservationNo};
use crate::domain::money::Money;
use crate::domain::payment::Payment;
use crate::domain::rental::{self, Rental};
use crate::domain::reservation::{self, Booking};
use crate::domain::time::{Period, Timestamp};
use crate::domain::{customer, fleet};
use crate::store::journal::ReadError;
use crate::store::schema;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::yield_now;

/// The most cars that are read before the task yields.
const CARS_PER_READ: usize = 256;
/// The most branches and classes that are listed.
const FACETS_MAX: usize = 100;
/// How long changes are gathered before readers are told.
const CHANGES_AT_ONCE: Duration = Duration::from_millis(250);

/// A customer of the list of customers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedCustomer {
    /// The number under which the customer is registered.
    pub customer_no: CustomerNo,
    /// When the customer was registered.
    pub registered_at: Timestamp,
    /// The customer, unless the data cannot be read any more.
    pub customer: Option<CustomerView>,
}

/// The bookings of a car.
#[derive(Debug, Clone)]
pub struct CarBookings {
    /// Those that are to come or under way, the first of them first.
    pub live: Vec<ReservationView>,
    /// Those that have ended last, the last of them first; how many are kept is
    /// [`CLOSED_KEPT_MAX`](reservation::CLOSED_KEPT_MAX).
    pub closed: Vec<ReservationView>,
}

/// The answer, or that the caller's cursor is none of ours.
pub(super) type Cursored<T> = std::result::Result<T, InvalidCursor>;

impl Service {
    /// A reservation with its payment and rental.
    ///
    /// # Errors
    /// When there is none of that number that the caller may see, or it cannot be read.
    pub async fn reservation(&self, caller: &Caller, reservation_no: &ReservationNo) -> Result<ReservationView> {
        let booking = self.booking_of(caller, reservation_no).await?;
        self.view(booking).await
    }

    /// The reservation that was made as the `serial`th.
    ///
    /// # Errors
    /// When there is none that the caller may see, or it cannot be read.
    pub async fn reservation_by_serial(&self, caller: &Caller, serial: u64) -> Result<ReservationView> {
        let no = self.parts.journal.lookup(schema::SERIAL_INDEX, &schema::serial_key(serial)).await?;
        let no = no.and_then(|no| ReservationNo::stored(&no).ok());
        // Where there is none, one is read that cannot be there: whose it is must not show in the time that it takes.
        let no = no.map_or_else(super::fresh_reservation_no, Ok)?;
        self.reservation(caller, &no).await
    }

    pub(super) async fn booking(&self, reservation_no: &ReservationNo) -> Result<Option<Booking>> {
        Ok(booking(&*self.parts.journal, reservation_no).await?)
    }

    /// A reservation that the caller may see: one of another customer is as if it were not there.
    pub(super) async fn booking_of(&self, caller: &Caller, reservation_no: &ReservationNo) -> Result<Booking> {
        Ok(self.visible(caller, reservation_no).await?.ok_or(reservation::Rejection::ReservationNotFound)?)
    }

    async fn visible(&self, caller: &Caller, reservation_no: &ReservationNo) -> Result<Option<Booking>> {
        Ok(booking_if(&*self.parts.journal, reservation_no, |owner| caller.may_see(owner)).await?)
    }

    pub(super) async fn view(&self, booking: Booking) -> Result<ReservationView> {
        let payment = self.parts.cashier.committed(&booking.subject.reservation_no.payment()).await?;
        let rental = self.committed_rental(&booking.subject.reservation_no.rental()).await?;
        Ok(ReservationView { booking, payment, rental })
    }

    async fn views(&self, numbers: impl IntoIterator<Item = ReservationNo>) -> Result<Vec<ReservationView>> {
        let mut views = Vec::new();
        for no in numbers {
            let booking = self.booking(&no).await?.ok_or(reservation::Rejection::ReservationNotFound)?;
            views.push(self.view(booking).await?);
        }
        Ok(views)
    }

    pub(super) async fn committed_rental(&self, rental_no: &RentalNo) -> Result<Option<Rental>> {
        Ok(committed(&*self.parts.journal, &Rentals, rental_no.as_str()).await?.and_then(|state| state.0))
    }

    /// A payment. One of which nothing has been heard yet is `None`, if its reservation exists.
    ///
    /// # Errors
    /// When there is none of that number that the caller may see, or it cannot be read.
    pub async fn payment(&self, caller: &Caller, payment_no: &PaymentNo) -> Result<(Booking, Option<Payment>)> {
        let not_found = crate::domain::payment::Rejection::PaymentNotFound;
        let reservation_no = payment_no.reservation().ok_or(not_found.clone())?;
        let booking = self.visible(caller, &reservation_no).await?.ok_or(not_found)?;
        Ok((booking, self.parts.cashier.committed(payment_no).await?))
    }

    /// A rental.
    ///
    /// # Errors
    /// When there is none of that number that the caller may see, or it cannot be read.
    pub async fn rental(&self, caller: &Caller, rental_no: &RentalNo) -> Result<Rental> {
        let rental = self.committed_rental(rental_no).await?;
        let visible = rental.filter(|rental| caller.may_see(&rental.subject.customer_no));
        Ok(visible.ok_or(rental::Rejection::RentalNotFound)?)
    }

    pub(super) async fn committed_car(&self, car_no: &CarNo) -> Result<Option<fleet::Car>> {
        Ok(committed(&*self.parts.journal, &Ledger, car_no.as_str()).await?.and_then(|state| state.0))
    }

    /// A car.
    ///
    /// # Errors
    /// When there is none of that number, or it cannot be read.
    pub async fn car(&self, car_no: &CarNo) -> Result<CarView> {
        let car = self.committed_car(car_no).await?.ok_or(fleet::Rejection::CarNotFound)?;
        Ok(self.car_view(car_no.clone(), car))
    }

    /// Whether there is a car of that number, in that very spelling.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn knows_car(&self, car_no: &CarNo) -> Result<bool> {
        Ok(self.committed_car(car_no).await?.is_some())
    }

    /// Whether there is a reservation of that number, in that very spelling, that the caller may see.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn knows_reservation(&self, caller: &Caller, reservation_no: &ReservationNo) -> Result<bool> {
        Ok(self.visible(caller, reservation_no).await?.is_some())
    }

    /// Whether there is a customer of that number, in that very spelling, whom the caller may see: one who is or was
    /// registered, or who has reserved without being registered.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn knows_customer(&self, caller: &Caller, customer_no: &CustomerNo) -> Result<bool> {
        if !caller.may_see(customer_no) {
            return Ok(false);
        }
        let state = committed(&*self.parts.journal, &Customers, customer_no.as_str()).await?;
        if state.is_some_and(|state| state.0.is_some()) {
            return Ok(true);
        }
        let reserved = self.parts.views.reservations_of(customer_no, None, 1)?;
        Ok(reserved.is_ok_and(|page| !page.items.is_empty()))
    }

    pub(super) fn car_view(&self, car_no: CarNo, car: fleet::Car) -> CarView {
        let status = car.status(self.now());
        CarView { car_no, car, status }
    }

    /// Waits for the read models to have what is committed now, at most `view_freshness_wait` of the settings, and for a turn.
    pub(super) async fn read_models(&self, reading: ReadKind) -> Result<ReadPermit<'_>> {
        self.read_limiter.check(reading)?;
        self.parts.views.catch_up(self.settings.view_freshness_wait).await;
        self.read_limiter.acquire(reading).await
    }

    /// The cars after a number whose status is wanted. Which cars there are is read from the read models, and each of
    /// them as committed.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn cars(
        &self,
        wanted: impl Fn(fleet::Status) -> bool,
        cursor: Option<&CarNo>,
        limit: usize,
    ) -> Result<CursorPage<CarView>> {
        self.cars_where(|car| wanted(car.status), cursor, limit).await
    }

    /// The cars after a number that are wanted, likewise.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn cars_where(
        &self,
        wanted: impl Fn(&CarView) -> bool,
        cursor: Option<&CarNo>,
        limit: usize,
    ) -> Result<CursorPage<CarView>> {
        let _turn = self.read_models(ReadKind::List).await?;
        let mut items: Vec<CarView> = Vec::new();
        let mut after = cursor.cloned();
        let mut read = limit + 1;
        loop {
            let numbers = self.parts.views.cars(after.as_ref(), read)?;
            let exhausted = numbers.len() < read;
            after = numbers.last().cloned().or(after);
            let cars = self.car_views(numbers).await?;
            items.extend(cars.into_iter().filter(|car| wanted(car)));
            if items.len() > limit {
                items.truncate(limit);
                let next_cursor = items.last().map(|last| last.car_no.to_string());
                return Ok(CursorPage { items, next_cursor });
            }
            if exhausted {
                return Ok(CursorPage { items, next_cursor: None });
            }
            // If few of them are wanted, the next read is larger.
            read = (read * 2).min(CARS_PER_READ);
            yield_now().await;
        }
    }

    /// The cars of a page of the legacy API, with the total.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn cars_page(&self, skip: u64, size: usize) -> Result<(Vec<CarView>, u64)> {
        let _turn = self.read_models(ReadKind::List).await?;
        let (numbers, total) = self.parts.views.cars_page(skip, size).await?;
        Ok((self.car_views(numbers).await?, total))
    }

    async fn car_views(&self, numbers: Vec<CarNo>) -> Result<Vec<CarView>> {
        let mut cars = Vec::with_capacity(numbers.len());
        for car_no in numbers {
            cars.push(self.car(&car_no).await?);
        }
        Ok(cars)
    }

    /// The bookings of a car, as its calendar has them.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn bookings_of_car(&self, car_no: &CarNo) -> Result<CarBookings> {
        let calendar = calendar(&*self.parts.journal, car_no.as_str()).await?.unwrap_or_default();
        let mut live: Vec<Booking> = calendar.bookings.into_values().map(Arc::unwrap_or_clone).collect();
        live.sort_by_key(|booking| booking.period);
        let mut bookings = CarBookings { live: vec![], closed: vec![] };
        for booking in live {
            bookings.live.push(self.view(booking).await?);
        }
        for booking in calendar.closed.into_iter().rev() {
            bookings.closed.push(self.view(Arc::unwrap_or_clone(booking)).await?);
        }
        Ok(bookings)
    }

    /// The cars that are free for the whole period, each with its price.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn availability(
        &self,
        period: Period,
        car_class: Option<&str>,
        branch: Option<&str>,
        cursor: Option<&CarNo>,
        limit: usize,
    ) -> Result<Cursored<CursorPage<Offer>>> {
        let _turn = self.read_models(ReadKind::Search).await?;
        let buffers = &self.settings.terms.buffers;
        let wanted = CarsWanted { branch, car_class, cursor, limit, scanned_max: usize::MAX };
        let free = self.parts.views.free_cars((&period, self.now()), buffers, wanted).await?;
        Ok(free.map(|free| {
            let offer = |FreeCar { car_no, model, car_class, branch, daily_rate }: FreeCar| {
                // A price above the bound of money cannot be booked, so it is no offer.
                let price = self.settings.terms.pricing.price(&period, daily_rate)?;
                Some(Offer { car_no, model, car_class, branch, daily_rate, price })
            };
            CursorPage { items: free.items.into_iter().filter_map(offer).collect(), next_cursor: free.next_cursor }
        }))
    }

    /// Tells whenever anything has changed, after the version that the reader has seen, each time with the version that it has
    /// now. Not more often than readers can follow.
    pub fn changes(&self, seen: u64) -> BoxStream<'static, u64> {
        let views = Arc::clone(&self.parts.views);
        let next = move |seen: u64| {
            let views = Arc::clone(&views);
            async move {
                let version = views.version_after(seen).await;
                // What belongs together comes at once.
                tokio::time::sleep(CHANGES_AT_ONCE).await;
                let version = views.version().max(version);
                Some((version, version))
            }
        };
        futures_util::stream::unfold(seen, next).boxed()
    }

    /// The version of everything that is shown, for [`Service::changes`].
    pub fn version(&self) -> u64 {
        self.parts.views.version()
    }

    /// The branches and classes that cars have, [`FACETS_MAX`] of each at most.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn branches_and_classes(&self) -> Result<(Vec<String>, Vec<String>)> {
        let _turn = self.read_models(ReadKind::Search).await?;
        Ok(self.parts.views.branches_and_classes(FACETS_MAX).await?)
    }

    /// When a cancellation is free, and what it costs afterwards.
    pub const fn cancellation_terms(&self) -> CancellationTerms {
        self.settings.terms.cancellation
    }

    /// How many days of a period are charged.
    pub fn days(&self, period: &Period) -> u64 {
        self.settings.terms.pricing.days(period)
    }

    /// How long a car is held without a payment, in milliseconds.
    pub const fn hold_ms(&self) -> i64 {
        self.settings.terms.hold_ms
    }

    /// What a period costs at a daily rate; `None` above the bound of money.
    pub fn price(&self, period: &Period, daily_rate: Money) -> Option<Money> {
        self.settings.terms.pricing.price(period, daily_rate)
    }

    /// A customer whose data can be read.
    ///
    /// # Errors
    /// When there is none of that number that the caller may see, the data is erased, or it cannot be read.
    pub async fn customer(&self, caller: &Caller, customer_no: &CustomerNo) -> Result<CustomerView> {
        visible_customer(caller, customer_no)?;
        let state = committed(&*self.parts.journal, &Customers, customer_no.as_str()).await?;
        match state.and_then(|state| state.0) {
            None => Err(customer::Rejection::CustomerNotFound.into()),
            Some(customer::Customer::Erased { .. }) => Err(customer::Rejection::CustomerErased.into()),
            Some(customer::Customer::Registered { sealed, at } | customer::Customer::Closed { sealed, at, .. }) => {
                self.open(customer_no, &sealed, at).await
            }
        }
    }

    /// The registered customers, the newest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn customers(
        &self,
        caller: &Caller,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Cursored<CursorPage<ListedCustomer>>> {
        let _turn = self.read_models(ReadKind::List).await?;
        let CursorPage { items: registered, next_cursor } = match self.parts.views.customers(cursor, limit)? {
            Ok(page) => page,
            Err(invalid) => return Ok(Err(invalid)),
        };
        let mut items = Vec::with_capacity(registered.len());
        for Registered { customer_no, at } in registered {
            let customer = match self.customer(caller, &customer_no).await {
                Ok(customer) => Some(customer),
                // Who is erased meanwhile, or whose key is lost.
                Err(ServiceError::Customer(_) | ServiceError::PersonalDataLost) => None,
                Err(error) => return Err(error),
            };
            items.push(ListedCustomer { customer_no, registered_at: at, customer });
        }
        Ok(Ok(CursorPage { items, next_cursor }))
    }

    /// A customer's reservations, the newest first; none of a customer whom the caller may not see.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn reservations_of(
        &self,
        caller: &Caller,
        customer_no: &CustomerNo,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Cursored<CursorPage<ReservationView>>> {
        if !caller.may_see(customer_no) {
            return Ok(Ok(CursorPage { items: vec![], next_cursor: None }));
        }
        let _turn = self.read_models(ReadKind::List).await?;
        match self.parts.views.reservations_of(customer_no, cursor, limit)? {
            Err(invalid) => Ok(Err(invalid)),
            Ok(page) => Ok(Ok(CursorPage { items: self.views(page.items).await?, next_cursor: page.next_cursor })),
        }
    }

    /// A page of a list of the legacy API.
    async fn numbered(&self, list: List, skip: u64, size: usize) -> Result<OffsetPage<ReservationView>> {
        let _turn = self.read_models(ReadKind::List).await?;
        let (serials, total) = self.parts.views.serials(list, skip, size).await?;
        let mut items = Vec::with_capacity(serials.len());
        for serial in serials {
            items.push((serial, self.reservation_by_serial(&Caller::system(), serial).await?));
        }
        Ok(OffsetPage { items, total })
    }

    /// All reservations, in the order in which they were made.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn reservations_page(&self, skip: u64, size: usize) -> Result<OffsetPage<ReservationView>> {
        self.numbered(List::Reservations, skip, size).await
    }

    /// The reservations whose payment exists.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn payments_page(&self, skip: u64, size: usize) -> Result<OffsetPage<ReservationView>> {
        self.numbered(List::Payments, skip, size).await
    }

    /// The reservations whose rental exists.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn rentals_page(&self, skip: u64, size: usize) -> Result<OffsetPage<ReservationView>> {
        self.numbered(List::Rentals, skip, size).await
    }

    /// The personal data of a customer, and whether it was erased. `seen` is what the read models have of the customer.
    ///
    /// # Errors
    /// When nothing at all is known of the customer, not registered, not erased, and no history, or the caller may not
    /// see it.
    async fn person(
        &self,
        caller: &Caller,
        customer_no: &CustomerNo,
        seen: &SeenPositions,
    ) -> Result<(Option<CustomerView>, bool)> {
        let has_history = *seen != SeenPositions::default();
        match self.customer(caller, customer_no).await {
            Ok(customer) => Ok((Some(customer), false)),
            Err(ServiceError::Customer(customer::Rejection::CustomerErased)) => Ok((None, true)),
            Err(ServiceError::PersonalDataLost) => Ok((None, false)),
            Err(ServiceError::Customer(_)) if has_history => Ok((None, false)),
            Err(error) => Err(error),
        }
    }

    /// A page of My Page.
    ///
    /// # Errors
    /// When nothing is known of the customer that the caller may see, or it cannot be read.
    pub async fn my_page(
        &self,
        caller: &Caller,
        customer_no: &CustomerNo,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Cursored<MyPage>> {
        visible_customer(caller, customer_no)?;
        let _turn = self.read_models(ReadKind::List).await?;
        // Read before the entries, so that an entry that comes between the two is told twice rather than never.
        let seen = self.parts.views.seen(customer_no)?;
        let (customer, erased) = self.person(caller, customer_no, &seen).await?;
        let (entries, next_cursor) = match self.parts.views.entries(customer_no, cursor, limit)? {
            Ok(page) => page,
            Err(invalid) => return Ok(Err(invalid)),
        };
        Ok(Ok(MyPage { customer, erased, entries, next_cursor, last_event_id: seen.to_string() }))
    }

    /// Live events of a customer's reservations: after an event id, or from now on.
    ///
    /// # Errors
    /// When nothing is known of the customer that the caller may see, or it cannot be read.
    pub async fn live(
        &self,
        caller: &Caller,
        customer_no: &CustomerNo,
        last_event_id: Option<&str>,
    ) -> Result<Cursored<BoxStream<'static, LiveEntry>>> {
        let after = match last_event_id.map(SeenPositions::parse).transpose() {
            Ok(after) => after,
            Err(invalid) => return Ok(Err(invalid)),
        };
        visible_customer(caller, customer_no)?;
        self.parts.views.catch_up(self.settings.view_freshness_wait).await;
        let seen = self.parts.views.seen(customer_no)?;
        self.person(caller, customer_no, &seen).await?;
        Ok(Ok(self.parts.views.live(customer_no, after.unwrap_or(seen))))
    }
}

/// Before anything is read of a customer: nothing is read of whom the caller may not see.
pub(super) fn visible_customer(caller: &Caller, customer_no: &CustomerNo) -> Result<()> {
    if caller.may_see(customer_no) { Ok(()) } else { Err(customer::Rejection::CustomerNotFound.into()) }
}

pub(super) fn damaged(error: impl std::fmt::Display) -> ServiceError {
    ServiceError::Read(ReadError::Damaged(error.to_string()))
}
