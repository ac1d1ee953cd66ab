//! Brings what a store has derived from its events to the shapes of this program, before anything is started. What is
//! recorded of a store decides; the numbers are recorded last, so that a start that was cut off begins again.

use super::account::Accounts;
use super::customer::Customers;
use super::fleet::Ledger;
use super::operations::Operations;
use super::payment::Payments;
use super::rental::Rentals;
use super::reservation::Calendars;
use super::runtime::{Entity, RebuildError, Rebuilt, rebuild};
use crate::domain::reservation::Terms;
use crate::store::journal::{Append, AppendError, Context, Journal, ReadError, ShardId};
use crate::store::stored_schema::{StoredSchema, record, stored_schemas};
use std::time::Duration;
use tokio::time::Instant;

/// How often the progress of a rebuild is logged.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// Why a store is not as this program needs it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MigrationError {
    /// A newer program has been there. Nothing was changed.
    #[error(
        "the documents of kind {kind} in this store have schema {found}, and this program knows them up to schema \
         {known}: a newer program wrote them; start that one, or import an export that was made before"
    )]
    Newer { kind: &'static str, found: u16, known: u16 },
    #[error("it cannot be read which schemas the store has: {0}")]
    Unreadable(#[from] ReadError),
    #[error("what is derived from the events of {context} was not made anew: {reason}; the next start begins again")]
    Rebuild { context: Context, reason: RebuildError },
}

/// Rebuilds every context whose documents have an older schema than this program's. No other owner may use the journal.
///
/// # Errors
/// When a newer program has written the store, or it cannot be read or written.
pub async fn migrate(journal: &dyn Journal, terms: &Terms) -> Result<(), MigrationError> {
    let schemas = stored_schemas(journal).await?;
    if let Some(newer) = schemas.iter().find(|stored| stored.compared().is_gt()) {
        let (kind, found, known) = (newer.kind.name, newer.number, newer.kind.schema);
        return Err(MigrationError::Newer { kind, found, known });
    }
    bring_up(journal, &Calendars { terms: terms.clone() }, &schemas).await?;
    bring_up(journal, &Payments, &schemas).await?;
    bring_up(journal, &Rentals, &schemas).await?;
    bring_up(journal, &Ledger, &schemas).await?;
    bring_up(journal, &Customers, &schemas).await?;
    bring_up(journal, &Operations, &schemas).await?;
    bring_up(journal, &Accounts, &schemas).await
}

async fn bring_up<E: Entity>(
    journal: &dyn Journal,
    entity: &E,
    schemas: &[StoredSchema],
) -> Result<(), MigrationError> {
    let schemas: Vec<_> = schemas.iter().filter(|stored| stored.kind.context == E::CONTEXT).collect();
    let failed = |reason| MigrationError::Rebuild { context: E::CONTEXT, reason };
    if schemas.iter().any(|stored| stored.compared().is_lt()) {
        told_rebuild(journal, entity).await.map_err(failed)?;
    }
    if schemas.iter().any(|stored| !stored.recorded || stored.compared().is_lt()) {
        write_record(journal, E::CONTEXT, &schemas).await.map_err(|error| failed(error.into()))?;
    }
    Ok(())
}

async fn told_rebuild<E: Entity>(journal: &dyn Journal, entity: &E) -> Result<(), RebuildError> {
    let (context, begun, mut told) = (E::CONTEXT.0, Instant::now(), Instant::now());
    let elapsed_ms = || begun.elapsed().as_millis();
    let heads = (0..journal.shard_count(E::CONTEXT)).map(|number| ShardId { context: E::CONTEXT, number });
    let of_events: u64 = heads.map(|shard| *journal.watch(shard).borrow()).sum();
    tracing::info!(context, of_events, "rebuilding derived state of another version");
    let mut progress = |shard: ShardId, rebuilt: &Rebuilt| {
        if told.elapsed() >= LOG_EVERY {
            told = Instant::now();
            let &Rebuilt { events, entities, .. } = rebuilt;
            tracing::info!(
                context,
                shard = shard.number,
                events,
                of_events,
                entities,
                elapsed_ms = elapsed_ms(),
                "rebuilding"
            );
        }
    };
    let Rebuilt { events, entities, failed, written } = rebuild(journal, entity, &mut progress).await?;
    if failed > 0 {
        tracing::error!(context, failed, "entities could not be rebuilt and will fail; `rentcar verify` says why");
    }
    tracing::info!(context, events, entities, written, elapsed_ms = elapsed_ms(), "rebuilt");
    Ok(())
}

/// Says that the documents of these kinds, all of one context, are as this program writes them.
async fn write_record(journal: &dyn Journal, context: Context, schemas: &[&StoredSchema]) -> Result<(), AppendError> {
    let shard = ShardId { context, number: 0 };
    let owned = journal.own(shard).await?;
    let (epoch, expected_head, events, command) = (owned.epoch, owned.head, Vec::new(), None);
    let documents = schemas.iter().map(|stored| record(&stored.kind)).collect();
    let (index, claims, timers) = (Vec::new(), Vec::new(), Vec::new());
    let append = Append { shard, epoch, expected_head, events, documents, index, claims, timers, command };
    journal.append(append).await.map(drop)
}
