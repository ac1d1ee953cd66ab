//! The conventional service: stateless handlers over PostgreSQL, where one transaction takes the booking, the payment and
//! the rental, and a constraint keeps the bookings of a car apart. It calls no payment provider, which is to its favour.

use crate::service::scene::car_no;
use crate::stack::{Booking, DAILY_RATE, Ledger};
use deadpool_postgres::tokio_postgres::error::SqlState;
use deadpool_postgres::tokio_postgres::types::ToSql;
use deadpool_postgres::tokio_postgres::{Config, Error, NoTls};
use deadpool_postgres::{Client, Manager, ManagerConfig, Pool, RecyclingMethod};
use rentcar::domain::time::Timestamp;
use rentcar::kit::problem::Problem;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SCHEMA: &str = include_str!("schema.sql");
const RESERVE: &str = "INSERT INTO reservations (reservation_no, car_id, customer_no, period, status, price) \
    SELECT $1, id, $3, tstzrange($4, $5), 'CONFIRMED', daily_rate * $6 FROM cars WHERE car_no = $2 AND NOT retired \
    RETURNING price";
const PAY: &str = "INSERT INTO payments (payment_no, reservation_no, status, charged) VALUES ($1, $2, 'APPROVED', $3)";
const RENT: &str = "INSERT INTO rentals (rental_no, reservation_no, status) VALUES ($1, $2, 'RENTED')";
const ALL_AT_ONCE: &str = "WITH reserved AS ( \
    INSERT INTO reservations (reservation_no, car_id, customer_no, period, status, price) \
    SELECT $1, id, $3, tstzrange($4, $5), 'CONFIRMED', daily_rate * $6 FROM cars WHERE car_no = $2 AND NOT retired \
    RETURNING reservation_no, price), paid AS ( \
    INSERT INTO payments (payment_no, reservation_no, status, charged) \
    SELECT $7, reservation_no, 'APPROVED', price FROM reserved), rented AS ( \
    INSERT INTO rentals (rental_no, reservation_no, status) SELECT $8, reservation_no, 'RENTED' FROM reserved) \
    SELECT price FROM reserved";

/// How a booking is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A transaction of three statements, as it is usually written: five ways to the database and back.
    Transaction,
    /// One statement that inserts everything, as few write it: one way.
    OneStatement,
}

pub struct Conventional {
    pool: Pool,
    style: Style,
}

impl Conventional {
    /// With empty tables but for the cars, in the database whose socket is in a folder.
    pub async fn prepare(socket: &Path, style: Style, connections_max: usize, cars: usize) -> Conventional {
        Conventional { pool: pool(socket, connections_max, cars).await, style }
    }

    /// Three statements; the price, or nothing when there is no such car.
    async fn transaction(client: &mut Client, booking: &Booking) -> Result<Option<i64>, Error> {
        let (from, to) = (instant(booking.period.from()), instant(booking.period.to()));
        let (car_no, customer_no) = (booking.car_no.as_str(), booking.customer_no.as_str());
        let (no, days) = (&booking.reservation_no, i64::try_from(booking.days).unwrap());
        let transaction = client.transaction().await?;
        let reserve = transaction.prepare_cached(RESERVE).await?;
        let reserved = transaction.query_opt(&reserve, &[no, &car_no, &customer_no, &from, &to, &days]).await?;
        let Some(row) = reserved else { return Ok(None) };
        let price: i64 = row.get(0);
        let pay = transaction.prepare_cached(PAY).await?;
        transaction.execute(&pay, &[&booking.payment_no(), no, &price]).await?;
        let rent = transaction.prepare_cached(RENT).await?;
        transaction.execute(&rent, &[&booking.rental_no(), no]).await?;
        transaction.commit().await?;
        Ok(Some(price))
    }

    /// One statement; the price, or nothing when there is no such car.
    async fn one_statement(client: &Client, booking: &Booking) -> Result<Option<i64>, Error> {
        let (from, to) = (instant(booking.period.from()), instant(booking.period.to()));
        let (car_no, customer_no) = (booking.car_no.as_str(), booking.customer_no.as_str());
        let (no, days) = (&booking.reservation_no, i64::try_from(booking.days).unwrap());
        let (payment_no, rental_no) = (booking.payment_no(), booking.rental_no());
        let all = client.prepare_cached(ALL_AT_ONCE).await?;
        let values: [&(dyn ToSql + Sync); 8] = [no, &car_no, &customer_no, &from, &to, &days, &payment_no, &rental_no];
        let row = client.query_opt(&all, &values).await?;
        Ok(row.map(|row| row.get(0)))
    }
}

/// Connections to empty tables but for the cars.
pub async fn pool(socket: &Path, connections_max: usize, cars: usize) -> Pool {
    let mut config = Config::new();
    config.host_path(socket).user("postgres").dbname("postgres");
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_config(config, NoTls, recycling);
    let pool = Pool::builder(manager).max_size(connections_max).build().unwrap();
    let client = pool.get().await.unwrap();
    client.batch_execute(SCHEMA).await.unwrap();
    let prefix = car_no(0).trim_end_matches('0').to_owned();
    let last = i64::try_from(cars).unwrap() - 1;
    let insert =
        "INSERT INTO cars SELECT n, $1::text || n, 'Ioniq 5', $2::bigint FROM generate_series(0, $3::bigint) n";
    client.execute(insert, &[&prefix, &i64::try_from(DAILY_RATE).unwrap(), &last]).await.unwrap();
    client.batch_execute("ANALYZE; CHECKPOINT").await.unwrap();
    drop(client);
    pool
}

impl Ledger for Conventional {
    async fn book(&self, booking: &mut Booking) -> Result<u64, Problem> {
        let mut client = self.pool.get().await.map_err(|_| Problem::overloaded(1_000))?;
        let booked = match self.style {
            Style::Transaction => Conventional::transaction(&mut client, booking).await,
            Style::OneStatement => Conventional::one_statement(&client, booking).await,
        };
        match booked.map_err(failed)? {
            Some(price) => Ok(u64::try_from(price).unwrap()),
            None => Err(Problem::new("car_not_found", "there is no such car")),
        }
    }
}

/// A car that is taken is no failure of the database.
#[allow(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
pub fn failed(error: Error) -> Problem {
    if error.code() == Some(&SqlState::EXCLUSION_VIOLATION) {
        return Problem::new("car_not_available", "the car is not available in that period");
    }
    eprintln!("{error:?}");
    Problem::internal()
}

pub fn instant(timestamp: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(timestamp.as_millis().unsigned_abs())
}
