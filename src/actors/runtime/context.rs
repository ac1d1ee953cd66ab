//! Builds a context: a supervised subtree of shards, timers and followers, and a handle to ask it. The handle exists before
//! anything is started, so that contexts can refer to each other.

use super::clock::Clock;
use super::deadlines::Deadlines;
use super::entity::Entity;
use super::followed::Followed;
use super::follower::{Follower, FollowerMessage, FollowerSeed};
use super::limits::{ContextLimits, RestartLimits};
use super::recurring::recurring_child;
use super::router::ContextHandle;
use super::shard::{ShardActor, ShardSeed, StuckEntities};
use super::shard_core::{Core, ShardMessage};
use super::subscription::Subscription;
use super::supervisor::{ChildSpec, StatusBoard, SupervisorSpec};
use super::system::{Component, Part};
use super::timers::{TimerActor, TimerHandler, TimerSeed};
use super::watch::{Kind, Watch};
use crate::store::journal::Journal;
use ractor::Actor;
use std::sync::Arc;
use std::time::Duration;

/// The parts and the configuration of a context.
pub struct ContextSpec<E: Entity> {
    /// The behaviour of its entities.
    pub entity: Arc<E>,
    /// Holds the shards of the context.
    pub journal: Arc<dyn Journal>,
    /// The time of decisions and of due timers.
    pub clock: Arc<dyn Clock>,
    /// The limits of the context and of all its actors.
    pub limits: ContextLimits,
    /// Handles its due timers; may be set later, by [`ContextPart::with_timers`].
    pub timers: Option<Arc<dyn TimerHandler>>,
    /// May be extended later, by [`ContextPart::with_subscriptions`].
    pub subscriptions: Vec<Subscription>,
}

/// A context that has not been started.
pub struct ContextPart<E: Entity> {
    core: Arc<Core<E>>,
    spec: ContextSpec<E>,
}

/// Returns the handle of a context, and the context itself to be started.
pub fn context<E: Entity>(spec: ContextSpec<E>) -> (ContextHandle<E>, ContextPart<E>) {
    let (shards, durability) = (spec.journal.shard_count(E::CONTEXT), Arc::clone(spec.journal.durability()));
    let core = Arc::new(Core::new(shards, spec.limits.clone(), durability));
    (ContextHandle::new(Arc::clone(&core)), ContextPart { core, spec })
}

impl<E: Entity> ContextPart<E> {
    /// Sets the handler of due timers.
    #[must_use]
    pub fn with_timers(mut self, handler: Arc<dyn TimerHandler>) -> Self {
        self.spec.timers = Some(handler);
        self
    }

    /// Adds subscriptions.
    #[must_use]
    pub fn with_subscriptions(mut self, subscriptions: impl IntoIterator<Item = Subscription>) -> Self {
        self.spec.subscriptions.extend(subscriptions);
        self
    }

    /// Makes a part of a system, named after the context.
    pub fn part(self) -> Part {
        let Self { core, spec } = self;
        let name = E::CONTEXT.0;
        let deadlines = recurring_child(name, "deadlines", "deadlines", Arc::new(Deadlines(Arc::clone(&core))));
        let stuck_entities =
            recurring_child(name, "stuck-entities", "stuck-entities", Arc::new(StuckEntities(Arc::clone(&core))));
        // The first to start and the last to stop.
        let mut children = vec![deadlines, stuck_entities];
        children.extend((0..core.shards.len()).map(|number| shard(&core, &spec, number)));
        let mut watches: Vec<Arc<Watch>> = core.shards.iter().map(|shard| Arc::clone(&shard.watch)).collect();
        children.extend(spec.timers.clone().map(|handler| timers(&spec, handler, &mut watches)));
        children.extend(followers(name, &spec.journal, &spec.subscriptions, &mut watches));
        let followed = Followed::all(&spec.clock, &spec.subscriptions);
        let board = Arc::new(StatusBoard::default());
        let supervisor = supervisor(children, spec.limits.restart, &board);
        let handle = ContextHandle::new(core);
        let watched = watches.clone();
        let health = move || {
            let (shards, shards_up) = handle.shards_up();
            let mut detail = format!("{shards_up} of {shards} shards up");
            let problems = problems(&board, &watched);
            if !problems.is_empty() {
                detail = format!("{detail}; {problems}");
            }
            Component { name: name.to_owned(), up: shards_up == shards, detail }
        };
        Part { child: ChildSpec::supervisor(name, name, supervisor), health: Arc::new(health), watches, followed }
    }
}

/// A part of followers only, such as a read model: one follower per subscription.
pub fn followers_part(
    name: &'static str,
    journal: &Arc<dyn Journal>,
    clock: &Arc<dyn Clock>,
    subscriptions: &[Subscription],
    limits: RestartLimits,
) -> Part {
    let mut watches = Vec::new();
    let children = followers(name, journal, subscriptions, &mut watches);
    let followed = Followed::all(clock, subscriptions);
    let board = Arc::new(StatusBoard::default());
    let supervisor = supervisor(children, limits, &board);
    let watched = watches.clone();
    let health = move || {
        let up = board.children().iter().all(|child| child.up);
        let problems = problems(&board, &watched);
        let detail = if problems.is_empty() { "following".to_owned() } else { problems };
        Component { name: name.to_owned(), up, detail }
    };
    Part { child: ChildSpec::supervisor(name, name, supervisor), health: Arc::new(health), watches, followed }
}

fn supervisor(children: Vec<ChildSpec>, limits: RestartLimits, board: &Arc<StatusBoard>) -> SupervisorSpec {
    // Shards, timers and followers do not depend on each other: one-for-one restarts are enough.
    SupervisorSpec { children, limits, board: Arc::clone(board) }
}

/// How many stuck handlers are named in a component's detail.
const STUCK_SHOWN_MAX: usize = 3;

/// The children that do not run and the stuck handlers, except those that wait for the journal, which has its own component.
fn problems(board: &StatusBoard, watches: &[Arc<Watch>]) -> String {
    let down = board.children().into_iter().filter(|child| !child.up);
    let mut words: Vec<String> = down.map(|child| format!("{} {}", child.name, child.detail)).collect();
    let stuck = watches.iter().flat_map(|watch| watch.stuck()).filter(|stuck| stuck.kind != Kind::Journal);
    words.extend(stuck.take(STUCK_SHOWN_MAX).map(|stuck| format!("stuck: {stuck}")));
    words.join(", ")
}

fn shard<E: Entity>(core: &Arc<Core<E>>, spec: &ContextSpec<E>, number: usize) -> ChildSpec {
    let seed = ShardSeed {
        core: Arc::clone(core),
        number,
        entity: Arc::clone(&spec.entity),
        journal: Arc::clone(&spec.journal),
        clock: Arc::clone(&spec.clock),
    };
    let start = move |supervisor| -> futures_util::future::BoxFuture<'static, _> {
        let seed = seed.clone();
        Box::pin(async move {
            let (actor, _) = Actor::spawn_linked(None, ShardActor::<E>::new(), seed, supervisor).await?;
            Ok(actor.get_cell())
        })
    };
    ChildSpec::new(E::CONTEXT.0, "shard", format!("shard-{number}"), start)
        .stopped_by(|cell, until| drop(cell.send_message(ShardMessage::<E>::Close { until })))
}

fn timers<E: Entity>(
    spec: &ContextSpec<E>,
    handler: Arc<dyn TimerHandler>,
    watches: &mut Vec<Arc<Watch>>,
) -> ChildSpec {
    let watch = Watch::new(E::CONTEXT.0, "timers", Duration::from_millis(spec.limits.timers.handler_ms_max / 2));
    watches.push(Arc::clone(&watch));
    let seed = TimerSeed {
        context: E::CONTEXT,
        journal: Arc::clone(&spec.journal),
        clock: Arc::clone(&spec.clock),
        handler,
        limits: spec.limits.timers,
        watch,
    };
    ChildSpec::new(E::CONTEXT.0, "timers", "timers", move |supervisor| {
        let seed = seed.clone();
        Box::pin(async move {
            let (actor, _) = Actor::spawn_linked(None, TimerActor, seed, supervisor).await?;
            Ok(actor.get_cell())
        })
    })
}

fn followers(
    context: &'static str,
    journal: &Arc<dyn Journal>,
    subscriptions: &[Subscription],
    watches: &mut Vec<Arc<Watch>>,
) -> Vec<ChildSpec> {
    let follower = |subscription: &Subscription| {
        let watch = |shard| {
            let scope = format!("{}-{}-{shard}", subscription.name(), subscription.source());
            Watch::new(context, scope, subscription.stuck_after())
        };
        let of_shards: Arc<[Arc<Watch>]> = (0..subscription.shard_count()).map(watch).collect();
        watches.extend(of_shards.iter().cloned());
        let seed = FollowerSeed::new(subscription.clone(), Arc::clone(journal), of_shards);
        let name = format!("{}-{}", subscription.name(), subscription.source());
        let start = move |supervisor| -> futures_util::future::BoxFuture<'static, _> {
            let seed = seed.clone();
            Box::pin(async move {
                let (actor, _) = Actor::spawn_linked(None, Follower, seed, supervisor).await?;
                Ok(actor.get_cell())
            })
        };
        ChildSpec::new(context, "follower", name, start)
            .stopped_by(|cell, _| drop(cell.send_message(FollowerMessage::Stop)))
    };
    subscriptions.iter().map(follower).collect()
}
