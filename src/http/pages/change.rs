//! Changing a reservation to another period or car: what it would cost, and then the change itself.

use super::book::seen;
use super::bookings::Models;
use super::page::{Page, go_to, query_value, reservation_address, show, show_again};
use super::payment::{self, PaymentFields};
use super::period::TypedPeriod;
use super::reservation::{Facts, number, page_of};
use super::texts::{self, Customer, Staff};
use crate::actors::api::{ChangeWanted, PaymentResult, ServiceError};
use crate::domain::ids::{CarNo, ReservationNo};
use crate::domain::money::Money;
use crate::http::HttpState;
use crate::kit::call::Call;
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::numbers::{Number as _, RawNumber};
use crate::kit::problem::Problem;
use crate::kit::route::{Access, Priority, Route, routes};
use askama::Template;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

routes! { HttpState, "Pages":
    /// What another period or car costs
    CHANGE_PAGE = Route::page("/reservations/{reservationNo}/change", Access::Owner, "changePage") => look_at_change;
    /// Change it
    CHANGE = Route::form("/reservations/{reservationNo}/change", Access::Owner, "changeByForm").of(Priority::Create) => change;
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct ChangeQuery {
    from_day: String,
    from_time: String,
    to_day: String,
    to_time: String,
    car_no: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct ChangeForm {
    from_day: String,
    from_time: String,
    to_day: String,
    to_time: String,
    car_no: String,
    card_token: String,
    /// What was shown to be paid and to go back.
    quote: String,
}

#[derive(Template)]
#[template(path = "change.html")]
struct ChangePage {
    page: Page,
    t: &'static Customer,
    address: String,
    facts: Facts,
    typed: TypedPeriod,
    first_day: String,
    car_no: String,
    /// Whether only the end can change, since the car is out.
    is_out: bool,
    wrong: bool,
    preview: Option<Preview>,
    payment: PaymentFields,
    refusal: Option<String>,
    /// Where the cars are that are free then, when this one is not.
    others: Option<String>,
}

/// What a change costs or gives back.
struct Preview {
    period: String,
    model: String,
    car_no: String,
    price: String,
    payable: Option<String>,
    fee: Option<String>,
    refund: Option<String>,
    /// What is to be paid and goes back, as the form has it.
    seen: String,
}

/// What is wanted, and what stands in the fields.
struct Wanted {
    typed: TypedPeriod,
    car_no: String,
    is_typed: bool,
}

impl ChangePage {
    async fn of(
        http: &HttpState,
        call: &Call,
        reservation_no: &ReservationNo,
        wanted: Wanted,
    ) -> Result<ChangePage, Problem> {
        let (page, t) = page_of(http, call);
        let caller = call.caller();
        let view = http.service.reservation(&caller, reservation_no).await?;
        let facts = Facts::of(http, &caller, &page, &view).await;
        let Wanted { typed, car_no, is_typed } = wanted;
        let typed = if is_typed { typed } else { TypedPeriod::of(&page.format, view.booking.period) };
        Ok(ChangePage {
            t,
            address: reservation_address(reservation_no),
            car_no: if car_no.is_empty() { facts.car_no.clone() } else { car_no },
            facts,
            typed,
            first_day: TypedPeriod::first_day(&page.format),
            is_out: view.booking.is_out(),
            wrong: false,
            preview: None,
            payment: PaymentFields::of(http, page.language),
            refusal: None,
            others: None,
            page,
        })
    }

    /// Why the beginning cannot change.
    fn out_note(&self) -> &'static str {
        if self.page.is_staff() { Staff::of(self.page.language).change_out_note } else { self.t.change_out_note }
    }

    /// What is to be other than it is; `None` when no period was typed.
    async fn wanted(
        &self,
        http: &HttpState,
        call: &Call,
        reservation_no: &ReservationNo,
    ) -> Result<Option<ChangeWanted>, Problem> {
        let Some(period) = self.typed.read(&self.page.format) else { return Ok(None) };
        let caller = call.caller();
        let view = http.service.reservation(&caller, reservation_no).await?;
        let invalid = || Problem::new(CarNo::CODE, "it is no number of a car");
        let car_no =
            RawNumber::<CarNo>::read(self.car_no.trim(), |_| invalid())?.resolve(&http.service, &caller).await?;
        // Fields have minutes, and a booking may have seconds: what stands as it was stays as it is.
        let now = TypedPeriod::of(&self.page.format, view.booking.period);
        let is_from = (&self.typed.from_day, &self.typed.from_time) != (&now.from_day, &now.from_time);
        let is_to = (&self.typed.to_day, &self.typed.to_time) != (&now.to_day, &now.to_time);
        Ok(Some(ChangeWanted {
            from: is_from.then_some(period.from()),
            to: is_to.then_some(period.to()),
            car_no: Some(car_no).filter(|car_no| *car_no != view.booking.subject.car_no),
        }))
    }

    /// With what the change would cost, or why it cannot be made.
    async fn previewed(
        mut self,
        http: &HttpState,
        call: &Call,
        reservation_no: &ReservationNo,
    ) -> Result<ChangePage, Problem> {
        let wanted = match self.wanted(http, call, reservation_no).await {
            Ok(Some(wanted)) => wanted,
            Ok(None) => {
                self.wrong = true;
                return Ok(self);
            }
            Err(problem) => return self.refused(problem),
        };
        if wanted.from.is_none() && wanted.to.is_none() && wanted.car_no.is_none() {
            return self.refused(Problem::new("nothing_to_change", "nothing is to change"));
        }
        match http.service.change_preview(&call.caller(), reservation_no, &wanted).await {
            Ok(preview) => {
                let model = Models::default().of(http, &preview.car_no).await;
                let money = |money: Money| self.page.format.money(money);
                let some = |amount: Money| (amount.amount() > 0).then(|| money(amount));
                self.preview = Some(Preview {
                    period: self.page.format.period(preview.period),
                    model,
                    car_no: preview.car_no.to_string(),
                    price: money(preview.quote.price),
                    payable: some(preview.quote.payable),
                    fee: some(preview.quote.fee),
                    refund: some(preview.quote.refund),
                    seen: format!("{}, {}", seen(preview.quote.payable), seen(preview.quote.refund)),
                });
                Ok(self)
            }
            Err(error) => self.refused(error.into()),
        }
    }

    fn refused(mut self, problem: Problem) -> Result<ChangePage, Problem> {
        let Some(words) = texts::refusal(self.page.language, problem.code) else { return Err(problem) };
        self.refusal = Some(words.to_owned());
        self.others = (problem.code == "car_not_available").then(|| self.typed.search_address());
        Ok(self)
    }
}

async fn look_at_change(http: Arc<HttpState>, call: Call, query: ChangeQuery) -> Outcome {
    let reservation_no = number(&http, &call, &call.caller()).await?;
    let ChangeQuery { from_day, from_time, to_day, to_time, car_no } = query;
    let typed = TypedPeriod { from_day, from_time, to_day, to_time };
    let is_typed = !typed.is_empty();
    let page = ChangePage::of(&http, &call, &reservation_no, Wanted { typed, car_no, is_typed }).await?;
    show(&if is_typed { page.previewed(&http, &call, &reservation_no).await? } else { page })
}

async fn change(http: Arc<HttpState>, call: Call, form: ChangeForm) -> Outcome {
    let caller = call.caller();
    let reservation_no = number(&http, &call, &caller).await?;
    let ChangeForm { from_day, from_time, to_day, to_time, car_no, card_token, quote } = form;
    let typed = TypedPeriod { from_day, from_time, to_day, to_time };
    let page = ChangePage::of(&http, &call, &reservation_no, Wanted { typed, car_no, is_typed: true }).await?;
    let Some(wanted) = page.wanted(&http, &call, &reservation_no).await? else {
        return show_again(&ChangePage { wrong: true, ..page });
    };
    let address = reservation_address(&reservation_no);
    let means = payment::means(&card_token);
    let page = if quote.is_empty() { page } else { page.previewed(&http, &call, &reservation_no).await? };
    if page.preview.as_ref().is_some_and(|now| !quote.is_empty() && now.seen != quote) {
        return show_again(&page.refused(Problem::new("price_changed", "it costs something else than was shown"))?);
    }
    match http.service.change(&caller, reservation_no.clone(), wanted, means).await {
        Ok((_, PaymentResult::Approved)) => Ok(go_to(&format!("{address}?done={}", query_value("changed")))),
        Ok((_, PaymentResult::NotAttempted | PaymentResult::Deferred { .. })) => Ok(go_to(&address)),
        Err(ServiceError::PaymentDeclined { .. }) => Ok(go_to(&format!("{address}?done=declined"))),
        Err(error) => {
            let page = page.previewed(&http, &call, &reservation_no).await?;
            show_again(&page.refused(error.into())?)
        }
    }
}
