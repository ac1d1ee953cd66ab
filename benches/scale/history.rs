//! A long history: how long a start on it takes, and what it takes of memory. The history is made as every other is, by
//! customers who ask a server over HTTP; nothing of it is made up.

use crate::common::open_loop::{Pace, Script, drive};
use crate::grounds::Grounds;
use crate::service::disk::disk_bytes;
use crate::service::found::Found;
use crate::service::machine::resident_mb;
use crate::service::progress::Progress;
use crate::service::server::{Server, command, run};
use crate::service::turnover::Turnover;
use crate::service::{RENTCAR, fleet, in_thousands};
use crate::{Plan, named};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Up to how many events everything is verified.
const VERIFIED_EVENTS_MAX: usize = 100_000;
const EVENTS: &str = "rentcar_journal_batch_events_sum";

/// Makes a history and starts on it.
pub async fn measure(plan: &Plan, grounds: &Grounds, found: &mut Found) {
    if plan.events == 0 {
        return;
    }
    let (data, imported) = (grounds.folder().join("history"), grounds.folder().join("imported"));
    let name = format!("{} events", in_thousands(plan.events));
    let customers: Arc<dyn Script> = Arc::new(Turnover::new(plan.history_cars));
    write(plan, &customers, &data, &name, found).await;
    if plan.events <= VERIFIED_EVENTS_MAX {
        run("verify", &data, &[]);
    }
    starts(plan, &data, &name, found).await;
    kill(plan, &customers, &data, &name, found).await;
    let name = format!("{name} imported");
    let took = export_and_import(&data, &imported);
    found.note(&format!("{name}, export and import"), RENTCAR, "s", took.as_secs_f64());
    let server = Server::start(&imported).await;
    found.note(&format!("{name}, ready for the first time after"), RENTCAR, "s", server.ready_after_s());
    let made_after = server.ready_after_s() + server.caught_up().await;
    found.note(&format!("{name}, read models made after"), RENTCAR, "s", made_after);
    found.note(&format!("{name}, resident when they are made"), RENTCAR, "MB", resident_mb(server.pid()));
    server.end();
    starts(plan, &imported, &name, found).await;
}

async fn book(plan: &Plan, customers: &Arc<dyn Script>, server: &Server, length: Duration) {
    drive(&server.address(), customers, Pace::AsAnswered, plan.connections, length).await;
}

#[allow(clippy::cast_precision_loss, reason = "counts and sizes are far below what a float can hold")]
async fn write(plan: &Plan, customers: &Arc<dyn Script>, data: &Path, name: &str, found: &mut Found) {
    let server = Server::start(data).await;
    eprintln!("a history of {name} about {}", named(plan.history_cars));
    fleet::register(&server, plan.history_cars).await;
    let mut progress = Progress::of(&format!("writing {name}"));
    let (begun, before) = (Instant::now(), server.metric(EVENTS).await);
    let mut events = before;
    while events < plan.events as f64 {
        book(plan, customers, &server, plan.look_every).await;
        events = server.metric(EVENTS).await;
        progress.at(format_args!("{events:.0}"));
    }
    let rate = (events - before) / begun.elapsed().as_secs_f64();
    server.caught_up().await;
    // What follows from the last bookings comes after they were answered.
    let events = server.metric(EVENTS).await;
    let mut note = |what: &str, unit, figure| found.note(&format!("{name}, {what}"), RENTCAR, unit, figure);
    note("written by bookings and cancellations", "1/s", rate);
    note("in all", "count", events);
    note("resident after they were written", "MB", resident_mb(server.pid()));
    server.end();
    let bytes = disk_bytes(data).unwrap() as f64;
    note("data directory", "MB", bytes / 1e6);
    note("disk for each event", "bytes", bytes / events);
}

/// Starts after the server was politely ended.
async fn starts(plan: &Plan, data: &Path, name: &str, found: &mut Found) {
    for _ in 0..plan.starts {
        let server = Server::start(data).await;
        found.note(&format!("{name}, ready after"), RENTCAR, "s", server.ready_after_s());
        server.caught_up().await;
        found.note(&format!("{name}, resident after a start"), RENTCAR, "MB", resident_mb(server.pid()));
        server.end();
    }
}

/// Starts after the server was killed while customers were booking.
async fn kill(plan: &Plan, customers: &Arc<dyn Script>, data: &Path, name: &str, found: &mut Found) {
    for _ in 0..plan.starts {
        let server = Server::start(data).await;
        book(plan, customers, &server, plan.turn).await;
        drop(server);
        let server = Server::start(data).await;
        found.note(&format!("{name}, ready after a kill under bookings"), RENTCAR, "s", server.ready_after_s());
        server.end();
    }
}

/// From one data directory into another, without a file between them.
fn export_and_import(from: &Path, to: &Path) -> Duration {
    eprintln!("export and import");
    let begun = Instant::now();
    let mut export = command().arg("export").arg("--data").arg(from).stdout(Stdio::piped()).spawn().unwrap();
    let archive = export.stdout.take().unwrap();
    let import = command().arg("import").arg("--data").arg(to).stdin(archive).output().unwrap();
    assert!(import.status.success(), "import: {}", String::from_utf8_lossy(&import.stderr));
    assert!(export.wait().unwrap().success(), "the export failed");
    begun.elapsed()
}
