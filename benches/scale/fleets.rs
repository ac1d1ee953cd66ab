//! One fleet: registering it, starting on it, what it takes of memory, and searching in it.

use crate::common::open_loop::{Pace, Script, drive};
use crate::grounds::Grounds;
use crate::service::disk::disk_bytes;
use crate::service::found::Found;
use crate::service::machine::resident_mb;
use crate::service::scene::Scene;
use crate::service::server::Server;
use crate::service::{RENTCAR, fleet, in_thousands};
use crate::{Plan, named, search};
use std::sync::Arc;
use std::time::Duration;

/// For how long customers book until it is looked again how many entities live.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often it is looked at most.
const LOOKS_MAX: usize = 600;
const LIVE: &str = "rentcar_live_entities";

/// Registers a fleet and sees what it takes and how fast it starts.
pub async fn register(plan: &Plan, grounds: &mut Grounds, found: &mut Found, cars: usize) {
    let (name, data) = (named(cars), grounds.registered(cars));
    let mut note = |what: &str, unit, figure| found.note(&format!("{name}, {what}"), RENTCAR, unit, figure);
    let server = Server::start(&data).await;
    note("registered over 64 connections", "1/s", fleet::register(&server, cars).await);
    note("resident after registering", "MB", resident_mb(server.pid()));
    server.end();
    #[allow(clippy::cast_precision_loss, reason = "sizes are far below what a float can hold")]
    note("data directory", "MB", disk_bytes(&data).unwrap() as f64 / 1e6);
    for _ in 0..plan.starts {
        let server = Server::start(&data).await;
        note("ready after", "s", server.ready_after_s());
        server.caught_up().await;
        note("resident after a restart", "MB", resident_mb(server.pid()));
        server.end();
    }
}

/// Searches in it while nobody books, books until many entities live, and searches while they go on.
pub async fn measure(plan: &Plan, grounds: &Grounds, found: &mut Found, cars: usize) {
    let name = named(cars);
    eprintln!("{name}: searches and memory");
    let fresh = grounds.start(cars).await;
    let server = &fresh.server;
    search::measure(server, found, &format!("{name}, search by branch and class"), plan.searching).await;
    let script: Arc<dyn Script> = Arc::new(Scene::new(cars));
    let address = server.address();
    let book = |length| drive(&address, &script, Pace::AsAnswered, plan.connections, length);
    let mut live = 0.0;
    for _ in 0..LOOKS_MAX {
        book(LOOK_EVERY).await;
        live = server.metric(LIVE).await;
        #[allow(clippy::cast_precision_loss, reason = "so many entities are a small number")]
        if live >= plan.live as f64 {
            break;
        }
    }
    let with = format!("{name}, resident with {} entities live", in_thousands(plan.live));
    found.note(&with, RENTCAR, "MB", resident_mb(server.pid()));
    found.note(&format!("{name}, entities live then"), RENTCAR, "count", live);
    let connections = plan.connections;
    let case = format!("{name}, search by branch and class while {connections} connections book");
    tokio::join!(book(plan.searching), search::measure(server, found, &case, plan.searching));
    found.note(&format!("{name}, resident after these bookings"), RENTCAR, "MB", resident_mb(server.pid()));
    found.note(&format!("{name}, entities live after them"), RENTCAR, "count", server.metric(LIVE).await);
}
