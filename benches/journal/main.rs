//! How fast the journal is: appends by how many wait together and by adapter, with the fsyncs counted, replay, and
//! reopening after a history. Beside it, in turns, a bare file with as many bytes and one fdatasync for each batch: the
//! disk's own limit. `cargo bench --bench journal`; with the environment variable `BENCH_LONG_HISTORY` set it also
//! reopens after 5 million events. Writes target/bench/journal.json.

#[path = "../support/mod.rs"]
mod support;

mod limit;
mod store;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use store::{DOCUMENT_BYTES, ENTITIES, EVENT_BYTES, Store};
use support::results::{Mode, Results};
use support::turns::{opponent, take_turns};

const ON_DISK: &str = "rentcar-sled";
const IN_MEMORY: &str = "rentcar-memory";
/// How many appends are handed in together where only the history matters.
const FILL_AT_ONCE: usize = 1_024;
/// How many events are asked for at once in a replay.
const REPLAY_AT_ONCE: usize = 1_000;
/// How often a store is reopened.
const REOPENINGS: usize = 5;

fn main() -> anyhow::Result<()> {
    support::runtime()?.block_on(run(Mode::of_this_run()))
}

async fn run(mode: Mode) -> anyhow::Result<()> {
    let mut results = Results::new("journal", mode);
    results.version_of("sled");
    let append = format!("one event of {EVENT_BYTES} bytes, one document of {DOCUMENT_BYTES} bytes");
    results.condition("an append", append);
    results.condition("entities", ENTITIES);
    results.condition("fdatasync", "as many bytes over a file that is there, one write and one fdatasync a batch");
    for (together, batches) in [(1, 400), (8, 400), (64, 200), (512, 60)] {
        appends(&mut results, mode, together, mode.pick(batches, 3)).await?;
    }
    replay(&mut results, mode).await?;
    let mut histories = mode.pick(vec![10_000, 1_000_000], vec![2_000]);
    if std::env::var_os("BENCH_LONG_HISTORY").is_some() {
        histories.push(5_000_000);
    }
    for events in histories {
        reopening(&mut results, mode, events).await?;
    }
    support::keep(&results, mode)
}

#[allow(clippy::cast_precision_loss, reason = "counts of a benchmark are small")]
fn rate(count: usize, begun: Instant) -> f64 {
    count as f64 / begun.elapsed().as_secs_f64()
}

/// Appends so many batches, each when the one before is durable.
async fn append(store: &mut Store, together: usize, batches: usize) -> anyhow::Result<f64> {
    let begun = Instant::now();
    for _ in 0..batches {
        store.append(together).await?;
    }
    Ok(rate(together * batches, begun))
}

async fn appends(results: &mut Results, mode: Mode, together: usize, batches: usize) -> anyhow::Result<()> {
    let counted: Arc<Mutex<Vec<f64>>> = Arc::default();
    let on_disk = {
        let counted = Arc::clone(&counted);
        opponent(ON_DISK, move || {
            let counted = Arc::clone(&counted);
            async move {
                let folder = support::scratch()?;
                let mut store = Store::on_disk(&folder.path().join("data")).await?;
                let before = store.syncs();
                let rate = append(&mut store, together, batches).await?;
                #[allow(clippy::cast_precision_loss, reason = "counts of a benchmark are small")]
                let syncs = (store.syncs() - before) as f64 / batches as f64;
                counted.lock().unwrap_or_else(PoisonError::into_inner).push(syncs);
                store.close().await?;
                Ok(rate)
            }
        })
    };
    let in_memory = opponent(IN_MEMORY, move || async move {
        let mut store = Store::in_memory().await?;
        let rate = append(&mut store, together, batches).await?;
        store.close().await?;
        Ok(rate)
    });
    let bytes = together * (EVENT_BYTES + DOCUMENT_BYTES);
    let limit = opponent("fdatasync", move || async move {
        let batches_a_second = tokio::task::spawn_blocking(move || limit::batches(bytes, batches)).await??;
        #[allow(clippy::cast_precision_loss, reason = "counts of a benchmark are small")]
        Ok(batches_a_second * together as f64)
    });
    let case = format!("append, {together} together");
    take_turns(results, mode, &case, "1/s", &[on_disk, limit, in_memory]).await?;
    let counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
    results.add(&format!("fsyncs for {together} appends together"), ON_DISK, "count", &counted);
    Ok(())
}

async fn filled(mut store: Store, events: usize) -> anyhow::Result<Store> {
    let mut missing = events;
    while missing > 0 {
        let now = missing.min(FILL_AT_ONCE);
        store.append(now).await?;
        missing -= now;
    }
    Ok(store)
}

async fn replay(results: &mut Results, mode: Mode) -> anyhow::Result<()> {
    let events = mode.pick(200_000, 2_000);
    let case = format!("replay of {events} events");
    if !support::is_wanted(&case) {
        return Ok(());
    }
    let folder = support::scratch()?;
    let path = folder.path().join("data");
    filled(Store::on_disk(&path).await?, events).await?.close().await?;
    let reopened = Arc::new(Store::on_disk(&path).await?);
    let in_memory = Arc::new(filled(Store::in_memory().await?, events).await?);
    let replays = |name, store: &Arc<Store>| {
        let store = Arc::clone(store);
        opponent(name, move || {
            let store = Arc::clone(&store);
            async move {
                let begun = Instant::now();
                let read = store.replay(REPLAY_AT_ONCE).await?;
                Ok(rate(usize::try_from(read)?, begun))
            }
        })
    };
    let opponents = [replays(ON_DISK, &reopened), replays(IN_MEMORY, &in_memory)];
    take_turns(results, mode, &case, "1/s", &opponents).await
}

async fn reopening(results: &mut Results, mode: Mode, events: usize) -> anyhow::Result<()> {
    let case = format!("reopen after {events} events");
    if !support::is_wanted(&case) {
        return Ok(());
    }
    let folder = support::scratch()?;
    let path = folder.path().join("data");
    filled(Store::on_disk(&path).await?, events).await?.close().await?;
    #[allow(clippy::cast_precision_loss, reason = "counts of a benchmark are small")]
    let bytes = support::disk::disk_bytes(&path)? as f64 / events as f64;
    results.add(&format!("disk for each of {events} events"), ON_DISK, "bytes", &[bytes]);
    let mut times = Vec::new();
    for _ in 0..mode.pick(REOPENINGS, 2) {
        let (path, syncs) = (path.clone(), Arc::<AtomicU64>::default());
        let (journal, took) = tokio::task::spawn_blocking(move || store::open_sled(&path, &syncs)).await??;
        store::release(&journal).await?;
        times.push(took.as_secs_f64() * 1_000.0);
    }
    // The first time it reads all that was written since it was opened; afterwards a snapshot says where to begin.
    let (first, others) = times.split_at(1);
    results.add(&format!("{case}, the first time"), ON_DISK, "ms", first);
    results.add(&case, ON_DISK, "ms", others);
    let reopened = Store::on_disk(&path).await?;
    anyhow::ensure!(reopened.events() == u64::try_from(events)?, "{} of {events} events", reopened.events());
    reopened.close().await
}
