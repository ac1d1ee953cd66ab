//! `rentcar demo`: runs a scenario from registering a car to erasing the customer against a running service, and checks
//! every outcome.
//!
//! Every run makes cars and customers of its own, so it can be repeated against the same service. It changes nothing
//! else but the settings of the sandbox provider inside, which it restores.

use super::running::{Connection, Running, ServiceUrl};
use super::{block_on, print_line, stay};
use anyhow::{Context as _, bail, ensure};
use clap::Args;
use jiff::{Timestamp, ToSpan};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// How long policies and read models may take to follow.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(20);
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(100);
const DAILY_RATE: u64 = 50_000;
const PROVIDER: &str = "/v1/admin/payment-provider";

#[derive(Debug, Args)]
pub struct Options {
    /// The service.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: ServiceUrl,
    #[command(flatten)]
    connection: Connection,
    /// Instead of that, start a service with a small company in it, and stay until Ctrl-C.
    #[arg(long, conflicts_with_all = ["url", "ca", "allow_plain_http"])]
    stay: bool,
    #[command(flatten)]
    company: stay::Place,
}

pub fn run(options: Options) -> anyhow::Result<()> {
    if options.stay { stay::run(&options.company) } else { block_on(tell(&options.url, options.connection)) }
}

/// # Errors
/// The first outcome that is not as it should be, in a sentence.
async fn tell(url: &ServiceUrl, connection: Connection) -> anyhow::Result<()> {
    let story = Scenario::begin(url, connection).await?;
    print_line(format!("The story of rentcar, told by {}", story.service.url()))?;
    let cars = story.cars_and_a_customer().await?;
    let booked = story.reserve_and_pay(&cars.first).await?;
    story.refuse_an_overlap(&cars.first).await?;
    story.look_at_my_page(&booked).await?;
    story.hand_over_and_take_back(&cars.first, &booked).await?;
    story.cancel(&cars.second).await?;
    story.hold_and_pay_later(&cars.second).await?;
    story.decline(&cars.second).await?;
    story.repeat(&cars.second).await?;
    story.retire(&cars).await?;
    print_line("✓ everything came out as it should")
}

struct Answer {
    request: String,
    status: u16,
    etag: String,
    json: Value,
}

impl Answer {
    fn must_be(self, status: u16) -> anyhow::Result<Answer> {
        ensure!(
            self.status != 401 || status == 401,
            "{} needs a sign-in: the service has accounts or keys, and the story is told to an open one; start one with \
             `rentcar serve --data DIR`",
            self.request
        );
        ensure!(
            self.status == status,
            "{} was answered with {} instead of {status}: {}",
            self.request,
            self.status,
            self.json
        );
        Ok(self)
    }

    fn refused(self, status: u16, code: &str) -> anyhow::Result<Answer> {
        let answer = self.must_be(status)?;
        let given = answer.json["code"].as_str().unwrap_or_default();
        ensure!(given == code, "{} was refused with {given:?} instead of {code:?}", answer.request);
        Ok(answer)
    }

    fn text(&self, pointer: &str) -> anyhow::Result<String> {
        let text = self.json.pointer(pointer).and_then(Value::as_str);
        text.map(str::to_owned).with_context(|| format!("{} was answered without {pointer}", self.request))
    }

    fn says(&self, pointer: &str, expected: &Value) -> anyhow::Result<()> {
        let said = self.json.pointer(pointer).unwrap_or(&Value::Null);
        ensure!(said == expected, "{} says {pointer} = {said} instead of {expected}", self.request);
        Ok(())
    }
}

struct Cars {
    first: String,
    second: String,
}

struct Scenario {
    service: Running,
    /// A part of all numbers of this run, which makes them unique.
    run: String,
    customer_no: String,
}

impl Scenario {
    async fn begin(url: &ServiceUrl, connection: Connection) -> anyhow::Result<Scenario> {
        let service = Running::at(url, &connection.into(), ANSWER_WITHIN).await?;
        let run = uuid::Uuid::now_v7().simple().to_string();
        let customer_no = format!("demo-{run}");
        Ok(Scenario { service, run, customer_no })
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        header: Option<(&str, &str)>,
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let request = format!("{method} {path}");
        let mut builder = self.service.request(method, path);
        if let Some((name, value)) = header {
            builder = builder.header(name, value);
        }
        if let Some(body) = body {
            builder = builder.json(body);
        }
        let response = builder.send().await.with_context(|| format!("{request} was not answered"))?;
        let status = response.status().as_u16();
        let etag = response.headers().get("etag").and_then(|tag| tag.to_str().ok()).unwrap_or_default().to_owned();
        let bytes = response.bytes().await.with_context(|| format!("the answer to {request} broke off"))?;
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Ok(Answer { request, status, etag, json })
    }

    async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.ask(Method::GET, path, None, None).await
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.ask(Method::POST, path, None, Some(body)).await
    }

    async fn follows(&self, what: &str, path: &str, wanted: impl Fn(&Answer) -> bool) -> anyhow::Result<Answer> {
        let begun = Instant::now();
        loop {
            let answer = self.get(path).await?;
            if wanted(&answer) {
                return Ok(answer);
            }
            if begun.elapsed() > FOLLOWS_WITHIN {
                bail!("{what} did not follow within {FOLLOWS_WITHIN:?}: {path} still says {}", answer.json);
            }
            tokio::time::sleep(ASK_AGAIN_AFTER).await;
        }
    }

    async fn car_becomes(&self, car_no: &str, status: &str) -> anyhow::Result<()> {
        let path = format!("/v1/cars/{car_no}");
        self.follows(&format!("car {car_no} being {status}"), &path, |answer| answer.json["status"] == status).await?;
        Ok(())
    }

    /// The body of a reservation for days from now, with or without the means to pay.
    fn booking(&self, car_no: &str, from_day: i64, to_day: i64, paid: bool) -> anyhow::Result<Value> {
        let day = |days: i64| anyhow::Ok(Timestamp::now().checked_add((24 * days).hours())?.to_string());
        let mut body = json!({"carNo": car_no, "customerNo": self.customer_no,
                              "from": day(from_day)?, "to": day(to_day)?});
        if paid {
            body["payment"] = means();
        }
        Ok(body)
    }

    async fn cars_and_a_customer(&self) -> anyhow::Result<Cars> {
        let cars = Cars { first: format!("{}-1", self.run), second: format!("{}-2", self.run) };
        let rate = json!({"amount": DAILY_RATE, "currency": "KRW"});
        for (car_no, model) in [(&cars.first, "Ioniq 5"), (&cars.second, "Kona")] {
            let body = json!({"carNo": car_no, "model": model, "dailyRate": rate, "carClass": self.run,
                              "branch": "Seoul"});
            self.post("/v1/cars", &body).await?.must_be(201)?;
            print_line(format!("✓ a car is registered: {model}, {DAILY_RATE} won a day"))?;
        }
        self.post("/v1/cars", &json!({"carNo": cars.first, "model": "Twin", "dailyRate": rate}))
            .await?
            .refused(409, "car_already_registered")?;
        print_line("✓ the same car is not registered twice")?;
        let customer = json!({"customerNo": self.customer_no, "name": "Kim Minji", "phone": "+82-10-1234-5678",
                              "email": "minji@example.com"});
        self.post("/v1/customers", &customer).await?.must_be(201)?;
        print_line("✓ Kim Minji becomes a customer")?;
        Ok(cars)
    }

    async fn reserve_and_pay(&self, car_no: &str) -> anyhow::Result<Answer> {
        let body = self.booking(car_no, 3, 5, true)?;
        let (from, to) = (body["from"].as_str().unwrap_or_default(), body["to"].as_str().unwrap_or_default());
        let search = format!("/v1/availability?from={from}&to={to}&carClass={}", self.run);
        let both = |answer: &Answer| answer.json["items"].as_array().is_some_and(|items| items.len() == 2);
        let offers = self.follows("an offer of both cars", &search, both).await?;
        offers.says("/items/0/price/amount", &json!(2 * DAILY_RATE))?;
        print_line(format!("✓ she searches and is offered both cars for two days at {} won", 2 * DAILY_RATE))?;
        let booked = self.post("/v1/reservations", &body).await?.must_be(201)?;
        booked.says("/status", &json!("CONFIRMED"))?;
        booked.says("/payment/status", &json!("APPROVED"))?;
        booked.says("/price/amount", &json!(2 * DAILY_RATE))?;
        print_line("✓ she reserves the first one and pays in the same request")?;
        self.car_becomes(car_no, "RENTED").await?;
        print_line("✓ the fleet's ledger follows: the car is rented")?;
        Ok(booked)
    }

    async fn refuse_an_overlap(&self, car_no: &str) -> anyhow::Result<()> {
        let body = self.booking(car_no, 4, 6, true)?;
        self.post("/v1/reservations", &body).await?.refused(409, "car_not_available")?;
        print_line("✓ somebody else who wants it on one of the days is refused")
    }

    async fn look_at_my_page(&self, booked: &Answer) -> anyhow::Result<()> {
        let reservation_no = booked.text("/reservationNo")?;
        let path = format!("/v1/customers/{}/page", self.customer_no);
        let complete = |answer: &Answer| {
            let shows = |kind: &str| {
                let items = answer.json["items"].as_array();
                let is_it = |item: &Value| item["kind"] == kind && item["reservationNo"] == *reservation_no;
                items.is_some_and(|items| items.iter().any(is_it))
            };
            ["reservation.held", "payment.approved", "reservation.confirmed", "rental.rented"].into_iter().all(shows)
        };
        let page = self.follows("the whole history on My Page", &path, complete).await?;
        page.says("/customer/name", &json!("Kim Minji"))?;
        print_line("✓ My Page shows her data and what has happened: held, paid, confirmed, rented")
    }

    async fn hand_over_and_take_back(&self, car_no: &str, booked: &Answer) -> anyhow::Result<()> {
        let (reservation_no, rental_no) = (booked.text("/reservationNo")?, booked.text("/rentalNo")?);
        let rental = format!("/v1/rentals/{rental_no}");
        self.follows("the rental", &rental, |answer| answer.json["status"] == "RENTED").await?;
        let steps =
            [("return", 409, "rental_not_picked_up"), ("pickup", 200, "PICKED_UP"), ("return", 200, "RETURNED")];
        for (step, status, word) in steps {
            let answer = self.post(&format!("{rental}/{step}"), &json!({})).await?.must_be(status)?;
            let member = if status == 200 { "/status" } else { "/code" };
            answer.says(member, &json!(word))?;
        }
        print_line("✓ the car cannot come back before it is out; then it is handed over and comes back")?;
        let path = format!("/v1/reservations/{reservation_no}");
        self.follows("the reservation's end", &path, |answer| answer.json["status"] == "COMPLETED").await?;
        self.car_becomes(car_no, "AVAILABLE").await?;
        print_line("✓ the reservation is completed and the car available")
    }

    async fn cancel(&self, car_no: &str) -> anyhow::Result<()> {
        let soon = self.booking(car_no, 0, 2, true)?;
        let late = self.post("/v1/reservations", &soon).await?.must_be(201)?;
        let cancellation = late.text("/links/cancellation")?;
        let preview = self.get(&cancellation).await?.must_be(200)?;
        let (fee, refund) = (preview.json["fee"]["amount"].clone(), preview.json["refund"]["amount"].clone());
        let whole = fee.as_u64().zip(refund.as_u64()).map(|(fee, refund)| fee + refund);
        ensure!(whole == Some(2 * DAILY_RATE), "fee {fee} and refund {refund} are not the price");
        print_line(format!("✓ cancelling at the last moment would cost {fee} won and give back {refund}"))?;
        let cancelled = self.post(&cancellation, &json!({})).await?.must_be(200)?;
        cancelled.says("/status", &json!("CANCELLED"))?;
        let payment = late.text("/links/payment")?;
        let back = |answer: &Answer| answer.json["status"] == "CANCELLED" && answer.json["refundedAmount"] == refund;
        self.follows("the refund", &payment, back).await?;
        self.car_becomes(car_no, "AVAILABLE").await?;
        print_line(format!("✓ she cancels; {refund} won go back and the car is free again"))
    }

    async fn hold_and_pay_later(&self, car_no: &str) -> anyhow::Result<()> {
        let body = self.booking(car_no, 10, 11, false)?;
        let held = self.post("/v1/reservations", &body).await?.must_be(202)?;
        held.says("/status", &json!("PAYMENT_PENDING"))?;
        print_line(format!("✓ she reserves without paying; the car is held until {}", held.text("/holdUntil")?))?;
        let paid = self.post(&held.text("/links/pay")?, &means()).await?.must_be(200)?;
        paid.says("/status", &json!("CONFIRMED"))?;
        print_line("✓ she pays later, and it is confirmed")
    }

    /// Makes the sandbox provider decline, if it runs inside the service, and restores its settings whatever happens.
    async fn decline(&self, car_no: &str) -> anyhow::Result<()> {
        let settings = self.get(PROVIDER).await?;
        if settings.status == 404 {
            return print_line("- the payment provider is not inside the service, so it is not asked to decline");
        }
        let settings = settings.must_be(200)?.json;
        let mut declining = settings.clone();
        declining["declineRate"] = json!(1.0);
        self.ask(Method::PUT, PROVIDER, None, Some(&declining)).await?.must_be(200)?;
        let outcome = self.be_declined(car_no).await;
        self.ask(Method::PUT, PROVIDER, None, Some(&settings)).await?.must_be(200)?;
        let pay = outcome?;
        self.post(&pay, &means()).await?.must_be(200)?.says("/status", &json!("CONFIRMED"))?;
        print_line("✓ she tries again, and now the provider approves")
    }

    /// Returns the path at which the declined reservation can still be paid.
    async fn be_declined(&self, car_no: &str) -> anyhow::Result<String> {
        let body = self.booking(car_no, 20, 21, true)?;
        let declined = self.post("/v1/reservations", &body).await?.refused(402, "payment_declined")?;
        let path = format!("/v1/reservations/{}", declined.text("/reservationNo")?);
        self.get(&path).await?.must_be(200)?.says("/status", &json!("PAYMENT_PENDING"))?;
        print_line("✓ the provider declines her card; the car stays held for her")?;
        Ok(format!("{path}/payment"))
    }

    async fn repeat(&self, car_no: &str) -> anyhow::Result<()> {
        let (body, key) = (self.booking(car_no, 30, 31, true)?, format!("{}-key", self.run));
        let keyed = async |body: &Value| {
            self.ask(Method::POST, "/v1/reservations", Some(("Idempotency-Key", &key)), Some(body)).await
        };
        let first = keyed(&body).await?.must_be(201)?;
        let again = keyed(&body).await?.must_be(201)?;
        ensure!(first.json == again.json, "the same call under the same key was answered in another way");
        keyed(&self.booking(car_no, 40, 41, true)?).await?.refused(422, "idempotency_key_reused")?;
        print_line("✓ the same request under the same key is carried out once and answered alike")
    }

    async fn retire(&self, cars: &Cars) -> anyhow::Result<()> {
        let delete = async |car_no: &str| self.ask(Method::DELETE, &format!("/v1/cars/{car_no}"), None, None).await;
        delete(&cars.second).await?.refused(409, "car_has_live_bookings")?;
        print_line("✓ the second car has bookings ahead and cannot be retired")?;
        let path = format!("/v1/cars/{}", cars.first);
        let seen = self.get(&path).await?.must_be(200)?.etag;
        let change = json!({"model": "Ioniq 5 N"});
        self.ask(Method::PATCH, &path, Some(("If-Match", &seen)), Some(&change)).await?.must_be(200)?;
        self.ask(Method::PATCH, &path, Some(("If-Match", &seen)), Some(&change)).await?.refused(412, "stale_etag")?;
        print_line("✓ staff amend the first car; whoever has not seen that cannot")?;
        delete(&cars.first).await?.must_be(204)?;
        self.car_becomes(&cars.first, "RETIRED").await?;
        self.post("/v1/reservations", &self.booking(&cars.first, 3, 5, true)?).await?.refused(409, "car_retired")?;
        print_line("✓ the first car is retired and cannot be booked any more")?;
        self.clear_up(cars).await
    }

    /// Cancels the live reservations, so that the second car can be retired and the customer erased.
    async fn clear_up(&self, cars: &Cars) -> anyhow::Result<()> {
        let list = format!("/v1/reservations?customerNo={}&limit=200", self.customer_no);
        let reservations = self.get(&list).await?.must_be(200)?;
        for reservation in reservations.json["items"].as_array().into_iter().flatten() {
            if let Some(cancellation) = reservation["links"]["cancellation"].as_str() {
                let cancelled = self.post(cancellation, &json!({})).await?.must_be(200)?;
                let (fee, payment) = (&cancelled.json["fee"]["amount"], &cancelled.json["links"]["payment"]);
                let settled = |paid: &Answer| {
                    let amount = |name: &str| paid.json[name].as_u64();
                    amount("chargedAmount") == amount("refundedAmount").zip(fee.as_u64()).map(|(back, fee)| back + fee)
                };
                self.follows("the refund", payment.as_str().unwrap_or_default(), settled).await?;
            }
        }
        let path = format!("/v1/cars/{}", cars.second);
        self.ask(Method::DELETE, &path, None, None).await?.must_be(204)?;
        print_line("✓ what is still ahead is cancelled, and then the second car can be retired too")?;
        let customer = format!("/v1/customers/{}", self.customer_no);
        self.ask(Method::DELETE, &customer, None, None).await?.must_be(204)?;
        self.get(&customer).await?.refused(410, "customer_erased")?;
        print_line("✓ she asks to be forgotten: her data is unreadable from now on")
    }
}

fn means() -> Value {
    json!({"method": "card", "token": "tok_visa"})
}
