//! Rentals: read by customers, picked up and returned by staff.

use super::HttpState;
use super::access;
use super::answer::Answer;
use super::endpoint::{Call, Group, Outcome};
use super::problem::Problem;
use super::values::render_instant;
use crate::actors::api::ServiceError;
use crate::domain::ids::RentalNo;
use crate::domain::rental::{Rejection, Rental, Status};
use crate::domain::reservation;
use serde::Serialize;
use std::sync::Arc;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RentalDto {
    rental_no: String,
    reservation_no: String,
    car_no: String,
    customer_no: String,
    from: String,
    to: String,
    status: &'static str,
    overdue: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    picked_up_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    returned_at: Option<String>,
}

impl RentalDto {
    fn of(rental: &Rental) -> RentalDto {
        let (status, overdue, picked_up_at, returned_at) = match rental.status {
            Status::Rented => ("RENTED", false, None, None),
            Status::PickedUp { at, overdue } => ("PICKED_UP", overdue, Some(at), None),
            Status::Returned { picked_up_at, at } => ("RETURNED", false, Some(picked_up_at), Some(at)),
            Status::Cancelled { .. } => ("CANCELLED", false, None, None),
        };
        let subject = &rental.subject;
        RentalDto {
            rental_no: subject.reservation_no.rental().to_string(),
            reservation_no: subject.reservation_no.to_string(),
            car_no: subject.car_no.to_string(),
            customer_no: subject.customer_no.to_string(),
            from: render_instant(rental.period.from()),
            to: render_instant(rental.period.to()),
            status,
            overdue,
            picked_up_at: picked_up_at.map(render_instant),
            returned_at: returned_at.map(render_instant),
        }
    }
}

pub(super) fn mount(group: Group<HttpState>) -> Group<HttpState> {
    group.on(&access::RENTAL, one).on(&access::PICK_UP, pick_up).on(&access::RETURN_CAR, return_car)
}

async fn one(http: Arc<HttpState>, call: Call) -> Outcome {
    call.no_query()?;
    let rental_no: RentalNo = call.number()?.resolve(&http.service).await?;
    let rental = match http.service.rental(&rental_no).await {
        Err(ServiceError::Rental(Rejection::RentalNotFound)) => expected(&http, &rental_no).await?,
        other => other?,
    };
    Ok(Answer::ok(&RentalDto::of(&rental)))
}

async fn pick_up(http: Arc<HttpState>, call: Call) -> Outcome {
    call.no_query()?;
    let rental_no = call.number()?;
    call.no_document()?;
    let rental_no = rental_no.resolve(&http.service).await?;
    Ok(Answer::ok(&RentalDto::of(&http.service.pick_up(&call.caller(), rental_no).await?)))
}

async fn return_car(http: Arc<HttpState>, call: Call) -> Outcome {
    call.no_query()?;
    let rental_no = call.number()?;
    call.no_document()?;
    let rental_no = rental_no.resolve(&http.service).await?;
    Ok(Answer::ok(&RentalDto::of(&http.service.return_car(&call.caller(), rental_no).await?)))
}

/// The rental of a confirmed reservation whose policy has not made it yet.
async fn expected(http: &HttpState, rental_no: &RentalNo) -> Result<Rental, Problem> {
    let not_found = || Problem::from(ServiceError::from(Rejection::RentalNotFound));
    let reservation_no = rental_no.reservation().ok_or_else(not_found)?;
    let view = match http.service.reservation(&reservation_no).await {
        Err(ServiceError::Reservation(reservation::Rejection::ReservationNotFound)) => return Err(not_found()),
        other => other?,
    };
    let confirmed = matches!(view.booking.status, reservation::Status::Confirmed { .. });
    match view.rental {
        Some(rental) => Ok(rental),
        None if confirmed => Ok(Rental {
            subject: view.booking.subject,
            period: view.booking.period,
            status: Status::Rented,
            has_moved: false,
        }),
        None => Err(not_found()),
    }
}
