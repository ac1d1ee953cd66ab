//! The logical half of `verify`: every document must equal a replay of its events, and the invariants must hold within
//! and across contexts. The physical half is [`super::check`]. Never writes.
//!
//! Nobody may append meanwhile. What policies have not done *yet* is a note and no violation, and so is a subscription
//! that lags. One shard of one context is in memory at a time; the data of other contexts is read from their documents.
//! Documents with another schema version, which the next start rebuilds, are not compared, and neither is any other
//! derived data of their context.

mod cross_context;
mod fold;
mod orphans;
mod replayed_entity;
mod spellings;

use super::document::StateDocument;
use super::journal::{Context, Journal, READ_ROWS_MAX, ReadError, ShardId, shard_of};
use super::schema::{self, reservation::reservation_key};
use super::stored_schema::{StoredSchema, stored_schemas};
use crate::domain::invariants::Violation;
use crate::domain::reservation::Booking;
use crate::domain::time::Timestamp;
use replayed_entity::{Account, Calendar, Car, Customer, Operations, Payment, Rental, ReplayedEntity};
use spellings::Spellings;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// The most violations, and the most notes, that are listed; further ones are only counted.
pub const FINDINGS_MAX: usize = 1000;

/// A subscription whose progress is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscription {
    pub name: &'static str,
    /// The context that it follows.
    pub source: Context,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub shard: ShardId,
    /// Events replayed so far, of all shards.
    pub events: u64,
}

/// Something that is not done yet or could not be checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingWork {
    pub what: &'static str,
    pub entity: String,
    /// Free of personal data.
    pub detail: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub events: u64,
    pub entities: u64,
    /// Documents that were compared.
    pub documents: u64,
    /// At most [`FINDINGS_MAX`].
    pub violations: Vec<Violation>,
    /// Includes the violations that are not listed.
    pub violations_total: u64,
    /// At most [`FINDINGS_MAX`].
    pub notes: Vec<PendingWork>,
    /// Includes the notes that are not listed.
    pub notes_total: u64,
    /// Events that the subscriptions have not handled yet.
    pub lag: u64,
}

impl Report {
    /// Whether nothing is wrong. Notes may remain.
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
            self.notes.push(PendingWork { what, entity: entity.to_string(), detail: detail.into() });
        }
    }
}

/// Entity and name of each timer.
type TimerNames = HashSet<(Arc<str>, Arc<str>)>;
/// The latest state of each reservation in each calendar, by the key of its document, and whether it has left that
/// calendar.
type Bookings = BTreeMap<Arc<str>, (Booking, HasLeft)>;
type HasLeft = bool;

/// Why a check ends early.
enum Stop {
    Read(ReadError),
    /// It needs a document with another schema version, which is reported once per kind.
    OtherSchema,
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

/// A check that ended at another schema version is no error.
fn as_far_as_possible(outcome: Result<(), Stop>) -> Result<(), ReadError> {
    match outcome {
        Ok(()) | Err(Stop::OtherSchema) => Ok(()),
        Err(Stop::Read(error)) => Err(error),
    }
}

/// One replay of the whole store.
struct Replay<'a> {
    journal: &'a dyn Journal,
    report: Report,
    progress: &'a mut (dyn FnMut(Progress) + Send),
    schemas: Vec<StoredSchema>,
    heads: BTreeMap<ShardId, u64>,
    /// The timers of the shard being replayed; `None` where the next start rebuilds them.
    timers: Option<TimerNames>,
    /// Customers that still have their key.
    keys: u64,
    /// Accounts that still have the hash of their mail address, and those that have one of their password.
    hashes: (u64, u64),
    /// When the newest event replayed so far was decided.
    latest: Timestamp,
    spellings: Spellings,
}

impl Replay<'_> {
    /// Whether the documents of a kind have this program's schema version.
    fn knows(&self, kind: &str) -> bool {
        self.schemas.iter().filter(|stored| stored.kind.name == kind).all(|stored| stored.compared().is_eq())
    }

    /// Whether all documents of a context have this program's schema version.
    fn is_current(&self, context: Context) -> bool {
        self.schemas.iter().filter(|stored| stored.kind.context == context).all(|stored| stored.compared().is_eq())
    }

    /// Reports, once per kind, documents with another schema version.
    fn report_schemas(&mut self) {
        for StoredSchema { kind, number, .. } in self.schemas.clone() {
            match number.cmp(&kind.schema) {
                Ordering::Equal => {}
                Ordering::Less => {
                    let detail = format!("schema {number} will be rebuilt as {} at the next start", kind.schema);
                    self.report.note("older_schema", &kind.name, detail);
                }
                Ordering::Greater => {
                    let detail =
                        format!("schema {number} was written by a newer program; this one knows {}", kind.schema);
                    self.report.violation(Violation::new("schema_is_known", &kind.name, detail));
                }
            }
        }
    }

    /// The stored state of an entity of any context. An unreadable one is reported by its own context.
    async fn state<A: ReplayedEntity>(&mut self, key: &str) -> Result<A::State, Stop> {
        if !self.knows(A::STATE_KIND) {
            return Err(Stop::OtherSchema);
        }
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

    /// Reads the timers of a shard and checks that each belongs to an entity of it.
    async fn list_timers<A: ReplayedEntity>(&mut self, shard: ShardId) -> Result<(), ReadError> {
        self.timers = None;
        if !self.is_current(A::CONTEXT) {
            return Ok(());
        }
        let (shard_count, mut timers) = (self.journal.shard_count(A::CONTEXT), TimerNames::new());
        let mut last: Option<(Arc<str>, Arc<str>)> = None;
        loop {
            let after = last.as_ref().map(|(entity, name)| (&**entity, &**name));
            let page = self.journal.timers(shard, after, READ_ROWS_MAX).await?;
            for timer in &page {
                let in_own_shard = shard_of(&timer.entity, shard_count) == shard.number;
                if !in_own_shard || self.journal.document(A::STATE_KIND, &timer.entity).await?.is_none() {
                    let detail = format!("the timer {} in shard {shard} is of no entity there", timer.name);
                    self.report.violation(Violation::new("timers_have_entities", &timer.entity, detail));
                }
            }
            let Some(timer) = page.last() else { break };
            last = Some((Arc::clone(&timer.entity), Arc::clone(&timer.name)));
            timers.extend(page.into_iter().map(|timer| (timer.entity, timer.name)));
        }
        self.timers = Some(timers);
        Ok(())
    }

    /// A waiting entity without its timer would wait forever.
    fn needs_timer(&mut self, entity: &str, name: &str) {
        let Some(timers) = &self.timers else { return };
        if !timers.contains(&(Arc::from(entity), Arc::from(name))) {
            let detail = format!("it waits, and the timer {name} is not set");
            self.report.violation(Violation::new("waiting_has_a_timer", &entity, detail));
        }
    }

    /// Checks one context. `latest` collects the reservations of a shard from its events.
    async fn context<A: ReplayedEntity>(
        &mut self,
        mut latest: impl FnMut(&mut Bookings, &A::State, &A::Event),
    ) -> Result<(), ReadError> {
        let (mut present, mut reservations) = (0, 0);
        for shard in self.shards(A::CONTEXT) {
            self.list_timers::<A>(shard).await?;
            let mut bookings = Bookings::new();
            let entities = fold::fold::<A>(self, shard, |state, event| latest(&mut bookings, state, event)).await?;
            present += fold::compare::<A>(self, &entities).await?;
            reservations += self.reservations(&bookings).await?;
            for (key, entry) in &entities {
                as_far_as_possible(A::check(self, key, &entry.state).await)?;
            }
        }
        if A::CONTEXT == schema::RESERVATION {
            self.orphan_reservations(reservations).await?;
        }
        self.orphans(A::STATE_KIND, present, A::CONTEXT, |recorded| Some(Arc::clone(&recorded.event.entity))).await
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

/// Replays every shard of every context and checks all derived data.
///
/// # Errors
/// Only when the journal cannot be read; everything else is in the report.
pub async fn replay(
    journal: &dyn Journal,
    subscriptions: &[Subscription],
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Report, ReadError> {
    let (report, heads, schemas) = (Report::default(), BTreeMap::new(), stored_schemas(journal).await?);
    let spellings = Spellings::default();
    let mut replay = Replay {
        journal,
        report,
        progress,
        schemas,
        heads,
        timers: None,
        keys: 0,
        hashes: (0, 0),
        latest: Timestamp::MIN,
        spellings,
    };
    replay.report_schemas();
    replay
        .context::<Calendar>(|bookings, state, event| {
            if let Some((came_by, booking)) = state.booking_after(event) {
                let key = reservation_key(&booking.subject.reservation_no, came_by);
                bookings.insert(key, (booking.clone(), booking.came_by() != came_by));
            }
        })
        .await?;
    replay.context::<Payment>(|_, _, _| {}).await?;
    replay.context::<Rental>(|_, _, _| {}).await?;
    replay.context::<Car>(|_, _, _| {}).await?;
    replay.context::<Customer>(|_, _, _| {}).await?;
    replay.context::<Operations>(|_, _, _| {}).await?;
    replay.context::<Account>(|_, _, _| {}).await?;
    replay.orphan_keys().await?;
    replay.orphan_hashes().await?;
    for subscription in subscriptions {
        replay.subscription(*subscription).await?;
    }
    Ok(replay.report)
}
