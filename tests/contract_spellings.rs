//! One number in all its spellings, as the contract has it: composed or decomposed, in bodies, paths, queries and
//! cursors, of both surfaces; and nothing that nobody sees is a part of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::sse::Events;
use common::{Answer, SOON, TestServer, booking, car, customer, eventually, hold, in_days, means, path, unique};
use rentcar::actors::api::{Caller, PaymentMeans, PersonalData, ReserveRequest};
use rentcar::actors::app::{App, AppSettings, Ports};
use rentcar::actors::bulkhead::BulkheadSettings;
use rentcar::actors::payment::unsettled::UnsettledSettings;
use rentcar::actors::runtime::{ContextLimits, SystemClock};
use rentcar::actors::service::{Service, ServiceSettings};
use rentcar::domain::fleet::CarData;
use rentcar::domain::ids::{CarNo, CustomerNo, ReservationNo};
use rentcar::domain::money::{Currency, Money};
use rentcar::domain::reservation::{DayCounting, Terms};
use rentcar::domain::time::{DAY_MS, Period};
use rentcar::http::table;
use rentcar::providers::sandbox::Sandbox;
use rentcar::store::journal::Journal;
use rentcar::store::schema;
use rentcar::store::sled::{SledJournal, SledSettings};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Two spellings of one plate, one customer and one reservation: composed, and decomposed.
const CARS: [&str; 2] = ["99\u{d558}1234", "99\u{1112}\u{1161}1234"];
const CUSTOMERS: [&str; 2] = ["\u{ae40}-1", "\u{1100}\u{1175}\u{11b7}-1"];
const RESERVATIONS: [&str; 2] = ["\u{c608}\u{c57d}-1", "\u{110b}\u{1168}\u{110b}\u{1163}\u{11a8}-1"];

/// Characters that show nothing. The first four count as letters.
const INVISIBLE: [char; 10] = [
    '\u{3164}', '\u{115f}', '\u{1160}', '\u{ffa0}', '\u{200b}', '\u{200d}', '\u{202e}', '\u{2066}', '\u{fe0f}',
    '\u{ad}',
];

fn with(mut body: Value, member: &str, value: impl Into<Value>) -> Value {
    body[member] = value.into();
    body
}

/// Every path of a GET that names something by a number, with that number in a spelling.
fn addresses(spelling: usize) -> Vec<String> {
    let reservation = RESERVATIONS[spelling];
    let number = |template: &str, parameter: &str| match parameter {
        "carNo" => CARS[spelling].to_owned(),
        "customerNo" => CUSTOMERS[spelling].to_owned(),
        "paymentNo" => format!("pay-{reservation}"),
        "rentalNo" => format!("rent-{reservation}"),
        "key" if template.starts_with("/payments") => format!("pay-{reservation}"),
        "key" if template.starts_with("/carRentals") => format!("rent-{reservation}"),
        "reservationNo" | "key" => reservation.to_owned(),
        other => panic!("no number of the kind {other} is known here"),
    };
    let routes = table().into_iter().map(|operation| operation.route).filter(|route| route.method == Method::GET);
    let described = routes.filter(|route| !route.is_page);
    let templates = described.map(|route| route.template).filter(|it| it.contains('{') && !it.ends_with("/events"));
    let mut addresses: Vec<_> = templates
        .map(|template| {
            let (before, rest) = template.split_once('{').unwrap();
            let (parameter, after) = rest.split_once('}').unwrap();
            path(&format!("{before}{{}}{after}"), &number(template, parameter))
        })
        .collect();
    addresses.push(path("/v1/reservations?customerNo={}", CUSTOMERS[spelling]));
    addresses
}

#[tokio::test]
async fn what_is_made_under_one_spelling_is_found_under_every_one() {
    let server = TestServer::start().await;
    let [composed, decomposed] = CARS;
    let made = server.post("/v1/cars", &car(decomposed)).await.expect(201);
    assert_eq!(made.json["carNo"], composed);
    assert_eq!(made.header("location"), path("/v1/cars/{}", composed).replace("%2D", "-"));
    let made = server.post("/v1/customers", &customer(CUSTOMERS[1])).await.expect(201);
    assert_eq!(made.json["customerNo"], CUSTOMERS[0]);
    let body = booking(CARS[1], CUSTOMERS[1], &in_days(1), &in_days(2));
    let booked = server.post("/v1/reservations", &with(body, "reservationNo", RESERVATIONS[1])).await.expect(201);
    assert_eq!(booked.json["reservationNo"], RESERVATIONS[0]);
    server.my_page_shows(CUSTOMERS[0], RESERVATIONS[0], &["reservation.confirmed", "rental.rented"]).await;
    eventually("the ledger has the rental", SOON, async || {
        server.get(&path("/carInformations/{}", CARS[0])).await.json["rentalCount"] == 1
    })
    .await;
    for (composed, decomposed) in addresses(0).into_iter().zip(addresses(1)) {
        assert_ne!(composed, decomposed);
        let (one, other) = (server.get(&composed).await.expect(200), server.get(&decomposed).await.expect(200));
        assert_eq!(one.json, other.json, "{}", other.story());
    }
    for spelling in CUSTOMERS {
        let page = server.get(&path("/v1/customers/{}/page", spelling)).await.expect(200);
        let mut events = Events::open(&server, spelling, Some(&page.text_at("/lastEventId"))).await;
        server.post(&path("/v1/cars/{}/blocks", composed), &block(10)).await;
        let next = booking(decomposed, spelling, &in_days(20), &in_days(21));
        let next = server.post("/v1/reservations", &next).await.expect(201);
        assert_eq!(events.take(1, SOON).await[0].data["reservationNo"], next.json["reservationNo"]);
        server.post_empty(&path("/v1/reservations/{}/cancellation", &next.text_at("/reservationNo"))).await.expect(200);
    }
}

fn block(from_day: i64) -> Value {
    json!({"from": in_days(from_day), "to": in_days(from_day + 1), "reason": "brakes"})
}

#[tokio::test]
async fn one_plate_is_one_car_that_is_registered_booked_blocked_and_retired_once() {
    let server = TestServer::start().await;
    let [composed, decomposed] = CARS;
    server.post("/v1/cars", &car(composed)).await.expect(201);
    for spelling in [decomposed, composed] {
        server.post("/v1/cars", &car(spelling)).await.refused(409, "car_already_registered");
    }
    let first = server.post("/v1/reservations", &booking(composed, "kim", &in_days(1), &in_days(2))).await.expect(201);
    let second = booking(decomposed, "lee", &in_days(1), &in_days(2));
    server.post("/v1/reservations", &second).await.refused(409, "car_not_available");
    assert_eq!(first.json["carNo"], composed);
    let address = path("/v1/cars/{}", decomposed);
    // The tag tells the status too, and the ledger learns of a booking a moment after the customer.
    server.car_becomes(decomposed, "RENTED").await;
    let seen = server.get(&address).await.expect(200);
    let amended = server.patch(&address, seen.header("etag"), &json!({"model": "Kona"})).await.expect(200);
    assert_eq!((&amended.json["carNo"], &amended.json["model"]), (&json!(composed), &json!("Kona")));
    let blocked = server.post(&path("/v1/cars/{}/blocks", decomposed), &block(5)).await.expect(201);
    let block_no = blocked.text_at("/blockNo");
    server.post(&path("/v1/cars/{}/blocks", composed), &block(5)).await.refused(409, "car_not_available");
    server.delete(&path(&path("/v1/cars/{}/blocks/%s", decomposed).replace("%s", "{}"), &block_no)).await.expect(204);
    server.delete(&address).await.refused(409, "car_has_live_bookings");
    server.post_empty(&path("/v1/reservations/{}/cancellation", &first.text_at("/reservationNo"))).await.expect(200);
    eventually("the car can be retired", SOON, async || server.delete(&address).await.status == 204).await;
    assert_eq!(server.get(&path("/v1/cars/{}", composed)).await.expect(200).json["status"], "RETIRED");
    assert_eq!(server.all("/v1/fleet/ledger").await.len(), 1);
}

#[tokio::test]
async fn one_reservation_is_held_paid_picked_up_and_returned_under_any_spelling() {
    let server = TestServer::start().await;
    let [composed, decomposed] = RESERVATIONS;
    server.post("/v1/cars", &car(CARS[0])).await.expect(201);
    let wanted = |car_no, customer_no, number: &str| {
        with(hold(car_no, customer_no, &in_days(1), &in_days(2)), "reservationNo", number)
    };
    server.post("/v1/reservations", &wanted(CARS[1], CUSTOMERS[0], decomposed)).await.expect(202);
    // The same again, all of it in the other spelling.
    let again = server.post("/v1/reservations", &wanted(CARS[0], CUSTOMERS[1], composed)).await.expect(202);
    assert_eq!(again.json["reservationNo"], composed);
    let other = with(hold(CARS[0], "lee", &in_days(5), &in_days(6)), "reservationNo", decomposed);
    server.post("/v1/reservations", &other).await.refused(409, "reservation_no_taken");
    server.get(&path("/v1/reservations/{}/cancellation", decomposed)).await.expect(200);
    server.post(&path("/v1/reservations/{}/payment", decomposed), &means()).await.expect(200);
    let rental = |step: &str| path(&format!("/v1/rentals/{{}}/{step}"), &format!("rent-{decomposed}"));
    assert_eq!(server.post_empty(&rental("pickup")).await.expect(200).json["rentalNo"], format!("rent-{composed}"));
    server.post_empty(&rental("return")).await.expect(200);
    server.reservation_becomes(composed, "COMPLETED").await;
    assert_eq!(server.all(&path("/v1/reservations?customerNo={}", CUSTOMERS[1])).await.len(), 1);
    let cancelled = wanted(CARS[0], CUSTOMERS[1], "r-2");
    server.post("/v1/reservations", &with(cancelled, "reservationNo", "\u{1112}\u{1161}")).await.expect(202);
    let cancelled = server.post_empty(&path("/v1/reservations/{}/cancellation", "\u{d558}")).await.expect(200);
    assert_eq!(cancelled.json["status"], "CANCELLED");
}

#[tokio::test]
async fn a_customer_is_registered_and_erased_once() {
    let server = TestServer::start().await;
    let [composed, decomposed] = CUSTOMERS;
    server.post("/v1/customers", &customer(decomposed)).await.expect(201);
    server.post("/v1/customers", &customer(composed)).await.refused(409, "customer_already_registered");
    server.post("/v1/customers", &customer("anonymous")).await.refused(400, "invalid_member");
    server.delete(&path("/v1/customers/{}", decomposed)).await.expect(204);
    server.get(&path("/v1/customers/{}", composed)).await.refused(410, "customer_erased");
}

#[tokio::test]
async fn a_list_goes_on_after_a_number_in_any_spelling() {
    let server = TestServer::start().await;
    for number in ["99\u{ac00}", CARS[0], "99\u{d788}"] {
        server.post("/v1/cars", &car(number)).await.expect(201);
    }
    eventually("three cars are listed", SOON, async || server.all("/v1/cars").await.len() == 3).await;
    let search = format!("/v1/availability?from={}&to={}&cursor={{}}", in_days(1), in_days(2));
    for list in ["/v1/cars?cursor={}", "/v1/fleet/ledger?cursor={}", &search] {
        for spelling in CARS {
            let rest = server.get(&path(list, spelling)).await.expect(200);
            let numbers: Vec<_> = rest.items().iter().map(|item| item["carNo"].as_str().unwrap()).collect();
            assert_eq!(numbers, ["99\u{d788}"], "{}", rest.story());
        }
        server.get(&path(list, "a\u{3164}")).await.refused(400, "invalid_query");
    }
}

#[tokio::test]
async fn a_branch_and_a_class_are_found_in_any_spelling() {
    let server = TestServer::start().await;
    let (branches, classes) = (["\u{ac15}", "\u{1100}\u{1161}\u{11bc}"], ["\u{c18c}", "\u{1109}\u{1169}"]);
    for spelling in 0..2 {
        let body = with(car(&format!("car-{spelling}")), "branch", branches[spelling]);
        server.post("/v1/cars", &with(body, "carClass", classes[spelling])).await.expect(201);
    }
    let search = format!("/v1/availability?from={}&to={}", in_days(1), in_days(2));
    for spelling in 0..2 {
        let (branch, class) = (path("&branch={}", branches[spelling]), path("&carClass={}", classes[spelling]));
        for asked in [branch.clone(), class.clone(), format!("{branch}{class}")] {
            let found = format!("both cars are found with {asked}");
            eventually(&found, SOON, async || server.all(&format!("{search}{asked}")).await.len() == 2).await;
        }
    }
}

#[tokio::test]
async fn the_old_surface_knows_one_number_in_all_its_spellings() {
    let server = TestServer::start().await;
    let registered = |car_no: &str| json!({"carNo": car_no, "rentalAmt": "10000"});
    let [composed, decomposed] = CARS;
    server.post("/carManagements", &registered(decomposed)).await.expect(201);
    let again = server.post("/carManagements", &registered(composed)).await.expect(201);
    assert_eq!((&again.json["carNo"], again.header("location")), (&json!(composed), "/carManagements/99%ED%95%981234"));
    eventually("one car is listed", SOON, async || {
        server.get("/carManagements").await.json["page"]["totalElements"] == 1
    })
    .await;
    let reserve = |spelling: usize, rental: &str| {
        json!({"resrvNo": RESERVATIONS[spelling], "carNo": CARS[spelling], "custNo": CUSTOMERS[spelling],
            "rentalDt": rental, "returnDt": rental})
    };
    let first = server.post("/carReservations", &reserve(1, "20200806")).await.expect(201);
    assert_eq!((&first.json["resrvNo"], &first.json["custNo"]), (&json!(RESERVATIONS[0]), &json!(CUSTOMERS[0])));
    let again = server.post("/carReservations", &reserve(0, "20200806")).await.expect(201);
    assert_eq!(again.json["id"], first.json["id"]);
    server.post("/carReservations", &reserve(0, "20200807")).await.refused(409, "reservation_no_taken");
    let named = json!({"paymtNo": format!("pay-{}", RESERVATIONS[1]), "procStatus": "PAID"});
    assert_eq!(server.post("/payments", &named).await.expect(201).json["id"], first.json["id"]);
    let cancel = json!({"resrvNo": RESERVATIONS[1], "procStatus": "RESERVATION_CANCELED"});
    assert_eq!(server.post("/carReservations", &cancel).await.expect(201).json["id"], first.json["id"]);
    // A label that is free again, in the other spelling.
    let again = server.post("/carReservations", &reserve(1, "20200806")).await.expect(201);
    assert_eq!((&again.json["resrvNo"], &again.json["id"]), (&json!(RESERVATIONS[0]), &json!(2)));
}

fn refused(answer: &Answer) {
    assert_eq!(answer.status, 400, "{}", answer.story());
    assert!(answer.text.contains("invisible"), "the cause is told: {}", answer.story());
}

#[tokio::test]
async fn what_nobody_can_see_is_no_part_of_a_number() {
    let server = TestServer::start().await;
    let car_no = server.register_car().await;
    for invisible in INVISIBLE {
        let bad = format!("a{invisible}1");
        let booked = booking(&car_no, "kim", &in_days(1), &in_days(2));
        let on_the_old = json!({"carNo": car_no, "rentalDt": "20200806", "returnDt": "20200807"});
        for (address, body) in [
            ("/v1/cars", car(&bad)),
            ("/v1/customers", customer(&bad)),
            ("/v1/reservations", with(booked.clone(), "carNo", bad.clone())),
            ("/v1/reservations", with(booked.clone(), "customerNo", bad.clone())),
            ("/v1/reservations", with(booked, "reservationNo", bad.clone())),
            ("/carManagements", json!({"carNo": bad, "rentalAmt": 1})),
            ("/carReservations", with(on_the_old.clone(), "carNo", bad.clone())),
            ("/carReservations", with(on_the_old.clone(), "custNo", bad.clone())),
            ("/carReservations", with(on_the_old, "resrvNo", bad.clone())),
        ] {
            refused(&server.post(address, &body).await);
        }
        for address in [
            "/v1/cars/{}",
            "/v1/customers/{}",
            "/v1/customers/{}/page",
            "/v1/customers/{}/events",
            "/v1/reservations/{}",
            "/v1/reservations?customerNo={}",
            "/v1/payments/{}",
            "/v1/rentals/{}",
            "/carManagements/{}",
            "/carInformations/{}",
        ] {
            refused(&server.get(&path(address, &bad)).await);
        }
        server.get(&path("/carReservations/{}", &bad)).await.expect(404);
        refused(&server.delete(&path("/v1/cars/{}", &bad)).await);
        refused(&server.post_empty(&path("/v1/rentals/{}/pickup", &bad)).await);
    }
    assert_eq!(server.all("/v1/fleet/ledger").await.len(), 1, "nothing has changed");
}

#[tokio::test]
async fn a_text_of_which_nothing_can_be_seen_is_none() {
    let server = TestServer::start().await;
    let car_no = server.register_car().await;
    let etag = server.get(&path("/v1/cars/{}", &car_no)).await.header("etag").to_owned();
    let nothings = INVISIBLE.map(|c| format!("{c} {c}")).into_iter().chain(["\u{2800}".to_owned()]);
    for nothing in nothings {
        for member in ["model", "carClass", "branch"] {
            let body = with(car(&unique("car")), member, nothing.clone());
            server.post("/v1/cars", &body).await.refused(400, "invalid_member");
            let change = json!({member: nothing});
            server.patch(&path("/v1/cars/{}", &car_no), &etag, &change).await.refused(400, "invalid_member");
        }
        for member in ["name", "phone", "email", "licenceNo"] {
            let body = with(customer(&unique("cust")), member, nothing.clone());
            server.post("/v1/customers", &body).await.refused(400, "invalid_member");
        }
        let block = with(block(5), "reason", nothing.clone());
        server.post(&path("/v1/cars/{}/blocks", &car_no), &block).await.refused(400, "invalid_member");
    }
    // What joins or turns visible characters stays.
    let named = with(customer(&unique("cust")), "name", "\u{200f}\u{5d3}\u{5df} \u{1f468}\u{200d}\u{1f469}");
    assert_eq!(server.post("/v1/customers", &named).await.expect(201).json["name"], named["name"]);
}

/// Lets an older version, which took numbers to the letter, do something with the store of a stopped server.
async fn as_before(data: &Path, story: impl AsyncFnOnce(&Service)) {
    let shards = schema::shards(16);
    let journal = Arc::new(SledJournal::open(data, &SledSettings::new(&shards)).unwrap());
    let foundation = Ports {
        journal: journal.clone(),
        views: Arc::new(journal.views().unwrap()),
        clock: Arc::new(SystemClock::default()),
        provider: Arc::new(Sandbox::new()),
    };
    let settings = AppSettings {
        accounts: None,
        service: ServiceSettings {
            terms: Terms::default(),
            request_timeout: SOON,
            payment_wait: SOON,
            view_freshness_wait: SOON,
            read_queue_wait: SOON,
            unpaid_holds_max: 0,
            customer_unpaid_holds_max: 0,
        },
        bulkhead: BulkheadSettings::default(),
        provider_timeout: SOON,
        retry_deferred: true,
        unsettled: UnsettledSettings::default(),
        limits: ContextLimits::default(),
    };
    let app = App::start(foundation, settings).await.unwrap();
    story(&app.service).await;
    assert!(app.shutdown(SOON).await);
    drop(app);
    journal.close().await.unwrap();
    let release = journal.release();
    eventually("the store is let go of", SOON, async || release.is_done()).await;
}

async fn register(service: &Service, car_no: &str, model: &str) {
    let daily_rate = Money::new(10_000, Currency::KRW).unwrap();
    let (car_class, branch) = (String::new(), String::new());
    let particulars = CarData { model: model.to_owned(), car_class, branch, daily_rate, registered_on: 0 };
    service.register_car(&Caller::system(), CarNo::stored(car_no).unwrap(), particulars).await.unwrap();
}

async fn reserve(service: &Service, number: &str, car_no: &str, customer_no: &str, day: i64) {
    let from = service.now().saturating_add_millis(day * DAY_MS);
    let request = ReserveRequest {
        reservation_no: Some(ReservationNo::stored(number).unwrap()),
        car_no: CarNo::stored(car_no).unwrap(),
        customer_no: CustomerNo::stored(customer_no).unwrap(),
        period: Period::new(from, from.saturating_add_millis(DAY_MS)).unwrap(),
        means: Some(PaymentMeans { method: "card".into(), token: "tok".into() }),
        day_counting: DayCounting::Hours,
    };
    service.reserve(&Caller::system(), request).await.unwrap();
}

/// A server whose store was kept by an older version.
async fn kept_before(story: impl AsyncFnOnce(&Service)) -> TestServer {
    let mut server = TestServer::start().await;
    server.terminate().await;
    as_before(&server.data(), story).await;
    server.restart().await;
    server
}

const FILLED: &str = "77\u{3164}1";

#[tokio::test]
async fn what_an_older_version_kept_under_another_spelling_is_still_found_and_not_made_twice() {
    let mut server = kept_before(async |service| {
        register(service, CARS[1], "Avante").await;
        register(service, FILLED, "Kona").await;
        let data = PersonalData {
            name: "Kim Minji".to_owned(),
            phone: "010".to_owned(),
            email: "minji@example.com".to_owned(),
            licence_no: None,
            licence_consent_at: None,
        };
        service
            .register_customer(&Caller::system(), Some(CustomerNo::stored(CUSTOMERS[1]).unwrap()), data)
            .await
            .unwrap();
        reserve(service, RESERVATIONS[1], CARS[1], CUSTOMERS[1], 1).await;
    })
    .await;
    server.my_page_shows(CUSTOMERS[1], RESERVATIONS[1], &["reservation.confirmed", "rental.rented"]).await;
    // Under every spelling, and as it was kept.
    for (composed, decomposed) in addresses(0).into_iter().zip(addresses(1)) {
        let (one, other) = (server.get(&composed).await.expect(200), server.get(&decomposed).await.expect(200));
        assert_eq!(one.json, other.json, "{}", other.story());
    }
    assert_eq!(server.get(&path("/v1/cars/{}", CARS[0])).await.expect(200).json["carNo"], CARS[1]);
    for spelling in 0..2 {
        server.post("/v1/cars", &car(CARS[spelling])).await.refused(409, "car_already_registered");
        let taken = server.post("/v1/customers", &customer(CUSTOMERS[spelling])).await;
        taken.refused(409, "customer_already_registered");
        let taken = booking(CARS[spelling], "lee", &in_days(1), &in_days(2));
        server.post("/v1/reservations", &taken).await.refused(409, "car_not_available");
        let other = booking(CARS[spelling], "lee", &in_days(9), &in_days(10));
        let other = with(other, "reservationNo", RESERVATIONS[spelling]);
        server.post("/v1/reservations", &other).await.refused(409, "reservation_no_taken");
        let from = 20 + i64::try_from(spelling).unwrap();
        let body = booking(CARS[spelling], CUSTOMERS[spelling], &in_days(from), &in_days(from + 1));
        let booked = server.post("/v1/reservations", &body).await.expect(201);
        assert_eq!((&booked.json["carNo"], &booked.json["customerNo"]), (&json!(CARS[1]), &json!(CUSTOMERS[1])));
    }
    let updated = json!({"carNo": CARS[0], "rentalAmt": 20_000});
    assert_eq!(server.post("/carManagements", &updated).await.expect(201).json["carNo"], CARS[1]);
    server.post_empty(&path("/v1/rentals/{}/pickup", &format!("rent-{}", RESERVATIONS[1]))).await.expect(200);
    server.post_empty(&path("/v1/rentals/{}/return", &format!("rent-{}", RESERVATIONS[0]))).await.expect(200);
    // A number with something invisible in it leads to what it was given to, and is given to nothing else.
    assert_eq!(server.get(&path("/v1/cars/{}", FILLED)).await.expect(200).json["model"], "Kona");
    server.post("/v1/cars", &car(FILLED)).await.refused(409, "car_already_registered");
    server.delete(&path("/v1/cars/{}", FILLED)).await.expect(204);
    assert_eq!(server.all("/v1/fleet/ledger?limit=1").await.len(), 2, "every page begins after the one before");
    let notes = notes(&mut server).await;
    assert_eq!(notes, [r"invisible_characters: 77ㅤ1: car 77\u{3164}1 has an invisible character"]);
}

/// What `verify` notes of the spellings in the store of a clean server, which it stops.
async fn notes(server: &mut TestServer) -> Vec<String> {
    // What follows from the last request is done before.
    tokio::time::timeout(SOON, async {
        loop {
            server.terminate().await;
            let (status, output, log) = server.run(&["verify"]).await;
            let output = String::from_utf8(output).unwrap();
            assert!(status.success(), "{output}{log}");
            let notes: Vec<_> = output.lines().filter_map(|line| line.strip_prefix("note: ")).collect();
            if !notes.iter().any(|note| note.starts_with("subscription_lags") || note.starts_with("not_done_yet")) {
                return notes.into_iter().map(str::to_owned).collect();
            }
            server.restart().await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn two_cars_that_an_older_version_took_for_one_plate_stay_two_and_are_noted() {
    let mut server = kept_before(async |service| {
        register(service, CARS[0], "Avante").await;
        register(service, CARS[1], "Kona").await;
        reserve(service, "r-0", CARS[0], CUSTOMERS[0], 1).await;
        reserve(service, "r-1", CARS[1], CUSTOMERS[1], 1).await;
        reserve(service, "r-2", CARS[1], CUSTOMERS[1], 3).await;
    })
    .await;
    // Every link that the service gives leads to what it was given for.
    for (spelling, model) in [(0, "Avante"), (1, "Kona")] {
        let car = server.get(&path("/v1/cars/{}", CARS[spelling])).await.expect(200);
        assert_eq!((&car.json["carNo"], &car.json["model"]), (&json!(CARS[spelling]), &json!(model)));
        server.post("/v1/cars", &common::car(CARS[spelling])).await.refused(409, "car_already_registered");
        let number = format!("r-{spelling}");
        server.my_page_shows(CUSTOMERS[spelling], &number, &["reservation.confirmed"]).await;
        assert!(server.my_page_kinds(CUSTOMERS[1 - spelling], &number).await.is_empty());
    }
    let listed = server.all("/v1/cars?limit=1").await;
    assert_eq!(listed.iter().map(|car| &car["carNo"]).collect::<Vec<_>>(), [CARS[1], CARS[0]]);
    let notes = notes(&mut server).await;
    let of = |what: &str| notes.iter().filter(|note| note.contains(what)).cloned().collect::<Vec<_>>();
    let cars = of(": car ");
    assert_eq!(cars.len(), 1, "{notes:?}");
    assert!(cars[0].starts_with("number_in_two_spellings: "), "{notes:?}");
    assert!(cars[0].contains(r"99\u{d558}1234") && cars[0].contains(r"99\u{1112}\u{1161}1234"), "{notes:?}");
    assert_eq!((of(": customer ").len(), notes.len()), (1, 2), "{notes:?}");
}
