//! `rentcar user`: accounts in a store that no service holds. The first operator is made here; operators make the others.

use super::maintenance::Data;
use super::{block_on, master_keys, print_line, settings};
use anyhow::{Context as _, anyhow, bail, ensure};
use clap::{Args, Subcommand, ValueEnum};
use rentcar::actors::account::alone::AccountsAlone;
use rentcar::actors::account::hashing::Turn;
use rentcar::actors::account::service::AccountView;
use rentcar::actors::api::Caller;
use rentcar::actors::runtime::SystemClock;
use rentcar::actors::service::NewPassword;
use rentcar::domain::account::{Account, Role};
use rentcar::domain::customer::is_mail_address;
use rentcar::store::journal::Journal as _;
use rentcar::store::sled::SledJournal;
use std::io::{IsTerminal as _, Read as _};
use std::sync::Arc;

/// More than the longest password, in bytes.
const PASSWORD_BYTES_READ: u64 = 4_096;
/// How many accounts are read at once.
const PAGE_LEN: usize = 200;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Open an account. The password is asked for, or read from standard input.
    New {
        #[command(flatten)]
        of: Who,
        /// What its owner may do.
        #[arg(long, value_name = "ROLE")]
        role: CompanyRole,
    },
    /// Print the numbers, roles and states of all accounts.
    List(Data),
    /// Let nobody sign in to an account any more.
    Disable(Who),
    /// Let its owner sign in again.
    Enable(Who),
    /// Set another password, which is asked for, or read from standard input.
    Password(Who),
}

#[derive(Debug, Args)]
pub struct Who {
    #[command(flatten)]
    data: Data,
    /// The mail address of the account.
    #[arg(long, value_name = "ADDRESS")]
    email: String,
}

/// The roles of a company's own people; customers sign up themselves.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum CompanyRole {
    Staff,
    Operator,
}

impl From<CompanyRole> for Role {
    fn from(role: CompanyRole) -> Role {
        match role {
            CompanyRole::Staff => Role::Staff,
            CompanyRole::Operator => Role::Operator,
        }
    }
}

pub fn run(command: &Command) -> anyhow::Result<()> {
    // Before the store is opened: a password that cannot be one changes nothing.
    let password = match command {
        Command::New { of, .. } | Command::Password(of) => Some(password(&of.email)?),
        Command::List(_) | Command::Disable(_) | Command::Enable(_) => None,
    };
    let data = match command {
        Command::List(data) => data,
        Command::New { of, .. } | Command::Disable(of) | Command::Enable(of) | Command::Password(of) => {
            ensure!(is_mail_address(&of.email), "--email must be a mail address");
            &of.data
        }
    };
    block_on(on_store(data, async |accounts| match (command, password) {
        (Command::New { of, role }, Some(password)) => {
            let view = accounts
                .accounts
                .open((Turn::OPERATOR, Some(&Caller::system())), &of.email, password, (*role).into())
                .await?;
            print_line(view.account_no)
        }
        (Command::Password(of), Some(password)) => {
            let view = found(accounts, of).await?;
            Ok(accounts.accounts.set_password(&Caller::system(), &view.account_no, password).await?)
        }
        (Command::Disable(of), _) => set_disabled(accounts, of, true).await,
        (Command::Enable(of), _) => set_disabled(accounts, of, false).await,
        (Command::List(_), _) => list(accounts).await,
        (Command::New { .. } | Command::Password(_), None) => bail!("there is no password"),
    }))
}

async fn on_store(data: &Data, work: impl AsyncFnOnce(&AccountsAlone) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let config = data.config()?;
    let Some(kept) = settings::accounts(&config)? else {
        bail!("accounts are not offered here; the setting accounts.enabled offers them");
    };
    let keys = master_keys::required(&config)?;
    let makes_store = settings::store_options(&config);
    let journal = SledJournal::open(&config.store.data, &makes_store);
    let journal = journal.with_context(|| format!("the data directory {} cannot be used", config.store.data.display()));
    let journal = Arc::new(journal?);
    let clock = Arc::new(SystemClock::default());
    let terms = config.terms();
    let accounts = AccountsAlone::start(Arc::clone(&journal) as _, clock, &terms, kept, &keys).await?;
    let done = work(&accounts).await;
    let stopped = accounts.stop().await;
    journal.close().await.context("the journal could not be closed cleanly; what was acknowledged is safe")?;
    done?;
    ensure!(stopped, "the actors have not stopped in time; what was acknowledged is safe");
    Ok(())
}

async fn found(accounts: &AccountsAlone, of: &Who) -> anyhow::Result<AccountView> {
    accounts.accounts.find(&of.email).await?.ok_or_else(|| anyhow!("there is no account with this mail address"))
}

async fn set_disabled(accounts: &AccountsAlone, of: &Who, disabled: bool) -> anyhow::Result<()> {
    let view = found(accounts, of).await?;
    accounts.accounts.set_disabled(&Caller::system(), &view.account_no, disabled).await?;
    Ok(())
}

async fn list(accounts: &AccountsAlone) -> anyhow::Result<()> {
    let mut after: Option<Arc<str>> = None;
    loop {
        let page = accounts.accounts.list(after.as_deref(), PAGE_LEN).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(Arc::clone(&last.account_no));
        for view in &page {
            let role = match view.account.role() {
                Role::Customer(customer_no) => format!("customer {customer_no}"),
                Role::Staff => "staff".to_owned(),
                Role::Operator => "operator".to_owned(),
            };
            let state = match &view.account {
                Account::Erased { .. } => "erased",
                Account::Open(open) if open.disabled_at.is_some() => "disabled",
                Account::Open(_) => "open",
            };
            print_line(format_args!("{} {role} {state}", view.account_no))?;
        }
    }
}

/// Asked for without showing it, or the first line of standard input; never an argument, which others can see.
fn password(mail_address: &str) -> anyhow::Result<NewPassword> {
    let typed = if std::io::stdin().is_terminal() {
        let typed = rpassword::prompt_password("Password: ").context("the password cannot be read")?;
        let again = rpassword::prompt_password("Once more: ").context("the password cannot be read")?;
        ensure!(typed == again, "the two are not the same");
        typed
    } else {
        let mut text = String::new();
        let read = std::io::stdin().take(PASSWORD_BYTES_READ).read_to_string(&mut text);
        read.context("the password cannot be read from standard input")?;
        text.lines().next().unwrap_or_default().to_owned()
    };
    NewPassword::chosen(&typed, Some(mail_address)).map_err(|why| anyhow!("this is no password: {why}"))
}
