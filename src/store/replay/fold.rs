//! Replays one shard and compares the result with the state documents.

use super::replayed_entity::ReplayedEntity;
use super::{Progress, Replay};
use crate::domain::invariants::Violation;
use crate::domain::time::Timestamp;
use crate::store::document::{Causes, StateDocument};
use crate::store::journal::shard_of;
use crate::store::journal::{CommittedEvent, READ_ROWS_MAX, ReadError, ShardId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const PAGE_EVENTS: usize = if READ_ROWS_MAX < 1000 { READ_ROWS_MAX } else { 1000 };

/// The state and the causes after all events of one entity.
#[derive(Default)]
pub(super) struct Entry<S> {
    pub(super) state: S,
    causes: Causes,
}

pub(super) type Entities<S> = BTreeMap<Arc<str>, Entry<S>>;

/// Folds the events of a shard. An entity with a corrupt history is reported and left out; `seen` gets every event with the
/// state after it.
pub(super) async fn fold<A: ReplayedEntity>(
    walk: &mut Replay<'_>,
    shard: ShardId,
    mut seen: impl FnMut(&A::State, &A::Event),
) -> Result<Entities<A::State>, ReadError> {
    let mut entities: Entities<A::State> = BTreeMap::new();
    let mut corrupt: BTreeSet<Arc<str>> = BTreeSet::new();
    let mut position = 0;
    loop {
        let page = walk.journal.read(shard, position, PAGE_EVENTS).await?;
        if page.is_empty() {
            break;
        }
        for recorded in &page {
            position += 1;
            walk.report.events += 1;
            walk.latest = Timestamp::from_millis(recorded.event.at_ms).map_or(walk.latest, |at| at.max(walk.latest));
            if recorded.position != position {
                let detail = format!("position {position} should follow, {} does", recorded.position);
                walk.report.violation(Violation::new("no_gaps", &shard, detail));
                position = recorded.position;
            }
            let key = &recorded.event.entity;
            if corrupt.contains(key) {
                continue;
            }
            match step::<A>(entities.remove(key), recorded, walk.journal.shard_count(shard.context)) {
                Ok((entry, event)) => {
                    seen(&entry.state, &event);
                    entities.insert(Arc::clone(key), entry);
                }
                Err(why) => {
                    let detail = format!("event {position} of {shard} ({}): {why}", recorded.event.tag);
                    walk.report.violation(Violation::new("history_is_possible", key, detail));
                    corrupt.insert(Arc::clone(key));
                }
            }
        }
        (walk.progress)(Progress { shard, events: walk.report.events });
    }
    walk.heads.insert(shard, position);
    walk.report.entities += u64::try_from(entities.len() + corrupt.len()).unwrap_or(u64::MAX);
    Ok(entities)
}

fn step<A: ReplayedEntity>(
    entry: Option<Entry<A::State>>,
    recorded: &CommittedEvent,
    shard_count: u16,
) -> Result<(Entry<A::State>, A::Event), String> {
    if shard_of(&recorded.event.entity, shard_count) != recorded.shard.number {
        return Err("the entity lives in another shard".to_owned());
    }
    let event = A::decode(&recorded.event.tag, &recorded.event.payload).map_err(|error| error.to_string())?;
    let Entry { state, mut causes } = entry.unwrap_or_default();
    let state = A::evolve(state, &event).map_err(|error| error.to_string())?;
    if let Some(cause) = &recorded.event.cause {
        causes.note(cause);
    }
    Ok((Entry { state, causes }, event))
}

/// Compares the state documents with the replay if they have this program's schema version; returns how many there are.
pub(super) async fn compare<A: ReplayedEntity>(
    walk: &mut Replay<'_>,
    entities: &Entities<A::State>,
) -> Result<u64, ReadError> {
    let (mut present, is_current) = (0, walk.is_current(A::CONTEXT));
    for (key, entry) in entities {
        let body = walk.journal.document(A::STATE_KIND, key).await?;
        present += u64::from(body.is_some());
        if !is_current {
            continue;
        }
        walk.report.documents += u64::from(body.is_some());
        let outcome = body.map_or_else(|| Err("there is none".to_owned()), |body| same::<A>(entry, &body));
        if let Err(why) = outcome {
            walk.report.violation(Violation::new("document_is_the_replay", key, format!("{}: {why}", A::STATE_KIND)));
        }
    }
    Ok(present)
}

fn same<A: ReplayedEntity>(entry: &Entry<A::State>, body: &[u8]) -> Result<(), String> {
    let document = StateDocument::decode(body).map_err(|error| error.to_string())?;
    let state = A::decode_state(document.state).map_err(|error| error.to_string())?;
    if state != entry.state {
        return Err("its state is another".to_owned());
    }
    if document.causes != entry.causes {
        return Err("it remembers other causes".to_owned());
    }
    let bytes = A::encode_state(&entry.state).map_err(|error| error.to_string())?;
    if bytes == document.state { Ok(()) } else { Err("its bytes are others".to_owned()) }
}
