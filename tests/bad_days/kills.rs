//! kill -9 while no request is served: during the start, the shutdown, an import, a rebuild.

use super::{Run, all_there, compare, on, serve_refused, with_bookings};
use crate::common::Api;
use crate::common::process::rentcar;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::path::Path;
use std::time::{Duration, Instant};

/// How often each is tried.
const TIMES: u32 = 12;

/// Moments spread over what took `whole`.
fn moments(whole: Duration) -> impl Iterator<Item = Duration> {
    let mut rng = StdRng::seed_from_u64(7);
    (0..TIMES).map(move |at| whole.mul_f64((f64::from(at) + rng.random_range(0.0..1.0)) / f64::from(TIMES)))
}

/// Waits for a moment that is measured in microseconds from here.
fn at(moment: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < moment {
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn starts(data: &Path) -> Duration {
    let begun = Instant::now();
    let mut server = Run::serve(data);
    server.ready();
    let took = begun.elapsed();
    server.signal("TERM");
    server.ended().done();
    took
}

#[test]
fn a_start_killed_while_it_creates_the_store_is_followed_by_one_that_works() {
    let directory = tempfile::tempdir().unwrap();
    let whole = starts(&directory.path().join("measured"));
    for (time, moment) in moments(whole).enumerate() {
        let data = directory.path().join(format!("data{time}"));
        let server = Run::serve(&data);
        at(moment);
        server.kill9();
        starts(&data);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_killed_again_and_again_on_a_store_with_bookings_loses_nothing() {
    let (mut server, acknowledged) = with_bookings(2, 10).await;
    server.kill9();
    let directory = tempfile::tempdir().unwrap();
    let measured = directory.path().join("measured");
    super::copy(&server.data(), &measured);
    let whole = starts(&measured);
    for moment in moments(whole) {
        let started = Run::serve(&server.data());
        at(moment);
        started.kill9();
    }
    assert!(on(&server.data(), &["verify"]).done().contains("0 findings"));
    server.restart().await;
    all_there(compare(&server, &acknowledged).await, &acknowledged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_while_it_ends_loses_nothing() {
    let (mut server, mut acknowledged) = with_bookings(1, 3).await;
    server.terminate().await;
    for moment in moments(Duration::from_millis(120)) {
        let mut run = Run::serve(&server.data());
        let api = Api::at(&run.ready());
        acknowledged.extend(super::book(&api, 1, 2).await);
        run.signal("TERM");
        at(moment);
        run.kill9();
    }
    assert!(on(&server.data(), &["verify"]).done().contains("0 findings"));
    server.restart().await;
    all_there(compare(&server, &acknowledged).await, &acknowledged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_import_is_refused_until_it_is_removed() {
    let (mut server, _) = with_bookings(2, 30).await;
    server.terminate().await;
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("archive");
    on(&server.data(), &["export", "--output", archive.to_str().unwrap()]).done();
    let import = |data: &Path| {
        let mut command = rentcar();
        Run::start(command.arg("import").arg("--input").arg(&archive).arg("--data").arg(data))
    };
    let begun = Instant::now();
    import(&directory.path().join("measured")).ended().done();
    let (mut unfinished, whole) = (0, begun.elapsed());
    for (time, moment) in moments(whole).enumerate() {
        let data = directory.path().join(format!("data{time}"));
        let run = import(&data);
        at(moment);
        run.kill9();
        let state = std::fs::read_to_string(data.join("rentcar.store")).unwrap_or_default();
        if state.contains("importing") {
            unfinished += 1;
            let words = ["import", "did not come to its end", "remove the directory"];
            serve_refused(&data, &words);
            import(&data).ended().refused(&words);
            std::fs::remove_dir_all(&data).unwrap();
        }
        if !state.contains("format") {
            import(&data).ended().done();
        }
        assert!(on(&data, &["verify"]).done().contains("0 findings"));
    }
    println!("{unfinished} of {TIMES} imports were killed in their middle");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_rebuild_is_made_good_by_the_next_start_or_the_next_rebuild() {
    let (mut server, acknowledged) = with_bookings(2, 30).await;
    let customer_no = acknowledged.values().next().unwrap()["customerNo"].as_str().unwrap().to_owned();
    server.terminate().await;
    let begun = Instant::now();
    let digest = on(&server.data(), &["rebuild-views"]).done();
    let whole = begun.elapsed();
    for (time, moment) in moments(whole).enumerate() {
        let mut command = rentcar();
        let run = Run::start(command.args(["rebuild-views", "--data"]).arg(server.data()));
        at(moment);
        run.kill9();
        if time % 3 == 0 {
            assert_eq!(on(&server.data(), &["rebuild-views"]).done(), digest);
        } else if time % 3 == 1 {
            server.restart().await;
            all_there(compare(&server, &acknowledged).await, &acknowledged);
            let list = crate::common::path("/v1/reservations?customerNo={}", &customer_no);
            crate::common::eventually("the list is whole again", crate::common::SOON, async || {
                server.all(&list).await.len() == acknowledged.len()
            })
            .await;
            server.terminate().await;
        }
    }
    assert_eq!(on(&server.data(), &["rebuild-views"]).done(), digest);
}
