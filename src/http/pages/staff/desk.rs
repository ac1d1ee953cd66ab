//! The desk: what is overdue, what is handed over and what comes back on a day.

use super::board::{Names, badge};
use crate::actors::service::{Desk as Tasks, DeskEntry, Reserved, Standing};
use crate::domain::ids::CarNo;
use crate::domain::time::{Period, Timestamp};
use crate::http::HttpState;
use crate::http::pages::format::Format;
use crate::http::pages::live::all_changes;
use crate::http::pages::page::{Page, Section, query_value, reservation_address, show};
use crate::http::pages::texts::Board;
use crate::kit::call::Call;
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::problem::Problem;
use crate::kit::route::{Access, Priority, Route, routes};
use crate::kit::values::segment;
use askama::Template;
use jiff::civil::{Date, Time};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

pub const ADDRESS: &str = "/staff/desk";

routes! { HttpState, "Pages":
    /// The desk
    DESK = Route::page("/staff/desk", Access::Admin, "deskPage").of(Priority::List) => desk;
}

#[derive(Deserialize, JsonSchema)]
#[serde(default)]
#[derive(Default)]
struct Query {
    day: String,
    branch: String,
    done: String,
}

/// What the desk does with a booking.
#[derive(Clone, Copy)]
enum Task {
    HandOver,
    TakeBack,
    /// It is not out yet.
    None,
}

struct Line {
    at: String,
    who: String,
    address: String,
    model: String,
    car_no: String,
    car_address: String,
    branch: String,
    badge: &'static str,
    state: &'static str,
    /// Whom it keeps waiting, or who still has the car.
    other: Option<Other>,
    task: Option<(String, &'static str)>,
}

/// Another booking of the same car, the class of what is told of it, and that.
struct Other {
    address: String,
    class: &'static str,
    told: String,
}

/// A column of the desk.
struct Column {
    id: &'static str,
    title: &'static str,
    empty: &'static str,
    is_urgent: bool,
    lines: Vec<Line>,
}

#[derive(Template)]
#[template(path = "desk.html")]
struct Shown {
    page: Page,
    t: &'static Board,
    title: String,
    day: String,
    branch: String,
    branches: Vec<String>,
    before: Option<String>,
    today: String,
    after: Option<String>,
    is_partial: bool,
    columns: [Column; 3],
}

fn address(day: Date, branch: &str) -> String {
    let branch = if branch.is_empty() { String::new() } else { format!("&branch={}", query_value(branch)) };
    format!("{ADDRESS}?day={day}{branch}")
}

/// The page on which a car is handed over or taken back.
fn task_address(reserved: &Reserved, step: &str, next: &str) -> String {
    let rental_no = reserved.reservation_no.rental();
    format!("/staff/rentals/{}/{step}?next={}", segment(rental_no.as_str()), query_value(next))
}

/// A day as instants; `None` where no booking can be.
fn period(format: &Format, day: Date) -> Option<Period> {
    let [from, to] = [day, day.tomorrow().ok()?].map(|day| format.instant(day.to_datetime(Time::midnight())));
    Period::new(from?, to?)
}

/// What is read of a booking: when, and what is done with it.
struct Reading<'a> {
    page: &'a Page,
    t: &'static Board,
    names: &'a Names,
    day: Date,
    next: &'a str,
}

impl Reading<'_> {
    /// Without the day if it is the one that is shown.
    fn moment(&self, at: Timestamp) -> String {
        let format = &self.page.format;
        if format.local(at).date() == self.day { format.time(at) } else { format.moment(at) }
    }

    fn line(&self, entry: DeskEntry, task: Task, at: Timestamp) -> Line {
        let DeskEntry { car_no, model, branch, booking, other } = entry;
        let (badge, state) = badge(self.t, booking.standing);
        let other = other.map(|other| {
            let who = self.names.of_customer(&other.customer_no);
            let (class, told) = match task {
                Task::HandOver if other.standing == Standing::Overdue => {
                    ("bad", self.t.still_overdue(who, self.moment(other.period.to())))
                }
                Task::HandOver => ("warn", self.t.still_out(who, self.moment(other.period.to()))),
                Task::TakeBack | Task::None => {
                    ("bad", self.t.next_customer(who, self.page.format.moment(other.period.from())))
                }
            };
            Other { address: reservation_address(&other.reservation_no), class, told }
        });
        let task = match task {
            Task::HandOver => Some((task_address(&booking, "pickup", self.next), self.t.hand_over)),
            Task::TakeBack => Some((task_address(&booking, "return", self.next), self.t.take_back)),
            Task::None => None,
        };
        Line {
            at: self.moment(at),
            who: self.names.of_customer(&booking.customer_no),
            address: reservation_address(&booking.reservation_no),
            model,
            car_address: car_address(&car_no),
            car_no: car_no.to_string(),
            branch,
            badge,
            state,
            other,
            task,
        }
    }
}

fn car_address(car_no: &CarNo) -> String {
    format!("/staff/cars/{}", segment(car_no.as_str()))
}

async fn desk(http: Arc<HttpState>, call: Call, query: Query) -> Outcome {
    let page = Page::of(&http, &call, Section::Desk).wide();
    let page = if page.is_staff() { page.following(all_changes(&http)) } else { page };
    let t = Board::of(page.language);
    let caller = call.caller();
    let today = page.format.local(page.format.now()).date();
    let read = |day: Date| Some((day, period(&page.format, day)?));
    let chosen = query.day.parse().ok().and_then(read);
    let (day, period) = chosen.or_else(|| read(today)).ok_or_else(Problem::internal)?;
    let branch = Some(&*query.branch).filter(|branch| !branch.is_empty());
    let (branches, _) = http.service.branches_and_classes().await?;
    let Tasks { overdue, pick_ups, returns, is_partial } = http.service.desk(&caller, &period, branch).await?;
    let entries = || overdue.iter().chain(&pick_ups).chain(&returns);
    let booked = entries().flat_map(|entry| [Some(&entry.booking), entry.other.as_ref()]).flatten();
    let names = Names::of(&http, &caller, &page, booked.map(|booked| &booked.customer_no).collect()).await;
    let next = address(day, &query.branch);
    let reading = Reading { page: &page, t, names: &names, day, next: &next };
    let overdue = overdue.into_iter().map(|entry| {
        let at = entry.booking.period.to();
        reading.line(entry, Task::TakeBack, at)
    });
    let pick_ups = pick_ups.into_iter().map(|entry| {
        let at = entry.booking.period.from();
        reading.line(entry, Task::HandOver, at)
    });
    let returns = returns.into_iter().map(|entry| {
        let at = entry.booking.period.to();
        let task = if entry.booking.is_out() { Task::TakeBack } else { Task::None };
        reading.line(entry, task, at)
    });
    let column = |id, title, empty, is_urgent, lines| Column { id, title, empty, is_urgent, lines };
    let columns = [
        column("overdue", t.overdue, t.none_overdue, true, overdue.collect()),
        column("pick-ups", t.pick_ups, t.no_pick_ups, false, pick_ups.collect()),
        column("returns", t.returns, t.no_returns, false, returns.collect()),
    ];
    let notice = match query.done.as_str() {
        "handed-over" => Some(t.handed_over),
        "taken-back" => Some(t.taken_back),
        _ => None,
    };
    show(&Shown {
        t,
        title: page.format.day(period.from()),
        day: day.to_string(),
        branches,
        before: day.yesterday().ok().map(|day| address(day, &query.branch)),
        today: address(today, &query.branch),
        after: day.tomorrow().ok().map(|day| address(day, &query.branch)),
        branch: query.branch,
        is_partial,
        columns,
        page: page.noting(notice),
    })
}
