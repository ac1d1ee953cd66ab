//! What happens in the company: which cars and customers it has, and who books what when. The same plan for the same day.

use anyhow::Context as _;
use jiff::tz::TimeZone;
use jiff::{ToSpan as _, Zoned};
use rentcar::domain::time::{HOUR_MS, MINUTE_MS, Period, Timestamp};

pub const DAYS_BACK: i64 = 30;
const DAYS_AHEAD: i64 = 21;
/// The first day of bookings, so that there is time to make them.
const FIRST_DAY: i64 = -27;
/// The cars on which nothing is left to chance.
const OVERDUE_CAR: usize = 6;
const NO_SHOW_CAR: usize = 17;

pub const BRANCHES: [&str; 2] = ["Seoul", "Busan"];
/// Class, model, daily rate in won, electric or not.
const MODELS: [(&str, &str, u64); 15] = [
    ("Compact", "Kia Morning", 39_000),
    ("Compact", "Kia Ray", 45_000),
    ("Compact", "Hyundai Casper", 47_000),
    ("Sedan", "Hyundai Avante", 59_000),
    ("Sedan", "Kia K5", 75_000),
    ("Sedan", "Hyundai Sonata", 77_000),
    ("Sedan", "Hyundai Grandeur", 109_000),
    ("SUV", "Hyundai Kona", 72_000),
    ("SUV", "Kia Sportage", 89_000),
    ("SUV", "Hyundai Tucson", 89_000),
    ("SUV", "Kia Sorento", 112_000),
    ("Electric", "Kia EV3", 82_000),
    ("Electric", "Hyundai Ioniq 5", 98_000),
    ("Electric", "Kia EV6", 102_000),
    ("Electric", "Hyundai Ioniq 6", 99_000),
];
pub const CARS: usize = 2 * MODELS.len();
/// Number, name, telephone, mail address. The first is who signs in.
pub const CUSTOMERS: [(&str, &str, &str, &str); 30] = [
    ("kim-minji", "Kim Minji", "+82-10-2345-6781", "minji@example.com"),
    ("lee-jihoon", "Lee Jihoon", "+82-10-3456-7812", "jihoon.lee@example.com"),
    ("park-seoyeon", "Park Seoyeon", "+82-10-4567-8123", "seoyeon@example.com"),
    ("choi-hyunwoo", "Choi Hyunwoo", "+82-10-5678-1234", "hyunwoo.choi@example.com"),
    ("jung-yuna", "Jung Yuna", "+82-10-6781-2345", "yuna.jung@example.com"),
    ("kang-dohyun", "Kang Dohyun", "+82-10-7812-3456", "dohyun@example.com"),
    ("yoon-jiwoo", "Yoon Jiwoo", "+82-10-8123-4567", "jiwoo.yoon@example.com"),
    ("lim-sujin", "Lim Sujin", "+82-10-1234-5678", "sujin.lim@example.com"),
    ("han-taeyang", "Han Taeyang", "+82-10-2233-4455", "taeyang@example.com"),
    ("seo-eunji", "Seo Eunji", "+82-10-3344-5566", "eunji.seo@example.com"),
    ("anna-keller", "Anna Keller", "+49-151-2345-6789", "anna.keller@example.com"),
    ("james-carter", "James Carter", "+1-202-555-0147", "james.carter@example.com"),
    ("shin-haeun", "Shin Haeun", "+82-10-4455-6677", "haeun.shin@example.com"),
    ("kwon-minseok", "Kwon Minseok", "+82-10-5566-7788", "minseok@example.com"),
    ("hwang-jimin", "Hwang Jimin", "+82-10-6677-8899", "jimin.hwang@example.com"),
    ("ahn-sohee", "Ahn Sohee", "+82-10-7788-9911", "sohee.ahn@example.com"),
    ("song-junho", "Song Junho", "+82-10-8899-1122", "junho.song@example.com"),
    ("ryu-nari", "Ryu Nari", "+82-10-9911-2233", "nari.ryu@example.com"),
    ("hong-seungwoo", "Hong Seungwoo", "+82-10-1357-2468", "seungwoo@example.com"),
    ("moon-chaewon", "Moon Chaewon", "+82-10-2468-1357", "chaewon@example.com"),
    ("yang-hyejin", "Yang Hyejin", "+82-10-3579-2468", "hyejin.yang@example.com"),
    ("bae-sungmin", "Bae Sungmin", "+82-10-4680-1357", "sungmin.bae@example.com"),
    ("baek-areum", "Baek Areum", "+82-10-5791-2468", "areum@example.com"),
    ("nam-gyuri", "Nam Gyuri", "+82-10-6802-1357", "gyuri.nam@example.com"),
    ("oh-jaehyun", "Oh Jaehyun", "+82-10-7913-2468", "jaehyun.oh@example.com"),
    ("noh-eunbi", "Noh Eunbi", "+82-10-8024-1357", "eunbi@example.com"),
    ("jang-woojin", "Jang Woojin", "+82-10-9135-2468", "woojin.jang@example.com"),
    ("cho-dahye", "Cho Dahye", "+82-10-1246-8024", "dahye.cho@example.com"),
    ("maria-silva", "Maria Silva", "+351-910-555-014", "maria.silva@example.com"),
    ("yuki-tanaka", "Yuki Tanaka", "+81-90-5555-0123", "yuki.tanaka@example.com"),
];
/// Car, first day, days, why.
const BLOCKS: [(usize, i64, i64, &str); 4] = [
    (3, -12, 2, "Regular inspection"),
    (10, -1, 4, "Brake repair"),
    (21, 5, 3, "Winter tyres"),
    (25, 0, 2, "Cleaning and polish"),
];

/// A car as it is registered.
pub struct PlannedCar {
    pub car_no: String,
    pub car_class: &'static str,
    pub model: &'static str,
    pub branch: &'static str,
    pub daily_rate: u64,
    pub registered_on: u32,
}

/// What becomes of a booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Taken at the first instant and brought back at the second, as far as that has come.
    Driven {
        out: Timestamp,
        back: Timestamp,
    },
    /// Paid, taken, and not brought back.
    Overdue {
        out: Timestamp,
    },
    /// Paid, and nobody comes.
    NoShow,
    Cancelled {
        at: Timestamp,
    },
    /// Not paid.
    Held,
}

/// A booking that will be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedBooking {
    pub car: usize,
    pub customer: usize,
    pub made: Timestamp,
    pub period: Period,
    pub fate: Fate,
}

/// A block that will be set.
pub struct PlannedBlock {
    pub car: usize,
    pub made: Timestamp,
    pub period: Period,
    pub reason: &'static str,
}

pub struct Plan {
    pub begins: Timestamp,
    pub now: Timestamp,
    pub bookings: Vec<PlannedBooking>,
    pub blocks: Vec<PlannedBlock>,
}

/// Chance that comes out the same every time (splitmix64).
struct Chance(u64);

impl Chance {
    /// A number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }

    fn within(&mut self, from: i64, to: i64) -> i64 {
        from + i64::try_from(self.below(u64::try_from(to - from).unwrap_or(0))).unwrap_or(0)
    }

    fn one_of(&mut self, count: usize) -> usize {
        usize::try_from(self.below(u64::try_from(count).unwrap_or(1))).unwrap_or(0)
    }
}

/// The days around today, on the clock of the company.
struct Days {
    today: Zoned,
    now: Timestamp,
}

impl Days {
    fn at(&self, day: i64, half_hours: i64) -> anyhow::Result<Timestamp> {
        let midnight = self.today.checked_add(day.days())?;
        let at = midnight.timestamp().as_millisecond() + half_hours * HOUR_MS / 2;
        Timestamp::from_millis(at).context("a day beyond all days")
    }

    fn period(&self, from: (i64, i64), to: (i64, i64)) -> anyhow::Result<Period> {
        let period = Period::new(self.at(from.0, from.1)?, self.at(to.0, to.1)?);
        period.context("a period that ends before it begins")
    }
}

pub fn cars() -> Vec<PlannedCar> {
    let car = |place: usize| {
        let (car_class, model, daily_rate) = MODELS[place % MODELS.len()];
        let in_busan = place >= MODELS.len();
        // The plates of cars for rent have one of these three syllables.
        let syllable = ["하", "허", "호"][place % 3];
        let number = 1_037 + place * 293;
        PlannedCar {
            car_no: format!("{}{syllable}{number}", 101 + place * 7),
            car_class,
            model,
            branch: BRANCHES[usize::from(in_busan)],
            daily_rate: if in_busan { daily_rate - 2_000 } else { daily_rate },
            registered_on: 20_230_300 + u32::try_from(place % 27).unwrap_or(0) + 1,
        }
    };
    (0..CARS).map(car).collect()
}

impl Plan {
    pub fn around(now_ms: i64, zone: &TimeZone) -> anyhow::Result<Plan> {
        let now = Timestamp::from_millis(now_ms).context("the clock of the machine is wrong")?;
        let today = jiff::Timestamp::from_millisecond(now_ms)?.to_zoned(zone.clone()).start_of_day()?;
        let days = Days { today, now };
        let begins = days.at(-DAYS_BACK, 16)?;
        let (mut bookings, mut blocks) = (Vec::new(), Vec::new());
        for (car, day, length, reason) in BLOCKS {
            let made = days.at(day - 2, 19)?.min(now.saturating_add_millis(-3 * HOUR_MS));
            blocks.push(PlannedBlock { car, made, period: days.period((day, 16), (day + length, 36))?, reason });
        }
        bookings.extend(overdue(&days, OVERDUE_CAR)?);
        bookings.extend(no_show(&days, NO_SHOW_CAR)?);
        for car in (0..CARS).filter(|car| ![OVERDUE_CAR, NO_SHOW_CAR].contains(car)) {
            of_car(&days, car, &mut bookings)?;
        }
        Ok(Plan { begins, now, bookings, blocks })
    }
}

/// The bookings of a car beside all others, one after the other, around its blocks.
fn of_car(days: &Days, car: usize, bookings: &mut Vec<PlannedBooking>) -> anyhow::Result<()> {
    let mut chance = Chance(u64::try_from(car).unwrap_or(0) + 1);
    let mut day = FIRST_DAY + chance.within(0, 5);
    loop {
        let length = chance.within(1, 5);
        let blocked = BLOCKS
            .iter()
            .find(|(of, first, blocked, _)| *of == car && day <= first + blocked && *first <= day + length);
        if let Some((_, first, blocked, _)) = blocked {
            day = first + blocked + 1;
            continue;
        }
        if day > DAYS_AHEAD {
            return Ok(());
        }
        let period = days.period((day, chance.within(17, 29)), (day + length, chance.within(18, 38)))?;
        if let Some(customer) = free_customer(&mut chance, bookings, period) {
            bookings.push(booking(days, &mut chance, (car, customer), period)?);
        }
        day += length + chance.within(1, 5);
    }
}

/// Somebody who has no other car then, since nobody drives two; who is late has one for longer than they said.
fn free_customer(chance: &mut Chance, bookings: &[PlannedBooking], period: Period) -> Option<usize> {
    let first = chance.one_of(CUSTOMERS.len());
    let has_a_car = |customer: usize| {
        let mut own = bookings.iter().filter(|booking| booking.customer == customer);
        own.any(|booking| {
            let is_late = matches!(booking.fate, Fate::Overdue { .. });
            booking.period.overlaps(&period) || (is_late && booking.period.to() <= period.to())
        })
    };
    (0..CUSTOMERS.len()).map(|place| (first + place) % CUSTOMERS.len()).find(|customer| !has_a_car(*customer))
}

/// A booking of a period, with whatever may become of it.
fn booking(
    days: &Days,
    chance: &mut Chance,
    (car, customer): (usize, usize),
    period: Period,
) -> anyhow::Result<PlannedBooking> {
    let (now, from, to) = (days.now, period.from(), period.to());
    let earliest = days.at(-DAYS_BACK, 22)?;
    let wanted = from.saturating_add_millis(-chance.within(30, 9 * 24) * HOUR_MS);
    let latest = now.saturating_add_millis(-chance.within(40, 300) * MINUTE_MS);
    let made = wanted.max(earliest).min(latest.max(earliest)).min(from);
    let out = from.saturating_add_millis(chance.within(0, 25) * MINUTE_MS);
    let back = to.saturating_add_millis(-chance.within(5, 150) * MINUTE_MS);
    let cancelled = from.saturating_add_millis(-chance.within(2, 29) * HOUR_MS);
    let fate = match chance.below(12) {
        0 if cancelled > made => Fate::Cancelled { at: cancelled },
        // What was never paid has expired, unless it was booked a moment ago.
        1 | 2 if from > now => Fate::Held,
        1 if to < now => Fate::Held,
        _ => Fate::Driven { out, back },
    };
    // Who has not paid has booked within the last hours, and otherwise days ago.
    let made = if fate == Fate::Held && from > now { latest } else { made };
    Ok(PlannedBooking { car, customer, made, period, fate })
}

/// A car that should have been back some hours ago, and whose next customer comes tomorrow.
fn overdue(days: &Days, car: usize) -> anyhow::Result<Vec<PlannedBooking>> {
    let half_hour = HOUR_MS / 2;
    let end = Timestamp::from_millis((days.now.as_millis() - 5 * HOUR_MS) / half_hour * half_hour);
    let from = days.at(-4, 20)?;
    let period = Period::new(from, end.context("no instant")?).context("no period")?;
    let out = from.saturating_add_millis(10 * MINUTE_MS);
    let late = PlannedBooking { car, customer: 3, made: days.at(-7, 30)?, period, fate: Fate::Overdue { out } };
    let next = days.period((1, 20), (3, 20))?;
    let (out, back) = (next.from(), next.to());
    Ok(vec![
        late,
        PlannedBooking { car, customer: 7, made: days.at(-3, 25)?, period: next, fate: Fate::Driven { out, back } },
    ])
}

/// A car for which nobody has come.
fn no_show(days: &Days, car: usize) -> anyhow::Result<Vec<PlannedBooking>> {
    let period = days.period((-3, 20), (-1, 20))?;
    let missed = PlannedBooking { car, customer: 9, made: days.at(-6, 27)?, period, fate: Fate::NoShow };
    let next = days.period((2, 22), (5, 20))?;
    let (out, back) = (next.from(), next.to());
    Ok(vec![
        missed,
        PlannedBooking { car, customer: 0, made: days.at(-2, 26)?, period: next, fate: Fate::Driven { out, back } },
    ])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on must say so")]

    use super::*;
    use rentcar::domain::ids::{CarNo, CustomerNo};
    use std::collections::BTreeSet;

    #[test]
    fn whatever_the_time_of_day_every_car_is_booked_once_at_a_time_and_everything_is_made_before_now() {
        let zone = TimeZone::get("Asia/Seoul").unwrap();
        for hour in 0..24 {
            let now_ms = 1_796_000_000_000 + hour * HOUR_MS + 17 * MINUTE_MS;
            let plan = Plan::around(now_ms, &zone).unwrap();
            let taken = |car: usize| {
                let booked =
                    plan.bookings.iter().filter(move |booking| booking.car == car).map(|booking| booking.period);
                booked.chain(plan.blocks.iter().filter(move |block| block.car == car).map(|block| block.period))
            };
            for car in 0..CARS {
                let mut periods: Vec<_> = taken(car).collect();
                periods.sort();
                assert!(periods.windows(2).all(|two| two[0].to() <= two[1].from()), "car {car} at {hour}");
            }
            for customer in 0..CUSTOMERS.len() {
                let own = plan.bookings.iter().filter(|booking| booking.customer == customer);
                let mut periods: Vec<_> = own.map(|booking| booking.period).collect();
                periods.sort();
                assert!(periods.windows(2).all(|two| two[0].to() <= two[1].from()), "customer {customer} at {hour}");
            }
            for booking in &plan.bookings {
                assert!(plan.begins < booking.made && booking.made < plan.now, "{booking:?}");
                assert!(booking.made <= booking.period.from(), "{booking:?}");
            }
            assert!(plan.blocks.iter().all(|block| plan.begins < block.made && block.made < plan.now));
            let count = |wanted: &dyn Fn(&PlannedBooking) -> bool| plan.bookings.iter().filter(|b| wanted(b)).count();
            assert_eq!(count(&|b| matches!(b.fate, Fate::Overdue { .. })), 1);
            assert_eq!(count(&|b| b.fate == Fate::NoShow), 1);
            assert!(count(&|b| b.fate == Fate::Held && b.period.from() > plan.now) > 3);
            assert!(count(&|b| matches!(b.fate, Fate::Cancelled { .. })) > 5);
            assert!((100..300).contains(&plan.bookings.len()), "{}", plan.bookings.len());
        }
    }

    #[test]
    fn all_numbers_are_numbers_and_none_is_there_twice() {
        let cars: BTreeSet<_> = cars().iter().map(|car| CarNo::parse(&car.car_no).unwrap()).collect();
        assert_eq!(cars.len(), CARS);
        let customers: BTreeSet<_> =
            CUSTOMERS.iter().map(|(no, ..)| CustomerNo::parse(no).unwrap().to_string()).collect();
        assert_eq!(customers.len(), CUSTOMERS.len());
    }
}
