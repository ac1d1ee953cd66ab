//! The `rentcar` command. Only this file, its `commands/` and `config` may know all layers.

mod commands;

use clap::{Parser, Subcommand};
use commands::{backup, demo, help, key, maintenance, provider, reconcile, serve, token, user};
use rentcar::config::Listen;
use std::path::PathBuf;
use std::process::ExitCode;

/// A booking makes hundreds of small allocations on all threads; the C library's allocator took a third of the processor
/// time for that, and its heap grew without end. This one also returns unused memory to the system.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A car-rental service: reservations, payments, rentals and the fleet.
#[derive(Debug, Parser)]
#[command(name = "rentcar", version, about, args_conflicts_with_subcommands = true, after_help = help::rentcar())]
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
    #[command(after_help = help::serve())]
    Serve(serve::Options),
    /// Start the sandbox payment provider as a process of its own.
    #[command(after_help = help::provider())]
    Provider {
        /// Where to listen; :PORT or PORT alone means 127.0.0.1, port 0 a free one.
        #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8090")]
        listen: Listen,
    },
    /// Check everything that is stored: every frame, position and document, and every rule that must hold.
    #[command(after_help = help::verify())]
    Verify(maintenance::Data),
    /// Write everything that is stored as lines of JSON, for a backup or another store.
    #[command(after_help = help::export())]
    Export {
        #[command(flatten)]
        data: maintenance::Data,
        /// Where to; standard output without it.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Write everything that a running service has, while it goes on, as `export` does.
    #[command(after_help = help::backup())]
    Backup(backup::Options),
    /// Read an export or a backup into an empty data directory.
    #[command(after_help = help::import())]
    Import {
        #[command(flatten)]
        data: maintenance::Data,
        /// Where from; standard input without it.
        #[arg(long, value_name = "FILE")]
        input: Option<PathBuf>,
    },
    /// Throw the read models away and make them anew from the journal.
    #[command(after_help = help::rebuild_views())]
    RebuildViews(maintenance::Data),
    /// Compare the payments with the payment provider's own record: those of a running service, or of a store.
    #[command(after_help = help::reconcile())]
    Reconcile(reconcile::Options),
    /// Print the settings in force.
    #[command(after_help = help::config())]
    Config(serve::Options),
    /// Print the description of the HTTP interface, which a running service has at /openapi.json.
    #[command(after_help = help::openapi())]
    Openapi,
    /// Make a token for a caller of a service that is not open.
    #[command(after_help = help::token())]
    Token(token::Options),
    /// Make, list and revoke the API keys of programs; make master keys of personal data.
    #[command(after_help = help::key())]
    Key {
        #[command(subcommand)]
        command: key::Command,
    },
    /// Open, list, disable and enable accounts in a store that no service holds, and set their passwords.
    #[command(after_help = help::user())]
    User {
        #[command(subcommand)]
        command: user::Command,
    },
    /// Walk the whole story against a running service and check every outcome, or show a small company.
    #[command(after_help = help::demo())]
    Demo(demo::Options),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(options) => serve::run(&options),
        Command::Provider { listen } => provider::run(&listen),
        Command::Verify(data) => maintenance::verify(&data),
        Command::Export { data, output } => maintenance::export(&data, output.as_deref()),
        Command::Backup(options) => backup::run(&options),
        Command::Import { data, input } => maintenance::import(&data, input.as_deref()),
        Command::RebuildViews(data) => maintenance::rebuild_views(&data),
        Command::Reconcile(options) => reconcile::run(&options),
        Command::Config(options) => serve::print_config(&options),
        Command::Openapi => commands::print_line(format_args!("{:#}", rentcar::http::openapi::document())),
        Command::Token(options) => token::run(&options),
        Command::Key { command } => key::run(&command),
        Command::User { command } => user::run(&command),
        Command::Demo(options) => demo::run(options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            commands::print_error(&error);
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on must say so")]

    use super::Cli;
    use clap::{CommandFactory as _, Parser as _};
    use rentcar::config::DEFAULTS;

    /// `rentcar` and all its commands, with their help.
    fn helps() -> Vec<(String, String)> {
        let mut cli = Cli::command();
        cli.build();
        let mut helps = vec![("rentcar".to_owned(), cli.render_long_help().to_string())];
        for command in cli.get_subcommands_mut().filter(|command| command.get_name() != "help") {
            helps.push((command.get_name().to_owned(), command.render_long_help().to_string()));
        }
        helps
    }

    #[test]
    fn every_command_tells_an_example_defaults_the_environment_and_exit_codes() {
        for (command, help) in helps() {
            for section in ["Examples:\n", "Defaults:\n", "Environment:\n", "Exit codes:\n"] {
                assert!(help.contains(section), "{command} has no {section}{help}");
            }
            assert!(help.lines().all(|line| line.chars().count() <= 120), "{command} has lines that nobody can read");
        }
    }

    #[test]
    fn every_example_is_a_command_line_that_is_understood() {
        for (command, help) in helps() {
            let examples = help.split("Examples:\n").nth(1).unwrap().split("\n\n").next().unwrap();
            let of_ours = |line: &str| {
                let line = line.split(['#', '>']).next().unwrap();
                let ours = line.split('|').find(|part| part.contains("rentcar ") || part.trim() == "rentcar")?;
                Some(ours[ours.find("rentcar").unwrap()..].split_whitespace().map(str::to_owned).collect::<Vec<_>>())
            };
            let lines: Vec<_> = examples.lines().filter_map(of_ours).collect();
            assert!(
                lines.iter().any(|words| command == "rentcar" || words[1] == command),
                "{command} has no example of its own"
            );
            for words in lines {
                match Cli::try_parse_from(&words) {
                    Ok(_) => {}
                    Err(error) => assert_eq!(error.exit_code(), 0, "{words:?}: {error}"),
                }
            }
        }
    }

    #[test]
    fn the_defaults_that_are_told_are_those_that_are_built_in() {
        let built_in: toml::Table = DEFAULTS.parse().unwrap();
        for (command, help) in helps() {
            for (option, section, key) in [("--listen ", "server", "listen"), ("--data ", "store", "data")] {
                let told = help.lines().find(|line| line.contains(&format!("{section}.{key})")));
                let expected = format!("{option}{}", built_in[section][key].as_str().unwrap());
                assert!(told.is_none_or(|told| told.contains(&expected)), "{command}: no {expected} in {told:?}");
            }
        }
        assert!(helps().iter().filter(|(_, help)| help.contains("(store.data)")).count() >= 7);
    }
}
