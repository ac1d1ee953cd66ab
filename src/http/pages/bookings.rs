//! Bookings as lines of a list.

use super::page::{Page, reservation_address};
use super::reservation::{Standing, standing};
use super::staff::board::Names;
use super::texts::Customer;
use crate::actors::api::{Caller, ReservationView};
use crate::domain::ids::CarNo;
use crate::domain::money::Money;
use crate::http::HttpState;
use std::collections::HashMap;

/// A booking as a line of a list.
pub struct BookingRow {
    pub address: String,
    pub period: String,
    pub car_no: String,
    pub model: String,
    /// The number of the customer, or the name where it was looked up.
    pub who: String,
    pub price: String,
    pub standing: Standing,
}

/// The names of the models of cars, each read once.
#[derive(Default)]
pub struct Models(HashMap<String, String>);

impl Models {
    pub async fn of(&mut self, http: &HttpState, car_no: &CarNo) -> String {
        if let Some(known) = self.0.get(car_no.as_str()) {
            return known.clone();
        }
        // While the ledger cannot be read, the number says which car it is.
        let model = http.service.car(car_no).await.map_or_else(|_| car_no.to_string(), |car| car.car.data.model);
        self.0.insert(car_no.to_string(), model.clone());
        model
    }
}

/// A booking of whatever car and customer.
pub async fn row(http: &HttpState, page: &Page, models: &mut Models, view: &ReservationView) -> BookingRow {
    let subject = &view.booking.subject;
    let is_deferred = http.service.is_payment_deferred(&subject.reservation_no.payment());
    BookingRow {
        address: reservation_address(&subject.reservation_no),
        period: page.format.period(view.booking.period),
        car_no: subject.car_no.to_string(),
        model: models.of(http, &subject.car_no).await,
        who: subject.customer_no.to_string(),
        price: page.format.money(view.booking.price),
        standing: standing(Customer::of(page.language), page, view, is_deferred),
    }
}

/// Bookings of whatever cars and customers, with the names of these.
pub async fn rows(http: &HttpState, caller: &Caller, page: &Page, views: Vec<ReservationView>) -> Vec<BookingRow> {
    let (mut rows, mut models) = (Vec::with_capacity(views.len()), Models::default());
    let customers = views.iter().map(|view| &view.booking.subject.customer_no).collect();
    let names = Names::of(http, caller, page, customers).await;
    for view in &views {
        let who = names.of_customer(&view.booking.subject.customer_no);
        rows.push(BookingRow { who, ..row(http, page, &mut models, view).await });
    }
    rows
}

/// The amount of something that has happened. What cancelling has cost would look like the price.
pub fn amount_in_words(page: &Page, kind: &str, amount: Money) -> String {
    let money = page.format.money(amount);
    if kind == "reservation.cancelled" { Customer::of(page.language).fee_of(money) } else { money }
}

/// Those under way and to come in the order of their beginnings, then those that have ended, the latest first.
pub fn sort(views: &mut [ReservationView]) {
    views.sort_by_key(|view| {
        let from = view.booking.period.from().as_millis();
        if view.booking.status.is_live() { (false, from) } else { (true, -from) }
    });
}
