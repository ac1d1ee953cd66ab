//! My Page: a customer's bookings as they stand, and everything that has happened to them.

use super::bookings::{self, BookingRow, Models, amount_in_words, row};
use super::format::Format;
use super::live::customer_changes;
use super::page::{Page, Section, go_to, query_value, reservation_address, show};
use super::texts::{Customer, kind_in_words};
use crate::actors::api::FeedEntry;
use crate::domain::time::MINUTE_MS;
use crate::http::HttpState;
use crate::kit::call::Call;
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::route::{Access, Priority, Route, routes};
use crate::kit::values::Cursor;
use askama::Template;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

const BOOKINGS_PER_PAGE: usize = 20;
const ENTRIES_PER_PAGE: usize = 30;

routes! { HttpState, "Pages":
    /// My Page
    MY_PAGE = Route::page("/my", Access::Owner, "myPage").of(Priority::List) => my_page;
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Query {
    /// Of older bookings.
    bookings: Option<Cursor>,
    /// Of older entries.
    history: Option<Cursor>,
}

#[derive(Template)]
#[template(path = "my.html")]
struct MyPage {
    page: Page,
    t: &'static Customer,
    name: String,
    live: Vec<BookingRow>,
    ended: Vec<BookingRow>,
    happened: Vec<Happened>,
    more_bookings: Option<String>,
    more_history: Option<String>,
    is_first: bool,
}

/// What has happened to a booking at once, such as all that comes of booking and paying in one step.
struct Happened {
    at: String,
    machine_at: String,
    address: String,
    about: String,
    /// In the order in which they came.
    steps: Vec<Step>,
}

struct Step {
    what: &'static str,
    amount: Option<String>,
}

/// Whether the same is told by an entry of the reservation, which is what a customer knows of.
fn is_told(entry: &FeedEntry, group: &[FeedEntry]) -> bool {
    let told = match &*entry.kind {
        "rental.rented" => "reservation.confirmed",
        "rental.picked_up" => "reservation.picked_up",
        "rental.returned" => "reservation.completed",
        "rental.cancelled" => "reservation.cancelled",
        "rental.changed" | "rental.left" => "reservation.changed",
        _ => return false,
    };
    group.iter().any(|other| other.kind == told)
}

/// The entries of a history, the newest first; what happened to one booking in the same minute stands together.
async fn together(http: &HttpState, page: &Page, models: &mut Models, entries: &[FeedEntry]) -> Vec<Happened> {
    let minute = |entry: &FeedEntry| entry.at.as_millis() / MINUTE_MS;
    let is_one =
        |one: &FeedEntry, other: &FeedEntry| one.reservation_no == other.reservation_no && minute(one) == minute(other);
    let step = |entry: &FeedEntry| Step {
        what: kind_in_words(page.language, &entry.kind),
        amount: entry
            .amount
            .filter(|amount| amount.amount() > 0)
            .map(|amount| amount_in_words(page, &entry.kind, amount)),
    };
    let mut happened = vec![];
    for group in entries.chunk_by(is_one) {
        let Some(newest) = group.first() else { continue };
        happened.push(Happened {
            at: page.format.moment(newest.at),
            machine_at: Format::machine(newest.at),
            address: reservation_address(&newest.reservation_no),
            about: models.of(http, &newest.car_no).await,
            steps: group.iter().rev().filter(|entry| !is_told(entry, group)).map(step).collect(),
        });
    }
    happened
}

async fn my_page(http: Arc<HttpState>, call: Call, query: Query) -> Outcome {
    let page = Page::of(&http, &call, Section::MyPage);
    let t = Customer::of(page.language);
    let caller = call.caller();
    // Staff have the pages of every customer.
    let Some(customer_no) = caller.customer().cloned() else { return Ok(go_to("/staff/customers")) };
    let Query { bookings: older, history } = query;
    let is_first = older.is_none() && history.is_none();
    let mine =
        http.service.my_page(&caller, &customer_no, history.as_ref().map(|cursor| cursor.0.as_str()), ENTRIES_PER_PAGE);
    let mine = mine.await??;
    let cursor = older.as_ref().map(|cursor| cursor.0.as_str());
    let mut all = http.service.reservations_of(&caller, &customer_no, cursor, BOOKINGS_PER_PAGE).await??;
    bookings::sort(&mut all.items);
    let (mut live, mut ended, mut models) = (vec![], vec![], Models::default());
    for view in &all.items {
        let booked = row(&http, &page, &mut models, view).await;
        if view.booking.status.is_live() { live.push(booked) } else { ended.push(booked) }
    }
    let happened = together(&http, &page, &mut models, &mine.entries).await;
    let page = if is_first { page.following(customer_changes(&customer_no, &mine.last_event_id)) } else { page };
    show(&MyPage {
        t,
        name: mine.customer.map(|customer| customer.data.name).unwrap_or_default(),
        live,
        ended,
        happened,
        more_bookings: all.next_cursor.map(|cursor| format!("/my?bookings={}", query_value(&cursor))),
        more_history: mine.next_cursor.map(|cursor| format!("/my?history={}#history", query_value(&cursor))),
        is_first,
        page,
    })
}
