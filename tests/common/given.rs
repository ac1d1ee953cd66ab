//! Fixtures: cars, customers and reservations with unique numbers.

use super::SOON;
use super::client::{Answer, Api};
use super::eventually;
use serde_json::{Value, json};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a day costs in these tests, in won.
pub const DAILY_RATE: u64 = 10_000;

pub const DAY: i64 = 86_400;
pub const HOUR: i64 = 3_600;

/// A unique number.
pub fn unique(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let run = std::process::id();
    format!("{prefix}-{run:x}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The instant so many seconds from now, in whole seconds, as RFC 3339.
pub fn in_seconds(seconds: i64) -> String {
    let now = jiff::Timestamp::now().as_second();
    jiff::Timestamp::from_second(now + seconds).unwrap().to_string()
}

/// The instant so many days from the beginning of the test, see [`since_begin`].
pub fn in_days(days: i64) -> String {
    since_begin(days * DAY)
}

/// The instant so many seconds from when one was first asked for, so that the same is always the same instant.
pub fn since_begin(seconds: i64) -> String {
    static BEGUN: OnceLock<i64> = OnceLock::new();
    let begun = BEGUN.get_or_init(|| jiff::Timestamp::now().as_second());
    jiff::Timestamp::from_second(begun + seconds).unwrap().to_string()
}

/// The milliseconds since the epoch of an RFC 3339 text.
pub fn millis(text: &str) -> i64 {
    let instant: jiff::Timestamp = text.parse().unwrap_or_else(|error| panic!("{text:?} is no instant: {error}"));
    instant.as_millisecond()
}

pub fn car(car_no: &str) -> Value {
    json!({"carNo": car_no, "model": "Ioniq 5", "dailyRate": {"amount": DAILY_RATE, "currency": "KRW"},
           "carClass": "compact", "branch": "seoul", "registeredOn": "2020-07-01"})
}

pub fn customer(customer_no: &str) -> Value {
    json!({"customerNo": customer_no, "name": "Kim Minji", "phone": "+82-10-1234-5678",
           "email": "minji@example.com", "licenceNo": "11-22-333333-44"})
}

pub fn means() -> Value {
    json!({"method": "card", "token": "tok_visa"})
}

/// The body that reserves a car and pays it at once.
pub fn booking(car_no: &str, customer_no: &str, from: &str, to: &str) -> Value {
    json!({"carNo": car_no, "customerNo": customer_no, "from": from, "to": to, "payment": means()})
}

/// The body that reserves a car and leaves the payment for later.
pub fn hold(car_no: &str, customer_no: &str, from: &str, to: &str) -> Value {
    json!({"carNo": car_no, "customerNo": customer_no, "from": from, "to": to})
}

/// A path with a number in it, escaped.
pub fn path(pattern: &str, number: &str) -> String {
    let escaped = percent_encoding::utf8_percent_encode(number, percent_encoding::NON_ALPHANUMERIC).to_string();
    pattern.replace("{}", &escaped)
}

/// The settings of a provider that is well, with some replaced.
pub fn provider_settings(changes: &Value) -> Value {
    let mut settings = json!({"latencyMs": 0, "capacity": 0, "declineRate": 0.0, "failRate": 0.0,
                              "loseAnswerRate": 0.0, "down": false});
    for (name, value) in changes.as_object().unwrap() {
        settings[name] = value.clone();
    }
    settings
}

impl Api {
    pub async fn register_car(&self) -> String {
        let car_no = unique("car");
        self.post("/v1/cars", &car(&car_no)).await.expect(201);
        car_no
    }

    pub async fn register_customer(&self) -> String {
        let customer_no = unique("cust");
        self.post("/v1/customers", &customer(&customer_no)).await.expect(201);
        customer_no
    }

    /// A paid reservation of a car for days from now; returns what the service did.
    pub async fn reserve(&self, car_no: &str, customer_no: &str, from_day: i64, to_day: i64) -> Answer {
        let body = booking(car_no, customer_no, &in_days(from_day), &in_days(to_day));
        let answer = self.post("/v1/reservations", &body).await.expect(201);
        assert_eq!(answer.json["status"], "CONFIRMED", "{}", answer.story());
        answer
    }

    /// A reservation that is held and not paid.
    pub async fn hold(&self, car_no: &str, customer_no: &str, from_day: i64, to_day: i64) -> Answer {
        let body = hold(car_no, customer_no, &in_days(from_day), &in_days(to_day));
        let answer = self.post("/v1/reservations", &body).await.expect(202);
        assert_eq!(answer.json["status"], "PAYMENT_PENDING", "{}", answer.story());
        answer
    }

    pub async fn reservation(&self, reservation_no: &str) -> Answer {
        self.get(&path("/v1/reservations/{}", reservation_no)).await.expect(200)
    }

    /// Waits until the rental of a paid reservation can be read; returns its number.
    pub async fn rental_of(&self, reservation_no: &str) -> String {
        let mut rental_no = String::new();
        eventually("the rental of a paid reservation exists", SOON, async || {
            let reservation = self.reservation(reservation_no).await;
            reservation.json["rentalNo"].as_str().unwrap_or_default().clone_into(&mut rental_no);
            !rental_no.is_empty() && self.get(&path("/v1/rentals/{}", &rental_no)).await.status == 200
        })
        .await;
        rental_no
    }

    /// Waits until a car has a status in the ledger.
    pub async fn car_becomes(&self, car_no: &str, status: &str) {
        let what = format!("car {car_no} becomes {status}");
        eventually(&what, SOON, async || self.get(&path("/v1/cars/{}", car_no)).await.json["status"] == status).await;
    }

    /// Waits until a reservation has a status.
    pub async fn reservation_becomes(&self, reservation_no: &str, status: &str) {
        let what = format!("reservation {reservation_no} becomes {status}");
        let now = async || self.get(&path("/v1/reservations/{}", reservation_no)).await.json["status"] == status;
        eventually(&what, SOON, now).await;
    }

    /// Waits until a payment has a status.
    pub async fn payment_becomes(&self, payment_no: &str, status: &str) {
        let what = format!("payment {payment_no} becomes {status}");
        let now = async || self.get(&path("/v1/payments/{}", payment_no)).await.json["status"] == status;
        eventually(&what, SOON, now).await;
    }

    /// Waits until My Page shows all of these kinds of events of a reservation.
    pub async fn my_page_shows(&self, customer_no: &str, reservation_no: &str, kinds: &[&str]) {
        let what = format!("my page of {customer_no} shows {kinds:?} of {reservation_no}");
        eventually(&what, SOON, async || {
            let shown = self.my_page_kinds(customer_no, reservation_no).await;
            kinds.iter().all(|kind| shown.iter().any(|shown| shown == kind))
        })
        .await;
    }

    /// The kinds of events of a reservation on My Page, newest first.
    pub async fn my_page_kinds(&self, customer_no: &str, reservation_no: &str) -> Vec<String> {
        let items = self.all(&path("/v1/customers/{}/page", customer_no)).await;
        let of_it = items.iter().filter(|item| item["reservationNo"] == reservation_no);
        of_it.map(|item| item["kind"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Changes how the payment provider inside the service behaves.
    pub async fn provider_inside(&self, changes: &Value) {
        self.put("/v1/admin/payment-provider", &provider_settings(changes)).await.expect(200);
    }

    /// The numbers of the cars of a list, page after page.
    pub async fn car_numbers(&self, list: &str) -> Vec<String> {
        self.all(list).await.iter().map(|car| car["carNo"].as_str().unwrap().to_owned()).collect()
    }

    /// Every item of a cursor-paged list.
    pub async fn all(&self, list: &str) -> Vec<Value> {
        let joint = if list.contains('?') { '&' } else { '?' };
        let (mut items, mut cursor) = (vec![], String::new());
        loop {
            let address = if cursor.is_empty() { list.to_owned() } else { format!("{list}{joint}cursor={cursor}") };
            let page = self.get(&address).await.expect(200);
            items.extend(page.items().iter().cloned());
            match page.json["nextCursor"].as_str() {
                Some(next) => cursor = path("{}", next),
                None => return items,
            }
        }
    }
}

/// An amount of money, written as `{amount, currency}` or as a bare number of minor units.
#[track_caller]
pub fn amount(money: &Value) -> u64 {
    let amount = if money.is_object() { &money["amount"] } else { money };
    amount.as_u64().unwrap_or_else(|| panic!("{money} is no amount of money"))
}

/// A journal that has failed refuses every change, and soon says that it is the journal that does.
pub async fn changes_are_refused(api: &Api) {
    eventually("changes are refused because of the journal", SOON, async || {
        let refused = api.post("/v1/cars", &car(&unique("car"))).await.expect(503);
        assert!(!refused.header("retry-after").is_empty(), "{}", refused.story());
        refused.problem() == "journal_unavailable"
    })
    .await;
}
