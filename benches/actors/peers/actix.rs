//! actix: its actors live on arbiters, each an event loop on a thread of its own, of which there is one for each core
//! as there are workers for the others. Those who ask live on the same workers as everybody's.

use super::{Answer, Asked, Peer};
use actix::{Actor, ActorContext, Addr, Arbiter, ArbiterHandle, Context, Handler, Message, System};
use anyhow::Context as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use tokio::sync::oneshot;

/// How many asks may wait at an actor, more than ever do; tells are not bounded at all.
const MAILBOX_LEN_MAX: usize = 1 << 16;

#[derive(Clone)]
pub struct Actix(Addr<Adder>);

#[derive(Default)]
struct Adder {
    total: u64,
    /// Told when it has ended.
    ended: Option<oneshot::Sender<()>>,
}

struct Tell(u64);
struct Ask(u64);
struct Stop(oneshot::Sender<()>);

impl Message for Tell {
    type Result = ();
}

impl Message for Ask {
    type Result = Result<Answer, ()>;
}

impl Message for Stop {
    type Result = ();
}

impl Actor for Adder {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX_LEN_MAX);
    }

    fn stopped(&mut self, _context: &mut Self::Context) {
        if let Some(ended) = self.ended.take() {
            // A caller that has stopped waiting is ignored.
            let _ = ended.send(());
        }
    }
}

impl Handler<Tell> for Adder {
    type Result = ();

    fn handle(&mut self, Tell(number): Tell, _context: &mut Self::Context) {
        self.total += number;
    }
}

impl Handler<Ask> for Adder {
    type Result = Result<Answer, ()>;

    fn handle(&mut self, Ask(number): Ask, _context: &mut Self::Context) -> Self::Result {
        self.total += number;
        Ok(Answer { number, total: self.total })
    }
}

impl Handler<Stop> for Adder {
    type Result = ();

    fn handle(&mut self, Stop(ended): Stop, context: &mut Self::Context) {
        self.ended = Some(ended);
        context.stop();
    }
}

/// The arbiters, which live as long as the process.
fn arbiters() -> &'static [ArbiterHandle] {
    static ARBITERS: OnceLock<Vec<ArbiterHandle>> = OnceLock::new();
    ARBITERS.get_or_init(|| {
        let (said, heard) = mpsc::channel();
        std::thread::spawn(move || {
            let system = System::new();
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            let arbiters: Vec<_> = (0..cores).map(|_| system.block_on(async { Arbiter::new() })).collect();
            let handles = arbiters.iter().map(Arbiter::handle).collect::<Vec<_>>();
            if said.send(handles).is_ok() {
                // It runs for as long as the process does.
                drop(system.run());
            }
        });
        heard.recv().unwrap_or_default()
    })
}

impl Asked for Actix {
    async fn ask(&self, number: u64) -> anyhow::Result<Answer> {
        self.0.send(Ask(number)).await?.ok().context("no answer")
    }
}

impl Peer for Actix {
    const NAME: &'static str = "actix";

    async fn spawn() -> anyhow::Result<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let arbiters = arbiters();
        let arbiter = arbiters.get(NEXT.fetch_add(1, Ordering::Relaxed) % arbiters.len().max(1));
        let arbiter = arbiter.context("the arbiters did not start")?;
        Ok(Self(Adder::start_in_arbiter(arbiter, |_| Adder::default())))
    }

    fn tell(&self, number: u64) -> anyhow::Result<()> {
        self.0.do_send(Tell(number));
        Ok(())
    }

    async fn stop(self) -> anyhow::Result<()> {
        let (ended, has_ended) = oneshot::channel();
        self.0.do_send(Stop(ended));
        Ok(has_ended.await?)
    }
}
