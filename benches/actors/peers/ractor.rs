//! Bare ractor, in the version and with the features that our runtime stands on.

use super::{Answer, Asked, Peer};
use anyhow::bail;
use ractor::rpc::CallResult;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

#[derive(Clone)]
pub struct Ractor(ActorRef<Message>);

enum Message {
    Tell(u64),
    Ask(u64, RpcReplyPort<Answer>),
}

struct Adder;

impl Actor for Adder {
    type Msg = Message;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, _myself: ActorRef<Message>, (): ()) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Message>,
        message: Message,
        total: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Tell(number) => *total += number,
            Message::Ask(number, reply) => {
                *total += number;
                reply.send(Answer { number, total: *total })?;
            }
        }
        Ok(())
    }
}

impl Asked for Ractor {
    async fn ask(&self, number: u64) -> anyhow::Result<Answer> {
        match self.0.call(|reply| Message::Ask(number, reply), None).await {
            Ok(CallResult::Success(answer)) => Ok(answer),
            Ok(CallResult::Timeout | CallResult::SenderError) | Err(_) => bail!("no answer"),
        }
    }
}

impl Peer for Ractor {
    const NAME: &'static str = "ractor";

    async fn spawn() -> anyhow::Result<Self> {
        let (actor, _) = Actor::spawn(None, Adder, ()).await?;
        Ok(Self(actor))
    }

    fn tell(&self, number: u64) -> anyhow::Result<()> {
        self.0.cast(Message::Tell(number)).map_err(|_| anyhow::anyhow!("not delivered"))
    }

    async fn stop(self) -> anyhow::Result<()> {
        Ok(self.0.stop_and_wait(None, None).await?)
    }
}
