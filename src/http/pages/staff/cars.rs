//! The fleet for staff: what cars there are, what they are, what they cost, and when they are blocked.

use super::addresses::{car_address, car_history_address};
use super::doing::Doing;
use super::rate;
use crate::actors::api::{CarView, ServiceError};
use crate::actors::service::CarBookings;
use crate::domain::fleet::{CarData, Changes};
use crate::domain::ids::{BlockNo, CarNo};
use crate::domain::money::Currency;
use crate::domain::reservation::{self, Block};
use crate::domain::spelling::to_nfc;
use crate::http::HttpState;
use crate::http::cars::{WORD_CHARS_MAX, last_car};
use crate::http::pages::bookings::{self, BookingRow};
use crate::http::pages::page::{Page, Section, go_to, query_value, show, show_again};
use crate::http::pages::period::TypedPeriod;
use crate::http::pages::texts::{Language, Staff, refusal};
use crate::http::preconditions;
use crate::kit::call::{Call, Nothing};
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::numbers::{Number as _, RawNumber};
use crate::kit::problem::Problem;
use crate::kit::route::{Access, Priority, Route, routes};
use crate::kit::values::{Cursor, check_text, parse_date, render_date, segment};
use askama::Template;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

const CARS_PER_PAGE: usize = 50;

routes! { HttpState, "Pages":
    /// The fleet
    CARS_PAGE = Route::page("/staff/cars", Access::Admin, "fleetPage").of(Priority::List) => list;
    /// Add a car
    NEW_CAR_PAGE = Route::page("/staff/cars/new", Access::Admin, "newCarPage") => look_at_new;
    /// Add a car
    NEW_CAR = Route::form("/staff/cars/new", Access::Admin, "registerCarByForm").of(Priority::Create) => register;
    /// A car
    CAR_PAGE = Route::page("/staff/cars/{carNo}", Access::Admin, "carPage") => look;
    /// Change what is said of a car
    AMEND = Route::form("/staff/cars/{carNo}", Access::Admin, "amendCarByForm") => amend;
    /// Keep a car from being booked
    BLOCK = Route::form("/staff/cars/{carNo}/blocks", Access::Admin, "blockCarByForm").of(Priority::Create) => block;
    /// End a block
    UNBLOCK = Route::form("/staff/cars/{carNo}/blocks/{blockNo}", Access::Admin, "unblockCarByForm") => unblock;
    /// What retiring a car means
    RETIRE_PAGE = Route::page("/staff/cars/{carNo}/retirement", Access::Admin, "retirementPage") => look_at_retirement;
    /// Take a car out of the fleet
    RETIRE = Route::form("/staff/cars/{carNo}/retirement", Access::Admin, "retireCarByForm") => retire;
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct ListQuery {
    status: String,
    branch: String,
    car_class: String,
    cursor: Option<Cursor>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(default)]
#[derive(Default)]
struct DoneQuery {
    done: String,
}

/// What is said of a car, as it was typed.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default, Clone)]
struct CarForm {
    /// Of a new car only.
    car_no: String,
    model: String,
    car_class: String,
    branch: String,
    rate: String,
    currency: String,
    registered_on: String,
    /// Which version of a known car was seen.
    version: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct BlockForm {
    from_day: String,
    from_time: String,
    to_day: String,
    to_time: String,
    reason: String,
}

/// Which fields of a car are wrong, and why.
#[derive(Default)]
struct Wrong {
    car_no: Option<&'static str>,
    model: Option<&'static str>,
    car_class: Option<&'static str>,
    branch: Option<&'static str>,
    rate: Option<&'static str>,
    currency: Option<&'static str>,
    registered_on: Option<&'static str>,
}

impl CarForm {
    fn of(view: &CarView) -> CarForm {
        let data = &view.car.data;
        CarForm {
            car_no: view.car_no.to_string(),
            model: data.model.clone(),
            car_class: data.car_class.clone(),
            branch: data.branch.clone(),
            rate: rate::written(data.daily_rate),
            currency: data.daily_rate.currency().code().to_owned(),
            registered_on: render_date(data.registered_on).unwrap_or_default(),
            version: preconditions::tag(view.version()),
        }
    }

    /// What is said, or what is wrong with it.
    fn read(&self, t: &'static Staff) -> Result<CarData, Wrong> {
        let [model, car_class, branch, day] =
            [&self.model, &self.car_class, &self.branch, &self.registered_on].map(|text| text.trim());
        let is_word = |text: &str| text.is_empty() || check_text(text, WORD_CHARS_MAX).is_ok();
        let currency = Currency::parse(&self.currency.trim().to_ascii_uppercase());
        let daily_rate = currency.and_then(|currency| rate::read(&self.rate, currency));
        let registered_on = if day.is_empty() { Some(0) } else { parse_date(day).ok() };
        let wrong = |is_right: bool, why| (!is_right).then_some(why);
        let wrong = Wrong {
            car_no: None,
            model: wrong(!model.is_empty() && is_word(model), t.model_wrong),
            car_class: wrong(is_word(car_class), t.word_wrong),
            branch: wrong(is_word(branch), t.word_wrong),
            rate: wrong(currency.is_none() || daily_rate.is_some(), t.rate_wrong),
            currency: wrong(currency.is_some(), t.currency_wrong),
            registered_on: wrong(registered_on.is_some(), t.date_wrong),
        };
        let words = [wrong.model, wrong.car_class, wrong.branch];
        match (daily_rate, registered_on) {
            (Some(daily_rate), Some(registered_on)) if words.iter().all(Option::is_none) => Ok(CarData {
                model: model.to_owned(),
                car_class: car_class.to_owned(),
                branch: branch.to_owned(),
                daily_rate,
                registered_on,
            }),
            (_, _) => Err(wrong),
        }
    }
}

fn page_of(http: &HttpState, call: &Call) -> (Page, &'static Staff) {
    let page = Page::of(http, call, Section::Cars);
    let t = Staff::of(page.language);
    (page, t)
}

async fn number(http: &HttpState, call: &Call) -> Result<CarNo, Problem> {
    call.number::<CarNo>()?.resolve(&http.service, &call.caller()).await
}

/// The words of a refusal, if it has any for a person; the problem itself if not.
fn in_words(t: &Staff, problem: Problem) -> Result<String, Problem> {
    refusal(t.language(), problem.code).map(str::to_owned).ok_or(problem)
}

#[derive(Template)]
#[template(path = "staff/cars.html")]
struct Fleet {
    page: Page,
    t: &'static Staff,
    /// By which the list can be filtered: names and words.
    statuses: [(&'static str, &'static str); 6],
    branches: Vec<String>,
    classes: Vec<String>,
    status: String,
    branch: String,
    car_class: String,
    cars: Vec<CarRow>,
    is_filtered: bool,
    next: Option<String>,
}

/// A car as a line of the list.
struct CarRow {
    address: String,
    car_no: String,
    model: String,
    car_class: String,
    branch: String,
    daily_rate: String,
    class: &'static str,
    word: &'static str,
}

async fn list(http: Arc<HttpState>, call: Call, query: ListQuery) -> Outcome {
    let (page, t) = page_of(&http, &call);
    let ListQuery { status, branch, car_class, cursor } = query;
    let is_filtered = [&status, &branch, &car_class].iter().any(|wanted| !wanted.is_empty()) || cursor.is_some();
    let cursor = last_car(&http, &call.caller(), cursor).await?;
    let (branches, classes) = http.service.branches_and_classes().await?;
    let wanted_doing = Doing::ALL.into_iter().find(|doing| doing.name() == status);
    let now = page.format.now();
    let wanted = |car: &CarView| {
        let doing = Doing::of(car, now);
        wanted_doing.map_or(doing != Doing::Retired, |wanted| doing == wanted)
            && (branch.is_empty() || to_nfc(&car.car.data.branch) == branch)
            && (car_class.is_empty() || to_nfc(&car.car.data.car_class) == car_class)
    };
    let listing = http.service.cars_where(wanted, cursor.as_ref(), CARS_PER_PAGE).await?;
    let row = |view: CarView| {
        let (class, word) = Doing::of(&view, now).badge(t);
        let data = view.car.data;
        CarRow {
            address: car_address(&view.car_no),
            car_no: view.car_no.to_string(),
            daily_rate: page.format.money(data.daily_rate),
            model: data.model,
            car_class: data.car_class,
            branch: data.branch,
            class,
            word,
        }
    };
    let next = listing.next_cursor.map(|cursor| {
        let members = [("status", &status), ("branch", &branch), ("carClass", &car_class), ("cursor", &cursor)];
        let pairs: Vec<_> = members.iter().map(|(name, value)| format!("{name}={}", query_value(value))).collect();
        format!("/staff/cars?{}", pairs.join("&"))
    });
    let cars = listing.items.into_iter().map(row).collect();
    show(&Fleet {
        page,
        t,
        statuses: Doing::ALL.map(|doing| (doing.name(), doing.badge(t).1)),
        branches,
        classes,
        status,
        branch,
        car_class,
        cars,
        is_filtered,
        next,
    })
}

#[derive(Template)]
#[template(path = "staff/car_new.html")]
struct NewCar {
    page: Page,
    t: &'static Staff,
    form: CarForm,
    wrong: Wrong,
    branches: Vec<String>,
    classes: Vec<String>,
    refusal: Option<String>,
}

impl NewCar {
    async fn of(http: &HttpState, call: &Call, form: CarForm) -> Result<NewCar, Problem> {
        let (page, t) = page_of(http, call);
        let (branches, classes) = http.service.branches_and_classes().await?;
        Ok(NewCar { page, t, form, wrong: Wrong::default(), branches, classes, refusal: None })
    }
}

async fn look_at_new(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    let form = CarForm { currency: Currency::KRW.code().to_owned(), ..CarForm::default() };
    show(&NewCar::of(&http, &call, form).await?)
}

async fn register(http: Arc<HttpState>, call: Call, form: CarForm) -> Outcome {
    let t = Staff::of(Language::of(&call.headers));
    let caller = call.caller();
    let invalid = |_| Problem::new(CarNo::CODE, "it is no number of a car");
    let car_no = match RawNumber::<CarNo>::read(form.car_no.trim(), invalid) {
        Ok(raw) => raw.resolve(&http.service, &caller).await,
        Err(problem) => Err(problem),
    };
    let car_no = match car_no {
        Err(problem) if problem.code != CarNo::CODE => return Err(problem),
        Ok(car_no) => Ok(car_no),
        Err(_) => Err(t.car_no_wrong),
    };
    match (car_no, form.read(t)) {
        (Ok(car_no), Ok(data)) => match http.service.register_car(&caller, car_no, data).await {
            Ok(view) => Ok(go_to(&format!("{}?done=registered", car_address(&view.car_no)))),
            Err(error) => {
                let again = NewCar::of(&http, &call, form).await?;
                let refusal = in_words(again.t, error.into())?;
                show_again(&NewCar { refusal: Some(refusal), ..again })
            }
        },
        (car_no, data) => {
            let wrong = Wrong { car_no: car_no.err(), ..data.err().unwrap_or_default() };
            show_again(&NewCar { wrong, ..NewCar::of(&http, &call, form).await? })
        }
    }
}

#[derive(Template)]
#[template(path = "staff/car.html")]
struct Shown {
    page: Page,
    t: &'static Staff,
    address: String,
    history_address: String,
    car_no: String,
    model: String,
    class: &'static str,
    word: &'static str,
    is_retired: bool,
    /// As it is stored.
    data: CarData,
    daily_rate: String,
    registered_on: Option<String>,
    form: CarForm,
    wrong: Wrong,
    branches: Vec<String>,
    classes: Vec<String>,
    refusal: Option<String>,
    blocks: Vec<BlockRow>,
    block: TypedBlock,
    bookings: Option<Bookings>,
}

/// What was typed for a new block, and what is wrong with it.
struct TypedBlock {
    typed: TypedPeriod,
    first_day: String,
    reason: String,
    wrong: bool,
    reason_wrong: bool,
    refusal: Option<String>,
}

struct BlockRow {
    block_no: String,
    period: String,
    reason: String,
    is_over: bool,
    is_under_way: bool,
}

struct Bookings {
    live: Vec<BookingRow>,
    closed: Vec<BookingRow>,
}

impl Shown {
    async fn of(http: &HttpState, call: &Call, car_no: &CarNo) -> Result<Shown, Problem> {
        let (mut page, t) = page_of(http, call);
        let address = car_address(car_no);
        // Also where the form for a block is shown again.
        page.address.clone_from(&address);
        let view = http.service.car(car_no).await?;
        let (branches, classes) = http.service.branches_and_classes().await?;
        // Who works with cars only sees no bookings, as in the interface.
        let bookings = match http.service.bookings_of_car(car_no).await {
            Ok(_) if !page.is_staff() => None,
            Ok(CarBookings { live, closed }) => Some(Bookings {
                live: bookings::rows(http, &call.caller(), &page, live).await,
                closed: bookings::rows(http, &call.caller(), &page, closed).await,
            }),
            Err(error) => {
                tracing::warn!(%error, "bookings of a car not shown");
                None
            }
        };
        let now = page.format.now();
        let mut blocks: Vec<(&BlockNo, &Block)> = view.car.blocks.iter().collect();
        blocks.sort_by_key(|(_, block)| block.period);
        let block_row = |(block_no, block): (&BlockNo, &Block)| BlockRow {
            block_no: segment(block_no.as_str()).into_owned(),
            period: page.format.period(block.period),
            reason: block.reason.clone(),
            is_over: block.period.to() <= now,
            is_under_way: block.period.contains(now),
        };
        let blocks = blocks.into_iter().map(block_row).collect();
        let (class, word) = Doing::of(&view, now).badge(t);
        Ok(Shown {
            t,
            address,
            history_address: car_history_address(car_no),
            car_no: car_no.to_string(),
            model: view.car.data.model.clone(),
            class,
            word,
            is_retired: view.car.retired,
            daily_rate: page.format.money(view.car.data.daily_rate),
            registered_on: page.format.date(view.car.data.registered_on),
            form: CarForm::of(&view),
            data: view.car.data,
            wrong: Wrong::default(),
            branches,
            classes,
            refusal: None,
            blocks,
            block: TypedBlock {
                typed: TypedPeriod::suggested(&page.format),
                first_day: TypedPeriod::first_day(&page.format),
                reason: String::new(),
                wrong: false,
                reason_wrong: false,
                refusal: None,
            },
            bookings,
            page,
        })
    }
}

async fn look(http: Arc<HttpState>, call: Call, query: DoneQuery) -> Outcome {
    let car = Shown::of(&http, &call, &number(&http, &call).await?).await?;
    let notice = match query.done.as_str() {
        "registered" => Some(car.t.done_registered),
        "saved" => Some(car.t.done_saved),
        "blocked" => Some(car.t.done_blocked),
        "unblocked" => Some(car.t.done_unblocked),
        "retired" => Some(car.t.done_retired),
        _ => None,
    };
    show(&Shown { page: car.page.noting(notice), ..car })
}

async fn amend(http: Arc<HttpState>, call: Call, form: CarForm) -> Outcome {
    let car_no = number(&http, &call).await?;
    let t = Staff::of(Language::of(&call.headers));
    let data = match form.read(t) {
        Ok(data) => data,
        Err(wrong) => return show_again(&Shown { form, wrong, ..Shown::of(&http, &call, &car_no).await? }),
    };
    let changes = Changes {
        model: Some(data.model),
        car_class: Some(data.car_class),
        branch: Some(data.branch),
        daily_rate: Some(data.daily_rate),
        registered_on: Some(data.registered_on),
    };
    let seen = preconditions::seen(&form.version);
    match http.service.amend_car(&call.caller(), car_no.clone(), seen, changes).await {
        Ok(_) => Ok(go_to(&format!("{}?done=saved", car_address(&car_no)))),
        Err(error) => {
            let car = Shown::of(&http, &call, &car_no).await?;
            let refusal = Some(in_words(car.t, error.into())?);
            // With the version of now, which the page shows beside what was typed.
            let form = CarForm { version: car.form.version.clone(), car_no: car.form.car_no.clone(), ..form };
            show_again(&Shown { form, refusal, ..car })
        }
    }
}

async fn block(http: Arc<HttpState>, call: Call, form: BlockForm) -> Outcome {
    let car_no = number(&http, &call).await?;
    let BlockForm { from_day, from_time, to_day, to_time, reason } = form;
    let typed = TypedPeriod { from_day, from_time, to_day, to_time };
    let (page, t) = page_of(&http, &call);
    let period = typed.read(&page.format);
    let is_reason = check_text(reason.trim(), WORD_CHARS_MAX).is_ok();
    let refusal = match period.filter(|_| is_reason) {
        None => None,
        Some(period) => {
            let block = Block { period, reason: reason.trim().to_owned() };
            let block_no = call.new_number("blk-")?;
            let made = http.service.block_car(&call.caller(), car_no.clone(), Some(block_no), block, None).await;
            match made {
                Ok(_) => return Ok(go_to(&format!("{}?done=blocked", car_address(&car_no)))),
                Err(ServiceError::Reservation(reservation::Rejection::CarNotAvailable)) => {
                    Some(t.period_taken.to_owned())
                }
                Err(error) => Some(in_words(t, error.into())?),
            }
        }
    };
    let car = Shown::of(&http, &call, &car_no).await?;
    let (wrong, reason_wrong) = (period.is_none(), !is_reason);
    show_again(&Shown { block: TypedBlock { typed, reason, wrong, reason_wrong, refusal, ..car.block }, ..car })
}

async fn unblock(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    let car_no = number(&http, &call).await?;
    let block_no = call.number::<BlockNo>()?.composed()?;
    match http.service.unblock_car(&call.caller(), car_no.clone(), block_no, None).await {
        // It has ended, whoever has ended it.
        Ok(()) | Err(ServiceError::Reservation(reservation::Rejection::BlockNotFound)) => {
            Ok(go_to(&format!("{}?done=unblocked", car_address(&car_no))))
        }
        Err(error) => Err(error.into()),
    }
}

#[derive(Template)]
#[template(path = "staff/retirement.html")]
struct Retirement {
    page: Page,
    t: &'static Staff,
    address: String,
    car_no: String,
    model: String,
    refusal: Option<String>,
}

impl Retirement {
    async fn of(http: &HttpState, call: &Call, car_no: &CarNo) -> Result<Retirement, Problem> {
        let (page, t) = page_of(http, call);
        let model = http.service.car(car_no).await?.car.data.model;
        Ok(Retirement { page, t, address: car_address(car_no), car_no: car_no.to_string(), model, refusal: None })
    }
}

async fn look_at_retirement(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    show(&Retirement::of(&http, &call, &number(&http, &call).await?).await?)
}

async fn retire(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    let car_no = number(&http, &call).await?;
    match http.service.retire_car(&call.caller(), car_no.clone(), None).await {
        Ok(()) => Ok(go_to(&format!("{}?done=retired", car_address(&car_no)))),
        Err(error) => {
            let again = Retirement::of(&http, &call, &car_no).await?;
            let refusal = Some(in_words(again.t, error.into())?);
            show_again(&Retirement { refusal, ..again })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_of_a_car_is_read_or_told_what_is_wrong_with_it() {
        let t = Staff::of(Language::English);
        let form = CarForm {
            model: " Ioniq 5 ".to_owned(),
            rate: "98,000".to_owned(),
            currency: "krw".to_owned(),
            registered_on: "2026-03-01".to_owned(),
            ..CarForm::default()
        };
        let data = form.read(t).ok().expect("it is right");
        assert_eq!(
            (data.model.as_str(), data.daily_rate.amount(), data.registered_on),
            ("Ioniq 5", 98_000, 20_260_301)
        );
        let bad = CarForm { model: " ".to_owned(), branch: "x".repeat(101), rate: "9.5".to_owned(), ..form.clone() };
        let Err(wrong) = bad.read(t) else { panic!("it is wrong") };
        assert!(wrong.model.is_some() && wrong.branch.is_some() && wrong.rate.is_some());
        assert!(wrong.car_class.is_none() && wrong.currency.is_none() && wrong.registered_on.is_none());
        let wrong = CarForm { currency: "won".to_owned(), ..form }.read(t).err();
        assert!(wrong.is_none(), "three letters are a currency");
    }
}
