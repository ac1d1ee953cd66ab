//! The domain half of verifying a store: that every document is what a replay of the events makes of them, and
//! that the invariants hold within and across contexts. The mechanical half is [`super::check`]. Changes nothing.
//!
//! The store must be at rest. What policies have not done *yet* is no violation: it is a note, and so is every
//! subscription that lags behind. Holds one shard of one context in memory at a time; what belongs to other
//! contexts is looked up by document.

mod across;
mod aggregate;
mod fold;
mod left_over;
mod spellings;

use super::document::StateDocument;
use super::journal::{Context, Journal, READ_ROWS_MAX, ReadError, ShardId, shard_of};
use super::schema;
use crate::domain::invariants::Violation;
use crate::domain::reservation::Booking;
use aggregate::{Aggregate, Calendar, Car, Customer, Payment, Rental};
use spellings::Spellings;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// The most violations, and the most notes, that are listed; what is beyond is only counted.
pub const FINDINGS_MAX: usize = 1000;

/// A subscription whose progress is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscription {
    /// Its name.
    pub name: &'static str,
    /// The context that it reads.
    pub source: Context,
}

/// How far the replay has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The shard that is being replayed.
    pub shard: ShardId,
    /// How many events have been replayed so far, of all shards.
    pub events: u64,
}

/// Something that is not done yet, or that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What kind of thing.
    pub what: &'static str,
    /// What it is about.
    pub entity: String,
    /// More about it; free of personal data.
    pub detail: String,
}

/// What was looked at and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// How many events were replayed.
    pub events: u64,
    /// How many entities they are about.
    pub entities: u64,
    /// How many documents were compared.
    pub documents: u64,
    /// What is wrong, at most [`FINDINGS_MAX`].
    pub violations: Vec<Violation>,
    /// How many violations there were altogether.
    pub violations_total: u64,
    /// What is not done yet, at most [`FINDINGS_MAX`].
    pub notes: Vec<Note>,
    /// How many notes there were altogether.
    pub notes_total: u64,
    /// How many events the subscriptions have not handled yet.
    pub lag: u64,
}

impl Report {
    /// Whether nothing is wrong. Notes may remain.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations_total == 0
    }

    fn violation(&mut self, violation: Violation) {
        self.violations_total += 1;
        if self.violations.len() < FINDINGS_MAX {
            self.violations.push(violation);
        }
    }

    fn check(&mut self, outcome: Result<(), Violation>) {
        if let Err(violation) = outcome {
            self.violation(violation);
        }
    }

    fn note(&mut self, what: &'static str, entity: &impl ToString, detail: impl Into<String>) {
        self.notes_total += 1;
        if self.notes.len() < FINDINGS_MAX {
            self.notes.push(Note { what, entity: entity.to_string(), detail: detail.into() });
        }
    }
}

/// Timers by entity and name.
type TimerNames = HashSet<(Arc<str>, Arc<str>)>;
/// Reservations by number, each in its latest state.
type Bookings = BTreeMap<Arc<str>, Booking>;

/// What is carried from shard to shard.
struct Walk<'a> {
    journal: &'a dyn Journal,
    report: Report,
    progress: &'a mut (dyn FnMut(Progress) + Send),
    heads: BTreeMap<ShardId, u64>,
    /// The timers of the context that is being replayed, unless there are too many to list.
    timers: Option<TimerNames>,
    /// How many customers' keys were seen.
    keys: u64,
    spellings: Spellings,
}

impl Walk<'_> {
    /// The committed state of an entity of any context. One that cannot be read is reported by its own context.
    async fn state<A: Aggregate>(&mut self, key: &str) -> Result<A::State, ReadError> {
        let body = self.journal.document(A::STATE_KIND, key).await?;
        let state = body.and_then(|body| {
            let document = StateDocument::decode(&body).ok()?;
            A::decode_state(document.state).ok()
        });
        Ok(state.unwrap_or_default())
    }

    fn shards(&self, context: Context) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.journal.shard_count(context)).map(move |number| ShardId { context, number })
    }

    /// Lists the context's timers, and checks that they are those of entities of this context.
    async fn list_timers<A: Aggregate>(&mut self) -> Result<(), ReadError> {
        let timers = self.journal.due_timers(A::CONTEXT, i64::MAX, None, READ_ROWS_MAX).await?;
        let shard_count = self.journal.shard_count(A::CONTEXT);
        for timer in &timers {
            let at_home = shard_of(&timer.entity, shard_count) == timer.shard.number;
            if !at_home || self.journal.document(A::STATE_KIND, &timer.entity).await?.is_none() {
                let detail = format!("the timer {} in shard {} is of no entity there", timer.name, timer.shard);
                self.report.violation(Violation::new("timers_have_entities", &timer.entity, detail));
            }
        }
        if timers.len() >= READ_ROWS_MAX {
            self.report.note("timers_not_checked", &A::CONTEXT, "there are too many to list");
            self.timers = None;
        } else {
            self.timers = Some(timers.into_iter().map(|timer| (timer.entity, timer.name)).collect());
        }
        Ok(())
    }

    /// What waits must be woken: without its timer nobody would ever come back to it.
    fn needs_timer(&mut self, entity: &str, name: &str) {
        let Some(timers) = &self.timers else { return };
        if !timers.contains(&(Arc::from(entity), Arc::from(name))) {
            let detail = format!("it waits, and the timer {name} is not set");
            self.report.violation(Violation::new("waiting_has_a_timer", &entity, detail));
        }
    }

    /// Everything of one context. `latest` collects the reservations of a shard from its events.
    async fn context<A: Aggregate>(
        &mut self,
        mut latest: impl FnMut(&mut Bookings, &A::State, &A::Event),
    ) -> Result<(), ReadError> {
        self.list_timers::<A>().await?;
        let (mut present, mut reservations) = (0, 0);
        for shard in self.shards(A::CONTEXT) {
            let mut bookings = Bookings::new();
            let entities = fold::fold::<A>(self, shard, |state, event| latest(&mut bookings, state, event)).await?;
            present += fold::compare::<A>(self, &entities).await?;
            reservations += self.reservations(&bookings).await?;
            for (key, entry) in &entities {
                A::check(self, key, &entry.state).await?;
            }
        }
        if A::CONTEXT == schema::RESERVATION {
            self.left_over_reservations(reservations).await?;
        }
        self.left_over(A::STATE_KIND, present, A::CONTEXT, |recorded| Some(Arc::clone(&recorded.event.entity))).await
    }

    async fn subscription(&mut self, subscription: Subscription) -> Result<(), ReadError> {
        for shard in self.shards(subscription.source) {
            let head = self.heads.get(&shard).copied().unwrap_or(0);
            let position = self.journal.progress(subscription.name, shard).await?.position;
            if position > head {
                let detail =
                    format!("{} is at position {position} of {shard}, whose head is {head}", subscription.name);
                self.report.violation(Violation::new("subscriptions_follow", &shard, detail));
            } else if position < head {
                let behind = head - position;
                self.report.lag += behind;
                self.report.note("subscription_lags", &subscription.name, format!("{behind} events of {shard}"));
            }
        }
        Ok(())
    }
}

/// Replays every shard of every context, and checks all that is derived from the events.
///
/// # Errors
/// Only when the journal cannot be read; what is wrong with what it says is in the report.
pub async fn replay(
    journal: &dyn Journal,
    subscriptions: &[Subscription],
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Report, ReadError> {
    let (report, heads) = (Report::default(), BTreeMap::new());
    let mut walk = Walk { journal, report, progress, heads, timers: None, keys: 0, spellings: Spellings::default() };
    walk.context::<Calendar>(|bookings, state, event| {
        if let Some(booking) = event.subject().and_then(|subject| state.booking(&subject.reservation_no)) {
            bookings.insert(booking.subject.reservation_no.as_str().into(), booking.clone());
        }
    })
    .await?;
    walk.context::<Payment>(|_, _, _| {}).await?;
    walk.context::<Rental>(|_, _, _| {}).await?;
    walk.context::<Car>(|_, _, _| {}).await?;
    walk.context::<Customer>(|_, _, _| {}).await?;
    walk.left_over_keys().await?;
    for subscription in subscriptions {
        walk.subscription(*subscription).await?;
    }
    Ok(walk.report)
}
