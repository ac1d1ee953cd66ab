//! The start page: which cars are free, and what they cost.

use super::page::{Page, Section, query_value, show};
use super::period::TypedPeriod;
use super::texts::{Customer, Staff};
use crate::actors::api::Offer;
use crate::domain::ids::CarNo;
use crate::domain::time::Period;
use crate::http::HttpState;
use crate::http::cars::last_car;
use crate::kit::call::Call;
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::route::{Access, Route, routes};
use crate::kit::values::{Cursor, Instant, segment};
use askama::Template;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

const OFFERS_PER_PAGE: usize = 24;
/// What has been done before somebody comes here who has signed up.
pub const SIGNED_UP: &str = "signed-up";

routes! { HttpState, "Pages":
    /// Find a car
    START = Route::page("/", Access::Visitor, "startPage") => start;
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Query {
    from_day: String,
    from_time: String,
    to_day: String,
    to_time: String,
    branch: String,
    car_class: String,
    cursor: Option<Cursor>,
    /// For whom staff look for a car.
    customer_no: String,
    done: String,
}

#[derive(Template)]
#[template(path = "search.html")]
struct Search {
    page: Page,
    t: &'static Customer,
    typed: TypedPeriod,
    first_day: String,
    branches: Vec<String>,
    classes: Vec<String>,
    branch: String,
    car_class: String,
    customer_no: String,
    found: Option<Found>,
    /// Whether a period was typed that is none.
    wrong: bool,
    /// For staff of a fleet without cars.
    add_car: &'static str,
}

struct Found {
    days: String,
    offers: Vec<Offered>,
    next: Option<String>,
    is_first: bool,
}

/// A car as it is offered.
struct Offered {
    model: String,
    car_class: String,
    branch: String,
    daily_rate: String,
    price: String,
    book: String,
    /// How many are alike, if several are.
    free: Option<String>,
}

/// The address at which a car is booked.
fn book_address(car_no: &CarNo, period: Period, customer_no: &str) -> String {
    let [from, to] = [period.from(), period.to()].map(|at| query_value(&Instant(at).to_string()));
    let customer =
        if customer_no.is_empty() { String::new() } else { format!("&customerNo={}", query_value(customer_no)) };
    format!("/book?carNo={}&from={from}&to={to}{customer}", segment(car_no.as_str()))
}

async fn start(http: Arc<HttpState>, call: Call, query: Query) -> Outcome {
    let page = Page::of(&http, &call, Section::Search);
    let t = Customer::of(page.language);
    let Query { from_day, from_time, to_day, to_time, branch, car_class, cursor, customer_no, done } = query;
    let given = TypedPeriod { from_day, from_time, to_day, to_time };
    let typed = if given.is_empty() { TypedPeriod::suggested(&page.format) } else { given.clone() };
    let period = typed.read(&page.format).filter(|_| !given.is_empty());
    let (branches, classes) = http.service.branches_and_classes().await?;
    let found = match period {
        None => None,
        Some(period) => {
            let is_first = cursor.is_none();
            let cursor = last_car(&http, &call.caller(), cursor).await?;
            let [wanted_class, wanted_branch] =
                [&car_class, &branch].map(|word| Some(word.as_str()).filter(|word| !word.is_empty()));
            let listing =
                http.service.availability(period, wanted_class, wanted_branch, cursor.as_ref(), OFFERS_PER_PAGE);
            let listing = listing.await??;
            // Cars that are alike stand behind each other.
            let alike = |one: &Offer, other: &Offer| {
                (&one.model, &one.car_class, &one.branch, one.daily_rate)
                    == (&other.model, &other.car_class, &other.branch, other.daily_rate)
            };
            let offered = |group: &[Offer]| {
                let offer = group.first()?;
                Some(Offered {
                    daily_rate: t.a_day(page.format.money(offer.daily_rate)),
                    price: t.total(page.format.money(offer.price)),
                    book: book_address(&offer.car_no, period, &customer_no),
                    model: offer.model.clone(),
                    car_class: offer.car_class.clone(),
                    branch: offer.branch.clone(),
                    free: (group.len() > 1).then(|| t.several_free(group.len())),
                })
            };
            Some(Found {
                days: page.format.period(period),
                offers: listing.items.chunk_by(alike).filter_map(offered).collect(),
                next: listing
                    .next_cursor
                    .map(|cursor| next_address(&typed, [&branch, &car_class, &customer_no], &cursor)),
                is_first,
            })
        }
    };
    let notice = match done.as_str() {
        "erased" => Some(t.done_erased.to_owned()),
        _ => welcome(&http, &call, &page, &done).await,
    };
    let (add_car, page) = (Staff::of(page.language).add_car, page.noting(notice));
    let wrong = !given.is_empty() && period.is_none();
    let first_day = TypedPeriod::first_day(&page.format);
    show(&Search {
        page,
        t,
        typed,
        first_day,
        branches,
        classes,
        branch,
        car_class,
        customer_no,
        found,
        wrong,
        add_car,
    })
}

/// Greets somebody who has just signed up.
pub async fn welcome(http: &HttpState, call: &Call, page: &Page, done: &str) -> Option<String> {
    let customer_no = page.customer().filter(|_| done == SIGNED_UP)?;
    let customer = http.service.customer(&call.caller(), customer_no).await.ok()?;
    Some(Customer::of(page.language).welcome(customer.data.name))
}

fn next_address(typed: &TypedPeriod, [branch, car_class, customer_no]: [&str; 3], cursor: &str) -> String {
    let members = [
        ("fromDay", typed.from_day.as_str()),
        ("fromTime", &typed.from_time),
        ("toDay", &typed.to_day),
        ("toTime", &typed.to_time),
        ("branch", branch),
        ("carClass", car_class),
        ("customerNo", customer_no),
        ("cursor", cursor),
    ];
    let pairs: Vec<_> = members.iter().map(|(name, value)| format!("{name}={}", query_value(value))).collect();
    format!("/?{}", pairs.join("&"))
}
