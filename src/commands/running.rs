//! A client of a running service. It first checks that it is a rentcar, before a command asks anything of it.

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::Args;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, Url};
use serde_json::Value;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

const DESCRIPTION: &str = "/openapi.json";
const NAME: &str = "rentcar";
const SAYS_WITHIN: Duration = Duration::from_secs(15);
/// The most bytes that are read of an answer, which may come from any program.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Where a service is: `http://HOST:PORT`, without a `/` at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceUrl(String);

impl FromStr for ServiceUrl {
    type Err = String;

    fn from_str(written: &str) -> Result<ServiceUrl, String> {
        let usable = |url: &Url| url.scheme() == "http" && url.has_host() && url.query().or(url.fragment()).is_none();
        match Url::parse(written) {
            Ok(url) if usable(&url) => Ok(ServiceUrl(written.trim_end_matches('/').to_owned())),
            Ok(url) if url.scheme() == "https" => {
                Err("https is spoken by what stands in front of a service; write where the service itself is, such as \
                     http://127.0.0.1:8080"
                    .to_owned())
            }
            _ => Err("it must be an address with http:// in front, such as http://127.0.0.1:8080".to_owned()),
        }
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file with the token or API key of whoever calls a service, alone on its first line.
#[derive(Debug, Clone, Default, Args)]
pub struct Token {
    /// A file with a token or an API key, for a service that is not open.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Token {
    fn read(&self) -> anyhow::Result<Option<String>> {
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
    /// When nothing listens there, or another program does; or there is no token in its file.
    pub async fn at(url: &ServiceUrl, token: &Token, silent_max: Duration) -> anyhow::Result<Running> {
        let client = Client::builder().no_proxy().redirect(Policy::none()).read_timeout(silent_max).build();
        let client = client.context("no client can be made")?;
        let running = Running { client, url: url.clone(), token: token.read()? };
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
