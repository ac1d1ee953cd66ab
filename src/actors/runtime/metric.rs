//! The names of the runtime's metrics. They begin with the name of the program that the runtime is built into.

macro_rules! name {
    ($name:literal) => {
        concat!(env!("CARGO_PKG_NAME"), "_", $name)
    };
}

pub(in crate::actors::runtime) const ACTOR_MESSAGES_IN_FLIGHT: &str = name!("actor_messages_in_flight");
pub(in crate::actors::runtime) const ACTOR_RESTARTS: &str = name!("actor_restarts_total");
pub(in crate::actors::runtime) const ADMISSION_REJECTIONS: &str = name!("admission_rejections_total");
pub(in crate::actors::runtime) const ENTITIES_LIVE: &str = name!("entities_live");
pub(in crate::actors::runtime) const ENTITY_PASSIVATIONS: &str = name!("entity_passivations_total");
pub(in crate::actors::runtime) const ENTITY_QUARANTINES: &str = name!("entity_quarantines_total");
pub(in crate::actors::runtime) const HANDLERS_STUCK: &str = name!("handlers_stuck");
pub(in crate::actors::runtime) const RUNTIME_STALLED: &str = name!("runtime_stalled");
pub(in crate::actors::runtime) const SUBSCRIPTION_LAG_EVENTS: &str = name!("subscription_lag_events");
pub(in crate::actors::runtime) const SUBSCRIPTION_LAG_SECONDS: &str = name!("subscription_lag_seconds");
pub(in crate::actors::runtime) const SUBSCRIPTION_PARKED_EVENTS: &str = name!("subscription_parked_events");
