//! kameo, without its tracing.

use super::{Answer, Asked, Peer};
use kameo::actor::{ActorRef, Spawn};
use kameo::error::Infallible;
use kameo::mailbox;
use kameo::message::{Context, Message};

#[derive(Clone)]
pub struct Kameo(ActorRef<Adder>);

struct Adder(u64);

struct Tell(u64);
struct Ask(u64);

impl kameo::Actor for Adder {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(adder: Self, _actor: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(adder)
    }
}

impl Message<Tell> for Adder {
    type Reply = ();

    async fn handle(&mut self, Tell(number): Tell, _context: &mut Context<Self, ()>) {
        self.0 += number;
    }
}

impl Message<Ask> for Adder {
    type Reply = Result<Answer, Infallible>;

    async fn handle(&mut self, Ask(number): Ask, _context: &mut Context<Self, Self::Reply>) -> Self::Reply {
        self.0 += number;
        Ok(Answer { number, total: self.0 })
    }
}

impl Asked for Kameo {
    async fn ask(&self, number: u64) -> anyhow::Result<Answer> {
        self.0.ask(Ask(number)).await.map_err(|error| anyhow::anyhow!("no answer: {error}"))
    }
}

impl Peer for Kameo {
    const NAME: &'static str = "kameo";

    async fn spawn() -> anyhow::Result<Self> {
        let actor = Adder::spawn_with_mailbox(Adder(0), mailbox::unbounded());
        actor.wait_for_startup().await;
        Ok(Self(actor))
    }

    fn tell(&self, number: u64) -> anyhow::Result<()> {
        self.0.tell(Tell(number)).try_send().map_err(|error| anyhow::anyhow!("not delivered: {error}"))
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.0.stop_gracefully().await.map_err(|error| anyhow::anyhow!("not stopped: {error}"))?;
        self.0.wait_for_shutdown().await;
        Ok(())
    }
}
