//! The guarantees of supervision: a failed child is restarted, one that keeps failing is down for a while, the others live on.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

mod runtime_support;

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef};
use rentcar::actors::runtime::supervisor::{StatusBoard, Supervisor, SupervisorMessage};
use rentcar::actors::runtime::{AskError, Backoff, ChildSpec, ControlError, Part, RestartLimits, SupervisorSpec};
use runtime_support::{Command, World, eventually, limits, restarts};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// An actor that fails when told so.
struct Fragile;

impl Actor for Fragile {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(&self, _: ActorRef<()>, (): (), (): &mut ()) -> Result<(), ActorProcessingErr> {
        Err("told to fail".into())
    }
}

/// A child whose starts are counted and can be made to fail, with a way to its present incarnation.
#[derive(Default)]
struct Probe {
    starts: AtomicU32,
    refuses: AtomicBool,
    cell: Mutex<Option<ActorCell>>,
}

impl Probe {
    fn child(self: &Arc<Self>, name: &str) -> ChildSpec {
        let probe = Arc::clone(self);
        ChildSpec::new("test", "probe", name, move |supervisor| {
            let probe = Arc::clone(&probe);
            Box::pin(async move {
                if probe.refuses.load(Ordering::SeqCst) {
                    return Err(ractor::SpawnErr::StartupFailed("refused".into()));
                }
                let (actor, _) = Fragile::spawn_linked(None, Fragile, (), supervisor).await?;
                probe.starts.fetch_add(1, Ordering::SeqCst);
                *probe.cell.lock().unwrap() = Some(actor.get_cell());
                Ok(actor.get_cell())
            })
        })
    }

    fn fail(&self) {
        self.cell.lock().unwrap().as_ref().unwrap().send_message(()).unwrap();
    }

    fn starts(&self) -> u32 {
        self.starts.load(Ordering::SeqCst)
    }
}

async fn supervise(probes: &[&Arc<Probe>]) -> (ActorRef<SupervisorMessage>, Arc<StatusBoard>) {
    let board = Arc::new(StatusBoard::default());
    let children = probes.iter().enumerate().map(|(n, probe)| probe.child(&format!("child-{n}"))).collect();
    let limits = RestartLimits {
        restarts_max: 2,
        window_ms: 60_000,
        restart: Backoff::new(1, 5),
        down: Backoff::new(150, 400),
        stop_ms_max: 500,
    };
    let spec = SupervisorSpec { children, limits, board: Arc::clone(&board) };
    let (actor, _) = Supervisor::spawn(None, Supervisor, spec).await.unwrap();
    (actor, board)
}

#[tokio::test]
async fn only_the_child_that_failed_is_restarted() {
    let (one, two) = (Arc::<Probe>::default(), Arc::<Probe>::default());
    let (_root, _) = supervise(&[&one, &two]).await;
    one.fail();
    eventually("it is back", || one.starts() == 2).await;
    assert_eq!(two.starts(), 1);
}

#[tokio::test]
async fn a_child_that_fails_too_often_is_down_for_a_while_and_comes_back() {
    let (one, two) = (Arc::<Probe>::default(), Arc::<Probe>::default());
    let (root, board) = supervise(&[&one, &two]).await;
    for starts in 1..=2 {
        eventually("it is up", || one.starts() == starts).await;
        one.fail();
    }
    eventually("it is up", || one.starts() == 3).await;
    one.fail();
    eventually("it is down", || board.child("child-0").is_some_and(|child| child.detail.starts_with("down"))).await;
    assert!(board.child("child-1").unwrap().up, "its neighbour lives");
    assert_eq!(root.get_status(), ractor::ActorStatus::Running);
    eventually("it is back", || one.starts() == 4 && board.child("child-0").unwrap().up).await;
}

#[tokio::test]
async fn a_child_that_cannot_be_started_is_tried_again() {
    let probe = Arc::<Probe>::default();
    probe.refuses.store(true, Ordering::SeqCst);
    let (_root, board) = supervise(&[&probe]).await;
    assert!(!board.child("child-0").unwrap().up);
    probe.refuses.store(false, Ordering::SeqCst);
    eventually("it is up", || board.child("child-0").unwrap().up).await;
}

fn component(world: &World) -> (bool, String) {
    let component = world.system.health().remove(0);
    (component.up, component.detail)
}

#[tokio::test]
async fn a_killed_context_comes_back_with_everything_it_had() {
    let world = World::start(limits()).await;
    assert_eq!(world.ask("a", Command::Add(3)).await, Ok(Ok(3)));
    world.system.control().kill("stock").await.unwrap();
    assert_eq!(world.insist("a", Command::Add(1)).await, Ok(4));
    assert_eq!(world.handle.live_entities(), 1);
    eventually("health says so", || component(&world).0).await;
}

#[tokio::test]
async fn a_stopped_context_stays_down_until_it_is_started() {
    let world = World::start(limits()).await;
    let control = world.system.control();
    assert_eq!(world.ask("a", Command::Add(3)).await, Ok(Ok(3)));
    control.stop("stock").await.unwrap();
    assert_eq!(component(&world), (false, "stopped on request".to_owned()));
    for _ in 0..20 {
        let refused = world.ask("a", Command::Look).await;
        assert!(matches!(refused, Err(AskError::Unavailable { .. })), "{refused:?}");
        tokio::task::yield_now().await;
    }
    control.start("stock").await.unwrap();
    assert_eq!(world.ask("a", Command::Add(1)).await, Ok(Ok(4)));
    assert_eq!(component(&world), (true, "2 of 2 shards up".to_owned()));
    let unknown = control.kill("nobody").await;
    assert_eq!(unknown, Err(ControlError::Unknown("nobody".to_owned())));
}

#[tokio::test]
async fn a_context_that_is_killed_by_an_operator_again_and_again_is_never_declared_down() {
    let world = World::start(limits()).await;
    let control = world.system.control();
    for round in 1..=30 {
        control.kill("stock").await.unwrap();
        assert_eq!(world.insist("a", Command::Add(1)).await, Ok(round));
        let (_, detail) = component(&world);
        assert!(!detail.contains("down after failing"), "{detail}");
    }
}

#[tokio::test]
async fn a_part_that_keeps_failing_is_down_for_a_while_says_so_and_comes_back_while_the_others_go_on() {
    let probe = Arc::<Probe>::default();
    let world = World::start_beside(vec![Part::simple(probe.child("fragile"))]).await;
    let fragile = || world.system.health().remove(1);
    // As many failures as are borne, and one more.
    for starts in 1..=restarts().restarts_max + 1 {
        eventually("it is up", || probe.starts() == starts).await;
        probe.refuses.store(starts > restarts().restarts_max, Ordering::SeqCst);
        probe.fail();
        assert!(matches!(world.ask("a", Command::Add(1)).await, Ok(Ok(_))), "the others go on");
    }
    eventually("its component says so", || {
        let component = fragile();
        component.name == "fragile" && !component.up && component.detail.starts_with("down after failing")
    })
    .await;
    assert!(component(&world).0, "its neighbour is well");
    assert!(matches!(world.ask("a", Command::Add(1)).await, Ok(Ok(_))), "the others go on");
    probe.refuses.store(false, Ordering::SeqCst);
    eventually("it comes back by itself", || fragile().up).await;
}

#[tokio::test]
async fn a_journal_that_is_closed_makes_the_shards_wait_and_nobody_die() {
    use rentcar::store::journal::Journal;
    let world = World::start(limits()).await;
    assert_eq!(world.ask("a", Command::Add(1)).await, Ok(Ok(1)));
    world.journal.close().await.unwrap();
    let refused = world.ask("a", Command::Add(1)).await;
    assert!(matches!(refused, Err(AskError::Unavailable { .. })), "{refused:?}");
    eventually("health says so", || !component(&world).0).await;
    assert!(world.system.shutdown(Duration::from_secs(5)).await);
}
