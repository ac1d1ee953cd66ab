//! What operators see and do: health, the bulkhead, backups, reconciliation, and the fault injection.

use super::Service;
use crate::actors::bulkhead::{BulkheadStatus, Mode};
use crate::actors::payment::unsettled::UnsettledCounts;
use crate::actors::reservation::instant;
use crate::actors::runtime::{Clock, Kind, SubscriptionStatus};
use crate::actors::views::VIEWS;
use crate::domain::ids::PaymentNo;
use crate::domain::time::Timestamp;
use crate::store::archive::{self, Backup};
use crate::store::journal::{ReadError, StoredEvent};
use crate::store::schema;
use futures_util::StreamExt as _;
use futures_util::stream;
use parking_lot::Mutex;
use std::sync::Arc;

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

    /// Whether a payment that was turned away waits for a retry.
    pub fn is_payment_deferred(&self, payment_no: &PaymentNo) -> bool {
        self.parts.deferred.is_waiting(payment_no)
    }

    /// How far every follower of events is behind, and what it has set aside.
    pub fn subscriptions(&self) -> Vec<SubscriptionStatus> {
        self.system.get().map(|system| system.subscriptions()).unwrap_or_default()
    }

    /// When a backup was last sent whole, if one was since the start.
    pub fn backed_up_at(&self) -> Option<Timestamp> {
        *self.backed_up_at.lock()
    }

    /// An archive of everything that is acknowledged now, made while it is being fetched and while everything goes on. It
    /// ends early, with an error, when the journal fails or is closed.
    ///
    /// # Errors
    /// When another one is being made, or the journal has failed.
    pub fn backup(&self) -> Result<Backup, BackupError> {
        let permit = Arc::clone(&self.backup).try_acquire_owned().map_err(|_| BackupError::Running)?;
        let render = |event: &StoredEvent| schema::to_json(&event.tag, &event.payload);
        let pieces = archive::backup(Arc::clone(&self.parts.journal), render, permit)?;
        Ok(noting_the_end(pieces, Arc::clone(&self.backed_up_at), Arc::clone(&self.parts.clock)))
    }

    /// Sets the breaker's mode, which outlives a restart of the bulkhead's actor.
    pub async fn force_breaker(&self, mode: Mode) -> BulkheadStatus {
        self.parts.cashier.bulkhead().force(mode).await
    }
}

/// Notes when all pieces have been fetched.
fn noting_the_end(pieces: Backup, at: Arc<Mutex<Option<Timestamp>>>, clock: Arc<dyn Clock>) -> Backup {
    let next = move |pieces: Option<Backup>| {
        let (at, clock) = (Arc::clone(&at), Arc::clone(&clock));
        async move {
            let mut pieces = pieces?;
            match pieces.next().await {
                Some(Ok(piece)) => Some((Ok(piece), Some(pieces))),
                Some(Err(interrupted)) => Some((Err(interrupted), None)),
                None => {
                    *at.lock() = Some(instant(clock.now_ms()));
                    None
                }
            }
        }
    };
    stream::unfold(Some(pieces), next).boxed()
}
