//! Decides which appends take a place in a store that makes everything durable in one order: against the heads, the epochs and
//! the look-up entries that those before leave, durable or not. What has taken its place is written, or the store has failed:
//! nothing refuses it later.

use super::durability::Ticket;
use super::journal::{AppendError, Claim, Ownership};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// A shard's head and the epoch of its owner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ShardState {
    pub head: u64,
    pub epoch: u64,
}

/// A look-up entry that an append puts or removes which has its place and is not stored yet.
struct Pending {
    exists: bool,
    ticket: Ticket,
}

/// The state after everything that has its place, of shards `S` and look-up entries `K`.
pub(crate) struct Placement<S, K> {
    shards: foldhash::HashMap<S, ShardState>,
    entries: HashMap<K, Pending>,
    /// How often something has been stored.
    commits: u64,
}

/// What decides on the place of an append.
pub(crate) struct Wanted<'a, S, K> {
    pub shard: S,
    pub epoch: u64,
    pub expected_head: u64,
    pub events: usize,
    /// Each with its key, and whether it is stored, as one looked when so many commits had ended.
    pub claims: &'a [(K, Claim)],
    pub stored: &'a Looked,
}

/// Which claimed entries are stored. One looks without the lock of the placement, since that may have to read the disk.
pub(crate) struct Looked {
    /// The commits that had ended before.
    pub commits: u64,
    /// In the order of the claims.
    pub stored: Vec<bool>,
}

/// Why an append has not taken a place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotPlaced {
    Refused(AppendError),
    /// Something has been stored since one looked for the claimed entries, so one has to look again.
    LookAgain,
}

impl From<AppendError> for NotPlaced {
    fn from(refusal: AppendError) -> NotPlaced {
        NotPlaced::Refused(refusal)
    }
}

impl Looked {
    /// Nothing is claimed.
    pub(crate) const NOTHING: Looked = Looked { commits: 0, stored: Vec::new() };
}

impl<S: Hash + Eq, K: Hash + Eq> Placement<S, K> {
    pub(crate) fn new(shards: foldhash::HashMap<S, ShardState>) -> Placement<S, K> {
        Placement { shards, entries: HashMap::new(), commits: 0 }
    }

    pub(crate) const fn commits(&self) -> u64 {
        self.commits
    }

    /// Gives an append its place, and returns the shard's new head. `written` are the look-up entries that it writes, with
    /// whether they exist then.
    pub(crate) fn append(
        &mut self,
        wanted: Wanted<'_, S, K>,
        ticket: Ticket,
        written: impl Iterator<Item = (K, bool)>,
    ) -> Result<u64, NotPlaced> {
        let state = self.shards.get(&wanted.shard).copied().unwrap_or_default();
        if wanted.epoch != state.epoch {
            return Err(AppendError::Fenced { current: state.epoch }.into());
        }
        if wanted.expected_head != state.head {
            return Err(AppendError::Conflict { expected: wanted.expected_head, actual: state.head }.into());
        }
        if !wanted.claims.is_empty() && wanted.stored.commits != self.commits {
            return Err(NotPlaced::LookAgain);
        }
        for (at, (key, claim)) in wanted.claims.iter().enumerate() {
            let is_stored = || wanted.stored.stored.get(at).copied().unwrap_or(true);
            if self.entries.get(key).map_or_else(is_stored, |pending| pending.exists) {
                return Err(AppendError::Taken { index: claim.index, key: Arc::clone(&claim.key) }.into());
            }
        }
        for (key, exists) in written {
            self.entries.insert(key, Pending { exists, ticket });
        }
        let head = state.head + wanted.events as u64;
        self.shards.insert(wanted.shard, ShardState { head, ..state });
        Ok(head)
    }

    /// Raises the epoch of a shard.
    pub(crate) fn own(&mut self, shard: S) -> Ownership {
        let state = self.shards.entry(shard).or_default();
        state.epoch += 1;
        Ownership { epoch: state.epoch, head: state.head }
    }

    /// Everything up to this is stored.
    pub(crate) fn stored(&mut self, last: Ticket) {
        self.commits += 1;
        self.entries.retain(|_, pending| pending.ticket > last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(key: &str) -> (String, Claim) {
        (key.to_owned(), Claim { index: "plates", key: key.into(), value: "car01".into() })
    }

    fn append(
        placement: &mut Placement<u8, String>,
        (epoch, head): (u64, u64),
        claimed: Option<&str>,
        stored: &Looked,
        ticket: u64,
    ) -> Result<u64, NotPlaced> {
        let claims: Vec<_> = claimed.map(claim).into_iter().collect();
        let wanted = Wanted { shard: 1, epoch, expected_head: head, events: 1, claims: &claims, stored };
        placement.append(wanted, Ticket(ticket), claims.iter().map(|(key, _)| (key.clone(), true)))
    }

    #[test]
    fn what_has_its_place_decides_whether_it_is_stored_or_not() {
        let mut placement = Placement::new(foldhash::HashMap::default());
        assert_eq!(placement.own(1), Ownership { epoch: 1, head: 0 });
        let absent = Looked { commits: 0, stored: vec![false] };
        assert_eq!(append(&mut placement, (1, 0), Some("a"), &absent, 1), Ok(1));
        let conflict = AppendError::Conflict { expected: 0, actual: 1 };
        assert_eq!(append(&mut placement, (1, 0), None, &absent, 2), Err(NotPlaced::Refused(conflict)));
        let taken = || Err(NotPlaced::Refused(AppendError::Taken { index: "plates", key: "a".into() }));
        assert_eq!(append(&mut placement, (1, 1), Some("a"), &absent, 2), taken());
        placement.stored(Ticket(1));
        assert_eq!(append(&mut placement, (1, 1), Some("a"), &absent, 2), Err(NotPlaced::LookAgain));
        let present = Looked { commits: placement.commits(), stored: vec![true] };
        assert_eq!(append(&mut placement, (1, 1), Some("a"), &present, 2), taken());
        let absent = Looked { commits: placement.commits(), stored: vec![false] };
        assert_eq!(append(&mut placement, (1, 1), Some("b"), &absent, 2), Ok(2));
        assert_eq!(placement.own(1), Ownership { epoch: 2, head: 2 });
        let fenced = AppendError::Fenced { current: 2 };
        assert_eq!(append(&mut placement, (1, 2), None, &absent, 3), Err(NotPlaced::Refused(fenced)));
    }
}
