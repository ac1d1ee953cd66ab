//! Many customers reserve the same car for the same period concurrently, or different cars under the same number: exactly one
//! gets it. `RENTCAR_RACE_ROUNDS` says how often they race for a number (100 by default).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::{Api, TestServer, hold, in_seconds, path, unique};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// How many customers race.
const CLIENTS: usize = 64;
/// How often.
const ROUNDS: i64 = 200;
/// How many cars take turns, so that no calendar is filled.
const CARS: usize = 8;

/// Asks for a hold until there is a definite answer, which a rejection under load is not. Returns whether it was made;
/// whoever lost must be told `refusal`.
async fn race(api: Api, body: Value, refusal: &'static str) -> bool {
    loop {
        let answer = api.post("/v1/reservations", &body).await;
        match answer.status {
            202 => return true,
            503 => assert_eq!(answer.problem(), "overloaded", "{}", answer.story()),
            _ => {
                answer.refused(409, refusal);
                return false;
            }
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_customers_who_race_for_a_car_exactly_one_wins_each_of_200_times() {
    let server = TestServer::start().await;
    let mut cars = vec![];
    for _ in 0..CARS {
        cars.push(server.register_car().await);
    }
    let mut winners = 0;
    for round in 0..ROUNDS {
        let car_no = &cars[usize::try_from(round).unwrap() % CARS];
        // Periods that overlap without being the same, and that leave the next round's alone.
        let begin = 3_600 * 24 + round * 7_200;
        let mut tasks = JoinSet::new();
        for client in 0..CLIENTS {
            let shift = i64::try_from(client).unwrap() * 10;
            let (from, to) = (in_seconds(begin + shift), in_seconds(begin + 3_600 + shift));
            tasks.spawn(race(server.api(), hold(car_no, &unique("cust"), &from, &to), "car_not_available"));
        }
        let won = tasks.join_all().await.into_iter().filter(|won| *won).count();
        assert_eq!(won, 1, "round {round}");
        winners += won;
    }
    assert_eq!(winners, usize::try_from(ROUNDS).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_customers_who_choose_the_same_number_for_64_cars_exactly_one_gets_it() {
    let rounds = std::env::var("RENTCAR_RACE_ROUNDS").map_or(100, |text| text.parse().unwrap());
    let mut server = TestServer::start().await;
    let mut cars = vec![];
    for _ in 0..CLIENTS {
        cars.push(server.register_car().await);
    }
    for round in 0..rounds {
        let begin = 3_600 * (24 + 2 * round);
        let number = unique("res");
        let mut tasks = JoinSet::new();
        for car_no in &cars {
            let mut body = hold(car_no, &unique("cust"), &in_seconds(begin), &in_seconds(begin + 3_600));
            body["reservationNo"] = json!(number);
            tasks.spawn(race(server.api(), body, "reservation_no_taken"));
        }
        let won = tasks.join_all().await.into_iter().filter(|won| *won).count();
        assert_eq!(won, 1, "round {round}");
        // So that no calendar is filled.
        server.post_empty(&path("/v1/reservations/{}/cancellation", &number)).await.expect(200);
    }
    server.terminate().await;
    let (status, _, log) = server.run(&["verify"]).await;
    assert!(status.success(), "verify: {log}");
}
