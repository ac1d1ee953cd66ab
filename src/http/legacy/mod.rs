//! The resources of the old services, at their paths and in their format, answered by the present contexts. Translates
//! words and days; decides nothing, and stores nothing of its own.
//!
//! - A car is addressed by its `carNo`, everything else by the reservation's serial (the old `id`) or its number.
//! - Days are half-open and lie in one time zone; `resrvDt`, `paymtDt` and the dates of cancellation in requests are
//!   checked, but what happened when is known by the service itself.
//! - Amounts in requests about reservations and payments are checked and then ignored: the price follows from the car's
//!   rate.
//! - `procStatus` of a car is derived from its rentals and blocks, so that of a request is ignored (`WAITING` is called
//!   `AVAILABLE` now).

mod cars;
mod days;
mod hal;
mod lookup;
mod members;
mod numbering;
mod payments;
mod read_models;
mod rentals;
mod reservations;
mod rows;

use super::HttpState;
use super::access::{Access, Priority, Route};
use super::answer::Answer;
use super::endpoint::{Call, Group, Outcome};
use super::problem::retry_after_seconds;
use crate::actors::api::{OffsetPage, PaymentMeans, PaymentResult, ReservationView};
use crate::actors::service::Service;
use hal::{Base, PageRequest, Resource};
use jiff::tz::TimeZone;
use std::sync::Arc;
use warp::http::StatusCode;

const CARS: Resource = Resource { collection: "carManagements", item: "carManagement" };
const RESERVATIONS: Resource = Resource { collection: "carReservations", item: "carReservation" };
const PAYMENTS: Resource = Resource { collection: "payments", item: "payment" };
const RENTALS: Resource = Resource { collection: "carRentals", item: "carRental" };
const INFORMATIONS: Resource = Resource { collection: "carInformations", item: "carInformation" };
const MY_PAGES: Resource = Resource { collection: "myPages", item: "myPage" };

struct Legacy {
    service: Arc<Service>,
    /// The time zone of its days.
    zone: TimeZone,
    /// How many proxies in front are trusted for the base of links.
    proxies: usize,
}

macro_rules! routes {
    ($($id:ident = $route:expr;)*) => {
        $(static $id: Route = $route;)*
        pub static TABLE: &[&Route] = &[$(&$id),*];
    };
}

routes! {
    ROOT = Route::get("/", Access::Public, "legacyRoot");
    LIST_CARS = Route::get("/carManagements", Access::Public, "legacyListCars").of(Priority::List);
    PUT_CAR = Route::post("/carManagements", Access::Admin, "legacyPutCar").of(Priority::Create);
    GET_CAR = Route::get("/carManagements/{carNo}", Access::Public, "legacyGetCar");
    LIST_RESERVATIONS = Route::get("/carReservations", Access::Admin, "legacyListReservations").of(Priority::List);
    // It reserves or cancels, depending on the body, which is not read yet; so it has the priority of a cancellation.
    POST_RESERVATION = Route::post("/carReservations", Access::Owner, "legacyReserveOrCancel");
    GET_RESERVATION = Route::get("/carReservations/{key}", Access::Owner, "legacyGetReservation");
    LIST_PAYMENTS = Route::get("/payments", Access::Admin, "legacyListPayments").of(Priority::List);
    POST_PAYMENT = Route::post("/payments", Access::Owner, "legacyPayOrCancel");
    GET_PAYMENT = Route::get("/payments/{key}", Access::Owner, "legacyGetPayment");
    LIST_RENTALS = Route::get("/carRentals", Access::Admin, "legacyListRentals").of(Priority::List);
    GET_RENTAL = Route::get("/carRentals/{key}", Access::Owner, "legacyGetRental");
    LIST_INFORMATIONS = Route::get("/carInformations", Access::Public, "legacyListCarInformations").of(Priority::List);
    GET_INFORMATION = Route::get("/carInformations/{carNo}", Access::Public, "legacyGetCarInformation");
    LIST_MY_PAGES = Route::get("/myPages", Access::Admin, "legacyListMyPages").of(Priority::List);
    GET_MY_PAGE = Route::get("/myPages/{key}", Access::Owner, "legacyGetMyPage");
}

pub(super) fn mount(group: Group<HttpState>) -> Group<HttpState> {
    group
        .on(&ROOT, with(root))
        .on(&LIST_CARS, with(cars::list))
        .on(&PUT_CAR, with(cars::put))
        .on(&GET_CAR, with(cars::get))
        .on(&LIST_RESERVATIONS, with(reservations::list))
        .on(&POST_RESERVATION, with(reservations::post))
        .on(&GET_RESERVATION, with(reservations::get))
        .on(&LIST_PAYMENTS, with(payments::list))
        .on(&POST_PAYMENT, with(payments::post))
        .on(&GET_PAYMENT, with(payments::get))
        .on(&LIST_RENTALS, with(rentals::list))
        .on(&GET_RENTAL, with(rentals::get))
        .on(&LIST_INFORMATIONS, with(read_models::list_informations))
        .on(&GET_INFORMATION, with(read_models::get_information))
        .on(&LIST_MY_PAGES, with(read_models::list_my_pages))
        .on(&GET_MY_PAGE, with(read_models::get_my_page))
}

fn with<F>(handler: fn(Legacy, Call) -> F) -> impl Fn(Arc<HttpState>, Call) -> F + Send + Sync + 'static
where
    F: Future<Output = Outcome> + Send + 'static,
{
    move |http, call| {
        let (service, settings) = (Arc::clone(&http.service), &http.settings);
        let legacy = Legacy { service, zone: settings.time_zone.clone(), proxies: settings.trusted_proxies };
        handler(legacy, call)
    }
}

async fn root(legacy: Legacy, call: Call) -> Outcome {
    let resources = [CARS, RESERVATIONS, PAYMENTS, RENTALS, INFORMATIONS, MY_PAGES];
    Ok(hal::answer(StatusCode::OK, &hal::root(&legacy.base(&call), &resources)))
}

type Render = fn(&ReservationView, &TimeZone) -> rows::Row;

impl Legacy {
    fn base(&self, call: &Call) -> Base {
        Base::of(&call.headers, self.proxies)
    }

    fn one(
        &self,
        call: &Call,
        resource: Resource,
        render: Render,
        view: &ReservationView,
        status: StatusCode,
    ) -> Answer {
        let key = view.booking.serial.to_string();
        let document = hal::item(&self.base(call), resource, &key, render(view, &self.zone));
        hal::answer(status, &document)
    }

    /// The answer to a change: 201, or 202 while its payment is deferred and the car held.
    fn changed(
        &self,
        call: &Call,
        resource: Resource,
        render: Render,
        view: &ReservationView,
        result: &PaymentResult,
    ) -> Answer {
        let path = hal::item_path(resource, &view.booking.serial.to_string());
        let answer = |status| self.one(call, resource, render, view, status).located(&path);
        match result {
            PaymentResult::NotAttempted | PaymentResult::Approved => answer(StatusCode::CREATED),
            PaymentResult::Deferred { retry_after_ms } => {
                answer(StatusCode::ACCEPTED).retrying(retry_after_seconds(*retry_after_ms))
            }
        }
    }

    fn page(
        &self,
        call: &Call,
        resource: Resource,
        asked: PageRequest,
        render: Render,
        numbered: &OffsetPage<ReservationView>,
    ) -> Answer {
        let base = self.base(call);
        let row =
            |(id, view): &(u64, ReservationView)| hal::item(&base, resource, &id.to_string(), render(view, &self.zone));
        let rows = numbered.items.iter().map(row).collect();
        hal::answer(StatusCode::OK, &hal::page(&base, resource, asked, numbered.total, rows))
    }

    /// Old clients send no means of payment: the old payment service had one of its own.
    fn means() -> PaymentMeans {
        PaymentMeans { method: "card".into(), token: "legacy".into() }
    }
}
