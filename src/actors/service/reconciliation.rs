//! Reconciliations, one at a time: how far the present one is, and what came of the latest.

use super::Service;
use crate::actors::payment::reconciliation::{ReconcileError, Reconciler, Report};
use crate::actors::runtime::Clock;
use crate::domain::time::Timestamp;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;

/// How long one may take whose caller waits: less than an answer may.
const AWAITED_MAX: Duration = Duration::from_secs(25);
/// How long one may take for which nobody waits.
const BACKGROUND_MAX: Duration = Duration::from_mins(10);

/// A reconciliation that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunningReconciliation {
    /// When it began.
    pub since: Timestamp,
    /// How many entries of the provider's record and payments have been read.
    pub read: u64,
}

/// A reconciliation that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedReconciliation {
    /// When it ended.
    pub at: Timestamp,
    /// What came of it.
    pub outcome: Result<Report, ReconcileError>,
}

/// Reconciliation as it stands. Nothing of it outlives the process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReconciliationStatus {
    /// The one that is under way.
    pub running: Option<RunningReconciliation>,
    /// The latest that has ended.
    pub last: Option<FinishedReconciliation>,
}

pub(super) struct Reconciliations {
    reconciler: Arc<Reconciler>,
    clock: Arc<dyn Clock>,
    status: Mutex<ReconciliationStatus>,
}

/// Ends the reconciliation under way when it is dropped, however that comes.
struct UnderWay(Arc<Reconciliations>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.status.lock().running = None;
    }
}

impl UnderWay {
    async fn run(self, limit: Duration) -> Result<Report, ReconcileError> {
        let progress = |read| {
            if let Some(running) = &mut self.0.status.lock().running {
                running.read = read;
            }
        };
        let outcome = tokio::time::timeout(limit, self.0.reconciler.reconcile(&progress)).await;
        let outcome = outcome.unwrap_or(Err(ReconcileError::TooLong));
        let finished = FinishedReconciliation { at: self.0.now(), outcome: outcome.clone() };
        self.0.status.lock().last = Some(finished);
        outcome
    }
}

impl Reconciliations {
    pub(super) fn new(reconciler: Arc<Reconciler>, clock: Arc<dyn Clock>) -> Arc<Reconciliations> {
        Arc::new(Reconciliations { reconciler, clock, status: Mutex::default() })
    }

    fn now(&self) -> Timestamp {
        crate::actors::reservation::instant(self.clock.now_ms())
    }

    fn begin(self: &Arc<Self>) -> Result<UnderWay, ReconcileError> {
        let now = self.now();
        let mut status = self.status.lock();
        if status.running.is_some() {
            return Err(ReconcileError::Running);
        }
        status.running = Some(RunningReconciliation { since: now, read: 0 });
        Ok(UnderWay(Arc::clone(self)))
    }
}

impl Service {
    /// Compares our payments with the provider's own record, while both go on.
    ///
    /// # Errors
    /// When one of the two cannot be read in time, or another comparison is under way.
    pub async fn reconcile(&self) -> Result<Report, ReconcileError> {
        self.reconciliations.begin()?.run(AWAITED_MAX).await
    }

    /// Begins the same in the background; see [`Service::reconciliation`].
    ///
    /// # Errors
    /// When another comparison is under way.
    pub fn begin_reconciliation(&self) -> Result<(), ReconcileError> {
        let under_way = self.reconciliations.begin()?;
        let task = tokio::spawn(async move { drop(under_way.run(BACKGROUND_MAX).await) });
        *self.background_reconciliation.lock() = Some(AbortOnDropHandle::new(task));
        Ok(())
    }

    /// How far the comparison under way is, and what came of the latest.
    pub fn reconciliation(&self) -> ReconciliationStatus {
        self.reconciliations.status.lock().clone()
    }

    /// Ends a comparison in the background before its time.
    pub(in crate::actors) fn abandon_reconciliation(&self) {
        *self.background_reconciliation.lock() = None;
    }
}
