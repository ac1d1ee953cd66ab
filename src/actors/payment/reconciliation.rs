//! Compares all payments as committed with the provider's own record, while both may move. Changes nothing.
//!
//! The record is read first, then our payments, and then what was added to the record meanwhile. Whatever seems to
//! differ is looked at once more by itself: the committed payment, and what the provider answers for its keys. Only
//! what still differs then is reported.
//!
//! One call to the provider at a time, past the bulkhead: it takes no permit from payments, and a record that cannot
//! be read says nothing against charges. While the breaker keeps payments from the provider, nobody is asked here
//! either.

use super::Payments;
use super::cashier::within;
use crate::actors::bulkhead::BulkheadHandle;
use crate::actors::committed::{booking, committed};
use crate::actors::runtime::StateDocument;
use crate::domain::ids::ReservationNo;
use crate::domain::money::Money;
use crate::domain::payment::Payment;
use crate::domain::reconciliation::{Finding, Movement, ProviderMovements, compare};
use crate::providers::{
    ChargeLookup, Kind, LEDGER_PAGE_LEN_MAX, LedgerPage, PaymentProvider, ProviderError, ProviderLedgerEntry,
    RefundLookup,
};
use crate::store::journal::{Journal, ReadError};
use crate::store::schema::payment::STATE_KIND;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// The most movements of money that are compared; they are held in memory, with about 200 bytes each.
pub const MOVEMENTS_MAX: usize = 500_000;
/// How many differences are listed; beyond that no payment is examined a second time.
pub const FINDINGS_MAX: usize = 200;
/// The most payments that are kept to be examined a second time.
const SUSPECTS_MAX: usize = 20_000;
/// How many payments are read at once.
const PAYMENTS_PAGE_LEN: usize = 200;
/// How often a payment that changes while it is examined is examined again before it counts as under way.
const READS_MAX: usize = 3;
/// The pause before each call to a provider that serves payments meanwhile.
const PAUSE: Duration = Duration::from_millis(2);

/// Why there is no report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReconcileError {
    #[error("the payments are being compared already")]
    Running,
    /// The breaker keeps everybody from the provider.
    #[error("the payment provider is left alone at the moment, because it fails or is slow")]
    BreakerOpen,
    #[error("the payments could not be compared in time")]
    TooLong,
    #[error("the provider's record has more than {MOVEMENTS_MAX} movements")]
    TooMany,
    #[error("the payment provider's record cannot be read: {0}")]
    Provider(#[from] ProviderError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// What was compared and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// How many payments are committed here.
    pub payments: u64,
    /// How many charges the provider's record has.
    pub charges: u64,
    /// How many refunds it has.
    pub refunds: u64,
    /// How many charges are under way, or their outcome is not known yet.
    pub pending_charges: u64,
    /// How many refunds are owed and not made yet.
    pub pending_refunds: u64,
    /// What differs, at both looks.
    pub findings: Vec<Finding>,
    /// How many more payments seemed to differ and were not examined a second time, since there are so many.
    pub unexamined: u64,
}

impl Report {
    pub fn agrees(&self) -> bool {
        self.findings.is_empty() && self.unexamined == 0
    }

    /// How many differences there are, those included that are not listed.
    pub fn differences(&self) -> u64 {
        self.unexamined.saturating_add(u64::try_from(self.findings.len()).unwrap_or(u64::MAX))
    }
}

/// Called now and then with the number of entries and payments that have been read.
pub type Progress<'a> = &'a (dyn Fn(u64) + Send + Sync);

pub struct Reconciler {
    journal: Arc<dyn Journal>,
    provider: Arc<dyn PaymentProvider>,
    /// What guards the provider, where a service uses it meanwhile.
    bulkhead: Option<BulkheadHandle>,
    call_timeout: Duration,
    running: Mutex<()>,
}

impl Reconciler {
    /// A reconciler whose calls to the provider are given up after `call_timeout`.
    pub fn new(
        journal: Arc<dyn Journal>,
        provider: Arc<dyn PaymentProvider>,
        bulkhead: Option<BulkheadHandle>,
        call_timeout: Duration,
    ) -> Reconciler {
        Reconciler { journal, provider, bulkhead, call_timeout, running: Mutex::new(()) }
    }

    /// Compares everything once.
    ///
    /// # Errors
    /// When one of the two cannot be read, or another comparison is under way.
    pub async fn reconcile(&self, progress: Progress<'_>) -> Result<Report, ReconcileError> {
        let _running = self.running.try_lock().map_err(|_| ReconcileError::Running)?;
        let (mut record, mut report) = (Record::default(), Report::default());
        record.read_on(self, progress).await?;
        let mut suspects = self.walk(&mut record, &mut report, progress).await?;
        record.read_on(self, progress).await?;
        (report.charges, report.refunds) = (record.charges, record.refunds);
        suspects.sort();
        for no in suspects {
            let (moved, ours) = (record.moved(&no), self.ours(&no).await?);
            if ours.compared(&no, moved).is_empty() {
                continue;
            }
            if report.findings.len() >= FINDINGS_MAX {
                report.unexamined = report.unexamined.saturating_add(1);
            } else {
                report.findings.extend(self.look_again(&no, moved).await?);
            }
        }
        Ok(report)
    }

    /// Reads and counts our payments, and returns the reservations that seem to differ.
    async fn walk(
        &self,
        record: &mut Record,
        report: &mut Report,
        progress: Progress<'_>,
    ) -> Result<Vec<ReservationNo>, ReconcileError> {
        let mut suspects = Vec::new();
        let mut after: Option<Arc<str>> = None;
        loop {
            let page = self.journal.documents(STATE_KIND, after.as_deref(), PAYMENTS_PAGE_LEN).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(Arc::clone(last));
            for (_, body) in page {
                let document = StateDocument::decode(&Payments, &body);
                let state = document.map_err(|error| ReadError::Damaged(error.to_string()))?.state;
                let Some(payment) = state.0 else { continue };
                count(&payment, report);
                let no = &payment.subject.reservation_no;
                if !compare(no, Some(&payment), true, record.meet(no)).is_empty() {
                    suspect(&mut suspects, no, report);
                }
            }
            progress(record.len().saturating_add(report.payments));
            self.pause().await;
        }
        for no in record.unmet() {
            suspect(&mut suspects, no, report);
        }
        Ok(suspects)
    }

    /// What still differs of a reservation that seemed to.
    async fn look_again(&self, no: &ReservationNo, moved: &ProviderMovements) -> Result<Vec<Finding>, ReconcileError> {
        for _ in 0..READS_MAX {
            let ours = self.ours(no).await?;
            let theirs = self.theirs(ours.payment.as_ref(), moved).await?;
            // What changed meanwhile may have been asked about too early.
            if self.ours(no).await? == ours {
                return Ok(ours.compared(no, &theirs));
            }
        }
        Ok(vec![])
    }

    async fn ours(&self, no: &ReservationNo) -> Result<Ours, ReadError> {
        let payment = committed(&*self.journal, &Payments, no.payment().as_str()).await?.and_then(|state| state.0);
        let known = payment.is_some() || booking(&*self.journal, no).await?.is_some();
        Ok(Ours { payment, known })
    }

    /// What the provider answers for the keys of the payment, and for those of its record.
    async fn theirs(
        &self,
        payment: Option<&Payment>,
        moved: &ProviderMovements,
    ) -> Result<ProviderMovements, ReconcileError> {
        let mut theirs = ProviderMovements::default();
        let charges = payment
            .iter()
            .flat_map(|payment| payment.charges.iter().map(|charge| payment.charge_key_of(charge.attempt)));
        for (key, recorded) in by_key(&moved.charges, charges) {
            if let ChargeLookup::Charged { amount, .. } = self.ask(self.provider.look_up(&key)).await? {
                theirs.charges.extend(stood_by(&key, recorded, amount));
            }
        }
        let refunds =
            payment.iter().flat_map(|payment| payment.refunds.iter().map(|refund| payment.refund_key(refund.number)));
        for (key, recorded) in by_key(&moved.refunds, refunds) {
            if let RefundLookup::Refunded { amount, .. } = self.ask(self.provider.look_up_refund(&key)).await? {
                theirs.refunds.extend(stood_by(&key, recorded, amount));
            }
        }
        Ok(theirs)
    }

    async fn ask<T>(&self, call: impl Future<Output = Result<T, ProviderError>>) -> Result<T, ReconcileError> {
        self.pause().await;
        if self.bulkhead.as_ref().is_some_and(BulkheadHandle::rejects_calls) {
            return Err(ReconcileError::BreakerOpen);
        }
        Ok(within(self.call_timeout, call).await?)
    }

    async fn pause(&self) {
        if self.bulkhead.is_some() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// What is committed here of a reservation.
#[derive(PartialEq, Eq)]
struct Ours {
    payment: Option<Payment>,
    /// Whether there is such a reservation.
    known: bool,
}

impl Ours {
    fn compared(&self, no: &ReservationNo, moved: &ProviderMovements) -> Vec<Finding> {
        compare(no, self.payment.as_ref(), self.known, moved)
    }
}

/// The amounts recorded under each key, with our own keys whether anything is recorded under them or not.
fn by_key(moved: &[Movement], own: impl Iterator<Item = String>) -> BTreeMap<Arc<str>, Vec<Money>> {
    let mut keys: BTreeMap<Arc<str>, Vec<Money>> = own.map(|own| (own.into(), vec![])).collect();
    for movement in moved {
        keys.entry(Arc::clone(&movement.key)).or_default().push(movement.amount);
    }
    keys
}

/// The movements of a key that the provider knows: as often as it has recorded it, and at least once.
fn stood_by(key: &Arc<str>, recorded: Vec<Money>, found: Money) -> Vec<Movement> {
    let amounts = if recorded.is_empty() { vec![found] } else { recorded };
    amounts.into_iter().map(|amount| Movement { key: Arc::clone(key), amount }).collect()
}

fn count(payment: &Payment, report: &mut Report) {
    report.payments += 1;
    report.pending_charges += u64::from(payment.is_in_doubt());
    let owed = payment.refunds.iter().filter(|refund| !refund.is_made).count();
    report.pending_refunds += u64::try_from(owed).unwrap_or(u64::MAX);
}

fn suspect(suspects: &mut Vec<ReservationNo>, no: &ReservationNo, report: &mut Report) {
    if suspects.len() < SUSPECTS_MAX {
        suspects.push(no.clone());
    } else {
        report.unexamined = report.unexamined.saturating_add(1);
    }
}

static NOTHING: ProviderMovements = ProviderMovements { charges: Vec::new(), refunds: Vec::new() };

#[derive(Default)]
struct Record {
    moved: HashMap<ReservationNo, ReservationMovements>,
    charges: u64,
    refunds: u64,
    /// Where the page begins that was the last one.
    cursor: Option<Arc<str>>,
    /// How many entries of that page have been taken in.
    taken: usize,
}

#[derive(Default)]
struct ReservationMovements {
    moved: ProviderMovements,
    /// Whether a payment of ours belongs to it.
    met: bool,
}

impl Record {
    /// Reads from where it ended last to the present end of the record.
    async fn read_on(&mut self, by: &Reconciler, progress: Progress<'_>) -> Result<(), ReconcileError> {
        loop {
            let page = by.ask(by.provider.ledger_page(self.cursor.as_deref(), LEDGER_PAGE_LEN_MAX)).await?;
            let LedgerPage { items, next } = page;
            let stands_still = items.is_empty() || next == self.cursor;
            let len = items.len();
            for entry in items.into_iter().skip(self.taken) {
                self.take(entry)?;
            }
            progress(self.len());
            match next {
                None => {
                    self.taken = len;
                    return Ok(());
                }
                Some(_) if stands_still => {
                    return Err(ProviderError::Unknown("it does not end".to_owned()).into());
                }
                Some(next) => (self.cursor, self.taken) = (Some(next), 0),
            }
        }
    }

    fn take(&mut self, entry: ProviderLedgerEntry) -> Result<(), ReconcileError> {
        if self.len() >= u64::try_from(MOVEMENTS_MAX).unwrap_or(u64::MAX) {
            return Err(ReconcileError::TooMany);
        }
        let moved = &mut self.moved.entry(entry.reservation_no).or_default().moved;
        let movement = Movement { key: entry.idempotency_key, amount: entry.amount };
        match entry.kind {
            Kind::Charge => (moved.charges.push(movement), self.charges += 1),
            Kind::Refund => (moved.refunds.push(movement), self.refunds += 1),
        };
        Ok(())
    }

    fn len(&self) -> u64 {
        self.charges.saturating_add(self.refunds)
    }

    fn moved(&self, no: &ReservationNo) -> &ProviderMovements {
        self.moved.get(no).map_or(&NOTHING, |entry| &entry.moved)
    }

    /// As [`Record::moved`], and notes that a payment of ours belongs to it.
    fn meet(&mut self, no: &ReservationNo) -> &ProviderMovements {
        self.moved.get_mut(no).map_or(&NOTHING, |entry| {
            entry.met = true;
            &entry.moved
        })
    }

    /// The reservations to which no payment of ours belongs.
    fn unmet(&self) -> impl Iterator<Item = &ReservationNo> {
        self.moved.iter().filter(|(_, entry)| !entry.met).map(|(no, _)| no)
    }
}
