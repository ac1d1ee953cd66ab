//! Reservations: holding a car, paying for it, cancelling.

use super::HttpState;
use super::cars::PageDto;
use super::payments::PaymentStatus;
use super::waivers::WaiverDto;
use crate::actors::api::{
    Caller, ChangePreview, ChangeWanted, PaymentMeans, PaymentResult, ReservationView, ReserveRequest, ServiceError,
};
use crate::actors::service::{Early, Service};
use crate::domain::cancellation::{CancellationOutcome, Quote};
use crate::domain::desk::WaiverReason;
use crate::domain::ids::{CarNo, CustomerNo, ReservationNo};
use crate::domain::money::Money;
use crate::domain::reservation::{Booking, Change, DayCounting, Rejection, Status};
use crate::domain::time::Timestamp;
use crate::kit::answer::Answer;
use crate::kit::call::{Call, Nothing};
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::numbers::{GivenNumber, RawNumber};
use crate::kit::problem::{Problem, retry_after_seconds};
use crate::kit::route::{Access, Priority, Reply, Route, routes};
use crate::kit::values::{
    CurrencyCode, Cursor, Instant, InstantParameter, Limit, Link, MoneyDto, Text, period, segment,
};
use futures_util::FutureExt as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use warp::http::StatusCode;

routes! { HttpState, "Reservations":
    /// Hold a car, and pay for it
    ///
    /// After a declined payment the hold stays, so that paying can be tried again.
    RESERVE = Route::post("/v1/reservations", Access::Owner, "reserve").of(Priority::Create)
        .answered(&[
            Reply::created::<ReservationDto>("It is confirmed."),
            Reply::accepted::<ReservationDto>("The car is held until holdUntil and is to be paid by then. A payment that \
                was turned away is tried again with the means that were given, by the service itself \
                (payment.retry_deferred)."),
        ], &["invalid_period", "period_in_past", "period_too_long", "price_too_large", "payment_declined",
            "car_not_found", "car_not_available", "car_retired", "calendar_full", "reservation_no_taken",
            "reservation_closed", "too_many_unpaid_holds", "customer_number_erased", "customer_number_closed",
            "reservation_not_found", "payment_not_found", "too_many_payment_attempts", "customer_no_not_yours",
            "reservation_no_not_allowed", "not_registered"]) => reserve;
    /// A customer's reservations
    RESERVATIONS = Route::get("/v1/reservations", Access::Owner, "listReservations").of(Priority::List)
        .answered(&[Reply::ok::<PageDto<ReservationDto>>("As it is now.")], &[]) => list;
    /// A reservation
    RESERVATION = Route::get("/v1/reservations/{reservationNo}", Access::Owner, "getReservation")
        .answered(&[Reply::ok::<ReservationDto>("As it is now.")], &["reservation_not_found"]) => one;
    /// Pay a reservation that is held, or a change that waits for its payment
    ///
    /// After a declined payment the hold stays, so that paying can be tried again. A change is over then, and the
    /// reservation stands as it was.
    PAY = Route::post("/v1/reservations/{reservationNo}/payment", Access::Owner, "payReservation")
        .answered(&[
            Reply::ok::<ReservationDto>("It is confirmed, or its change is made."),
            Reply::accepted::<ReservationDto>("The car is held until holdUntil, of a change both periods are, and it is \
                to be paid by then. A payment that was turned away is tried again with the means that were given, by the \
                service itself (payment.retry_deferred)."),
        ], &["payment_declined", "reservation_not_found", "reservation_closed", "payment_not_found",
            "too_many_payment_attempts", "change_expired", "car_not_found", "car_not_available", "car_retired",
            "calendar_full", "price_changed", "price_too_large"]) => pay;
    /// What cancelling would cost and give back
    CANCELLATION = Route::get("/v1/reservations/{reservationNo}/cancellation", Access::Owner, "previewCancellation")
        .answered(&[Reply::ok::<CancellationPreviewDto>("As it is now.")],
            &["reservation_not_found", "reservation_closed", "rental_already_picked_up"]) => preview;
    /// Cancel
    ///
    /// The body may be missing. With `waiveFee` nothing is kept of the price and everything goes back, but the fees of earlier
    /// changes; only the company may do so. Its reason is a code, and it is in the audit.
    CANCEL = Route::post_bare("/v1/reservations/{reservationNo}/cancellation", Access::Owner, "cancelReservation")
        .answered(&[Reply::ok::<ReservationDto>("It is cancelled.")],
            &["reservation_not_found", "reservation_closed", "rental_already_picked_up", "cancelled_with_fee",
                "waiver_not_allowed"]) => cancel;
    /// What another period or another car would cost or give back
    ///
    /// The price is that of the whole new period, at the present rate of the car. What could not be made now is refused
    /// as the change itself would be, but never for want of a payment.
    PREVIEW_CHANGE = Route::get("/v1/reservations/{reservationNo}/change", Access::Owner, "previewChange")
        .answered(&[Reply::ok::<ChangePreviewDto>("As it is now. Nothing is changed, and nothing is held.")],
            &["invalid_period", "period_in_past", "period_too_long", "price_too_large", "reservation_not_found",
                "car_not_found", "car_not_available", "car_retired", "calendar_full", "reservation_closed",
                "reservation_not_paid", "rental_already_picked_up", "change_under_way", "other_currency", "price_changed",
                "too_many_changes"]) => preview_change;
    /// Change the period or the car of a paid reservation
    ///
    /// After the pick-up only `to` may change. While one change is under way another one is refused, and the same goes
    /// on; there are 20 at most. The reservation stands as it was after every refusal.
    CHANGE = Route::post("/v1/reservations/{reservationNo}/change", Access::Owner, "changeReservation")
        .answered(&[
            Reply::ok::<ReservationDto>("It is changed. What it costs more is charged, what it costs less goes back. \
                The same change again is answered so too."),
            Reply::accepted::<ReservationDto>("Both periods are held until holdUntil, and the difference is to be paid \
                by then; else the reservation stays as it was. A payment that was turned away is tried again with the \
                means that were given, by the service itself (payment.retry_deferred)."),
        ], &["invalid_period", "nothing_to_change", "period_in_past", "period_too_long", "price_too_large",
            "payment_declined", "payment_required", "reservation_not_found", "car_not_found", "car_not_available",
            "car_retired", "calendar_full", "reservation_closed", "reservation_not_paid",
            "rental_already_picked_up", "change_under_way", "change_expired", "price_changed", "other_currency",
            "too_many_changes", "payment_not_found", "too_many_payment_attempts"]) => change;
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ReservationRequest {
    car_no: RawNumber<CarNo>,
    customer_no: RawNumber<CustomerNo>,
    #[schemars(example = &"2035-02-01T00:00:00Z")]
    from: Instant,
    #[schemars(example = &"2035-02-03T00:00:00Z")]
    to: Instant,
    #[schemars(example = json!({ "method": "card", "token": "tok_visa" }))]
    payment: Option<PaymentMeansDto>,
    reservation_no: Option<RawNumber<ReservationNo>>,
}

/// With what a customer pays. Has no `Debug`, so that it cannot be logged.
#[derive(Deserialize, JsonSchema)]
#[schemars(description = "With what a customer pays.")]
struct PaymentMeansDto {
    #[schemars(example = &"card")]
    method: Text<32>,
    /// The provider's token; it is never logged and never stored in the clear.
    #[schemars(example = &"tok_visa")]
    token: Text<256>,
}

/// What is to change; what is missing stays as it is. At least one of from, to and carNo must be given.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
struct ChangeRequest {
    from: Option<Instant>,
    #[schemars(example = &"2035-01-04T00:00:00Z")]
    to: Option<Instant>,
    car_no: Option<RawNumber<CarNo>>,
    /// Needed when it costs more.
    #[schemars(example = json!({ "method": "card", "token": "tok_visa" }))]
    payment: Option<PaymentMeansDto>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct CancelRequest {
    /// That the company asks for no fee; not for customers.
    #[schemars(example = json!({ "reason": "COMPANY_FAULT" }))]
    waive_fee: Option<WaiverDto>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ChangeQuery {
    /// When the period is to begin; as it is if missing.
    from: Option<InstantParameter>,
    /// When it is to end; as it is if missing.
    to: Option<InstantParameter>,
    /// The car to have; the same if missing.
    car_no: Option<RawNumber<CarNo>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ListQuery {
    /// Whose.
    customer_no: RawNumber<CustomerNo>,
    /// The nextCursor of the page before.
    cursor: Option<Cursor>,
    #[serde(default)]
    limit: Limit,
}

impl From<PaymentMeansDto> for PaymentMeans {
    fn from(PaymentMeansDto { method, token }: PaymentMeansDto) -> PaymentMeans {
        PaymentMeans { method: method.0.into(), token: token.0.into() }
    }
}

/// A reservation, with its payment and with what can be done with it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReservationDto {
    reservation_no: GivenNumber,
    car_no: GivenNumber,
    customer_no: GivenNumber,
    from: Instant,
    to: Instant,
    #[schemars(example = &"CONFIRMED")]
    status: ReservationStatus,
    /// `true` when it is completed because nobody came for the car; missing otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    no_show: Option<bool>,
    price: MoneyDto,
    /// Until when it waits for its payment, or for that of a change.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_until: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    retry_after_seconds: Option<u64>,
    payment: PaymentRefDto,
    #[serde(skip_serializing_if = "Option::is_none")]
    rental_no: Option<GivenNumber>,
    #[serde(flatten)]
    cancellation_outcome: Option<CancellationDto>,
    /// Why the fee of the cancellation was waived, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    fee_waived: Option<WaiverDto>,
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<ChangeDto>,
    links: LinksDto,
}

/// How a reservation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum ReservationStatus {
    PaymentPending,
    Confirmed,
    Cancelled,
    Expired,
    Completed,
}

/// The change that is under way: it waits for its payment until holdUntil, and its period is held beside that of the
/// reservation.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ChangeDto {
    car_no: GivenNumber,
    from: Instant,
    to: Instant,
    price: MoneyDto,
    /// What is charged for it; 0 when it costs no more.
    payable: MoneyDto,
}

impl ChangeDto {
    fn of(booking: &Booking, change: &Change) -> ChangeDto {
        let nothing = Money::zero(booking.price.currency());
        ChangeDto {
            car_no: (&change.car_no).into(),
            from: Instant(change.period.from()),
            to: Instant(change.period.to()),
            price: change.price.into(),
            payable: booking.payable(change).unwrap_or(nothing).into(),
        }
    }
}

/// What a change would make of a reservation.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ChangePreviewDto {
    reservation_no: GivenNumber,
    car_no: GivenNumber,
    from: Instant,
    to: Instant,
    price: MoneyDto,
    difference: PriceDifferenceDto,
    /// What would be charged.
    payable: MoneyDto,
    /// What would be kept of the difference to a lower price (`reservation.change_fees`).
    fee: MoneyDto,
    /// What would go back of it.
    refund: MoneyDto,
}

/// By how much the price grows; negative where it becomes lower.
#[derive(Debug, Serialize, JsonSchema)]
struct PriceDifferenceDto {
    /// Minor units of the currency.
    #[schemars(range(min = -9_007_199_254_740_991_i64, max = 9_007_199_254_740_991_i64))]
    amount: i64,
    currency: CurrencyCode,
}

/// What is kept and given back, or that it is not known yet.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct CancellationDto {
    #[serde(skip_serializing_if = "Option::is_none")]
    fee: Option<MoneyDto>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refund: Option<MoneyDto>,
    /// `true` while a charge is in doubt: what was taken goes back, and fee and refund are told once the provider has
    /// said.
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

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PaymentRefDto {
    payment_no: GivenNumber,
    #[schemars(example = &"APPROVED")]
    status: PaymentStatus,
}

/// Paths of what can be done with it now, and of what belongs to it.
#[derive(Debug, Serialize, JsonSchema)]
struct LinksDto {
    #[serde(rename = "self")]
    this: Link,
    #[serde(skip_serializing_if = "Option::is_none")]
    pay: Option<Link>,
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<Link>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancellation: Option<Link>,
    payment: Link,
    #[serde(skip_serializing_if = "Option::is_none")]
    rental: Option<Link>,
}

/// What cancelling would cost and give back.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct CancellationPreviewDto {
    reservation_no: GivenNumber,
    status: ReservationStatus,
    #[serde(flatten)]
    cancellation_outcome: CancellationDto,
}

impl ReservationDto {
    pub(super) fn of(view: &ReservationView) -> ReservationDto {
        let booking = &view.booking;
        let reservation_no = &booking.subject.reservation_no;
        // A rental follows every confirmation, so its number can be given before the rental exists.
        let rented = view.rental.is_some() || matches!(booking.status, Status::Confirmed { .. });
        let rental_no = rented.then(|| reservation_no.rental());
        let this = path_of(reservation_no);
        let payment_no = reservation_no.payment();
        let pending = hold_until(booking).is_some();
        ReservationDto {
            reservation_no: reservation_no.into(),
            car_no: (&booking.subject.car_no).into(),
            customer_no: (&booking.subject.customer_no).into(),
            from: Instant(booking.period.from()),
            to: Instant(booking.period.to()),
            status: (&booking.status).into(),
            no_show: matches!(booking.status, Status::NoShow { .. }).then_some(true),
            price: booking.price.into(),
            hold_until: hold_until(booking),
            retry_after_seconds: None,
            links: LinksDto {
                pay: pending.then(|| Link::below(&this, "payment")),
                change: matches!(booking.status, Status::Confirmed { .. }).then(|| Link::below(&this, "change")),
                cancellation: booking.status.is_live().then(|| Link::below(&this, "cancellation")),
                payment: Link::below("/v1/payments", &segment(payment_no.as_str())),
                rental: rental_no.as_ref().map(|no| Link::below("/v1/rentals", &segment(no.as_str()))),
                this: Link(this),
            },
            payment: PaymentRefDto { payment_no: (&payment_no).into(), status: view.payment.as_ref().into() },
            rental_no: rental_no.as_ref().map(GivenNumber::from),
            cancellation_outcome: view.cancellation_outcome().map(CancellationDto::from),
            fee_waived: booking.waiver().map(WaiverDto::from),
            change: booking.change().map(|change| ChangeDto::of(booking, change)),
        }
    }
}

impl From<&Status> for ReservationStatus {
    fn from(status: &Status) -> ReservationStatus {
        match status {
            Status::PaymentPending { .. } => ReservationStatus::PaymentPending,
            Status::Confirmed { .. } => ReservationStatus::Confirmed,
            Status::Cancelled { .. } => ReservationStatus::Cancelled,
            Status::Expired { .. } => ReservationStatus::Expired,
            Status::Completed { .. } | Status::NoShow { .. } => ReservationStatus::Completed,
        }
    }
}

/// Until when it waits for a payment: for its own, or for that of a change.
fn hold_until(booking: &Booking) -> Option<Instant> {
    match booking.status {
        Status::PaymentPending { hold_until } => Some(Instant(hold_until)),
        Status::Confirmed { .. } => booking.change().map(|change| Instant(change.hold_until)),
        Status::Cancelled { .. } | Status::Expired { .. } | Status::Completed { .. } | Status::NoShow { .. } => None,
    }
}

async fn reserve(http: Arc<HttpState>, call: Call, request: ReservationRequest) -> Outcome {
    let period = period(request.from.0, request.to.0)?;
    let service = &*http.service;
    let caller = call.caller();
    let reservation_no = match request.reservation_no {
        Some(chosen) => {
            caller.may_choose_numbers()?;
            chosen.resolve(service, &caller).await?
        }
        None => call.new_number("res-")?,
    };
    let request = ReserveRequest {
        reservation_no: Some(reservation_no),
        car_no: request.car_no.resolve(service, &caller).await?,
        customer_no: request.customer_no.resolve(service, &caller).await?,
        period,
        means: request.payment.map(PaymentMeans::from),
        day_counting: DayCounting::Hours,
    };
    let (result, ticket) = match service.reserve_early(&caller, request).await {
        Ok(Early { told, ticket }) => (Ok(told), Some(ticket)),
        Err(error) => (Err(error), None),
    };
    let outcome = payment_answer(&http, &caller, StatusCode::CREATED, result).await;
    let Some(ticket) = ticket else { return outcome };
    let service = Arc::clone(&http.service);
    match outcome {
        Ok(answer) => Ok(answer.once(Box::new(move || async move { Ok(service.durable(ticket).await?) }.boxed()))),
        Err(problem) => {
            service.durable(ticket).await?;
            Err(problem)
        }
    }
}

async fn pay(http: Arc<HttpState>, call: Call, means: PaymentMeansDto) -> Outcome {
    let caller = call.caller();
    let reservation_no = call.number()?.resolve(&http.service, &caller).await?;
    let result = http.service.pay(&caller, reservation_no, means.into()).await;
    payment_answer(&http, &caller, StatusCode::OK, result).await
}

async fn one(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    let caller = call.caller();
    let reservation_no = call.number()?.resolve(&http.service, &caller).await?;
    let view = http.service.reservation(&caller, &reservation_no).await?;
    Ok(Answer::ok(&ReservationDto::of(&view)))
}

async fn list(http: Arc<HttpState>, call: Call, query: ListQuery) -> Outcome {
    let ListQuery { customer_no, cursor, limit } = query;
    let caller = call.caller();
    let customer_no = customer_no.in_query().resolve(&http.service, &caller).await?;
    let cursor = cursor.as_ref().map(|cursor| cursor.0.as_str());
    let listing = http.service.reservations_of(&caller, &customer_no, cursor, limit.0).await??;
    Ok(Answer::ok(&PageDto::of(listing, |view| ReservationDto::of(&view))))
}

async fn preview(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    let caller = call.caller();
    let reservation_no = call.number()?.resolve(&http.service, &caller).await?;
    let (view, cancellation_outcome) = http.service.cancellation_quote(&caller, &reservation_no).await?;
    Ok(Answer::ok(&CancellationPreviewDto {
        reservation_no: (&view.booking.subject.reservation_no).into(),
        status: (&view.booking.status).into(),
        cancellation_outcome: cancellation_outcome.into(),
    }))
}

async fn cancel(http: Arc<HttpState>, call: Call, request: CancelRequest) -> Outcome {
    let caller = call.caller();
    let reservation_no = call.number()?.resolve(&http.service, &caller).await?;
    let waiver = request.waive_fee.map(WaiverReason::from);
    Ok(Answer::ok(&ReservationDto::of(&http.service.cancel(&caller, reservation_no, waiver).await?)))
}

async fn preview_change(http: Arc<HttpState>, call: Call, query: ChangeQuery) -> Outcome {
    let ChangeQuery { from, to, car_no } = query;
    let reservation_no = call.number()?;
    let (service, caller) = (&*http.service, call.caller());
    let (from, to) = (from.map(|from| from.0), to.map(|to| to.0));
    let wanted = wanted(service, &caller, (from, to), car_no.map(RawNumber::in_query)).await?;
    let reservation_no = reservation_no.resolve(service, &caller).await?;
    let preview = service.change_preview(&caller, &reservation_no, &wanted).await?;
    let ChangePreview { booking, car_no, period, quote } = preview;
    let (now, then) = (booking.price, quote.price);
    let amount = i64::try_from(then.amount()).unwrap_or(i64::MAX) - i64::try_from(now.amount()).unwrap_or(i64::MAX);
    Ok(Answer::ok(&ChangePreviewDto {
        reservation_no: (&reservation_no).into(),
        car_no: (&car_no).into(),
        from: Instant(period.from()),
        to: Instant(period.to()),
        price: then.into(),
        difference: PriceDifferenceDto { amount, currency: CurrencyCode(then.currency()) },
        payable: quote.payable.into(),
        fee: quote.fee.into(),
        refund: quote.refund.into(),
    }))
}

async fn wanted(
    service: &Service,
    caller: &Caller,
    (from, to): (Option<Timestamp>, Option<Timestamp>),
    car_no: Option<RawNumber<CarNo>>,
) -> Result<ChangeWanted, Problem> {
    let car_no = match car_no {
        Some(car_no) => Some(car_no.resolve(service, caller).await?),
        None => None,
    };
    Ok(ChangeWanted { from, to, car_no })
}

async fn change(http: Arc<HttpState>, call: Call, request: ChangeRequest) -> Outcome {
    let reservation_no = call.number()?;
    let ChangeRequest { from, to, car_no, payment } = request;
    if from.is_none() && to.is_none() && car_no.is_none() {
        return Err(Problem::new("nothing_to_change", "give what is to change: from, to or carNo"));
    }
    let (service, caller) = (&*http.service, call.caller());
    let wanted = wanted(service, &caller, (from.map(|from| from.0), to.map(|to| to.0)), car_no).await?;
    let reservation_no = reservation_no.resolve(service, &caller).await?;
    let means = payment.map(PaymentMeans::from);
    let result = service.change(&caller, reservation_no, wanted, means).await;
    payment_answer(&http, &caller, StatusCode::OK, result).await
}

/// The answer after an attempt to pay; `done` is its status if the reservation is paid.
async fn payment_answer(
    http: &HttpState,
    caller: &Caller,
    done: StatusCode,
    result: Result<(ReservationView, PaymentResult), ServiceError>,
) -> Outcome {
    let (view, payment) = match result {
        Ok(payment_answer) => payment_answer,
        Err(ServiceError::PaymentDeclined { reservation_no, reason }) => {
            return Err(declined(http, caller, reservation_no, reason).await);
        }
        Err(error) => return Err(error.into()),
    };
    rendered(done, &view, &payment)
}

fn rendered(done: StatusCode, view: &ReservationView, payment: &PaymentResult) -> Outcome {
    let dto = ReservationDto::of(view);
    let path = dto.links.this.0.clone();
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
async fn declined(http: &HttpState, caller: &Caller, reservation_no: ReservationNo, reason: String) -> Problem {
    let view = http.service.reservation(caller, &reservation_no).await;
    let this = path_of(&reservation_no);
    let problem: Problem = ServiceError::PaymentDeclined { reservation_no, reason }.into();
    // The hold of a change is over with the decline, that of a reservation is not.
    let is_changed = view.as_ref().is_ok_and(|view| matches!(view.booking.status, Status::Confirmed { .. }));
    let next = if is_changed { "change" } else { "pay" };
    let path = if is_changed { format!("{this}/change") } else { format!("{this}/payment") };
    let held = view.ok().filter(|_| !is_changed).and_then(|view| hold_until(&view.booking)).map(|at| at.to_string());
    problem.telling(|it| (it.links, it.hold_until) = (BTreeMap::from([("self", this), (next, path)]), held))
}

fn path_of(reservation_no: &ReservationNo) -> String {
    Link::below("/v1/reservations", &segment(reservation_no.as_str())).0
}

#[cfg(test)]
#[path = "reservations_tests.rs"]
mod tests;
