//! The board: what the cars of the fleet have before them, a row for each car and a bar for each booking and block; and the same
//! as a list.

mod columns;

use crate::actors::api::{Caller, CursorPage};
use crate::actors::service::{CarPlace, CarSchedule, CarsFilter, CarsPart, Entry, EntryKind, Standing};
use crate::domain::ids::{CarNo, CustomerNo};
use crate::domain::time::Period;
use crate::http::HttpState;
use crate::http::pages::assets::BOARD_STYLE;
use crate::http::pages::live::all_changes;
use crate::http::pages::page::{Page, Section, query_value, reservation_address, show};
use crate::http::pages::texts::Board;
use crate::kit::call::Call;
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::problem::Problem;
use crate::kit::route::{Access, Priority, Route, routes};
use crate::kit::values::segment;
use askama::Template;
use columns::{Span, Window};
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;

/// The most cars of a page, and the most that stands in their calendars. A page that is renewed may have twice as much.
const TIME_LINE: (usize, usize) = (50, 300);
/// A line of the list has more in it than a bar.
const LIST: (usize, usize) = (25, 150);
/// What a page may weigh, in bytes, however long the names are in it, unless its one car has more than that.
const PAGE_BYTES_MAX: usize = 90_000;
/// The same of a page that is renewed, so that some bookings more do not cut it in two.
const RENEWED_BYTES_MAX: usize = 98_000;
/// How many characters of a name there are room for, and in a bar.
const NAME_CHARS_MAX: usize = 40;
const BAR_CHARS_MAX: usize = 24;
const ADDRESS: &str = "/staff/board";

routes! { HttpState, "Pages":
    /// The fleet board
    BOARD = Route::page("/staff/board", Access::Admin, "boardPage").of(Priority::List) => board;
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Query {
    /// `list`, or else the time line.
    view: String,
    /// `month`, or else the week.
    span: String,
    /// A day of it, today unless told.
    day: String,
    branch: String,
    car_class: String,
    /// `time`, or else by car; of the list.
    sort: String,
    /// The place where the page before has ended.
    cursor: String,
    /// The place where this page ended when it was shown first: so that a page that is renewed ends there again, and those
    /// that follow it neither repeat a car nor leave one out, wherever cars go.
    until: String,
}

/// What is shown, as the query of a link tells it.
#[derive(Debug, Clone)]
struct Choice {
    is_list: bool,
    span: Span,
    day: Date,
    branch: String,
    car_class: String,
    by_time: bool,
}

impl Choice {
    fn address(&self) -> String {
        let span = match self.span {
            Span::Week => "",
            Span::Month => "month",
        };
        let day = self.day.to_string();
        let members = [
            ("view", if self.is_list { "list" } else { "" }),
            ("span", span),
            ("day", &day),
            ("branch", &self.branch),
            ("carClass", &self.car_class),
            ("sort", if self.by_time { "time" } else { "" }),
        ];
        let told = members.into_iter().filter(|(_, value)| !value.is_empty());
        let pairs: Vec<_> = told.map(|(name, value)| format!("{name}={}", query_value(value))).collect();
        format!("{ADDRESS}?{}", pairs.join("&"))
    }

    fn on(&self, day: Date) -> String {
        Choice { day, ..self.clone() }.address()
    }
}

/// A link of a row of choices.
struct Tab {
    address: String,
    word: &'static str,
    is_current: bool,
}

struct Day {
    class: String,
    weekday: String,
    number: i8,
    is_today: bool,
}

#[derive(Template)]
#[template(path = "board_row.html")]
struct Row {
    t: &'static Board,
    /// Branch and class, where they are others than in the row before.
    group: Option<String>,
    car_no: String,
    model: String,
    address: String,
    is_retired: bool,
    bars: Vec<Bar>,
}

struct Bar {
    class: String,
    address: String,
    /// The customer, or why the car is blocked.
    who: String,
    /// Period and state.
    more: String,
}

#[derive(Template)]
#[template(path = "board_line.html")]
struct Line {
    car_no: String,
    model: String,
    car_address: String,
    who: String,
    address: String,
    period: String,
    badge: &'static str,
    state: &'static str,
}

#[derive(Template)]
#[template(path = "board.html")]
struct Shown {
    page: Page,
    t: &'static Board,
    style: &'static str,
    choice: Choice,
    title: String,
    /// The window before, today's, and the one after.
    before: Option<(String, &'static str)>,
    today: String,
    after: Option<(String, &'static str)>,
    views: [Tab; 2],
    spans: [Tab; 2],
    sorts: [Tab; 2],
    branches: Vec<String>,
    classes: Vec<String>,
    legend: Vec<(&'static str, &'static str)>,
    /// The classes of the grid: how many days it has, where its weekends are, and today's column.
    grid: String,
    days: Vec<Day>,
    /// What there is of cars, already written; of the list in the order of its lines.
    rows: Vec<String>,
    /// What tells these rows from those of other pages.
    part: String,
    /// The page that has them, with an end.
    from: String,
    is_first: bool,
    first: String,
    /// What the rows that follow are told by, and the page that has them.
    more: Option<(String, String)>,
}

async fn board(http: Arc<HttpState>, call: Call, query: Query) -> Outcome {
    let page = Page::of(&http, &call, Section::Board).wide();
    let page = if page.is_staff() { page.following(all_changes(&http)) } else { page };
    let t = Board::of(page.language);
    let caller = call.caller();
    let today = page.format.local(page.format.now()).date();
    let choice = Choice {
        is_list: query.view == "list",
        span: if query.span == "month" { Span::Month } else { Span::Week },
        day: query.day.parse().unwrap_or(today),
        branch: query.branch,
        car_class: query.car_class,
        by_time: query.sort == "time",
    };
    let shown = |day| Window::around(day, choice.span).and_then(|window| Some((window, window.period(&page.format)?)));
    let (window, period) = shown(choice.day).or_else(|| shown(today)).ok_or_else(Problem::internal)?;
    let place = |text: &str| if text.is_empty() { Ok(None) } else { CarPlace::parse(text).map(Some) };
    let (after, until) = (place(&query.cursor)?, place(&query.until)?);
    let [branch, car_class] =
        [&choice.branch, &choice.car_class].map(|word| Some(&**word).filter(|word| !word.is_empty()));
    let filter = CarsFilter { branch, car_class };
    let (branches, classes) = http.service.branches_and_classes().await?;
    let (cars_max, entries_max) = if choice.is_list { LIST } else { TIME_LINE };
    let (times, bytes_max) = if until.is_some() { (2, RENEWED_BYTES_MAX) } else { (1, PAGE_BYTES_MAX) };
    let (cars_max, entries_max) = (times * cars_max, times * entries_max);
    let wanted = CarsPart { after: after.as_ref(), until: until.as_ref(), cars_max, entries_max };
    let cars = http.service.schedule(&caller, &period, filter, wanted).await??;
    let CursorPage { items: cars, next_cursor } = cars;
    let booked = cars.iter().flat_map(|car| &car.entries).filter_map(|entry| match &entry.kind {
        EntryKind::Booked(reserved) => Some(&reserved.customer_no),
        EntryKind::Blocked { .. } => None,
    });
    let names = Names::of(&http, &caller, &page, booked.collect()).await;
    let (step_before, step_after) = match choice.span {
        Span::Week => (t.week_before, t.week_after),
        Span::Month => (t.month_before, t.month_after),
    };
    let tab = |choice: Choice, word, is_current| Tab { address: choice.address(), word, is_current };
    let (is_list, by_time, span) = (choice.is_list, choice.by_time, choice.span);
    let mut shown = Shown {
        t,
        style: &BOARD_STYLE,
        title: title(&page, window),
        before: window.before().map(|day| (choice.on(day), step_before)),
        today: choice.on(today),
        after: window.after().map(|day| (choice.on(day), step_after)),
        views: [(t.time_line, false), (t.list, true)]
            .map(|(word, is)| tab(Choice { is_list: is, ..choice.clone() }, word, is_list == is)),
        spans: [(t.week, Span::Week), (t.month, Span::Month)]
            .map(|(word, is)| tab(Choice { span: is, ..choice.clone() }, word, span == is)),
        sorts: [(t.by_car, false), (t.by_time, true)]
            .map(|(word, is)| tab(Choice { by_time: is, ..choice.clone() }, word, by_time == is)),
        branches,
        classes,
        legend: legend(t),
        grid: grid(window, today),
        days: days(&page, window, today),
        // Not empty, since what there is none of is told in other words than what there is.
        rows: vec![String::new()],
        part: query.cursor,
        from: String::new(),
        is_first: after.is_none(),
        first: choice.address(),
        more: None,
        choice,
        page,
    };
    let place_of = |car: &CarSchedule| car.place.to_string();
    // What the rest weighs is known before it is known where the page ends.
    shown.end_at(cars.last().map(place_of), &query.until);
    let bytes_left = bytes_max.saturating_sub(written(&shown)?.len());
    let (rows, cars_shown) = if is_list {
        lines(&shown.page, t, &names, &cars, (by_time, bytes_left))?
    } else {
        rows(&shown.page, t, &names, &cars, (window, bytes_left))?
    };
    shown.rows = rows;
    let last = cars.get(cars_shown.saturating_sub(1)).filter(|_| cars_shown < cars.len());
    shown.end_at(last.map(place_of).or(next_cursor), &query.until);
    show(&shown)
}

impl Shown {
    /// Has the page end at a place, if others follow; one that is renewed was to end at `until`.
    fn end_at(&mut self, end: Option<String>, until: &str) {
        let address = self.choice.address();
        let with = |name: &str, place: &str| {
            if place.is_empty() { String::new() } else { format!("&{name}={}", query_value(place)) }
        };
        let last = end.as_deref().unwrap_or(until);
        self.from = if last.is_empty() {
            self.page.address.clone()
        } else {
            format!("{address}{}{}", with("cursor", &self.part), with("until", last))
        };
        self.more = end.map(|end| {
            // What there was no room for is a page of its own, up to where this one should have ended.
            let until = if end == until { String::new() } else { with("until", until) };
            let more = format!("{address}{}{until}", with("cursor", &end));
            (end, more)
        });
    }
}

fn written(template: &impl Template) -> Result<String, Problem> {
    template.render().map_err(|error| {
        tracing::error!(%error, "part of the board not rendered");
        Problem::internal()
    })
}

fn title(page: &Page, window: Window) -> String {
    let day = |day: Date| page.format.instant(day.at(12, 0, 0, 0)).map_or_else(String::new, |at| page.format.day(at));
    match window.span {
        Span::Week => format!("{} – {}", day(window.first), window.dates().last().map(day).unwrap_or_default()),
        Span::Month => page.format.month(window.first),
    }
}

fn grid(window: Window, today: Date) -> String {
    let days = format!("d{} f{}", window.days, window.first.weekday().to_monday_zero_offset());
    if window.contains(today) { format!("{days} today c{}", window.day(today).column) } else { days }
}

fn days(page: &Page, window: Window, today: Date) -> Vec<Day> {
    let day = |day: Date| {
        let place = window.day(day);
        Day {
            class: format!("c{} w{}", place.column, place.width),
            weekday: page.format.weekday(day),
            number: day.day(),
            is_today: day == today,
        }
    };
    window.dates().map(day).collect()
}

fn car_address(car_no: &CarNo) -> String {
    format!("/staff/cars/{}", segment(car_no.as_str()))
}

/// Class of a bar, class of a badge, and word.
const fn told(t: &'static Board, standing: Standing) -> (&'static str, &'static str, &'static str) {
    match standing {
        Standing::Held => ("held", "warn", t.held),
        Standing::Changing => ("changing", "info", t.changing),
        Standing::Paid => ("paid", "ok", t.paid),
        Standing::NotCollected => ("missed", "warn", t.not_collected),
        Standing::Out => ("out", "info", t.out),
        Standing::Overdue => ("late", "bad", t.overdue),
        Standing::Returned => ("back", "", t.returned),
    }
}

/// How a booking stands, as the class of a badge and a word.
pub const fn badge(t: &'static Board, standing: Standing) -> (&'static str, &'static str) {
    let (_, badge, word) = told(t, standing);
    (badge, word)
}

fn legend(t: &'static Board) -> Vec<(&'static str, &'static str)> {
    let all = [
        Standing::Held,
        Standing::Changing,
        Standing::Paid,
        Standing::NotCollected,
        Standing::Out,
        Standing::Overdue,
        Standing::Returned,
    ];
    let bars = all.into_iter().map(|standing| told(t, standing)).map(|(bar, _, word)| (bar, word));
    bars.chain([("block", t.blocked)]).collect()
}

/// An entry as people read it.
struct Read {
    bar: &'static str,
    badge: &'static str,
    state: &'static str,
    /// The customer, or why the car is blocked.
    who: String,
    address: String,
    /// What was reserved, however long the car is really taken.
    period: Period,
}

impl Read {
    fn of(t: &'static Board, names: &Names, car: &CarSchedule, entry: &Entry) -> Read {
        match &entry.kind {
            EntryKind::Booked(reserved) => {
                let (bar, badge, state) = told(t, reserved.standing);
                let (who, address) =
                    (names.of_customer(&reserved.customer_no), reservation_address(&reserved.reservation_no));
                let who = shortened(&who, BAR_CHARS_MAX);
                Read { bar, badge, state, who, address, period: reserved.period }
            }
            EntryKind::Blocked { reason, .. } => {
                let (who, address) = (shortened(reason, BAR_CHARS_MAX), car_address(&car.car_no));
                Read { bar: "block", badge: "", state: t.blocked, who, address, period: entry.period }
            }
        }
    }
}

/// The rows of so many cars as there is room for, and of how many those are.
fn rows(
    page: &Page,
    t: &'static Board,
    names: &Names,
    cars: &[CarSchedule],
    (window, bytes_max): (Window, usize),
) -> Result<(Vec<String>, usize), Problem> {
    let mut before = None;
    let row = |car: &CarSchedule| {
        let here = (car.branch.clone(), car.car_class.clone());
        let is_other = before.as_ref() != Some(&here);
        let group = match (car.branch.as_str(), car.car_class.as_str()) {
            (_, _) if !is_other => None,
            ("", "") => None,
            (branch, "") => Some(branch.to_owned()),
            ("", class) => Some(page.class_name(class).to_owned()),
            (branch, class) => Some(t.cars_of(branch, page.class_name(class))),
        };
        before = Some(here);
        let bar = |entry: &Entry| {
            let Read { bar, state, who, address, period, badge: _ } = Read::of(t, names, car, entry);
            let place = window.place(&page.format, &entry.period);
            let mut class = format!("{bar} c{} w{}", place.column, place.width);
            // It grows to the left when all of it is shown.
            let is_late = 2 * place.column > window.columns();
            for (class_of, is) in [(" in", place.comes_in), (" on", place.goes_on), (" end", is_late)] {
                class.push_str(if is { class_of } else { "" });
            }
            Bar { class, address, who, more: format!("{}, {state}", page.format.short_period(period)) }
        };
        let row = Row {
            t,
            group,
            car_no: car.car_no.to_string(),
            model: car.model.clone(),
            address: car_address(&car.car_no),
            is_retired: car.is_retired,
            bars: car.entries.iter().map(bar).collect(),
        };
        written(&row).map(|row| vec![row])
    };
    let rows = fitting(cars.iter().map(row), bytes_max)?;
    let cars_shown = rows.len();
    Ok((rows.into_iter().flatten().collect(), cars_shown))
}

/// The lines of so many cars as there is room for, and of how many those are.
fn lines(
    page: &Page,
    t: &'static Board,
    names: &Names,
    cars: &[CarSchedule],
    (by_time, bytes_max): (bool, usize),
) -> Result<(Vec<String>, usize), Problem> {
    let line = |car: &CarSchedule, entry: &Entry| {
        let Read { badge, state, who, address, period, bar: _ } = Read::of(t, names, car, entry);
        written(&Line {
            car_no: car.car_no.to_string(),
            model: car.model.clone(),
            car_address: car_address(&car.car_no),
            who,
            address,
            period: page.format.period(period),
            badge,
            state,
        })
    };
    let of_car = |car: &CarSchedule| car.entries.iter().map(|entry| line(car, entry)).collect();
    let lines = fitting(cars.iter().map(of_car), bytes_max)?;
    let cars_shown = lines.len();
    let entries = cars.iter().flat_map(|car| &car.entries);
    let mut lines: Vec<_> = entries.zip(lines.into_iter().flatten()).collect();
    if by_time {
        lines.sort_by_key(|(entry, _)| entry.period);
    }
    Ok((lines.into_iter().map(|(_, line)| line).collect(), cars_shown))
}

/// What was written of one car after the other, up to a weight; the first one at least.
fn fitting(
    cars: impl Iterator<Item = Result<Vec<String>, Problem>>,
    bytes_max: usize,
) -> Result<Vec<Vec<String>>, Problem> {
    let (mut fit, mut bytes_left) = (vec![], bytes_max);
    for car in cars {
        let car = car?;
        let weight = car.iter().map(String::len).sum();
        if weight > bytes_left && !fit.is_empty() {
            break;
        }
        bytes_left = bytes_left.saturating_sub(weight);
        fit.push(car);
    }
    Ok(fit)
}

/// The names of customers, where the visitor may read them.
pub struct Names(HashMap<CustomerNo, String>);

impl Names {
    pub async fn of(http: &HttpState, caller: &Caller, page: &Page, customers: Vec<&CustomerNo>) -> Names {
        let mut names = HashMap::new();
        for customer_no in customers {
            if page.is_staff() && !names.contains_key(customer_no) {
                // Who is not registered, or is erased, goes by the number.
                let name = http.service.customer(caller, customer_no).await.ok().map(|customer| customer.data.name);
                let name = name.as_deref().unwrap_or(customer_no.as_str());
                names.insert(customer_no.clone(), shortened(name, NAME_CHARS_MAX));
            }
        }
        Names(names)
    }

    pub fn of_customer(&self, customer_no: &CustomerNo) -> String {
        self.0.get(customer_no).cloned().unwrap_or_else(|| customer_no.to_string())
    }
}

fn shortened(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
