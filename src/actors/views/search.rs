//! Search by period: the cars that are free, in the order of branch, class and number.

use super::availability::{self, Availability};
use super::{Views, car_no, damaged, rows};
use crate::actors::api::{CursorPage, InvalidCursor};
use crate::domain::ids::CarNo;
use crate::domain::money::Money;
use crate::domain::reservation::Buffers;
use crate::domain::spelling::to_nfc;
use crate::domain::time::{Period, Timestamp};
use crate::store::journal::ReadError;
use crate::store::view_store::Scan;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::collections::BTreeSet;
use std::fmt;
use tokio::task::yield_now;

const CARS_PER_READ: usize = 256;

/// A car that is free for the whole period asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreeCar {
    pub car_no: CarNo,
    pub model: String,
    pub car_class: String,
    pub branch: String,
    pub daily_rate: Money,
}

/// Some of the cars, in the order of branch, class and number.
#[derive(Debug, Clone, Copy)]
pub struct CarsWanted<'a> {
    pub branch: Option<&'a str>,
    pub car_class: Option<&'a str>,
    /// Those after this one.
    pub cursor: Option<&'a CarNo>,
    /// How many at most.
    pub limit: usize,
    /// How many are looked at at most.
    pub scanned_max: usize,
}

/// A place in that order. It stays where it is when the car that stands there goes elsewhere, so that the cars between two
/// places never overlap those between the next two, nor is one left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CarPlace(Vec<u8>);

impl CarPlace {
    /// A place as its `Display` has it.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn parse(text: &str) -> Result<CarPlace, InvalidCursor> {
        let key = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidCursor)?;
        if parts(&key).is_ok() { Ok(CarPlace(key)) } else { Err(InvalidCursor) }
    }
}

impl fmt::Display for CarPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(&self.0))
    }
}

impl Views {
    /// The cars that are free for a whole period, in the order of branch, class and number.
    ///
    /// # Errors
    /// When the rows cannot be read, or the cursor is none of ours.
    pub async fn free_cars(
        &self,
        (period, now): (&Period, Timestamp),
        buffers: &Buffers,
        wanted: CarsWanted<'_>,
    ) -> Result<Result<CursorPage<FreeCar>, InvalidCursor>, ReadError> {
        let free = |key: &[u8], value: &[u8]| {
            let buffer_ms = match buffers.of_every_class() {
                Some(buffer_ms) => buffer_ms,
                None => buffers.of(parts(key)?.1),
            };
            let is_free = availability::is_free(value, period, buffer_ms, now).ok_or_else(malformed)?;
            if is_free { free_car(key, value).map(Some) } else { Ok(None) }
        };
        let Ok(after) = self.key_of(wanted.cursor)? else { return Ok(Err(InvalidCursor)) };
        self.scan_cars(wanted, after, free).await
    }

    /// The cars of a window after a place, with the places that they have themselves; those that have left the fleet only if
    /// something stands there.
    ///
    /// # Errors
    /// When the rows cannot be read, or the place is none of ours.
    pub async fn cars_of_window(
        &self,
        window: &Period,
        after: Option<&CarPlace>,
        wanted: CarsWanted<'_>,
    ) -> Result<Result<CursorPage<(CarPlace, CarNo)>, InvalidCursor>, ReadError> {
        let shown = |key: &[u8], value: &[u8]| {
            let is_shown = availability::is_shown(value, window).ok_or_else(malformed)?;
            if is_shown { Ok(Some((CarPlace(key.to_vec()), car_no(parts(key)?.2)?))) } else { Ok(None) }
        };
        self.scan_cars(wanted, after.map(|place| place.0.clone()), shown).await
    }

    /// The numbers of the cars that are booked in a period that `is_wanted`, which is asked for each with whether the car is
    /// out.
    ///
    /// # Errors
    /// When the rows cannot be read, or the cursor is none of ours.
    pub async fn booked_cars(
        &self,
        wanted: CarsWanted<'_>,
        is_wanted: impl Fn(Period, bool) -> bool + Send + Sync,
    ) -> Result<Result<CursorPage<CarNo>, InvalidCursor>, ReadError> {
        let booked = |key: &[u8], value: &[u8]| {
            let is_booked = availability::is_booked(value, &is_wanted).ok_or_else(malformed)?;
            if is_booked { car_no(parts(key)?.2).map(Some) } else { Ok(None) }
        };
        let Ok(after) = self.key_of(wanted.cursor)? else { return Ok(Err(InvalidCursor)) };
        self.scan_cars(wanted, after, booked).await
    }

    /// The key of the car with which the page before has ended.
    fn key_of(&self, cursor: Option<&CarNo>) -> Result<Result<Option<Vec<u8>>, InvalidCursor>, ReadError> {
        let key = cursor.map(|no| self.store.get(rows::AVAILABILITY_KEYS, no.as_str().as_bytes())).transpose()?;
        Ok(key.map(|key| key.ok_or(InvalidCursor)).transpose())
    }

    /// What `pick` makes of the rows of cars behind a key.
    async fn scan_cars<T>(
        &self,
        wanted: CarsWanted<'_>,
        after: Option<Vec<u8>>,
        pick: impl Fn(&[u8], &[u8]) -> Result<Option<T>, ReadError>,
    ) -> Result<Result<CursorPage<T>, InvalidCursor>, ReadError> {
        let CarsWanted { branch, car_class, cursor: _, limit, scanned_max } = wanted;
        let (branch, car_class) = (branch.map(to_nfc), car_class.map(to_nfc));
        let (branch, car_class) = (branch.as_deref(), car_class.as_deref());
        // Keys begin with the branch: a search for a class without a branch scans the class in each branch in turn.
        let class_everywhere = car_class.filter(|_| branch.is_none());
        let prefix = branch.map_or_else(Vec::new, |branch| rows::availability_prefix(branch, car_class));
        if after.as_ref().is_some_and(|key| !key.starts_with(&prefix)) {
            return Ok(Err(InvalidCursor));
        }
        let mut scan = Scan { prefix, after, reverse: false, limit: CARS_PER_READ.min(limit + 1) };
        if let Some(car_class) = class_everywhere {
            let first = if scan.after.is_some() { scan.after.clone() } else { self.first_car(None)? };
            let Some(first) = first else { return Ok(Ok(CursorPage { items: Vec::new(), next_cursor: None })) };
            scan.prefix = rows::availability_prefix(parts(&first)?.0, Some(car_class));
        }
        let (mut items, mut last, mut scanned) = (Vec::new(), None, 0);
        loop {
            let rows = self.store.scan(rows::AVAILABILITY, &scan)?;
            let exhausted = rows.len() < scan.limit;
            for (key, value) in rows {
                if let Some(item) = pick(&key, &value)? {
                    if items.len() == limit {
                        return Ok(Ok(CursorPage { items, next_cursor: cursor_of(last)? }));
                    }
                    items.push(item);
                    last = Some(key.clone());
                }
                scan.after = Some(key);
                scanned += 1;
                if scanned == scanned_max {
                    return Ok(Ok(CursorPage { items, next_cursor: cursor_of(scan.after)? }));
                }
            }
            scan.limit = CARS_PER_READ;
            if exhausted {
                match class_everywhere.map(|car_class| self.next_branch(&scan.prefix, car_class)).transpose()?.flatten()
                {
                    Some(prefix) => (scan.prefix, scan.after) = (prefix, None),
                    None => return Ok(Ok(CursorPage { items, next_cursor: None })),
                }
            }
            // A long search must not keep a worker thread to itself.
            yield_now().await;
        }
    }

    /// The branches and the classes that cars have, each in their order, `max` of each at most.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub async fn branches_and_classes(&self, max: usize) -> Result<(Vec<String>, Vec<String>), ReadError> {
        let (mut branches, mut classes) = (BTreeSet::new(), BTreeSet::new());
        let mut next = self.first_car(None)?;
        while let Some(key) = next {
            let (branch, class, _) = parts(&key)?;
            branches.extend((!branch.is_empty()).then(|| branch.to_owned()));
            classes.extend((!class.is_empty()).then(|| class.to_owned()));
            if branches.len() >= max || classes.len() >= max {
                break;
            }
            next = self.first_car(Some(rows::after_class(branch, class)))?;
            yield_now().await;
        }
        Ok((branches.into_iter().take(max).collect(), classes.into_iter().take(max).collect()))
    }

    /// The prefix of a class in the next branch, if there is one.
    fn next_branch(&self, prefix: &[u8], car_class: &str) -> Result<Option<Vec<u8>>, ReadError> {
        let first = self.first_car(Some(rows::after_branch(parts(prefix)?.0)))?;
        first.map(|first| Ok(rows::availability_prefix(parts(&first)?.0, Some(car_class)))).transpose()
    }

    fn first_car(&self, after: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, ReadError> {
        let mut rows = self.store.scan(rows::AVAILABILITY, &Scan { after, limit: 1, ..Scan::default() })?;
        Ok(rows.pop().map(|(key, _)| key))
    }
}

fn free_car(key: &[u8], value: &[u8]) -> Result<FreeCar, ReadError> {
    let (branch, car_class, no) = parts(key)?;
    let Availability { model, daily_rate, .. } = Availability::from_bytes(value).map_err(damaged)?;
    let (car_class, branch) = (car_class.to_owned(), branch.to_owned());
    Ok(FreeCar { car_no: car_no(no)?, model, car_class, branch, daily_rate })
}

/// The number of the car with which a page ends.
fn cursor_of(key: Option<Vec<u8>>) -> Result<Option<String>, ReadError> {
    key.map(|key| Ok(parts(&key)?.2.to_owned())).transpose()
}

fn malformed() -> ReadError {
    damaged("a slot's intervals are malformed")
}

fn parts(key: &[u8]) -> Result<(&str, &str, &str), ReadError> {
    rows::availability_parts(key).ok_or_else(|| damaged("a slot without a car"))
}
