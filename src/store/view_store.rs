//! The port for read models: tables of rows in the order of their keys, and the journal position that each shard's rows
//! have reached. Everything here can be rebuilt from the journal.

#![warn(missing_docs)]

use super::journal::{ReadError, ShardId};

/// A change to one row: the new value, or `None` to remove it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowWrite {
    /// The table, a short ASCII name.
    pub table: &'static str,
    /// Unique within the table.
    pub key: Vec<u8>,
    /// The new value, or `None` to remove the row.
    pub value: Option<Vec<u8>>,
}

/// Which rows of a table to read.
#[derive(Debug, Clone, Default)]
pub struct Scan {
    /// Only keys with this prefix.
    pub prefix: Vec<u8>,
    /// Only keys after this one (before it, in reverse), exclusive.
    pub after: Option<Vec<u8>>,
    /// From the last key to the first.
    pub reverse: bool,
    /// The most rows to return; `READ_ROWS_MAX` bounds it.
    pub limit: usize,
}

/// Rows with their keys, in the order that was asked for.
pub type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// Reads are local and short, so they are not async; they never wait for a commit.
pub trait ViewStore: Send + Sync + 'static {
    /// The value of a row, or `None` when there is none.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn get(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError>;

    /// Rows in the order of their keys, or in reverse.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn scan(&self, table: &'static str, scan: &Scan) -> Result<Rows, ReadError>;

    /// Changes rows and records that the events of `shard` up to `position` are applied, atomically.
    ///
    /// # Errors
    /// When the store cannot be written, or a row is too large.
    fn apply(&self, shard: ShardId, position: u64, rows: Vec<RowWrite>) -> Result<(), ReadError>;

    /// The last position of `shard` whose events are applied; 0 at first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn position(&self, shard: ShardId) -> Result<u64, ReadError>;

    /// Removes every row and every position.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn clear(&self) -> Result<(), ReadError>;
}
