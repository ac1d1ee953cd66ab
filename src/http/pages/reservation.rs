//! A reservation: how it stands, and paying and cancelling it.

use super::book::seen;
use super::format::Format;
use super::live::customer_changes;
use super::page::{Page, Section, go_to, reservation_address, show, show_again};
use super::payment::{self, PaymentFields};
use super::staff::addresses::customer_address;
use super::staff::board::Names;
use super::texts::{self, Board, Customer, Staff};
use crate::actors::api::{Caller, PaymentResult, ReservationView, ServiceError};
use crate::domain::cancellation::{CancellationOutcome, Quote};
use crate::domain::desk::WaiverReason;
use crate::domain::ids::{CustomerNo, ReservationNo};
use crate::domain::money::Money;
use crate::domain::payment as payments;
use crate::domain::rental;
use crate::domain::reservation::{Booking, Change, Status};
use crate::http::HttpState;
use crate::kit::call::{Call, Nothing};
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::problem::Problem;
use crate::kit::route::{Access, Route, routes};
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

/// How a reservation stands, in a word and a sentence.
#[derive(Debug, PartialEq, Eq)]
pub struct Standing {
    /// The class of the badge.
    pub class: &'static str,
    pub word: &'static str,
    pub sentence: String,
    /// What there is to tell instead of a sentence: what, and how much.
    pub facts: Vec<(&'static str, String)>,
    /// Whether it goes on by itself in a moment.
    pub is_working: bool,
}

/// How a reservation stands.
pub fn standing(t: &'static Customer, page: &Page, view: &ReservationView, is_deferred: bool) -> Standing {
    let at = |at| page.format.moment(at);
    let money = |money| page.format.money(money);
    let still = |class, word, sentence| Standing { class, word, sentence, facts: vec![], is_working: false };
    let booking = &view.booking;
    // What a customer is to do is told to customers only.
    let of_staff = page.is_staff().then(|| Staff::of(page.language));
    macro_rules! told {
        ($sentence:ident($at:expr)) => {
            of_staff.map_or_else(|| t.$sentence(at($at)), |staff| staff.$sentence(at($at)))
        };
    }
    match booking.status {
        Status::PaymentPending { hold_until } => {
            let paying = |sentence| Standing { is_working: true, ..still("info", t.being_paid, sentence) };
            match view.payment.as_ref().map(payments::Payment::status) {
                _ if is_deferred => paying(told!(paid_a_little_later(hold_until))),
                Some(payments::Status::Requested | payments::Status::Unknown | payments::Status::Approved { .. }) => {
                    paying(t.payment_in_doubt.to_owned())
                }
                Some(payments::Status::Declined { .. }) => still("bad", t.declined, told!(declined_until(hold_until))),
                None | Some(payments::Status::NotCharged | payments::Status::Cancelled(_)) => {
                    still("warn", t.unpaid, told!(unpaid_until(hold_until)))
                }
            }
        }
        Status::Confirmed { picked_up_at: None } if booking.is_over(page.format.now()) => {
            still("warn", t.not_collected, t.not_collected_more.to_owned())
        }
        Status::Confirmed { picked_up_at: None } => still("ok", t.booked, told!(booked_more(booking.period.from()))),
        Status::Confirmed { picked_up_at: Some(_) } if booking.period.to() < page.format.now() => {
            still("bad", t.overdue, told!(overdue_more(booking.period.to())))
        }
        Status::Confirmed { picked_up_at: Some(_) } => still("info", t.out, told!(out_more(booking.period.to()))),
        Status::Cancelled { at: when, .. } => {
            let (sentence, facts) = told_back(t, view, money, (t.cancelled_on, at(when)));
            Standing { facts, ..still("", t.cancelled, sentence) }
        }
        Status::Expired { at: when } => still("", t.expired, t.expired_more(at(when))),
        Status::Completed { at: when } => still("", t.completed, t.completed_more(at(when))),
        Status::NoShow { at: when, .. } => {
            let (sentence, facts) = told_back(t, view, money, (t.ended_on, at(when)));
            Standing { facts, ..still("", t.no_show, sentence) }
        }
    }
}

/// What was kept and has gone back of a reservation that has ended early: a sentence, or facts.
fn told_back(
    t: &'static Customer,
    view: &ReservationView,
    money: impl Fn(Money) -> String,
    ended: (&'static str, String),
) -> (String, Vec<(&'static str, String)>) {
    match view.cancellation_outcome() {
        Some(CancellationOutcome::Known(Quote { fee, refund })) => {
            (String::new(), vec![ended, (t.fee, money(fee)), (t.goes_back, money(refund))])
        }
        Some(CancellationOutcome::Pending) => (t.refund_in_doubt.to_owned(), vec![]),
        None => (String::new(), vec![ended]),
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
    /// Who still has the car that should have been back, for staff.
    late: Option<Late>,
}

/// Whoever still has a car, in words, and the page of their booking.
pub struct Late {
    pub told: String,
    pub address: String,
    pub is_overdue: bool,
}

impl Late {
    /// Who has the car of a booking that waits for it; `None` when nobody has, or when it cannot be told.
    pub async fn of(http: &HttpState, caller: &Caller, page: &Page, view: &ReservationView) -> Option<Late> {
        let subject = &view.booking.subject;
        if !page.is_staff() || !view.booking.status.is_live() || view.booking.is_out() {
            return None;
        }
        let bookings = http.service.bookings_of_car(&subject.car_no).await.ok()?;
        let other = bookings.live.into_iter().map(|other| other.booking).find(Booking::is_out)?;
        let (t, until) = (Board::of(page.language), other.period.to());
        let who = Names::of(http, caller, page, vec![&other.subject.customer_no]).await;
        let who = who.of_customer(&other.subject.customer_no);
        let is_overdue = until <= page.format.now();
        let at = page.format.moment(until);
        Some(Late {
            told: if is_overdue { t.still_overdue(who, at) } else { t.still_out(who, at) },
            address: reservation_address(&other.subject.reservation_no),
            is_overdue,
        })
    }
}

/// What a reservation is.
pub struct Facts {
    pub reservation_no: String,
    pub model: String,
    pub car_no: String,
    pub branch: String,
    pub period: String,
    pub price: String,
    /// The name of the customer, or else the number, and the page, for staff.
    pub customer: Option<(String, String)>,
    /// What the odometer has shown last, and when that was.
    pub odometer: Option<String>,
}

impl Facts {
    pub async fn of(http: &HttpState, caller: &Caller, page: &Page, view: &ReservationView) -> Facts {
        let subject = &view.booking.subject;
        // The ledger may be down; a reservation is shown all the same.
        let car = http.service.car(&subject.car_no).await.ok().map(|car| car.car.data);
        let (model, branch) = car.map(|data| (data.model, data.branch)).unwrap_or_default();
        let t = Customer::of(page.language);
        let kilometres = |km| Board::of(page.language).kilometres(Format::whole(km));
        let odometer = view.rental.as_ref().and_then(|rental| match &rental.status {
            rental::Status::Returned { .. } => {
                Some(t.at_return(kilometres(rental.returned.as_ref().and_then(|facts| facts.odometer_km)?)))
            }
            rental::Status::Rented | rental::Status::PickedUp { .. } | rental::Status::Cancelled { .. } => {
                let hand_over = rental.hand_over.as_ref();
                Some(t.at_pick_up(kilometres(hand_over.and_then(|hand_over| hand_over.facts.odometer_km)?)))
            }
        });
        Facts {
            reservation_no: subject.reservation_no.to_string(),
            model: if model.is_empty() { subject.car_no.to_string() } else { model },
            car_no: subject.car_no.to_string(),
            branch,
            period: page.format.period(view.booking.period),
            price: page.format.money(view.booking.price),
            customer: customer(http, caller, page, &subject.customer_no).await,
            odometer,
        }
    }
}

/// Name and page of a customer, for those who may see them.
async fn customer(
    http: &HttpState,
    caller: &Caller,
    page: &Page,
    customer_no: &CustomerNo,
) -> Option<(String, String)> {
    if !page.is_staff() {
        return None;
    }
    let name = Names::of(http, caller, page, vec![customer_no]).await.of_customer(customer_no);
    Some((name, customer_address(customer_no)))
}

pub async fn number(http: &HttpState, call: &Call, caller: &Caller) -> Result<ReservationNo, Problem> {
    call.number::<ReservationNo>()?.resolve(&http.service, caller).await
}

pub fn page_of(http: &HttpState, call: &Call) -> (Page, &'static Customer) {
    let page = Page::of(http, call, Section::MyPage);
    // Staff have no page of their own; they come from the desk.
    let page = if page.is_staff() { page.within(Section::Desk) } else { page };
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
    // Nobody wishes staff a good trip.
    let (staff, is_staff) = (Staff::of(page.language), page.is_staff());
    let told = |customer, of_staff| Some(if is_staff { of_staff } else { customer });
    // What has been done since is seen in how it stands.
    let notice = match (query.done.as_str(), view.booking.status) {
        ("booked", Status::Confirmed { .. }) => told(t.done_booked, staff.booked_and_paid),
        ("paid", Status::Confirmed { .. }) => told(t.done_paid, staff.paid),
        ("changed", Status::Confirmed { .. }) => Some(t.done_changed),
        ("cancelled", Status::Cancelled { .. }) => Some(t.done_cancelled),
        (_, _) => None,
    };
    // What was never paid tells itself how it stands.
    let is_declined = query.done == "declined" && matches!(view.booking.status, Status::Confirmed { .. });
    let standing = standing(t, &page, &view, is_deferred);
    let booking = &view.booking;
    let change = booking.change();
    let payable = match (booking.status, change) {
        (Status::PaymentPending { .. }, _) if !standing.is_working => Some(booking.price),
        (Status::Confirmed { .. }, Some(change)) if !is_deferred => payable_for(&view, change),
        (_, _) => None,
    };
    let facts = Facts::of(&http, &caller, &page, &view).await;
    let late = Late::of(&http, &caller, &page, &view).await.filter(|late| late.is_overdue);
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
        warning: if is_declined { told(t.declined_notice, staff.declined_notice) } else { None },
        late,
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
    let facts = Facts::of(http, &caller, &page, &view).await;
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
