//! A reservation: how it stands, and paying, changing and cancelling it.

use super::book::seen;
use super::live::customer_changes;
use super::page::{Page, Section, go_to, query_value, reservation_address, show, show_again};
use super::payment::{self, PaymentFields};
use super::period::TypedPeriod;
use super::texts::{self, Customer};
use crate::actors::api::{Caller, ChangeWanted, PaymentResult, ReservationView, ServiceError};
use crate::domain::cancellation::{CancellationOutcome, Quote};
use crate::domain::desk::WaiverReason;
use crate::domain::ids::{CarNo, ReservationNo};
use crate::domain::money::Money;
use crate::domain::payment as payments;
use crate::domain::rental;
use crate::domain::reservation::{Change, Status};
use crate::http::HttpState;
use crate::kit::call::{Call, Nothing};
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::numbers::{Number as _, RawNumber};
use crate::kit::problem::Problem;
use crate::kit::route::{Access, Priority, Route, routes};
use crate::kit::values::segment;
use askama::Template;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

routes! { HttpState, "Pages":
    /// A reservation
    SHOW = Route::page("/reservations/{reservationNo}", Access::Owner, "reservationPage") => look;
    /// Pay it, or a change of it
    PAY = Route::form("/reservations/{reservationNo}/payment", Access::Owner, "payByForm") => pay;
    /// What cancelling costs
    CANCEL_PAGE = Route::page("/reservations/{reservationNo}/cancellation", Access::Owner, "cancellationPage")
        => look_at_cancellation;
    /// Cancel it
    CANCEL = Route::form("/reservations/{reservationNo}/cancellation", Access::Owner, "cancelByForm") => cancel;
    /// What another period or car costs
    CHANGE_PAGE = Route::page("/reservations/{reservationNo}/change", Access::Owner, "changePage") => look_at_change;
    /// Change it
    CHANGE = Route::form("/reservations/{reservationNo}/change", Access::Owner, "changeByForm").of(Priority::Create) => change;
}

#[derive(Deserialize, JsonSchema)]
#[serde(default)]
#[derive(Default)]
struct ShowQuery {
    done: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct PayForm {
    card_token: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct CancelForm {
    /// Why staff waive the fee, if they do.
    waiver: String,
    /// The fee that was shown.
    fee: String,
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

/// How a reservation stands, in a word and a sentence.
#[derive(Debug, PartialEq, Eq)]
pub struct Standing {
    /// The class of the badge.
    pub class: &'static str,
    pub word: &'static str,
    pub sentence: String,
    /// Whether it goes on by itself in a moment.
    pub is_working: bool,
}

/// How a reservation stands.
pub fn standing(t: &'static Customer, page: &Page, view: &ReservationView, is_deferred: bool) -> Standing {
    let at = |at| page.format.moment(at);
    let money = |money| page.format.money(money);
    let still = |class, word, sentence| Standing { class, word, sentence, is_working: false };
    let booking = &view.booking;
    match booking.status {
        Status::PaymentPending { hold_until } => {
            let paying = |sentence| Standing { class: "info", word: t.being_paid, sentence, is_working: true };
            match view.payment.as_ref().map(payments::Payment::status) {
                _ if is_deferred => paying(t.paid_a_little_later(at(hold_until))),
                Some(payments::Status::Requested | payments::Status::Unknown | payments::Status::Approved { .. }) => {
                    paying(t.payment_in_doubt.to_owned())
                }
                Some(payments::Status::Declined { .. }) => still("bad", t.declined, t.declined_until(at(hold_until))),
                None | Some(payments::Status::NotCharged | payments::Status::Cancelled(_)) => {
                    still("warn", t.unpaid, t.unpaid_until(at(hold_until)))
                }
            }
        }
        Status::Confirmed { picked_up_at: None } if booking.is_over(page.format.now()) => {
            still("warn", t.not_collected, t.not_collected_more.to_owned())
        }
        Status::Confirmed { picked_up_at: None } => still("ok", t.booked, t.booked_more(at(booking.period.from()))),
        Status::Confirmed { picked_up_at: Some(_) } if booking.period.to() < page.format.now() => {
            still("bad", t.overdue, t.overdue_more(at(booking.period.to())))
        }
        Status::Confirmed { picked_up_at: Some(_) } => still("info", t.out, t.out_more(at(booking.period.to()))),
        Status::Cancelled { at: when, .. } => still("", t.cancelled, told_back(t, view, money, at(when))),
        Status::Expired { at: when } => still("", t.expired, t.expired_more(at(when))),
        Status::Completed { at: when } => still("", t.completed, t.completed_more(at(when))),
        Status::NoShow { at: when, .. } => still("", t.no_show, told_back(t, view, money, at(when))),
    }
}

/// What was kept and has gone back of a reservation that has ended early.
fn told_back(t: &'static Customer, view: &ReservationView, money: impl Fn(Money) -> String, when: String) -> String {
    match view.cancellation_outcome() {
        Some(CancellationOutcome::Known(Quote { fee, refund })) => t.cancelled_more(when, money(fee), money(refund)),
        Some(CancellationOutcome::Pending) => t.refund_in_doubt.to_owned(),
        None => when,
    }
}

#[derive(Template)]
#[template(path = "reservation.html")]
struct Shown {
    page: Page,
    t: &'static Customer,
    address: String,
    standing: Standing,
    facts: Facts,
    /// What is to be paid, if anything.
    payable: Option<String>,
    payment: PaymentFields,
    /// What the change that is under way waits for.
    change: Option<String>,
    /// Where staff hand the car over or take it back.
    desk: Option<(String, &'static str)>,
    may_change: bool,
    may_cancel: bool,
    warning: Option<&'static str>,
}

/// What a reservation is.
pub struct Facts {
    pub reservation_no: String,
    pub model: String,
    pub car_no: String,
    pub branch: String,
    pub period: String,
    pub price: String,
    /// The customer, for staff.
    pub customer_no: Option<String>,
    pub odometer: Option<String>,
}

impl Facts {
    pub async fn of(http: &HttpState, page: &Page, view: &ReservationView) -> Facts {
        let subject = &view.booking.subject;
        // The ledger may be down; a reservation is shown all the same.
        let car = http.service.car(&subject.car_no).await.ok().map(|car| car.car.data);
        let (model, branch) = car.map(|data| (data.model, data.branch)).unwrap_or_default();
        let told = view.rental.as_ref().and_then(|rental| match &rental.status {
            rental::Status::Returned { .. } => rental.returned.as_ref().and_then(|facts| facts.odometer_km),
            rental::Status::Rented | rental::Status::PickedUp { .. } | rental::Status::Cancelled { .. } => {
                rental.hand_over.as_ref().and_then(|hand_over| hand_over.facts.odometer_km)
            }
        });
        Facts {
            reservation_no: subject.reservation_no.to_string(),
            model: if model.is_empty() { subject.car_no.to_string() } else { model },
            car_no: subject.car_no.to_string(),
            branch,
            period: page.format.period(view.booking.period),
            price: page.format.money(view.booking.price),
            customer_no: page.is_staff().then(|| subject.customer_no.to_string()),
            odometer: told.map(|km| format!("{km} km")),
        }
    }
}

async fn number(http: &HttpState, call: &Call, caller: &Caller) -> Result<ReservationNo, Problem> {
    call.number::<ReservationNo>()?.resolve(&http.service, caller).await
}

fn page_of(http: &HttpState, call: &Call) -> (Page, &'static Customer) {
    let page = Page::of(http, call, Section::MyPage);
    let t = Customer::of(page.language);
    (page, t)
}

/// What is to be paid for a change that is under way; `None` when it costs no more.
fn payable_for(view: &ReservationView, change: &Change) -> Option<Money> {
    view.booking.payable(change)
}

async fn look(http: Arc<HttpState>, call: Call, query: ShowQuery) -> Outcome {
    let caller = call.caller();
    let reservation_no = number(&http, &call, &caller).await?;
    let (page, t) = page_of(&http, &call);
    // Before the reservation is read, so that nothing that happens between the two is missed.
    let last_event_id = match http.service.reservation(&caller, &reservation_no).await {
        Ok(view) => {
            let seen = http.service.my_page(&caller, &view.booking.subject.customer_no, None, 1).await;
            seen.ok().and_then(Result::ok).map(|seen| (view.booking.subject.customer_no, seen.last_event_id))
        }
        Err(error) => return Err(error.into()),
    };
    let view = http.service.reservation(&caller, &reservation_no).await?;
    let is_deferred = http.service.is_payment_deferred(&reservation_no.payment());
    let page = match last_event_id {
        Some((customer_no, last_event_id)) => page.following(customer_changes(&customer_no, &last_event_id)),
        None => page,
    };
    // What has been done since is seen in how it stands.
    let notice = match (query.done.as_str(), view.booking.status) {
        ("booked", Status::Confirmed { .. }) => Some(t.done_booked),
        ("paid", Status::Confirmed { .. }) => Some(t.done_paid),
        ("changed", Status::Confirmed { .. }) => Some(t.done_changed),
        ("cancelled", Status::Cancelled { .. }) => Some(t.done_cancelled),
        (_, _) => None,
    };
    let is_declined = query.done == "declined"
        && matches!(view.booking.status, Status::PaymentPending { .. } | Status::Confirmed { .. });
    let standing = standing(t, &page, &view, is_deferred);
    let booking = &view.booking;
    let change = booking.change();
    let payable = match (booking.status, change) {
        (Status::PaymentPending { .. }, _) if !standing.is_working => Some(booking.price),
        (Status::Confirmed { .. }, Some(change)) if !is_deferred => payable_for(&view, change),
        (_, _) => None,
    };
    let facts = Facts::of(&http, &page, &view).await;
    show(&Shown {
        t,
        address: reservation_address(&reservation_no),
        facts,
        payable: payable.map(|payable| page.format.money(payable)),
        payment: PaymentFields::of(&http, page.language),
        change: change
            .map(|change| t.change_waits(page.format.period(change.period), page.format.moment(change.hold_until))),
        desk: match booking.status {
            Status::Confirmed { picked_up_at: None } if page.is_fleet() => {
                Some((desk_address(&reservation_no, "pickup"), t.hand_over))
            }
            Status::Confirmed { picked_up_at: Some(_) } if page.is_fleet() => {
                Some((desk_address(&reservation_no, "return"), t.take_back))
            }
            Status::Confirmed { .. }
            | Status::PaymentPending { .. }
            | Status::Cancelled { .. }
            | Status::Expired { .. }
            | Status::Completed { .. }
            | Status::NoShow { .. } => None,
        },
        may_change: matches!(booking.status, Status::Confirmed { .. })
            && change.is_none()
            && (booking.is_out() || !booking.is_over(page.format.now())),
        may_cancel: booking.may_be_cancelled(page.format.now()).is_ok() && booking.status.is_live(),
        warning: is_declined.then_some(t.declined_notice),
        standing,
        page: page.noting(notice),
    })
}

fn desk_address(reservation_no: &ReservationNo, step: &str) -> String {
    format!("/staff/rentals/{}/{step}", segment(reservation_no.rental().as_str()))
}

async fn pay(http: Arc<HttpState>, call: Call, form: PayForm) -> Outcome {
    let caller = call.caller();
    let reservation_no = number(&http, &call, &caller).await?;
    let address = reservation_address(&reservation_no);
    let Some(means) = payment::means(&form.card_token) else { return Ok(go_to(&address)) };
    match http.service.pay(&caller, reservation_no, means).await {
        Ok((_, PaymentResult::Approved)) => Ok(go_to(&format!("{address}?done=paid"))),
        Ok((_, PaymentResult::NotAttempted | PaymentResult::Deferred { .. })) => Ok(go_to(&address)),
        Err(ServiceError::PaymentDeclined { .. }) => Ok(go_to(&format!("{address}?done=declined"))),
        Err(error) => Err(error.into()),
    }
}

#[derive(Template)]
#[template(path = "cancellation.html")]
struct Cancellation {
    page: Page,
    t: &'static Customer,
    address: String,
    facts: Facts,
    fee: String,
    /// The fee as the form has it.
    seen: String,
    refund: String,
    is_free: bool,
    is_pending: bool,
    is_live: bool,
    refusal: Option<&'static str>,
    /// Why the fee may be waived, for staff: codes and words.
    waivers: Vec<(&'static str, &'static str)>,
}

pub const fn waiver_words(t: &'static Customer, reason: WaiverReason) -> &'static str {
    match reason {
        WaiverReason::CompanyFault => t.waiver_company_fault,
        WaiverReason::CarUnavailable => t.waiver_car_unavailable,
        WaiverReason::Goodwill => t.waiver_goodwill,
        WaiverReason::Other => t.waiver_other,
    }
}

async fn look_at_cancellation(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    let reservation_no = number(&http, &call, &call.caller()).await?;
    show(&cancellation(&http, &call, &reservation_no).await?)
}

/// What cancelling costs now.
async fn cancellation(http: &HttpState, call: &Call, reservation_no: &ReservationNo) -> Result<Cancellation, Problem> {
    let caller = call.caller();
    let (page, t) = page_of(http, call);
    let (view, outcome) = http.service.cancellation_quote(&caller, reservation_no).await?;
    let nothing = Money::zero(view.booking.price.currency());
    let (fee, refund, is_pending) = match outcome {
        CancellationOutcome::Known(Quote { fee, refund }) => (fee, refund, false),
        CancellationOutcome::Pending => (nothing, nothing, true),
    };
    let waivers = if page.is_staff() && fee.amount() > 0 {
        WaiverReason::ALL.into_iter().map(|reason| (reason.code(), waiver_words(t, reason))).collect()
    } else {
        vec![]
    };
    let facts = Facts::of(http, &page, &view).await;
    Ok(Cancellation {
        t,
        address: reservation_address(reservation_no),
        facts,
        fee: page.format.money(fee),
        seen: seen(fee),
        is_live: view.booking.status.is_live(),
        refusal: None,
        refund: page.format.money(refund),
        is_free: fee.amount() == 0,
        is_pending,
        waivers,
        page,
    })
}

async fn cancel(http: Arc<HttpState>, call: Call, form: CancelForm) -> Outcome {
    let caller = call.caller();
    let reservation_no = number(&http, &call, &caller).await?;
    let no_reason = || Problem::invalid_query("waiver: there is no such reason");
    let waiver = match form.waiver.as_str() {
        "" => None,
        code => Some(WaiverReason::of_code(code).ok_or_else(no_reason)?),
    };
    let address = reservation_address(&reservation_no);
    // What has been cancelled already is answered as such, whatever it would cost now.
    if !form.fee.is_empty()
        && let Ok(now) = cancellation(&http, &call, &reservation_no).await
        && now.is_live
        && now.seen != form.fee
    {
        return show_again(&Cancellation { refusal: texts::refusal(now.page.language, "price_changed"), ..now });
    }
    http.service.cancel(&caller, reservation_no, waiver).await?;
    Ok(go_to(&format!("{address}?done=cancelled")))
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
}

/// What a change costs or gives back.
struct Preview {
    period: String,
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
        let view = http.service.reservation(&call.caller(), reservation_no).await?;
        let facts = Facts::of(http, &page, &view).await;
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
            page,
        })
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
                let money = |money: Money| self.page.format.money(money);
                let some = |amount: Money| (amount.amount() > 0).then(|| money(amount));
                self.preview = Some(Preview {
                    period: self.page.format.period(preview.period),
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
