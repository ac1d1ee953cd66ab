//! Puts the contexts together and starts them: who asks whom, who follows whom.

use super::account::service::{AccountService, AccountSettings};
use super::account::{Accounts, follows_customer};
use super::api::ServiceError;
use super::bulkhead::{BulkheadHandle, BulkheadSettings};
use super::customer::erasures::{self, ApplyError};
use super::customer::master_key::{RootError, RootSecret};
use super::customer::wrapping::{self, WrapError, Wrapped};
use super::customer::{Customers, Privacy};
use super::fleet::Ledger;
use super::housekeeping;
use super::migration::{MigrationError, migrate};
use super::operations::Operations;
use super::payment::Payments;
use super::payment::cashier::settle::Settler;
use super::payment::cashier::{Cashier, CashierParts};
use super::payment::deferred::{self, DeferredPayments};
use super::payment::reconciliation::Reconciler;
use super::payment::unsettled::{self, UnsettledMonitor, UnsettledSettings};
use super::policies::{Targets, policies};
use super::rental::Rentals;
use super::reservation::Calendars;
use super::runtime::{
    Backoff, ChildSpec, Clock, ContextLimits, ContextSpec, Entity, FollowerLimits, Part, RestartLimits, Subscription,
    System, TimerLimits, context, followers_part,
};
use super::service::{Dependencies, Serials, Service, ServiceSettings};
use super::timers::{BookingTimer, OverdueTimer, ReopenTimer};
use super::views::{FOLLOWED, VIEWS, Views, ViewsSubscriber};
use crate::providers::PaymentProvider;
use crate::store::journal::Journal;
use crate::store::schema;
use crate::store::view_store::ViewStore;
use std::sync::Arc;
use std::time::Duration;

/// The ports that the contexts use.
pub struct Ports {
    pub journal: Arc<dyn Journal>,
    /// Where the read models are kept.
    pub views: Arc<dyn ViewStore>,
    pub clock: Arc<dyn Clock>,
    pub provider: Arc<dyn PaymentProvider>,
}

#[derive(Debug, Clone)]
pub struct AppSettings {
    pub service: ServiceSettings,
    /// What guards the payment provider.
    pub bulkhead: BulkheadSettings,
    /// How long one call to the provider may take.
    pub provider_timeout: Duration,
    /// Whether deferred payments are retried.
    pub retry_deferred: bool,
    /// What is done about payments that stay unsettled.
    pub unsettled: UnsettledSettings,
    pub limits: ContextLimits,
    /// None where accounts are not offered.
    pub accounts: Option<AccountSettings>,
}

/// Why the contexts did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What is stored cannot be read.
    #[error(transparent)]
    Store(#[from] ServiceError),
    /// What is derived from the events could not be brought to the shapes of this program.
    #[error(transparent)]
    Migration(#[from] MigrationError),
    #[error(transparent)]
    Secret(#[from] RootError),
    #[error("there is no thread to hash passwords on: {0}")]
    Passwords(std::io::Error),
    #[error(transparent)]
    Wrapping(#[from] WrapError),
    #[error("the list of erasures was not applied: {0}")]
    Erasures(#[from] ApplyError),
    #[error("the supervisor could not be started: {0}")]
    Supervisor(#[from] ractor::SpawnErr),
}

pub struct App {
    /// What `http` calls.
    pub service: Arc<Service>,
    system: Arc<System>,
    cashier: Arc<Cashier>,
    deferred: Arc<DeferredPayments>,
}

fn spec<E: Entity>(entity: E, ports: &Ports, limits: &ContextLimits) -> ContextSpec<E> {
    ContextSpec {
        entity: Arc::new(entity),
        journal: Arc::clone(&ports.journal),
        clock: Arc::clone(&ports.clock),
        limits: limits.clone(),
        timers: None,
        subscriptions: Vec::new(),
    }
}

/// The most payments, rentals, and accounts, of a shard that stay in memory. Each gets a few commands within a moment
/// and then none for days, while cars get commands again and again.
const SHORT_LIVED_ENTITIES_MAX: usize = 256;

fn short_lived(limits: &ContextLimits) -> ContextLimits {
    ContextLimits { live_entities_max: limits.live_entities_max.min(SHORT_LIVED_ENTITIES_MAX), ..limits.clone() }
}

/// Settle timers run at once, and are retried with growing pauses up to `lookup_interval_ms_max`, for ever.
fn payment_limits(limits: &ContextLimits, unsettled: &UnsettledSettings) -> ContextLimits {
    let retry = Backoff::new(limits.timers.retry.first_ms, unsettled.lookup_interval_ms_max);
    let timers = TimerLimits { retry, due_ahead_ms: i64::MAX, ..limits.timers };
    ContextLimits { timers, ..short_lived(limits) }
}

impl App {
    /// [`start_with`](Self::start_with) no master key and no list of erasures.
    ///
    /// # Errors
    /// The same.
    pub async fn start(ports: Ports, settings: AppSettings) -> Result<App, StartError> {
        App::start_with(ports, settings, Privacy::default()).await
    }

    /// Starts the contexts, once the store is as this program needs it; that can take minutes after an update.
    ///
    /// # Errors
    /// When what is stored cannot be read or was written by a newer program, a master key is missing, or the root supervisor
    /// cannot be started.
    pub async fn start_with(ports: Ports, settings: AppSettings, privacy: Privacy) -> Result<App, StartError> {
        let limits = &settings.limits;
        let terms = settings.service.terms.clone();
        migrate(&*ports.journal, &terms).await?;
        protect(&*ports.journal, &privacy, ports.clock.now_ms()).await?;
        let (calendars, calendars_part) = context(spec(Calendars { terms }, &ports, limits));
        let (payments, payments_part) = context(spec(Payments, &ports, &payment_limits(limits, &settings.unsettled)));
        let (rentals, rentals_part) = context(spec(Rentals, &ports, &short_lived(limits)));
        let (ledger, ledger_part) = context(spec(Ledger, &ports, limits));
        let (customers, customers_part) = context(spec(Customers, &ports, limits));
        let (operations, operations_part) = context(spec(Operations, &ports, limits));
        let (accounts, accounts_part) = context(spec(Accounts, &ports, &short_lived(limits)));
        let bulkhead = BulkheadHandle::new(settings.bulkhead);
        let Ports { journal, views, clock, provider } = ports;
        let (timeout, retries) = (settings.provider_timeout, settings.retry_deferred);
        let deferred = DeferredPayments::new(retries, bulkhead.queue_wait() + timeout, Arc::clone(&clock));
        let reconciler =
            Arc::new(Reconciler::new(Arc::clone(&journal), Arc::clone(&provider), Some(bulkhead.clone()), timeout));
        let cashier = Cashier::new(CashierParts {
            payments,
            journal: Arc::clone(&journal),
            provider,
            bulkhead: bulkhead.clone(),
            call_timeout: timeout,
            // Without retries a customer is told at once, and pays again.
            waits_for_another: retries,
            observer: deferred.clone(),
            clock: Arc::clone(&clock),
        });
        let targets = Targets {
            calendars: calendars.clone(),
            rentals: rentals.clone(),
            ledger: ledger.clone(),
            cashier: Arc::clone(&cashier),
            journal: Arc::clone(&journal),
            clock: Arc::clone(&clock),
            terms: Arc::new(settings.service.terms.clone()),
        };
        let unsettled_monitor = UnsettledMonitor::new(&settings.unsettled, timeout);
        let accounts_served = match settings.accounts {
            Some(settings) => {
                // Before the contexts start: nobody else may use the journal.
                let root = RootSecret::open_or_replace(&*journal, &privacy.master_keys, &privacy.lost_keys).await?;
                let (journal, clock) = (Arc::clone(&journal), Arc::clone(&clock));
                let started = AccountService::start(accounts.clone(), journal, clock, (settings, (&root).into()));
                Some(started.map_err(StartError::Passwords)?)
            }
            None => None,
        };
        let views = Views::open(views, Arc::clone(&journal)).map_err(ServiceError::from)?;
        let serials = Serials::open(Arc::clone(&journal)).await.map_err(ServiceError::from)?;
        let policies = |of| policies(&targets, of);
        let start_bulkhead = bulkhead.child_start();
        let mut parts = vec![
            Part::simple(ChildSpec::new(schema::PAYMENT.0, "bulkhead", "bulkhead", start_bulkhead)),
            calendars_part
                .with_timers(Arc::new(BookingTimer(targets.clone())))
                .with_subscriptions(policies(schema::RESERVATION))
                .part(),
            payments_part
                .with_timers(Arc::new(Settler(Arc::clone(&cashier))))
                .with_subscriptions(policies(schema::PAYMENT))
                .part(),
            rentals_part
                .with_timers(Arc::new(OverdueTimer(targets.clone())))
                .with_subscriptions(policies(schema::RENTAL))
                .part(),
            ledger_part.with_subscriptions(policies(schema::FLEET)).part(),
            customers_part.with_timers(Arc::new(ReopenTimer(customers.clone(), Arc::clone(&journal)))).part(),
            operations_part.part(),
            accounts_part.with_subscriptions(vec![follows_customer::policy(&accounts, &journal)]).part(),
            unsettled::part(&journal, &clock, &unsettled_monitor),
            housekeeping::part(&journal, &clock),
            followers_part(VIEWS.0, &journal, &clock, &views_follow(&*journal, &views), RestartLimits::default()),
        ];
        if retries {
            parts.push(deferred::part(&cashier, &deferred));
        }
        let parts_of_service = Dependencies {
            calendars,
            rentals,
            ledger,
            customers,
            operations,
            accounts_served,
            cashier: Arc::clone(&cashier),
            deferred: Arc::clone(&deferred),
            reconciler,
            unsettled_monitor,
            views,
            journal,
            clock,
            serials,
            privacy,
        };
        let service = Service::new(parts_of_service, settings.service);
        let system = Arc::new(System::start(parts).await?);
        service.attach(Arc::clone(&system));
        Ok(App { service, system, cashier, deferred })
    }

    /// Drains and stops the contexts in order; returns whether all ended within `deadline`.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        let until = tokio::time::Instant::now() + deadline;
        self.deferred.close();
        self.service.abandon_reconciliation();
        // Payments in flight need their context to record their outcome.
        if tokio::time::timeout_at(until, self.cashier.drain()).await.is_err() {
            tracing::warn!("payments in flight at shutdown, they are looked up at the next start");
        }
        let left = until.saturating_duration_since(tokio::time::Instant::now()).max(Duration::from_secs(1));
        self.system.shutdown(left).await
    }
}

/// Brings the keys of personal data under the master key, and erases whom the list of erasures names.
async fn protect(journal: &dyn Journal, privacy: &Privacy, now_ms: i64) -> Result<(), StartError> {
    let Wrapped { keys: _, lost } = wrapping::wrap(journal, &privacy.master_keys, &privacy.lost_keys).await?;
    if lost > 0 {
        tracing::warn!(customers = lost, "personal data is shown as lost, its master key is given up");
    }
    if let Some(list) = &privacy.erasures {
        let erased = erasures::apply(journal, list, now_ms).await?;
        if erased > 0 {
            tracing::warn!(customers = erased, "erased again, since the list of erasures names them");
        }
    }
    Ok(())
}

fn views_follow(journal: &dyn Journal, views: &Arc<Views>) -> Vec<Subscription> {
    let follow = |source| {
        let follower = Arc::new(ViewsSubscriber(Arc::clone(views)));
        Subscription::new(journal, source, follower, FollowerLimits::default())
    };
    FOLLOWED.into_iter().map(follow).collect()
}
