//! Registers cars over HTTP: in several branches and classes, so that a search has something to look for.

use super::progress::Progress;
use super::scene::car_no;
use super::server::Server;
use super::{figures, in_thousands};
use crate::common::open_loop::{Pace, Script, drive, post};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// At how many branches cars stand.
pub const BRANCHES: usize = 20;
/// Which classes of cars there are.
pub const CLASSES: [&str; 5] = ["compact", "midsize", "electric", "suv", "van"];
/// How many register cars at the same time.
const CONNECTIONS: usize = 64;
/// How often it is checked how many there are.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The branch of a number.
pub fn branch(at: usize) -> String {
    format!("branch-{:02}", at % BRANCHES)
}

fn car(at: usize) -> String {
    format!(
        "{{\"carNo\":\"{}\",\"model\":\"Ioniq 5\",\"dailyRate\":{{\"amount\":10000,\"currency\":\"KRW\"}},\
         \"carClass\":\"{}\",\"branch\":\"{}\",\"registeredOn\":\"2020-07-01\"}}",
        car_no(at),
        CLASSES[at % CLASSES.len()],
        branch(at / CLASSES.len())
    )
}

/// Who registers cars, each of them once.
struct Registrar {
    next: AtomicUsize,
    registered: AtomicUsize,
    /// Cars that were sent away and are brought again.
    again: Mutex<Vec<usize>>,
    wrong: Mutex<Option<String>>,
}

impl Script for Registrar {
    fn request(&self, _number: u64) -> (usize, String) {
        let again = self.again.lock().unwrap().pop();
        let at = again.unwrap_or_else(|| self.next.fetch_add(1, Ordering::Relaxed));
        (at, post("/v1/cars", &car(at)))
    }

    fn answered(&self, at: usize, request: &str, status: u16, body: &[u8]) {
        match status {
            201 => drop(self.registered.fetch_add(1, Ordering::Relaxed)),
            503 => self.again.lock().unwrap().push(at),
            _ => {
                let story = || format!("{request}\n-> {status} {}", String::from_utf8_lossy(body));
                self.wrong.lock().unwrap().get_or_insert_with(story);
            }
        }
    }
}

/// Registers the cars from 0 on and waits until everybody knows them. Returns how many were registered in a second.
///
/// # Panics
/// When a car is refused, or an answer does not come.
pub async fn register(server: &Server, cars: usize) -> f64 {
    let registrar = Arc::new(Registrar {
        next: AtomicUsize::new(0),
        registered: AtomicUsize::new(0),
        again: Mutex::default(),
        wrong: Mutex::default(),
    });
    let looking = tokio::spawn(tell(Arc::clone(&registrar), cars));
    let begun = Instant::now();
    loop {
        let left = cars - registrar.registered.load(Ordering::Relaxed);
        if left == 0 {
            break;
        }
        let connections = left.min(CONNECTIONS);
        let pace = Pace::Each((left / connections) as u64);
        let script: Arc<dyn Script> = Arc::clone(&registrar) as _;
        let samples = drive(&server.address(), &script, pace, connections, Duration::MAX).await;
        assert!(samples.iter().all(|sample| sample.status.is_some()), "a car was registered without an answer");
        if let Some(story) = registrar.wrong.lock().unwrap().as_ref() {
            panic!("a car was not registered: {story}");
        }
    }
    let rate = figures::per_second(cars as u64, begun.elapsed());
    looking.abort();
    server.caught_up().await;
    rate
}

async fn tell(registrar: Arc<Registrar>, cars: usize) {
    let mut progress = Progress::of(&format!("registering {} cars", in_thousands(cars)));
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        progress.at(in_thousands(registrar.registered.load(Ordering::Relaxed)));
    }
}
