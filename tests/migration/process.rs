//! The real program: what it says while it starts, and what the commands beside it say before.

use super::common::client::Extra;
use super::common::process::{Options, TestServer, rentcar};
use super::common::{Api, SOON, eventually};
use super::support::{age, older, open_account, report};
use rentcar::store::schema::{self, DOCUMENT_KINDS};
use rentcar::store::sled::{SledJournal, SledSettings};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// Opens the store of a server that has ended.
fn open(data: &Path) -> SledJournal {
    SledJournal::open(data, &SledSettings::new(&schema::shards(16))).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_says_what_it_rebuilds_and_the_commands_beside_it_that_it_will() {
    let mut server = TestServer::start().await;
    let (car_no, customer_no) = (server.register_car().await, server.register_customer().await);
    let booked = server.reserve(&car_no, &customer_no, 3, 4).await.text_at("/reservationNo");
    server.hold(&car_no, &customer_no, 5, 6).await;
    server.get("/v1/admin/payment/reconciliation").await.expect(200);
    server.terminate().await;
    {
        let journal = Arc::new(open(&server.data()));
        open_account(journal.clone()).await;
        age(&*journal, &schema::ALL).await;
        assert_eq!(older(&report(&*journal).await).len(), DOCUMENT_KINDS.len());
        // Whoever still has it would keep the store locked.
        eventually("the contexts have let the store go", SOON, async || Arc::strong_count(&journal) == 1).await;
    }
    let (status, said, errors) = server.run(&["verify"]).await;
    let said = String::from_utf8(said).unwrap();
    assert!(status.success(), "{said}{errors}");
    for kind in DOCUMENT_KINDS {
        let note = format!("note: older_schema: {}: ", kind.name);
        assert_eq!(said.matches(&note).count(), 1, "{said}");
    }
    assert!(said.contains("will be rebuilt") && said.contains(" 0 violations"), "{said}");
    let (status, _, errors) = server.run(&["reconcile", "--payment-provider", "http://127.0.0.1:1"]).await;
    assert!(!status.success() && errors.contains("start the service once"), "{errors}");

    server.restart().await;
    let log = server.log();
    assert!(log.contains("rebuilding derived state") && log.contains("rebuilt context=\"reservation\""), "{log}");
    assert_eq!(server.reservation(&booked).await.json["status"], "CONFIRMED");
    server.reserve(&car_no, &customer_no, 7, 8).await;
    server.terminate().await;
    let (status, said, errors) = server.run(&["verify"]).await;
    let said = String::from_utf8(said).unwrap();
    assert!(status.success() && !said.contains("older_schema"), "{said}{errors}");
    // The next start has nothing to say of it.
    let before = server.log().len();
    server.restart().await;
    assert!(!server.log()[before..].contains("rebuilt"));
}

/// A free port, which nobody else takes for the moment.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A start that takes until somebody writes to the pipe that stands where the store notes its number of events.
fn start_slowly(data: &Path, port: u16) -> std::process::Child {
    let mark = data.join("rentcar.mark");
    std::fs::remove_file(&mark).unwrap();
    mknodat(CWD, &mark, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let mut command: Command = rentcar();
    command.args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data"]).arg(data);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_takes_long_answers_probes_and_turns_everybody_else_away() {
    let mut server = TestServer::with(Options::default()).await;
    let car_no = server.register_car().await;
    server.terminate().await;
    let (data, port) = (server.data(), free_port());
    let mut starting = start_slowly(&data, port);
    let api = Api::at(&format!("http://127.0.0.1:{port}"));
    let answers = async |path: &str| {
        let asked = api.try_send(reqwest::Method::GET, path, None, Extra::default()).await;
        asked.map_or(0, |answer| answer.status)
    };
    eventually("it says that it lives", SOON, async || answers("/actuator/health/liveness").await == 200).await;
    assert_eq!(answers("/actuator/health/readiness").await, 503);
    let health = api.get("/actuator/health").await.expect(503);
    assert_eq!(health.json["components"]["startup"]["status"], "DOWN", "{}", health.story());
    let refused = api.get("/v1/cars").await.refused(503, "starting");
    assert!(!refused.header("retry-after").is_empty());
    let car = super::common::car("another");
    api.post("/v1/cars", &car).await.refused(503, "starting");

    let mut mark = std::fs::File::options().write(true).open(data.join("rentcar.mark")).unwrap();
    mark.write_all(&[b'0'; 64]).unwrap();
    eventually("it is ready", SOON, async || answers("/actuator/health/readiness").await == 200).await;
    api.get(&super::common::path("/v1/cars/{}", &car_no)).await.expect(200);
    starting.kill().unwrap();
    starting.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_takes_long_can_be_stopped() {
    let mut server = TestServer::start().await;
    server.terminate().await;
    let (data, port) = (server.data(), free_port());
    let mut starting = start_slowly(&data, port);
    let api = Api::at(&format!("http://127.0.0.1:{port}"));
    eventually("it says that it lives", SOON, async || {
        let asked = api.try_send(reqwest::Method::GET, "/actuator/health/liveness", None, Extra::default()).await;
        asked.is_ok_and(|answer| answer.status == 200)
    })
    .await;
    assert!(Command::new("kill").args(["-TERM", &starting.id().to_string()]).status().unwrap().success());
    let ended = tokio::task::spawn_blocking(move || starting.wait().unwrap());
    let ended = tokio::time::timeout(SOON, ended).await.expect("it ends").unwrap();
    assert_eq!(ended.code(), Some(0));
}
