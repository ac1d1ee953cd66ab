//! `rentcar provider`: the sandbox payment provider as a process of its own, so that its ledger outlives the
//! service's crashes as a real provider's would.

use super::{block_on, log_drained, log_to_stderr, say, until_told_to_stop};
use anyhow::Context as _;
use rentcar::config::LogFormat;
use rentcar::http::provider::standalone;
use rentcar::http::server::{self, ServerLimits, serve};
use rentcar::providers::sandbox::Sandbox;
use std::net::SocketAddr;

/// Runs until it is told to stop.
pub fn run(listen: SocketAddr) -> anyhow::Result<()> {
    anyhow::ensure!(
        listen.ip().is_loopback(),
        "the sandbox provider moves pretended money for whoever asks, so it listens on loopback addresses only"
    );
    log_to_stderr("info,ractor=warn", LogFormat::Text)?;
    block_on(async move {
        let stop = until_told_to_stop()?;
        let listener = server::listen(listen).with_context(|| format!("{listen} cannot be listened on"))?;
        let address = listener.local_addr().context("the address cannot be read")?;
        say(format_args!("rentcar provider is ready at http://{address}"))?;
        let service = warp::service(standalone(&Sandbox::new()));
        log_drained(serve(listener, service, ServerLimits::default(), stop).await);
        Ok(())
    })
}
