//! `/carReservations`: reserving and paying in one step, and cancelling.

use super::days::{Days, NoPeriod};
use super::hal::PageRequest;
use super::lookup::{Kind, LatestReservation, Lookup};
use super::members::{Members, ReservationPost, invalid_date, invalid_proc_status, required};
use super::{Legacy, RESERVATIONS, days, numbering, rows};
use crate::actors::api::{Caller, PaymentResult, ReservationView, ReserveRequest, ServiceError};
use crate::domain::ids::{CarNo, CustomerNo, ReservationNo};
use crate::domain::reservation::{DayCounting, Rejection, Status};
use crate::kit::call::{Call, Unread};
use crate::kit::endpoint::Outcome;
use crate::kit::numbers::RawNumber;
use crate::kit::problem::Problem;
use jiff::tz::TimeZone;
use warp::http::StatusCode;

/// A request to reserve, with numbers in the caller's spelling.
#[derive(Debug)]
struct LegacyRequest {
    label: Option<RawNumber<ReservationNo>>,
    car_no: RawNumber<CarNo>,
    /// `None` for an anonymous booking.
    customer_no: Option<RawNumber<CustomerNo>>,
    days: Days,
}

/// A request to reserve, with numbers as the service knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ResolvedRequest {
    label: ReservationNo,
    car_no: CarNo,
    customer_no: CustomerNo,
    days: Days,
}

#[derive(Debug)]
enum Command {
    Reserve(LegacyRequest),
    Cancel(Lookup),
}

/// What is to be done about a wish to reserve.
#[derive(Debug, PartialEq, Eq)]
enum Action {
    Reserve(ReservationNo),
    /// It is reserved already, but waits for its payment.
    Pay,
    /// It is reserved and paid: nothing to do.
    Leave,
    /// The label belongs to another reservation.
    Refuse,
}

fn read(members: &Members, zone: &TimeZone) -> Result<Command, Problem> {
    members.check(&["resrvDt", "resrvCncleDt", "paymtDt", "rentalDt", "returnDt"], &["rentalAmt", "paymtAmt"])?;
    let label = members.no("resrvNo")?;
    let id = members.whole("id")?;
    match members.text("procStatus")?.as_deref() {
        Some("RESERVATION_CANCELED") => Ok(Command::Cancel(Lookup { resrv_no: label, paymt_no: None, id })),
        Some("RESERVED") | None => asked(members, label, zone).map(Command::Reserve),
        Some(_) => Err(invalid_proc_status("RESERVED or RESERVATION_CANCELED")),
    }
}

fn asked(
    members: &Members,
    label: Option<RawNumber<ReservationNo>>,
    zone: &TimeZone,
) -> Result<LegacyRequest, Problem> {
    let rental_day = members.required("rentalDt", members.date("rentalDt")?)?;
    let return_day = members.required("returnDt", members.date("returnDt")?)?;
    let days = days::days(rental_day, return_day, zone).map_err(|why| match why {
        NoPeriod::Reversed => Problem::new("invalid_period", "returnDt must not lie before rentalDt"),
        NoPeriod::NoRentalDay => invalid_date("rentalDt"),
        NoPeriod::NoReturnDay => invalid_date("returnDt"),
    })?;
    let car_no = members.required("carNo", members.no("carNo")?)?;
    Ok(LegacyRequest { label, car_no, customer_no: members.no("custNo")?, days })
}

/// What is to be done when `last` is the last use of the label. A repeat of a live or completed reservation changes
/// nothing; a label whose reservation was cancelled or has expired is free again, as every label of the old service was.
fn step(last: Option<&LatestReservation>, wanted: &ResolvedRequest) -> Action {
    let label = &wanted.label;
    let Some(LatestReservation { usage, view }) = last else { return Action::Reserve(label.clone()) };
    let booking = &view.booking;
    let same = booking.subject.car_no == wanted.car_no
        && booking.subject.customer_no == wanted.customer_no
        && booking.period == wanted.days.period;
    let again = || {
        let number = if *usage < numbering::USES_MAX { numbering::number(label, usage + 1) } else { None };
        number.map_or(Action::Refuse, Action::Reserve)
    };
    match booking.status {
        Status::PaymentPending { .. } if same => Action::Pay,
        Status::Confirmed { .. } | Status::Completed { .. } | Status::NoShow { .. } if same => Action::Leave,
        Status::PaymentPending { .. } | Status::Confirmed { .. } => Action::Refuse,
        Status::Cancelled { .. } | Status::Expired { .. } | Status::Completed { .. } | Status::NoShow { .. } => again(),
    }
}

impl Legacy {
    async fn wanted(&self, call: &Call, asked: LegacyRequest) -> Result<ResolvedRequest, Problem> {
        let caller = call.caller();
        Ok(ResolvedRequest {
            label: match asked.label {
                Some(label) => {
                    caller.may_choose_numbers()?;
                    label.resolve(&self.service, &caller).await?
                }
                None => call.new_number("res-")?,
            },
            car_no: asked.car_no.resolve(&self.service, &caller).await?,
            customer_no: match asked.customer_no {
                Some(customer_no) => customer_no.resolve(&self.service, &caller).await?,
                None => caller.customer().cloned().unwrap_or_else(CustomerNo::anonymous),
            },
            days: asked.days,
        })
    }

    async fn reserve(
        &self,
        caller: &Caller,
        wanted: ResolvedRequest,
    ) -> Result<(ReservationView, PaymentResult), Problem> {
        let last = self.last_use(caller, &wanted.label).await?;
        let reservation_no = match (step(last.as_ref(), &wanted), last) {
            (Action::Reserve(number), _) => number,
            (Action::Pay, Some(last)) => {
                let Some(means) = Legacy::means(caller) else { return Ok((last.view, PaymentResult::NotAttempted)) };
                let number = last.view.booking.subject.reservation_no;
                return Ok(self.service.pay(caller, number, means).await?);
            }
            (Action::Leave, Some(last)) => return Ok((last.view, PaymentResult::NotAttempted)),
            (Action::Pay | Action::Leave | Action::Refuse, _) => {
                return Err(ServiceError::from(Rejection::ReservationNoTaken).into());
            }
        };
        let request = ReserveRequest {
            reservation_no: Some(reservation_no),
            car_no: wanted.car_no,
            customer_no: wanted.customer_no,
            period: wanted.days.period,
            means: Legacy::means(caller),
            day_counting: DayCounting::CalendarDays(wanted.days.count),
        };
        Ok(self.service.reserve(caller, request).await?)
    }
}

pub(super) async fn post(legacy: Legacy, call: Call, ReservationPost(members): ReservationPost) -> Outcome {
    let caller = call.caller();
    let (view, result) = match read(&members, &legacy.zone)? {
        Command::Reserve(asked) => legacy.reserve(&caller, legacy.wanted(&call, asked).await?).await?,
        Command::Cancel(names) => {
            let view = required("resrvNo", legacy.named(&caller, names).await?)?;
            let view = legacy.service.cancel(&caller, view.booking.subject.reservation_no, None).await?;
            (view, PaymentResult::NotAttempted)
        }
    };
    Ok(legacy.changed(&call, RESERVATIONS, rows::reservation, &view, &result))
}

pub(super) async fn list(legacy: Legacy, call: Call, asked: PageRequest) -> Outcome {
    let numbered = legacy.service.reservations_page(asked.skip(), asked.rows()).await?;
    Ok(legacy.page(&call, RESERVATIONS, asked, rows::reservation, &numbered))
}

pub(super) async fn get(legacy: Legacy, call: Call, _: Unread) -> Outcome {
    let view = legacy.at(&call, Kind::Reservation).await?;
    Ok(legacy.one(&call, RESERVATIONS, rows::reservation, &view, StatusCode::OK))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::BookingRef;
    use crate::domain::cancellation::Quote;
    use crate::domain::money::{Currency, Money};
    use crate::domain::reservation::Booking;
    use crate::domain::time::{DAY_MS, Timestamp};
    use serde_json::{Value, json};

    fn outcome(body: &Value) -> Result<Command, &'static str> {
        let zone = TimeZone::get("Asia/Seoul").expect("bundled");
        let members = Members::parse(body.to_string().as_bytes()).expect("an object");
        read(&members, &zone).map_err(|problem| problem.code)
    }

    fn body(changes: &Value) -> Value {
        let mut body = json!({"resrvNo": "r1", "carNo": "car01", "rentalDt": "20200806", "returnDt": "20200807"});
        for (name, value) in changes.as_object().expect("an object") {
            body[name] = value.clone();
        }
        body
    }

    fn asked() -> LegacyRequest {
        match outcome(&body(&json!({}))) {
            Ok(Command::Reserve(asked)) => asked,
            other => panic!("{other:?}"),
        }
    }

    fn wanted() -> ResolvedRequest {
        let LegacyRequest { label, car_no, days, .. } = asked();
        let label = label.expect("given").composed().expect("a number");
        let car_no = car_no.composed().expect("a number");
        ResolvedRequest { label, car_no, customer_no: CustomerNo::anonymous(), days }
    }

    fn used(usage: u32, status: Status, wanted: &ResolvedRequest) -> LatestReservation {
        let subject = BookingRef {
            reservation_no: ReservationNo::parse("r1").expect("a number"),
            customer_no: wanted.customer_no.clone(),
            car_no: wanted.car_no.clone(),
        };
        let (price, made_at) = (Money::zero(Currency::KRW), Timestamp::MIN);
        let booking = Booking::new(subject, 1, wanted.days.period, price, made_at, status);
        LatestReservation { usage, view: ReservationView { booking, payment: None, rental: None } }
    }

    #[test]
    fn a_request_without_status_and_customer_reserves_for_nobody_in_particular() {
        let asked = asked();
        assert_eq!(asked.customer_no, None);
        assert_eq!((asked.days.period.millis(), asked.days.count), (DAY_MS, 1));
    }

    #[test]
    fn bad_days_and_statuses_are_refused() {
        let check = |changes: Value, code: &str| assert_eq!(outcome(&body(&changes)).expect_err("refused"), code);
        check(json!({"rentalDt": "20200231"}), "invalid_date");
        check(json!({"resrvDt": "soon"}), "invalid_date");
        check(json!({"rentalDt": "19000101"}), "invalid_date");
        check(json!({"returnDt": "99991231", "rentalDt": "99991231"}), "invalid_date");
        check(json!({"returnDt": "20200805"}), "invalid_period");
        check(json!({"returnDt": ""}), "invalid_member");
        check(json!({"carNo": null}), "invalid_member");
        check(json!({"procStatus": "PAID"}), "invalid_proc_status");
        check(json!({"resrvNo": "x".repeat(60)}), "invalid_reservation_no");
        check(json!({"rentalAmt": "-5"}), "invalid_member");
    }

    #[test]
    fn a_repeat_changes_nothing_and_another_content_is_refused() {
        let wanted = wanted();
        let mut other = wanted.clone();
        other.customer_no = CustomerNo::parse("cus01").expect("a number");
        let hold_until = Timestamp::MAX;
        for (status, expected) in [
            (Status::Confirmed { picked_up_at: None }, Action::Leave),
            (Status::PaymentPending { hold_until }, Action::Pay),
        ] {
            let last = used(1, status, &wanted);
            assert_eq!(step(Some(&last), &wanted), expected);
            assert_eq!(step(Some(&last), &other), Action::Refuse);
        }
        assert_eq!(step(None, &wanted), Action::Reserve(wanted.label.clone()));
    }

    #[test]
    fn the_label_of_a_cancelled_reservation_can_be_used_again_within_bounds() {
        let wanted = wanted();
        let nothing = Money::zero(Currency::KRW);
        let cancelled = Status::Cancelled { at: Timestamp::MIN, quote: Quote { fee: nothing, refund: nothing } };
        let next = numbering::number(&wanted.label, 2).expect("short enough");
        assert_eq!(step(Some(&used(1, cancelled, &wanted)), &wanted), Action::Reserve(next));
        assert_eq!(step(Some(&used(numbering::USES_MAX, cancelled, &wanted)), &wanted), Action::Refuse);
    }
}
