//! Bounded permits, since mailboxes are not bounded: every question holds one of its context, its shard and its
//! entity from before it is sent until it is answered or dropped. Refuses at once and never queues.

use super::ask::Class;
use super::entity::Entity;
use super::router::{ShardCore, Slot};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Counts what is under way in one scope, up to a bound, with a reserve for the service itself.
#[derive(Debug)]
pub(super) struct Gate {
    count: AtomicU32,
    external_max: u32,
    internal_max: u32,
}

impl Gate {
    /// With the bound for asks from outside and what the service itself may have on top.
    pub(super) fn new(external_max: u32, reserve: u32) -> Self {
        Self { count: AtomicU32::new(0), external_max, internal_max: external_max.saturating_add(reserve) }
    }

    /// Takes a permit, to be returned with [`Gate::leave`].
    pub(super) fn enter(&self, class: Class) -> bool {
        let max = match class {
            Class::External => self.external_max,
            Class::Internal => self.internal_max,
        };
        // Adding first and taking back may refuse one too many for a moment at the bound, never admit one.
        if self.count.fetch_add(1, Ordering::Relaxed) < max {
            return true;
        }
        self.leave();
        false
    }

    /// Returns a permit.
    pub(super) fn leave(&self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many permits are out.
    pub(super) fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }
}

/// Where a permit was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Context,
    Shard,
    Entity,
}

impl Scope {
    pub(super) const ALL: [Scope; 3] = [Self::Context, Self::Shard, Self::Entity];

    fn name(self) -> &'static str {
        match self {
            Self::Context => "context",
            Self::Shard => "shard",
            Self::Entity => "entity",
        }
    }
}

pub(super) fn rejections_total(context: &'static str, scope: Scope) -> metrics::Counter {
    metrics::counter!("rentcar_admission_rejections_total", "context" => context, "scope" => scope.name())
}

/// The gate of a shard, and a count of everything it ever admitted, which serves as its clock for idleness.
#[derive(Debug)]
pub(super) struct ShardGate {
    gate: Gate,
    admitted: AtomicU64,
}

impl ShardGate {
    pub(super) fn new(external_max: u32, reserve: u32) -> Self {
        Self { gate: Gate::new(external_max, reserve), admitted: AtomicU64::new(0) }
    }

    /// How many questions this shard has admitted so far.
    pub(super) fn admitted(&self) -> u64 {
        self.admitted.load(Ordering::Relaxed)
    }
}

/// The permits of one question; returned when dropped.
pub(super) struct Permit<E: Entity> {
    shard: Arc<ShardCore<E>>,
    slot: Option<Arc<Slot<E>>>,
}

impl<E: Entity> Permit<E> {
    /// Takes the permits of the context and of the shard.
    pub(super) fn enter(shard: &Arc<ShardCore<E>>, class: Class) -> Result<Self, Scope> {
        if !shard.context_gate.enter(class) {
            return Err(Scope::Context);
        }
        if !shard.gate.gate.enter(class) {
            shard.context_gate.leave();
            return Err(Scope::Shard);
        }
        Ok(Self { shard: Arc::clone(shard), slot: None })
    }

    /// The entity whose permit it has.
    pub(super) fn slot(&self) -> Option<&Arc<Slot<E>>> {
        self.slot.as_ref()
    }

    /// Takes the permit of an entity, in place of that of an earlier incarnation, and marks it as in use.
    pub(super) fn enter_entity(&mut self, slot: &Arc<Slot<E>>, class: Class) -> bool {
        if !slot.gate.enter(class) {
            return false;
        }
        let admitted = self.shard.gate.admitted.fetch_add(1, Ordering::Relaxed);
        slot.used_at.store(admitted, Ordering::Relaxed);
        if let Some(earlier) = self.slot.replace(Arc::clone(slot)) {
            earlier.gate.leave();
        }
        true
    }
}

impl<E: Entity> Drop for Permit<E> {
    fn drop(&mut self) {
        if let Some(slot) = &self.slot {
            slot.gate.leave();
        }
        self.shard.gate.gate.leave();
        self.shard.context_gate.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_admits_the_service_itself_when_outsiders_are_turned_away() {
        let gate = Gate::new(2, 1);
        assert!(gate.enter(Class::External) && gate.enter(Class::External));
        assert!(!gate.enter(Class::External));
        assert!(gate.enter(Class::Internal));
        assert!(!gate.enter(Class::Internal));
        gate.leave();
        assert!(!gate.enter(Class::External), "the reserve is not for outsiders");
        assert!(gate.enter(Class::Internal));
        assert_eq!(gate.count(), 3);
    }
}
