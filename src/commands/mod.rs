//! The commands, one file each.

pub mod backup;
pub mod demo;
pub mod help;
pub mod instances;
pub mod key;
pub mod listening;
pub mod maintenance;
pub mod master_keys;
pub mod metrics;
pub mod provider;
pub mod reconcile;
pub mod running;
pub mod serve;
pub mod settings;
pub mod stay;
pub mod systemd;
pub mod telemetry;
pub mod token;
pub mod user;

use anyhow::Context as _;
use rentcar::kit::server::Drained;
use std::io::{ErrorKind, Write};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

pub fn print_error(error: &anyhow::Error) {
    // Standard error may be closed; then nobody can be told.
    let _ = writeln!(std::io::stderr(), "rentcar: {error:#}");
}

/// Prints a line of the command's result on standard output. When nobody reads it any more, as behind `| head`, the
/// command goes on: neither its work nor its exit code depends on a reader.
pub fn print_line(line: impl std::fmt::Display) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        said => said.context("standard output cannot be written"),
    }
}

/// Prints a line of progress on standard error.
pub fn print_progress(line: impl std::fmt::Display) {
    // Nobody need be told.
    let _ = writeln!(std::io::stderr(), "{line}");
}

pub fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("the runtime cannot be started")?.block_on(work)
}

/// A token that is cancelled at the first SIGTERM or SIGINT; a second one ends the process at once.
pub fn shutdown_signal() -> anyhow::Result<CancellationToken> {
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
            systemd::stopping();
            told.cancel();
        }
    });
    Ok(token)
}

pub fn log_drained(drained: Drained) {
    match drained {
        Drained::Completely => tracing::info!("all requests answered"),
        Drained::CutOff { connections } => tracing::warn!(connections, "connections closed at the shutdown deadline"),
    }
}
