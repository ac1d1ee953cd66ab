//! Where read models are kept: tables of rows in the order of their keys, and how far they have followed the
//! journal. Everything here can be thrown away and rebuilt; nothing here is ever the only copy of anything.

#![warn(missing_docs)]

use super::journal::{ReadError, ShardId};

/// A change to one row: the new value, or `None` to remove it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowWrite {
    /// The table, a short ASCII name.
    pub table: &'static str,
    /// The row's key.
    pub key: Vec<u8>,
    /// The new value, or `None` to remove the row.
    pub value: Option<Vec<u8>>,
}

/// Which rows of a table to read.
#[derive(Debug, Clone, Default)]
pub struct Scan {
    /// Only keys that begin so.
    pub prefix: Vec<u8>,
    /// Only keys after this one (before it, in reverse), exclusive.
    pub after: Option<Vec<u8>>,
    /// From the last key to the first.
    pub reverse: bool,
    /// The most rows to answer.
    pub limit: usize,
}

/// Rows with their keys, in the order that was asked for.
pub type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// The port. Reads are local and quick, so they are not async; they never wait for writers.
pub trait ViewStore: Send + Sync + 'static {
    /// The value of a row.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn get(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError>;

    /// Rows in the order of their keys.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn scan(&self, table: &'static str, scan: &Scan) -> Result<Rows, ReadError>;

    /// Changes rows and records that the events of `shard` up to `position` are in them, both or neither.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn apply(&self, shard: ShardId, position: u64, rows: Vec<RowWrite>) -> Result<(), ReadError>;

    /// Up to which position the events of `shard` are in the rows; 0 at first.
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
