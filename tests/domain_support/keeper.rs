//! One context without actors and stores: its entities, and its events in order.

use rentcar::domain::time::Timestamp;
use rentcar::store::document::Causes;
use rentcar::store::journal::Cause;
use std::collections::BTreeMap;

/// An event with its entity and its cause, as a shard has them.
pub struct Logged<E> {
    pub entity: String,
    pub event: E,
    pub cause: Option<Cause>,
    pub at: Timestamp,
}

/// One context: its entities with the causes they remember, and its events in order.
pub struct Keeper<S, E> {
    pub entities: BTreeMap<String, (S, Causes)>,
    pub log: Vec<Logged<E>>,
}

impl<S, E> Default for Keeper<S, E> {
    fn default() -> Self {
        Keeper { entities: BTreeMap::new(), log: vec![] }
    }
}

impl<S: Clone + Default + std::fmt::Debug, E: Clone + std::fmt::Debug> Keeper<S, E> {
    pub fn state(&self, key: &str) -> S {
        self.entities.get(key).map(|(state, _)| state.clone()).unwrap_or_default()
    }

    /// Decides, and applies what was decided. A repeat of a cause decides nothing.
    pub fn tell<R>(
        &mut self,
        key: &str,
        cause: Option<&Cause>,
        now: Timestamp,
        decide: impl Fn(&S) -> Result<Vec<E>, R>,
        evolve: impl Fn(S, &E) -> Result<S, rentcar::domain::CorruptHistory>,
    ) -> Result<Vec<E>, R> {
        let (mut state, mut causes) = self.entities.get(key).cloned().unwrap_or_default();
        if cause.is_some_and(|cause| causes.covers(cause)) {
            return Ok(vec![]);
        }
        let events = decide(&state)?;
        for event in &events {
            state = evolve(state, event).expect("what is decided can be applied");
            if let Some(cause) = cause {
                causes.note(cause);
            }
            let (entity, event) = (key.to_owned(), event.clone());
            self.log.push(Logged { entity, event, cause: cause.cloned(), at: now });
        }
        if !events.is_empty() {
            self.entities.insert(key.to_owned(), (state, causes));
        }
        Ok(events)
    }
}
