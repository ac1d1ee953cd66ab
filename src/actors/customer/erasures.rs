//! Applies the list of erasures to a store, before anything is started: whoever was erased after the store was copied or backed
//! up is erased in it as well. An erasure is a fact here, so nothing is decided: bookings that live in an old copy do not keep
//! it off.

use super::Customers;
use crate::actors::reservation::instant;
use crate::actors::runtime::{Entity as _, FoldError, StateDocument};
use crate::domain::customer::{Customer, Event};
use crate::store::codec::CodecError;
use crate::store::erasure_list::{ErasureList, ListError, Step};
use crate::store::journal::{Append, AppendError, DocumentWrite, Journal, ReadError, ShardId, StoredEvent, shard_of};
use crate::store::schema::{self, customer::STATE_KIND};
use std::sync::Arc;

const CUSTOMERS_PER_READ: usize = 1_000;

/// Why the list was not applied to the end; the next start goes on.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error(transparent)]
    List(#[from] ListError),
    #[error("the customers cannot be read: {0}")]
    Read(#[from] ReadError),
    #[error("an erasure of the list cannot be applied: {0}")]
    Fold(#[from] FoldError),
    #[error("an erasure of the list cannot be written: {0}")]
    Write(#[from] AppendError),
}

impl From<CodecError> for ApplyError {
    fn from(error: CodecError) -> ApplyError {
        ApplyError::Fold(error.into())
    }
}

/// Erases in the store whom the list names, and completes the list, unless it is only read, with all erasures of the store: those
/// that were committed while the process ended, and those of before there was a list. Returns how many were erased. No other owner may use the journal.
///
/// # Errors
/// When the store or the list cannot be read or written.
pub async fn apply(journal: &dyn Journal, list: &ErasureList, now_ms: i64) -> Result<u64, ApplyError> {
    let mut erased = 0;
    for (customer_no, at_ms) in list.of(Step::Erased) {
        erased += u64::from(erase(journal, &customer_no, (at_ms, now_ms)).await?);
    }
    if !list.is_writable() {
        return Ok(erased);
    }
    for (customer_no, _) in list.of(Step::Begun) {
        if let Some(document) = document(journal, &customer_no).await?
            && let Some(Customer::Erased { at }) = document.state.0
        {
            list.add(&customer_no, Step::Erased, at.as_millis())?;
        }
    }
    list_all(journal, list).await?;
    Ok(erased)
}

async fn list_all(journal: &dyn Journal, list: &ErasureList) -> Result<(), ApplyError> {
    let mut after: Option<Arc<str>> = None;
    loop {
        let page = journal.documents(STATE_KIND, after.as_deref(), CUSTOMERS_PER_READ).await?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = Some(Arc::clone(last));
        let mut erased = Vec::new();
        for (customer_no, body) in &page {
            if let Some(Customer::Erased { at }) = StateDocument::decode(&Customers, body)?.state.0 {
                erased.push((customer_no.to_string(), at.as_millis()));
            }
        }
        list.add_all(erased, Step::Erased)?;
    }
}

async fn document(journal: &dyn Journal, customer_no: &str) -> Result<Option<StateDocument<Customers>>, ApplyError> {
    let Some(body) = journal.document(STATE_KIND, customer_no).await? else { return Ok(None) };
    Ok(Some(StateDocument::decode(&Customers, &body)?))
}

/// Returns whether there was something to erase.
async fn erase(journal: &dyn Journal, customer_no: &str, (at_ms, now_ms): (i64, i64)) -> Result<bool, ApplyError> {
    let Some(document) = document(journal, customer_no).await? else { return Ok(false) };
    match &document.state.0 {
        None | Some(Customer::Erased { .. }) => return Ok(false),
        Some(Customer::Registered { .. } | Customer::Closed { .. }) => {}
    }
    let (tag, payload) = Customers.encode_event(&Event::Erased { at: instant(at_ms) })?;
    let entity: Arc<str> = customer_no.into();
    let event = StoredEvent { entity: Arc::clone(&entity), at_ms: now_ms, cause: None, by: None, tag, payload };
    let (mut document, derived) = document.fold(&Customers, customer_no, &event)?;
    let mut documents = derived.documents;
    documents.push(DocumentWrite { kind: STATE_KIND, key: entity, body: Some(document.encode(&Customers)?) });
    let shard =
        ShardId { context: schema::CUSTOMER, number: shard_of(customer_no, journal.shard_count(schema::CUSTOMER)) };
    let owned = journal.own(shard).await?;
    let append = Append {
        shard,
        epoch: owned.epoch,
        expected_head: owned.head,
        events: vec![event],
        documents,
        index: derived.index,
        claims: derived.claims,
        timers: derived.timers,
        command: None,
    };
    journal.append(append).await?;
    Ok(true)
}
