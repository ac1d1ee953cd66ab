//! What a part follows, as operators see it: how far each subscription is behind, and what it has set aside.

use super::clock::Clock;
use super::metric;
use super::subscription::{Lag, ParkedEvents, Subscription};
use metrics::Gauge;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How a subscription is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionStatus {
    /// The subscriber's name.
    pub name: String,
    /// How far it is behind.
    pub lag: Lag,
    /// What cannot be handled.
    pub parked: ParkedEvents,
}

/// The subscriptions of one name, which are one subscription to several contexts.
pub struct Followed {
    name: String,
    subscriptions: Vec<Subscription>,
    clock: Arc<dyn Clock>,
    lag_events: Gauge,
    lag_seconds: Gauge,
}

impl Followed {
    pub(super) fn all(clock: &Arc<dyn Clock>, subscriptions: &[Subscription]) -> Vec<Arc<Followed>> {
        let mut by_name: BTreeMap<String, Vec<Subscription>> = BTreeMap::new();
        for subscription in subscriptions {
            by_name.entry(subscription.name().to_owned()).or_default().push(subscription.clone());
        }
        let followed = |(name, subscriptions): (String, Vec<Subscription>)| Followed {
            lag_events: metrics::gauge!(metric::SUBSCRIPTION_LAG_EVENTS, "subscription" => name.clone()),
            lag_seconds: metrics::gauge!(metric::SUBSCRIPTION_LAG_SECONDS, "subscription" => name.clone()),
            name,
            subscriptions,
            clock: Arc::clone(clock),
        };
        by_name.into_iter().map(followed).map(Arc::new).collect()
    }

    /// How it is doing, whether its followers run or not.
    pub fn status(&self) -> SubscriptionStatus {
        // One subscriber handles all of them.
        let parked = self.subscriptions.first().map(Subscription::parked).unwrap_or_default();
        SubscriptionStatus { name: self.name.clone(), lag: self.lag(), parked }
    }

    fn lag(&self) -> Lag {
        let now_ms = self.clock.now_ms();
        self.subscriptions.iter().map(|subscription| subscription.lag(now_ms)).fold(Lag::default(), Lag::and)
    }

    /// Sets the metrics, also while the followers do not run, since then they lag.
    pub(super) fn publish(&self) {
        let lag = self.lag();
        #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
        {
            self.lag_events.set(lag.events as f64);
            self.lag_seconds.set(lag.oldest_ms as f64 / 1_000.0);
        }
    }
}
