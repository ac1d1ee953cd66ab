//! Which schema versions the documents of a store have. One small document per kind records it, so that a start need not
//! read all documents; archives carry it like any other. Never rebuilds anything.

use super::journal::{DocumentWrite, Journal, ReadError, ShardId};
use super::schema::{DOCUMENT_KINDS, DocumentKind};
use bytes::Bytes;
use std::cmp::Ordering;

/// The kind of these documents. Their key is the name of the kind that they describe, their body its schema version as a
/// little-endian `u16`.
pub const SCHEMA_KIND: &str = "schema";
/// The schema version of a kind in a store that has events but no record: the first versions recorded none.
const UNRECORDED: u16 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredSchema {
    /// The kind, with the schema version that this program knows.
    pub kind: DocumentKind,
    /// The schema version of the stored documents.
    pub number: u16,
    /// Whether the store records the version; otherwise it is inferred.
    pub recorded: bool,
}

impl StoredSchema {
    /// `Less` when the stored version is older than the one that this program knows.
    pub fn compared(&self) -> Ordering {
        self.number.cmp(&self.kind.schema)
    }
}

/// The record that the documents of a kind have this program's schema version.
pub fn record(kind: &DocumentKind) -> DocumentWrite {
    let body = Some(Bytes::copy_from_slice(&kind.schema.to_le_bytes()));
    DocumentWrite { kind: SCHEMA_KIND, key: kind.name.into(), body }
}

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
