//! How fast actors are: ours through router and entity, and beside them, in the same run and in turns, bare ractor,
//! kameo, actix, a bare tokio channel, and Erlang/OTP where it is installed. `cargo bench --bench actors`, or with a part
//! of the name of a case. Writes target/bench/actors.json.

#[path = "../support/mod.rs"]
mod support;

mod erlang;
mod footprint;
mod peers;
mod rentcar;
mod work;

use peers::{Actix, Channel, Kameo, Peer, Ractor};
use rentcar::{Adders, Kind};
use support::results::{Mode, Results};
use support::turns::{Opponent, opponent, take_turns};
use work::rate;

fn main() -> anyhow::Result<()> {
    if let Some(who) = footprint::asked_for() {
        return footprint::tell(&who);
    }
    support::runtime()?.block_on(run(Mode::of_this_run()))
}

async fn run(mode: Mode) -> anyhow::Result<()> {
    let mut results = Results::new("actors", mode);
    for name in ["ractor", "kameo", "actix", "tokio"] {
        results.version_of(name);
    }
    let otp = erlang::release();
    results.condition("version of erlang", otp.as_deref().unwrap_or("not installed"));
    results.condition("asks of rentcar", "one event appended to the in-memory journal each; rentcar-look: no event");
    results.condition("deadlines", "every ask of rentcar has one, no other has");
    results.condition("mailboxes", "unbounded; rentcar: bounded by permits");
    results.condition("binds", "the processor: all cores are busy");
    let with_erlang = otp.is_some();
    tells(&mut results, mode, with_erlang).await?;
    asks(&mut results, mode, with_erlang).await?;
    lives(&mut results, mode, with_erlang).await?;
    footprint::measure(&mut results, mode, with_erlang).await?;
    support::keep(&results, mode)
}

async fn tells(results: &mut Results, mode: Mode, with_erlang: bool) -> anyhow::Result<()> {
    fn of<P: Peer>(senders: u64, count: u64) -> Opponent {
        opponent(P::NAME, move || work::tells::<P>(senders, count))
    }
    for senders in [1, 8] {
        let count = mode.pick(800_000, 8_000) / senders;
        let mut opponents = vec![
            of::<Ractor>(senders, count),
            of::<Kameo>(senders, count),
            of::<Actix>(senders, count),
            of::<Channel>(senders, count),
        ];
        opponents.extend(erlang::opponent_of(with_erlang, &["tell", &senders.to_string(), "1", &count.to_string()]));
        take_turns(results, mode, &format!("tell, senders {senders}, actors 1"), "1/s", &opponents).await?;
    }
    Ok(())
}

async fn asks(results: &mut Results, mode: Mode, with_erlang: bool) -> anyhow::Result<()> {
    fn of<P: Peer>(actors: usize, askers: usize, count: u64) -> Opponent {
        opponent(P::NAME, move || work::asks_of::<P>(actors, askers, count))
    }
    let ours = |name, kind, actors, askers, count| {
        opponent(name, move || async move {
            let adders = Adders::start(actors).await?;
            let ways = adders.ways(actors, kind);
            work::asks(ways.clone(), 1, u64::try_from(actors)?).await?;
            let rate = work::asks(ways, askers, count).await?;
            adders.stop().await?;
            Ok(rate)
        })
    };
    for (actors, askers, all) in [(1, 1, 100_000), (1_000, 64, 400_000)] {
        let count = mode.pick(all, all / 100) / askers;
        let many = usize::try_from(askers)?;
        let mut opponents = vec![
            ours("rentcar", Kind::Add, actors, many, count),
            ours("rentcar-look", Kind::Look, actors, many, count),
            of::<Ractor>(actors, many, count),
            of::<Kameo>(actors, many, count),
            of::<Actix>(actors, many, count),
            of::<Channel>(actors, many, count),
        ];
        let arguments = ["ask", &askers.to_string(), &actors.to_string(), &count.to_string()];
        opponents.extend(erlang::opponent_of(with_erlang, &arguments));
        take_turns(results, mode, &format!("ask, askers {askers}, actors {actors}"), "1/s", &opponents).await?;
    }
    Ok(())
}

/// Beginnings and ends.
async fn lives(results: &mut Results, mode: Mode, with_erlang: bool) -> anyhow::Result<()> {
    fn spawns<P: Peer>(count: usize) -> Opponent {
        opponent(P::NAME, move || work::spawns::<P>(count))
    }
    fn first_answers<P: Peer>(count: usize) -> Opponent {
        opponent(P::NAME, move || work::first_answers::<P>(count))
    }
    let count = mode.pick(20_000, 200);
    let erlang = |case| erlang::opponent_of(with_erlang, &[case, "1", "1", &count.to_string()]);
    let mut opponents =
        vec![spawns::<Ractor>(count), spawns::<Kameo>(count), spawns::<Actix>(count), spawns::<Channel>(count)];
    opponents.extend(erlang("spawn"));
    take_turns(results, mode, "spawn and stop", "1/s", &opponents).await?;

    let mut opponents = vec![
        opponent("rentcar", move || activations(count)),
        first_answers::<Ractor>(count),
        first_answers::<Kameo>(count),
        first_answers::<Actix>(count),
        first_answers::<Channel>(count),
    ];
    opponents.extend(erlang("first"));
    take_turns(results, mode, "first answer (rentcar: passivated entity)", "1/s", &opponents).await
}

/// How many entities live at most while others are activated, in each shard.
const LIVE_IN_SHARD: usize = 64;

/// First answers in a second of entities that were stopped because others came, so that each is loaded from its state
/// document, and another one is stopped for it.
async fn activations(count: usize) -> anyhow::Result<f64> {
    let adders = Adders::start(LIVE_IN_SHARD).await?;
    // Four times as many as can be live (stopping ones included), always asked in the same order: none is live when its
    // turn comes.
    let many = usize::from(rentcar::SHARDS) * LIVE_IN_SHARD * 8;
    work::asks(adders.ways(many, Kind::Add), 1, u64::try_from(many)?).await?;
    let before = adders.activated();
    let ways = adders.ways(many, Kind::Look);
    let count = u64::try_from(count)?;
    let begun = std::time::Instant::now();
    work::asks(ways, 1, count).await?;
    let rate = rate(count, begun);
    let activated = adders.activated() - before;
    anyhow::ensure!(activated == count, "{activated} of {count} were activated: the others lived");
    adders.stop().await?;
    Ok(rate)
}
