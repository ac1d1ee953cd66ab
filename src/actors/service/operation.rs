//! What operators see and do: health, the bulkhead, backups, reconciliation, and the fault injection.

use super::Service;
use crate::actors::bulkhead::{BulkheadStatus, Mode};
use crate::actors::payment::reconciliation::{ReconcileError, Report};
use crate::actors::payment::unsettled::UnsettledCounts;
use crate::actors::runtime::Kind;
use crate::actors::views::VIEWS;
use crate::store::archive::{self, Backup};
use crate::store::journal::{ReadError, StoredEvent};
use crate::store::schema;
use std::sync::Arc;
use std::time::Duration;

/// How long comparing our payments with the provider's record may take: less than an answer may.
const RECONCILE_MAX: Duration = Duration::from_secs(25);

/// The health of a part of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentHealth {
    /// The context or part, as `/actuator/health` names it.
    pub name: String,
    /// Whether it works.
    pub up: bool,
    /// Whether the service as a whole is down without it.
    pub essential: bool,
    /// What an operator should know; empty when there is nothing.
    pub detail: String,
}

/// What the fault injection can do to a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultAction {
    /// Kill its actors; supervision brings them back.
    Kill,
    /// Keep it down.
    Stop,
    /// Bring it back.
    Start,
}

/// No context has that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such context")]
pub struct UnknownContext;

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Another one is under way.
    #[error("another backup is being made: wait until it has ended")]
    Running,
    /// The journal cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Service {
    /// The health of every part of the service.
    pub fn health(&self) -> Vec<ComponentHealth> {
        let failure = self.parts.journal.failure();
        let journal = ComponentHealth {
            name: "journal".to_owned(),
            up: failure.is_none(),
            essential: true,
            detail: failure.or_else(|| self.journal_stuck()).unwrap_or_default(),
        };
        let turns = self.system.get().is_none_or(|system| system.is_responsive());
        let detail = if turns { String::new() } else { "every worker is blocked".to_owned() };
        let runtime = ComponentHealth { name: "runtime".to_owned(), up: turns, essential: true, detail };
        let mut components = vec![journal, runtime];
        if let Some(system) = self.system.get() {
            components.extend(system.health().into_iter().map(|component| ComponentHealth {
                essential: component.name == schema::RESERVATION.0,
                name: component.name,
                up: component.up,
                detail: component.detail,
            }));
        }
        let overdue_detail = self.unsettled().overdue_detail(self.parts.clock.now_ms());
        // Payment with an alarm is still up: it goes on serving.
        if let Some(payment) = components.iter_mut().find(|component| component.name == schema::PAYMENT.0)
            && !overdue_detail.is_empty()
        {
            payment.detail = format!("{}; {overdue_detail}", payment.detail);
        }
        components
    }

    /// What is unsettled with the payment provider, as of a moment ago.
    pub fn unsettled(&self) -> UnsettledCounts {
        self.parts.unsettled_monitor.unsettled()
    }

    /// What the journal has not made durable for too long, the oldest first.
    fn journal_stuck(&self) -> Option<String> {
        let stuck = self.system.get()?.stuck().into_iter().filter(|stuck| stuck.kind == Kind::Journal);
        let oldest = stuck.max_by_key(|stuck| stuck.since)?;
        Some(format!(
            "stuck: nothing has become durable for {} s ({} {oldest})",
            oldest.since.as_secs(),
            oldest.context
        ))
    }

    /// Injects a fault into a context, or ends the fault.
    ///
    /// # Errors
    /// When no context has that name.
    pub async fn fault(&self, context: &str, action: FaultAction) -> Result<(), UnknownContext> {
        // Nobody could bring back the one that notes who did it.
        let contexts = schema::ALL.iter().filter(|known| **known != schema::OPERATIONS).chain([&VIEWS]);
        let known = contexts.into_iter().any(|known| known.0 == context);
        let system = self.system.get().filter(|_| known).ok_or(UnknownContext)?;
        tracing::warn!(context, ?action, "fault injected");
        let control = system.control();
        let done = match action {
            FaultAction::Kill => control.kill(context).await,
            FaultAction::Stop => control.stop(context).await,
            FaultAction::Start => control.start(context).await,
        };
        done.map_err(|_| UnknownContext)
    }

    /// The status of the bulkhead.
    pub fn bulkhead_status(&self) -> BulkheadStatus {
        self.parts.cashier.bulkhead().status()
    }

    /// How many deferred payments wait for a retry.
    pub fn payments_deferred(&self) -> usize {
        self.parts.deferred.waiting()
    }

    /// Compares our payments with the provider's own record, while both go on.
    ///
    /// # Errors
    /// When one of the two cannot be read in time, or another comparison is under way.
    pub async fn reconcile(&self) -> Result<Report, ReconcileError> {
        let report = tokio::time::timeout(RECONCILE_MAX, self.parts.reconciler.reconcile(&|_| {})).await;
        report.map_err(|_| ReconcileError::TooLong)?
    }

    /// An archive of everything that is acknowledged now, made while it is being fetched and while everything goes on. It
    /// ends early, with an error, when the journal fails or is closed.
    ///
    /// # Errors
    /// When another one is being made, or the journal has failed.
    pub fn backup(&self) -> Result<Backup, BackupError> {
        let permit = Arc::clone(&self.backup).try_acquire_owned().map_err(|_| BackupError::Running)?;
        let render = |event: &StoredEvent| schema::to_json(&event.tag, &event.payload);
        Ok(archive::backup(Arc::clone(&self.parts.journal), render, permit)?)
    }

    /// Sets the breaker's mode, which outlives a restart of the bulkhead's actor.
    pub async fn force_breaker(&self, mode: Mode) -> BulkheadStatus {
        self.parts.cashier.bulkhead().force(mode).await
    }
}
