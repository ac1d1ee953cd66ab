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

/// How often it is looked at most whether enough entities live: a small fleet has not so many.
const LOOKS_MAX: usize = 8;
const LIVE: &str = "rentcar_entities_live";

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
    let customers: Arc<dyn Script> = Arc::new(Scene::new(cars));
    let live = enliven(plan, server, &customers).await;
    if live >= float(plan.live) {
        let with = format!("{name}, resident with {} entities live", in_thousands(plan.live));
        found.note(&with, RENTCAR, "MB", resident_mb(server.pid()));
    }
    found.note(&format!("{name}, entities live then"), RENTCAR, "count", live);
    let connections = plan.connections;
    let case = format!("{name}, search by branch and class while {connections} connections book");
    let address = server.address();
    let booking = drive(&address, &customers, Pace::AsAnswered, connections, plan.searching);
    tokio::join!(booking, search::measure(server, found, &case, plan.searching));
    found.note(&format!("{name}, resident after these bookings"), RENTCAR, "MB", resident_mb(server.pid()));
    found.note(&format!("{name}, entities live after them"), RENTCAR, "count", server.metric(LIVE).await);
}

/// Has customers book until enough entities live, and hardly more; returns how many do. The server counts them now and
/// then only, so that each time so many are booked as are surely needed: a booking enlivens a calendar and a car of the
/// ledger, and a payment and a rental as long as few of these live.
async fn enliven(plan: &Plan, server: &Server, customers: &Arc<dyn Script>) -> f64 {
    let (mut live, mut enlivened_by_each) = (0, 4);
    for _ in 0..LOOKS_MAX {
        let connections = plan.connections as u64;
        let each = (plan.live - live).div_ceil(enlivened_by_each) as u64;
        let pace = Pace::Each(each.div_ceil(connections));
        drive(&server.address(), customers, pace, plan.connections, Duration::MAX).await;
        tokio::time::sleep(plan.counted_every).await;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a metric that is a count")]
        let counted = server.metric(LIVE).await as usize;
        if counted >= plan.live || counted <= live {
            return float(counted);
        }
        (live, enlivened_by_each) = (counted, 2);
    }
    float(live)
}

#[allow(clippy::cast_precision_loss, reason = "counts are far below what a float can hold")]
fn float(count: usize) -> f64 {
    count as f64
}
