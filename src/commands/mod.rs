//! The commands, one file each.

pub mod backup;
pub mod demo;
pub mod generations;
pub mod help;
pub mod listening;
pub mod maintenance;
pub mod metrics;
pub mod provider;
pub mod reconcile;
pub mod running;
pub mod serve;

use anyhow::Context as _;
use rentcar::config::{Log, LogFormat};
use rentcar::http::server::Drained;
use std::io::{ErrorKind, IsTerminal, Write};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Says on standard error what went wrong, in one line.
pub fn complain(error: &anyhow::Error) {
    // Nobody may be there to read it.
    let _ = writeln!(std::io::stderr(), "rentcar: {error:#}");
}

/// Says something on standard output, which is the command's result. Where nobody reads it any more, as behind `| head`,
/// the command goes on all the same: what it does and its exit code do not depend on who listens.
pub fn say(line: impl std::fmt::Display) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        said => said.context("standard output cannot be written"),
    }
}

/// Runs on all cores until it is done.
pub fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("the runtime cannot be started")?.block_on(work)
}

/// Logs to standard error.
pub fn log_to_stderr(log: &Log) -> anyhow::Result<()> {
    let registry = tracing_subscriber::registry().with(log.targets()?);
    // A line that cannot be written is lost; complaining of that in the same place would only panic.
    let layer = tracing_subscriber::fmt::layer().log_internal_errors(false).with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Text => registry.with(layer.with_ansi(std::io::stderr().is_terminal())).try_init(),
        LogFormat::Json => registry.with(layer.json()).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging cannot be started: {error}"))
}

/// A token that is cancelled at the first SIGTERM or SIGINT; a second one ends the process at once.
pub fn until_told_to_stop() -> anyhow::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be handled")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be handled")?;
    let token = CancellationToken::new();
    let told = token.clone();
    tokio::spawn(async move {
        for last in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if last {
                tracing::warn!("stopped at once by a second signal");
                std::process::exit(130);
            }
            tracing::info!("stopping");
            told.cancel();
        }
    });
    Ok(token)
}

/// Logs how the server ended.
pub fn log_drained(drained: Drained) {
    match drained {
        Drained::Completely => tracing::info!("all requests answered"),
        Drained::CutOff { connections } => tracing::warn!(connections, "connections closed at the shutdown deadline"),
    }
}
