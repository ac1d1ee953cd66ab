//! The environment of the service in a simulation: a clock, a journal and a provider, all of which can fail, as the seed
//! says.

use super::rng::{Fate, Rng};
use super::trace::Trace;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rentcar::actors::runtime::Clock;
use rentcar::providers::sandbox::{Sandbox, SettingsPatch};
use rentcar::providers::{
    Charge, ChargeLookup, ChargeOutcome, LedgerPage, PaymentProvider, ProviderError, Refund, RefundLookup,
    RefundReceipt,
};
use rentcar::store::durability::{Durability, Ticket};
use rentcar::store::journal::{
    Append, AppendError, CommandRecord, CommittedEvent, Context, Documents, IndexEntry, Journal, Ownership, Placed,
    Progress, ReadError, ShardId, StoredEvent, Timer,
};
use rentcar::store::memory::{LaggingJournal, MemoryJournal};
use rentcar::store::schema;
use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

/// The wall clock of a simulation: follows the paused time of the runtime, from start to start, and may jump forwards.
pub struct SimClock {
    base_ms: AtomicI64,
    since: Mutex<Option<Instant>>,
}

impl SimClock {
    pub fn at(now_ms: i64) -> Arc<SimClock> {
        Arc::new(SimClock { base_ms: AtomicI64::new(now_ms), since: Mutex::new(None) })
    }

    /// The service starts, on a runtime of its own.
    pub fn begin(&self) {
        *self.since.lock().unwrap() = Some(Instant::now());
    }

    /// The service has ended; it starts again so much later.
    pub fn end(&self, gap_ms: i64) {
        let now_ms = self.now_ms();
        *self.since.lock().unwrap() = None;
        self.base_ms.store(now_ms + gap_ms, Ordering::Relaxed);
    }

    pub fn jump(&self, by_ms: i64) {
        self.base_ms.fetch_add(by_ms, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now_ms(&self) -> i64 {
        let elapsed = self.since.lock().unwrap().map_or(Duration::ZERO, |since| since.elapsed());
        self.base_ms.load(Ordering::Relaxed) + i64::try_from(elapsed.as_millis()).unwrap()
    }
}

/// What goes wrong with the journals of all lives, and what is known of what they wrote.
pub struct JournalFaults {
    fate: Fate,
    trace: Arc<Trace>,
    pub faulty: AtomicBool,
    /// The payments of whose charge nobody knows the outcome.
    in_doubt: Mutex<HashSet<String>>,
    /// The first reservation that was let go while its payment was in doubt.
    let_go: Mutex<Option<String>>,
    /// How many appends still get a place; after them nothing is answered any more.
    left: Mutex<Option<u64>>,
    /// Told when an append got no place because none was left.
    pub cut_off: Notify,
}

impl JournalFaults {
    pub fn new(fate: Fate, trace: Arc<Trace>) -> Arc<JournalFaults> {
        Arc::new(JournalFaults {
            fate,
            trace,
            faulty: AtomicBool::new(true),
            in_doubt: Mutex::default(),
            let_go: Mutex::default(),
            left: Mutex::default(),
            cut_off: Notify::new(),
        })
    }

    /// From now on so many appends get a place; `None` for all.
    pub fn cut_off_after(&self, appends: Option<u64>) {
        *self.left.lock().unwrap() = appends;
    }

    /// Whether another append gets a place.
    fn may_append(&self) -> bool {
        match &mut *self.left.lock().unwrap() {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }

    /// A payment whose outcome is unknown keeps its hold until the provider has been asked. Afterwards nothing would
    /// show it, since the money goes back: so each append is looked at as it becomes durable.
    pub fn holds_outlive_doubts(&self) -> Result<(), String> {
        let let_go = self.let_go.lock().unwrap().clone();
        let_go.map_or(Ok(()), |no| Err(format!("{no} expired while nobody knew whether it was paid")))
    }

    fn observe(&self, events: &[StoredEvent]) {
        let mut in_doubt = self.in_doubt.lock().unwrap();
        for event in events {
            match event.tag.rsplit_once('.').map_or(&*event.tag, |(kind, _)| kind) {
                "payment.requested" => drop(in_doubt.insert(event.entity.to_string())),
                "payment.approved" | "payment.declined" | "payment.not_charged" => {
                    in_doubt.remove(&*event.entity);
                }
                "reservation.expired" => {
                    let expired = schema::reservation::decode(&event.tag, &event.payload).unwrap();
                    let no = &expired.subject().unwrap().reservation_no;
                    if in_doubt.contains(no.payment().as_str()) {
                        self.let_go.lock().unwrap().get_or_insert_with(|| no.to_string());
                    }
                }
                // What ends a reservation ends the change of it, whatever becomes of its charge.
                "reservation.change_ended" if events.len() == 1 => {
                    let ended = schema::reservation::decode(&event.tag, &event.payload).unwrap();
                    let no = &ended.subject().unwrap().reservation_no;
                    if in_doubt.contains(no.payment().as_str()) {
                        self.let_go.lock().unwrap().get_or_insert_with(|| format!("a change of {no}"));
                    }
                }
                _ => {}
            }
        }
    }

    /// The random numbers for an occasion; they choose no fault once faults have ended.
    fn rng(&self, occasion: &str) -> Option<Rng> {
        self.faulty.load(Ordering::Relaxed).then(|| self.fate.rng(occasion))
    }
}

/// The journal of one life of the service: unreliable, and what has its place in it becomes durable later. It keeps the
/// port's contract.
pub struct FaultyJournal {
    faults: Arc<JournalFaults>,
    inner: Arc<LaggingJournal>,
    /// The events that have their place and are not durable.
    placed: Mutex<VecDeque<(Ticket, Vec<StoredEvent>)>>,
    /// Told when the disk has failed.
    pub failed: Notify,
}

impl FaultyJournal {
    pub fn new(faults: Arc<JournalFaults>, disk: Arc<MemoryJournal>) -> Arc<FaultyJournal> {
        let inner = LaggingJournal::over(disk);
        Arc::new(FaultyJournal { faults, inner, placed: Mutex::default(), failed: Notify::new() })
    }

    /// The next places become durable: so many.
    fn sync(&self, count: usize) {
        self.inner.sync(count);
        let mut placed = self.placed.lock().unwrap();
        while let Some((_, events)) = placed.pop_front_if(|(ticket, _)| self.inner.durability().has(*ticket)) {
            self.faults.observe(&events);
        }
    }

    /// Everything that has its place becomes durable.
    pub fn sync_all(&self) {
        self.sync(usize::MAX);
    }

    /// The process ends between any two places: those before are durable, the others are gone.
    pub fn crash(&self, rng: &mut Rng) {
        let pending = self.inner.pending();
        self.sync(usize::try_from(rng.below(pending as u64 + 1)).unwrap());
    }

    /// The disk, for as long as the service lives: syncs what there is, all of it or a part, and fails if it may.
    pub async fn disk(self: Arc<Self>, mut rng: Rng, may_fail: bool) {
        loop {
            if self.inner.pending() == 0 {
                self.inner.changed.notified().await;
            }
            // A disk that is always quick would hide who does not wait for it.
            let lags_ms = if rng.happens(0.03) { 50 + rng.below(450) } else { rng.below(5) };
            sleep(Duration::from_millis(lags_ms)).await;
            let pending = self.inner.pending() as u64;
            if pending == 0 {
                continue;
            }
            let faulty = self.faults.faulty.load(Ordering::Relaxed);
            let count = if rng.happens(0.3) { 1 + rng.below(pending) } else { pending };
            let fails = rng.happens(0.002);
            if may_fail && faulty && fails {
                // The sync has failed, and nobody knows how much of it is on the disk.
                self.faults.trace.note(&format!("a sync of {pending} fails"));
                self.inner.fail("simulated");
                self.failed.notify_one();
                return;
            }
            self.sync(usize::try_from(count).unwrap());
        }
    }

    fn write(&self, append: Append) -> BoxFuture<'static, Result<Placed, AppendError>> {
        let events = append.events.clone();
        let placed = self.inner.place(append).now_or_never().unwrap();
        if let Ok(Placed { ticket, .. }) = &placed {
            self.placed.lock().unwrap().push_back((*ticket, events));
        }
        Box::pin(async { placed })
    }
}

impl Journal for FaultyJournal {
    fn place(&self, append: Append) -> BoxFuture<'static, Result<Placed, AppendError>> {
        let what: Vec<String> = append.events.iter().map(|event| format!("{} {}", event.tag, event.entity)).collect();
        let place = format!("{}/{} after {}", append.shard.context.0, append.shard.number, append.expected_head);
        let note = |fate: &str| self.faults.trace.note(&format!("append {place}: {} ({fate})", what.join(", ")));
        if !self.faults.may_append() {
            note("cut off");
            self.faults.cut_off.notify_one();
            return Box::pin(std::future::pending());
        }
        let (fate, slow_ms) = self.faults.rng(&place).map_or((100, 0), |mut rng| (rng.below(100), rng.below(300)));
        match fate {
            0 => {
                note("refused");
                Box::pin(async { Err(AppendError::Unavailable("simulated".to_owned())) })
            }
            1 => {
                note("lost, nobody knows");
                Box::pin(async { Err(AppendError::Unknown("simulated".to_owned())) })
            }
            2 => {
                note("written, nobody knows");
                let written = self.write(append);
                Box::pin(async move {
                    written.await?;
                    Err(AppendError::Unknown("simulated".to_owned()))
                })
            }
            3..8 => {
                note("written slowly");
                let written = self.write(append);
                Box::pin(async move {
                    let head = written.await?;
                    sleep(Duration::from_millis(slow_ms)).await;
                    Ok(head)
                })
            }
            _ => {
                note("written");
                self.write(append)
            }
        }
    }

    fn own(&self, shard: ShardId) -> BoxFuture<'_, Result<Ownership, AppendError>> {
        let occasion = format!("own {}/{}", shard.context.0, shard.number);
        if self.faults.rng(&occasion).is_some_and(|mut rng| rng.happens(0.02)) {
            return Box::pin(async { Err(AppendError::Unavailable("simulated".to_owned())) });
        }
        self.inner.own(shard)
    }

    fn durability(&self) -> &Arc<Durability> {
        self.inner.durability()
    }

    fn newest(&self) -> Ticket {
        self.inner.newest()
    }

    fn shard_count(&self, context: Context) -> u16 {
        self.inner.shard_count(context)
    }

    fn watch(&self, shard: ShardId) -> watch::Receiver<u64> {
        self.inner.watch(shard)
    }

    fn watch_context(&self, context: Context) -> watch::Receiver<()> {
        self.inner.watch_context(context)
    }

    fn read(&self, shard: ShardId, after: u64, limit: usize) -> BoxFuture<'_, Result<Vec<CommittedEvent>, ReadError>> {
        self.inner.read(shard, after, limit)
    }

    fn document<'a>(&'a self, kind: &'static str, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, ReadError>> {
        self.inner.document(kind, key)
    }

    fn documents<'a>(
        &'a self,
        kind: &'static str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Documents, ReadError>> {
        self.inner.documents(kind, after, limit)
    }

    fn lookup<'a>(&'a self, index: &'static str, key: &'a str) -> BoxFuture<'a, Result<Option<Arc<str>>, ReadError>> {
        self.inner.lookup(index, key)
    }

    fn last_entry(&self, index: &'static str) -> BoxFuture<'_, Result<Option<IndexEntry>, ReadError>> {
        self.inner.last_entry(index)
    }

    fn due_timers(
        &self,
        context: Context,
        until_ms: i64,
        after: Option<&Timer>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Timer>, ReadError>> {
        self.inner.due_timers(context, until_ms, after, limit)
    }

    fn timers<'a>(
        &'a self,
        shard: ShardId,
        after: Option<(&'a str, &'a str)>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Timer>, ReadError>> {
        self.inner.timers(shard, after, limit)
    }

    fn command<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<CommandRecord>, ReadError>> {
        self.inner.command(id)
    }

    fn record_command(&self, record: CommandRecord, now_ms: i64) -> BoxFuture<'_, Result<CommandRecord, AppendError>> {
        self.inner.record_command(record, now_ms)
    }

    fn forget_commands(&self, now_ms: i64, limit: usize) -> BoxFuture<'_, Result<usize, AppendError>> {
        self.inner.forget_commands(now_ms, limit)
    }

    fn take_numbers(&self, sequence: &'static str, after: u64, count: u32) -> BoxFuture<'_, Result<u64, AppendError>> {
        if self.faults.rng(sequence).is_some_and(|mut rng| rng.happens(0.2)) {
            return Box::pin(async { Err(AppendError::Unavailable("simulated".to_owned())) });
        }
        self.inner.take_numbers(sequence, after, count)
    }

    fn progress<'a>(&'a self, subscription: &'a str, shard: ShardId) -> BoxFuture<'a, Result<Progress, ReadError>> {
        self.inner.progress(subscription, shard)
    }

    fn save_progress<'a>(
        &'a self,
        subscription: &'a str,
        shard: ShardId,
        progress: Progress,
    ) -> BoxFuture<'a, Result<(), AppendError>> {
        let occasion = format!("{subscription} {}/{}", shard.context.0, shard.number);
        if self.faults.rng(&occasion).is_some_and(|mut rng| rng.happens(0.05)) {
            return Box::pin(async { Err(AppendError::Unavailable("simulated".to_owned())) });
        }
        self.inner.save_progress(subscription, shard, progress)
    }

    fn failure(&self) -> Option<String> {
        self.inner.failure()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        self.inner.close()
    }
}

/// How the provider behaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct FaultMode {
    pub down: bool,
    pub latency_ms: u64,
    pub fails: f64,
    pub loses_answers: f64,
    pub declines: f64,
    pub duplicates: f64,
    /// The caller hears nothing, and the order arrives up to one and a half seconds later.
    pub late: f64,
}

impl FaultMode {
    pub fn by(rng: &mut Rng) -> FaultMode {
        let calm = FaultMode { latency_ms: rng.below(50), ..FaultMode::default() };
        match rng.below(6) {
            0 => calm,
            1 => FaultMode { down: true, ..calm },
            2 => FaultMode { fails: 0.5, loses_answers: 0.2, ..calm },
            3 => FaultMode { loses_answers: 0.6, duplicates: 0.3, ..calm },
            4 => FaultMode { late: 0.5, declines: 0.2, ..calm },
            _ => FaultMode { latency_ms: 200 + rng.below(4_000), declines: 0.3, loses_answers: 0.1, ..calm },
        }
    }
}

/// The provider: the sandbox keeps the books, the mood decides the outcome of a call.
pub struct SimProvider {
    pub sandbox: Sandbox,
    fault_mode: Mutex<FaultMode>,
    fate: Fate,
    trace: Arc<Trace>,
}

impl SimProvider {
    pub fn new(fate: Fate, trace: Arc<Trace>) -> Arc<SimProvider> {
        let (sandbox, fault_mode) = (Sandbox::new(), Mutex::new(FaultMode::default()));
        Arc::new(SimProvider { sandbox, fault_mode, fate, trace })
    }

    pub fn set(&self, fault_mode: FaultMode) {
        self.trace.note(&format!("provider {fault_mode:?}"));
        *self.fault_mode.lock().unwrap() = fault_mode;
    }

    /// Whether a call arrives, with its random numbers.
    async fn arrive(&self, what: &str) -> Result<(FaultMode, Rng), ProviderError> {
        let fault_mode = *self.fault_mode.lock().unwrap();
        let mut rng = self.fate.rng(what);
        self.trace.note(&format!("provider is asked to {what}"));
        sleep(Duration::from_millis(fault_mode.latency_ms)).await;
        if fault_mode.down || rng.happens(fault_mode.fails) {
            return Err(ProviderError::NotDone("simulated".to_owned()));
        }
        Ok((fault_mode, rng))
    }

    fn decide(&self, declines: bool) {
        let decline_rate = if declines { 1.0 } else { 0.0 };
        let patch = SettingsPatch { decline_rate: Some(decline_rate), ..SettingsPatch::default() };
        self.sandbox.change(&patch).unwrap();
    }
}

fn lost<T>() -> Result<T, ProviderError> {
    Err(ProviderError::Unknown("simulated".to_owned()))
}

impl PaymentProvider for SimProvider {
    fn charge(&self, charge: Charge) -> BoxFuture<'_, Result<ChargeOutcome, ProviderError>> {
        Box::pin(async move {
            let (fault_mode, mut rng) = self.arrive(&format!("charge {}", charge.idempotency_key)).await?;
            self.decide(rng.happens(fault_mode.declines));
            if rng.happens(fault_mode.late) {
                let (sandbox, late_ms) = (self.sandbox.clone(), rng.below(1_500));
                self.trace.note(&format!("the order arrives {late_ms} ms later"));
                tokio::spawn(async move {
                    sleep(Duration::from_millis(late_ms)).await;
                    let _ = sandbox.serve_charge(charge).await;
                });
                return lost();
            }
            if rng.happens(fault_mode.duplicates) {
                let _ = self.sandbox.serve_charge(charge.clone()).await;
            }
            let outcome = self.sandbox.serve_charge(charge).await?;
            if rng.happens(fault_mode.loses_answers) { lost() } else { Ok(outcome) }
        })
    }

    fn refund(&self, refund: Refund) -> BoxFuture<'_, Result<RefundReceipt, ProviderError>> {
        Box::pin(async move {
            let (fault_mode, mut rng) = self.arrive(&format!("refund {}", refund.idempotency_key)).await?;
            if rng.happens(fault_mode.duplicates) {
                let _ = self.sandbox.serve_refund(refund.clone()).await;
            }
            let done = self.sandbox.serve_refund(refund).await?;
            if rng.happens(fault_mode.loses_answers) { lost() } else { Ok(done) }
        })
    }

    fn look_up<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<ChargeLookup, ProviderError>> {
        Box::pin(async move {
            self.arrive(&format!("look up {key}")).await?;
            Ok(self.sandbox.serve_look_up(key).await?)
        })
    }

    fn look_up_refund<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<RefundLookup, ProviderError>> {
        Box::pin(async move {
            self.arrive(&format!("look up refund {key}")).await?;
            Ok(self.sandbox.serve_look_up_refund(key).await?)
        })
    }

    fn ledger_page<'a>(
        &'a self,
        cursor: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<LedgerPage, ProviderError>> {
        self.sandbox.ledger_page(cursor, limit)
    }
}
