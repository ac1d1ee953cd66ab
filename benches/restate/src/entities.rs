//! The objects that [`crate::full`] asks: a calendar by car, a payment, a rental, and the note of the ledger. Each handles one
//! call after the other. None of them asks another.

use crate::wire::refused;
use jiff::Timestamp;
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};

const STATE: &str = "state";

/// A reservation in the calendar of a car.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    pub reservation_no: String,
    pub customer_no: String,
    pub from: Timestamp,
    pub to: Timestamp,
    pub status: Status,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    PaymentPending,
    Confirmed,
}

/// Adds a reservation, unless the car is taken.
pub fn add(entries: &mut Vec<Entry>, new: Entry) -> Result<(), TerminalError> {
    if entries.iter().any(|entry| entry.from < new.to && new.from < entry.to) {
        return Err(refused(409, "car_not_available"));
    }
    entries.push(new);
    Ok(())
}

/// What is reserved of a car.
pub struct Calendar;

#[object]
impl Calendar {
    /// Keeps the car until it is paid for.
    #[handler]
    async fn hold(&self, ctx: ObjectContext<'_>, new: Json<Entry>) -> Result<(), HandlerError> {
        let mut entries = entries(&ctx).await?;
        add(&mut entries, new.into_inner())?;
        ctx.set(STATE, Json(entries));
        Ok(())
    }

    #[handler]
    async fn confirm(&self, ctx: ObjectContext<'_>, reservation_no: String) -> Result<(), HandlerError> {
        let mut entries = entries(&ctx).await?;
        let entry = entries.iter_mut().find(|entry| entry.reservation_no == reservation_no);
        entry.ok_or_else(|| refused(404, "reservation_not_found"))?.status = Status::Confirmed;
        ctx.set(STATE, Json(entries));
        Ok(())
    }

    /// Undoes a hold.
    #[handler]
    async fn release(&self, ctx: ObjectContext<'_>, reservation_no: String) -> Result<(), HandlerError> {
        let mut entries = entries(&ctx).await?;
        entries.retain(|entry| entry.reservation_no != reservation_no);
        ctx.set(STATE, Json(entries));
        Ok(())
    }
}

async fn entries(ctx: &ObjectContext<'_>) -> Result<Vec<Entry>, TerminalError> {
    Ok(ctx.get::<Json<Vec<Entry>>>(STATE).await?.map(Json::into_inner).unwrap_or_default())
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Amount {
    pub reservation_no: String,
    pub amount: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "status", content = "of", rename_all = "SCREAMING_SNAKE_CASE")]
enum Paying {
    Requested(Amount),
    Approved(Amount),
    Declined(Amount),
}

/// What is charged for a reservation.
pub struct Payment;

#[object]
impl Payment {
    #[handler]
    async fn request(&self, ctx: ObjectContext<'_>, amount: Json<Amount>) -> Result<(), HandlerError> {
        if ctx.get::<Json<Paying>>(STATE).await?.is_some() {
            return Err(refused(409, "payment_exists").into());
        }
        ctx.set(STATE, Json(Paying::Requested(amount.into_inner())));
        Ok(())
    }

    #[handler]
    async fn approve(&self, ctx: ObjectContext<'_>) -> Result<(), HandlerError> {
        let amount = requested(&ctx).await?;
        ctx.set(STATE, Json(Paying::Approved(amount)));
        Ok(())
    }

    #[handler]
    async fn decline(&self, ctx: ObjectContext<'_>) -> Result<(), HandlerError> {
        let amount = requested(&ctx).await?;
        ctx.set(STATE, Json(Paying::Declined(amount)));
        Ok(())
    }
}

async fn requested(ctx: &ObjectContext<'_>) -> Result<Amount, TerminalError> {
    match ctx.get::<Json<Paying>>(STATE).await?.map(Json::into_inner) {
        Some(Paying::Requested(amount)) => Ok(amount),
        Some(Paying::Approved(_) | Paying::Declined(_)) | None => Err(refused(409, "payment_not_requested")),
    }
}

/// The handing over of a car.
pub struct Rental;

#[object]
impl Rental {
    #[handler]
    async fn open(&self, ctx: ObjectContext<'_>, reservation_no: String) -> Result<(), HandlerError> {
        ctx.set(STATE, reservation_no);
        Ok(())
    }
}

/// The fleet ledger, an entry per car.
pub struct Ledger;

#[object]
impl Ledger {
    /// Notes that a car is rented.
    #[handler]
    async fn note(&self, ctx: ObjectContext<'_>, rental_no: String) -> Result<(), HandlerError> {
        ctx.set(STATE, rental_no);
        Ok(())
    }
}
