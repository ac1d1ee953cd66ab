//! A client of a running service. It first checks that it is a rentcar, before a command asks anything of it.

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::Args;
use rentcar::outbound::{AddressError, PlainHttp, TrustedRoots, api_address};
use reqwest::{Client, ClientBuilder, RequestBuilder, Response};
use serde_json::Value;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

const DESCRIPTION: &str = "/openapi.json";
const NAME: &str = "rentcar";
const SAYS_WITHIN: Duration = Duration::from_secs(15);
/// How rustls begins to say why it does not trust a certificate.
const UNTRUSTED: &str = "invalid peer certificate";
/// The most bytes that are read of an answer, which may come from any program.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Where a service is: `https://HOST:PORT` or `http://HOST:PORT`, without a `/` at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceUrl(String);

impl FromStr for ServiceUrl {
    type Err = String;

    fn from_str(written: &str) -> Result<ServiceUrl, String> {
        // Whether plain HTTP goes there is decided with all options.
        match api_address(written, PlainHttp::Anywhere) {
            Ok(_) => Ok(ServiceUrl(written.trim_end_matches('/').to_owned())),
            Err(_) => {
                Err("it must be an address with https:// or http:// in front, such as http://127.0.0.1:8080".to_owned())
            }
        }
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a service is spoken with.
#[derive(Debug, Clone, Default, Args)]
pub struct Connection {
    /// A PEM file of certificates that sign that of the service, beside the roots of the system.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Speak plain http:// with another machine, too: whoever is on the way can read it.
    #[arg(long)]
    allow_plain_http: bool,
}

impl Connection {
    /// The address of a service, and what a client of it is made of.
    fn to(&self, url: &ServiceUrl) -> anyhow::Result<ClientBuilder> {
        let plain = if self.allow_plain_http { PlainHttp::Anywhere } else { PlainHttp::Loopback };
        let address = match api_address(&url.0, plain) {
            Err(error @ AddressError::Plain { .. }) => bail!(
                "{url} is not asked, since {error}; where the network in between is trusted, --allow-plain-http allows it"
            ),
            address => address?,
        };
        let roots = self.ca.as_deref().map_or(Ok(TrustedRoots::default()), TrustedRoots::load);
        Ok(roots.context("--ca cannot be used")?.client(&address))
    }
}

/// Who calls a service, and how.
#[derive(Debug, Clone, Default, Args)]
pub struct Caller {
    /// A file with a token or an API key, for a service that is not open.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

impl From<Connection> for Caller {
    fn from(connection: Connection) -> Caller {
        Caller { token_file: None, connection }
    }
}

impl Caller {
    /// The token or API key, alone in its file.
    fn token(&self) -> anyhow::Result<Option<String>> {
        let Some(path) = &self.token_file else { return Ok(None) };
        let text = std::fs::read_to_string(path);
        let text = text.with_context(|| format!("the file {} cannot be read", path.display()))?;
        let token = text.trim();
        let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        ensure!(is_token, "the file {} must have a token, and nothing else", path.display());
        Ok(Some(token.to_owned()))
    }
}

pub struct Running {
    client: Client,
    url: ServiceUrl,
    token: Option<String>,
}

impl Running {
    /// The service at an address. `silent_max` bounds the time in which it sends nothing.
    ///
    /// # Errors
    /// When nothing listens there, or another program does; it may not be asked in plain HTTP; or there is no token in its
    /// file.
    pub async fn at(url: &ServiceUrl, caller: &Caller, silent_max: Duration) -> anyhow::Result<Running> {
        let client = caller.connection.to(url)?.read_timeout(silent_max).build();
        let client = client.context("no client can be made")?;
        let running = Running { client, url: url.clone(), token: caller.token()? };
        running.is_rentcar().await?;
        Ok(running)
    }

    pub fn url(&self) -> &ServiceUrl {
        &self.url
    }

    pub fn request(&self, method: reqwest::Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn is_rentcar(&self) -> anyhow::Result<()> {
        let url = &self.url;
        // Without the token: it is not known yet who listens there.
        let request = self.client.get(format!("{url}{DESCRIPTION}")).timeout(SAYS_WITHIN);
        let response = request.send().await.map_err(|error| unanswered(url, &error))?;
        let status = response.status().as_u16();
        let json: Value = serde_json::from_slice(&body(response).await?).unwrap_or_default();
        if json["info"]["title"] == NAME {
            return Ok(());
        }
        if json["code"] == "https_needed" {
            bail!("the service at {url} speaks https only: write https:// instead of http://");
        }
        // It rejects calls as a rentcar does, so it is one, and the command can be tried again later.
        if let (429 | 503, Some(detail)) = (status, json["detail"].as_str()) {
            bail!("the service at {url} cannot be asked now: {detail}");
        }
        bail!(
            "what listens at {url} is not the service of rentcar, since it answers GET {DESCRIPTION} with {status} and \
             not with a description of it: name the address that `rentcar serve` says when it is ready"
        )
    }
}

async fn body(mut response: Response) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(part) = response.chunk().await.context("the answer broke off")? {
        ensure!(bytes.len() + part.len() <= ANSWER_BYTES_MAX, "the answer has more than {ANSWER_BYTES_MAX} bytes");
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

fn unanswered(url: &ServiceUrl, error: &reqwest::Error) -> anyhow::Error {
    // The innermost cause: what is around it repeats the address.
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let cause = cause.to_string();
    if cause.starts_with(UNTRUSTED) {
        return anyhow!(
            "what listens at {url} cannot prove that it is that address ({cause}): name the certificate that signs its own \
             with --ca, or write the address that its certificate names"
        );
    }
    if error.is_connect() {
        return anyhow!(
            "no service can be reached at {url} ({cause}): start one with `rentcar serve`, or name where it is"
        );
    }
    if error.is_timeout() {
        return anyhow!("what listens at {url} does not answer within {SAYS_WITHIN:?}: is it the service of rentcar?");
    }
    anyhow!(
        "what listens at {url} is not the service of rentcar, since it does not answer in HTTP ({cause}): name the \
             address that `rentcar serve` says when it is ready"
    )
}
