//! The bounded queue in front of the committer. Enqueuing is synchronous, so that jobs are committed in the order of the
//! calls; a full queue refuses at once. Callers never block.

use crate::store::journal::AppendError;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;
use std::time::Duration;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub len_max: usize,
    pub bytes_max: usize,
}

struct State<J> {
    jobs: VecDeque<(J, usize)>,
    bytes: usize,
    closed: Option<String>,
}

pub(crate) struct Queue<J> {
    bounds: Bounds,
    state: Mutex<State<J>>,
    filled: Condvar,
}

impl<J> Queue<J> {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let state = State { jobs: VecDeque::new(), bytes: 0, closed: None };
        Self { bounds, state: Mutex::new(state), filled: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock()
    }

    /// Enqueues a job of roughly `bytes`.
    pub(crate) fn push(&self, job: J, bytes: usize) -> Result<(), AppendError> {
        let mut state = self.lock();
        if let Some(why) = &state.closed {
            return Err(AppendError::Unavailable(why.clone()));
        }
        if state.jobs.len() >= self.bounds.len_max || state.bytes + bytes > self.bounds.bytes_max {
            return Err(AppendError::Unavailable("too many appends are waiting".to_owned()));
        }
        state.bytes += bytes;
        state.jobs.push_back((job, bytes));
        if state.jobs.len() == 1 {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Waits for jobs and takes as many as `commit` allows, at least one. Returns an empty list when none came within `idle`,
    /// and `None` when the queue is closed and empty.
    pub(crate) fn take(&self, commit: Bounds, idle: Duration) -> Option<Vec<J>> {
        let mut state = self.lock();
        while state.jobs.is_empty() {
            if state.closed.is_some() {
                return None;
            }
            let waited = self.filled.wait_for(&mut state, idle);
            if waited.timed_out() && state.jobs.is_empty() && state.closed.is_none() {
                return Some(Vec::new());
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
        Some(taken.into_iter().map(|(job, _)| job).collect())
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

    #[test]
    fn a_full_queue_refuses_and_a_closed_one_is_emptied_first() {
        let queue = Queue::new(Bounds { len_max: 3, bytes_max: 100 });
        for job in 0..3 {
            queue.push(job, 10).unwrap();
        }
        assert!(matches!(queue.push(3, 10), Err(AppendError::Unavailable(_))));
        queue.close("closed");
        assert!(matches!(queue.push(3, 10), Err(AppendError::Unavailable(_))));
        assert_eq!(queue.take(Bounds { len_max: 2, bytes_max: 100 }, Duration::MAX), Some(vec![0, 1]));
        assert_eq!(queue.take(Bounds { len_max: 2, bytes_max: 1 }, Duration::MAX), Some(vec![2]));
        assert_eq!(queue.take(Bounds { len_max: 2, bytes_max: 1 }, Duration::MAX), None);
    }
}
