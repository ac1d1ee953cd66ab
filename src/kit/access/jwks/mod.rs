//! The key set (JWKS) of an identity provider: fetched at the start, again from time to time, and once a token names a key
//! that is not known, but never more often than a pause allows, whatever tokens come. What cannot be fetched for a while
//! changes nothing; what cannot be fetched for long is trusted no longer.

mod document;

use super::keys::{JwksSettings, KeyError, Keys, TokenSettings};
use crate::outbound::{PlainHttp, document_address};
use metrics::gauge;
use reqwest::header::ACCEPT;
use reqwest::{Client, Response, StatusCode, Url};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

/// The longest key set, in bytes: ten times what identity providers have.
const DOCUMENT_BYTES_MAX: usize = 64 * 1024;
/// The first pause after a failure; it doubles.
const RETRY_PAUSE_MIN: Duration = Duration::from_secs(1);
const RETRY_PAUSE_MAX: Duration = Duration::from_mins(1);

/// Why there is no new key set.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("{}", innermost(.0))]
    Http(#[from] reqwest::Error),
    #[error("it leads elsewhere (status {0}), and redirects are not followed: name the address where the keys are")]
    Redirect(u16),
    #[error("it answers with status {0}")]
    Status(u16),
    #[error("it has more than {DOCUMENT_BYTES_MAX} bytes")]
    TooLong,
    #[error("{0}")]
    NoSet(&'static str),
}

/// What is around it repeats the address.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if error.is_timeout() { "it does not answer in time".to_owned() } else { cause.to_string() }
}

/// A client of the key set.
#[derive(Debug)]
pub(super) struct Jwks {
    client: Client,
    url: Url,
    settings: JwksSettings,
    /// A token names a key that is not known.
    wanted: Notify,
    /// Whether the pause after the last fetch is still running.
    rests: AtomicBool,
    /// How many fetches have ended.
    ended: watch::Sender<u64>,
}

impl Jwks {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// When the address is none, or is plain HTTP to another machine.
    pub(super) fn new(settings: JwksSettings) -> Result<Jwks, KeyError> {
        let no_client = |why: String| KeyError::NoClient { address: settings.url.clone(), why };
        let url = document_address(&settings.url, PlainHttp::Loopback).map_err(|error| no_client(error.to_string()))?;
        // Fetches are rare: no connection is kept for the next one.
        let client = settings.roots.client(&url).timeout(settings.fetch_max).pool_max_idle_per_host(0).build();
        let client = client.map_err(|error| no_client(innermost(&error)))?;
        let (wanted, ended) = (Notify::new(), watch::Sender::default());
        Ok(Jwks { client, url, settings, wanted, rests: AtomicBool::new(false), ended })
    }

    /// Wants the key set to be fetched, and waits for that: not at all if the last fetch was a moment ago, and then it is
    /// fetched once the pause is over.
    pub(super) async fn fetched_again(&self) {
        let mut ended = self.ended.subscribe();
        self.wanted.notify_one();
        if !self.rests.load(Ordering::SeqCst) {
            // Nobody may fetch; then the caller is told so.
            let _ = timeout(self.settings.fetch_max, ended.changed()).await;
        }
    }

    /// Fetches the key set again and again, and has its keys taken; `None` when they are too old. Runs until it is dropped.
    pub(super) async fn follow(&self, tokens: &TokenSettings, take: impl Fn(Option<Keys>)) {
        let mut state = Followed::default();
        loop {
            let outcome = self.fetch(tokens).await;
            let pause = state.note(&self.settings, outcome, &take);
            self.rests.store(true, Ordering::SeqCst);
            self.ended.send_modify(|ended| *ended += 1);
            tokio::select! {
                () = sleep(pause) => {}
                () = self.wanted_after_pause() => {}
            }
            self.rests.store(false, Ordering::SeqCst);
        }
    }

    async fn wanted_after_pause(&self) {
        sleep(self.settings.unknown_key_pause).await;
        self.rests.store(false, Ordering::SeqCst);
        self.wanted.notified().await;
    }

    async fn fetch(&self, tokens: &TokenSettings) -> Result<document::KeySet, FetchError> {
        let request = self.client.get(self.url.clone()).header(ACCEPT, "application/jwk-set+json, application/json");
        let response = request.send().await?;
        let status = response.status();
        if status.is_redirection() {
            return Err(FetchError::Redirect(status.as_u16()));
        }
        if status != StatusCode::OK {
            return Err(FetchError::Status(status.as_u16()));
        }
        document::parse(&read(response).await?, tokens).map_err(FetchError::NoSet)
    }
}

async fn read(mut response: Response) -> Result<Vec<u8>, FetchError> {
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await? {
        if body.len() + part.len() > DOCUMENT_BYTES_MAX {
            return Err(FetchError::TooLong);
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

/// What has become of the fetches so far.
#[derive(Default)]
struct Followed {
    fetched_at: Option<Instant>,
    /// In a row.
    failures: u32,
    given_up: bool,
    /// What was told of keys that are left out.
    left_out: Vec<(usize, &'static str)>,
}

impl Followed {
    /// Takes what was fetched, and says how long to wait now.
    fn note(
        &mut self,
        settings: &JwksSettings,
        outcome: Result<document::KeySet, FetchError>,
        take: impl Fn(Option<Keys>),
    ) -> Duration {
        let outdated = gauge!("rentcar_keys_outdated", "source" => "jwks");
        match outcome {
            Ok(set) => {
                if self.failures > 0 || self.fetched_at.is_none() {
                    tracing::info!(keys = set.keys.len(), "key set fetched");
                }
                if self.left_out != set.left_out {
                    for (at, why) in &set.left_out {
                        tracing::warn!(at, why, "a key of the key set is left out");
                    }
                }
                *self = Followed { fetched_at: Some(Instant::now()), left_out: set.left_out, ..Followed::default() };
                outdated.set(0.0);
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
                gauge!("rentcar_jwks_fetched_timestamp_seconds").set(now.as_secs_f64());
                take(Some(set.keys));
                settings.refresh_every
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                outdated.set(1.0);
                // It is tried again, but told once.
                if self.failures == 1 {
                    let before = self.fetched_at.is_some();
                    tracing::error!(%error, before, "key set not fetched, if it was before its keys are still trusted");
                }
                let too_old = self.fetched_at.is_some_and(|at| at.elapsed() > settings.stale_max);
                if too_old && !self.given_up {
                    tracing::error!(%error, "key set not fetched for too long, its keys are trusted no longer");
                    self.given_up = true;
                    take(None);
                }
                let pause = RETRY_PAUSE_MIN.saturating_mul(1 << (self.failures - 1).min(16));
                pause.min(RETRY_PAUSE_MAX).min(settings.refresh_every)
            }
        }
    }
}
