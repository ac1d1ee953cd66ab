//! What has happened to a car, a booking or a customer: when, who did it, and what, in words.

use super::addresses::{car_address, customer_address, customer_history_address};
use crate::actors::api::CursorPage;
use crate::actors::service::HistoryEntry;
use crate::domain::desk::WaiverReason;
use crate::domain::ids::{CarNo, CustomerNo, ReservationNo};
use crate::domain::who::{Who, WhoKind};
use crate::http::HttpState;
use crate::http::pages::bookings::{self, BookingRow, amount_in_words};
use crate::http::pages::format::Format;
use crate::http::pages::page::{Page, Section, query_value, reservation_address, show};
use crate::http::pages::reservation::waiver_words;
use crate::http::pages::texts::{Customer, Staff, kind_in_words};
use crate::kit::call::{Call, Nothing};
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::route::{Access, Priority, Route, routes};
use crate::kit::values::Cursor;
use askama::Template;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

const ENTRIES_PER_PAGE: usize = 50;
/// An id of somebody that is longer than this is shown by its end.
const ID_CHARS_SHOWN: usize = 16;

routes! { HttpState, "Pages":
    /// What people have done with a car
    OF_CAR = Route::page("/staff/history/cars/{carNo}", Access::Admin, "carHistoryPage").of(Priority::List) => of_car;
    /// What has happened to a booking
    OF_RESERVATION = Route::page("/staff/history/reservations/{reservationNo}", Access::AllBookings, "reservationHistoryPage")
        .of(Priority::List) => of_reservation;
    /// What has happened to a customer
    OF_CUSTOMER = Route::page("/staff/history/customers/{customerNo}", Access::AllBookings, "customerHistoryPage")
        .of(Priority::List) => of_customer;
}

#[derive(Deserialize, JsonSchema)]
#[serde(default)]
#[derive(Default)]
struct HistoryQuery {
    cursor: Option<Cursor>,
}

/// An entry as a line of a list.
pub struct HistoryRow {
    pub at: String,
    pub machine_at: String,
    pub words: &'static str,
    /// Who did it, and the whole id where that is longer.
    pub by: Option<(String, String)>,
    pub period: Option<String>,
    pub amount: Option<String>,
    pub note: Option<String>,
    /// The booking that it is about.
    pub booking: Option<(String, String)>,
}

#[derive(Template)]
#[template(path = "staff/history.html")]
struct History {
    page: Page,
    t: &'static Staff,
    title: String,
    /// Where what it is about is shown.
    address: String,
    back: String,
    note: Option<&'static str>,
    rows: Vec<HistoryRow>,
    next: Option<String>,
    /// The bookings of a car, each of which has a history of its own.
    bookings: Vec<BookingRow>,
}

/// The end of an id that is too long to be read.
fn shown_id(id: &str) -> String {
    let count = id.chars().count();
    if count <= ID_CHARS_SHOWN {
        id.to_owned()
    } else {
        format!("…\u{2060}{}", id.chars().skip(count - 8).collect::<String>())
    }
}

/// Whether it is for programs, such as `card_declined`.
fn is_code(note: &str) -> bool {
    note.contains('_') && note.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

fn who_in_words(t: &'static Staff, by: &Who) -> (String, String) {
    let id = shown_id(&by.id);
    let words = match by.kind {
        WhoKind::Customer => t.by_customer.to_owned(),
        WhoKind::Staff => t.by_staff(id),
        WhoKind::Machine | WhoKind::ApiKey => t.by_program(id),
    };
    (words, by.id.clone())
}

/// An entry as it is shown on a page.
pub fn history_row(page: &Page, entry: HistoryEntry) -> HistoryRow {
    let (t, customer) = (Staff::of(page.language), Customer::of(page.language));
    let note = entry.note.map(|note| match WaiverReason::of_code(&note) {
        Some(reason) => waiver_words(customer, reason).to_owned(),
        None => note,
    });
    // A code of a refusal, which the words of the entry tell already.
    let note = note.filter(|note| !is_code(note));
    HistoryRow {
        at: page.format.moment(entry.at),
        machine_at: Format::machine(entry.at),
        words: kind_in_words(page.language, &entry.kind),
        by: entry.by.as_ref().map(|by| who_in_words(t, by)),
        period: entry.period.map(|period| page.format.period(period)),
        amount: entry.amount.map(|amount| amount_in_words(page, &entry.kind, amount)),
        note,
        booking: entry.reservation_no.map(|no| (reservation_address(&no), shown_id(no.as_str()))),
    }
}

async fn of_car(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    let car_no: CarNo = call.number()?.resolve(&http.service, &call.caller()).await?;
    let page = Page::of(&http, &call, Section::Cars);
    let t = Staff::of(page.language);
    // Whether there is such a car.
    http.service.car(&car_no).await?;
    let entries = http.service.car_history(&car_no).await?;
    // Who works with cars only sees no bookings, as in the interface.
    let booked = if page.is_staff() {
        let booked = http.service.bookings_of_car(&car_no).await?;
        booked.live.into_iter().rev().chain(booked.closed).collect()
    } else {
        vec![]
    };
    show(&History {
        t,
        title: t.of_car(&car_no),
        address: car_address(&car_no),
        back: car_no.to_string(),
        note: Some(t.car_history_note),
        rows: entries.into_iter().map(|entry| history_row(&page, entry)).collect(),
        next: None,
        bookings: bookings::rows(&http, &call.caller(), &page, booked).await,
        page,
    })
}

async fn of_reservation(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    let caller = call.caller();
    let reservation_no: ReservationNo = call.number()?.resolve(&http.service, &caller).await?;
    let page = Page::of(&http, &call, Section::Customers);
    let t = Staff::of(page.language);
    let (entries, is_whole) = http.service.reservation_history(&caller, &reservation_no).await?;
    // All of it is about the one booking.
    let row = |entry| HistoryRow { booking: None, ..history_row(&page, entry) };
    let title = t.of_booking(shown_id(reservation_no.as_str()));
    show(&History {
        t,
        title,
        address: reservation_address(&reservation_no),
        back: t.booking_no(shown_id(reservation_no.as_str())),
        note: (!is_whole).then_some(t.not_whole),
        rows: entries.into_iter().map(row).collect(),
        next: None,
        bookings: vec![],
        page,
    })
}

async fn of_customer(http: Arc<HttpState>, call: Call, query: HistoryQuery) -> Outcome {
    let caller = call.caller();
    let customer_no: CustomerNo = call.number()?.resolve(&http.service, &caller).await?;
    let page = Page::of(&http, &call, Section::Customers);
    let t = Staff::of(page.language);
    let cursor = query.cursor.as_ref().map(|cursor| cursor.0.as_str());
    let history = http.service.customer_history(&caller, &customer_no, cursor, ENTRIES_PER_PAGE).await??;
    let CursorPage { items, next_cursor } = history;
    let own = customer_history_address(&customer_no);
    show(&History {
        t,
        title: t.of_customer(shown_id(customer_no.as_str())),
        address: customer_address(&customer_no),
        back: shown_id(customer_no.as_str()),
        note: None,
        rows: items.into_iter().map(|entry| history_row(&page, entry)).collect(),
        next: next_cursor.map(|cursor| format!("{own}?cursor={}", query_value(&cursor))),
        bookings: vec![],
        page,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::pages::texts::Language;

    #[test]
    fn who_did_it_is_told_by_an_id_that_can_be_read() {
        let t = Staff::of(Language::English);
        let of = |kind, id: &str| who_in_words(t, &Who { kind, id: id.to_owned() }).0;
        assert_eq!(of(WhoKind::Staff, "minji"), "staff minji");
        assert_eq!(of(WhoKind::Staff, "a019dd2c4e8f7a00b6c1d2e3f405162738"), "staff …\u{2060}05162738");
        assert_eq!(of(WhoKind::ApiKey, "shop"), "API client shop");
        assert_eq!(of(WhoKind::Customer, "kim"), "the customer");
    }
}
