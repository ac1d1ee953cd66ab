//! Mixed load, and a record of what was acknowledged and of what is unknown.

use super::client::{Api, Extra};
use super::{Answer, DAILY_RATE, means, path, unique};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What was acknowledged last of a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Known {
    /// Nothing: no answer came to the request that makes it.
    Nothing,
    /// It was refused, so that it must not exist.
    Refused,
    /// 202, or 402: held and not paid.
    Held,
    Confirmed,
    PickedUp,
    Returned,
    Cancelled,
}

/// What was tried with a reservation and may have happened although no answer, or no clear one, came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tried {
    /// Paying, within the reservation or later.
    Pay,
    Cancel,
    Return,
}

/// A reservation as its customer remembers it.
#[derive(Debug, Clone)]
pub struct Memory {
    /// Its number, which the customer chose.
    pub reservation_no: String,
    pub body: Value,
    pub key: String,
    pub known: Known,
    pub tried: BTreeSet<Tried>,
    /// When the hold ends, if it was told.
    pub hold_until_ms: Option<i64>,
    /// The car and the period (`carNo`, `from`, `to`) that it was acknowledged to have last.
    pub place: Value,
    /// Those that changes may have given it.
    pub changes: Vec<Value>,
}

impl Memory {
    /// Whether the reservation may be as this answer to a GET says.
    pub fn allows(&self, answer: &Answer) -> bool {
        let tried = |what| self.tried.contains(&what);
        if answer.status == 404 {
            return matches!(self.known, Known::Nothing | Known::Refused);
        }
        if answer.status != 200 || !self.agrees(&answer.json) {
            return false;
        }
        let over = self.hold_until_ms.is_none_or(|until| until <= jiff::Timestamp::now().as_millisecond() + 1_000);
        match (self.known, answer.json["status"].as_str().unwrap_or_default()) {
            // A step may be taken without its answer, and the reservation follows the rental a moment later.
            (Known::Nothing | Known::Held, "PAYMENT_PENDING")
            | (Known::Confirmed | Known::PickedUp | Known::Returned, "CONFIRMED")
            | (Known::Returned, "COMPLETED")
            | (Known::Cancelled, "CANCELLED") => true,
            (Known::Nothing | Known::Held, "EXPIRED") => over,
            (Known::Nothing | Known::Held, "CONFIRMED") => tried(Tried::Pay),
            (Known::Nothing | Known::Held | Known::Confirmed, "CANCELLED") => tried(Tried::Cancel),
            (Known::PickedUp | Known::Confirmed, "COMPLETED") => tried(Tried::Return),
            _ => false,
        }
    }

    /// Whether the reservation is the one that was asked for, at the price that was to be expected.
    fn agrees(&self, reservation: &Value) -> bool {
        let instant = |value: &Value| super::millis(value.as_str().unwrap_or_default());
        let period = |of: &Value| (instant(&of["from"]), instant(&of["to"]));
        let is_at = |place: &Value| reservation["carNo"] == place["carNo"] && period(reservation) == period(place);
        let (from, to) = period(reservation);
        let days = u64::try_from((to - from) / 86_400_000).unwrap();
        reservation["customerNo"] == self.body["customerNo"]
            && (is_at(&self.place) || self.changes.iter().any(is_at))
            && super::amount(&reservation["price"]) == days * DAILY_RATE
    }

    /// Takes note of what came back of a change.
    fn changed(&mut self, to: &Value, answer: Option<&Answer>) {
        match answer.map(|answer| (answer.status, answer)) {
            Some((200, _)) => self.place = to.clone(),
            // It was refused, and is out of the question; whatever else may have been tried is not.
            Some((402, _)) => {}
            Some((409, answer)) if answer.problem() == "car_not_available" => {}
            Some((202 | 409 | 503 | 504, _)) | None => self.changes.push(to.clone()),
            Some((_, answer)) => panic!("no answer to changing: {}", answer.story()),
        }
    }

    /// Takes note of what came back of the request that makes it.
    pub fn reserved(&mut self, answer: Option<&Answer>) {
        let Some(answer) = answer else { return };
        self.hold_until_ms = answer.json["holdUntil"].as_str().map(super::millis).or(self.hold_until_ms);
        self.known = match answer.status {
            201 => Known::Confirmed,
            202 | 402 => Known::Held,
            // The hold ended before it was paid, as when the clock jumps.
            409 if answer.problem() == "reservation_closed" => Known::Held,
            409 if answer.problem() == "car_not_available" => Known::Refused,
            503 | 504 => return,
            _ => panic!("no answer to reserving: {}", answer.story()),
        };
    }
}

/// One customer who does one thing after the other until told to stop.
pub struct Customer {
    api: Api,
    rng: StdRng,
    cars: Arc<Vec<String>>,
    number: String,
    stop: Arc<AtomicBool>,
    memories: Vec<Memory>,
    registered: Vec<String>,
    answers: usize,
}

/// What a customer has to tell.
pub struct Told {
    /// What is remembered of reservations.
    pub memories: Vec<Memory>,
    pub registered: Vec<String>,
    pub answers: usize,
}

impl Customer {
    /// A customer with a seed of its own.
    pub fn new(api: Api, seed: u64, cars: Arc<Vec<String>>, stop: Arc<AtomicBool>) -> Customer {
        let number = unique("cust");
        let (memories, registered) = (vec![], vec![]);
        Customer { api, rng: StdRng::seed_from_u64(seed), cars, number, stop, memories, registered, answers: 0 }
    }

    /// Goes on until told to stop or until the server does not answer any more.
    pub async fn run(mut self) -> Told {
        while !self.stop.load(Ordering::Relaxed) {
            let answered = match self.rng.random_range(0..100) {
                0..4 => self.register_car().await,
                4..50 => self.reserve().await,
                50..62 => self.pay().await,
                62..72 => self.cancel().await,
                72..80 => self.change().await,
                80..91 => self.pick_up().await,
                _ => self.bring_back().await,
            };
            self.answers += usize::from(answered);
        }
        Told { memories: self.memories, registered: self.registered, answers: self.answers }
    }

    async fn post(&self, address: &str, key: &str, body: &Value) -> Option<Answer> {
        let headers = [("Idempotency-Key", key)];
        let extra = Extra { headers: &headers, raw: None };
        if let Ok(answer) = self.api.try_send(Method::POST, address, Some(body), extra).await {
            assert_ne!(answer.status, 500, "{}", answer.story());
            return Some(answer);
        }
        // The server is gone; do not spin until the test notices it.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        None
    }

    async fn register_car(&mut self) -> bool {
        let car_no = unique("car");
        let answer = self.post("/v1/cars", &unique("key"), &super::car(&car_no)).await;
        match answer.as_ref().map(|answer| answer.status) {
            Some(201) => self.registered.push(car_no),
            Some(503 | 504) | None => {}
            Some(_) => panic!("no answer to registering: {answer:?}"),
        }
        answer.is_some()
    }

    async fn reserve(&mut self) -> bool {
        let car_no = self.cars[self.rng.random_range(0..self.cars.len())].clone();
        let (day, days) = (self.rng.random_range(3..60_i64), self.rng.random_range(1..4_i64));
        let reservation_no = unique("res");
        let (from, to) = (super::in_days(day), super::in_days(day + days));
        let mut body = json!({"reservationNo": reservation_no, "carNo": car_no, "customerNo": self.number,
                              "from": from, "to": to});
        let mut tried = BTreeSet::new();
        if self.rng.random_bool(0.6) {
            body["payment"] = means();
            tried.insert(Tried::Pay);
        }
        let (known, key) = (Known::Nothing, unique("key"));
        let place = json!({"carNo": car_no, "from": from, "to": to});
        let mut memory =
            Memory { reservation_no, body, key, known, tried, hold_until_ms: None, place, changes: vec![] };
        let answer = self.post("/v1/reservations", &memory.key, &memory.body).await;
        memory.reserved(answer.as_ref());
        self.memories.push(memory);
        answer.is_some()
    }

    /// Some reservation of which this was acknowledged last.
    fn some(&mut self, known: &[Known]) -> Option<usize> {
        let of_it = |(_, memory): &(usize, &Memory)| known.contains(&memory.known) && !memory.doubtful();
        let candidates: Vec<usize> = self.memories.iter().enumerate().filter(of_it).map(|(at, _)| at).collect();
        if candidates.is_empty() { None } else { Some(candidates[self.rng.random_range(0..candidates.len())]) }
    }

    async fn pay(&mut self) -> bool {
        let Some(at) = self.some(&[Known::Held]) else { return self.reserve().await };
        self.memories[at].tried.insert(Tried::Pay);
        let address = path("/v1/reservations/{}/payment", &self.memories[at].reservation_no);
        let answer = self.post(&address, &unique("key"), &means()).await;
        match answer.as_ref().map(|answer| answer.status) {
            Some(200) => self.memories[at].known = Known::Confirmed,
            Some(202 | 402 | 409 | 503 | 504) | None => {}
            Some(_) => panic!("no answer to paying: {answer:?}"),
        }
        answer.is_some()
    }

    async fn cancel(&mut self) -> bool {
        let Some(at) = self.some(&[Known::Held, Known::Confirmed]) else { return self.reserve().await };
        self.memories[at].tried.insert(Tried::Cancel);
        let address = path("/v1/reservations/{}/cancellation", &self.memories[at].reservation_no);
        let answer = self.post(&address, &unique("key"), &json!({})).await;
        match answer.as_ref().map(|answer| answer.status) {
            Some(200) => self.memories[at].known = Known::Cancelled,
            Some(409 | 503 | 504) | None => {}
            Some(_) => panic!("no answer to cancelling: {answer:?}"),
        }
        answer.is_some()
    }

    /// Another period, of the same car or of another one.
    async fn change(&mut self) -> bool {
        let Some(at) = self.some(&[Known::Confirmed]) else { return self.reserve().await };
        let same = self.memories[at].place["carNo"].clone();
        let other = json!(self.cars[self.rng.random_range(0..self.cars.len())]);
        let car_no = if self.rng.random_bool(0.5) { same } else { other };
        let (day, days) = (self.rng.random_range(3..60_i64), self.rng.random_range(1..4_i64));
        let to = json!({"carNo": car_no, "from": super::in_days(day), "to": super::in_days(day + days)});
        let mut body = to.clone();
        if self.rng.random_bool(0.8) {
            body["payment"] = means();
        }
        let address = path("/v1/reservations/{}/change", &self.memories[at].reservation_no);
        let answer = self.post(&address, &unique("key"), &body).await;
        self.memories[at].changed(&to, answer.as_ref());
        answer.is_some()
    }

    async fn pick_up(&mut self) -> bool {
        let Some(at) = self.some(&[Known::Confirmed]) else { return self.reserve().await };
        let answer = self.step(at, "pickup").await;
        match answer.as_ref().map(|answer| answer.status) {
            Some(200) => self.memories[at].known = Known::PickedUp,
            // The rental follows the payment a moment later.
            Some(404 | 409 | 503 | 504) | None => {}
            Some(_) => panic!("no answer to picking up: {answer:?}"),
        }
        answer.is_some()
    }

    async fn bring_back(&mut self) -> bool {
        let Some(at) = self.some(&[Known::PickedUp]) else { return self.pick_up().await };
        self.memories[at].tried.insert(Tried::Return);
        let answer = self.step(at, "return").await;
        match answer.as_ref().map(|answer| answer.status) {
            Some(200) => self.memories[at].known = Known::Returned,
            Some(404 | 409 | 503 | 504) | None => {}
            Some(_) => panic!("no answer to returning: {answer:?}"),
        }
        answer.is_some()
    }

    async fn step(&self, at: usize, step: &str) -> Option<Answer> {
        let rental_no = format!("rent-{}", self.memories[at].reservation_no);
        self.post(&format!("{}/{step}", path("/v1/rentals/{}", &rental_no)), &unique("key"), &json!({})).await
    }
}

impl Memory {
    /// Whether a change is under way of which nobody knows the outcome, so that another is better not begun.
    fn doubtful(&self) -> bool {
        match self.known {
            Known::Nothing | Known::Refused | Known::Returned | Known::Cancelled => true,
            Known::Held | Known::Confirmed => self.tried.contains(&Tried::Cancel),
            Known::PickedUp => self.tried.contains(&Tried::Return),
        }
    }
}
