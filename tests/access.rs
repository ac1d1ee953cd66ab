//! Who may do what: every caller at every route, tokens and keys that are not valid, and what customers may not do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;
mod service_support;

use common::client::{Answer, Api, Extra};
use common::process::rentcar;
use common::sse::Events;
use common::{Options, SOON, TestServer, booking, customer, eventually, hold, in_days, means, path, unique};
use rentcar::domain::reservation::Terms;
use rentcar::http::{HttpSettings, HttpState, routes, table};
use rentcar::kit::access::api_keys::KeyLine;
use rentcar::kit::access::keys::TokenSettings;
use rentcar::kit::access::tokens::{Audience, Claims, Signer};
use rentcar::kit::access::{Authenticator, Scopes};
use rentcar::kit::admission::Admission;
use rentcar::kit::route::{Access, BodyRule, Route};
use rentcar::kit::server::{ServerLimits, listen, serve};
use rentcar::store::memory::MemoryJournal;
use rentcar::store::schema;
use reqwest::Method;
use serde_json::{Value, json};
use service_support::World;
use service_support::recording::RecordingJournal;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;

const ISSUER: &str = "acme";
/// How much longer a token is taken than it says.
const LEEWAY: Duration = Duration::from_secs(30);

/// A service that is not open, and whoever calls it.
struct Company {
    server: TestServer,
    directory: tempfile::TempDir,
}

impl Company {
    async fn start() -> Company {
        Company::with(Options::with_faults()).await
    }

    async fn with(options: Options) -> Company {
        let directory = tempfile::tempdir().unwrap();
        let (keys, api_keys) = (directory.path().join("keys"), directory.path().join("api-keys"));
        fs::create_dir(&keys).unwrap();
        fs::write(keys.join("main.secret"), unique("a secret of at least thirty-two bytes")).unwrap();
        fs::write(&api_keys, "").unwrap();
        let options = options
            .setting("ACCESS__TOKEN_KEYS", keys.to_str().unwrap())
            .setting("ACCESS__TOKEN_ISSUER", ISSUER)
            .setting("ACCESS__API_KEYS", api_keys.to_str().unwrap());
        Company { server: TestServer::with(options).await, directory }
    }

    fn api_keys(&self) -> PathBuf {
        self.directory.path().join("api-keys")
    }

    fn token(&self, claims: Claims) -> String {
        signed(&self.directory.path().join("keys/main.secret"), claims)
    }

    fn caller(&self, claims: Claims) -> Api {
        self.server.with_token(&self.token(claims))
    }

    fn customer(&self, customer_no: &str) -> Api {
        self.caller(Claims { sub: format!("user of {customer_no}"), ..about(customer_no) })
    }

    fn staff(&self) -> Api {
        self.caller(Claims { sub: "minji".into(), roles: vec!["staff".into()], ..Claims::default() })
    }

    fn operator(&self) -> Api {
        self.caller(Claims { sub: "jisoo".into(), roles: vec!["operator".into()], ..Claims::default() })
    }

    fn machine(&self, scope: &str) -> Api {
        self.caller(Claims { sub: "program".into(), scope: Some(scope.into()), ..Claims::default() })
    }

    /// A car, and a customer who is registered.
    async fn car_and_customer(&self) -> (String, String, Api) {
        let (car_no, customer_no) = (unique("car"), unique("kim"));
        self.staff().post("/v1/cars", &common::car(&car_no)).await.expect(201);
        let kim = self.customer(&customer_no);
        kim.post("/v1/customers", &customer(&customer_no)).await.expect(201);
        (car_no, customer_no, kim)
    }
}

fn signed(key: &Path, claims: Claims) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let exp = if claims.exp == 0 { now + 600 } else { claims.exp };
    let (iss, aud) = (Some(ISSUER.to_owned()), Some(Audience::One("rentcar".to_owned())));
    Signer::load(key).unwrap().sign(&Claims { iss, aud, exp, ..claims }).unwrap()
}

fn about(customer_no: &str) -> Claims {
    Claims { customer_no: Some(customer_no.to_owned()), ..Claims::default() }
}

/// What a call needs to be understood, about a booking of `customer_no`.
fn body(name: &str, things: &Things) -> Option<Value> {
    let Things { car: car_no, customer: customer_no, reservation: reservation_no } = things;
    let legacy = |status: &str| json!({ "resrvNo": reservation_no, "procStatus": status });
    match name {
        "reserve" => Some(hold(car_no, customer_no, &in_days(90), &in_days(91))),
        "payReservation" => Some(means()),
        "changeReservation" => Some(json!({ "to": in_days(40) })),
        "registerCustomer" => Some(customer(customer_no)),
        "legacyReserveOrCancel" => Some(legacy("RESERVATION_CANCELED")),
        "legacyPayOrCancel" => Some(legacy("PAYMENT_CANCELED")),
        "cancelReservation" | "pickUpCar" | "returnCar" => Some(json!({})),
        "registerCar"
        | "amendCar"
        | "blockCar"
        | "legacyPutCar"
        | "changeProviderSettings"
        | "forceBreaker"
        | "injectFault" => Some(json!({ "nothing": "that is known" })),
        _ => None,
    }
}

struct Things {
    car: String,
    customer: String,
    reservation: String,
}

/// Calls a route about these things.
async fn call(api: &Api, route: &Route, things: &Things) -> Answer {
    let number = &things.reservation;
    let segments = [
        ("{carNo}", things.car.clone()),
        ("{customerNo}", things.customer.clone()),
        ("{reservationNo}", number.clone()),
        ("{paymentNo}", format!("pay-{number}")),
        ("{rentalNo}", format!("rent-{number}")),
        ("{blockNo}", "block-1".to_owned()),
        ("{key}", number.clone()),
    ];
    let escaped = |number: &str| path("{}", number);
    let template = route.template.to_owned();
    let mut target = segments.iter().fold(template, |target, (name, value)| target.replace(name, &escaped(value)));
    match route.name {
        "listReservations" => target = format!("{target}?customerNo={}", escaped(&things.customer)),
        "findAvailableCars" => target = format!("{target}?from={}&to={}", in_days(1), in_days(2)),
        _ => {}
    }
    if route.body == BodyRule::Form {
        return api.post_form(&target, &[], &form(route.name, things)).await;
    }
    let headers = [("If-Match", "\"r9999\""), ("Accept", "text/html")];
    let headers = if route.is_page { &headers[..] } else { &headers[..1] };
    let extra = Extra { headers, raw: None };
    api.send(route.method.clone(), &target, body(route.name, things).as_ref(), extra).await
}

/// What the form of a page has, about a booking of `customer_no`.
fn form(name: &str, things: &Things) -> String {
    match name {
        "book" => {
            let (from, to) = (in_days(90), in_days(91));
            path("carNo={}", &things.car) + &path("&from={}", &from) + &path("&to={}", &to) + "&pay=later"
        }
        "chooseLanguage" => "language=ko".to_owned(),
        "payByForm" => "cardToken=tok-visa".to_owned(),
        _ => String::new(),
    }
}

/// Whether an answer that is no refusal has no end.
fn streams(route: &Route) -> bool {
    ["followEvents", "customerChanges", "allChanges"].contains(&route.name)
}

/// Whether it is a page of something that has a number.
fn shows_a_thing(route: &Route) -> bool {
    !route.is_page || route.template.contains('{')
}

#[tokio::test]
async fn every_caller_may_call_what_the_table_says_and_nothing_else() {
    let company = Company::start().await;
    let (car_no, customer_no, kim) = company.car_and_customer().await;
    let reserved = kim.post("/v1/reservations", &booking(&car_no, &customer_no, &in_days(30), &in_days(31))).await;
    let things =
        Things { car: car_no, customer: customer_no, reservation: reserved.expect(201).text_at("/reservationNo") };
    let lee = company.customer(&unique("lee"));
    let callers = [
        ("nobody", company.server.api(), &[Access::Public, Access::Visitor][..]),
        ("another customer", lee, &[Access::Public, Access::Visitor, Access::Owner]),
        (
            "staff",
            company.staff(),
            &[Access::Public, Access::Visitor, Access::Owner, Access::AllBookings, Access::Admin],
        ),
        ("operator", company.operator(), &[Access::Public, Access::Visitor, Access::Ops, Access::Monitoring]),
        (
            "bookings",
            company.machine("bookings"),
            &[Access::Public, Access::Visitor, Access::Owner, Access::AllBookings],
        ),
        ("fleet", company.machine("fleet"), &[Access::Public, Access::Visitor, Access::Admin]),
        (
            "operations",
            company.machine("operations"),
            &[Access::Public, Access::Visitor, Access::Ops, Access::Monitoring],
        ),
        ("metrics", company.machine("metrics"), &[Access::Public, Access::Visitor, Access::Monitoring]),
    ];
    // What erases or cancels comes last, so that everything is there until then.
    let mut routes: Vec<_> = table().into_iter().map(|operation| operation.route).collect();
    routes.sort_by_key(|route| {
        ["legacyReserveOrCancel", "legacyPayOrCancel", "cancelReservation", "cancelByForm", "eraseCustomer"]
            .contains(&route.name)
    });
    for route in routes {
        for (who, api, may) in &callers {
            if streams(route) && may.contains(&route.access) {
                continue;
            }
            let answer = call(api, route, &things).await;
            let story = format!("{who} at {}: {}", route.name, answer.story());
            let code = answer.code();
            if may.contains(&route.access) {
                assert!(!["unauthenticated", "invalid_credentials", "forbidden"].contains(&code), "{story}");
            } else if *who == "nobody" {
                assert_eq!((answer.status, code), (401, "unauthenticated"), "{story}");
                assert_eq!(answer.header("www-authenticate"), "Bearer", "{story}");
            } else {
                assert_eq!((answer.status, code), (403, "forbidden"), "{story}");
            }
            assert!(answer.status < 500 || route.name == "reconcilePayments", "{story}");
        }
    }
}

#[tokio::test]
async fn what_belongs_to_another_customer_is_as_if_it_were_not_there() {
    let company = Company::start().await;
    let (car_no, customer_no, kim) = company.car_and_customer().await;
    let reserved = kim.post("/v1/reservations", &booking(&car_no, &customer_no, &in_days(30), &in_days(31))).await;
    let reservation_no = reserved.expect(201).text_at("/reservationNo");
    let (_, lee_no, lee) = company.car_and_customer().await;
    let missing = Things { car: car_no.clone(), customer: unique("nobody"), reservation: unique("none") };
    let foreign = Things { car: car_no, customer: customer_no, reservation: reservation_no };
    let mut seen = 0;
    for route in table().into_iter().map(|operation| operation.route).filter(|route| shows_a_thing(route)) {
        if route.access != Access::Owner {
            continue;
        }
        let (answer, expected) = (call(&lee, route, &foreign).await, call(&lee, route, &missing).await);
        let story = format!("{}: {}", answer.story(), expected.story());
        let without_date = |answer: &Answer| {
            let mut headers = answer.headers.clone();
            headers.remove("date");
            headers
        };
        assert_eq!((answer.status, &answer.text), (expected.status, &expected.text), "{story}");
        assert_eq!(without_date(&answer), without_date(&expected), "{story}");
        let is_list = route.name == "listReservations";
        let names_a_customer = ["reserve", "registerCustomer"].contains(&route.name);
        match answer.status {
            200 => assert!(is_list && answer.items().is_empty(), "{story}"),
            403 => assert!(names_a_customer && answer.problem() == "customer_no_not_yours", "{story}"),
            404 => {}
            _ => panic!("{story}"),
        }
        assert!(!answer.text.contains(&foreign.reservation) && !answer.text.contains(&foreign.customer), "{story}");
        seen += 1;
    }
    assert!(seen >= 21, "only {seen} routes were looked at");
    // By every other name that a booking has in the legacy API.
    let row = company.staff().get(&path("/carReservations/{}", &foreign.reservation)).await.expect(200);
    let serial = row.text_at("/_links/self/href").rsplit('/').next().unwrap().to_owned();
    for key in [serial.clone(), format!("pay-{}", foreign.reservation), format!("rent-{}", foreign.reservation)] {
        for collection in ["carReservations", "payments", "carRentals", "myPages"] {
            let target = path(&format!("/{collection}/{{}}"), &key);
            company.staff().get(&target).await.expect(200);
            lee.get(&target).await.refused(404, "reservation_not_found");
        }
    }
    for names in [json!({ "id": serial }), json!({ "paymtNo": format!("pay-{}", foreign.reservation) })] {
        let mut cancel = names.clone();
        cancel["procStatus"] = json!("PAYMENT_CANCELED");
        lee.post("/payments", &cancel).await.refused(404, "reservation_not_found");
    }
    // What everybody may read says nothing of it.
    for target in ["/v1/cars".to_owned(), path("/v1/cars/{}", &foreign.car), path("/carManagements/{}", &foreign.car)] {
        let answer = company.server.get(&target).await.expect(200);
        assert!(!answer.text.contains(&foreign.reservation), "{}", answer.story());
    }
    // Nothing has changed, and its owner sees all of it.
    let still = kim.get(&path("/v1/reservations/{}", &foreign.reservation)).await.expect(200);
    assert_eq!(still.text_at("/status"), "CONFIRMED");
    for route in ["/v1/customers/{}", "/v1/customers/{}/page"] {
        kim.get(&path(route, &foreign.customer)).await.expect(200);
        company.staff().get(&path(route, &foreign.customer)).await.expect(200);
    }
    // Of an erased customer only the owner and staff hear so.
    lee.delete(&path("/v1/customers/{}", &lee_no)).await.expect(204);
    lee.get(&path("/v1/customers/{}", &lee_no)).await.refused(410, "customer_erased");
    company.staff().get(&path("/v1/customers/{}", &lee_no)).await.refused(410, "customer_erased");
    kim.get(&path("/v1/customers/{}", &lee_no)).await.refused(404, "customer_not_found");
}

/// The service in memory, with a directory of keys, over a journal that remembers what is read.
struct RecordedService {
    journal: Arc<RecordingJournal>,
    url: String,
    keys: tempfile::TempDir,
    _world: World,
}

impl RecordedService {
    async fn start() -> RecordedService {
        let shards: Vec<_> = schema::ALL.into_iter().map(|context| (context, 4)).collect();
        let memory = MemoryJournal::new(&shards);
        let journal = Arc::new(RecordingJournal::over(Arc::clone(&memory)));
        let world = World::over(memory, Arc::clone(&journal) as _, Terms::default()).await;
        let keys = tempfile::tempdir().unwrap();
        fs::write(keys.path().join("main.secret"), unique("a secret of at least thirty-two bytes")).unwrap();
        let tokens = TokenSettings {
            issuer: ISSUER.into(),
            audience: "rentcar".into(),
            keys: Some(keys.path().to_owned()),
            jwks: None,
        };
        let authenticator = Arc::new(Authenticator::load(Some(tokens), None).unwrap());
        let admission = Arc::new(Admission::new(authenticator, None));
        let (service, stop) = (Arc::clone(&world.app.service), CancellationToken::new());
        let http = HttpState::new(service, HttpSettings::default(), stop.clone(), None, admission);
        http.set_ready(true);
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(serve(listener, warp::service(routes(&http, None)), ServerLimits::default(), stop));
        RecordedService { journal, url, keys, _world: world }
    }

    fn caller(&self, claims: Claims) -> Api {
        Api::at(&self.url).with_token(&signed(&self.keys.path().join("main.secret"), claims))
    }

    /// What is read to answer a call about these things.
    async fn reads_of(&self, caller: &Api, route: &Route, things: &Things) -> (Answer, Vec<&'static str>) {
        self.journal.take_reads();
        let answer = call(caller, route, things).await;
        (answer, self.journal.take_reads())
    }
}

/// How long an answer takes follows from what is read for it, so that must not depend on whether a thing is there.
#[tokio::test]
async fn what_belongs_to_another_customer_is_read_as_what_is_not_there() {
    let service = RecordedService::start().await;
    let staff = service.caller(Claims { sub: "minji".into(), roles: vec!["staff".into()], ..Claims::default() });
    let lee = service.caller(Claims { sub: "lee".into(), ..about("lee") });
    let cars = [unique("car"), unique("car")];
    for car_no in &cars {
        staff.post("/v1/cars", &common::car(car_no)).await.expect(201);
    }
    staff.post("/v1/customers", &customer("k\u{e9}vin")).await.expect(201);
    // Under a label with two spellings, and moved to another car since.
    let mut wish = booking(&cars[0], "k\u{e9}vin", &in_days(90), &in_days(91));
    wish["reservationNo"] = json!("r\u{e9}servation");
    staff.post("/v1/reservations", &wish).await.expect(201);
    let moved = path("/v1/reservations/{}/change", "r\u{e9}servation");
    staff.post(&moved, &json!({ "carNo": cars[1] })).await.expect(200);
    let row = staff.get(&path("/carReservations/{}", "r\u{e9}servation")).await.expect(200);
    let serial = row.text_at("/_links/self/href").rsplit('/').next().unwrap().to_owned();
    eventually("the policies have followed", SOON, async || {
        staff.get(&path("/v1/cars/{}", &cars[1])).await.expect(200).text_at("/status") == "RENTED"
            && staff.get(&path("/v1/cars/{}", &cars[0])).await.expect(200).text_at("/status") == "AVAILABLE"
    })
    .await;
    let names = |customer: &str, reservation: &str| Things {
        car: cars[0].clone(),
        customer: customer.to_owned(),
        reservation: reservation.to_owned(),
    };
    let pairs = [
        (names("k\u{e9}vin", "r\u{e9}servation"), names("k\u{e8}vin", "r\u{e8}servation")),
        (names("ke\u{301}vin", "re\u{301}servation"), names("ke\u{300}vin", "re\u{300}servation")),
        (names("k\u{e9}vin", &serial), names("k\u{e8}vin", "999999999")),
    ];
    let mut reads_seen = 0;
    for route in table().into_iter().map(|operation| operation.route).filter(|route| shows_a_thing(route)) {
        if route.access != Access::Owner {
            continue;
        }
        for (foreign, missing) in &pairs {
            let (answer, reads) = service.reads_of(&lee, route, foreign).await;
            let (expected, expected_reads) = service.reads_of(&lee, route, missing).await;
            let story = format!("{}: {}", answer.story(), expected.story());
            assert_eq!((answer.status, &answer.text), (expected.status, &expected.text), "{story}");
            assert_eq!(reads, expected_reads, "{story}");
            reads_seen += reads.len();
        }
    }
    assert!(reads_seen >= 50, "only {reads_seen} reads were recorded");
}

#[tokio::test]
async fn a_customer_hears_that_something_is_not_there_no_sooner_than_after_five_milliseconds() {
    let company = Company::start().await;
    let lee = company.customer(&unique("lee"));
    for target in ["/v1/reservations/none", "/v1/customers/none/page", "/carReservations/none"] {
        let asked_at = std::time::Instant::now();
        lee.get(target).await.expect(404);
        assert!(asked_at.elapsed() >= Duration::from_millis(5), "{target} after {:?}", asked_at.elapsed());
    }
}

#[tokio::test]
async fn two_customers_with_one_key_and_body_see_nothing_of_each_other() {
    let company = Company::start().await;
    let (kim, lee) = (company.customer(&unique("kim")), company.customer(&unique("lee")));
    let (key, body) = (unique("key"), json!({ "name": "Kim Minji", "phone": "010", "email": "minji@example.com" }));
    let first = kim.post_keyed("/v1/customers", &key, &body).await.expect(201);
    let second = lee.post_keyed("/v1/customers", &key, &body).await.expect(201);
    assert_ne!(first.text_at("/customerNo"), second.text_at("/customerNo"));
    assert_eq!(second.header("idempotency-replayed"), "", "{}", second.story());
    let again = kim.post_keyed("/v1/customers", &key, &body).await.expect(201);
    assert_eq!((again.header("idempotency-replayed"), &again.json), ("true", &first.json));
    // Numbers that are made from a key are made from its caller, too.
    let car_no = unique("car");
    company.staff().post("/v1/cars", &common::car(&car_no)).await.expect(201);
    let book = |api: Api, customer_no: String| {
        let (body, key) = (
            json!({ "carNo": car_no.clone(), "customerNo": customer_no, "from": in_days(5), "to": in_days(6) }),
            key.clone(),
        );
        async move { api.post_keyed("/v1/reservations", &key, &body).await }
    };
    let held = book(kim.clone(), first.text_at("/customerNo")).await.expect(202);
    book(lee, second.text_at("/customerNo")).await.refused(409, "car_not_available");
    let machine = book(company.machine("bookings"), first.text_at("/customerNo")).await;
    machine.refused(409, "car_not_available");
    assert_eq!(
        book(kim, first.text_at("/customerNo")).await.expect(202).json["reservationNo"],
        held.json["reservationNo"]
    );
}

#[tokio::test]
async fn a_customer_books_for_themselves_registered_without_a_number_and_not_too_much() {
    let company = Company::start().await;
    let (car_no, customer_no) = (unique("car"), unique("kim"));
    let staff = company.staff();
    staff.post("/v1/cars", &common::car(&car_no)).await.expect(201);
    let kim = company.customer(&customer_no);
    let wish = |day: i64| hold(&car_no, &customer_no, &in_days(day), &in_days(day + 1));
    kim.post("/v1/reservations", &wish(10)).await.refused(403, "not_registered");
    let vouched = Claims { sub: "kim".into(), registered: true, ..about(&customer_no) };
    let vouched = company.caller(vouched).post("/v1/reservations", &wish(10)).await.expect(202);
    assert_eq!(vouched.text_at("/customerNo"), customer_no);
    kim.post("/v1/customers", &customer(&unique("another"))).await.refused(403, "customer_no_not_yours");
    kim.post("/v1/customers", &customer(&customer_no)).await.expect(201);
    let mut chosen = wish(20);
    chosen["reservationNo"] = json!(unique("mine"));
    kim.post("/v1/reservations", &chosen).await.refused(403, "reservation_no_not_allowed");
    chosen["customerNo"] = json!(unique("park"));
    staff.post("/v1/reservations", &chosen).await.expect(202);
    let foreign = hold(&car_no, &unique("lee"), &in_days(20), &in_days(21));
    kim.post("/v1/reservations", &foreign).await.refused(403, "customer_no_not_yours");
    for day in [30, 32] {
        kim.post("/v1/reservations", &wish(day)).await.expect(202);
    }
    kim.post("/v1/reservations", &wish(40)).await.refused(409, "too_many_unpaid_holds");
    staff.post("/v1/reservations", &wish(40)).await.expect(202);
}

#[tokio::test]
async fn the_old_surface_gives_a_customer_what_is_theirs() {
    let company = Company::start().await;
    let (car_no, customer_no, kim) = company.car_and_customer().await;
    let (_, _, lee) = company.car_and_customer().await;
    let wish = json!({ "carNo": car_no, "rentalDt": "20330101", "returnDt": "20330103" });
    company.server.post("/carReservations", &wish).await.refused(401, "unauthenticated");
    let mut labelled = wish.clone();
    labelled["resrvNo"] = json!(unique("label"));
    kim.post("/carReservations", &labelled).await.refused(403, "reservation_no_not_allowed");
    let made = kim.post("/carReservations", &wish).await.expect(202);
    assert_eq!(made.text_at("/custNo"), customer_no, "not anonymous: {}", made.story());
    let label = made.text_at("/resrvNo");
    // The company's means pay for nobody who brings their own.
    let pay = json!({ "resrvNo": label, "procStatus": "PAID" });
    kim.post("/payments", &pay).await.refused(403, "forbidden");
    kim.post(&path("/v1/reservations/{}/payment", &label), &means()).await.expect(200);
    assert_eq!(kim.post("/payments", &pay).await.expect(201).text_at("/procStatus"), "PAID");
    let cancel = json!({ "resrvNo": label, "procStatus": "RESERVATION_CANCELED" });
    lee.post("/carReservations", &cancel).await.refused(404, "reservation_not_found");
    lee.get(&path("/carReservations/{}", &label)).await.refused(404, "reservation_not_found");
    kim.get(&path("/carReservations/{}", &label)).await.expect(200);
    kim.get("/carReservations").await.refused(403, "forbidden");
    company.staff().get("/carReservations").await.expect(200);
    kim.post("/carReservations", &cancel).await.expect(201);
}

#[tokio::test]
async fn credentials_that_prove_nothing_are_refused_and_say_nothing() {
    let company = Company::start().await;
    let (_, customer_no, _) = company.car_and_customer().await;
    let good = company.token(Claims { sub: "kim".into(), ..about(&customer_no) });
    let target = path("/v1/customers/{}", &customer_no);
    let with = |value: String| {
        let (api, target) = (company.server.api(), target.clone());
        async move { api.send_with(Method::GET, &target, ("Authorization", &value), None).await }
    };
    with(format!("bearer {good}")).await.expect(200);
    let expired = company.token(Claims { sub: "kim".into(), exp: 1_700_000_000, ..about(&customer_no) });
    let (unknown_key, _) = KeyLine::generate("stranger", Scopes::ALL).unwrap();
    for value in [
        format!("Basic {good}"),
        format!("Bearer {good}x"),
        "Bearer".into(),
        format!("Bearer {expired}"),
        format!("Bearer {unknown_key}"),
    ] {
        let refused = with(value).await.refused(401, "invalid_credentials");
        assert_eq!(refused.header("www-authenticate"), "Bearer error=\"invalid_token\"");
    }
    let twice = [("Authorization", format!("Bearer {good}")), ("Authorization", format!("Bearer {good}"))];
    let twice: Vec<_> = twice.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let extra = Extra { headers: &twice, raw: None };
    company.server.send(Method::GET, &target, None, extra).await.refused(401, "invalid_credentials");
    // What everybody may read does not look at credentials.
    company.server.send_with(Method::GET, "/v1/cars", ("Authorization", "Bearer x"), None).await.expect(200);
    assert!(!company.server.log().contains(&good), "a token is in the log");
}

#[tokio::test]
async fn a_key_is_known_within_moments_and_taking_it_away_ends_its_streams() {
    let company = Company::start().await;
    let (car_no, customer_no, kim) = company.car_and_customer().await;
    let file = company.api_keys();
    let run = |arguments: &[&str]| {
        let output = rentcar().args(arguments).arg("--file").arg(&file).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (_, other, _) = run(&["key", "new", "other", "--scope", "bookings"]);
    let (code, key, _) = run(&["key", "new", "partner", "--scope", "bookings"]);
    assert_eq!(code, Some(0));
    let partner = company.server.with_token(key.trim());
    let page = path("/v1/customers/{}/page", &customer_no);
    eventually("the service reads its keys again", SOON, async || partner.get(&page).await.status == 200).await;
    partner.get("/v1/fleet/ledger").await.refused(403, "forbidden");
    let mut events = Events::open(&partner, &customer_no, None).await;
    kim.post("/v1/reservations", &booking(&car_no, &customer_no, &in_days(3), &in_days(4))).await.expect(201);
    assert!(events.next_within(SOON).await.is_some());
    assert_eq!(run(&["key", "list"]).1, "other bookings\npartner bookings\n");
    let mut others = Events::open(&company.server.with_token(other.trim()), &customer_no, None).await;
    let (code, _, error) = run(&["key", "new", "partner", "--scope", "fleet"]);
    assert_eq!(code, Some(1), "{error}");
    assert_eq!(run(&["key", "revoke", "partner"]).0, Some(0));
    eventually("the service reads its keys again", SOON, async || partner.get(&page).await.status == 401).await;
    tokio::time::timeout(SOON, events.until_end()).await.expect("the stream ends");
    kim.post("/v1/reservations", &booking(&car_no, &customer_no, &in_days(6), &in_days(7))).await.expect(201);
    assert!(others.next_within(SOON).await.is_some(), "the stream of another key goes on");
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains(key.trim()), "keys are kept as hashes");
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let company = Company::start().await;
    let (_, customer_no, _) = company.car_and_customer().await;
    let soon = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - LEEWAY.as_secs() + 4;
    let kim = company.caller(Claims { sub: "kim".into(), exp: soon, ..about(&customer_no) });
    let begun = std::time::Instant::now();
    let mut events = Events::open(&kim, &customer_no, None).await;
    tokio::time::timeout(SOON, events.until_end()).await.expect("the stream ends");
    assert!(begun.elapsed() > Duration::from_secs(1), "while its token is valid it goes on");
}

#[tokio::test]
async fn each_caller_has_a_rate_limit_of_their_own() {
    let limits =
        Options::default().setting("SERVER__RATE_LIMIT_PER_SECOND", "1").setting("SERVER__RATE_LIMIT_BURST", "5");
    let company = Company::with(limits).await;
    let (kim, lee) = (company.customer(&unique("kim")), company.customer(&unique("lee")));
    let mut refused = false;
    for _ in 0..30 {
        refused |= kim.get("/v1/reservations/none").await.status == 429;
    }
    assert!(refused);
    lee.get("/v1/reservations/none").await.refused(404, "reservation_not_found");
}

#[tokio::test]
async fn a_token_is_made_on_the_command_line() {
    let company = Company::start().await;
    let key = company.directory.path().join("keys/main.secret");
    let run = |arguments: &[&str]| {
        let mut command = rentcar();
        command.args(["token", "--issuer", ISSUER, "--subject", "minji", "--key"]).arg(&key).args(arguments);
        command.output().unwrap()
    };
    let staff = run(&["--role", "staff"]);
    let staff = company.server.with_token(String::from_utf8(staff.stdout).unwrap().trim());
    staff.get("/v1/fleet/ledger").await.expect(200);
    staff.get("/metrics").await.refused(403, "forbidden");
    let both = run(&["--role", "staff", "--role", "operator"]);
    let both = company.server.with_token(String::from_utf8(both.stdout).unwrap().trim());
    both.get("/metrics").await.expect(200);
    assert_eq!(run(&[]).status.code(), Some(2), "nobody is named");
    assert_eq!(run(&["--role", "staff", "--scope", "fleet"]).status.code(), Some(2));
}

#[tokio::test]
async fn a_whole_licence_number_is_in_the_copy_of_its_owner_only() {
    let company = Company::start().await;
    let (_, customer_no, kim) = company.car_and_customer().await;
    let (path, whole, masked) = (format!("/v1/customers/{customer_no}/data"), "11-22-333333-44", "**-**-****33-44");
    let licence_no = |answer: Answer| answer.expect(200).json["customer"]["licenceNo"].clone();
    assert_eq!(licence_no(kim.get(&path).await), whole);
    assert_eq!(licence_no(company.staff().get(&path).await), masked);
    assert_eq!(licence_no(company.machine("bookings").get(&path).await), masked);
    assert_eq!(kim.get(&format!("/v1/customers/{customer_no}")).await.expect(200).json["licenceNo"], masked);
    let (other, nobody) = (company.customer(&unique("lee")), format!("/v1/customers/{}/data", unique("nobody")));
    let foreign = other.get(&path).await;
    assert_eq!((foreign.status, &foreign.json), (404, &other.get(&nobody).await.json), "as if it were not there");
}

#[tokio::test]
async fn a_service_with_keys_that_cannot_be_used_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    let start = |settings: &[(&str, &str)]| {
        let mut command = rentcar();
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(directory.path().join("data"));
        command.envs(settings.iter().copied());
        command.output().unwrap()
    };
    let nowhere = directory.path().join("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    for settings in [
        &[("RENTCAR__ACCESS__API_KEYS", nowhere)][..],
        &[("RENTCAR__ACCESS__TOKEN_KEYS", nowhere), ("RENTCAR__ACCESS__TOKEN_ISSUER", ISSUER)],
        &[("RENTCAR__ACCESS__TOKEN_KEYS", nowhere)],
    ] {
        let output = start(settings);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains("access."), "{error}");
        assert!(!directory.path().join("data").exists(), "a refusal leaves no store");
    }
}

/// What is in the audit, the newest first, as kind and id of who did it, what it was, and about which number.
async fn audit(operator: &Api, filter: &str) -> Vec<(String, String, String)> {
    let page = operator.get(&format!("/v1/admin/audit?limit=200{filter}")).await.expect(200);
    let text = |value: &Value| value.as_str().unwrap_or("nobody").to_owned();
    let who = |by: &Value| if by.is_null() { "nobody".to_owned() } else { text(&by["kind"]) + ":" + &text(&by["id"]) };
    let items = page.items().iter();
    items.map(|item| (who(&item["by"]), text(&item["what"]), text(&item["number"]))).collect()
}

#[tokio::test]
async fn who_did_what_to_which_number_is_in_the_audit_and_nothing_that_followed_by_itself() {
    let mut company = Company::start().await;
    let operator = company.operator();
    let (car_no, customer_no, kim) = company.car_and_customer().await;
    let reserved = kim.post("/v1/reservations", &booking(&car_no, &customer_no, &in_days(30), &in_days(31))).await;
    let reservation_no = reserved.expect(201).text_at("/reservationNo");
    let output =
        rentcar().args(["key", "new", "partner", "--scope", "bookings", "--file"]).arg(company.api_keys()).output();
    let partner = company.server.with_token(String::from_utf8(output.unwrap().stdout).unwrap().trim());
    let target = path("/v1/reservations/{}", &reservation_no);
    eventually("the service reads its keys again", SOON, async || partner.get(&target).await.status == 200).await;
    partner.post_empty(&format!("{target}/cancellation")).await.expect(200);
    let payment = path("/v1/payments/pay-{}", &reservation_no);
    eventually("everything has gone back", SOON, async || {
        let payment = kim.get(&payment).await.expect(200);
        payment.json["refundedAmount"] == payment.json["chargedAmount"]
    })
    .await;
    company.machine("fleet").delete(&path("/v1/cars/{}", &car_no)).await.expect(204);
    kim.delete(&path("/v1/customers/{}", &customer_no)).await.expect(204);
    let by_kim = format!("CUSTOMER:{customer_no}");
    let expected: Vec<_> = [
        (&*by_kim, "customer.erased", &customer_no),
        ("MACHINE:program", "reservation.retired", &car_no),
        ("API_KEY:partner", "reservation.cancelled", &reservation_no),
        (&by_kim, "reservation.held", &reservation_no),
        (&by_kim, "customer.registered", &customer_no),
        ("STAFF:minji", "fleet.registered", &car_no),
    ]
    .map(|(by, what, number)| (by.to_owned(), what.to_owned(), number.clone()))
    .into();
    assert_eq!(audit(&operator, "").await, expected);
    let about = async |filter: String, wanted: &dyn Fn(&(String, String, String)) -> bool| {
        let wanted: Vec<_> = expected.iter().filter(|item| wanted(item)).cloned().collect();
        assert!(!wanted.is_empty() && wanted.len() < expected.len(), "{filter}");
        assert_eq!(audit(&operator, &filter).await, wanted, "{filter}");
    };
    about(format!("&number={reservation_no}"), &|(_, _, number)| *number == reservation_no).await;
    about(format!("&by=CUSTOMER:{customer_no}"), &|(by, ..)| *by == by_kim).await;
    about("&by=API_KEY:partner".to_owned(), &|(by, ..)| by == "API_KEY:partner").await;
    about(format!("&by=CUSTOMER:{customer_no}&number={reservation_no}"), &|(by, _, number)| {
        (by, number) == (&by_kim, &reservation_no)
    })
    .await;
    // By time, and page by page.
    let whole = operator.get("/v1/admin/audit").await.expect(200);
    let of_key = whole.items()[3]["at"].as_str().unwrap().to_owned();
    let since = audit(&operator, &format!("&from={of_key}")).await;
    assert!(since.starts_with(&expected[..3]) && since.contains(&expected[3]), "{since:?}");
    let before = audit(&operator, &format!("&to={of_key}")).await;
    assert!(before.ends_with(&expected[4..]) && !before.contains(&expected[3]), "{before:?}");
    let (mut pages, mut cursor) = (vec![], String::new());
    loop {
        let page = operator.get(&format!("/v1/admin/audit?limit=3{cursor}")).await.expect(200);
        pages.extend(page.items().to_vec());
        let Some(next) = page.json["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(pages, whole.items());
    for personal in ["Kim", "minji@example.com", "010", "user of"] {
        assert!(!whole.text.contains(personal), "{personal}: {}", whole.story());
    }
    for bad in ["by=minji", "by=QUEEN:minji", "by=STAFF:", "cursor=x", "from=yesterday", "limit=0"] {
        operator.get(&format!("/v1/admin/audit?{bad}")).await.refused(400, "invalid_query");
    }
    // The read models made anew have the same.
    company.server.terminate().await;
    let (rebuilt, _, log) = company.server.run(&["rebuild-views"]).await;
    assert!(rebuilt.success(), "{log}");
    company.server.restart().await;
    assert_eq!(audit(&company.operator(), "").await, expected);
}

#[tokio::test]
async fn who_pays_what_somebody_else_has_reserved_is_in_the_audit() {
    let company = Company::start().await;
    let (car_no, customer_no, kim) = company.car_and_customer().await;
    let mut unpaid = booking(&car_no, &customer_no, &in_days(30), &in_days(31));
    let means = unpaid.as_object_mut().unwrap().remove("payment").unwrap();
    let reservation_no = company.staff().post("/v1/reservations", &unpaid).await.expect(202).text_at("/reservationNo");
    kim.post(&path("/v1/reservations/{}/payment", &reservation_no), &means).await.expect(200);
    let by_kim = format!("CUSTOMER:{customer_no}");
    let expected = [(&*by_kim, "payment.requested"), ("STAFF:minji", "reservation.held")]
        .map(|(by, what)| (by.to_owned(), what.to_owned(), reservation_no.clone()));
    assert_eq!(audit(&company.operator(), &format!("&number={reservation_no}")).await, expected);
}

#[tokio::test]
async fn what_is_done_twice_under_one_key_is_in_the_audit_once() {
    let company = Company::start().await;
    let (car_no, key) = (unique("car"), unique("key"));
    for _ in 0..2 {
        company.staff().post_keyed("/v1/cars", &key, &common::car(&car_no)).await.expect(201);
    }
    company.staff().post("/v1/cars", &common::car(&car_no)).await.refused(409, "car_already_registered");
    assert_eq!(audit(&company.operator(), &format!("&number={car_no}")).await.len(), 1);
}

#[tokio::test]
async fn what_operators_do_is_noted_before_it_is_done_and_outlives_the_process() {
    let mut company = Company::start().await;
    let operator = company.operator();
    let order = |state: &str| json!({ "state": state });
    operator.post("/v1/admin/payment/breaker", &order("FORCED_CLOSED")).await.expect(200);
    operator.post("/v1/admin/payment/breaker", &order("BROKEN")).await.refused(400, "invalid_member");
    company.staff().post("/v1/admin/payment/breaker", &order("AUTO")).await.refused(403, "forbidden");
    company.machine("operations").get("/v1/admin/backup").await.expect(200);
    operator.get("/v1/admin/payment/reconciliation").await.expect(200);
    operator.put("/v1/admin/payment-provider", &json!({ "latencyMs": 1 })).await.expect(200);
    operator.put("/v1/admin/payment-provider", &json!({ "failRate": 2 })).await.refused(400, "invalid_request");
    operator.post("/v1/admin/faults", &json!({ "context": "payment", "action": "kill" })).await.expect(204);
    operator
        .post("/v1/admin/faults", &json!({ "context": "operations", "action": "stop" }))
        .await
        .refused(400, "invalid_member");
    company.server.kill9();
    company.server.restart().await;
    let page = company.operator().get("/v1/admin/audit").await.expect(200);
    let items = page.items().iter().map(|item| (item["by"]["id"].clone(), item["what"].clone(), item["why"].clone()));
    let expected = [
        ("jisoo", "operations.fault_injected", json!("KILL_PAYMENT")),
        ("jisoo", "operations.provider_changed", Value::Null),
        ("jisoo", "operations.payments_reconciled", Value::Null),
        ("program", "operations.backup_taken", Value::Null),
        ("jisoo", "operations.breaker_set", json!("FORCED_CLOSED")),
    ]
    .map(|(who, what, why)| (json!(who), json!(what), why));
    assert_eq!(items.collect::<Vec<_>>(), expected, "{}", page.story());
}

#[tokio::test]
async fn who_has_checked_a_licence_is_told_to_staff_and_not_to_the_customer() {
    let company = Company::start().await;
    let (car_no, customer_no, kim) = company.car_and_customer().await;
    let body = booking(&car_no, &customer_no, &common::in_seconds(5), &in_days(1));
    let reservation_no = kim.post("/v1/reservations", &body).await.expect(201).text_at("/reservationNo");
    let rental = path("/v1/rentals/rent-{}", &reservation_no);
    let told = json!({ "licenceChecked": true });
    kim.post(&format!("{rental}/pickup"), &told).await.refused(403, "forbidden");
    let out = company.staff().post(&format!("{rental}/pickup"), &told).await.expect(200);
    let licence = json!({ "checkedAt": out.json["pickedUpAt"], "checkedBy": { "kind": "STAFF", "id": "minji" } });
    assert_eq!(out.json["pickup"], json!({ "licence": licence }), "{}", out.story());
    assert_eq!(company.staff().get(&rental).await.expect(200).json, out.json);
    let seen = kim.get(&rental).await.expect(200);
    assert_eq!(seen.json["pickup"]["licence"], json!({ "checkedAt": out.json["pickedUpAt"] }), "{}", seen.story());
    let audit = audit(&company.operator(), "&by=STAFF:minji").await;
    assert_eq!(audit[0], ("STAFF:minji".to_owned(), "reservation.picked_up".to_owned(), reservation_no));
}

#[tokio::test]
async fn the_company_waives_a_fee_and_a_customer_does_not() {
    let company = Company::start().await;
    let (car_no, customer_no, kim) = company.car_and_customer().await;
    let book = async |day: i64| {
        let body = booking(
            &car_no,
            &customer_no,
            &common::in_seconds(3_600 + day * 7_200),
            &common::in_seconds(7_200 + day * 7_200),
        );
        let reserved = kim.post("/v1/reservations", &body).await.expect(201);
        (path("/v1/reservations/{}", &reserved.text_at("/reservationNo")), reserved.number_at("/price/amount"))
    };
    let (target, price) = book(0).await;
    let cancellation = format!("{target}/cancellation");
    let waive = |reason: &str| json!({ "waiveFee": { "reason": reason } });
    kim.post(&cancellation, &waive("GOODWILL")).await.refused(403, "waiver_not_allowed");
    company
        .customer(&unique("lee"))
        .post(&cancellation, &waive("GOODWILL"))
        .await
        .refused(404, "reservation_not_found");
    for bad in [waive("because Kim is a friend"), json!({ "waiveFee": {} }), json!({ "waiveFee": true })] {
        company.staff().post(&cancellation, &bad).await.refused(400, "invalid_member");
    }
    company.staff().post(&cancellation, &json!({ "waiveFees": true })).await.refused(400, "unknown_member");
    let preview = company.staff().get(&cancellation).await.expect(200);
    assert!(preview.number_at("/fee/amount") > 0, "the preview tells the fee: {}", preview.story());
    let cancelled = company.staff().post(&cancellation, &waive("CAR_UNAVAILABLE")).await.expect(200);
    assert_eq!((cancelled.number_at("/fee/amount"), cancelled.number_at("/refund/amount")), (0, price));
    assert_eq!(cancelled.json["feeWaived"], json!({ "reason": "CAR_UNAVAILABLE" }), "{}", cancelled.story());
    let payment = target.replace("reservations/", "payments/pay-");
    eventually("everything goes back", SOON, async || {
        kim.get(&payment).await.expect(200).number_at("/refundedAmount") == price
    })
    .await;
    assert_eq!(kim.get(&target).await.expect(200).json["feeWaived"], cancelled.json["feeWaived"]);
    company.staff().post(&cancellation, &waive("OTHER")).await.expect(200);
    let page = company.operator().get("/v1/admin/audit?by=STAFF:minji&limit=1").await.expect(200);
    assert_eq!(page.json["items"][0]["what"], "reservation.cancelled", "{}", page.story());
    assert_eq!(page.json["items"][0]["why"], "CAR_UNAVAILABLE", "{}", page.story());
    // What was cancelled at a fee keeps it; and no program waives one.
    let (target, _) = book(1).await;
    let kept = kim.post_empty(&format!("{target}/cancellation")).await.expect(200);
    assert!(kept.json.get("feeWaived").is_none() && kept.number_at("/fee/amount") > 0, "{}", kept.story());
    company
        .staff()
        .post(&format!("{target}/cancellation"), &waive("GOODWILL"))
        .await
        .refused(409, "cancelled_with_fee");
    let (target, _) = book(2).await;
    let partner = company.machine("bookings");
    partner.post(&format!("{target}/cancellation"), &waive("GOODWILL")).await.refused(403, "waiver_not_allowed");
}
