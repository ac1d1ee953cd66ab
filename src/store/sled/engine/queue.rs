//! The bounded queue in front of the committer. Enqueuing is synchronous and fixes the place of a job: jobs are committed in
//! the order of their tickets. A full queue refuses at once. Callers never block.

use crate::store::durability::Ticket;
use crate::store::journal::AppendError;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long jobs lie for which nobody waits. The first of a group would else begin a sync of its own, which those that follow
/// it have to wait for.
const LIE_MAX: Duration = Duration::from_millis(5);
/// For so long after the last job the committer looks for the next one by itself, so that enqueuing need not wake it.
const ALERT: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub len_max: usize,
    pub bytes_max: usize,
}

/// Whether somebody waits for a job from the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    Waited,
    /// Only once somebody [wants](Queue::want) its ticket.
    Later,
}

struct State<J, P> {
    jobs: VecDeque<(J, usize)>,
    bytes: usize,
    closed: Option<String>,
    /// What decides which jobs may be enqueued.
    placement: P,
    /// The ticket of the last job that was enqueued.
    last: u64,
    /// The highest ticket that somebody waits for.
    wanted: u64,
    /// When the oldest job came.
    since: Instant,
    /// Whether the committer has to be woken by a job for which nobody waits.
    is_asleep: bool,
}

impl<J, P> State<J, P> {
    /// Whether it is time for a commit.
    fn is_due(&self, commit: Bounds) -> bool {
        let first = self.last + 1 - self.jobs.len() as u64;
        self.wanted >= first
            || self.closed.is_some()
            || self.jobs.len() >= commit.len_max
            || self.bytes >= commit.bytes_max
            || self.since.elapsed() >= LIE_MAX
    }
}

pub(crate) struct Queue<J, P> {
    bounds: Bounds,
    state: Mutex<State<J, P>>,
    filled: Condvar,
}

/// Jobs for one commit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Taken<J> {
    pub jobs: Vec<J>,
    /// The ticket of the last of them.
    pub last: Ticket,
}

impl<J, P> Queue<J, P> {
    pub(crate) fn new(bounds: Bounds, placement: P) -> Self {
        let (jobs, since) = (VecDeque::new(), Instant::now());
        let state = State { jobs, bytes: 0, closed: None, placement, last: 0, wanted: 0, since, is_asleep: true };
        Self { bounds, state: Mutex::new(state), filled: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State<J, P>> {
        self.state.lock()
    }

    /// Enqueues a job of roughly `bytes`, which `place` makes with the ticket that it gets, unless it refuses.
    pub(crate) fn push<T, E: From<AppendError>>(
        &self,
        bytes: usize,
        urgency: Urgency,
        place: impl FnOnce(&mut P, Ticket) -> Result<(J, T), E>,
    ) -> Result<(T, Ticket), E> {
        let mut state = self.lock();
        if let Some(why) = &state.closed {
            return Err(AppendError::Unavailable(why.clone()).into());
        }
        if state.jobs.len() >= self.bounds.len_max || state.bytes + bytes > self.bounds.bytes_max {
            return Err(AppendError::Unavailable("too many appends are waiting".to_owned()).into());
        }
        let ticket = Ticket(state.last + 1);
        let (job, placed) = place(&mut state.placement, ticket)?;
        state.last = ticket.0;
        state.bytes += bytes;
        if state.jobs.is_empty() {
            state.since = Instant::now();
        }
        state.jobs.push_back((job, bytes));
        if urgency == Urgency::Waited {
            state.wanted = ticket.0;
        }
        if urgency == Urgency::Waited || std::mem::take(&mut state.is_asleep) {
            self.filled.notify_one();
        }
        Ok((placed, ticket))
    }

    /// Somebody waits for a ticket.
    pub(crate) fn want(&self, ticket: Ticket) {
        let mut state = self.lock();
        if ticket.0 > state.wanted {
            state.wanted = ticket.0;
            if !state.jobs.is_empty() {
                self.filled.notify_one();
            }
        }
    }

    /// Waits until jobs are due and takes as many as `commit` allows, at least one. Returns none when none came within `idle`,
    /// and `None` when the queue is closed and empty.
    pub(crate) fn take(&self, commit: Bounds, idle: Duration) -> Option<Taken<J>> {
        let mut state = self.lock();
        let begun = Instant::now();
        loop {
            if state.jobs.is_empty() {
                if state.closed.is_some() {
                    return None;
                }
                let waited = begun.elapsed();
                if waited >= idle {
                    return Some(Taken { jobs: Vec::new(), last: Ticket(state.last) });
                }
                state.is_asleep = waited >= ALERT;
                let until = if state.is_asleep { idle.saturating_sub(waited) } else { LIE_MAX };
                self.filled.wait_for(&mut state, until);
                state.is_asleep = false;
            } else if state.is_due(commit) {
                break;
            } else {
                let left = LIE_MAX.saturating_sub(state.since.elapsed());
                self.filled.wait_for(&mut state, left);
            }
        }
        let mut bytes = 0;
        let fits = |(_, job_bytes): &&(J, usize)| {
            bytes += job_bytes;
            bytes <= commit.bytes_max
        };
        let count = state.jobs.iter().take(commit.len_max).take_while(fits).count().max(1);
        let taken: Vec<_> = state.jobs.drain(..count).collect();
        state.bytes -= taken.iter().map(|(_, bytes)| bytes).sum::<usize>();
        let last = Ticket(state.last - state.jobs.len() as u64);
        Some(Taken { jobs: taken.into_iter().map(|(job, _)| job).collect(), last })
    }

    /// Changes what decides which jobs may be enqueued.
    pub(crate) fn placement<T>(&self, change: impl FnOnce(&mut P) -> T) -> T {
        change(&mut self.lock().placement)
    }

    /// The ticket of the last job that was enqueued.
    pub(crate) fn last(&self) -> Ticket {
        Ticket(self.lock().last)
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().jobs.len()
    }

    /// Refuses new jobs from now on; queued ones are still done. The first reason stays.
    pub(crate) fn close(&self, why: &str) {
        self.lock().closed.get_or_insert_with(|| why.to_owned());
        self.filled.notify_all();
    }

    /// Refuses new jobs from now on and returns the queued ones.
    pub(crate) fn fail(&self, why: &str) -> Vec<J> {
        let mut state = self.lock();
        state.closed = Some(why.to_owned());
        state.bytes = 0;
        self.filled.notify_all();
        state.jobs.drain(..).map(|(job, _)| job).collect()
    }

    /// Why new jobs are refused, or `None` while they are taken.
    pub(crate) fn closed(&self) -> Option<String> {
        self.lock().closed.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(queue: &Queue<u32, ()>, job: u32, urgency: Urgency) -> Result<Ticket, AppendError> {
        queue.push(10, urgency, |(), _| Ok((job, ()))).map(|((), ticket)| ticket)
    }

    #[test]
    fn a_full_queue_refuses_and_a_closed_one_is_emptied_first() {
        let queue = Queue::new(Bounds { len_max: 3, bytes_max: 100 }, ());
        for job in 0..3 {
            assert_eq!(push(&queue, job, Urgency::Waited), Ok(Ticket(u64::from(job) + 1)));
        }
        assert!(matches!(push(&queue, 3, Urgency::Waited), Err(AppendError::Unavailable(_))));
        queue.close("closed");
        assert!(matches!(push(&queue, 3, Urgency::Waited), Err(AppendError::Unavailable(_))));
        let take = |bytes_max| queue.take(Bounds { len_max: 2, bytes_max }, Duration::MAX);
        assert_eq!(take(100), Some(Taken { jobs: vec![0, 1], last: Ticket(2) }));
        assert_eq!(take(1), Some(Taken { jobs: vec![2], last: Ticket(3) }));
        assert_eq!(take(1), None);
    }

    #[test]
    fn jobs_lie_until_somebody_waits_for_one_of_them() {
        let queue = Queue::new(Bounds { len_max: 9, bytes_max: 1_000 }, ());
        let all = Bounds { len_max: 9, bytes_max: 1_000 };
        let first = push(&queue, 1, Urgency::Later).unwrap();
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| queue.take(all, Duration::MAX));
            push(&queue, 2, Urgency::Later).unwrap();
            queue.want(first);
            // Whatever has come by then is taken with it.
            let jobs = taken.join().unwrap().unwrap();
            assert!(jobs.jobs.contains(&1));
        });
        push(&queue, 3, Urgency::Later).unwrap();
        let begun = Instant::now();
        assert!(queue.take(all, Duration::MAX).is_some(), "nobody waits, and it is taken all the same");
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
