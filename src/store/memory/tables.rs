//! Ordered tables in memory with striped locks, so that writers of different keys rarely contend. Knows no events.

use super::super::journal::CommandRecord;
use super::lock;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Bound;
use std::sync::Arc;

const STRIPES: usize = 32;

fn stripe(key: &str) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    usize::from(hasher.finish().to_le_bytes()[0]) % STRIPES
}

type Rows<V> = BTreeMap<Arc<str>, V>;

/// Tables by name, each an ordered map.
pub(super) struct Tables<V> {
    stripes: [Mutex<HashMap<&'static str, Rows<V>>>; STRIPES],
}

impl<V> Default for Tables<V> {
    fn default() -> Self {
        Self { stripes: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl<V: Clone> Tables<V> {
    pub(super) fn write(&self, table: &'static str, key: Arc<str>, value: Option<V>) {
        let mut tables = lock(&self.stripes[stripe(&key)]);
        let rows = tables.entry(table).or_default();
        match value {
            Some(value) => drop(rows.insert(key, value)),
            None => drop(rows.remove(&key)),
        }
    }

    pub(super) fn get(&self, table: &'static str, key: &str) -> Option<V> {
        lock(&self.stripes[stripe(key)]).get(table)?.get(key).cloned()
    }

    pub(super) fn list(&self, table: &'static str, after: Option<&str>, limit: usize) -> Vec<(Arc<str>, V)> {
        let mut found = Vec::new();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        for stripe in &self.stripes {
            let tables = lock(stripe);
            let Some(rows) = tables.get(table) else { continue };
            let rows = rows.range::<str, _>((from, Bound::Unbounded)).take(limit);
            found.extend(rows.map(|(key, value)| (Arc::clone(key), value.clone())));
        }
        found.sort_by(|(left, _), (right, _)| left.cmp(right));
        found.truncate(limit);
        found
    }

    pub(super) fn last(&self, table: &'static str) -> Option<(Arc<str>, V)> {
        let last = |stripe: &Mutex<HashMap<&'static str, Rows<V>>>| {
            let tables = lock(stripe);
            let (key, value) = tables.get(table)?.last_key_value()?;
            Some((Arc::clone(key), value.clone()))
        };
        self.stripes.iter().filter_map(last).max_by(|(left, _), (right, _)| left.cmp(right))
    }
}

#[derive(Default)]
struct CommandStripe {
    records: HashMap<Arc<str>, CommandRecord>,
    expiry: BTreeSet<(i64, Arc<str>)>,
}

/// The command records, also ordered by expiry.
#[derive(Default)]
pub(super) struct Commands {
    stripes: [Mutex<CommandStripe>; STRIPES],
}

impl CommandStripe {
    fn put(&mut self, record: CommandRecord) {
        self.expiry.insert((record.expires_ms, Arc::clone(&record.id)));
        let expires_ms = record.expires_ms;
        if let Some(before) = self.records.insert(Arc::clone(&record.id), record)
            && before.expires_ms != expires_ms
        {
            self.expiry.remove(&(before.expires_ms, before.id));
        }
    }
}

impl Commands {
    pub(super) fn put(&self, record: CommandRecord) {
        lock(&self.stripes[stripe(&record.id)]).put(record);
    }

    /// Puts a record unless there is one of the same id that has not expired; returns the one that stays.
    pub(super) fn put_first(&self, record: CommandRecord, now_ms: i64) -> CommandRecord {
        let mut stripe = lock(&self.stripes[stripe(&record.id)]);
        if let Some(first) = stripe.records.get(&record.id).filter(|first| !first.has_expired(now_ms)) {
            return first.clone();
        }
        stripe.put(record.clone());
        record
    }

    pub(super) fn get(&self, id: &str) -> Option<CommandRecord> {
        lock(&self.stripes[stripe(id)]).records.get(id).cloned()
    }

    pub(super) fn forget(&self, now_ms: i64, limit: usize) -> usize {
        let mut forgotten = 0;
        for stripe in &self.stripes {
            let mut stripe = lock(stripe);
            while forgotten < limit && stripe.expiry.first().is_some_and(|(expires_ms, _)| *expires_ms <= now_ms) {
                if let Some((_, id)) = stripe.expiry.pop_first() {
                    stripe.records.remove(&id);
                    forgotten += 1;
                }
            }
        }
        forgotten
    }
}
