//! What customers ask: one car for one day, paid at once. Every answer is looked at.

use crate::common::open_loop::{Script, post};
use crate::common::{in_days, means};
use crate::service::given;
use rand::SeedableRng;
use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand::rngs::StdRng;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// The days that a car can be booked for, one after the other; after that the customers ask for taken ones. Below the
/// 200 bookings that a calendar holds.
pub const DAYS: usize = 180;
/// How far ahead the first of them is.
pub const FIRST_DAY: i64 = 30;
/// How many customers there are.
const CUSTOMERS: u64 = 5_000;
/// How many choices of a car are drawn before the run, to be repeated.
const DRAWN: usize = 1 << 17;
/// How uneven the choice is, as in YCSB.
const ZIPF_EXPONENT: f64 = 0.99;
/// The same choices in every run.
const SEED: u64 = 4;

/// Which cars are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// All equally.
    Uniform,
    /// A few of them by most.
    Zipf,
}

impl Wanted {
    /// As it is written in a case.
    pub fn name(self) -> &'static str {
        match self {
            Wanted::Uniform => "uniform",
            Wanted::Zipf => "zipf",
        }
    }
}

/// How many answers of each kind came.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Confirmed: 201, or what [`Front`] says.
    pub booked: u64,
    /// 409, the car is taken.
    pub taken: u64,
    /// 202 or 503: sent away from paying, or altogether. They count as no answer.
    pub sent_away: u64,
}

impl Tally {
    /// What was answered in substance.
    pub fn answered(self) -> u64 {
        self.booked + self.taken
    }

    /// What has come since an earlier tally.
    pub fn since(self, earlier: Tally) -> Tally {
        Tally {
            booked: self.booked - earlier.booked,
            taken: self.taken - earlier.taken,
            sent_away: self.sent_away - earlier.sent_away,
        }
    }
}

/// Where customers ask, and how they are told that they have a booking.
#[derive(Debug, Clone, Copy)]
pub struct Front {
    /// By the number of the car.
    pub path: fn(&str) -> String,
    /// The status of the answer.
    pub confirmed: u16,
}

impl Front {
    /// Of rentcar, and of everything that has its HTTP stack.
    pub const OURS: Front = Front { path: |_| "/v1/reservations".to_owned(), confirmed: 201 };
}

/// The customers of one server.
pub struct Scene {
    front: Front,
    cars: usize,
    days: Vec<String>,
    zipf: Vec<usize>,
    means: String,
    /// Whether every request has a key.
    is_keyed: bool,
    is_zipf: AtomicBool,
    next: AtomicU64,
    booked_of: Vec<AtomicUsize>,
    booked: AtomicU64,
    taken: AtomicU64,
    sent_away: AtomicU64,
    wrong: Mutex<Option<String>>,
}

/// The number of the car at a place.
pub fn car_no(at: usize) -> String {
    format!("car-{at}")
}

impl Scene {
    /// Nothing is booked yet.
    pub fn new(cars: usize) -> Scene {
        Scene::before(Front::OURS, cars)
    }

    /// The same before another front.
    pub fn before(front: Front, cars: usize) -> Scene {
        #[allow(clippy::cast_precision_loss, reason = "cars are counted in millions at most")]
        let weights = (0..cars).map(|rank| 1.0 / ((rank + 1) as f64).powf(ZIPF_EXPONENT));
        let ranks = WeightedIndex::new(weights).unwrap();
        let mut dice = StdRng::seed_from_u64(SEED);
        Scene {
            front,
            cars,
            days: (0..=DAYS).map(|day| in_days(FIRST_DAY + i64::try_from(day).unwrap())).collect(),
            zipf: (0..DRAWN).map(|_| ranks.sample(&mut dice)).collect(),
            means: means().to_string(),
            is_keyed: given::count("KEYS", 0) > 0,
            is_zipf: AtomicBool::new(false),
            next: AtomicU64::new(0),
            booked_of: (0..cars).map(|_| AtomicUsize::new(0)).collect(),
            booked: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            sent_away: AtomicU64::new(0),
            wrong: Mutex::default(),
        }
    }

    /// From now on these are wanted.
    pub fn want(&self, wanted: Wanted) {
        self.is_zipf.store(wanted == Wanted::Zipf, Ordering::Relaxed);
    }

    /// The answers so far.
    ///
    /// # Panics
    /// When one of them was neither a confirmed booking, nor the refusal of a taken car, nor a word that there is too
    /// much to do: then no figure is worth anything.
    pub fn tally(&self) -> Tally {
        if let Some(story) = self.wrong.lock().unwrap().as_ref() {
            panic!("an answer was not as it must be: {story}");
        }
        let count = |counted: &AtomicU64| counted.load(Ordering::Relaxed);
        Tally { booked: count(&self.booked), taken: count(&self.taken), sent_away: count(&self.sent_away) }
    }

    /// With its number and its car.
    fn body(&self) -> (u64, usize, String) {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let at = usize::try_from(turn).unwrap();
        let car = if self.is_zipf.load(Ordering::Relaxed) { self.zipf[at % DRAWN] } else { at % self.cars };
        let day = self.booked_of[car].fetch_add(1, Ordering::Relaxed) % DAYS;
        (turn, car, booking(car, turn, &self.days[day..], &self.means))
    }
}

/// A request for one day of a car, the first of `days`, paid at once.
pub fn booking(car: usize, turn: u64, days: &[String], means: &str) -> String {
    format!(
        "{{\"carNo\":\"{}\",\"customerNo\":\"customer-{}\",\"from\":\"{}\",\"to\":\"{}\",\"payment\":{means}}}",
        car_no(car),
        turn % CUSTOMERS,
        days[0],
        days[1],
    )
}

impl Script for Scene {
    fn request(&self, _number: u64) -> (usize, String) {
        let (turn, car, body) = self.body();
        let request = post(&(self.front.path)(&car_no(car)), &body);
        if !self.is_keyed {
            return (0, request);
        }
        (0, request.replacen("\r\n\r\n", &format!("\r\nidempotency-key: booking-{turn}\r\n\r\n"), 1))
    }

    fn answered(&self, _kind: usize, request: &str, status: u16, body: &[u8]) {
        let text = std::str::from_utf8(body).unwrap_or_default();
        match status {
            status
                if status == self.front.confirmed
                    && text.contains("\"status\":\"CONFIRMED\"")
                    && text.contains(car_in(request)) =>
            {
                self.booked.fetch_add(1, Ordering::Relaxed);
            }
            409 if text.contains("\"car_not_available\"") => {
                self.taken.fetch_add(1, Ordering::Relaxed);
            }
            202 | 503 => {
                self.sent_away.fetch_add(1, Ordering::Relaxed);
            }
            _ => {
                let story = || format!("{request}\n-> {status} {text}");
                self.wrong.lock().unwrap().get_or_insert_with(story);
            }
        }
    }
}

/// The member of a request that names the car.
fn car_in(request: &str) -> &str {
    let from = request.find("\"carNo\"").unwrap();
    let length = request[from..].find(',').unwrap();
    &request[from..from + length]
}
