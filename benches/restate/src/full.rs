//! A booking that asks an object for each entity, as Restate's own examples have it: a saga in a service. What needs nothing
//! of each other is asked at once.

use crate::entities::{Amount, CalendarClient, Entry, LedgerClient, PaymentClient, RentalClient, Status};
use crate::wire::{Confirmed, Numbers, Request};
use restate_sdk::prelude::*;

pub struct Booking;

#[service]
impl Booking {
    #[handler]
    async fn reserve(&self, ctx: Context<'_>, request: Json<Request>) -> Result<Json<Confirmed>, HandlerError> {
        let request = request.into_inner();
        request.check()?;
        let (numbers, price) = (Numbers::of(ctx.invocation_id()), request.price());
        let calendar = || ctx.object_client::<CalendarClient>(&request.car_no);
        let payment = || ctx.object_client::<PaymentClient>(&numbers.payment_no);
        let reservation_no = || numbers.reservation_no.clone();

        let hold = Entry {
            reservation_no: reservation_no(),
            customer_no: request.customer_no.clone(),
            from: request.from,
            to: request.to,
            status: Status::PaymentPending,
        };
        calendar().hold(Json(hold)).call().await?;
        payment().request(Json(Amount { reservation_no: reservation_no(), amount: price })).call().await?;
        if let Err(declined) = ctx.run(|| charge(price)).name("charge").await {
            let (decline, release) = (payment().decline().call(), calendar().release(reservation_no()).call());
            decline.await?;
            release.await?;
            return Err(declined.into());
        }
        let rental = ctx.object_client::<RentalClient>(&numbers.rental_no);
        let (approve, confirm) = (payment().approve().call(), calendar().confirm(reservation_no()).call());
        let open = rental.open(reservation_no()).call();
        approve.await?;
        confirm.await?;
        open.await?;
        ctx.object_client::<LedgerClient>(&request.car_no).note(numbers.rental_no.clone()).send();
        Ok(Json(request.confirmed(numbers, price)))
    }
}

/// A provider that approves at once.
pub async fn charge(_price: u64) -> HandlerResult<String> {
    Ok("APPROVED".to_owned())
}
