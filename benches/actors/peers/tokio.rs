//! A bare tokio channel with a task behind it: the least that an actor on tokio can cost. No supervision, no names, no
//! priorities, and nobody learns of its end but by waiting for the task.

use super::{Answer, Asked, Peer};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// The end of a channel whose other end a task holds.
#[derive(Clone)]
pub struct Channel {
    sender: mpsc::UnboundedSender<Message>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

enum Message {
    Tell(u64),
    Ask(u64, oneshot::Sender<Answer>),
}

async fn add_up(mut messages: mpsc::UnboundedReceiver<Message>) {
    let mut total = 0;
    while let Some(message) = messages.recv().await {
        match message {
            Message::Tell(number) => total += number,
            Message::Ask(number, reply) => {
                total += number;
                // A caller that has stopped waiting is ignored.
                let _ = reply.send(Answer { number, total });
            }
        }
    }
}

impl Asked for Channel {
    async fn ask(&self, number: u64) -> anyhow::Result<Answer> {
        let (reply, answer) = oneshot::channel();
        self.sender.send(Message::Ask(number, reply)).map_err(|_| anyhow::anyhow!("not delivered"))?;
        Ok(answer.await?)
    }
}

impl Peer for Channel {
    const NAME: &'static str = "tokio";

    async fn spawn() -> anyhow::Result<Self> {
        let (sender, messages) = mpsc::unbounded_channel();
        let task = tokio::spawn(add_up(messages));
        Ok(Self { sender, task: Arc::new(Mutex::new(Some(task))) })
    }

    fn tell(&self, number: u64) -> anyhow::Result<()> {
        self.sender.send(Message::Tell(number)).map_err(|_| anyhow::anyhow!("not delivered"))
    }

    async fn stop(self) -> anyhow::Result<()> {
        let Self { sender, task } = self;
        let task = task.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(sender);
        if let Some(task) = task {
            task.await?;
        }
        Ok(())
    }
}
