//! The work that is measured, the same for everybody. What is asked is verified, what is told is counted.

use crate::peers::{Asked, Peer};
use anyhow::ensure;
use std::sync::Arc;
use std::time::Instant;
use tokio::task::JoinSet;

/// After how many numbers told a sender lets others have its worker: nobody sends without end.
const TELLS_AT_ONCE: u64 = 64;

/// How many of something there were in a second since then.
#[allow(clippy::cast_precision_loss, reason = "counts of a benchmark are small")]
pub fn rate(count: u64, begun: Instant) -> f64 {
    count as f64 / begun.elapsed().as_secs_f64()
}

async fn all(mut tasks: JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// Tells in a second: each of so many senders tells one actor the numbers 1 to `count`; the clock stops when it has
/// said the right total.
pub async fn tells<P: Peer>(senders: u64, count: u64) -> anyhow::Result<f64> {
    let actor = P::spawn().await?;
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..senders {
        let actor = actor.clone();
        tasks.spawn(async move {
            for number in 1..=count {
                actor.tell(number)?;
                if number % TELLS_AT_ONCE == 0 {
                    tokio::task::yield_now().await;
                }
            }
            Ok(())
        });
    }
    all(tasks).await?;
    let total = actor.ask(0).await?.total;
    let rate = rate(senders * count, begun);
    let expected = senders * count * (count + 1) / 2;
    ensure!(total == expected, "{}: {total} instead of {expected}", P::NAME);
    actor.stop().await?;
    Ok(rate)
}

/// Asks in a second: each of so many askers asks `count` times, one question after the other, a different actor each
/// time, and verifies every answer.
pub async fn asks<A: Asked>(actors: Vec<A>, askers: usize, count: u64) -> anyhow::Result<f64> {
    let actors = Arc::new(actors);
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for asker in 0..askers {
        let actors = Arc::clone(&actors);
        tasks.spawn(async move {
            let mut next = asker * actors.len() / askers;
            for number in 1..=count {
                actors[next].ask(number).await?.verify(number)?;
                next = (next + 1) % actors.len();
            }
            Ok(())
        });
    }
    all(tasks).await?;
    let all_asked = count * u64::try_from(askers)?;
    Ok(rate(all_asked, begun))
}

/// So many actors, all of them ready.
pub async fn spawn<P: Peer>(count: usize) -> anyhow::Result<Vec<P>> {
    let mut actors = Vec::with_capacity(count);
    for _ in 0..count {
        actors.push(P::spawn().await?);
    }
    Ok(actors)
}

/// Ends them all.
pub async fn stop<P: Peer>(actors: Vec<P>) -> anyhow::Result<()> {
    for actor in actors {
        actor.stop().await?;
    }
    Ok(())
}

/// Asks in a second of actors that live already.
pub async fn asks_of<P: Peer>(actors: usize, askers: usize, count: u64) -> anyhow::Result<f64> {
    let actors = spawn::<P>(actors).await?;
    asks(actors.clone(), 1, u64::try_from(actors.len())?).await?;
    let rate = asks(actors.clone(), askers, count).await?;
    stop(actors).await?;
    Ok(rate)
}

/// Actors started and ended in a second, by one who waits for each.
pub async fn spawns<P: Peer>(count: usize) -> anyhow::Result<f64> {
    let begun = Instant::now();
    stop(spawn::<P>(count).await?).await?;
    Ok(rate(u64::try_from(count)?, begun))
}

/// First answers in a second, by one who starts an actor and asks it, again and again.
pub async fn first_answers<P: Peer>(count: usize) -> anyhow::Result<f64> {
    let mut actors = Vec::with_capacity(count);
    let begun = Instant::now();
    for _ in 0..count {
        let actor = P::spawn().await?;
        actor.ask(1).await?.verify(1)?;
        actors.push(actor);
    }
    let rate = rate(u64::try_from(count)?, begun);
    stop(actors).await?;
    Ok(rate)
}
