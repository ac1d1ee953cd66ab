//! A booking in the state of one object, the calendar of the car: the fewest steps that Restate can do it in. No hold is
//! written, since nobody else gets at the calendar before the invocation has ended, and the invocation is durable.

use crate::entities::{Entry, Status, add};
use crate::full::charge;
use crate::wire::{Confirmed, Numbers, Request, refused};
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};

const STATE: &str = "state";

/// Everything of one car.
#[derive(Default, Serialize, Deserialize)]
struct Bookings {
    entries: Vec<Entry>,
    /// What the fleet ledger would have.
    rental_no: String,
}

pub struct LeanCalendar;

#[object]
impl LeanCalendar {
    #[handler]
    async fn book(&self, ctx: ObjectContext<'_>, request: Json<Request>) -> Result<Json<Confirmed>, HandlerError> {
        let request = request.into_inner();
        request.check()?;
        if request.car_no != ctx.key() {
            return Err(refused(400, "another_car").into());
        }
        let (numbers, price) = (Numbers::of(ctx.invocation_id()), request.price());
        let mut bookings: Bookings = ctx.get::<Json<Bookings>>(STATE).await?.map(Json::into_inner).unwrap_or_default();
        let entry = Entry {
            reservation_no: numbers.reservation_no.clone(),
            customer_no: request.customer_no.clone(),
            from: request.from,
            to: request.to,
            status: Status::Confirmed,
        };
        add(&mut bookings.entries, entry)?;
        ctx.run(|| charge(price)).name("charge").await?;
        bookings.rental_no = numbers.rental_no.clone();
        ctx.set(STATE, Json(bookings));
        Ok(Json(request.confirmed(numbers, price)))
    }
}
