//! The conventional service with the promises of rentcar: it asks a provider, so the hold and the intent are committed before
//! the call, and what became of it after: two transactions of one statement each, the fewest that keep the promises. The second
//! has a row for whoever follows, and the answer for who asks again with the same key.

use crate::conventional::{self, instant};
use crate::stack::{Booking, Ledger};
use deadpool_postgres::tokio_postgres::Error;
use deadpool_postgres::{Client, Pool};
use rentcar::domain::ids::ReservationNo;
use rentcar::domain::money::{Currency, Money};
use rentcar::kit::problem::Problem;
use rentcar::providers::sandbox::Sandbox;
use rentcar::providers::{Charge, ChargeOutcome};
use std::path::Path;

const ANSWERED: &str = "SELECT reservation_no, price FROM answers WHERE key = $1";
const HOLD: &str = "WITH reserved AS ( \
    INSERT INTO reservations (reservation_no, car_id, customer_no, period, status, price) \
    SELECT $1, id, $3, tstzrange($4, $5), 'PAYMENT_PENDING', daily_rate * $6 FROM cars WHERE car_no = $2 AND NOT retired \
    RETURNING reservation_no, price), asked AS ( \
    INSERT INTO payments (payment_no, reservation_no, status, charged) \
    SELECT $7, reservation_no, 'REQUESTED', price FROM reserved) \
    SELECT price FROM reserved";
const CONFIRM: &str = "WITH paid AS ( \
    UPDATE payments SET status = 'APPROVED' WHERE payment_no = $2 AND status = 'REQUESTED'), confirmed AS ( \
    UPDATE reservations SET status = 'CONFIRMED' WHERE reservation_no = $1 AND status = 'PAYMENT_PENDING'), rented AS ( \
    INSERT INTO rentals (rental_no, reservation_no, status) VALUES ($3, $1, 'RENTED')), told AS ( \
    INSERT INTO outbox (kind, reservation_no) VALUES ('reservation.confirmed', $1)), answered AS ( \
    INSERT INTO answers (key, reservation_no, price) SELECT $4, $1, $5 WHERE $4::text IS NOT NULL) \
    SELECT 1";

pub struct SamePromises {
    pool: Pool,
    provider: Sandbox,
}

impl SamePromises {
    /// With empty tables but for the cars, in the database whose socket is in a folder.
    pub async fn prepare(socket: &Path, connections_max: usize, cars: usize) -> SamePromises {
        SamePromises { pool: conventional::pool(socket, connections_max, cars).await, provider: Sandbox::new() }
    }

    async fn client(&self) -> Result<Client, Problem> {
        self.pool.get().await.map_err(|_| Problem::overloaded(1_000))
    }

    /// The booking and its price that the same key was told before.
    async fn answered(client: &Client, key: &str) -> Result<Option<(String, i64)>, Error> {
        let answered = client.prepare_cached(ANSWERED).await?;
        Ok(client.query_opt(&answered, &[&key]).await?.map(|row| (row.get(0), row.get(1))))
    }

    async fn hold(client: &Client, booking: &Booking) -> Result<Option<i64>, Error> {
        let (from, to) = (instant(booking.period.from()), instant(booking.period.to()));
        let (car_no, customer_no) = (booking.car_no.as_str(), booking.customer_no.as_str());
        let (no, days, payment_no) =
            (&booking.reservation_no, i64::try_from(booking.days).unwrap(), booking.payment_no());
        let hold = client.prepare_cached(HOLD).await?;
        let row = client.query_opt(&hold, &[no, &car_no, &customer_no, &from, &to, &days, &payment_no]).await?;
        Ok(row.map(|row| row.get(0)))
    }

    async fn confirm(client: &Client, booking: &Booking, price: i64) -> Result<(), Error> {
        let (no, key) = (&booking.reservation_no, &booking.key);
        let (payment_no, rental_no) = (booking.payment_no(), booking.rental_no());
        let confirm = client.prepare_cached(CONFIRM).await?;
        client.query_one(&confirm, &[no, &payment_no, &rental_no, key, &price]).await.map(drop)
    }

    async fn charge(&self, booking: &Booking, price: u64) -> Result<(), Problem> {
        let charge = Charge {
            idempotency_key: booking.payment_no().into(),
            reservation_no: ReservationNo::parse(&booking.reservation_no).map_err(|_| Problem::internal())?,
            amount: Money::new(price, Currency::KRW).ok_or_else(Problem::internal)?,
            method: booking.method.as_str().into(),
            token: booking.token.as_str().into(),
        };
        match self.provider.serve_charge(charge).await {
            Ok(ChargeOutcome::Approved { .. }) => Ok(()),
            Ok(_) | Err(_) => Err(Problem::internal()),
        }
    }
}

impl Ledger for SamePromises {
    async fn book(&self, booking: &mut Booking) -> Result<u64, Problem> {
        let client = self.client().await?;
        if let Some(key) = &booking.key
            && let Some((no, price)) = SamePromises::answered(&client, key).await.map_err(conventional::failed)?
        {
            booking.reservation_no = no;
            return Ok(u64::try_from(price).unwrap());
        }
        let held = SamePromises::hold(&client, booking).await.map_err(conventional::failed)?;
        let price = held.ok_or_else(|| Problem::new("car_not_found", "there is no such car"))?;
        // A connection is not kept while the provider thinks.
        drop(client);
        self.charge(booking, u64::try_from(price).unwrap()).await?;
        let client = self.client().await?;
        SamePromises::confirm(&client, booking, price).await.map_err(conventional::failed)?;
        Ok(u64::try_from(price).unwrap())
    }
}
