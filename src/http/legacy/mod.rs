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
use crate::actors::api::{Caller, OffsetPage, PaymentMeans, PaymentResult, ReservationView};
use crate::actors::service::Service;
use crate::domain::reservation::Status;
use crate::kit::answer::Answer;
use crate::kit::call::{Call, Unread};
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::problem::retry_after_seconds;
use crate::kit::route::{Access, Priority, Reply, Route, SchemaOf, routes};
use hal::{Base, MEDIA_TYPE as HAL, PageRequest, Resource, page_schema};
use jiff::tz::TimeZone;
use rows::{LegacyCar, LegacyRow};
use schemars::{JsonSchema, SchemaGenerator};
use std::sync::Arc;
use warp::http::StatusCode;

const CARS: Resource = Resource { collection: "carManagements", item: "carManagement" };
const RESERVATIONS: Resource = Resource { collection: "carReservations", item: "carReservation" };
const PAYMENTS: Resource = Resource { collection: "payments", item: "payment" };
const RENTALS: Resource = Resource { collection: "carRentals", item: "carRental" };
const INFORMATIONS: Resource = Resource { collection: "carInformations", item: "carInformation" };
const MY_PAGES: Resource = Resource { collection: "myPages", item: "myPage" };

/// The `Retry-After` of a reservation that its customer pays elsewhere.
const PAY_SECONDS: u64 = 1;

struct Legacy {
    service: Arc<Service>,
    /// The time zone of its days.
    zone: TimeZone,
    /// How many proxies in front are trusted for the base of links.
    proxies: usize,
    /// Whether the service itself speaks TLS.
    encrypted: bool,
}

routes! { HttpState, "Legacy":
    /// Where the old collections are
    ROOT = Route::get("/", Access::Public, "legacyRoot")
        .answered(&[Reply::of(200, "Links.", HAL, hal::root_schema)], &[]) => root;
    /// The fleet
    LIST_CARS = Route::get("/carManagements", Access::Public, "legacyListCars").of(Priority::List)
        .answered(&[page(|generator| page_schema::<LegacyCar>(generator, CARS))], &[]) => cars::list;
    /// Add a car, or say something new of it
    PUT_CAR = Route::post("/carManagements", Access::Admin, "legacyPutCar").of(Priority::Create)
        .answered(&[done::<LegacyCar>(201)], &["invalid_car_no", "invalid_date", "car_retired"]) => cars::put;
    /// A car
    GET_CAR = Route::get("/carManagements/{carNo}", Access::Public, "legacyGetCar")
        .answered(&[one::<LegacyCar>()], &["car_not_found"]) => cars::get;
    /// Reservations
    LIST_RESERVATIONS = Route::get("/carReservations", Access::AllBookings, "legacyListReservations").of(Priority::List)
        .answered(&[page(|generator| page_schema::<LegacyRow>(generator, RESERVATIONS))], &[]) => reservations::list;
    /// Reserve and pay, or cancel
    ///
    /// It has the priority of a cancellation: which of them it is stands in the body, which is not read yet then.
    POST_RESERVATION = Route::post("/carReservations", Access::Owner, "legacyReserveOrCancel")
        .answered(&[done::<LegacyRow>(201), done::<LegacyRow>(202)], REFUSALS) => reservations::post;
    /// A reservation
    GET_RESERVATION = Route::get("/carReservations/{key}", Access::Owner, "legacyGetReservation")
        .answered(&[one::<LegacyRow>()], &["reservation_not_found"]) => reservations::get;
    /// Payments
    LIST_PAYMENTS = Route::get("/payments", Access::AllBookings, "legacyListPayments").of(Priority::List)
        .answered(&[page(|generator| page_schema::<LegacyRow>(generator, PAYMENTS))], &[]) => payments::list;
    /// Pay, or cancel a payment
    POST_PAYMENT = Route::post("/payments", Access::Owner, "legacyPayOrCancel")
        .answered(&[done::<LegacyRow>(201), done::<LegacyRow>(202)], REFUSALS) => payments::post;
    /// A payment
    GET_PAYMENT = Route::get("/payments/{key}", Access::Owner, "legacyGetPayment")
        .answered(&[one::<LegacyRow>()], &["reservation_not_found", "payment_not_found"]) => payments::get;
    /// Rentals
    LIST_RENTALS = Route::get("/carRentals", Access::AllBookings, "legacyListRentals").of(Priority::List)
        .answered(&[page(|generator| page_schema::<LegacyRow>(generator, RENTALS))], &[]) => rentals::list;
    /// A rental
    GET_RENTAL = Route::get("/carRentals/{key}", Access::Owner, "legacyGetRental")
        .answered(&[one::<LegacyRow>()], &["reservation_not_found", "rental_not_found"]) => rentals::get;
    /// Cars as the old view showed them
    LIST_INFORMATIONS = Route::get("/carInformations", Access::AllBookings, "legacyListCarInformations").of(Priority::List)
        .answered(&[page(|generator| page_schema::<LegacyCar>(generator, INFORMATIONS))], &[])
        => read_models::list_informations;
    /// A car as the old view showed it
    GET_INFORMATION = Route::get("/carInformations/{carNo}", Access::AllBookings, "legacyGetCarInformation")
        .answered(&[one::<LegacyCar>()], &["car_not_found"]) => read_models::get_information;
    /// My Page as the old view showed it
    LIST_MY_PAGES = Route::get("/myPages", Access::AllBookings, "legacyListMyPages").of(Priority::List)
        .answered(&[page(|generator| page_schema::<LegacyRow>(generator, MY_PAGES))], &[]) => read_models::list_my_pages;
    /// A line of My Page
    GET_MY_PAGE = Route::get("/myPages/{key}", Access::Owner, "legacyGetMyPage")
        .answered(&[one::<LegacyRow>()], &["reservation_not_found"]) => read_models::get_my_page;
}

/// Of a call that reserves, pays or cancels.
const REFUSALS: &[&str] = &[
    "invalid_car_no",
    "invalid_customer_no",
    "invalid_reservation_no",
    "invalid_payment_no",
    "invalid_date",
    "invalid_proc_status",
    "invalid_period",
    "period_in_past",
    "period_too_long",
    "price_too_large",
    "payment_declined",
    "reservation_not_found",
    "car_not_found",
    "car_not_available",
    "car_retired",
    "calendar_full",
    "reservation_no_taken",
    "reservation_closed",
    "too_many_unpaid_holds",
    "customer_number_erased",
    "customer_number_closed",
    "too_many_payment_attempts",
    "change_expired",
    "rental_already_picked_up",
    "payment_not_found",
    "price_changed",
    "customer_no_not_yours",
    "reservation_no_not_allowed",
    "not_registered",
];

const fn page(schema: SchemaOf) -> Reply {
    Reply::of(200, "As it is now.", HAL, schema)
}

const fn one<R: JsonSchema>() -> Reply {
    Reply::of(200, "As it is now.", HAL, SchemaGenerator::subschema_for::<R>)
}

/// 201, or 202 while the payment is deferred and the car held.
const fn done<R: JsonSchema>(status: u16) -> Reply {
    let headers: &[&str] = if status == 202 { &["Location", "Retry-After"] } else { &["Location"] };
    let meaning = if status == 202 { "The car is held, its payment deferred." } else { "It is done." };
    Reply { status, meaning, headers, ..one::<R>() }
}

impl From<Arc<HttpState>> for Legacy {
    fn from(http: Arc<HttpState>) -> Legacy {
        let (service, settings) = (Arc::clone(&http.service), &http.settings);
        Legacy {
            service,
            zone: settings.time_zone.clone(),
            proxies: settings.trusted_proxies,
            encrypted: settings.encrypted,
        }
    }
}

async fn root(legacy: Legacy, call: Call, _: Unread) -> Outcome {
    let resources = [CARS, RESERVATIONS, PAYMENTS, RENTALS, INFORMATIONS, MY_PAGES];
    Ok(hal::answer(StatusCode::OK, &hal::root(&legacy.base(&call), &resources)))
}

type Render = fn(&ReservationView, &TimeZone) -> rows::Row;

impl Legacy {
    fn base(&self, call: &Call) -> Base {
        Base::of(&call.headers, self.proxies, self.encrypted)
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
            PaymentResult::NotAttempted if matches!(view.booking.status, Status::PaymentPending { .. }) => {
                answer(StatusCode::ACCEPTED).retrying(PAY_SECONDS)
            }
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

    /// Old clients send no means of payment: the old payment service had one of its own. A customer pays with their own, which
    /// the native API takes.
    fn means(caller: &Caller) -> Option<PaymentMeans> {
        let ours = || PaymentMeans { method: "card".into(), token: "legacy".into() };
        caller.customer().is_none().then(ours)
    }
}
