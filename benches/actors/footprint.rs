//! Memory for each actor: how much the resident set of a process grows, which does nothing else. Every figure is taken
//! in a child process of its own, since what was freed before would be used again.

use crate::erlang;
use crate::peers::{Actix, Asked, Channel, Kameo, Peer, Ractor};
use crate::rentcar::{Adders, Kind, SHARDS};
use crate::support::memory::resident_bytes;
use crate::support::results::{Mode, Results};
use crate::support::turns::{Opponent, opponent, take_turns};
use crate::{support, work};
use anyhow::{Context as _, bail, ensure};
use std::process::Command;

/// How a child process is told what to do: `--footprint=<who>:<count>`.
const ARGUMENT: &str = "--footprint=";
/// How many actors come first, so that what is needed once is there, and as many entities live as ever do.
const WARM_UP: usize = 5_000;
/// How many passivated entities live at most at any time, in each shard.
const LIVE_IN_SHARD: usize = 64;
const PASSIVATED: &str = "rentcar-passivated";

/// Adds the bytes for each actor of everybody.
pub async fn measure(results: &mut Results, mode: Mode, with_erlang: bool) -> anyhow::Result<()> {
    let count = mode.pick(50_000, 500);
    let mut opponents: Vec<_> =
        ["rentcar", Ractor::NAME, Kameo::NAME, Actix::NAME, Channel::NAME].map(|who| child(who, count)).into();
    opponents.extend(erlang::opponent_of(with_erlang, &["memory", "1", "1", &count.to_string()]));
    take_turns(results, mode, "memory of a live actor", "bytes", &opponents).await?;
    // Alone, since nobody else has such a thing; it would divide by about nothing.
    take_turns(results, mode, "memory of a passivated entity", "bytes", &[child(PASSIVATED, count)]).await
}

fn child(who: &'static str, count: usize) -> Opponent {
    let name = if who == PASSIVATED { "rentcar" } else { who };
    opponent(name, move || async move {
        let program = std::env::current_exe()?;
        let run = move || Command::new(program).arg(format!("{ARGUMENT}{who}:{count}")).output();
        let output = tokio::task::spawn_blocking(run).await??;
        ensure!(output.status.success(), "{who}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout)?.trim().parse().context("a child told no number")
    })
}

/// What this process is to measure, if it is such a child.
pub fn asked_for() -> Option<String> {
    std::env::args().find_map(|argument| argument.strip_prefix(ARGUMENT).map(str::to_owned))
}

/// Measures and tells the parent.
#[allow(clippy::print_stdout, reason = "the parent reads it")]
pub fn tell(who: &str) -> anyhow::Result<()> {
    let (who, count) = who.split_once(':').context("no count")?;
    let count = count.parse()?;
    let bytes = support::runtime()?.block_on(async {
        match who {
            "rentcar" => entities(count, usize::MAX / 2).await,
            PASSIVATED => entities(count, LIVE_IN_SHARD).await,
            Ractor::NAME => actors::<Ractor>(count).await,
            Kameo::NAME => actors::<Kameo>(count).await,
            Actix::NAME => actors::<Actix>(count).await,
            Channel::NAME => actors::<Channel>(count).await,
            other => bail!("nobody is called {other}"),
        }
    })?;
    println!("{bytes}");
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "counts of a benchmark are small")]
fn per_actor(before: f64, count: usize) -> anyhow::Result<f64> {
    Ok((resident_bytes()? - before) / count as f64)
}

async fn ask_each<A: Asked>(actors: Vec<A>) -> anyhow::Result<()> {
    let count = u64::try_from(actors.len())?;
    work::asks(actors, 1, count).await.map(drop)
}

async fn actors<P: Peer>(count: usize) -> anyhow::Result<f64> {
    let warm_up = work::spawn::<P>(WARM_UP).await?;
    ask_each(warm_up.clone()).await?;
    let before = resident_bytes()?;
    let actors = work::spawn::<P>(count).await?;
    ask_each(actors.clone()).await?;
    let bytes = per_actor(before, count)?;
    // One after the other and not copied: a channel ends with the last who could send.
    work::stop(warm_up).await?;
    work::stop(actors).await?;
    Ok(bytes)
}

/// With the bound on how many live in a shard. They are only looked at, so that the journal holds nothing of them.
async fn entities(count: usize, live_in_shard_max: usize) -> anyhow::Result<f64> {
    let adders = Adders::start(live_in_shard_max).await?;
    let mut ways = adders.ways(WARM_UP + count, Kind::Look);
    let measured = ways.split_off(WARM_UP);
    ask_each(ways).await?;
    let before = resident_bytes()?;
    ask_each(measured).await?;
    let (bytes, live) = (per_actor(before, count)?, adders.live());
    let all = WARM_UP + count;
    let most = live_in_shard_max.saturating_mul(2 * usize::from(SHARDS)).min(all);
    let least = if live_in_shard_max > all { all } else { 1 };
    ensure!((least..=most).contains(&live), "{live} of {all} live");
    adders.stop().await?;
    Ok(bytes)
}
