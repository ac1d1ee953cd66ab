//! Many customers reserve the same car for the same period concurrently: exactly one gets it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::{Api, TestServer, hold, in_seconds, unique};
use tokio::task::JoinSet;

/// How many customers race.
const CLIENTS: usize = 64;
/// How often.
const ROUNDS: i64 = 200;
/// How many cars take turns, so that no calendar is filled.
const CARS: usize = 8;

/// Retries until there is a definite answer; a rejection under load is none.
async fn race(api: Api, car_no: String, from: String, to: String) -> bool {
    let body = hold(&car_no, &unique("cust"), &from, &to);
    loop {
        let answer = api.post("/v1/reservations", &body).await;
        match answer.status {
            202 => return true,
            503 => assert_eq!(answer.problem(), "overloaded", "{}", answer.story()),
            _ => {
                answer.refused(409, "car_not_available");
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
            tasks.spawn(race(server.api(), car_no.clone(), from, to));
        }
        let won = tasks.join_all().await.into_iter().filter(|won| *won).count();
        assert_eq!(won, 1, "round {round}");
        winners += won;
    }
    assert_eq!(winners, usize::try_from(ROUNDS).unwrap());
}
