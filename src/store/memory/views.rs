//! Read models in memory, under one lock, which is enough for tests and demonstrations.

use super::super::journal::{READ_ROWS_MAX, ReadError, ShardId};
use super::super::view_store::{RowWrite, Rows, Scan, ViewStore};
use super::lock;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

type Table = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Default)]
struct State {
    tables: HashMap<&'static str, Table>,
    positions: HashMap<ShardId, u64>,
}

#[derive(Default)]
pub struct MemoryViews {
    state: Mutex<State>,
}

impl ViewStore for MemoryViews {
    fn get(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(lock(&self.state).tables.get(table).and_then(|rows| rows.get(key).cloned()))
    }

    fn scan(&self, table: &'static str, scan: &Scan) -> Result<Rows, ReadError> {
        let state = lock(&self.state);
        let Some(rows) = state.tables.get(table) else { return Ok(Rows::new()) };
        let (limit, prefix) = (scan.limit.min(READ_ROWS_MAX), &scan.prefix);
        let owned = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
        if scan.reverse {
            let to = scan.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
            let below = rows.range::<Vec<u8>, _>((Bound::Unbounded, to)).rev();
            let matching = below.skip_while(|(key, _)| !key.starts_with(prefix) && *key > prefix);
            return Ok(matching.take_while(|(key, _)| key.starts_with(prefix)).take(limit).map(owned).collect());
        }
        let from = match &scan.after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            Some(_) | None => Bound::Included(prefix),
        };
        let above = rows.range::<Vec<u8>, _>((from, Bound::Unbounded));
        Ok(above.take_while(|(key, _)| key.starts_with(prefix)).take(limit).map(owned).collect())
    }

    fn apply(&self, shard: ShardId, position: u64, rows: Vec<RowWrite>) -> Result<(), ReadError> {
        let mut state = lock(&self.state);
        for row in rows {
            let table = state.tables.entry(row.table).or_default();
            match row.value {
                Some(value) => drop(table.insert(row.key, value)),
                None => drop(table.remove(&row.key)),
            }
        }
        state.positions.insert(shard, position);
        Ok(())
    }

    fn position(&self, shard: ShardId) -> Result<u64, ReadError> {
        Ok(lock(&self.state).positions.get(&shard).copied().unwrap_or(0))
    }

    fn clear(&self) -> Result<(), ReadError> {
        *lock(&self.state) = State::default();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::journal::Context;

    fn keys(views: &MemoryViews, scan: &Scan) -> Vec<Vec<u8>> {
        views.scan("t", scan).unwrap().into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn scans_stay_within_the_prefix_in_both_directions() {
        let views = MemoryViews::default();
        let row = |key: &[u8]| RowWrite { table: "t", key: key.to_vec(), value: Some(Vec::new()) };
        let rows = [b"a1".as_slice(), b"b1", b"b2", b"b3", b"c1"].map(row).to_vec();
        views.apply(ShardId { context: Context("c"), number: 0 }, 5, rows).unwrap();
        let all = Scan { prefix: b"b".to_vec(), limit: 10, ..Scan::default() };
        assert_eq!(keys(&views, &all), [b"b1", b"b2", b"b3"]);
        let reverse = Scan { reverse: true, ..all.clone() };
        assert_eq!(keys(&views, &reverse), [b"b3", b"b2", b"b1"]);
        assert_eq!(keys(&views, &Scan { after: Some(b"b3".to_vec()), ..reverse }), [b"b2", b"b1"]);
        assert_eq!(keys(&views, &Scan { after: Some(b"b1".to_vec()), limit: 1, ..all }), [b"b2"]);
    }
}
