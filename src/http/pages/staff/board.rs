//! The board: what the cars of the fleet have before them, a row for each car and a bar for each booking and block; and the same
//! as a list.

mod columns;

use crate::actors::api::{Caller, CursorPage};
use crate::actors::service::{CarSchedule, CarsFilter, CarsPart, Entry, EntryKind, Standing};
use crate::domain::ids::{CarNo, CustomerNo};
use crate::domain::time::Period;
use crate::http::HttpState;
use crate::http::cars::last_car;
use crate::http::pages::assets::BOARD_STYLE;
use crate::http::pages::live::all_changes;
use crate::http::pages::page::{Page, Section, query_value, reservation_address, show};
use crate::http::pages::texts::Board;
use crate::kit::call::Call;
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::problem::Problem;
use crate::kit::route::{Access, Priority, Route, routes};
use crate::kit::values::{Cursor, segment};
use askama::Template;
use columns::{Span, Window};
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;

/// The most cars of a page, and the most that stands in their calendars, so that a page weighs less than 100 KB however much
/// is booked.
const TIME_LINE: (usize, usize) = (50, 300);
/// A line of the list has more in it than a bar.
const LIST: (usize, usize) = (25, 150);
/// How many characters of a name there are room for.
const NAME_CHARS_MAX: usize = 40;
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
    /// The last car of the page before.
    cursor: Option<Cursor>,
    /// The last car of this page, as it was when it was shown first: so that a page that is renewed ends where it did, and
    /// those that follow it neither repeat a car nor leave one out.
    until: Option<Cursor>,
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

struct Row {
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
    rows: Vec<Row>,
    lines: Vec<Line>,
    /// What tells these rows from those of other pages.
    part: String,
    /// The page that has them, with an end.
    from: String,
    is_first: bool,
    first: String,
    more: Option<String>,
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
    let part = query.cursor.as_ref().map_or_else(String::new, |cursor| cursor.0.clone());
    let is_renewed = query.until.is_some();
    let cursor = last_car(&http, &caller, query.cursor).await?;
    let until = last_car(&http, &caller, query.until).await?;
    let [branch, car_class] =
        [&choice.branch, &choice.car_class].map(|word| Some(&**word).filter(|word| !word.is_empty()));
    let filter = CarsFilter { branch, car_class };
    let (branches, classes) = http.service.branches_and_classes().await?;
    let (cars_max, entries_max) = if choice.is_list { LIST } else { TIME_LINE };
    let wanted = CarsPart { after: cursor.as_ref(), until: until.as_ref(), cars_max, entries_max };
    let cars = http.service.schedule(&caller, &period, filter, wanted).await??;
    let CursorPage { items: cars, next_cursor } = cars;
    let booked = cars.iter().flat_map(|car| &car.entries).filter_map(|entry| match &entry.kind {
        EntryKind::Booked(reserved) => Some(&reserved.customer_no),
        EntryKind::Blocked { .. } => None,
    });
    let names = Names::of(&http, &caller, &page, booked.collect()).await;
    let (rows, lines) = if choice.is_list {
        (vec![], lines(&page, t, &names, &cars, choice.by_time))
    } else {
        (rows(&page, t, &names, &cars, window), vec![])
    };
    let (before, after) = match choice.span {
        Span::Week => (t.week_before, t.week_after),
        Span::Month => (t.month_before, t.month_after),
    };
    let continued = |name: &str, car: &str| format!("&{name}={}", query_value(car));
    let from = match next_cursor.as_deref().filter(|_| !is_renewed) {
        Some(last) => {
            let after = cursor.as_ref().map_or_else(String::new, |car| continued("cursor", car.as_str()));
            choice.address() + &after + &continued("until", last)
        }
        None => page.address.clone(),
    };
    let tab = |choice: Choice, word, is_current| Tab { address: choice.address(), word, is_current };
    let (is_list, by_time, span) = (choice.is_list, choice.by_time, choice.span);
    show(&Shown {
        t,
        style: &BOARD_STYLE,
        title: title(&page, window),
        before: window.before().map(|day| (choice.on(day), before)),
        today: choice.on(today),
        after: window.after().map(|day| (choice.on(day), after)),
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
        rows,
        lines,
        part,
        is_first: cursor.is_none(),
        first: choice.address(),
        more: next_cursor.map(|last| choice.address() + &continued("cursor", &last)),
        from,
        choice,
        page,
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
                Read { bar, badge, state, who, address, period: reserved.period }
            }
            EntryKind::Blocked { reason, .. } => {
                let (who, address) = (shortened(reason), car_address(&car.car_no));
                Read { bar: "block", badge: "", state: t.blocked, who, address, period: entry.period }
            }
        }
    }
}

fn rows(page: &Page, t: &'static Board, names: &Names, cars: &[CarSchedule], window: Window) -> Vec<Row> {
    let mut before = None;
    let row = |car: &CarSchedule| {
        let here = (car.branch.clone(), car.car_class.clone());
        let is_other = before.as_ref() != Some(&here);
        let group = match (car.branch.as_str(), car.car_class.as_str()) {
            (_, _) if !is_other => None,
            ("", "") => None,
            (branch, "") => Some(branch.to_owned()),
            ("", class) => Some(class.to_owned()),
            (branch, class) => Some(t.cars_of(branch, class)),
        };
        before = Some(here);
        let bar = |entry: &Entry| {
            let Read { bar, state, who, address, period, badge: _ } = Read::of(t, names, car, entry);
            let place = window.place(&page.format, &entry.period);
            let mut class = format!("{bar} c{} w{}", place.column, place.width);
            let is_late = 3 * place.column > 2 * window.columns();
            for (class_of, is) in [(" in", place.comes_in), (" on", place.goes_on), (" end", is_late)] {
                class.push_str(if is { class_of } else { "" });
            }
            Bar { class, address, who, more: format!("{}, {state}", page.format.short_period(period)) }
        };
        Row {
            group,
            car_no: car.car_no.to_string(),
            model: car.model.clone(),
            address: car_address(&car.car_no),
            is_retired: car.is_retired,
            bars: car.entries.iter().map(bar).collect(),
        }
    };
    cars.iter().map(row).collect()
}

fn lines(page: &Page, t: &'static Board, names: &Names, cars: &[CarSchedule], by_time: bool) -> Vec<Line> {
    let mut entries: Vec<_> = cars.iter().flat_map(|car| car.entries.iter().map(move |entry| (car, entry))).collect();
    if by_time {
        entries.sort_by_key(|(_, entry)| entry.period);
    }
    let line = |(car, entry): (&CarSchedule, &Entry)| {
        let Read { badge, state, who, address, period, bar: _ } = Read::of(t, names, car, entry);
        Line {
            car_no: car.car_no.to_string(),
            model: car.model.clone(),
            car_address: car_address(&car.car_no),
            who,
            address,
            period: page.format.period(period),
            badge,
            state,
        }
    };
    entries.into_iter().map(line).collect()
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
                names.insert(customer_no.clone(), shortened(name.as_deref().unwrap_or(customer_no.as_str())));
            }
        }
        Names(names)
    }

    pub fn of_customer(&self, customer_no: &CustomerNo) -> String {
        self.0.get(customer_no).cloned().unwrap_or_else(|| customer_no.to_string())
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(NAME_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
