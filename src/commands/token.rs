//! `rentcar token`: makes a token, signed with a key of ours, for companies without an identity provider and for tries.

use super::print_line;
use anyhow::{Context as _, ensure};
use clap::{ArgGroup, Args, ValueEnum};
use rentcar::domain::ids::CustomerNo;
use rentcar::kit::access::Scopes;
use rentcar::kit::access::tokens::{Audience, Claims, Signer};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// Whom the token is about, and until when it holds.
#[derive(Debug, Args)]
#[command(
    override_usage = "rentcar token --key FILE --issuer NAME --subject NAME (--customer-no NO | --role ROLE… | --scope SCOPES)"
)]
#[command(group(ArgGroup::new("who").required(true).args(["customer_no", "role", "scope"])))]
pub struct Options {
    /// What signs it: a secret NAME.secret, or a private key NAME.pem. NAME is the key id.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Who made it (`access.token_issuer` of the service).
    #[arg(long, value_name = "NAME")]
    issuer: String,
    /// For whom it is made (`access.token_audience` of the service).
    #[arg(long, value_name = "NAME", default_value = "rentcar")]
    audience: String,
    /// The name of the person or program.
    #[arg(long, value_name = "NAME")]
    subject: String,
    /// The number of a customer.
    #[arg(long, value_name = "NO", value_parser = customer_no)]
    customer_no: Option<CustomerNo>,
    /// What a person of the company is; may be given twice.
    #[arg(long)]
    role: Vec<Role>,
    /// What a program may do, with commas between: bookings, fleet, operations, metrics.
    #[arg(long, value_name = "SCOPES", value_parser = Scopes::parse)]
    scope: Option<Scopes>,
    /// How long it holds.
    #[arg(long, value_name = "MINUTES", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=525_600))]
    minutes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Role {
    Staff,
    Operator,
}

fn customer_no(text: &str) -> Result<CustomerNo, String> {
    CustomerNo::parse(text).map_err(|why| why.to_string())
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    ensure!(!options.issuer.is_empty() && !options.subject.is_empty(), "issuer and subject must not be empty");
    let signer = Signer::load(&options.key).context("the key cannot be used")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock of this machine stands before 1970")?;
    let now = now.as_secs();
    let role = |role: &Role| match role {
        Role::Staff => "staff".to_owned(),
        Role::Operator => "operator".to_owned(),
    };
    let claims = Claims {
        iss: Some(options.issuer.clone()),
        aud: Some(Audience::One(options.audience.clone())),
        sub: options.subject.clone(),
        exp: now + options.minutes * 60,
        nbf: Some(now),
        iat: Some(now),
        roles: options.role.iter().map(role).collect(),
        customer_no: options.customer_no.as_ref().map(ToString::to_string),
        registered: false,
        scope: options.scope.map(|scopes| scopes.names(" ")),
    };
    ensure!(
        claims.clone().principal().is_some(),
        "no service would take this token: anonymous is no customer, and a \
        subject has 128 bytes at most, without control characters"
    );
    print_line(signer.sign(&claims).context("the key does not sign")?)
}
