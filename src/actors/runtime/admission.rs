//! Admission control, since mailboxes are unbounded: every ask holds a permit of its context, of its shard and of its
//! entity from before it is sent until it is answered or dropped. Rejects at once and never queues.

use super::metric;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The priority of an ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskOrigin {
    /// From outside the service; can be rejected.
    External,
    /// From the service itself, to finish work that it has begun; has a reserve of permits.
    Internal,
}

/// A counting semaphore of one scope, with a reserve for the service itself. Never waits.
#[derive(Debug)]
pub(super) struct AdmissionLimit {
    count: AtomicU32,
    external_max: u32,
    internal_max: u32,
}

impl AdmissionLimit {
    /// `reserve` is what the service itself may have on top of `external_max`.
    pub(super) fn new(external_max: u32, reserve: u32) -> Self {
        Self { count: AtomicU32::new(0), external_max, internal_max: external_max.saturating_add(reserve) }
    }

    /// Takes a permit, to be returned with [`AdmissionLimit::release`].
    pub(super) fn acquire(&self, origin: AskOrigin) -> bool {
        let max = match origin {
            AskOrigin::External => self.external_max,
            AskOrigin::Internal => self.internal_max,
        };
        // At the bound, adding first and taking back may reject one ask too many, but never admits one.
        if self.count.fetch_add(1, Ordering::Relaxed) < max {
            return true;
        }
        self.release();
        false
    }

    pub(super) fn release(&self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    /// The permits in use.
    pub(super) fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }
}

/// The level at which a permit was refused.
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
    metrics::counter!(metric::ADMISSION_REJECTIONS, "context" => context, "scope" => scope.name())
}

/// The gate of a shard, and the number of asks it ever admitted, which is the logical clock for idleness.
#[derive(Debug)]
pub(super) struct ShardLimit {
    limit: AdmissionLimit,
    admitted: AtomicU64,
}

impl ShardLimit {
    pub(super) fn new(external_max: u32, reserve: u32) -> Self {
        Self { limit: AdmissionLimit::new(external_max, reserve), admitted: AtomicU64::new(0) }
    }

    pub(super) fn admitted(&self) -> u64 {
        self.admitted.load(Ordering::Relaxed)
    }
}

/// The gate of an entity, and its last use by the shard's count of admitted asks.
#[derive(Debug)]
pub(super) struct EntityLimit {
    limit: AdmissionLimit,
    used_at: AtomicU64,
}

impl EntityLimit {
    pub(super) fn new(external_max: u32, reserve: u32) -> Self {
        Self { limit: AdmissionLimit::new(external_max, reserve), used_at: AtomicU64::new(0) }
    }

    /// Whether an ask is in flight.
    pub(super) fn is_busy(&self) -> bool {
        self.limit.count() > 0
    }

    pub(super) fn used_at(&self) -> u64 {
        self.used_at.load(Ordering::Relaxed)
    }
}

/// The permits of one ask; dropping returns them.
pub(super) struct Permit {
    context: Arc<AdmissionLimit>,
    shard: Arc<ShardLimit>,
    entity: Option<Arc<EntityLimit>>,
}

impl Permit {
    pub(super) fn acquire(
        context: &Arc<AdmissionLimit>,
        shard: &Arc<ShardLimit>,
        origin: AskOrigin,
    ) -> Result<Self, Scope> {
        if !context.acquire(origin) {
            return Err(Scope::Context);
        }
        if !shard.limit.acquire(origin) {
            context.release();
            return Err(Scope::Shard);
        }
        Ok(Self { context: Arc::clone(context), shard: Arc::clone(shard), entity: None })
    }

    /// Takes the permit of an entity, in place of that of an earlier incarnation, and records the use.
    pub(super) fn acquire_entity(&mut self, entity: &Arc<EntityLimit>, origin: AskOrigin) -> bool {
        if !entity.limit.acquire(origin) {
            return false;
        }
        let admitted = self.shard.admitted.fetch_add(1, Ordering::Relaxed);
        entity.used_at.store(admitted, Ordering::Relaxed);
        if let Some(earlier) = self.entity.replace(Arc::clone(entity)) {
            earlier.limit.release();
        }
        true
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(entity) = &self.entity {
            entity.limit.release();
        }
        self.shard.limit.release();
        self.context.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_admits_the_service_itself_when_outsiders_are_turned_away() {
        let limit = AdmissionLimit::new(2, 1);
        assert!(limit.acquire(AskOrigin::External) && limit.acquire(AskOrigin::External));
        assert!(!limit.acquire(AskOrigin::External));
        assert!(limit.acquire(AskOrigin::Internal));
        assert!(!limit.acquire(AskOrigin::Internal));
        limit.release();
        assert!(!limit.acquire(AskOrigin::External), "the reserve is not for outsiders");
        assert!(limit.acquire(AskOrigin::Internal));
        assert_eq!(limit.count(), 3);
    }
}
