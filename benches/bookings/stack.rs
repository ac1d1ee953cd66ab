//! The HTTP stack of rentcar with something else behind it: the same accept loop, warp, the same checks of a request and
//! the same answer. What is behind it is the difference that is measured.

use rentcar::domain::ids::{CarNo, CustomerNo};
use rentcar::domain::money::{Currency, Money};
use rentcar::domain::pricing::Pricing;
use rentcar::domain::time::{DAY_MS, Period, Timestamp};
use rentcar::kit::answer::Answer;
use rentcar::kit::problem::Problem;
use rentcar::kit::server::{ServerLimits, serve};
use rentcar::kit::values::{Instant, MoneyDto, check_text, parse_instant};
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use warp::Filter;
use warp::http::StatusCode;
use warp::reply::Response;

/// The most bytes of a request's body.
const BODY_BYTES_MAX: u64 = 64 * 1024;
/// The longest period.
const PERIOD_DAYS_MAX: i64 = 366;
/// The longest way and token to pay.
const MEANS_CHARS_MAX: usize = 256;
/// What a car costs a day.
pub const DAILY_RATE: u64 = 10_000;

/// Who keeps the bookings.
pub trait Ledger: Send + Sync + 'static {
    /// Takes a booking with its payment and its rental, all or nothing; returns the price. What was told before for the same key
    /// is told again, with the number that it had.
    fn book(&self, booking: &mut Booking) -> impl Future<Output = Result<u64, Problem>> + Send;
}

/// No storage: the upper bound of the stack.
pub struct Echo;

impl Ledger for Echo {
    async fn book(&self, booking: &mut Booking) -> Result<u64, Problem> {
        Ok(booking.days * DAILY_RATE)
    }
}

/// A request that has passed all checks that need no store.
pub struct Booking {
    /// Chosen here.
    pub reservation_no: String,
    /// Which car.
    pub car_no: CarNo,
    /// For whom.
    pub customer_no: CustomerNo,
    /// For how long.
    pub period: Period,
    /// How many days are charged.
    pub days: u64,
    /// How it is paid.
    pub method: String,
    /// By what.
    pub token: String,
    /// The key of the request, under which it may come again.
    pub key: Option<String>,
}

impl Booking {
    /// The number of its payment.
    pub fn payment_no(&self) -> String {
        format!("pay-{}", self.reservation_no)
    }

    /// The number of its rental.
    pub fn rental_no(&self) -> String {
        format!("rent-{}", self.reservation_no)
    }

    fn read(body: &[u8], key: Option<String>) -> Result<Booking, Problem> {
        let request: Request = serde_json::from_slice(body).map_err(|why| Problem::malformed_json(why.to_string()))?;
        let invalid = |member: &'static str| move |why: &str| Problem::invalid_member(member, why);
        let car_no = CarNo::parse(&request.car_no).map_err(|why| invalid("carNo")(&why.to_string()))?;
        let customer_no =
            CustomerNo::parse(&request.customer_no).map_err(|why| invalid("customerNo")(&why.to_string()))?;
        for text in [&request.payment.method, &request.payment.token] {
            check_text(text, MEANS_CHARS_MAX).map_err(|why| invalid("payment")(&why))?;
        }
        let from = parse_instant(&request.from).map_err(invalid("from"))?;
        let to = parse_instant(&request.to).map_err(invalid("to"))?;
        let period = Period::new(from, to).ok_or_else(|| invalid("to")("it must be after from"))?;
        if from < now() || period.millis() > PERIOD_DAYS_MAX * DAY_MS {
            return Err(Problem::new("period_in_past", "the period is not bookable"));
        }
        let reservation_no = format!("res-{}", uuid::Uuid::now_v7().simple());
        let (Means { method, token }, days) = (request.payment, Pricing::default().days(&period));
        Ok(Booking { reservation_no, car_no, customer_no, period, days, method, token, key })
    }

    fn confirmed(&self, price: u64) -> Answer {
        let this = format!("/v1/reservations/{}", self.reservation_no);
        let (payment_no, rental_no) = (self.payment_no(), self.rental_no());
        let answer = Answer::json(
            StatusCode::CREATED,
            &Confirmed {
                reservation_no: &self.reservation_no,
                car_no: self.car_no.as_str(),
                customer_no: self.customer_no.as_str(),
                from: Instant(self.period.from()),
                to: Instant(self.period.to()),
                status: "CONFIRMED",
                price: Money::new(price, Currency::KRW).unwrap_or(Money::zero(Currency::KRW)).into(),
                links: Links {
                    this: &this,
                    cancellation: format!("{this}/cancellation"),
                    payment: format!("/v1/payments/{payment_no}"),
                    rental: format!("/v1/rentals/{rental_no}"),
                },
                payment: Payment { payment_no: &payment_no, status: "APPROVED" },
                rental_no: &rental_no,
            },
        );
        answer.located(&this)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Request {
    car_no: String,
    customer_no: String,
    from: String,
    to: String,
    payment: Means,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Means {
    method: String,
    token: String,
}

/// Member by member what rentcar answers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Confirmed<'a> {
    reservation_no: &'a str,
    car_no: &'a str,
    customer_no: &'a str,
    from: Instant,
    to: Instant,
    status: &'static str,
    price: MoneyDto,
    payment: Payment<'a>,
    rental_no: &'a str,
    links: Links<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payment<'a> {
    payment_no: &'a str,
    status: &'static str,
}

#[derive(Serialize)]
struct Links<'a> {
    #[serde(rename = "self")]
    this: &'a str,
    cancellation: String,
    payment: String,
    rental: String,
}

fn now() -> Timestamp {
    Timestamp::from_millis(jiff::Timestamp::now().as_millisecond()).unwrap()
}

/// Serves until it is killed, and says first where.
pub async fn run(ledger: impl Ledger) {
    let ledger = Arc::new(ledger);
    let reserve = warp::post()
        .and(warp::path!("v1" / "reservations"))
        .and(warp::body::content_length_limit(BODY_BYTES_MAX))
        .and(warp::header::optional("idempotency-key"))
        .and(warp::body::bytes())
        .then(move |key: Option<String>, body: bytes::Bytes| answer(Arc::clone(&ledger), key, body));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("ready at http://{}", listener.local_addr().unwrap());
    std::io::stdout().flush().unwrap();
    serve(listener, warp::service(reserve), ServerLimits::default(), CancellationToken::new()).await;
}

async fn answer(ledger: Arc<impl Ledger>, key: Option<String>, body: bytes::Bytes) -> Response {
    let booked = match Booking::read(&body, key) {
        Ok(mut booking) => ledger.book(&mut booking).await.map(|price| booking.confirmed(price)),
        Err(problem) => Err(problem),
    };
    booked.unwrap_or_else(Answer::from).into_response()
}
