//! Which schemas the documents of a store have: a record beside them, so that a start need not look at a million
//! documents. One small document per kind says it; it is carried by archives like any other. Never rebuilds anything.

use super::journal::{DocumentWrite, Journal, ReadError, ShardId};
use super::schema::{DOCUMENT_KINDS, DocumentKind};
use bytes::Bytes;
use std::cmp::Ordering;

/// The kind of these documents; their key is the name of the kind that they are about, and their body its schema's
/// number as a little-endian `u16`.
pub const SCHEMA_KIND: &str = "schema";
/// The number of every kind in a store that has events and no record: the first programs kept none.
const UNRECORDED: u16 = 1;

/// Which schema the documents of a kind have in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredSchema {
    /// The kind, with the number that this program knows.
    pub kind: DocumentKind,
    /// The number that the documents have.
    pub number: u16,
    /// Whether the store says so itself.
    pub recorded: bool,
}

impl StoredSchema {
    /// How the number in the store stands to the one that this program knows.
    #[must_use]
    pub fn compared(&self) -> Ordering {
        self.number.cmp(&self.kind.schema)
    }
}

/// The record that the documents of a kind are as this program writes them.
#[must_use]
pub fn record(kind: &DocumentKind) -> DocumentWrite {
    let body = Some(Bytes::copy_from_slice(&kind.schema.to_le_bytes()));
    DocumentWrite { kind: SCHEMA_KIND, key: kind.name.into(), body }
}

/// What the store says of every kind.
///
/// # Errors
/// When a record cannot be read.
pub async fn stored_schemas(journal: &dyn Journal) -> Result<Vec<StoredSchema>, ReadError> {
    let mut found = Vec::with_capacity(DOCUMENT_KINDS.len());
    for kind in DOCUMENT_KINDS {
        let body = journal.document(SCHEMA_KIND, kind.name).await?;
        let recorded = body.is_some();
        let number = match body.as_deref() {
            Some(&[low, high]) => u16::from_le_bytes([low, high]),
            Some(_) => {
                return Err(ReadError::Damaged(format!("the record of the schema of {} is no number", kind.name)));
            }
            None if has_events(journal, &kind) => UNRECORDED,
            None => kind.schema,
        };
        found.push(StoredSchema { kind, number, recorded });
    }
    Ok(found)
}

fn has_events(journal: &dyn Journal, kind: &DocumentKind) -> bool {
    let shard = |number| ShardId { context: kind.context, number };
    (0..journal.shard_count(kind.context)).any(|number| *journal.watch(shard(number)).borrow() > 0)
}
