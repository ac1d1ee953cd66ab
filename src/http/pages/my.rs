//! My Page: a customer's bookings as they stand, and everything that has happened to them.

use super::bookings::{BookingRow, Models, row};
use super::format::Format;
use super::live::customer_changes;
use super::page::{Page, Section, go_to, query_value, reservation_address, show};
use super::texts::{Customer, kind_in_words};
use crate::actors::api::FeedEntry;
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
    entries: Vec<Entry>,
    more_bookings: Option<String>,
    more_history: Option<String>,
    is_first: bool,
}

/// Something that has happened.
struct Entry {
    at: String,
    machine_at: String,
    what: &'static str,
    address: String,
    about: String,
    amount: Option<String>,
}

async fn entry(http: &HttpState, page: &Page, models: &mut Models, entry: FeedEntry) -> Entry {
    Entry {
        at: page.format.moment(entry.at),
        machine_at: Format::machine(entry.at),
        what: kind_in_words(page.language, &entry.kind),
        address: reservation_address(&entry.reservation_no),
        about: models.of(http, &entry.car_no).await,
        amount: entry.amount.map(|amount| page.format.money(amount)),
    }
}

async fn my_page(http: Arc<HttpState>, call: Call, query: Query) -> Outcome {
    let page = Page::of(&http, &call, Section::MyPage);
    let t = Customer::of(page.language);
    let caller = call.caller();
    // Staff have the pages of every customer.
    let Some(customer_no) = caller.customer().cloned() else { return Ok(go_to("/staff/customers")) };
    let Query { bookings, history } = query;
    let is_first = bookings.is_none() && history.is_none();
    let mine =
        http.service.my_page(&caller, &customer_no, history.as_ref().map(|cursor| cursor.0.as_str()), ENTRIES_PER_PAGE);
    let mine = mine.await??;
    let cursor = bookings.as_ref().map(|cursor| cursor.0.as_str());
    let all = http.service.reservations_of(&caller, &customer_no, cursor, BOOKINGS_PER_PAGE).await??;
    let (mut live, mut ended, mut models) = (vec![], vec![], Models::default());
    for view in &all.items {
        let booked = row(&http, &page, &mut models, view).await;
        if view.booking.status.is_live() { live.push((view.booking.period.from(), booked)) } else { ended.push(booked) }
    }
    live.sort_by_key(|(from, _)| *from);
    let mut entries = Vec::with_capacity(mine.entries.len());
    for happened in mine.entries {
        entries.push(entry(&http, &page, &mut models, happened).await);
    }
    let page = if is_first { page.following(customer_changes(&customer_no, &mine.last_event_id)) } else { page };
    show(&MyPage {
        t,
        name: mine.customer.map(|customer| customer.data.name).unwrap_or_default(),
        live: live.into_iter().map(|(_, booked)| booked).collect(),
        ended,
        entries,
        more_bookings: all.next_cursor.map(|cursor| format!("/my?bookings={}", query_value(&cursor))),
        more_history: mine.next_cursor.map(|cursor| format!("/my?history={}#history", query_value(&cursor))),
        is_first,
        page,
    })
}
