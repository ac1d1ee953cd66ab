//! The keys of the unpaid holds' rows, kept in memory too: they are counted at every reservation, and so many come and
//! go that a scan of the store would have to skip many removed rows. There are as many as unpaid holds.

use super::rows;
use crate::domain::ids::CustomerNo;
use crate::store::journal::{READ_ROWS_MAX, ReadError};
use crate::store::view_store::{RowWrite, Scan, ViewStore};
use parking_lot::RwLock;
use std::collections::BTreeSet;

pub(super) struct UnpaidHolds(RwLock<BTreeSet<Vec<u8>>>);

/// A key, and whether there is a row from now on.
pub(super) type Change = (Vec<u8>, bool);

impl UnpaidHolds {
    pub(super) fn load(store: &dyn ViewStore) -> Result<Self, ReadError> {
        let (mut keys, mut scan) = (BTreeSet::new(), Scan { limit: READ_ROWS_MAX, ..Scan::default() });
        loop {
            let rows = store.scan(rows::UNPAID, &scan)?;
            let Some((last, _)) = rows.last() else { return Ok(Self(RwLock::new(keys))) };
            scan.after = Some(last.clone());
            keys.extend(rows.into_iter().map(|(key, _)| key));
        }
    }

    /// The changes to [take in](Self::take) once these writes are stored.
    pub(super) fn changes(writes: &[RowWrite]) -> Vec<Change> {
        let of_these = writes.iter().filter(|write| write.table == rows::UNPAID);
        of_these.map(|write| (write.key.clone(), write.value.is_some())).collect()
    }

    pub(super) fn take(&self, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        let mut keys = self.0.write();
        for (key, stands) in changes {
            if stands {
                keys.insert(key);
            } else {
                keys.remove(&key);
            }
        }
    }

    pub(super) fn count(&self, customer_no: &CustomerNo, max: usize) -> usize {
        let prefix = rows::customer_prefix(customer_no);
        let keys = self.0.read();
        keys.range(prefix.clone()..).take_while(|key| key.starts_with(&prefix)).take(max).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::ReservationNo;
    use crate::store::journal::{Context, ShardId};
    use crate::store::memory::MemoryViews;

    #[test]
    fn what_is_counted_is_what_is_stored_before_and_after_a_start() {
        let store = MemoryViews::default();
        let holds = UnpaidHolds::load(&store).unwrap();
        let customer = |text| CustomerNo::parse(text).unwrap();
        let write = |of, no, value| {
            let key = rows::unpaid_key(&customer(of), &ReservationNo::parse(no).unwrap());
            RowWrite { table: rows::UNPAID, key, value }
        };
        let put = |position, writes: Vec<RowWrite>| {
            let changes = UnpaidHolds::changes(&writes);
            store.apply(ShardId { context: Context("reservation"), number: 0 }, position, writes).unwrap();
            holds.take(changes);
        };
        put(
            1,
            vec![write("kim", "r1", Some(vec![])), write("kim", "r2", Some(vec![])), write("ki", "r3", Some(vec![]))],
        );
        put(2, vec![write("kim", "r2", None), write("kim", "r4", None)]);
        for holds in [&holds, &UnpaidHolds::load(&store).unwrap()] {
            let counted = ["kim", "ki", "k"].map(|of| holds.count(&customer(of), 10));
            assert_eq!(counted, [1, 1, 0]);
            assert_eq!(holds.count(&customer("kim"), 0), 0);
        }
    }
}
