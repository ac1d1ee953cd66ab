//! The `rentcar` command: the only place that knows all layers.

mod commands;

use clap::{Parser, Subcommand};
use commands::{backup, maintenance, provider, reconcile, serve};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Bookings make and drop small things by the hundred on all threads; the C library's allocator took a third of the
/// processor for that, and its heap grew without end. This one also gives back what is no longer used.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A car-rental service: reservations, payments, rentals and the fleet.
#[derive(Debug, Parser)]
#[command(name = "rentcar", version, about, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Without a command the service is started.
    #[command(flatten)]
    serve: serve::Options,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the service (the default).
    Serve(serve::Options),
    /// Start the sandbox payment provider as a process of its own.
    Provider {
        /// Address and port; port 0 takes a free one.
        #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8090")]
        listen: SocketAddr,
    },
    /// Check everything that is stored: every frame, position and document, and every rule that must hold.
    Verify(maintenance::Data),
    /// Write everything that is stored as lines of JSON, for a backup or another store.
    Export {
        #[command(flatten)]
        data: maintenance::Data,
        /// Where to; standard output without it.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Write everything that a running service has, while it goes on, as `export` does.
    Backup(backup::Options),
    /// Read an export or a backup into an empty data directory.
    Import {
        #[command(flatten)]
        data: maintenance::Data,
        /// Where from; standard input without it.
        #[arg(long, value_name = "FILE")]
        input: Option<PathBuf>,
    },
    /// Throw the read models away and make them anew from the journal.
    RebuildViews(maintenance::Data),
    /// Compare the payments with the payment provider's own record: those of a running service, or of a store.
    Reconcile(reconcile::Options),
    /// Print the settings in force.
    Config(serve::Options),
    /// Walk the whole story against a running service and check every outcome.
    Demo {
        /// The service.
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
        url: String,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(options) => serve::run(&options),
        Command::Provider { listen } => provider::run(listen),
        Command::Verify(data) => maintenance::verify(&data),
        Command::Export { data, output } => maintenance::export(&data, output.as_deref()),
        Command::Backup(options) => backup::run(&options),
        Command::Import { data, input } => maintenance::import(&data, input.as_deref()),
        Command::RebuildViews(data) => maintenance::rebuild_views(&data),
        Command::Reconcile(options) => reconcile::run(&options),
        Command::Config(options) => serve::print_config(&options),
        Command::Demo { url } => commands::block_on(commands::demo::run(&url)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            commands::complain(&error);
            ExitCode::FAILURE
        }
    }
}
