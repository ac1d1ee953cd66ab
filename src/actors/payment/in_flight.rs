//! Which payments are in flight: a lock per payment, so that only one task works on each, and others can wait for its
//! end. Does none of the work itself.

use super::charge_request::{ChargeNotice, ChargeObserver};
use crate::domain::ids::PaymentNo;
use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Charge,
    /// The provider is asked what became of a charge, or a refund is made.
    Settle,
}

#[derive(Debug, Clone)]
pub(super) struct AlreadyInFlight {
    pub(super) work: Work,
    ended: watch::Receiver<()>,
}

impl AlreadyInFlight {
    pub(super) async fn ended(mut self) {
        // Nothing is ever sent: the channel closes when the payment is released.
        while self.ended.changed().await.is_ok() {}
    }
}

/// The payments in flight. The bounds on requests, retries and timers bound their number.
pub(super) struct InFlightPayments {
    in_hand: Mutex<HashMap<PaymentNo, AlreadyInFlight>>,
    observer: Arc<dyn ChargeObserver>,
}

/// Holds a payment until it is dropped.
pub(super) struct InFlightPayment {
    pub(super) payment_no: PaymentNo,
    in_flight: Arc<InFlightPayments>,
    /// Dropped last, when the payment can be taken again.
    _end: watch::Sender<()>,
}

impl Drop for InFlightPayment {
    fn drop(&mut self) {
        // However the work has ended, also by a panic.
        self.in_flight.observer.observe(&self.payment_no, ChargeNotice::Released);
        self.in_flight.lock().remove(&self.payment_no);
    }
}

impl InFlightPayments {
    pub(super) fn new(observer: Arc<dyn ChargeObserver>) -> Arc<InFlightPayments> {
        Arc::new(InFlightPayments { in_hand: Mutex::default(), observer })
    }

    pub(super) fn has(&self, payment_no: &PaymentNo) -> bool {
        self.lock().contains_key(payment_no)
    }

    /// Takes a payment.
    ///
    /// # Errors
    /// When another task has it.
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
        self.in_hand.lock()
    }
}
