//! What the black-box tests share: real processes, real sockets, and nothing of the library's insides.
#![allow(dead_code, reason = "every test binary uses another part of it")]
#![allow(unused_imports, reason = "every test binary uses another part of it")]

pub mod checker;
pub mod client;
pub mod company;
pub mod export;
pub mod given;
pub mod load;
pub mod open_loop;
pub mod process;
pub mod scripted_provider;
pub mod sse;

pub use client::{Answer, Api};
pub use given::*;
pub use process::{Options, Provider, TestServer};

use std::time::{Duration, Instant};

/// The bound within which anything that happens asynchronously must have happened, on a slow machine.
pub const SOON: Duration = Duration::from_secs(20);

/// Waits until `condition` holds, asking again and again; panics with `what` when it still does not after `bound`.
pub async fn eventually<F: AsyncFnMut() -> bool>(what: &str, bound: Duration, mut condition: F) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < bound, "not within {bound:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
