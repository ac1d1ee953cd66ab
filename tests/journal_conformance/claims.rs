//! Claims: look-up entries that must be absent.

use super::{CUSTOMERS, SHARD, append, event, full, texts, timers};
use bytes::Bytes;
use futures_util::future::{join, join_all};
use rentcar::store::journal::{
    APPEND_ITEMS_MAX, Append, AppendError, Claim, DocumentWrite, IndexWrite, Journal, KEY_BYTES_MAX, ShardId,
};
use std::sync::{Arc, Barrier};

const RIVALS: u16 = 64;
const THREADS: u16 = 8;
const ROUNDS: u64 = 50;

fn claim(key: &str, value: &str) -> Claim {
    Claim { index: "plates", key: key.into(), value: value.into() }
}

fn write(key: &str, value: Option<&str>) -> IndexWrite {
    IndexWrite { index: "plates", key: key.into(), value: value.map(Into::into) }
}

fn taken(key: &str) -> Result<u64, AppendError> {
    Err(AppendError::Taken { index: "plates", key: key.into() })
}

fn claiming(epoch: u64, expected_head: u64, claims: Vec<Claim>) -> Append {
    Append { claims, ..append(SHARD, epoch, expected_head, &["claimed"]) }
}

async fn found(journal: &dyn Journal, key: &str) -> Option<Arc<str>> {
    journal.lookup("plates", key).await.unwrap()
}

pub async fn a_claimed_entry_is_found(journal: &dyn Journal) {
    let epoch = journal.own(SHARD).await.unwrap().epoch;
    assert_eq!(journal.append(claiming(epoch, 0, vec![claim("a", "car01"), claim("b", "car02")])).await, Ok(1));
    assert_eq!(found(journal, "a").await.as_deref(), Some("car01"));
    assert_eq!(found(journal, "b").await.as_deref(), Some("car02"));
    assert_eq!(journal.last_entry("plates").await, Ok(Some(("b".into(), "car02".into()))));
    // A claim by itself is enough of a change, and each index has its own keys.
    let alone = || append(SHARD, epoch, 1, &[]);
    assert_eq!(journal.append(Append { claims: vec![claim("c", "car03")], ..alone() }).await, Ok(1));
    let other = Claim { index: "plate", ..claim("a", "x") };
    assert_eq!(journal.append(Append { claims: vec![other], ..alone() }).await, Ok(1));
    assert_eq!(found(journal, "c").await.as_deref(), Some("car03"));
    assert_eq!(found(journal, "a").await.as_deref(), Some("car01"));
}

pub async fn a_claim_of_an_entry_that_exists_is_taken_and_writes_nothing(journal: &dyn Journal) {
    let epoch = journal.own(SHARD).await.unwrap().epoch;
    journal.append(Append { claims: vec![claim("a", "car01")], ..full(epoch, 0, "first") }).await.unwrap();
    journal.append(Append { index: vec![write("b", Some("car02"))], ..append(SHARD, epoch, 1, &[]) }).await.unwrap();
    // Also an entry that its own holder has, one that was not claimed but put, and one of several claims.
    for (key, claims) in [
        ("a", vec![claim("a", "car01")]),
        ("a", vec![claim("a", "car09")]),
        ("b", vec![claim("b", "car09")]),
        ("a", vec![claim("c", "car09"), claim("a", "car09"), claim("b", "car09")]),
    ] {
        let rival = || Append { claims: claims.clone(), ..full(epoch, 1, "second") };
        assert_eq!(journal.append(rival()).await, taken(key));
        let without_events = Append { events: Vec::new(), ..rival() };
        assert_eq!(journal.append(without_events).await, taken(key));
    }
    assert_eq!(found(journal, "a").await.as_deref(), Some("car01"));
    assert_eq!(found(journal, "b").await.as_deref(), Some("car02"));
    assert_eq!(found(journal, "c").await, None);
    super::assert_only_the_first_is_there(journal).await;
    assert_eq!(*journal.watch(SHARD).borrow(), 1);
    assert_eq!(journal.own(SHARD).await.unwrap().head, 1);
}

pub async fn an_entry_that_was_freed_can_be_claimed_again(journal: &dyn Journal) {
    let epoch = journal.own(SHARD).await.unwrap().epoch;
    for (round, value) in (0..).zip(["car01", "car02", "car03"]) {
        assert_eq!(journal.append(claiming(epoch, 2 * round, vec![claim("a", value)])).await, Ok(2 * round + 1));
        assert_eq!(journal.append(claiming(epoch, 2 * round + 1, vec![claim("a", "car09")])).await, taken("a"));
        assert_eq!(found(journal, "a").await.as_deref(), Some(value));
        let free = Append { index: vec![write("a", None)], ..append(SHARD, epoch, 2 * round + 1, &["freed"]) };
        assert_eq!(journal.append(free).await, Ok(2 * round + 2));
        assert_eq!(found(journal, "a").await, None);
    }
}

/// Without waiting in between, so that they may be committed together.
pub async fn pipelined_claims_see_what_the_appends_before_them_did(journal: &dyn Journal) {
    let epoch = journal.own(SHARD).await.unwrap().epoch;
    let put = |head, key, value| Append { index: vec![write(key, value)], ..append(SHARD, epoch, head, &["put"]) };
    let calls = [
        (claiming(epoch, 0, vec![claim("a", "1")]), Ok(1)),
        (claiming(epoch, 1, vec![claim("a", "2")]), taken("a")),
        (put(1, "a", None), Ok(2)),
        (claiming(epoch, 2, vec![claim("a", "3")]), Ok(3)),
        (put(3, "b", Some("4")), Ok(4)),
        (claiming(epoch, 4, vec![claim("c", "5"), claim("b", "5")]), taken("b")),
        (put(4, "b", None), Ok(5)),
        (claiming(epoch, 5, vec![claim("c", "6"), claim("b", "6")]), Ok(6)),
        (claiming(epoch, 6, vec![claim("a", "7")]), taken("a")),
    ];
    let (calls, expected): (Vec<_>, Vec<_>) = calls.into_iter().unzip();
    let calls: Vec<_> = calls.into_iter().map(|append| journal.append(append)).collect();
    assert_eq!(join_all(calls).await, expected);
    for (key, value) in [("a", "3"), ("b", "6"), ("c", "6")] {
        assert_eq!(found(journal, key).await.as_deref(), Some(value));
    }
    assert_eq!(texts(journal, SHARD, 0).await.len(), 6);
    assert_eq!(timers(journal, i64::MAX).await, []);
}

/// A rival: claims the key for its shard and, when it is taken, looks who has it. Returns the shard that has it.
async fn rival(journal: &dyn Journal, shard: ShardId, epoch: u64, head: u64, key: &str) -> (u16, bool) {
    let value = shard.number.to_string();
    let body = Some(Bytes::from(value.clone()));
    let documents = vec![DocumentWrite { kind: "holder", key: key.into(), body }];
    let claims = vec![claim(key, &value)];
    match journal.append(Append { documents, claims, ..append(shard, epoch, head, &[key]) }).await {
        Ok(position) => {
            assert_eq!(position, head + 1);
            (shard.number, true)
        }
        Err(refused) => {
            assert_eq!(Err(refused), taken(key));
            let (holder, document) = join(found(journal, key), journal.document("holder", key)).await;
            let holder = holder.unwrap();
            assert_eq!(document.unwrap().unwrap(), holder.as_bytes(), "all of the winner's append is there");
            let holder: u16 = holder.parse().unwrap();
            let last = texts(journal, ShardId { number: holder, ..shard }, 0).await.pop().unwrap();
            assert_eq!(last.1, key);
            (holder, false)
        }
    }
}

pub async fn of_rivals_in_many_shards_one_wins_and_the_others_find_it(journal: &dyn Journal) {
    let shards: Vec<_> = (0..RIVALS).map(|number| ShardId { context: CUSTOMERS, number }).collect();
    let owned = join_all(shards.iter().map(|shard| journal.own(*shard))).await;
    let epochs: Vec<_> = owned.into_iter().map(|owned| owned.unwrap().epoch).collect();
    let mut heads = vec![0; usize::from(RIVALS)];
    let runtime = tokio::runtime::Handle::current();
    for round in 0..ROUNDS {
        let key = format!("round-{round}");
        let barrier = Barrier::new(usize::from(THREADS));
        let rivals_of = |thread: u16| {
            let here = shards.iter().filter(move |shard| shard.number % THREADS == thread);
            here.map(|shard| {
                let place = usize::from(shard.number);
                rival(journal, *shard, epochs[place], heads[place], &key)
            })
        };
        let (barrier, rivals_of, runtime) = (&barrier, &rivals_of, &runtime);
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let race = |thread| {
                scope.spawn(move || {
                    barrier.wait();
                    runtime.block_on(join_all(rivals_of(thread)))
                })
            };
            let threads: Vec<_> = (0..THREADS).map(race).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let winners: Vec<_> = outcomes.iter().filter(|(_, won)| *won).collect();
        assert_eq!(winners.len(), 1, "in round {round}");
        let winner = winners[0].0;
        assert!(outcomes.iter().all(|(holder, _)| *holder == winner), "in round {round}: {outcomes:?}");
        heads[usize::from(winner)] += 1;
    }
    for (shard, head) in shards.iter().zip(heads) {
        assert_eq!(journal.own(*shard).await.unwrap().head, head, "who loses writes nothing");
    }
}

pub async fn a_stale_append_conflicts_or_is_fenced_whatever_is_taken(journal: &dyn Journal) {
    let old = journal.own(SHARD).await.unwrap().epoch;
    journal.append(claiming(old, 0, vec![claim("a", "car01")])).await.unwrap();
    for expected in [0, 2] {
        let refused = journal.append(claiming(old, expected, vec![claim("a", "car02")])).await;
        assert_eq!(refused, Err(AppendError::Conflict { expected, actual: 1 }));
    }
    let current = journal.own(SHARD).await.unwrap().epoch;
    for expected in [1, 0] {
        let refused = journal.append(claiming(old, expected, vec![claim("a", "car02")])).await;
        assert_eq!(refused, Err(AppendError::Fenced { current }));
    }
    let twice = vec![claim("a", "car02"), claim("a", "car02")];
    assert!(matches!(journal.append(claiming(old, 0, twice)).await, Err(AppendError::Invalid(_))));
    assert_eq!(journal.append(claiming(current, 1, vec![claim("a", "car02")])).await, taken("a"));
}

pub async fn claims_that_break_a_bound_are_invalid(journal: &dyn Journal) {
    let epoch = journal.own(SHARD).await.unwrap().epoch;
    let with = |claims| Append { claims, ..full(epoch, 0, "x") };
    let longest = "k".repeat(KEY_BYTES_MAX);
    let many = |count| (0..count).map(|n| claim(&n.to_string(), "car01")).collect::<Vec<_>>();
    let bad = [
        with(vec![claim("a", "car01"), claim("b", "car01"), claim("a", "car02")]),
        Append { index: vec![write("a", None)], ..with(vec![claim("a", "car01")]) },
        Append { index: vec![write("b", None), write("a", Some("car01"))], ..with(vec![claim("a", "car01")]) },
        with(vec![claim("", "car01")]),
        with(vec![claim("a\0b", "car01")]),
        with(vec![claim(&format!("{longest}k"), "car01")]),
        with(vec![claim("a", "")]),
        with(vec![claim("a", &format!("{longest}k"))]),
        with(vec![Claim { index: "", ..claim("a", "car01") }]),
        with(vec![Claim { index: "not a name", ..claim("a", "car01") }]),
        with(many(APPEND_ITEMS_MAX + 1)),
    ];
    for append in bad {
        assert!(matches!(journal.append(append).await, Err(AppendError::Invalid(_))));
    }
    assert_eq!(found(journal, "a").await, None);
    // The same key of another index is another key.
    let other = Claim { index: "plate", ..claim("a", "car01") };
    let index = vec![IndexWrite { index: "plat", ..write("a", None) }];
    let good = Append { index, ..with(vec![claim("a", "car01"), other, claim(&longest, &longest)]) };
    assert_eq!(journal.append(good).await, Ok(1));
    assert_eq!(found(journal, &longest).await.as_deref(), Some(longest.as_str()));
    let most = Append { events: vec![event("b")], ..claiming(epoch, 1, many(APPEND_ITEMS_MAX)) };
    assert_eq!(journal.append(most).await, Ok(2));
    assert_eq!(found(journal, &(APPEND_ITEMS_MAX - 1).to_string()).await.as_deref(), Some("car01"));
}
