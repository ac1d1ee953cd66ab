//! A reservation with what belongs to it, in the words of the old services. Decides nothing and asks nobody.
//!
//! The old words are used where the old services had one (`RESERVED`, `RESERVATION_CANCELED`, `PAID`,
//! `PAYMENT_CANCELED`, `RENTED`, `RENTAL_CANCELED`); what they did not know has its present name.

use super::days;
use super::numbering;
use crate::actors::api::{CarView, ReservationView};
use crate::domain::money::Money;
use crate::domain::{fleet, payment, rental, reservation};
use crate::kit::values;
use jiff::tz::TimeZone;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

pub(super) type Row = Map<String, Value>;

/// The most rentals of a car that its information lists.
const RENTALS_LISTED_MAX: usize = 20;

/// A reservation, a payment, a rental or a line of My Page.
pub(super) struct LegacyRow;

values::schema!(
    LegacyRow,
    "LegacyRow",
    false,
    schema(
        &[
            "resrvNo",
            "carNo",
            "custNo",
            "rentalDt",
            "returnDt",
            "paymtNo",
            "procStatus",
            "resrvDt",
            "resrvCncleDt",
            "paymtDt",
            "paymtCncleDt",
            "rentalNo"
        ],
        &["id", "rentalAmt", "paymtAmt", "refundAmt"],
        &["id", "resrvNo", "carNo", "custNo", "rentalDt", "returnDt", "_links"],
    )
);

pub(super) struct LegacyCar;

values::schema!(
    LegacyCar,
    "LegacyCar",
    false,
    schema(&["carNo", "procStatus", "carRegDt"], &["rentalAmt"], &["carNo", "_links"],)
);

fn schema(texts: &[&str], numbers: &[&str], required: &[&str]) -> Schema {
    let text = |name: &&str| {
        let schema = match *name {
            "carRegDt" => json!({ "type": ["string", "null"], "x-nullable": true }),
            _ => json!({ "type": "string" }),
        };
        ((*name).to_owned(), schema)
    };
    let number = |name: &&str| ((*name).to_owned(), json!({ "type": "integer" }));
    let links = ("_links".to_owned(), json!({ "$ref": "#/components/schemas/HalLinks" }));
    let properties: Row = texts.iter().map(text).chain(numbers.iter().map(number)).chain([links]).collect();
    json_schema!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": true,
        "description": "In the words of the old services.",
    })
}

fn put(row: &mut Row, name: &str, value: impl Into<Value>) {
    row.insert(name.to_owned(), value.into());
}

fn reservation_word(view: &ReservationView) -> &'static str {
    match view.booking.status {
        reservation::Status::PaymentPending { .. } | reservation::Status::Confirmed { .. } => "RESERVED",
        reservation::Status::Cancelled { .. } => "RESERVATION_CANCELED",
        reservation::Status::Expired { .. } => "EXPIRED",
        reservation::Status::Completed { .. } | reservation::Status::NoShow { .. } => "COMPLETED",
    }
}

/// What was charged, or was to be at first.
fn asked(payment: &payment::Payment) -> Money {
    let charged = payment.charged();
    if charged.amount() > 0 { charged } else { payment.amount }
}

fn payment_word(payment: &payment::Payment) -> &'static str {
    match payment.status() {
        payment::Status::Requested | payment::Status::NotCharged => "REQUESTED",
        payment::Status::Unknown => "UNKNOWN",
        payment::Status::Declined { .. } => "DECLINED",
        payment::Status::Approved { .. } => "PAID",
        payment::Status::Cancelled(_) => "PAYMENT_CANCELED",
    }
}

fn rental_word(rental: &rental::Rental) -> &'static str {
    match rental.status {
        rental::Status::Rented => "RENTED",
        rental::Status::PickedUp { .. } => "PICKED_UP",
        rental::Status::Returned { .. } => "RETURNED",
        rental::Status::Cancelled { .. } => "RENTAL_CANCELED",
    }
}

fn car_word(status: fleet::Status) -> &'static str {
    match status {
        fleet::Status::Available => "AVAILABLE",
        fleet::Status::Rented => "RENTED",
        fleet::Status::Maintenance => "MAINTENANCE",
        fleet::Status::Retired => "RETIRED",
    }
}

/// The members that all rows about a reservation have.
fn common(view: &ReservationView, zone: &TimeZone) -> Row {
    let (booking, subject) = (&view.booking, &view.booking.subject);
    let mut row = Row::new();
    put(&mut row, "id", booking.serial);
    put(&mut row, "resrvNo", numbering::label(&subject.reservation_no));
    put(&mut row, "carNo", subject.car_no.as_str());
    put(&mut row, "custNo", subject.customer_no.as_str());
    put(&mut row, "rentalDt", days::of(booking.period.from(), zone));
    put(&mut row, "returnDt", days::of(booking.period.to(), zone));
    put(&mut row, "rentalAmt", booking.price.amount());
    put(&mut row, "paymtNo", subject.reservation_no.payment().as_str());
    row
}

/// The day on which the reservation, and its payment with it, was cancelled.
fn cancelled_on(view: &ReservationView, zone: &TimeZone) -> Option<String> {
    match view.booking.status {
        reservation::Status::Cancelled { at, .. } => Some(days::of(at, zone)),
        reservation::Status::PaymentPending { .. }
        | reservation::Status::Confirmed { .. }
        | reservation::Status::Expired { .. }
        | reservation::Status::Completed { .. }
        | reservation::Status::NoShow { .. } => None,
    }
}

pub(super) fn reservation(view: &ReservationView, zone: &TimeZone) -> Row {
    let mut row = common(view, zone);
    put(&mut row, "resrvDt", days::of(view.booking.made_at, zone));
    if let Some(day) = cancelled_on(view, zone) {
        put(&mut row, "resrvCncleDt", day);
    }
    put(&mut row, "procStatus", reservation_word(view));
    row
}

pub(super) fn payment(view: &ReservationView, zone: &TimeZone) -> Row {
    let mut row = common(view, zone);
    let cancelled = cancelled_on(view, zone);
    let word = match (&view.payment, &cancelled) {
        (Some(payment), _) => payment_word(payment),
        (None, Some(_)) => "PAYMENT_CANCELED",
        (None, None) => "REQUESTED",
    };
    put(&mut row, "paymtAmt", view.payment.as_ref().map_or(view.booking.price, asked).amount());
    if let Some(day) = cancelled {
        put(&mut row, "paymtCncleDt", day);
    }
    put(&mut row, "procStatus", word);
    row
}

pub(super) fn rental(view: &ReservationView, zone: &TimeZone) -> Row {
    let mut row = common(view, zone);
    if let Some(rental) = &view.rental {
        put(&mut row, "rentalNo", rental.subject.reservation_no.rental().as_str());
        put(&mut row, "procStatus", rental_word(rental));
    }
    row
}

/// Everything about a reservation; `procStatus` is that of its latest step.
pub(super) fn my_page(view: &ReservationView, zone: &TimeZone) -> Row {
    let mut row = reservation(view, zone);
    let whole = reservation_word(view);
    put(&mut row, "reservationStatus", whole);
    if let Some(payment) = &view.payment {
        put(&mut row, "paymtAmt", asked(payment).amount());
        put(&mut row, "refundAmt", payment.refunded().amount());
        put(&mut row, "paymentStatus", payment_word(payment));
        if let (payment::Status::Cancelled(_), Some(day)) = (payment.status(), cancelled_on(view, zone)) {
            put(&mut row, "paymtCncleDt", day);
        }
    }
    if let Some(rental) = &view.rental {
        put(&mut row, "rentalNo", rental.subject.reservation_no.rental().as_str());
        put(&mut row, "rentalStatus", rental_word(rental));
    }
    let furthest = match (&view.rental, &view.payment) {
        _ if !view.booking.status.is_live() => whole,
        (Some(rental), _) => rental_word(rental),
        (None, Some(payment)) if matches!(payment.status(), payment::Status::Approved { .. }) => payment_word(payment),
        (None, _) => whole,
    };
    put(&mut row, "procStatus", furthest);
    row
}

pub(super) fn car(view: &CarView) -> Row {
    let data = &view.car.data;
    let mut row = Row::new();
    put(&mut row, "carNo", view.car_no.as_str());
    put(&mut row, "rentalAmt", data.daily_rate.amount());
    put(&mut row, "procStatus", car_word(view.status));
    let registered = (data.registered_on > 0).then(|| format!("{:08}", data.registered_on));
    put(&mut row, "carRegDt", registered);
    row
}

/// A car with the rentals that keep it.
pub(super) fn car_information(view: &CarView) -> Row {
    let mut row = car(view);
    put(&mut row, "model", view.car.data.model.as_str());
    put(&mut row, "rentalCount", view.car.rentals.len());
    let listed = view.car.rentals.iter().take(RENTALS_LISTED_MAX).map(|(rental_no, note)| {
        let word = match note {
            fleet::RentalState::Rented => "RENTED",
            fleet::RentalState::PickedUp => "PICKED_UP",
            fleet::RentalState::Overdue => "OVERDUE",
        };
        let reservation_no = rental_no.reservation();
        let resrv_no = reservation_no.as_ref().map(numbering::label);
        json!({ "rentalNo": rental_no.as_str(), "resrvNo": resrv_no, "procStatus": word })
    });
    put(&mut row, "rentals", listed.collect::<Vec<_>>());
    row
}
