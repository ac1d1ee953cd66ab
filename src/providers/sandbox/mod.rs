//! The sandbox: a payment provider that moves no real money, and misbehaves on request.
//!
//! It behaves as a provider over the network does. A call that has arrived is carried out even when its caller
//! stops waiting; a call that waits for a free permit or for its latency holds no lock; a key leads to the same
//! answer for ever. Its ledger lives in memory and is lost with the process, so a service that must find the
//! same money again after a crash needs the sandbox in a process of its own.
//!
//! Which settings concern what: `latencyMs`, `capacity` and `down` every call; `failRate` and `loseAnswerRate`
//! charges and refunds, not look-ups; `declineRate` charges; none of them reading its record. `failRate` does not
//! apply to a key that has led to something, because a failure says that nothing happened.

mod concurrency_limit;
mod ledger;
mod settings;

pub use concurrency_limit::CALLS_MAX;
pub use ledger::{LedgerSlice, PAGE_LEN_DEFAULT, PAGE_LEN_MAX};
pub use settings::{CAPACITY_MAX, InvalidSettings, LATENCY_MS_MAX, Settings, SettingsPatch};

use super::{
    Charge, ChargeLookup, ChargeOutcome, Kind, LEDGER_PAGE_LEN_MAX, LedgerPage, PaymentProvider, ProviderError, Refund,
    RefundLookup, RefundReceipt,
};
use crate::domain::time::Timestamp;
use concurrency_limit::{ConcurrencyLimit, ConcurrencyPermit};
use futures_util::future::BoxFuture;
use ledger::Ledger;
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tokio::time::Instant;

/// Why the sandbox gives no answer to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SandboxError {
    #[error("the provider is down")]
    Down,
    /// The settings made this call fail before anything happened.
    #[error("the provider failed and did nothing")]
    Failed,
    /// [`CALLS_MAX`] calls are being served or waiting.
    #[error("the provider has too many calls waiting")]
    Busy,
    #[error("there is no such charge of that reservation to refund")]
    NoSuchCharge,
    /// The refund is more than is left of the charge, or of another currency.
    #[error("the refund is more than is left of the charge")]
    RefundAboveCharge,
    #[error("the idempotency key was used for another order")]
    KeyReused,
    #[error("a call with this key is still under way")]
    UnderWay,
    /// It happened, and the settings lost the answer.
    #[error("the answer was lost")]
    AnswerLost,
}

impl SandboxError {
    /// Its permanent code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Down => "provider_down",
            Self::Failed | Self::Busy => "not_done",
            Self::NoSuchCharge => "no_such_charge",
            Self::RefundAboveCharge => "refund_above_charge",
            Self::KeyReused => "idempotency_key_reused",
            Self::UnderWay => "call_under_way",
            Self::AnswerLost => "answer_lost",
        }
    }
}

impl From<SandboxError> for ProviderError {
    fn from(error: SandboxError) -> Self {
        match error {
            SandboxError::NoSuchCharge | SandboxError::RefundAboveCharge => Self::Refused(error.code().to_owned()),
            SandboxError::Down | SandboxError::Failed | SandboxError::Busy => Self::NotDone(error.to_string()),
            SandboxError::KeyReused | SandboxError::UnderWay | SandboxError::AnswerLost => {
                Self::Unknown(error.to_string())
            }
        }
    }
}

struct Inner {
    settings: watch::Sender<Settings>,
    limit: ConcurrencyLimit,
    ledger: Mutex<Ledger>,
}

/// The sandbox provider; clones are the same provider.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

/// While it lives, look-ups of the key answer [`SandboxError::UnderWay`] instead of "nothing happened".
struct UnderWay {
    inner: Arc<Inner>,
    kind: Kind,
    key: Arc<str>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.inner.ledger().ended(self.kind, &self.key);
    }
}

impl Inner {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock()
    }

    fn under_way(self: &Arc<Self>, kind: Kind, key: &Arc<str>) -> UnderWay {
        self.ledger().begun(kind, key);
        UnderWay { inner: Arc::clone(self), kind, key: Arc::clone(key) }
    }

    /// Waits for a permit and then for the latency, following changes of the settings.
    async fn serve(&self) -> Result<ConcurrencyPermit, SandboxError> {
        let mut settings = self.settings.subscribe();
        let mut down = self.settings.subscribe();
        let place = tokio::select! {
            biased;
            _ = down.wait_for(|settings| settings.down) => return Err(SandboxError::Down),
            place = self.limit.acquire() => place.ok_or(SandboxError::Busy)?,
        };
        let begun = Instant::now();
        loop {
            let now = *settings.borrow_and_update();
            if now.down {
                return Err(SandboxError::Down);
            }
            let until = begun + Duration::from_millis(now.latency_ms);
            if until <= Instant::now() {
                return Ok(place);
            }
            tokio::select! {
                () = tokio::time::sleep_until(until) => return Ok(place),
                // The sender lives as long as `self`, so this is always a change.
                _ = settings.changed() => {}
            }
        }
    }

    async fn charge(&self, charge: Charge) -> Result<ChargeOutcome, SandboxError> {
        let _place = self.serve().await?;
        let settings = *self.settings.borrow();
        let outcome = {
            let mut ledger = self.ledger();
            match ledger.charged_before(&charge)? {
                Some(outcome) => outcome,
                None if happens(settings.fail_rate) => return Err(SandboxError::Failed),
                None => ledger.charge(&charge, happens(settings.decline_rate), now()),
            }
        };
        if happens(settings.lose_answer_rate) { Err(SandboxError::AnswerLost) } else { Ok(outcome) }
    }

    async fn refund(&self, refund: Refund) -> Result<RefundReceipt, SandboxError> {
        let _place = self.serve().await?;
        let settings = *self.settings.borrow();
        let done = {
            let mut ledger = self.ledger();
            match ledger.refunded_before(&refund)? {
                Some(done) => done,
                None if happens(settings.fail_rate) => return Err(SandboxError::Failed),
                None => ledger.refund(&refund, now())?,
            }
        };
        if happens(settings.lose_answer_rate) { Err(SandboxError::AnswerLost) } else { Ok(done) }
    }
}

impl Sandbox {
    /// A provider that is well and has moved no money yet.
    pub fn new() -> Self {
        let settings = watch::Sender::new(Settings::default());
        Self(Arc::new(Inner { settings, limit: ConcurrencyLimit::default(), ledger: Mutex::default() }))
    }

    pub fn settings(&self) -> Settings {
        *self.0.settings.borrow()
    }

    /// Changes how it behaves, from now on and for the calls that are waiting; returns the settings now in force.
    ///
    /// # Errors
    /// When a value is out of bounds: nothing is changed.
    pub fn change(&self, patch: &SettingsPatch) -> Result<Settings, InvalidSettings> {
        let mut answer = Ok(Settings::default());
        self.0.settings.send_if_modified(|settings| {
            answer = settings.patched(patch).checked();
            let Ok(changed) = answer else { return false };
            *settings = changed;
            // Under the same lock, so that two changes at once cannot leave the gate with the older one's limit.
            self.0.limit.set_limit(usize::try_from(changed.capacity).unwrap_or(usize::MAX));
            true
        });
        answer
    }

    /// Up to `limit` entries of its record (at most [`PAGE_LEN_MAX`]), from where an earlier page ended, or from 0.
    pub fn ledger(&self, from: u64, limit: usize) -> LedgerSlice {
        self.0.ledger().page(from, limit)
    }

    /// Goes on when the caller stops waiting.
    pub async fn serve_charge(&self, charge: Charge) -> Result<ChargeOutcome, SandboxError> {
        // Noted before the task runs, so that a look-up can never miss a call that has arrived.
        let call = self.0.under_way(Kind::Charge, &charge.idempotency_key);
        let task = tokio::spawn(async move { call.inner.charge(charge).await });
        task.await.unwrap_or(Err(SandboxError::AnswerLost))
    }

    /// Goes on when the caller stops waiting.
    pub async fn serve_refund(&self, refund: Refund) -> Result<RefundReceipt, SandboxError> {
        let call = self.0.under_way(Kind::Refund, &refund.idempotency_key);
        let task = tokio::spawn(async move { call.inner.refund(refund).await });
        task.await.unwrap_or(Err(SandboxError::AnswerLost))
    }

    pub async fn serve_look_up(&self, key: &str) -> Result<ChargeLookup, SandboxError> {
        let _place = self.0.serve().await?;
        self.0.ledger().find(key)
    }

    pub async fn serve_look_up_refund(&self, key: &str) -> Result<RefundLookup, SandboxError> {
        let _place = self.0.serve().await?;
        self.0.ledger().find_refund(key)
    }
}

impl PaymentProvider for Sandbox {
    fn charge(&self, charge: Charge) -> BoxFuture<'_, Result<ChargeOutcome, ProviderError>> {
        Box::pin(async move { Ok(self.serve_charge(charge).await?) })
    }

    fn refund(&self, refund: Refund) -> BoxFuture<'_, Result<RefundReceipt, ProviderError>> {
        Box::pin(async move { Ok(self.serve_refund(refund).await?) })
    }

    fn look_up<'a>(&'a self, idempotency_key: &'a str) -> BoxFuture<'a, Result<ChargeLookup, ProviderError>> {
        Box::pin(async move { Ok(self.serve_look_up(idempotency_key).await?) })
    }

    fn look_up_refund<'a>(&'a self, idempotency_key: &'a str) -> BoxFuture<'a, Result<RefundLookup, ProviderError>> {
        Box::pin(async move { Ok(self.serve_look_up_refund(idempotency_key).await?) })
    }

    /// Past its settings, as its ledger is over HTTP: what it has done can be seen even while it misbehaves.
    fn ledger_page<'a>(
        &'a self,
        cursor: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<LedgerPage, ProviderError>> {
        Box::pin(async move {
            let foreign = |_| ProviderError::Refused("the cursor is not one that this record gave".to_owned());
            let from = cursor.map_or(Ok(0), str::parse).map_err(foreign)?;
            let page = self.ledger(from, limit.min(LEDGER_PAGE_LEN_MAX));
            Ok(LedgerPage { items: page.items, next: page.next.map(|next| next.to_string().into()) })
        })
    }
}

/// Whether something that happens at `rate` happens this time: never at 0, always at 1.
fn happens(rate: f64) -> bool {
    rand::random::<f64>() < rate
}

fn now() -> Timestamp {
    let ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    i64::try_from(ms).ok().and_then(Timestamp::from_millis).unwrap_or(Timestamp::MAX)
}
