//! The client of a provider that is a process of its own, speaking HTTP as [`super::wire`] has it.
//!
//! It never repeats a call and never guesses: whatever is not certain is [`ProviderError::Unknown`]. Certain are
//! only an answer that can be read, a connection that never came about, and a problem with a code that says so.

use super::wire::{
    ChargeAnswer, ChargeBody, ChargeLookupBody, KEY_NOT_FOUND, LedgerBody, ProblemFound, RefundAnswer, RefundBody,
    RefundFound, says_not_done, says_refused,
};
use super::{
    Charge, ChargeLookup, ChargeOutcome, LEDGER_PAGE_LEN_MAX, LedgerPage, PaymentProvider, ProviderError, Refund,
    RefundLookup, RefundReceipt,
};
use crate::outbound::{AddressError, PlainHttp, TrustedRoots, api_address};
use crate::trace;
use futures_util::future::BoxFuture;
use opentelemetry_http::HeaderInjector;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::HeaderMap;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// The most bytes of an answer: 64 KiB.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// `-`, `_` and `~` need no escape in a path segment.
const KEY_ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');

/// How long the client waits and how many idle connections it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RemoteSettings {
    /// How long a connection may take to come about.
    pub connect_ms_max: u64,
    /// How long a call may take in all, connecting included; then its outcome is unknown.
    pub call_ms_max: u64,
    /// How many idle connections are kept for the next calls.
    pub idle_connections_max: usize,
    /// How long an idle connection is kept. It should be shorter than the server keeps one, so that no order is sent
    /// on a connection that the server is closing.
    pub idle_ms_max: u64,
}

impl Default for RemoteSettings {
    fn default() -> Self {
        Self { connect_ms_max: 1_000, call_ms_max: 10_000, idle_connections_max: 64, idle_ms_max: 4_000 }
    }
}

/// Why there can be no client.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("the HTTP client could not be set up: {0}")]
    Client(#[from] reqwest::Error),
}

/// A provider that is a process of its own.
#[derive(Debug, Clone)]
pub struct RemoteProvider {
    client: Client,
    base: Url,
}

struct Answer {
    status: StatusCode,
    body: Vec<u8>,
}

impl RemoteProvider {
    /// A client of the provider at `url`, whose certificate one of the roots has signed. Connects to nothing yet.
    ///
    /// # Errors
    /// When the URL is none of an API, or is plain HTTP where that is not allowed.
    pub fn new(url: &str, plain: PlainHttp, roots: &TrustedRoots, config: RemoteSettings) -> Result<Self, RemoteError> {
        let base = api_address(url, plain)?;
        let client = roots
            .client(&base)
            .connect_timeout(Duration::from_millis(config.connect_ms_max))
            .timeout(Duration::from_millis(config.call_ms_max))
            .pool_max_idle_per_host(config.idle_connections_max)
            .pool_idle_timeout(Duration::from_millis(config.idle_ms_max))
            .tcp_nodelay(true)
            .build()?;
        Ok(Self { client, base })
    }

    fn address(&self, collection: &str, key: Option<&str>) -> String {
        let base = self.base.as_str().trim_end_matches('/');
        match key {
            None => format!("{base}/{collection}"),
            Some(key) => format!("{base}/{collection}/{}", utf8_percent_encode(key, KEY_ESCAPED)),
        }
    }

    async fn order<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ProviderError> {
        let answer = send(request).await?;
        if answer.status == StatusCode::OK { parse(&answer) } else { Err(answer.problem()) }
    }

    /// What the provider knows under a key; `None` only when it says itself that this is nothing.
    async fn find<T: DeserializeOwned>(&self, collection: &str, key: &str) -> Result<Option<T>, ProviderError> {
        let answer = send(self.client.get(self.address(collection, Some(key)))).await?;
        if answer.status == StatusCode::OK {
            return parse(&answer).map(Some);
        }
        if answer.status == StatusCode::NOT_FOUND && answer.code().as_deref() == Some(KEY_NOT_FOUND) {
            return Ok(None);
        }
        Err(answer.problem())
    }
}

impl Answer {
    fn code(&self) -> Option<String> {
        serde_json::from_slice::<ProblemFound<'_>>(&self.body).ok().map(|problem| problem.code.into_owned())
    }

    fn problem(&self) -> ProviderError {
        match self.code() {
            Some(code) if says_refused(&code) => ProviderError::Refused(code),
            Some(code) if says_not_done(&code) => ProviderError::NotDone(code),
            Some(code) => ProviderError::Unknown(format!("status {}, code {code:.64}", self.status.as_u16())),
            None => ProviderError::Unknown(format!("status {}", self.status.as_u16())),
        }
    }
}

/// Sends and reads the whole answer, however bad its status.
async fn send(request: RequestBuilder) -> Result<Answer, ProviderError> {
    let mut headers = HeaderMap::new();
    trace::inject(&mut HeaderInjector(&mut headers));
    let request = request.headers(headers);
    let response = request.send().await.map_err(|error| {
        // Without the URL, because that has the key in it.
        let error = error.without_url();
        if error.is_connect() || error.is_builder() {
            ProviderError::NotDone(format!("no connection: {error}"))
        } else {
            ProviderError::Unknown(error.to_string())
        }
    })?;
    let status = response.status();
    Ok(Answer { status, body: read(response).await? })
}

async fn read(mut response: Response) -> Result<Vec<u8>, ProviderError> {
    let mut body = Vec::new();
    while let Some(part) =
        response.chunk().await.map_err(|error| ProviderError::Unknown(error.without_url().to_string()))?
    {
        if body.len() + part.len() > ANSWER_BYTES_MAX {
            return Err(ProviderError::Unknown("the answer has more than 64 KiB".to_owned()));
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

fn parse<T: DeserializeOwned>(answer: &Answer) -> Result<T, ProviderError> {
    serde_json::from_slice(&answer.body).map_err(|_| ProviderError::Unknown("the answer cannot be read".to_owned()))
}

impl PaymentProvider for RemoteProvider {
    fn charge(&self, charge: Charge) -> BoxFuture<'_, Result<ChargeOutcome, ProviderError>> {
        let request = self.client.post(self.address("charges", None)).json(&ChargeBody::from(charge));
        Box::pin(async move { self.order::<ChargeAnswer>(request).await.map(ChargeOutcome::from) })
    }

    fn refund(&self, refund: Refund) -> BoxFuture<'_, Result<RefundReceipt, ProviderError>> {
        let request = self.client.post(self.address("refunds", None)).json(&RefundBody::from(refund));
        Box::pin(async move { self.order::<RefundAnswer>(request).await.map(RefundReceipt::from) })
    }

    fn look_up<'a>(&'a self, idempotency_key: &'a str) -> BoxFuture<'a, Result<ChargeLookup, ProviderError>> {
        Box::pin(async move {
            match self.find::<ChargeLookupBody>("charges", idempotency_key).await? {
                None => Ok(ChargeLookup::NotFound),
                Some(found) => ChargeLookup::try_from(found).map_err(|error| ProviderError::Unknown(error.to_string())),
            }
        })
    }

    fn look_up_refund<'a>(&'a self, idempotency_key: &'a str) -> BoxFuture<'a, Result<RefundLookup, ProviderError>> {
        Box::pin(async move {
            match self.find::<RefundFound>("refunds", idempotency_key).await? {
                None => Ok(RefundLookup::NotFound),
                Some(found) => RefundLookup::try_from(found).map_err(|error| ProviderError::Unknown(error.to_string())),
            }
        })
    }

    fn ledger_page<'a>(
        &'a self,
        cursor: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<LedgerPage, ProviderError>> {
        let limit = limit.min(LEDGER_PAGE_LEN_MAX);
        let mut address = format!("{}?limit={limit}", self.address("ledger", None));
        if let Some(cursor) = cursor {
            address = format!("{address}&cursor={}", utf8_percent_encode(cursor, KEY_ESCAPED));
        }
        let request = self.client.get(address);
        Box::pin(async move {
            let body: LedgerBody = self.order(request).await?;
            LedgerPage::try_from(body).map_err(|error| ProviderError::Unknown(error.to_string()))
        })
    }
}
