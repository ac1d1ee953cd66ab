//! Erlang/OTP with the same work, by the script `benches/erlang/actors.escript`; left out where `escript` is not
//! installed (Debian: `apt-get install erlang-base`).

use crate::support::turns::{Opponent, opponent};
use anyhow::{Context as _, ensure};
use std::path::Path;
use std::process::Command;

const SCRIPT: &str = "benches/erlang/actors.escript";

fn run(arguments: &[String]) -> anyhow::Result<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(SCRIPT);
    let output = Command::new("escript").arg(script).args(arguments).output()?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    ensure!(output.status.success(), "erlang: {said} {}", String::from_utf8_lossy(&output.stderr));
    Ok(said)
}

/// The release of OTP, `None` where there is none.
pub fn release() -> Option<String> {
    let release = run(&["release".to_owned()]).ok();
    if release.is_none() {
        eprintln!("Erlang/OTP is left out, since escript is not installed");
    }
    release
}

/// A case of the script as an opponent, if it is installed.
pub fn opponent_of(is_installed: bool, arguments: &[&str]) -> Option<Opponent> {
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let measure = move || {
        let arguments = arguments.clone();
        async move {
            let said = tokio::task::spawn_blocking(move || run(&arguments)).await??;
            said.parse().with_context(|| format!("erlang said {said}"))
        }
    };
    is_installed.then(|| opponent("erlang", measure))
}
