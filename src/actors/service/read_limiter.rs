//! A concurrency limit for searches and lists: as many run at once as keep the processors busy, and the others wait in
//! a queue here. Without it they would wait in the run queue of the runtime, before the steps of bookings. A read
//! whose expected wait is too long is rejected at once. Reading a thing by its number takes no permit.

use super::Result;
use crate::actors::api::ServiceError;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

/// How many reads run at once for each processor: more than one, since a read may have to wait for the disk.
const READS_PER_PROCESSOR: usize = 2;
/// The usual time of a read is a moving average, in which the latest one weighs 1/16.
const SMOOTHING: u64 = 16;
/// A list may wait four fifths of what a search may, so that lists are shed first.
const LIST_FIFTHS: u32 = 4;
/// The least `retry_after_ms` of a rejected read.
const RETRY_MS_MIN: u64 = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadKind {
    /// A search by period.
    Search,
    /// A list or a page.
    List,
}

impl ReadKind {
    const fn name(self) -> &'static str {
        match self {
            ReadKind::Search => "search",
            ReadKind::List => "list",
        }
    }
}

pub(super) struct ReadLimiter {
    permits: Semaphore,
    permits_max: usize,
    wait_max: Duration,
    waiting: AtomicUsize,
    /// How long a reading usually takes, in microseconds.
    usual_us: AtomicU64,
}

/// A turn, which ends when it is dropped.
pub(super) struct ReadPermit<'a> {
    limiter: &'a ReadLimiter,
    begun: Instant,
    _permit: SemaphorePermit<'a>,
}

impl Drop for ReadPermit<'_> {
    fn drop(&mut self) {
        self.limiter.took(self.begun.elapsed());
    }
}

/// Counts one that waits, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ReadLimiter {
    /// A limiter for the processors of this machine, in which a search waits no longer than `wait_max`.
    pub(super) fn new(wait_max: Duration) -> ReadLimiter {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        ReadLimiter::with_permits(processors * READS_PER_PROCESSOR, wait_max)
    }

    fn with_permits(permits_max: usize, wait_max: Duration) -> ReadLimiter {
        let (permits, waiting, usual_us) = (Semaphore::new(permits_max), AtomicUsize::new(0), AtomicU64::new(0));
        for reading in [ReadKind::Search, ReadKind::List] {
            shed_total(reading).increment(0);
        }
        ReadLimiter { permits, permits_max, wait_max, waiting, usual_us }
    }

    /// Whether a reading that comes now would have its turn in time.
    ///
    /// # Errors
    /// `Overloaded` when it would not.
    pub(super) fn check(&self, reading: ReadKind) -> Result<()> {
        let expected = self.expected();
        if expected <= self.bound(reading) { Ok(()) } else { Err(turned_away(reading, expected)) }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// `Overloaded` when it would take too long, at once if that can be foreseen.
    pub(super) async fn acquire(&self, reading: ReadKind) -> Result<ReadPermit<'_>> {
        self.check(reading)?;
        let waiting = Waiting::new(&self.waiting);
        let until = Instant::now() + self.bound(reading);
        // The semaphore is never closed, so the only failure is the timeout.
        let Ok(Ok(permit)) = timeout_at(until, self.permits.acquire()).await else {
            return Err(turned_away(reading, self.expected()));
        };
        drop(waiting);
        Ok(ReadPermit { limiter: self, begun: Instant::now(), _permit: permit })
    }

    fn bound(&self, reading: ReadKind) -> Duration {
        match reading {
            ReadKind::Search => self.wait_max,
            ReadKind::List => self.wait_max / 5 * LIST_FIFTHS,
        }
    }

    fn expected(&self) -> Duration {
        let waiting = self.waiting.load(Ordering::Relaxed) as u64;
        let usual_us = self.usual_us.load(Ordering::Relaxed);
        Duration::from_micros(waiting.saturating_mul(usual_us) / self.permits_max.max(1) as u64)
    }

    fn took(&self, time: Duration) {
        let time_us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX / SMOOTHING);
        let usual_us = self.usual_us.load(Ordering::Relaxed);
        // Of two that end at the same moment one may be lost: the average need not be exact.
        self.usual_us.store((usual_us * (SMOOTHING - 1) + time_us) / SMOOTHING, Ordering::Relaxed);
    }
}

fn shed_total(reading: ReadKind) -> metrics::Counter {
    metrics::counter!("rentcar_reads_shed_total", "read" => reading.name())
}

fn turned_away(reading: ReadKind, expected: Duration) -> ServiceError {
    shed_total(reading).increment(1);
    let expected_ms = u64::try_from(expected.as_millis()).unwrap_or(u64::MAX);
    ServiceError::Overloaded { retry_after_ms: expected_ms.max(RETRY_MS_MIN) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn who_would_wait_too_long_is_sent_away_at_once_and_lists_first() {
        let limiter = Arc::new(ReadLimiter::with_permits(1, SECOND));
        limiter.usual_us.store(100_000, Ordering::Relaxed);
        let turn = limiter.acquire(ReadKind::Search).await.unwrap();
        let waiting: Vec<_> = (0..9)
            .map(|_| {
                let limiter = Arc::clone(&limiter);
                tokio::spawn(async move { limiter.acquire(ReadKind::Search).await.map(drop).is_ok() })
            })
            .collect();
        tokio::task::yield_now().await;
        assert_eq!(limiter.expected(), 9 * SECOND / 10);
        assert!(matches!(limiter.check(ReadKind::List), Err(ServiceError::Overloaded { .. })));
        limiter.check(ReadKind::Search).unwrap();
        drop(turn);
        for waiting in waiting {
            assert!(waiting.await.unwrap(), "whoever waits has a turn");
        }
        assert_eq!(limiter.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_the_bound_whatever_was_expected() {
        let limiter = ReadLimiter::with_permits(1, SECOND);
        let _turn = limiter.acquire(ReadKind::List).await.unwrap();
        let begun = Instant::now();
        assert!(limiter.acquire(ReadKind::Search).await.is_err());
        assert!(begun.elapsed() >= SECOND && begun.elapsed() < 2 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn the_usual_time_follows_what_readings_take() {
        let limiter = ReadLimiter::with_permits(2, SECOND);
        for _ in 0..200 {
            let _turn = limiter.acquire(ReadKind::List).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let usual_us = limiter.usual_us.load(Ordering::Relaxed);
        assert!((19_000..=21_500).contains(&usual_us), "{usual_us}");
    }
}
