//! Which payments are in hand: one piece of work at a time for each, whose end others can wait for. Does none of the
//! work itself.

use super::deferred::DeferredPayments;
use crate::domain::ids::PaymentNo;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// What is done with a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// It is charged.
    Charge,
    /// What is outstanding with the provider is done.
    Settle,
}

/// A payment that somebody else has in hand.
#[derive(Debug, Clone)]
pub(super) struct AlreadyInFlight {
    /// What for.
    pub(super) work: Work,
    ended: watch::Receiver<()>,
}

impl AlreadyInFlight {
    /// Waits until it is put down.
    pub(super) async fn ended(mut self) {
        // Nothing is ever sent: the sender goes with the hand.
        while self.ended.changed().await.is_ok() {}
    }
}

/// Every payment in hand. As many as there are pieces of work, which the bounds on requests, retries and timers bound.
pub(super) struct InFlightPayments {
    in_hand: Mutex<HashMap<PaymentNo, AlreadyInFlight>>,
    deferred: Arc<DeferredPayments>,
}

/// A payment in hand; put down when dropped.
pub(super) struct InFlightPayment {
    /// Which.
    pub(super) payment_no: PaymentNo,
    in_flight: Arc<InFlightPayments>,
    /// Dropped last, when the payment can be taken again.
    _end: watch::Sender<()>,
}

impl Drop for InFlightPayment {
    fn drop(&mut self) {
        // However the work has ended, by a panic too: a customer who still waits for a retry is not passed over.
        self.in_flight.deferred.resume(&self.payment_no);
        self.in_flight.lock().remove(&self.payment_no);
    }
}

impl InFlightPayments {
    pub(super) fn new(deferred: Arc<DeferredPayments>) -> Arc<InFlightPayments> {
        Arc::new(InFlightPayments { in_hand: Mutex::default(), deferred })
    }

    pub(super) fn has(&self, payment_no: &PaymentNo) -> bool {
        self.lock().contains_key(payment_no)
    }

    /// Takes a payment into hand.
    ///
    /// # Errors
    /// When somebody else has it.
    pub(super) fn take(
        self: &Arc<Self>,
        payment_no: &PaymentNo,
        work: Work,
    ) -> Result<InFlightPayment, AlreadyInFlight> {
        let mut in_hand = self.lock();
        if let Some(other) = in_hand.get(payment_no) {
            return Err(other.clone());
        }
        let (end, ended) = watch::channel(());
        in_hand.insert(payment_no.clone(), AlreadyInFlight { work, ended });
        Ok(InFlightPayment { payment_no: payment_no.clone(), in_flight: Arc::clone(self), _end: end })
    }

    /// Locks, also after a panic of another holder: nothing here is left half done by a panic.
    fn lock(&self) -> MutexGuard<'_, HashMap<PaymentNo, AlreadyInFlight>> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
