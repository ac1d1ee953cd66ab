//! Bookings as lines of a list.

use super::page::{Page, reservation_address};
use super::reservation::{Standing, standing};
use super::texts::Customer;
use crate::actors::api::ReservationView;
use crate::domain::ids::CarNo;
use crate::http::HttpState;
use std::collections::HashMap;

/// A booking as a line of a list.
pub struct BookingRow {
    pub address: String,
    pub period: String,
    pub car_no: String,
    pub model: String,
    pub customer_no: String,
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
        customer_no: subject.customer_no.to_string(),
        price: page.format.money(view.booking.price),
        standing: standing(Customer::of(page.language), page, view, is_deferred),
    }
}

/// Bookings of whatever cars and customers.
pub async fn rows(http: &HttpState, page: &Page, views: Vec<ReservationView>) -> Vec<BookingRow> {
    let (mut rows, mut models) = (Vec::with_capacity(views.len()), Models::default());
    for view in &views {
        rows.push(row(http, page, &mut models, view).await);
    }
    rows
}
