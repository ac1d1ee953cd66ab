//! `rentcar backup`: an archive of a running service. It is a consistent snapshot with everything acknowledged before; a
//! service restored from it goes on from there; and an incomplete archive is never accepted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::client::Extra;
use common::load::{Customer, Known, Memory, Told};
use common::{Api, Options, Provider, SOON, TestServer, checker, eventually, export, path, process, unique};
use futures_util::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const BACKUP: &str = "/v1/admin/backup";
/// How many customers are busy at the same time.
const CUSTOMERS: u64 = 8;
const CARS: usize = 10;
/// How many questions are asked at the same time.
const ASKED_AT_ONCE: usize = 16;
/// More than lies on the way to somebody who does not read.
const BALLAST_BYTES: usize = 16 * 1024 * 1024;

/// How a command has ended, with what it complained of.
struct Ended {
    status: ExitStatus,
    complaint: String,
}

fn begin_backup(url: &str, output: &Path) -> Child {
    let mut command = process::rentcar();
    command.args(["backup", "--url", url, "--output"]).arg(output).stderr(Stdio::piped()).stdout(Stdio::null());
    command.spawn().unwrap()
}

async fn end_of(child: Child) -> Ended {
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    Ended { status: output.status, complaint: String::from_utf8_lossy(&output.stderr).into_owned() }
}

async fn back_up(url: &str, output: &Path) -> Ended {
    end_of(begin_backup(url, output)).await
}

/// A complete backup; returns its lines.
async fn whole_backup(url: &str, output: &Path) -> String {
    let ended = back_up(url, output).await;
    assert!(ended.status.success(), "{}", ended.complaint);
    assert!(ended.complaint.contains("events and"), "{}", ended.complaint);
    assert!(!part_of(output).exists());
    std::fs::read_to_string(output).unwrap()
}

fn part_of(output: &Path) -> PathBuf {
    output.with_file_name(format!("{}.part", output.file_name().unwrap().to_str().unwrap()))
}

fn lines(archive: &str) -> Vec<Value> {
    archive.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Customers who are busy until they are told to stop.
struct Busy {
    customers: JoinSet<Told>,
    stop: Arc<AtomicBool>,
}

impl Busy {
    fn at(api: &Api, cars: &Arc<Vec<String>>, seed: u64) -> Busy {
        let (mut customers, stop) = (JoinSet::new(), Arc::new(AtomicBool::new(false)));
        for number in 0..CUSTOMERS {
            let customer = Customer::new(api.clone(), seed + number, Arc::clone(cars), Arc::clone(&stop));
            customers.spawn(customer.run());
        }
        Busy { customers, stop }
    }

    async fn stop(self) -> Vec<Memory> {
        self.stop.store(true, Ordering::Relaxed);
        let told = self.customers.join_all().await;
        assert!(told.iter().map(|told| told.answers).sum::<usize>() > 50, "the customers were hardly busy");
        told.into_iter().flat_map(|told| told.memories).collect()
    }
}

async fn everything_acknowledged_is_there(api: &Api, memories: &[Memory]) {
    let checks = futures_util::stream::iter(memories).map(|memory| async move {
        let answer = api.get(&path("/v1/reservations/{}", &memory.reservation_no)).await;
        assert!(memory.allows(&answer), "{memory:?} is found as {}", answer.story());
    });
    checks.buffer_unordered(ASKED_AT_ONCE).collect::<Vec<()>>().await;
}

/// An archive is consistent: nothing in it refers to an event that is not in it.
fn assert_one_moment(archive: &str) {
    let place = |line: &Value| (line["context"].as_str().unwrap().to_owned(), line["shard"].as_u64().unwrap());
    let (mut heads, lines) = (HashMap::new(), lines(archive));
    for line in lines.iter().filter(|line| line["kind"] == "event") {
        let head = heads.entry(place(line)).or_insert(0);
        *head += 1;
        assert_eq!(line["position"], *head, "{line}");
    }
    let mut caused = 0;
    for line in &lines {
        let referred = if line["kind"] == "progress" { line } else { &line["cause"] };
        if referred.is_object() {
            let head = heads.get(&place(referred)).copied().unwrap_or(0);
            assert!(referred["position"].as_u64().unwrap() <= head, "{line} refers to what is not there");
            caused += 1;
        }
    }
    assert!(caused > 20, "hardly anything refers to anything");
}

/// A service restored from an archive has what was acknowledged before, and takes new bookings.
async fn goes_on_from(archive: &Path, options: Options, before: &[Memory], cars: &[String]) {
    let restored = TestServer::restored(options, archive).await;
    everything_acknowledged_is_there(&restored, before).await;
    let (car_no, customer_no) = (restored.register_car().await, unique("cust"));
    let booked = restored.reserve(&car_no, &customer_no, 1, 2).await.text_at("/reservationNo");
    restored.car_becomes(&car_no, "RENTED").await;
    restored.my_page_shows(&customer_no, &booked, &["reservation.confirmed"]).await;
    let is_where_it_was_told = |memory: &&Memory| memory.known == Known::Confirmed && memory.changes.is_empty();
    let live = before.iter().filter(is_where_it_was_told);
    let mut refused = 0;
    for memory in live.take(5) {
        let mut again = memory.body.clone();
        for member in ["carNo", "from", "to"] {
            again[member] = memory.place[member].clone();
        }
        again["reservationNo"] = unique("res").into();
        restored.post("/v1/reservations", &again).await.refused(409, "car_not_available");
        refused += 1;
    }
    assert!(refused > 0, "no booking was live");
    let items = restored.all("/v1/cars").await;
    assert!(cars.iter().all(|car_no| items.iter().any(|item| item["carNo"] == car_no.as_str())), "cars are missing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_under_load_are_moments_from_which_a_service_goes_on_and_nothing_is_lost_meanwhile() {
    let provider = Provider::start().await;
    let options = || Options { provider: Some(provider.url().to_owned()), ..Options::default() };
    let mut server = TestServer::with(options()).await;
    let folder = tempfile::tempdir().unwrap();
    let mut cars = vec![];
    for _ in 0..CARS {
        cars.push(server.register_car().await);
    }
    let cars = Arc::new(cars);
    let busy = Busy::at(&server, &cars, 1);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let mut before = busy.stop().await;
    // From here on backups are made while others go on.
    let busy = Busy::at(&server, &cars, 100);
    let (car_no, customer_no) = (server.register_car().await, unique("cust"));
    let mut backups = vec![];
    for round in 0..3 {
        let day = 3 + 2 * round;
        let booked = server.reserve(&car_no, &customer_no, day, day + 1).await.text_at("/reservationNo");
        let output = folder.path().join(format!("{round}.jsonl"));
        let archive = whole_backup(&server.url, &output).await;
        assert_one_moment(&archive);
        let events = export::events(&archive);
        let held = checker::history_is_sound(&events);
        assert!(held.contains(&booked), "{booked} was acknowledged before the backup began");
        let known = |memory: &&Memory| !matches!(memory.known, Known::Nothing | Known::Refused);
        let lost = before.iter().filter(known).find(|memory| !held.contains(&memory.reservation_no));
        assert!(lost.is_none(), "{lost:?}");
        backups.push((output, events.len()));
    }
    assert!(backups.windows(2).all(|pair| pair[0].1 < pair[1].1), "others went on meanwhile: {backups:?}");
    let meanwhile = busy.stop().await;
    everything_acknowledged_is_there(&server, &meanwhile).await;
    everything_acknowledged_is_there(&server, &before).await;
    server.terminate().await;
    let (status, _, log) = server.run(&["verify"]).await;
    assert!(status.success(), "{log}");
    before.retain(|memory| memory.known != Known::Nothing);
    for (archive, _) in [&backups[0], &backups[2]] {
        goes_on_from(archive, options(), &before, &cars).await;
    }
}

/// A service on a store that is so large that a backup of it is under way for as long as a test wants.
async fn laden() -> TestServer {
    let shards: HashMap<_, _> =
        ["account", "customer", "fleet", "payment", "rental", "reservation"].map(|name| (name, 16)).into();
    let mut archive =
        format!("{}\n", json!({"kind": "header", "format": "rentcar-archive", "version": 1, "shards": shards}));
    let body = STANDARD.encode(vec![7; 90 * 1024]);
    let count = BALLAST_BYTES / body.len();
    for key in 0..count {
        let document = json!({"kind": "document", "document": "ballast", "key": key.to_string(), "body": body});
        writeln!(archive, "{document}").unwrap();
    }
    let sha256 = Sha256::digest(&archive).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let trailer = json!({"kind": "trailer", "events": 0, "records": count, "sha256": sha256});
    writeln!(archive, "{trailer}").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ballast.jsonl");
    std::fs::write(&file, archive).unwrap();
    TestServer::restored(Options::default(), &file).await
}

/// A backup of which only the beginning is fetched.
async fn begun_backup(server: &TestServer) -> TcpStream {
    let mut connection = TcpStream::connect(server.address()).await.unwrap();
    let request = format!("GET {BACKUP} HTTP/1.1\r\nHost: {}\r\n\r\n", server.address());
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut begun = String::new();
    while !begun.contains("\"kind\":\"header\"") {
        let mut bytes = [0; 512];
        let count = tokio::time::timeout(SOON, connection.read(&mut bytes)).await.unwrap().unwrap();
        assert!(count > 0, "{begun}");
        begun.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
    }
    let head = begun.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200 ok\r\n"), "{begun}");
    for header in ["content-type: application/x-ndjson\r\n", "cache-control: no-store\r\n"] {
        assert!(head.contains(header), "{begun}");
    }
    connection
}

/// Until nobody makes a backup any more, as far as the service says.
async fn a_backup_is_free(api: &Api) {
    eventually("a backup can be made", SOON, async || {
        let answer = api.http().get(format!("{}{BACKUP}", api.url)).send().await.unwrap();
        answer.status() == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_backup_is_made_at_a_time_and_whoever_leaves_makes_room() {
    let server = laden().await;
    let folder = tempfile::tempdir().unwrap();
    let first = begun_backup(&server).await;
    server.get(BACKUP).await.refused(409, "backup_running");
    let output = folder.path().join("second.jsonl");
    let ended = back_up(&server.url, &output).await;
    assert!(!ended.status.success());
    assert!(ended.complaint.contains("another backup is being made: wait"), "{}", ended.complaint);
    assert!(ended.complaint.contains("backup_running"), "{}", ended.complaint);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left of a backup that was refused");
    // A client that does not read does not block bookings.
    let car_no = server.register_car().await;
    server.reserve(&car_no, &unique("cust"), 1, 2).await;
    drop(first);
    a_backup_is_free(&server).await;
    a_backup_is_free(&server).await;
    server.get(&format!("{BACKUP}?x=1")).await.refused(400, "invalid_query");
    let answer = server.send(Method::POST, BACKUP, None, Extra::default()).await.refused(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), "GET, HEAD");
}

/// Whether what came of a backup is refused by an import, and the directory is no store afterwards.
async fn is_refused(part: &Path) {
    let (part, folder) = (part.to_owned(), tempfile::tempdir().unwrap());
    let import = tokio::task::spawn_blocking(move || {
        let data = folder.path().join("data");
        let run = |subcommand: &str, more: &[&str]| {
            let mut command = process::rentcar();
            command.arg(subcommand).arg("--data").arg(&data).args(more);
            let output = command.output().unwrap();
            (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        (run("import", &["--input", part.to_str().unwrap()]), run("verify", &[]))
    });
    let ((imported, complaint), (verified, _)) = import.await.unwrap();
    assert!(!imported && complaint.contains("cut short"), "{complaint}");
    assert!(!verified);
}

async fn some_of_it_has_come(part: &Path) {
    let what = "some of the backup has come";
    eventually(what, SOON, async || std::fs::metadata(part).is_ok_and(|file| file.len() > 0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_breaks_off_is_no_file_of_that_name_and_what_came_is_refused() {
    let mut server = laden().await;
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("backup.jsonl");
    let part = part_of(&output);
    for politely in [false, true] {
        let child = begin_backup(&server.url, &output);
        some_of_it_has_come(&part).await;
        let busy = back_up(&server.url, &output).await;
        assert!(!busy.status.success() && busy.complaint.contains("another backup is writing"), "{}", busy.complaint);
        if politely {
            let begun = std::time::Instant::now();
            server.terminate().await;
            assert!(begun.elapsed() < Duration::from_secs(9), "the service waited for the backup");
        } else {
            server.kill9();
        }
        let ended = end_of(child).await;
        assert!(!ended.status.success() && !output.exists());
        let complaint = &ended.complaint;
        assert!(complaint.contains("there is no backup") && complaint.contains("backup.jsonl.part"), "{complaint}");
        assert!(complaint.contains("the service did not send all of it"), "{complaint}");
        assert!(std::fs::metadata(&part).unwrap().len() > 0);
        is_refused(&part).await;
        std::fs::remove_file(&part).unwrap();
        server.restart().await;
    }
    let mut connection = begun_backup(&server).await;
    server.terminate().await;
    let mut rest = vec![];
    let _ = tokio::time::timeout(SOON, connection.read_to_end(&mut rest)).await.unwrap();
    assert!(!String::from_utf8_lossy(&rest).contains("\"kind\":\"trailer\""));
    assert!(!rest.ends_with(b"0\r\n\r\n"), "whoever fetches it by other means sees that it breaks off");
}

/// The kinds and keys of the documents of an archive.
fn documents(archive: &str) -> Vec<(String, String)> {
    let lines = lines(archive);
    let documents = lines.iter().filter(|line| line["kind"] == "document");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    documents.map(|line| (text(&line["document"]), text(&line["key"]))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_has_the_keys_of_customers_who_live_and_of_no_erased_one() {
    let server = TestServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (living, erased) = (server.register_customer().await, server.register_customer().await);
    let before = whole_backup(&server.url, &folder.path().join("before.jsonl")).await;
    server.delete(&path("/v1/customers/{}", &erased)).await.expect(204);
    let output = folder.path().join("after.jsonl");
    let after = whole_backup(&server.url, &output).await;
    let keys_of = |archive: &str, customer_no: &str| {
        let of_it = |(kind, key): &(String, String)| key == customer_no && kind.contains("key");
        documents(archive).into_iter().filter(of_it).count()
    };
    assert_eq!((keys_of(&before, &living), keys_of(&before, &erased)), (1, 1));
    assert_eq!((keys_of(&after, &living), keys_of(&after, &erased)), (1, 0));
    assert!(!after.contains("Kim Minji") && !after.contains("1234-5678"), "personal data is sealed");
    let restored = TestServer::restored(Options::default(), &output).await;
    let found = restored.get(&path("/v1/customers/{}", &living)).await.expect(200);
    assert_eq!(found.json["name"], "Kim Minji");
    restored.get(&path("/v1/customers/{}", &erased)).await.refused(410, "customer_erased");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_cannot_be_made_names_the_cause_and_what_to_do() {
    let server = TestServer::start().await;
    let provider = Provider::start().await;
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("backup.jsonl");
    let nobody = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", free.local_addr().unwrap())
    };
    let cases = [
        (nobody.as_str(), 1, "no service can be reached", "`rentcar export`"),
        (provider.url(), 1, "is not the service of rentcar", "`rentcar serve`"),
        ("foo", 2, "'foo'", "http://127.0.0.1:8080"),
        ("127.0.0.1:8080", 2, "'127.0.0.1:8080'", "http://127.0.0.1:8080"),
        ("http://rent.example", 1, "can read and change", "--allow-plain-http"),
    ];
    for (url, code, cause, next_step) in cases {
        let ended = back_up(url, &output).await;
        let complaint = &ended.complaint;
        assert_eq!(ended.status.code(), Some(code), "{complaint}");
        assert!(complaint.contains(cause) && complaint.contains(next_step), "{url}: {complaint}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{url}: something was left");
    }
    std::fs::write(&output, "dear").unwrap();
    let ended = back_up(&server.url, &output).await;
    assert!(!ended.status.success(), "{}", ended.complaint);
    assert!(
        ended.complaint.contains("is there already") && ended.complaint.contains("--output"),
        "{}",
        ended.complaint
    );
    assert_eq!(std::fs::read_to_string(&output).unwrap(), "dear");
    let ended = back_up(&server.url, &folder.path().join("nowhere").join("backup.jsonl")).await;
    assert!(!ended.status.success() && ended.complaint.contains("cannot be created"), "{}", ended.complaint);
    // Leftovers of a killed backup do not block the next one.
    let second = folder.path().join("second.jsonl");
    std::fs::write(part_of(&second), vec![b'x'; 1_000_000]).unwrap();
    whole_backup(&server.url, &second).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_to_standard_output_is_the_same_and_may_be_read_in_part() {
    let server = laden().await;
    let url = server.url.clone();
    let read = tokio::task::spawn_blocking(move || {
        let backup = || {
            let mut command = process::rentcar();
            command.args(["backup", "--url", &url]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let mut child = backup();
        let mut begun = [0; 40];
        child.stdout.take().unwrap().read_exact(&mut begun).unwrap();
        (begun, child.wait_with_output().unwrap())
    });
    let (begun, output) = read.await.unwrap();
    assert!(begun.starts_with(b"{\"kind\":\"header\""));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    a_backup_is_free(&server).await;
}

#[tokio::test]
async fn in_a_directory_a_backup_has_the_name_of_its_instant() {
    let server = TestServer::start().await;
    server.register_car().await;
    let directory = tempfile::tempdir().unwrap();
    let ended = back_up(&server.url, directory.path()).await;
    assert!(ended.status.success(), "{}", ended.complaint);
    let made: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [made] = made.as_slice() else { panic!("{made:?}") };
    let shape = |text: &str| text.replace(|letter: char| letter.is_ascii_digit(), "0");
    assert_eq!(shape(made.file_name().unwrap().to_str().unwrap()), "rentcar-00000000T000000Z.jsonl");
    TestServer::restored(Options::default(), made).await;
}
