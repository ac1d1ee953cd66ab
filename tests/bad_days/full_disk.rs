//! A full disk: refused with 503, nothing acknowledged is lost, and once there is room the service is back by itself.
//!
//! `RENTCAR_FULL_DISK_ROUNDS` says how many times the disk fills under load (1 by default).

use super::{Run, on};
use crate::common::load::{Customer, Known, Memory, Told};
use crate::common::{Options, SOON, TestServer, car, changes_are_refused, checker, eventually, export, path, unique};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How many customers are busy while the disk fills.
const CUSTOMERS: u64 = 6;
/// How large the disk is, in MiB, and how much more for each round, so that it is never full of what is stored.
const DISK_MIB: u64 = 96;
const ROUND_MIB: u64 = 64;

/// A small disk of its own, until this is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: &Path, mib: u64) -> Option<SmallDisk> {
        let size = format!("size={mib}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(path).output();
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

    /// Leaves this many bytes.
    fn fill_but(&self, left: u64) {
        self.fill();
        let ballast = std::fs::File::options().write(true).open(self.0.join("lost+found")).unwrap();
        ballast.set_len(ballast.metadata().unwrap().len() - left).unwrap();
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

/// A server on a small disk, which takes new business to the last byte.
async fn server_on_a_small_disk() -> Option<(TestServer, SmallDisk)> {
    server_on_a_disk_of(DISK_MIB, Options::default().setting("STORE__DISK_FREE_MIB_MIN", "0")).await
}

async fn server_on_a_disk_of(mib: u64, options: Options) -> Option<(TestServer, SmallDisk)> {
    let mut server = TestServer::with(options).await;
    server.terminate().await;
    let disk = SmallDisk::mount(&server.data(), mib)?;
    server.restart().await;
    Some((server, disk))
}

async fn is_up(server: &TestServer) -> bool {
    let ready = server.get("/actuator/health/readiness").await.status == 200;
    ready && server.get("/actuator/health").await.json["status"] == "UP"
}

async fn everything_acknowledged_is_there(server: &TestServer, memories: &[Memory]) {
    for memory in memories {
        let answer = server.get(&path("/v1/reservations/{}", &memory.reservation_no)).await;
        assert!(memory.allows(&answer), "{memory:?} is found as {}", answer.story());
    }
}

/// Fills the disk under load and makes room again; returns what people were told meanwhile.
async fn a_round(server: &TestServer, disk: &SmallDisk, round: u64) -> Told {
    let mut cars = vec![];
    for _ in 0..6 {
        cars.push(server.register_car().await);
    }
    let (cars, stop) = (Arc::new(cars), Arc::new(AtomicBool::new(false)));
    let customers: Vec<_> = (0..CUSTOMERS)
        .map(|seed| Customer::new(server.api(), round * CUSTOMERS + seed, Arc::clone(&cars), Arc::clone(&stop)))
        .map(|customer| tokio::spawn(customer.run()))
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    disk.fill();
    // The room of the present log file has to be used up first, for which a slow machine takes its time.
    eventually("the service says that it is down", 4 * SOON, async || {
        let health = server.get("/actuator/health").await;
        (health.status, health.json["status"].as_str()) == (503, Some("DOWN"))
    })
    .await;
    changes_are_refused(server).await;
    assert_eq!(server.get("/actuator/health/readiness").await.status, 503);
    assert_eq!(server.get("/actuator/health/liveness").await.status, 200, "no restart is needed");
    // What customers are told meanwhile is a 503 too: their own checks fail at anything else.
    disk.make_room();
    eventually("the service is back by itself", SOON, async || is_up(server).await).await;
    // The same customers go on.
    tokio::time::sleep(Duration::from_millis(200)).await;
    stop.store(true, Ordering::Relaxed);
    let mut all = Told { memories: vec![], registered: cars.to_vec(), answers: 0 };
    for customer in customers {
        let told = customer.await.unwrap();
        all.memories.extend(told.memories);
        all.registered.extend(told.registered);
        all.answers += told.answers;
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_under_load_loses_nothing_and_the_service_is_back_by_itself() {
    let rounds = std::env::var("RENTCAR_FULL_DISK_ROUNDS").map_or(1, |rounds| rounds.parse().unwrap());
    let options = Options::default().setting("STORE__DISK_FREE_MIB_MIN", "0");
    let size_mib = DISK_MIB + (rounds - 1) * ROUND_MIB;
    let Some((mut server, disk)) = server_on_a_disk_of(size_mib, options).await else { return };
    let (mut memories, mut registered, mut answers) = (vec![], vec![], 0);
    for round in 0..rounds {
        let told = a_round(&server, &disk, round).await;
        assert!(!told.memories.is_empty());
        everything_acknowledged_is_there(&server, &told.memories).await;
        memories.extend(told.memories);
        registered.extend(told.registered);
        answers += told.answers;
    }
    everything_acknowledged_is_there(&server, &memories).await;
    for car_no in &registered {
        let _ = server.get(&path("/v1/cars/{}", car_no)).await.expect(200);
    }
    assert!(!server.log().contains("panicked"), "{}", server.log());
    server.terminate().await;
    assert!(on(&server.data(), &["verify"]).done().contains("0 findings"));
    let (_, exported, _) = server.run(&["export"]).await;
    let _ = checker::history_is_sound(&export::events(&String::from_utf8(exported).unwrap()));
    let acknowledged = memories.iter().filter(|memory| memory.known > Known::Refused).count();
    println!("{rounds} rounds: {answers} answers, {acknowledged} reservations acknowledged, none lost, none double");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn little_room_turns_new_business_away_and_lets_what_was_begun_go_on() {
    let options = Options::default().setting("STORE__DISK_FREE_MIB_MIN", "4");
    let Some((server, disk)) = server_on_a_disk_of(DISK_MIB, options).await else { return };
    let (car_no, customer_no) = (server.register_car().await, server.register_customer().await);
    let reserved = server.reserve(&car_no, &customer_no, 3, 5).await;
    disk.fill_but(3 * 1024 * 1024);
    eventually("there is said to be little room", SOON, async || {
        server.get("/actuator/health").await.json["components"]["storage"]["status"] == "DOWN"
    })
    .await;
    let refused = server.post("/v1/cars", &car(&unique("car"))).await.refused(503, "storage_full");
    assert!(!refused.header("retry-after").is_empty());
    let cancel = format!("{}/cancellation", path("/v1/reservations/{}", &reserved.text_at("/reservationNo")));
    let _ = server.post(&cancel, &serde_json::json!({})).await.expect(200);
    disk.make_room();
    eventually("there is room again", SOON, async || {
        server.get("/actuator/health").await.json["components"]["storage"]["status"] == "UP"
    })
    .await;
    server.register_car().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_disk_is_full_still_ends_when_told_to() {
    let Some((mut server, disk)) = server_on_a_small_disk().await else { return };
    let car_no = server.register_car().await;
    disk.fill();
    // The log has room for a while yet.
    eventually("a change is refused", SOON, async || {
        let changes = (0..64).map(|_| async { server.post("/v1/cars", &car(&unique("car"))).await.status });
        futures_util::future::join_all(changes).await.contains(&503)
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
    let Some(disk) = SmallDisk::mount(directory.path(), DISK_MIB) else { return };
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_onto_a_full_disk_leaves_no_part_of_one() {
    let (mut server, _) = super::with_bookings(2, 6).await;
    server.terminate().await;
    let directory = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(directory.path(), 1) else { return };
    disk.fill_but(16 * 1024);
    let output = directory.path().join("backup.jsonl");
    let words = ["backup.jsonl could not be written to its end", "is removed", "make room", "--output", "No space"];
    on(&server.data(), &["export", "--output", output.to_str().unwrap()]).refused(&words);
    assert!(!output.exists());
    disk.make_room();
    on(&server.data(), &["export", "--output", output.to_str().unwrap()]).done();
}
