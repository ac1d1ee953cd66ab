//! Handing a car over and taking it back, with what staff tell of it.

use super::board::Names;
use super::desk;
use crate::actors::api::PickUpFacts;
use crate::domain::desk::{CONDITION_CHARS_MAX, DeskFacts, ODOMETER_KM_MAX};
use crate::domain::ids::RentalNo;
use crate::domain::rental::{Rejection, Rental, Status};
use crate::domain::time::HOUR_MS;
use crate::http::HttpState;
use crate::http::pages::format::Format;
use crate::http::pages::page::{Page, Section, go_to, own_address, query_value, reservation_address, show, show_again};
use crate::http::pages::reservation::{Facts, Late};
use crate::http::pages::texts::{Board, Customer, Language, refusal};
use crate::http::rentals::rental;
use crate::kit::call::Call;
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::problem::Problem;
use crate::kit::route::{Access, Route, routes};
use crate::kit::values::{check_text, segment};
use askama::Template;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

const PERCENT_MAX: u32 = 100;
/// From how long before its time on a hand-over is told to be early, in milliseconds.
const EARLY_MS: i64 = HOUR_MS;

routes! { HttpState, "Pages":
    /// Hand a car over
    PICK_UP_PAGE = Route::page("/staff/rentals/{rentalNo}/pickup", Access::Admin, "pickUpPage") => look_at_pick_up;
    /// Hand a car over
    PICK_UP = Route::form("/staff/rentals/{rentalNo}/pickup", Access::Admin, "pickUpByForm") => pick_up;
    /// Take a car back
    RETURN_PAGE = Route::page("/staff/rentals/{rentalNo}/return", Access::Admin, "returnPage") => look_at_return;
    /// Take a car back
    RETURN = Route::form("/staff/rentals/{rentalNo}/return", Access::Admin, "returnByForm") => take_back;
}

#[derive(Deserialize, JsonSchema)]
#[serde(default)]
#[derive(Default)]
struct Query {
    /// Where it goes on afterwards.
    next: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Typed {
    odometer: String,
    fuel: String,
    condition: String,
    licence_checked: Option<String>,
    next: String,
}

/// Which fields are wrong, and why.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wrong {
    odometer: Option<String>,
    fuel: Option<String>,
    condition: Option<String>,
    licence: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    PickUp,
    Return,
}

#[derive(Template)]
#[template(path = "rental.html")]
struct Shown {
    page: Page,
    t: &'static Customer,
    b: &'static Board,
    address: String,
    title: &'static str,
    button: &'static str,
    who: String,
    booking: String,
    facts: Facts,
    /// What was told when it was handed over: what, and how much.
    told: Vec<(&'static str, String)>,
    /// Who still has the car that is to be handed over.
    late: Option<Late>,
    /// That its time has not come yet.
    early: Option<String>,
    asks_licence: bool,
    /// Whether it can be done at all.
    is_due: bool,
    typed: Typed,
    wrong: Wrong,
    refusal: Option<String>,
}

/// What was typed, or which fields are wrong.
fn read(t: &Board, typed: &Typed, asks_licence: bool) -> Result<DeskFacts, Wrong> {
    let [odometer, fuel] = [(&typed.odometer, ODOMETER_KM_MAX), (&typed.fuel, PERCENT_MAX)].map(|(text, max)| {
        let text = text.trim();
        if text.is_empty() { Ok(None) } else { whole(text, max).map(Some).ok_or(()) }
    });
    // Lines do not matter, and no text that is kept has any.
    let condition = typed.condition.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_text = condition.is_empty() || check_text(&condition, CONDITION_CHARS_MAX).is_ok();
    let wrong = Wrong {
        odometer: odometer.err().map(|()| t.odometer_wrong(Format::whole(ODOMETER_KM_MAX))),
        fuel: fuel.err().map(|()| t.fuel_wrong(PERCENT_MAX)),
        condition: (!is_text).then(|| t.condition_wrong(CONDITION_CHARS_MAX)),
        licence: (asks_licence && typed.licence_checked.is_none()).then_some(t.licence_wrong),
    };
    if wrong != Wrong::default() {
        return Err(wrong);
    }
    Ok(DeskFacts {
        odometer_km: odometer.unwrap_or_default(),
        fuel_percent: fuel.unwrap_or_default().and_then(|percent| u8::try_from(percent).ok()),
        condition: Some(condition).filter(|condition| !condition.is_empty()),
    })
}

/// A whole number as people type it, with commas between thousands or without.
fn whole(text: &str, max: u32) -> Option<u32> {
    let digits = text.replace(',', "");
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|number| is_plain && *number <= max)
}

async fn number(http: &HttpState, call: &Call) -> Result<RentalNo, Problem> {
    call.number::<RentalNo>()?.resolve(&http.service, &call.caller()).await
}

impl Shown {
    async fn of(
        http: &HttpState,
        call: &Call,
        rental_no: &RentalNo,
        step: Step,
        typed: Typed,
    ) -> Result<Shown, Problem> {
        let page = Page::of(http, call, Section::Desk);
        let (t, b) = (Customer::of(page.language), Board::of(page.language));
        let caller = call.caller();
        let rental = rental(http, &caller, rental_no).await?;
        let customer_no = &rental.subject.customer_no;
        let names = Names::of(http, &caller, &page, vec![customer_no]).await;
        let view = http.service.reservation(&caller, &rental.subject.reservation_no).await?;
        // What the odometer has shown is told with the rest.
        let facts = Facts { odometer: None, ..Facts::of(http, &caller, &page, &view).await };
        let (title, button, path) = match step {
            Step::PickUp => (b.hand_over_title, b.hand_over, "pickup"),
            Step::Return => (b.take_back_title, b.take_back, "return"),
        };
        let due = match step {
            Step::PickUp => rental.may_be_picked_up(),
            Step::Return => may_be_returned(&rental),
        };
        let late = if step == Step::PickUp { Late::of(http, &caller, &page, &view).await } else { None };
        let from = view.booking.period.from();
        let is_early = step == Step::PickUp && from > page.format.now().saturating_add_millis(EARLY_MS);
        let in_words = |code| refusal(page.language, code).map(str::to_owned);
        Ok(Shown {
            t,
            b,
            address: format!("/staff/rentals/{}/{path}", segment(rental_no.as_str())),
            title,
            button,
            who: names.of_customer(customer_no),
            booking: reservation_address(&rental.subject.reservation_no),
            facts,
            told: told(b, &rental),
            late: late.filter(|_| due.is_ok()),
            early: (is_early && due.is_ok()).then(|| b.early(page.format.moment(from))),
            asks_licence: step == Step::PickUp,
            is_due: due.is_ok(),
            typed,
            wrong: Wrong::default(),
            refusal: due.err().and_then(|rejection| in_words(rejection.code())),
            page,
        })
    }

    fn desk(&self) -> &str {
        next(&self.typed.next)
    }

    /// The form again with what is wrong with it, or why it was refused.
    fn again(self, problem: Problem) -> Outcome {
        let Some(words) = refusal(self.page.language, problem.code) else { return Err(problem) };
        let words = Some(words.to_owned());
        if problem.code == "odometer_below_pick_up" {
            return show_again(&Shown { wrong: Wrong { odometer: words, ..Wrong::default() }, ..self });
        }
        show_again(&Shown { refusal: words, ..self })
    }
}

/// Where it goes on: at the desk as it was looked at.
fn next(next: &str) -> &str {
    if next.is_empty() { desk::ADDRESS } else { own_address(next) }
}

/// The same with a notice.
fn done(typed: &Typed, word: &str) -> String {
    let next = next(&typed.next);
    let between = if next.contains('?') { '&' } else { '?' };
    format!("{next}{between}done={}", query_value(word))
}

const fn may_be_returned(rental: &Rental) -> Result<(), Rejection> {
    match rental.status {
        Status::PickedUp { .. } => Ok(()),
        Status::Rented => Err(Rejection::NotPickedUp),
        Status::Returned { .. } => Err(Rejection::AlreadyReturned),
        Status::Cancelled { .. } => Err(Rejection::RentalCancelled),
    }
}

fn told(t: &'static Board, rental: &Rental) -> Vec<(&'static str, String)> {
    let Some(hand_over) = &rental.hand_over else { return vec![] };
    let DeskFacts { odometer_km, fuel_percent, condition } = &hand_over.facts;
    let told = [
        odometer_km.map(|km| (t.odometer_told, t.kilometres(Format::whole(km)))),
        fuel_percent.map(|fuel| (t.fuel_told, t.percent(fuel))),
        condition.clone().map(|condition| (t.condition, condition)),
    ];
    told.into_iter().flatten().collect()
}

async fn look_at_pick_up(http: Arc<HttpState>, call: Call, query: Query) -> Outcome {
    look(&http, &call, query, Step::PickUp).await
}

async fn look_at_return(http: Arc<HttpState>, call: Call, query: Query) -> Outcome {
    look(&http, &call, query, Step::Return).await
}

async fn look(http: &HttpState, call: &Call, query: Query, step: Step) -> Outcome {
    let rental_no = number(http, call).await?;
    show(&Shown::of(http, call, &rental_no, step, Typed { next: query.next, ..Typed::default() }).await?)
}

async fn pick_up(http: Arc<HttpState>, call: Call, typed: Typed) -> Outcome {
    let rental_no = number(&http, &call).await?;
    let car = match read(Board::of(Language::of(&call.headers)), &typed, true) {
        Ok(car) => car,
        Err(wrong) => {
            let page = Shown::of(&http, &call, &rental_no, Step::PickUp, typed).await?;
            return show_again(&Shown { wrong, ..page });
        }
    };
    let told = PickUpFacts { car, licence_checked: typed.licence_checked.is_some() };
    match http.service.pick_up(&call.caller(), rental_no.clone(), told).await {
        Ok(_) => Ok(go_to(&done(&typed, "handed-over"))),
        Err(error) => Shown::of(&http, &call, &rental_no, Step::PickUp, typed).await?.again(error.into()),
    }
}

async fn take_back(http: Arc<HttpState>, call: Call, typed: Typed) -> Outcome {
    let rental_no = number(&http, &call).await?;
    let facts = match read(Board::of(Language::of(&call.headers)), &typed, false) {
        Ok(facts) => facts,
        Err(wrong) => {
            let page = Shown::of(&http, &call, &rental_no, Step::Return, typed).await?;
            return show_again(&Shown { wrong, ..page });
        }
    };
    match http.service.return_car(&call.caller(), rental_no.clone(), facts).await {
        Ok(_) => Ok(go_to(&done(&typed, "taken-back"))),
        Err(error) => Shown::of(&http, &call, &rental_no, Step::Return, typed).await?.again(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(odometer: &str, fuel: &str, condition: &str) -> Typed {
        let [odometer, fuel, condition] = [odometer, fuel, condition].map(str::to_owned);
        Typed { odometer, fuel, condition, ..Typed::default() }
    }

    #[test]
    fn what_is_typed_of_a_car_is_read_and_what_is_left_out_is_not_told() {
        let t = Board::of(Language::English);
        let facts = |typed| read(t, &typed, false);
        assert_eq!(facts(typed("", " ", "\n")), Ok(DeskFacts::default()));
        let read = facts(typed("42,000", "80", "scratch on\r\nthe left door"));
        let condition = Some("scratch on the left door".to_owned());
        assert_eq!(read, Ok(DeskFacts { odometer_km: Some(42_000), fuel_percent: Some(80), condition }));
    }

    #[test]
    fn what_is_wrong_is_told_at_its_field_and_a_car_needs_a_licence() {
        let t = Board::of(Language::English);
        for (odometer, fuel) in [("-1", "101"), ("2000001", "half"), ("1.5", "+7")] {
            let wrong = read(t, &typed(odometer, fuel, ""), false).expect_err(odometer);
            assert!(wrong.odometer.is_some() && wrong.fuel.is_some() && wrong.condition.is_none(), "{odometer} {fuel}");
        }
        let long = "x".repeat(CONDITION_CHARS_MAX + 1);
        assert!(read(t, &typed("", "", &long), false).expect_err("too long").condition.is_some());
        assert!(read(t, &typed("", "", ""), true).expect_err("no licence").licence.is_some());
    }

    #[test]
    fn it_goes_on_at_the_desk_as_it_was_looked_at_and_nowhere_else() {
        let done = |next: &str| done(&Typed { next: next.to_owned(), ..Typed::default() }, "taken-back");
        assert_eq!(done(""), "/staff/desk?done=taken-back");
        assert_eq!(done("/staff/desk?day=2026-12-01"), "/staff/desk?day=2026-12-01&done=taken-back");
        assert_eq!(done("//evil.example"), "/?done=taken-back");
    }
}
