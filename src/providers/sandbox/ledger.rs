//! The sandbox provider's own record: which money moved, and what every key led to. Append-only, in memory, never
//! trimmed: our payments are compared with it, and a missing entry would be reported as a difference. It grows by
//! one small entry per movement of money and is read in pages. Reads no clock and draws nothing at random.

use super::SandboxError;
use crate::domain::ids::ReservationNo;
use crate::domain::money::Money;
use crate::domain::time::Timestamp;
use crate::providers::{
    Charge, ChargeLookup, ChargeOutcome, Kind, ProviderLedgerEntry, Refund, RefundLookup, RefundReceipt,
};
use std::collections::HashMap;
use std::sync::Arc;

pub const PAGE_LEN_DEFAULT: usize = 100;
/// The most entries that a page of the ledger may have.
pub const PAGE_LEN_MAX: usize = 1000;

/// A part of the ledger, oldest entry first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerSlice {
    pub items: Vec<ProviderLedgerEntry>,
    /// Where the next page begins, if there is more now.
    pub next: Option<u64>,
}

struct Charged {
    reservation_no: ReservationNo,
    amount: Money,
    refunded: u64,
    outcome: ChargeOutcome,
}

struct Refunded {
    charge_key: Arc<str>,
    amount: Money,
    done: RefundReceipt,
}

#[derive(Default)]
pub struct Ledger {
    entries: Vec<ProviderLedgerEntry>,
    charges: HashMap<Arc<str>, Charged>,
    refunds: HashMap<Arc<str>, Refunded>,
    under_way: HashMap<(Kind, Arc<str>), usize>,
}

impl Ledger {
    /// Notes that a call with a key has arrived, until [`Ledger::ended`].
    pub fn begun(&mut self, kind: Kind, key: &Arc<str>) {
        *self.under_way.entry((kind, Arc::clone(key))).or_default() += 1;
    }

    /// Notes that a call with a key is over, whatever became of it.
    pub fn ended(&mut self, kind: Kind, key: &Arc<str>) {
        let call = (kind, Arc::clone(key));
        if let Some(count) = self.under_way.get_mut(&call) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.under_way.remove(&call);
            }
        }
    }

    /// What the charge's key has led to before, if it has.
    ///
    /// # Errors
    /// When the key was used for another request.
    pub fn charged_before(&self, charge: &Charge) -> Result<Option<ChargeOutcome>, SandboxError> {
        let Some(before) = self.charges.get(&charge.idempotency_key) else { return Ok(None) };
        if before.amount != charge.amount || before.reservation_no != charge.reservation_no {
            return Err(SandboxError::KeyReused);
        }
        Ok(Some(before.outcome.clone()))
    }

    /// Carries out a charge whose key is new.
    pub fn charge(&mut self, charge: &Charge, declined: bool, at: Timestamp) -> ChargeOutcome {
        let outcome = if declined {
            ChargeOutcome::Declined { reason: "card_declined".into() }
        } else {
            let entry = self.acquire(Kind::Charge, &charge.idempotency_key, &charge.reservation_no, charge.amount, at);
            ChargeOutcome::Approved { provider_ref: format!("ch_{entry}").into() }
        };
        let charged = Charged {
            reservation_no: charge.reservation_no.clone(),
            amount: charge.amount,
            refunded: 0,
            outcome: outcome.clone(),
        };
        self.charges.insert(Arc::clone(&charge.idempotency_key), charged);
        outcome
    }

    /// What the refund's key has led to before, if it has.
    ///
    /// # Errors
    /// When the key was used for another request.
    pub fn refunded_before(&self, refund: &Refund) -> Result<Option<RefundReceipt>, SandboxError> {
        let Some(before) = self.refunds.get(&refund.idempotency_key) else { return Ok(None) };
        if before.amount != refund.amount || before.charge_key != refund.charge_key {
            return Err(SandboxError::KeyReused);
        }
        Ok(Some(before.done.clone()))
    }

    /// Carries out a refund whose key is new.
    ///
    /// # Errors
    /// When there is no such charge, or not so much of it is left.
    pub fn refund(&mut self, refund: &Refund, at: Timestamp) -> Result<RefundReceipt, SandboxError> {
        let charged = self
            .charges
            .get_mut(&refund.charge_key)
            .filter(|charged| matches!(charged.outcome, ChargeOutcome::Approved { .. }))
            .filter(|charged| charged.reservation_no == refund.reservation_no)
            .ok_or(SandboxError::NoSuchCharge)?;
        let refunded = charged.refunded.checked_add(refund.amount.amount()).ok_or(SandboxError::RefundAboveCharge)?;
        if charged.amount.currency() != refund.amount.currency() || refunded > charged.amount.amount() {
            return Err(SandboxError::RefundAboveCharge);
        }
        charged.refunded = refunded;
        let entry = self.acquire(Kind::Refund, &refund.idempotency_key, &refund.reservation_no, refund.amount, at);
        let done = RefundReceipt { provider_ref: format!("re_{entry}").into() };
        let refunded =
            Refunded { charge_key: Arc::clone(&refund.charge_key), amount: refund.amount, done: done.clone() };
        self.refunds.insert(Arc::clone(&refund.idempotency_key), refunded);
        Ok(done)
    }

    /// What a charge's key has led to.
    ///
    /// # Errors
    /// While nothing has happened and a call with the key is under way.
    pub fn find(&self, key: &str) -> Result<ChargeLookup, SandboxError> {
        match self.charges.get(key) {
            None => self.nothing_under_way(Kind::Charge, key).map(|()| ChargeLookup::NotFound),
            Some(charged) => Ok(match &charged.outcome {
                ChargeOutcome::Approved { provider_ref } => {
                    ChargeLookup::Charged { provider_ref: Arc::clone(provider_ref), amount: charged.amount }
                }
                ChargeOutcome::Declined { reason } => ChargeLookup::Declined { reason: Arc::clone(reason) },
            }),
        }
    }

    /// What a refund's key has led to.
    ///
    /// # Errors
    /// While nothing has happened and a call with the key is under way.
    pub fn find_refund(&self, key: &str) -> Result<RefundLookup, SandboxError> {
        match self.refunds.get(key) {
            None => self.nothing_under_way(Kind::Refund, key).map(|()| RefundLookup::NotFound),
            Some(refunded) => Ok(RefundLookup::Refunded {
                provider_ref: Arc::clone(&refunded.done.provider_ref),
                amount: refunded.amount,
            }),
        }
    }

    /// Up to `limit` entries (at most [`PAGE_LEN_MAX`]) from a place that an earlier page named, or from 0.
    pub fn page(&self, from: u64, limit: usize) -> LedgerSlice {
        let from = usize::try_from(from).unwrap_or(usize::MAX).min(self.entries.len());
        let to = from.saturating_add(limit.clamp(1, PAGE_LEN_MAX)).min(self.entries.len());
        let items = self.entries.get(from..to).unwrap_or_default().to_vec();
        LedgerSlice { items, next: (to < self.entries.len()).then_some(to as u64) }
    }

    fn nothing_under_way(&self, kind: Kind, key: &str) -> Result<(), SandboxError> {
        if self.under_way.contains_key(&(kind, Arc::from(key))) { Err(SandboxError::UnderWay) } else { Ok(()) }
    }

    /// Appends an entry and returns its number, from 1 on.
    fn acquire(&mut self, kind: Kind, key: &Arc<str>, no: &ReservationNo, amount: Money, at: Timestamp) -> usize {
        let (idempotency_key, reservation_no) = (Arc::clone(key), no.clone());
        self.entries.push(ProviderLedgerEntry { idempotency_key, reservation_no, kind, amount, at });
        self.entries.len()
    }
}
