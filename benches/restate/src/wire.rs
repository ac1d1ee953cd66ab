//! What customers send and what they are answered, member by member as rentcar has it, and the checks that need no state.

use jiff::Timestamp;
use restate_sdk::prelude::TerminalError;
use serde::{Deserialize, Serialize};

/// What a car costs a day.
const DAILY_RATE: u64 = 10_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// The longest period.
const PERIOD_DAYS_MAX: i64 = 366;
/// The longest number.
const NUMBER_CHARS_MAX: usize = 64;
/// The longest way and token to pay.
const MEANS_CHARS_MAX: usize = 256;

/// A booking that is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    pub car_no: String,
    pub customer_no: String,
    pub from: Timestamp,
    pub to: Timestamp,
    pub payment: Means,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Means {
    pub method: String,
    pub token: String,
}

impl Request {
    /// Refuses what is not bookable whatever is booked already.
    pub fn check(&self) -> Result<(), TerminalError> {
        let fits = |text: &str, chars_max: usize| !text.is_empty() && text.chars().count() <= chars_max;
        let is_number = |text: &str| fits(text, NUMBER_CHARS_MAX) && !text.contains(char::is_control);
        if !is_number(&self.car_no) || !is_number(&self.customer_no) {
            return Err(refused(400, "invalid_number"));
        }
        if !fits(&self.payment.method, MEANS_CHARS_MAX) || !fits(&self.payment.token, MEANS_CHARS_MAX) {
            return Err(refused(400, "invalid_payment"));
        }
        let millis = self.to.as_millisecond() - self.from.as_millisecond();
        if millis <= 0 || millis > PERIOD_DAYS_MAX * DAY_MS {
            return Err(refused(400, "invalid_period"));
        }
        Ok(())
    }

    /// What it costs: each day that has begun.
    pub fn price(&self) -> u64 {
        let millis = (self.to.as_millisecond() - self.from.as_millisecond()).unsigned_abs();
        millis.div_ceil(DAY_MS.unsigned_abs()) * DAILY_RATE
    }

    /// The answer when all of it is done.
    pub fn confirmed(self, numbers: Numbers, price: u64) -> Confirmed {
        let Numbers { reservation_no, payment_no, rental_no } = numbers;
        let this = format!("/v1/reservations/{reservation_no}");
        Confirmed {
            car_no: self.car_no,
            customer_no: self.customer_no,
            from: self.from,
            to: self.to,
            status: "CONFIRMED".into(),
            price: Money { amount: price, currency: "KRW".into() },
            links: Links {
                cancellation: format!("{this}/cancellation"),
                this,
                payment: format!("/v1/payments/{payment_no}"),
                rental: format!("/v1/rentals/{rental_no}"),
            },
            payment: Paid { payment_no, status: "APPROVED".into() },
            rental_no,
            reservation_no,
        }
    }
}

/// The numbers of what belongs to a booking. They are derived from its invocation, so that they stay when it is repeated.
pub struct Numbers {
    pub reservation_no: String,
    pub payment_no: String,
    pub rental_no: String,
}

impl Numbers {
    pub fn of(invocation_id: &str) -> Numbers {
        let reservation_no = format!("res-{invocation_id}");
        Numbers {
            payment_no: format!("pay-{reservation_no}"),
            rental_no: format!("rent-{reservation_no}"),
            reservation_no,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Confirmed {
    reservation_no: String,
    car_no: String,
    customer_no: String,
    from: Timestamp,
    to: Timestamp,
    status: String,
    price: Money,
    payment: Paid,
    rental_no: String,
    links: Links,
}

#[derive(Serialize, Deserialize)]
struct Money {
    amount: u64,
    currency: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Paid {
    payment_no: String,
    status: String,
}

#[derive(Serialize, Deserialize)]
struct Links {
    #[serde(rename = "self")]
    this: String,
    cancellation: String,
    payment: String,
    rental: String,
}

/// A refusal that is not tried again.
pub fn refused(status: u16, code: &str) -> TerminalError {
    TerminalError::new_with_code(status, code)
}
