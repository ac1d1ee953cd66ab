//! My Page, live: every change arrives, in order, once, whatever is cut off in between.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::client::Extra;
use common::sse::{Event, Events};
use common::{Options, SOON, TestServer, eventually, path, unique};
use serde_json::json;
use std::collections::HashSet;
use std::time::Duration;

/// How long it is checked that nothing comes.
const QUIET: Duration = Duration::from_millis(700);

/// The events of a paid reservation, at least.
const OF_A_BOOKING: [&str; 4] = ["reservation.held", "payment.approved", "reservation.confirmed", "rental.rented"];

/// Reads until all of these kinds have come for a reservation.
async fn until(events: &mut Events, reservation_no: &str, kinds: &[&str]) -> Vec<Event> {
    let mut read = vec![];
    let mut missing: HashSet<&str> = kinds.iter().copied().collect();
    while !missing.is_empty() {
        let event = events.next_within(SOON).await;
        let event = event.unwrap_or_else(|| panic!("{missing:?} did not come after {read:?}"));
        if event.data["reservationNo"] == reservation_no {
            missing.remove(event.data["kind"].as_str().unwrap());
        }
        read.push(event);
    }
    read
}

fn kinds(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.data["kind"].as_str().unwrap()).collect()
}

fn ids(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.id.as_str()).collect()
}

fn place(kinds: &[&str], kind: &str) -> usize {
    kinds.iter().position(|other| *other == kind).unwrap()
}

#[tokio::test]
async fn every_change_arrives_as_it_happens_in_order_and_once() {
    let server = TestServer::start().await;
    let (car_no, customer_no) = (server.register_car().await, server.register_customer().await);
    let mut events = Events::open(&server, &customer_no, None).await;
    let reservation_no = server.reserve(&car_no, &customer_no, 3, 4).await.text_at("/reservationNo");
    let mut read = until(&mut events, &reservation_no, &OF_A_BOOKING).await;
    server.post_empty(&path("/v1/reservations/{}/cancellation", &reservation_no)).await.expect(200);
    let closing = ["reservation.cancelled", "payment.cancelled", "payment.refunded", "rental.cancelled"];
    read.extend(until(&mut events, &reservation_no, &closing).await);
    let kinds = kinds(&read);
    for kind in OF_A_BOOKING.iter().chain(&closing) {
        assert_eq!(kinds.iter().filter(|shown| *shown == kind).count(), 1, "{kind} in {kinds:?}");
    }
    for (earlier, later) in [
        ("reservation.held", "payment.approved"),
        ("payment.approved", "reservation.confirmed"),
        ("reservation.confirmed", "rental.rented"),
        ("rental.rented", "reservation.cancelled"),
        ("reservation.cancelled", "payment.cancelled"),
        ("payment.cancelled", "payment.refunded"),
        ("reservation.cancelled", "rental.cancelled"),
    ] {
        assert!(place(&kinds, earlier) < place(&kinds, later), "{earlier} before {later}: {kinds:?}");
    }
    let distinct: HashSet<_> = ids(&read).into_iter().collect();
    assert_eq!(distinct.len(), read.len(), "every event has an id of its own");
    assert_eq!(events.next_within(QUIET).await, None);
}

#[tokio::test]
async fn what_is_told_at_once_comes_in_the_order_of_the_steps_also_after_any_of_them() {
    let server = TestServer::with(Options::with_faults()).await;
    let (car_no, customer_no) = (server.register_car().await, server.register_customer().await);
    let views = async |action: &str| {
        let answer = server.post("/v1/admin/faults", &json!({"context": "views", "action": action})).await;
        assert!(answer.status < 300, "{}", answer.story());
    };
    let mut events = Events::open(&server, &customer_no, None).await;
    views("stop").await;
    let reservation_no = server.reserve(&car_no, &customer_no, 3, 4).await.text_at("/reservationNo");
    server.post_empty(&path("/v1/reservations/{}/cancellation", &reservation_no)).await.expect(200);
    views("start").await;
    let told = events.take(9, SOON).await;
    let steps = [
        "reservation.held",
        "payment.requested",
        "payment.approved",
        "reservation.confirmed",
        "rental.rented",
        "reservation.cancelled",
        "rental.cancelled",
        "payment.cancelled",
        "payment.refunded",
    ];
    assert_eq!(kinds(&told), steps);
    for seen in 1..told.len() {
        let mut resumed = Events::open(&server, &customer_no, Some(&told[seen - 1].id)).await;
        assert_eq!(kinds(&resumed.take(told.len() - seen, SOON).await), steps[seen..]);
    }
}

#[tokio::test]
async fn nobody_hears_of_somebody_else() {
    let server = TestServer::start().await;
    let (car_no, one, other) = (server.register_car().await, server.register_customer().await, unique("cust"));
    let mut events = Events::open(&server, &one, None).await;
    server.reserve(&car_no, &other, 1, 2).await;
    let of_one = server.reserve(&car_no, &one, 3, 4).await.text_at("/reservationNo");
    let read = until(&mut events, &of_one, &OF_A_BOOKING).await;
    assert!(read.iter().all(|event| event.data["reservationNo"] == *of_one), "{read:?}");
}

#[tokio::test]
async fn the_stream_resumes_after_any_event_without_a_gap_and_without_a_repeat() {
    let server = TestServer::start().await;
    let (car_no, customer_no) = (server.register_car().await, server.register_customer().await);
    let mut events = Events::open(&server, &customer_no, None).await;
    let mut whole = vec![];
    for day in 0..3 {
        let made = server.reserve(&car_no, &customer_no, 2 * day + 1, 2 * day + 2).await.text_at("/reservationNo");
        whole.extend(until(&mut events, &made, &OF_A_BOOKING).await);
    }
    while let Some(event) = events.next_within(QUIET).await {
        whole.push(event);
    }
    drop(events);
    for seen in 1..whole.len() {
        let mut resumed = Events::open(&server, &customer_no, Some(&whole[seen - 1].id)).await;
        let rest = resumed.take(whole.len() - seen, SOON).await;
        let rest_of_whole: HashSet<_> = ids(&whole[seen..]).into_iter().collect();
        let resumed_ids: HashSet<_> = ids(&rest).into_iter().collect();
        // Events of different contexts may be reordered between two reads, so only the set of events is compared.
        assert_eq!(contents(&rest), contents(&whole[seen..]), "after {seen}: {resumed_ids:?} {rest_of_whole:?}");
    }
    let last = &whole[whole.len() - 1];
    let mut resumed = Events::open(&server, &customer_no, Some(&last.id)).await;
    assert_eq!(resumed.next_within(QUIET).await, None, "nothing is repeated");
}

#[tokio::test]
async fn my_page_and_the_stream_join_without_a_gap() {
    let server = TestServer::start().await;
    let (car_no, customer_no) = (server.register_car().await, unique("cust"));
    let first = server.reserve(&car_no, &customer_no, 1, 2).await.text_at("/reservationNo");
    server.my_page_shows(&customer_no, &first, &OF_A_BOOKING).await;
    let page = server.get(&path("/v1/customers/{}/page", &customer_no)).await.expect(200);
    let shown = page.items().len();
    let second = server.reserve(&car_no, &customer_no, 3, 4).await.text_at("/reservationNo");
    let mut events = Events::open(&server, &customer_no, Some(&page.text_at("/lastEventId"))).await;
    let read = until(&mut events, &second, &OF_A_BOOKING).await;
    assert!(read.iter().all(|event| event.data["reservationNo"] == *second), "{read:?} after {shown} shown");
}

#[tokio::test]
async fn the_stream_resumes_across_a_restart() {
    let mut server = TestServer::start().await;
    let (car_no, customer_no) = (server.register_car().await, server.register_customer().await);
    let mut events = Events::open(&server, &customer_no, None).await;
    let first = server.reserve(&car_no, &customer_no, 1, 2).await.text_at("/reservationNo");
    let read = until(&mut events, &first, &OF_A_BOOKING).await;
    let second = server.reserve(&car_no, &customer_no, 3, 4).await.text_at("/reservationNo");
    server.kill9();
    server.restart().await;
    let third = server.reserve(&car_no, &customer_no, 5, 6).await.text_at("/reservationNo");
    let last = &read[read.len() - 1].id;
    let mut resumed = Events::open(&server, &customer_no, Some(last)).await;
    let mut rest = vec![];
    for reservation_no in [&second, &third] {
        let seen = |kind: &str| {
            rest.iter()
                .any(|event: &Event| event.data["reservationNo"] == **reservation_no && event.data["kind"] == kind)
        };
        let missing: Vec<_> = OF_A_BOOKING.into_iter().filter(|kind| !seen(kind)).collect();
        rest.extend(until(&mut resumed, reservation_no, &missing).await);
    }
    let mut whole = kinds(&rest);
    whole.sort_unstable();
    for kind in OF_A_BOOKING {
        let count =
            rest.iter().filter(|event| event.data["kind"] == kind && event.data["reservationNo"] != *first).count();
        assert_eq!(count, 2, "{kind} in {whole:?}");
    }
    server.terminate().await;
}

/// The contents of events, without order and ids.
fn contents(events: &[Event]) -> Vec<String> {
    let mut all: Vec<_> = events.iter().map(|event| event.data.to_string()).collect();
    all.sort_unstable();
    all
}

/// The status of the live events after an id that is given in the query.
async fn status_after(server: &TestServer, customer_no: &str, id: &str) -> u16 {
    let address = format!("{}{}?lastEventId={id}", server.url, path("/v1/customers/{}/events", customer_no));
    server.http().get(address).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_customer_of_very_many_shards_resumes_after_every_id_that_was_given() {
    let mut server = TestServer::with(Options::default().setting("STORE__SHARDS", "128")).await;
    let customer_no = server.register_customer().await;
    let mut events = Events::open(&server, &customer_no, None).await;
    let mut whole = vec![];
    for _ in 0..100 {
        let car_no = server.register_car().await;
        let made = server.reserve(&car_no, &customer_no, 1, 2).await.text_at("/reservationNo");
        whole.extend(until(&mut events, &made, &OF_A_BOOKING).await);
    }
    while let Some(event) = events.next_within(QUIET).await {
        whole.push(event);
    }
    drop(events);
    let page = path("/v1/customers/{}/page", &customer_no);
    let last = whole[whole.len() - 1].id.clone();
    assert!(last.len() > 256, "the id is as long as it can be expected to be: {last}");
    assert_eq!(server.get(&page).await.expect(200).text_at("/lastEventId"), last);
    assert_eq!(status_after(&server, &customer_no, &last).await, 200);
    let half = whole.len() / 2;
    for restarted in [false, true] {
        if restarted {
            server.terminate().await;
            server.restart().await;
        }
        let mut resumed = Events::open(&server, &customer_no, Some(&last)).await;
        assert_eq!(resumed.next_within(QUIET).await, None, "nothing is repeated");
        let mut resumed = Events::open(&server, &customer_no, Some(&whole[half].id)).await;
        let rest = resumed.take(whole.len() - half - 1, SOON).await;
        assert_eq!(contents(&rest), contents(&whole[half + 1..]));
        assert_eq!(rest[rest.len() - 1].id, last, "whoever has seen the same has the same id");
        assert_eq!(resumed.next_within(QUIET).await, None);
        // `0` is the id of somebody who has seen nothing.
        let all = Events::open(&server, &customer_no, Some("0")).await.take(whole.len(), SOON).await;
        assert_eq!(contents(&all), contents(&whole));
    }
    eventually("my page gives the same id", SOON, async || {
        server.get(&page).await.expect(200).text_at("/lastEventId") == last
    })
    .await;
    server.terminate().await;
}

#[tokio::test]
async fn an_id_of_any_length_that_was_never_given_is_refused() {
    let server = TestServer::start().await;
    let (car_no, customer_no) = (server.register_car().await, server.register_customer().await);
    let mut events = Events::open(&server, &customer_no, None).await;
    server.reserve(&car_no, &customer_no, 1, 2).await;
    let id = events.take(1, SOON).await.remove(0).id;
    assert_eq!(status_after(&server, &customer_no, &id).await, 200);
    let (cut_off, longer) = (id[..id.len() - 1].to_owned(), format!("{id}A"));
    for bad in [cut_off, longer, "A".repeat(257), "A".repeat(29_000), "A".repeat(30_000)] {
        assert_eq!(status_after(&server, &customer_no, &bad).await, 400, "{} characters", bad.len());
    }
    // More than the head of a request may have.
    assert_eq!(status_after(&server, &customer_no, &"A".repeat(40_000)).await, 431);
}

#[tokio::test]
async fn a_nonsensical_last_event_id_is_refused() {
    let server = TestServer::start().await;
    let address = format!("{}/v1/customers/{}/events", server.url, unique("cust"));
    let answer = server.http().get(address).header("Last-Event-ID", "never given").send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 400);
}

#[tokio::test]
async fn a_server_that_drains_ends_its_streams() {
    let mut server = TestServer::start().await;
    let mut events = Events::open(&server, &server.register_customer().await, None).await;
    server.terminate().await;
    assert_eq!(events.next_within(SOON).await, None);
}

#[tokio::test]
async fn who_can_be_followed_is_who_has_a_page() {
    let server = TestServer::start().await;
    let typo = unique("typo");
    let (events, page) = (path("/v1/customers/{}/events", &typo), path("/v1/customers/{}/page", &typo));
    // `0` is the id of somebody who has seen nothing.
    for address in [&page, &events, &format!("{events}?lastEventId=0")] {
        server.get(address).await.refused(404, "customer_not_found");
        server.send(reqwest::Method::HEAD, address, None, Extra::default()).await.expect(404);
    }
    let erased = server.register_customer().await;
    server.delete(&path("/v1/customers/{}", &erased)).await.expect(204);
    assert_eq!(server.get(&path("/v1/customers/{}/page", &erased)).await.expect(200).json["erased"], true);
    Events::open(&server, &erased, None).await;
    let (car_no, unregistered) = (server.register_car().await, unique("cust"));
    let first = server.hold(&car_no, &unregistered, 1, 2).await.text_at("/reservationNo");
    let mut events = Events::open(&server, &unregistered, None).await;
    let second = server.hold(&car_no, &unregistered, 3, 4).await.text_at("/reservationNo");
    until(&mut events, &second, &["reservation.held"]).await;
    let mut events = Events::open(&server, &unregistered, Some("0")).await;
    until(&mut events, &first, &["reservation.held"]).await;
}

#[tokio::test]
async fn proxies_pass_live_events_on_at_once_and_keep_none() {
    let server = TestServer::start().await;
    let address = format!("{}{}", server.url, path("/v1/customers/{}/events", &server.register_customer().await));
    for id in ["", "?lastEventId=0"] {
        let answer = server.http().get(format!("{address}{id}")).send().await.unwrap();
        let header = |name: &str| answer.headers().get_all(name).iter().cloned().collect::<Vec<_>>();
        assert_eq!(
            (header("x-accel-buffering"), header("cache-control")),
            (vec!["no".parse().unwrap()], vec!["no-store".parse().unwrap()])
        );
    }
}
