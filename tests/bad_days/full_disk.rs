//! A full disk: refused with 503, nothing acknowledged is lost, and after room is made a restart is all it takes.

use super::{Run, on};
use crate::common::load::{Customer, Memory};
use crate::common::{SOON, TestServer, car, eventually, path, unique};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How many customers are busy while the disk fills.
const CUSTOMERS: u64 = 6;

/// A small disk of its own, until this is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: &Path) -> Option<SmallDisk> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"]).arg(path).output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Some(SmallDisk(path.to_path_buf()));
        }
        println!("skipped: a small disk needs a mount, which is not permitted here");
        None
    }

    /// Leaves no room.
    fn fill(&self) {
        let mut ballast = std::fs::File::create(self.0.join("lost+found")).unwrap();
        let mut chunk = vec![7_u8; 64 * 1024];
        while !chunk.is_empty() {
            if ballast.write_all(&chunk).is_err() {
                chunk.truncate(chunk.len() / 2);
            }
        }
    }

    fn make_room(&self) {
        std::fs::remove_file(self.0.join("lost+found")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A server on a small disk.
async fn server_on_a_small_disk() -> Option<(TestServer, SmallDisk)> {
    let mut server = TestServer::start().await;
    server.terminate().await;
    let disk = SmallDisk::mount(&server.data())?;
    server.restart().await;
    Some((server, disk))
}

async fn everything_acknowledged_is_there(server: &TestServer, memories: &[Memory]) {
    for memory in memories {
        let answer = server.get(&path("/v1/reservations/{}", &memory.reservation_no)).await;
        assert!(memory.allows(&answer), "{memory:?} is found as {}", answer.story());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_under_load_loses_nothing_that_was_acknowledged() {
    let Some((mut server, disk)) = server_on_a_small_disk().await else { return };
    let mut cars = vec![];
    for _ in 0..6 {
        cars.push(server.register_car().await);
    }
    let (cars, stop) = (Arc::new(cars), Arc::new(AtomicBool::new(false)));
    let customers: Vec<_> = (0..CUSTOMERS)
        .map(|seed| Customer::new(server.api(), seed, Arc::clone(&cars), Arc::clone(&stop)))
        .map(|customer| tokio::spawn(customer.run()))
        .collect();
    eventually("some business was done", SOON, async || server.all("/v1/fleet/ledger").await.len() > 8).await;
    disk.fill();
    eventually("the service says that it is down", SOON, async || {
        let health = server.get("/actuator/health").await;
        (health.status, health.json["status"].as_str()) == (503, Some("DOWN"))
    })
    .await;
    let refused = server.post("/v1/cars", &car(&unique("car"))).await.expect(503);
    assert!(!refused.problem().is_empty());
    // What customers are told meanwhile is a 503 too: their own checks fail at anything else.
    stop.store(true, Ordering::Relaxed);
    let (mut memories, mut registered) = (vec![], vec![]);
    for customer in customers {
        let told = customer.await.unwrap();
        memories.extend(told.memories);
        registered.extend(told.registered);
    }
    assert!(!memories.is_empty());
    server.kill9();
    assert!(!server.log().contains("panicked"), "{}", server.log());
    disk.make_room();
    server.restart().await;
    everything_acknowledged_is_there(&server, &memories).await;
    for car_no in registered.iter().chain(cars.iter()) {
        let _ = server.get(&path("/v1/cars/{}", car_no)).await.expect(200);
    }
    server.register_car().await;
    server.terminate().await;
    assert!(on(&server.data(), &["verify"]).done().contains("0 findings"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_disk_is_full_still_ends_when_told_to() {
    let Some((mut server, disk)) = server_on_a_small_disk().await else { return };
    let car_no = server.register_car().await;
    disk.fill();
    let mut run = 0;
    eventually("a change is refused", SOON, async || {
        run += 1;
        server.post("/v1/cars", &car(&unique("car"))).await.status == 503 || run > 10_000
    })
    .await;
    // The journal could not be closed cleanly, which is said; but the process ends by itself.
    let data = server.data();
    let pid = server_pid(&data);
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    eventually("it ends", SOON, async || !Path::new(&format!("/proc/{pid}/fd/1")).exists()).await;
    assert!(!server.log().contains("panicked"), "{}", server.log());
    server.kill9();
    disk.make_room();
    server.restart().await;
    let _ = server.get(&path("/v1/cars/{}", &car_no)).await.expect(200);
}

/// The process that serves a directory.
fn server_pid(data: &Path) -> String {
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains(data.to_str().unwrap()) {
            return entry.file_name().to_string_lossy().into_owned();
        }
    }
    panic!("nobody serves {}", data.display());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_on_a_full_disk_is_refused_and_no_harm_is_done() {
    let Some((mut server, disk)) = server_on_a_small_disk().await else { return };
    let car_no = server.register_car().await;
    server.terminate().await;
    disk.fill();
    let ended = Run::serve(&server.data()).ended();
    ended.refused(&["no room", server.data().to_str().unwrap()]);
    disk.make_room();
    server.restart().await;
    let _ = server.get(&path("/v1/cars/{}", &car_no)).await.expect(200);
    server.terminate().await;
    assert!(on(&server.data(), &["verify"]).done().contains("0 findings"));
}

#[test]
fn a_new_store_is_not_made_on_a_full_disk_and_is_made_when_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(directory.path()) else { return };
    disk.fill();
    let data = directory.path().join("data");
    Run::serve(&data).ended().refused(&["no room", data.to_str().unwrap()]);
    disk.make_room();
    let mut server = Run::serve(&data);
    server.ready();
    server.signal("TERM");
    server.ended().done();
    assert!(on(&data, &["verify"]).done().contains("0 findings"));
}
