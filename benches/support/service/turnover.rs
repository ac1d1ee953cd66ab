//! Customers who book a car for a day and, when enough bookings stand, give the oldest back: load that can go on for
//! hours, since periods become free again and calendars stay as full as they are. Every answer is looked at.

use super::scene::{DAYS, FIRST_DAY, booking};
use crate::common::open_loop::{Script, post};
use crate::common::{in_days, means};
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many bookings of each car stand.
pub const STANDING_PER_CAR: usize = 10;
/// The kinds of requests.
const BOOK: usize = 0;
const CANCEL: usize = 1;

/// How many answers of each kind came.
#[derive(Debug, Clone, Copy, Default)]
pub struct Turned {
    /// 201, confirmed.
    pub booked: u64,
    /// 200, cancelled.
    pub cancelled: u64,
    /// 202, 409 or 503: sent away from paying, refused a period that is taken, or sent away altogether.
    pub sent_away: u64,
}

impl Turned {
    /// What has come since an earlier one.
    pub fn since(self, earlier: Turned) -> Turned {
        Turned {
            booked: self.booked - earlier.booked,
            cancelled: self.cancelled - earlier.cancelled,
            sent_away: self.sent_away - earlier.sent_away,
        }
    }

    /// What was done.
    pub fn done(self) -> u64 {
        self.booked + self.cancelled
    }
}

/// The customers of one server.
pub struct Turnover {
    cars: usize,
    days: Vec<String>,
    means: String,
    next: AtomicU64,
    /// What is booked, the oldest first.
    standing: Mutex<VecDeque<String>>,
    booked: AtomicU64,
    cancelled: AtomicU64,
    sent_away: AtomicU64,
    wrong: Mutex<Option<String>>,
}

impl Turnover {
    /// Nothing is booked yet.
    pub fn new(cars: usize) -> Turnover {
        Turnover {
            cars,
            days: (0..=DAYS).map(|day| in_days(FIRST_DAY + i64::try_from(day).unwrap())).collect(),
            means: means().to_string(),
            next: AtomicU64::new(0),
            standing: Mutex::default(),
            booked: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            sent_away: AtomicU64::new(0),
            wrong: Mutex::default(),
        }
    }

    /// Whether so many bookings stand that the oldest are given back.
    pub fn is_full(&self) -> bool {
        self.standing.lock().unwrap().len() >= self.cars * STANDING_PER_CAR
    }

    /// The answers so far.
    ///
    /// # Panics
    /// When one of them was none of those that are counted: then no figure is worth anything.
    pub fn turned(&self) -> Turned {
        if let Some(story) = self.wrong.lock().unwrap().as_ref() {
            panic!("an answer was not as it must be: {story}");
        }
        let count = |counted: &AtomicU64| counted.load(Ordering::Relaxed);
        Turned { booked: count(&self.booked), cancelled: count(&self.cancelled), sent_away: count(&self.sent_away) }
    }

    fn oldest(&self) -> Option<String> {
        let mut standing = self.standing.lock().unwrap();
        if standing.len() >= self.cars * STANDING_PER_CAR { standing.pop_front() } else { None }
    }

    /// One period after the other: every car for the first day, then every car for the second.
    fn booking(&self) -> String {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let at = usize::try_from(turn).unwrap() % (self.cars * DAYS);
        let day = at / self.cars;
        booking(at % self.cars, turn, &self.days[day..], &self.means)
    }
}

impl Script for Turnover {
    fn request(&self, _number: u64) -> (usize, String) {
        match self.oldest() {
            Some(no) => (CANCEL, post(&format!("/v1/reservations/{no}/cancellation"), "")),
            None => (BOOK, post("/v1/reservations", &self.booking())),
        }
    }

    fn answered(&self, kind: usize, request: &str, status: u16, body: &[u8]) {
        let text = std::str::from_utf8(body).unwrap_or_default();
        match (kind, status) {
            (BOOK, 201) if text.contains("\"status\":\"CONFIRMED\"") => {
                self.booked.fetch_add(1, Ordering::Relaxed);
                self.standing.lock().unwrap().push_back(number_in(text).to_owned());
            }
            (CANCEL, 200) if text.contains("\"status\":\"CANCELLED\"") => {
                self.cancelled.fetch_add(1, Ordering::Relaxed);
            }
            (BOOK, 202 | 409 | 503) | (CANCEL, 503) => {
                self.sent_away.fetch_add(1, Ordering::Relaxed);
            }
            _ => {
                let story = || format!("{request}\n-> {status} {text}");
                self.wrong.lock().unwrap().get_or_insert_with(story);
            }
        }
    }
}

/// The number of the reservation that an answer tells of.
fn number_in(answer: &str) -> &str {
    let name = "\"reservationNo\":\"";
    let rest = &answer[answer.find(name).unwrap() + name.len()..];
    &rest[..rest.find('"').unwrap()]
}
