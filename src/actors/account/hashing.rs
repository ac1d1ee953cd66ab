//! The threads that hash passwords, and the queue in front of them. A hash takes the memory and the time of a hundred
//! bookings: it is made off the runtime, at the lowest priority of the system, and a flood of sign-ins is refused instead of
//! being queued. Whose address has failed least comes first, so that whoever knows their password gets through.

use super::password::{HashCost, Password};
use crate::domain::account::PasswordHash;
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// What a thread is asked to make way for anything else (`nice`, from 0 to 19): of a core that others want it gets about a
/// fortieth.
const NICENESS: i32 = 15;
/// The most that wait.
const QUEUE_LEN_MAX: usize = 64;
/// The most of one address that wait.
const PER_ADDRESS_MAX: u32 = 4;
/// How long one waits at most.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// From how many on those who wait count as a flood.
const FLOOD_LEN_MIN: usize = 8;
/// How long a thread rests in a flood, for each unit of time that it has hashed: it takes a twentieth of a core at most, also of
/// cores that have nothing else to do for a moment.
const REST_PER_WORK: u32 = 19;
/// The longest rest.
const REST_MAX: Duration = Duration::from_secs(1);

/// The queue is full of what comes first, or it took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many sign in at the moment")]
pub struct Busy;

/// Who waits: the lower the rank, the sooner; then in the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// The client's address, or what stands for it.
    pub address: u128,
    /// 0 of whoever is known there; else the more it has failed lately, the higher.
    pub rank: u32,
}

impl Turn {
    /// Of those who manage accounts.
    pub const OPERATOR: Turn = Turn::first(0);

    /// Of an address that has shown that it may.
    pub const fn first(address: u128) -> Turn {
        Turn { address, rank: 0 }
    }
}

enum Work {
    Hash(Password, oneshot::Sender<Option<PasswordHash>>),
    /// Without a hash, the time of one is spent all the same.
    Verify(Password, Option<PasswordHash>, oneshot::Sender<bool>),
}

impl Work {
    fn is_abandoned(&self) -> bool {
        match self {
            Work::Hash(_, answer) => answer.is_closed(),
            Work::Verify(_, _, answer) => answer.is_closed(),
        }
    }
}

struct Waiting {
    work: Work,
    address: u128,
    until: Instant,
}

#[derive(Default)]
struct Queue {
    /// By rank and arrival.
    waiting: BTreeMap<(u32, u64), Waiting>,
    per_address: HashMap<u128, u32>,
    arrived: u64,
    closed: bool,
}

impl Queue {
    /// # Errors
    /// When there is no room for it.
    fn put(&mut self, turn: Turn, work: Work, now: Instant) -> Result<(), Busy> {
        let of_address = self.per_address.get(&turn.address).copied().unwrap_or(0);
        if self.closed || of_address >= PER_ADDRESS_MAX {
            return Err(Busy);
        }
        if self.waiting.len() >= QUEUE_LEN_MAX {
            let is_over = |waiting: &Waiting| waiting.until <= now || waiting.work.is_abandoned();
            let over: Vec<_> = self.waiting.iter().filter(|(_, it)| is_over(it)).map(|(key, _)| *key).collect();
            for key in over {
                self.remove(key);
            }
        }
        if self.waiting.len() >= QUEUE_LEN_MAX {
            let last = self.waiting.last_key_value().map(|(key, _)| *key);
            let Some(last) = last.filter(|(rank, _)| turn.rank < *rank) else { return Err(Busy) };
            // Its answer is dropped, so it is told that it is busy here.
            self.remove(last);
        }
        self.arrived += 1;
        let waiting = Waiting { work, address: turn.address, until: now + WAIT_MAX };
        self.waiting.insert((turn.rank, self.arrived), waiting);
        *self.per_address.entry(turn.address).or_default() += 1;
        Ok(())
    }

    fn remove(&mut self, key: (u32, u64)) -> Option<Waiting> {
        let waiting = self.waiting.remove(&key)?;
        if let Some(count) = self.per_address.get_mut(&waiting.address) {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&waiting.address);
            }
        }
        Some(waiting)
    }

    /// The next that somebody still waits for.
    fn next(&mut self, now: Instant) -> Option<Work> {
        while let Some((key, _)) = self.waiting.first_key_value() {
            let waiting = self.remove(*key)?;
            if now < waiting.until && !waiting.work.is_abandoned() {
                return Some(waiting.work);
            }
        }
        None
    }
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Something waits, or the queue is closed.
    changed: Condvar,
}

/// Hashes passwords. Its threads end when it is dropped.
pub struct PasswordHasher {
    shared: Arc<Shared>,
}

impl PasswordHasher {
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(cost: HashCost, threads: usize) -> io::Result<PasswordHasher> {
        let shared = Arc::new(Shared::default());
        let hasher = PasswordHasher { shared: Arc::clone(&shared) };
        for _ in 0..threads.max(1) {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name("passwords".to_owned()).spawn(move || work(&shared, cost))?;
        }
        Ok(hasher)
    }

    /// The hash of a password.
    ///
    /// # Errors
    /// When too many sign in.
    pub async fn hash(&self, turn: Turn, password: Password) -> Result<PasswordHash, Busy> {
        let (answer, answered) = oneshot::channel();
        self.put(turn, Work::Hash(password, answer))?;
        tokio::time::timeout(WAIT_MAX, answered).await.ok().and_then(Result::ok).flatten().ok_or(Busy)
    }

    /// Whether a password is the one with this hash. It takes as long when there is none.
    ///
    /// # Errors
    /// When too many sign in.
    pub async fn verify(&self, turn: Turn, password: Password, hash: Option<PasswordHash>) -> Result<bool, Busy> {
        let (answer, answered) = oneshot::channel();
        self.put(turn, Work::Verify(password, hash, answer))?;
        tokio::time::timeout(WAIT_MAX, answered).await.ok().and_then(Result::ok).ok_or(Busy)
    }

    fn put(&self, turn: Turn, work: Work) -> Result<(), Busy> {
        self.shared.queue.lock().put(turn, work, Instant::now())?;
        self.shared.changed.notify_one();
        Ok(())
    }
}

impl Drop for PasswordHasher {
    fn drop(&mut self) {
        let mut queue = self.shared.queue.lock();
        queue.closed = true;
        queue.waiting.clear();
        self.shared.changed.notify_all();
    }
}

fn work(shared: &Shared, cost: HashCost) {
    // Of the calling thread alone, on Linux.
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::warn!(%error, "passwords are hashed at the priority of everything else");
    }
    loop {
        let work = {
            let mut queue = shared.queue.lock();
            loop {
                if let Some(work) = queue.next(Instant::now()) {
                    break work;
                }
                if queue.closed {
                    return;
                }
                shared.changed.wait(&mut queue);
            }
        };
        // A panic drops the answer, which says that it is busy here, and the thread goes on.
        let begun = Instant::now();
        if catch_unwind(AssertUnwindSafe(|| done(work, cost))).is_err() {
            tracing::error!("a password could not be hashed");
        }
        let worked = begun.elapsed();
        let is_flooded = shared.queue.lock().waiting.len() >= FLOOD_LEN_MIN;
        if is_flooded {
            std::thread::sleep(worked.saturating_mul(REST_PER_WORK).min(REST_MAX));
        }
    }
}

fn done(work: Work, cost: HashCost) {
    match work {
        Work::Hash(password, answer) => {
            let _ = answer.send(password.hash(cost).ok());
        }
        Work::Verify(password, Some(hash), answer) => {
            let _ = answer.send(password.is(&hash));
        }
        Work::Verify(password, None, answer) => {
            let spent = password.hash(cost);
            drop(spent);
            let _ = answer.send(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot::error::TryRecvError::Closed;

    const CHEAP: HashCost = HashCost { memory_kib: 8, passes: 1 };

    fn verify() -> (Work, oneshot::Receiver<bool>) {
        let (answer, answered) = oneshot::channel();
        (Work::Verify(Password::typed("password").unwrap(), None, answer), answered)
    }

    fn turn(address: u128, rank: u32) -> Turn {
        Turn { address, rank }
    }

    #[test]
    fn who_has_failed_least_comes_first_and_takes_the_place_of_who_has_failed_most() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let mut flood = vec![];
        for address in 0..64 {
            let (work, answered) = verify();
            queue.put(turn(address, 3), work, now).unwrap();
            flood.push(answered);
        }
        let (work, _late) = verify();
        assert_eq!(queue.put(turn(100, 3), work, now), Err(Busy), "it is full of those who came before");
        let (work, mut honest) = verify();
        queue.put(turn(101, 0), work, now).unwrap();
        assert_eq!(queue.waiting.len(), QUEUE_LEN_MAX);
        let turned_away =
            flood.into_iter().filter_map(|mut answered| answered.try_recv().err()).filter(|error| *error == Closed);
        assert_eq!(turned_away.count(), 1);
        let Some(Work::Verify(_, _, answer)) = queue.next(now) else { panic!("nobody waits") };
        answer.send(true).unwrap();
        assert_eq!(honest.try_recv(), Ok(true));
    }

    #[test]
    fn one_address_does_not_fill_the_queue_and_gets_its_places_back() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let mut kept = vec![];
        for _ in 0..PER_ADDRESS_MAX {
            let (work, answered) = verify();
            queue.put(turn(7, 0), work, now).unwrap();
            kept.push(answered);
        }
        assert_eq!(queue.put(turn(7, 0), verify().0, now), Err(Busy));
        assert!(queue.next(now).is_some());
        queue.put(turn(7, 0), verify().0, now).unwrap();
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_not_hashed() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let (work, abandoned) = verify();
        queue.put(turn(1, 0), work, now).unwrap();
        drop(abandoned);
        let (work, _answered) = verify();
        queue.put(turn(2, 0), work, now).unwrap();
        assert!(queue.next(now + WAIT_MAX).is_none(), "both are over");
        assert!(queue.per_address.is_empty() && queue.waiting.is_empty());
    }

    #[tokio::test]
    async fn a_password_is_hashed_and_verified_on_a_thread_of_its_own() {
        let hasher = PasswordHasher::start(CHEAP, 1).unwrap();
        let password = Password::typed("correct horse").unwrap();
        let hash = hasher.hash(turn(1, 0), password.clone()).await.unwrap();
        assert_eq!(hasher.verify(turn(1, 0), password.clone(), Some(hash.clone())).await, Ok(true));
        assert_eq!(hasher.verify(turn(1, 0), Password::typed("another").unwrap(), Some(hash)).await, Ok(false));
        assert_eq!(hasher.verify(turn(1, 0), password, None).await, Ok(false));
    }
}
