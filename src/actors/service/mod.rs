//! The contexts as one service, which `http` calls. A request takes its steps at once and in order; when it is cut off
//! between two of them, policies take the rest.

#![warn(missing_docs)]

mod accounts;
mod audit;
mod bookings;
mod cars;
mod changes;
mod customers;
mod history;
mod operation;
mod read_limiter;
mod reading;
mod reconciliation;
mod schedule;
mod serials;
mod unpaid;

pub use super::account::service::{AccountService, AccountView, NewPassword, SessionOf, SignedIn};
pub use bookings::Early;
pub use history::HistoryEntry;
pub use reading::{CarBookings, ListedCustomer};
pub use schedule::{CarSchedule, CarsFilter, CarsPart, Desk, DeskEntry, Entry, EntryKind, Reserved, Standing};
pub use serials::Serials;

pub use super::bulkhead::{BreakerState, BulkheadStatus, Mode};
pub use super::payment::reconciliation::{ReconcileError, Report};
pub use super::payment::unsettled::{Unsettled, UnsettledCounts};
pub use super::runtime::SubscriptionStatus;
pub use super::views::CarPlace;
pub use crate::store::archive::{Backup, Interrupted};
pub use operation::{BackupError, ComponentHealth, FaultAction, UnknownContext};
pub use reconciliation::{FinishedReconciliation, ReconciliationStatus, RunningReconciliation};

use super::api::{ANSWER_KEPT_MS, Caller, ServiceError};
use super::customer::{Customers, Privacy};
use super::fleet::Ledger;
use super::operations::Operations;
use super::payment::cashier::Cashier;
use super::payment::deferred::DeferredPayments;
use super::payment::reconciliation::Reconciler;
use super::payment::unsettled::UnsettledMonitor;
use super::rental::Rentals;
use super::reservation::Calendars;
use super::runtime::{Ask, Clock, ContextHandle, EarlyAnswer, Entity, System};
use super::views::Views;
use crate::domain::ids::ReservationNo;
use crate::domain::process::{self, Action, Known, Target};
use crate::domain::reservation::Terms;
use crate::domain::time::Timestamp;
use crate::store::durability::Ticket;
use crate::store::journal::{CommandRecord, Journal, ReadError};
use parking_lot::Mutex;
use read_limiter::ReadLimiter;
use reconciliation::Reconciliations;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;
use unpaid::PendingHolds;

type Result<T> = std::result::Result<T, ServiceError>;

/// When a caller may try again after the store could not be asked, in milliseconds.
const RETRY_MS: u64 = 1_000;
/// How long a step that a policy would take anyway may delay an answer, in milliseconds.
const STEP_MS: u64 = 1_000;

/// What the answers depend on beside the state.
#[derive(Debug, Clone)]
pub struct ServiceSettings {
    /// The terms on which cars are booked; the calendars decide by the same.
    pub terms: Terms,
    /// How long a request may take in all.
    pub request_timeout: Duration,
    /// How long a request waits for a payment.
    pub payment_wait: Duration,
    /// How long a read of a list waits for the read models.
    pub view_freshness_wait: Duration,
    /// How long a search may have to wait for its turn; a list four fifths of it.
    pub read_queue_wait: Duration,
    /// How many cars one customer may hold without paying; 0 for any number.
    pub unpaid_holds_max: usize,
    /// The same of a customer who asks themselves; 0 for no limit beside that one.
    pub customer_unpaid_holds_max: usize,
}

/// The handles that the service is made of.
pub struct Dependencies {
    /// The Reservation context.
    pub calendars: ContextHandle<Calendars>,
    /// The Rental context.
    pub rentals: ContextHandle<Rentals>,
    /// The Fleet context.
    pub ledger: ContextHandle<Ledger>,
    /// The Customer context.
    pub customers: ContextHandle<Customers>,
    /// The Operations context.
    pub operations: ContextHandle<Operations>,
    /// Signing in; none where accounts are not offered.
    pub accounts_served: Option<AccountService>,
    /// Charges and refunds.
    pub cashier: Arc<Cashier>,
    /// Payments that were turned away and are retried.
    pub deferred: Arc<DeferredPayments>,
    /// Compares our payments with the provider's record.
    pub reconciler: Arc<Reconciler>,
    /// Counts what is unsettled with the provider.
    pub unsettled_monitor: Arc<UnsettledMonitor>,
    /// The read models: lists, searches, My Page and live events.
    pub views: Arc<Views>,
    /// Where a thing is read by its number, past its actor.
    pub journal: Arc<dyn Journal>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Numbers the reservations for the legacy API.
    pub serials: Serials,
    /// How personal data is kept.
    pub privacy: Privacy,
}

/// The contexts as one service.
pub struct Service {
    parts: Dependencies,
    settings: ServiceSettings,
    pending_holds: Arc<PendingHolds>,
    read_limiter: ReadLimiter,
    /// The one backup that may be under way.
    backup: Arc<Semaphore>,
    /// When a backup was last sent whole.
    backed_up_at: Arc<Mutex<Option<Timestamp>>>,
    reconciliations: Arc<Reconciliations>,
    background_reconciliation: Mutex<Option<AbortOnDropHandle<()>>>,
    system: OnceLock<Arc<System>>,
}

impl Service {
    /// A service that has no system yet: see [`Service::attach`].
    pub fn new(parts: Dependencies, settings: ServiceSettings) -> Arc<Service> {
        let pending_holds = Arc::default();
        let read_limiter = ReadLimiter::new(settings.read_queue_wait);
        let reconciliations = Reconciliations::new(Arc::clone(&parts.reconciler), Arc::clone(&parts.clock));
        Arc::new(Service {
            parts,
            settings,
            pending_holds,
            read_limiter,
            backup: Arc::new(Semaphore::new(1)),
            backed_up_at: Arc::default(),
            reconciliations,
            background_reconciliation: Mutex::default(),
            system: OnceLock::new(),
        })
    }

    /// Sets the system that runs the service, which health and the fault injection need.
    pub fn attach(&self, system: Arc<System>) {
        // A second call would be a bug; the first system stays.
        let _ = self.system.set(system);
    }

    /// The present, by the clock of the service.
    pub fn now(&self) -> Timestamp {
        super::reservation::instant(self.parts.clock.now_ms())
    }

    /// The record of a request or command that was answered before, unless it has expired.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn command_record(&self, id: &str) -> Result<Option<CommandRecord>> {
        let record = self.parts.journal.command(id).await?;
        let now_ms = self.parts.clock.now_ms();
        Ok(record.filter(|record| record.expires_ms > now_ms))
    }

    /// Records the answer of a request; when there is one already, that stays and is returned.
    ///
    /// # Errors
    /// When it cannot be made durable.
    pub async fn record_command(&self, record: CommandRecord) -> Result<CommandRecord> {
        let stored = self.parts.journal.record_command(record, self.parts.clock.now_ms()).await;
        stored.map_err(|error| ServiceError::Read(ReadError::Unavailable(error.to_string())))
    }

    /// Waits until something is durable that was answered before.
    ///
    /// # Errors
    /// `Unknown` when it is not within the time of a request, or the journal has failed.
    pub async fn durable(&self, ticket: Ticket) -> Result<()> {
        let durability = self.parts.journal.durability();
        if durability.has(ticket) {
            return Ok(());
        }
        let waited = tokio::time::timeout(self.settings.request_timeout, durability.wait(ticket)).await;
        waited.map_err(|_| ServiceError::Unknown)?.map_err(|_| ServiceError::Unknown)
    }

    /// What is to be done about a booking in one context now.
    fn due(&self, target: Target, known: &Known<'_>) -> Option<Action> {
        process::due(target, known, &self.settings.terms, self.now())
    }

    /// Asks for a step that the caller wants: without the internal reserve, within the request's time, in the caller's
    /// name, and named after the request if it has a name.
    fn external_ask(&self, caller: &Caller, step: &str, key: &str) -> Ask {
        let ask = Ask::external(self.settings.request_timeout).asked_by(caller.author());
        match &caller.command_id_prefix {
            Some(prefix) => ask.with_command_id(
                format!("{prefix}/{step}/{key}"),
                self.parts.clock.now_ms().saturating_add(ANSWER_KEPT_MS),
            ),
            None => ask,
        }
    }

    /// Asks for a step that completes a request: with the internal reserve, and for a short time, since a policy would
    /// take the step anyway. It is in nobody's name, since it follows from what somebody has done.
    fn internal_ask(&self) -> Ask {
        Ask::internal(Duration::from_millis(STEP_MS).min(self.settings.request_timeout))
    }
}

async fn ask<E: Entity>(context: &ContextHandle<E>, key: &str, command: E::Command, ask: Ask) -> Result<E::Reply>
where
    ServiceError: From<E::Rejection>,
{
    let answer = context.ask(key, command, ask).await;
    Ok(answer.map_err(|error| ServiceError::not_asked(E::CONTEXT, error))??)
}

/// The same, but the answer may run ahead of the disk; without an answer there is nothing to wait for.
async fn ask_early<E: Entity>(
    context: &ContextHandle<E>,
    key: &str,
    command: E::Command,
    ask: Ask,
) -> Early<Result<E::Reply>>
where
    ServiceError: From<E::Rejection>,
{
    match context.ask_early(key, command, ask).await {
        Ok(EarlyAnswer { outcome, ticket, .. }) => Early { told: outcome.map_err(ServiceError::from), ticket },
        Err(error) => Early { told: Err(ServiceError::not_asked(E::CONTEXT, error)), ticket: Ticket::DURABLE },
    }
}

fn fresh_reservation_no() -> Result<ReservationNo> {
    let text = format!("r{}", uuid::Uuid::now_v7().simple());
    ReservationNo::stored(&text).map_err(|error| ServiceError::Read(ReadError::Damaged(error.to_string())))
}
