//! The libraries that are measured beside our runtime, all with the same work: an actor that adds numbers up. It is told a
//! number, or asked with one, and then answers with that number and the total so far, which the one who asks verifies.
//! All mailboxes are unbounded, as ractor's are, and no ask has a timeout, which is the leanest form of each.

mod actix;
mod kameo;
mod ractor;
mod tokio;

pub use actix::Actix;
pub use kameo::Kameo;
pub use ractor::Ractor;
pub use tokio::Channel;

use anyhow::ensure;
use std::future::Future;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The number it was asked with.
    pub number: u64,
    /// The sum of all numbers that it was told or asked with, this one included.
    pub total: u64,
}

impl Answer {
    /// Whether it can be the answer to being asked with this number.
    pub fn verify(self, number: u64) -> anyhow::Result<()> {
        ensure!(self.number == number && self.total >= number, "asked with {number}, answered {self:?}");
        Ok(())
    }
}

/// Who can be asked.
pub trait Asked: Clone + Send + Sync + 'static {
    /// Asks, and waits for the answer.
    fn ask(&self, number: u64) -> impl Future<Output = anyhow::Result<Answer>> + Send;
}

/// An actor of another library, by its address.
pub trait Peer: Asked {
    /// What results call it.
    const NAME: &'static str;
    /// Starts one whose total is 0; it is ready to be told something.
    fn spawn() -> impl Future<Output = anyhow::Result<Self>> + Send;
    /// Tells it a number, without an answer.
    fn tell(&self, number: u64) -> anyhow::Result<()>;
    /// Ends it, and waits until it has ended.
    fn stop(self) -> impl Future<Output = anyhow::Result<()>> + Send;
}
