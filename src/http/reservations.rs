//! Reservations: holding a car, paying for it, cancelling.

use super::HttpState;
use super::access;
use super::answer::Answer;
use super::cars::PageDto;
use super::endpoint::{Call, Group, Outcome};
use super::numbers::RawNumber;
use super::payments::status_name as payment_status_name;
use super::problem::{Problem, retry_after_seconds};
use super::values::{Cursor, Instant, InstantParameter, Limit, MoneyDto, Text, period, render_instant, segment};
use crate::actors::api::{
    ChangePreview, ChangeWanted, PaymentMeans, PaymentResult, ReservationView, ReserveRequest, ServiceError,
};
use crate::actors::service::Service;
use crate::domain::cancellation::{CancellationOutcome, Quote};
use crate::domain::ids::{CarNo, CustomerNo, ReservationNo};
use crate::domain::money::Money;
use crate::domain::reservation::{Booking, Change, DayCounting, Rejection, Status};
use crate::domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use warp::http::StatusCode;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReservationRequest {
    car_no: RawNumber<CarNo>,
    customer_no: RawNumber<CustomerNo>,
    from: Instant,
    to: Instant,
    payment: Option<MeansRequest>,
    reservation_no: Option<RawNumber<ReservationNo>>,
}

/// With what a customer pays. Has no `Debug`, so that it cannot be logged.
#[derive(Deserialize)]
struct MeansRequest {
    method: Text<32>,
    token: Text<256>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChangeRequest {
    from: Option<Instant>,
    to: Option<Instant>,
    car_no: Option<RawNumber<CarNo>>,
    payment: Option<MeansRequest>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChangeQuery {
    from: Option<InstantParameter>,
    to: Option<InstantParameter>,
    car_no: Option<RawNumber<CarNo>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListQuery {
    customer_no: RawNumber<CustomerNo>,
    cursor: Option<Cursor>,
    #[serde(default)]
    limit: Limit,
}

impl From<MeansRequest> for PaymentMeans {
    fn from(MeansRequest { method, token }: MeansRequest) -> PaymentMeans {
        PaymentMeans { method: method.0.into(), token: token.0.into() }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ReservationDto {
    reservation_no: String,
    car_no: String,
    customer_no: String,
    from: String,
    to: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    no_show: Option<bool>,
    price: MoneyDto,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u64>,
    payment: PaymentRefDto,
    #[serde(skip_serializing_if = "Option::is_none")]
    rental_no: Option<String>,
    #[serde(flatten)]
    cancellation_outcome: Option<CancellationDto>,
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<ChangeDto>,
    links: LinksDto,
}

/// A change that is under way.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ChangeDto {
    car_no: String,
    from: String,
    to: String,
    price: MoneyDto,
    payable: MoneyDto,
}

impl ChangeDto {
    fn of(booking: &Booking, change: &Change) -> ChangeDto {
        let nothing = Money::zero(booking.price.currency());
        ChangeDto {
            car_no: change.car_no.to_string(),
            from: render_instant(change.period.from()),
            to: render_instant(change.period.to()),
            price: change.price.into(),
            payable: booking.payable(change).unwrap_or(nothing).into(),
        }
    }
}

/// What a change would make of a reservation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ChangePreviewDto {
    reservation_no: String,
    car_no: String,
    from: String,
    to: String,
    price: MoneyDto,
    difference: DifferenceDto,
    payable: MoneyDto,
    fee: MoneyDto,
    refund: MoneyDto,
}

/// By how much the price grows; negative where it becomes lower.
#[derive(Debug, Serialize)]
struct DifferenceDto {
    amount: i64,
    currency: String,
}

/// What is kept and given back, or that it is not known yet.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct CancellationDto {
    #[serde(skip_serializing_if = "Option::is_none")]
    fee: Option<MoneyDto>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refund: Option<MoneyDto>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refund_pending: Option<bool>,
}

impl From<CancellationOutcome> for CancellationDto {
    fn from(cancellation_outcome: CancellationOutcome) -> CancellationDto {
        match cancellation_outcome {
            CancellationOutcome::Known(Quote { fee, refund }) => {
                CancellationDto { fee: Some(fee.into()), refund: Some(refund.into()), refund_pending: None }
            }
            CancellationOutcome::Pending => {
                CancellationDto { refund_pending: Some(true), ..CancellationDto::default() }
            }
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PaymentRefDto {
    payment_no: String,
    status: &'static str,
}

#[derive(Debug, Serialize)]
struct LinksDto {
    #[serde(rename = "self")]
    this: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pay: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancellation: Option<String>,
    payment: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rental: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct QuoteDto {
    reservation_no: String,
    status: &'static str,
    #[serde(flatten)]
    cancellation_outcome: CancellationDto,
}

impl ReservationDto {
    fn of(view: &ReservationView) -> ReservationDto {
        let booking = &view.booking;
        let reservation_no = &booking.subject.reservation_no;
        // A rental follows every confirmation, so its number can be given before the rental exists.
        let rented = view.rental.is_some() || matches!(booking.status, Status::Confirmed { .. });
        let rental_no = rented.then(|| reservation_no.rental().to_string());
        let this = path_of(reservation_no);
        let payment_no = reservation_no.payment().to_string();
        let pending = hold_until(booking).is_some();
        ReservationDto {
            reservation_no: reservation_no.to_string(),
            car_no: booking.subject.car_no.to_string(),
            customer_no: booking.subject.customer_no.to_string(),
            from: render_instant(booking.period.from()),
            to: render_instant(booking.period.to()),
            status: status_name(&booking.status),
            no_show: matches!(booking.status, Status::NoShow { .. }).then_some(true),
            price: booking.price.into(),
            hold_until: hold_until(booking),
            retry_after_seconds: None,
            links: LinksDto {
                pay: pending.then(|| format!("{this}/payment")),
                change: matches!(booking.status, Status::Confirmed { .. }).then(|| format!("{this}/change")),
                cancellation: booking.status.is_live().then(|| format!("{this}/cancellation")),
                payment: format!("/v1/payments/{}", segment(&payment_no)),
                rental: rental_no.as_ref().map(|rental_no| format!("/v1/rentals/{}", segment(rental_no))),
                this,
            },
            payment: PaymentRefDto { payment_no, status: payment_status_name(view.payment.as_ref()) },
            rental_no,
            cancellation_outcome: view.cancellation_outcome().map(CancellationDto::from),
            change: booking.change().map(|change| ChangeDto::of(booking, change)),
        }
    }
}

const fn status_name(status: &Status) -> &'static str {
    match status {
        Status::PaymentPending { .. } => "PAYMENT_PENDING",
        Status::Confirmed { .. } => "CONFIRMED",
        Status::Cancelled { .. } => "CANCELLED",
        Status::Expired { .. } => "EXPIRED",
        Status::Completed { .. } | Status::NoShow { .. } => "COMPLETED",
    }
}

/// Until when it waits for a payment: for its own, or for that of a change.
fn hold_until(booking: &Booking) -> Option<String> {
    match booking.status {
        Status::PaymentPending { hold_until } => Some(render_instant(hold_until)),
        Status::Confirmed { .. } => booking.change().map(|change| render_instant(change.hold_until)),
        Status::Cancelled { .. } | Status::Expired { .. } | Status::Completed { .. } | Status::NoShow { .. } => None,
    }
}

pub(super) fn mount(group: Group<HttpState>) -> Group<HttpState> {
    group
        .on(&access::RESERVE, reserve)
        .on(&access::RESERVATION, one)
        .on(&access::RESERVATIONS, list)
        .on(&access::PAY, pay)
        .on(&access::CANCELLATION, preview)
        .on(&access::CANCEL, cancel)
        .on(&access::PREVIEW_CHANGE, preview_change)
        .on(&access::CHANGE, change)
}

async fn reserve(http: Arc<HttpState>, call: Call) -> Outcome {
    call.no_query()?;
    let request: ReservationRequest = call.document()?;
    let period = period(request.from.0, request.to.0)?;
    let service = &*http.service;
    let reservation_no = match request.reservation_no {
        Some(chosen) => chosen.resolve(service).await?,
        None => call.new_number("res-")?,
    };
    let request = ReserveRequest {
        reservation_no: Some(reservation_no),
        car_no: request.car_no.resolve(service).await?,
        customer_no: request.customer_no.resolve(service).await?,
        period,
        means: request.payment.map(PaymentMeans::from),
        day_counting: DayCounting::Hours,
    };
    let result = service.reserve(&call.caller(), request).await;
    payment_answer(&http, StatusCode::CREATED, result).await
}

async fn pay(http: Arc<HttpState>, call: Call) -> Outcome {
    call.no_query()?;
    let reservation_no = call.number()?;
    let means: MeansRequest = call.document()?;
    let reservation_no = reservation_no.resolve(&http.service).await?;
    let result = http.service.pay(reservation_no, means.into()).await;
    payment_answer(&http, StatusCode::OK, result).await
}

async fn one(http: Arc<HttpState>, call: Call) -> Outcome {
    call.no_query()?;
    let reservation_no = call.number()?.resolve(&http.service).await?;
    let view = http.service.reservation(&reservation_no).await?;
    Ok(Answer::ok(&ReservationDto::of(&view)))
}

async fn list(http: Arc<HttpState>, call: Call) -> Outcome {
    let ListQuery { customer_no, cursor, limit } = call.query()?;
    let customer_no = customer_no.in_query().resolve(&http.service).await?;
    let cursor = cursor.as_ref().map(|cursor| cursor.0.as_str());
    let listing = http.service.reservations_of(&customer_no, cursor, limit.0).await??;
    Ok(Answer::ok(&PageDto::of(listing, |view| ReservationDto::of(&view))))
}

async fn preview(http: Arc<HttpState>, call: Call) -> Outcome {
    call.no_query()?;
    let reservation_no = call.number()?.resolve(&http.service).await?;
    let (view, cancellation_outcome) = http.service.cancellation_quote(&reservation_no).await?;
    Ok(Answer::ok(&QuoteDto {
        reservation_no: view.booking.subject.reservation_no.to_string(),
        status: status_name(&view.booking.status),
        cancellation_outcome: cancellation_outcome.into(),
    }))
}

async fn cancel(http: Arc<HttpState>, call: Call) -> Outcome {
    call.no_query()?;
    let reservation_no = call.number()?;
    call.no_document()?;
    let reservation_no = reservation_no.resolve(&http.service).await?;
    Ok(Answer::ok(&ReservationDto::of(&http.service.cancel(&call.caller(), reservation_no).await?)))
}

async fn preview_change(http: Arc<HttpState>, call: Call) -> Outcome {
    let ChangeQuery { from, to, car_no } = call.query()?;
    let reservation_no = call.number()?;
    let service = &*http.service;
    let (from, to) = (from.map(|from| from.0), to.map(|to| to.0));
    let wanted = wanted(service, (from, to), car_no.map(RawNumber::in_query)).await?;
    let reservation_no = reservation_no.resolve(service).await?;
    let preview = service.change_preview(&reservation_no, &wanted).await?;
    let ChangePreview { booking, car_no, period, quote } = preview;
    let (now, then) = (booking.price, quote.price);
    let amount = i64::try_from(then.amount()).unwrap_or(i64::MAX) - i64::try_from(now.amount()).unwrap_or(i64::MAX);
    Ok(Answer::ok(&ChangePreviewDto {
        reservation_no: reservation_no.to_string(),
        car_no: car_no.to_string(),
        from: render_instant(period.from()),
        to: render_instant(period.to()),
        price: then.into(),
        difference: DifferenceDto { amount, currency: then.currency().code().to_owned() },
        payable: quote.payable.into(),
        fee: quote.fee.into(),
        refund: quote.refund.into(),
    }))
}

async fn wanted(
    service: &Service,
    (from, to): (Option<Timestamp>, Option<Timestamp>),
    car_no: Option<RawNumber<CarNo>>,
) -> Result<ChangeWanted, Problem> {
    let car_no = match car_no {
        Some(car_no) => Some(car_no.resolve(service).await?),
        None => None,
    };
    Ok(ChangeWanted { from, to, car_no })
}

async fn change(http: Arc<HttpState>, call: Call) -> Outcome {
    call.no_query()?;
    let reservation_no = call.number()?;
    let ChangeRequest { from, to, car_no, payment } = call.document()?;
    if from.is_none() && to.is_none() && car_no.is_none() {
        return Err(Problem::bad_request("nothing_to_change", "give what is to change: from, to or carNo"));
    }
    let service = &*http.service;
    let wanted = wanted(service, (from.map(|from| from.0), to.map(|to| to.0)), car_no).await?;
    let reservation_no = reservation_no.resolve(service).await?;
    let means = payment.map(PaymentMeans::from);
    let result = service.change(&call.caller(), reservation_no, wanted, means).await;
    payment_answer(&http, StatusCode::OK, result).await
}

/// The answer after an attempt to pay; `done` is its status if the reservation is paid.
async fn payment_answer(
    http: &HttpState,
    done: StatusCode,
    result: Result<(ReservationView, PaymentResult), ServiceError>,
) -> Outcome {
    let (view, payment) = match result {
        Ok(payment_answer) => payment_answer,
        Err(ServiceError::PaymentDeclined { reservation_no, reason }) => {
            return Err(declined(http, reservation_no, reason).await);
        }
        Err(error) => return Err(error.into()),
    };
    rendered(done, &view, &payment)
}

fn rendered(done: StatusCode, view: &ReservationView, payment: &PaymentResult) -> Outcome {
    let dto = ReservationDto::of(view);
    let path = dto.links.this.clone();
    let deferred = view.booking.change().is_some() && matches!(payment, PaymentResult::Deferred { .. });
    match view.booking.status {
        Status::Confirmed { .. } | Status::Completed { .. } | Status::NoShow { .. } if !deferred => {
            let answer = Answer::json(done, &dto);
            Ok(if done == StatusCode::CREATED { answer.located(&path) } else { answer })
        }
        Status::PaymentPending { .. } | Status::Confirmed { .. } | Status::Completed { .. } | Status::NoShow { .. } => {
            let seconds = match payment {
                PaymentResult::Deferred { retry_after_ms } => retry_after_seconds(*retry_after_ms),
                PaymentResult::NotAttempted | PaymentResult::Approved => 1,
            };
            let dto = ReservationDto { retry_after_seconds: Some(seconds), ..dto };
            Ok(Answer::json(StatusCode::ACCEPTED, &dto).located(&path).retrying(seconds))
        }
        // The hold ran out, or it was cancelled, while the payment was under way.
        Status::Cancelled { .. } | Status::Expired { .. } => {
            Err(ServiceError::from(Rejection::ReservationClosed).into())
        }
    }
}

/// The hold outlives a declined payment: the problem says how to try again.
async fn declined(http: &HttpState, reservation_no: ReservationNo, reason: String) -> Problem {
    let view = http.service.reservation(&reservation_no).await;
    let this = path_of(&reservation_no);
    let problem: Problem = ServiceError::PaymentDeclined { reservation_no, reason }.into();
    // The hold of a change is over with the decline, that of a reservation is not.
    let is_changed = view.as_ref().is_ok_and(|view| matches!(view.booking.status, Status::Confirmed { .. }));
    if is_changed {
        return problem.with("links", serde_json::json!({ "self": this, "change": format!("{this}/change") }));
    }
    let links = serde_json::json!({ "self": this, "pay": format!("{this}/payment") });
    let held = view.ok().and_then(|view| hold_until(&view.booking));
    let problem = problem.with("links", links);
    match held {
        Some(hold_until) => problem.with("holdUntil", hold_until),
        None => problem,
    }
}

fn path_of(reservation_no: &ReservationNo) -> String {
    format!("/v1/reservations/{}", segment(reservation_no.as_str()))
}

#[cfg(test)]
#[path = "reservations_tests.rs"]
mod tests;
