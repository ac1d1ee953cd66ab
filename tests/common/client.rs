//! A client that speaks HTTP and JSON, and says what it did when an answer is not the one expected.

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::redirect::Policy;
use serde_json::Value;
use std::time::Duration;

/// How long a connection on which nothing is asked is kept.
const IDLE_MAX: Duration = Duration::from_secs(5);
/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How much of a request or an answer is shown when a test fails.
const SHOWN_CHARS_MAX: usize = 600;

#[derive(Clone)]
pub struct Api {
    client: reqwest::Client,
    pub url: String,
    /// Goes with every request.
    pub token: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// Its body as JSON; `null` when it is not JSON.
    pub json: Value,
    pub text: String,
    request: String,
}

impl Answer {
    /// This answer, if it has the status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}", self.story());
        self
    }

    /// Checks that this is a refusal as RFC 9457 wants it, with our code.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Answer {
        let answer = self.expect(status);
        assert_eq!(answer.problem(), code, "{}", answer.story());
        answer
    }

    /// The code of a refusal, after a check of its form.
    #[track_caller]
    pub fn problem(&self) -> &str {
        assert!((400..600).contains(&self.status), "not a refusal: {}", self.story());
        let content_type = self.header("content-type");
        assert!(content_type.starts_with("application/problem+json"), "{content_type}: {}", self.story());
        assert_eq!(self.json["status"], self.status, "{}", self.story());
        for member in ["title", "detail"] {
            let text = self.json[member].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "no {member}: {}", self.story());
        }
        let code = self.json["code"].as_str().unwrap_or_default();
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(!code.is_empty() && code.chars().all(legal), "no code: {}", self.story());
        code
    }

    /// The code of a refusal, by a problem document or by a page; empty when this is none.
    pub fn code(&self) -> &str {
        let of_page = || self.text.split_once(r#"<meta name="problem" content=""#)?.1.split('"').next();
        self.json["code"].as_str().or_else(of_page).unwrap_or_default()
    }

    /// A header's value; empty when it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The text at a JSON pointer.
    #[track_caller]
    pub fn text_at(&self, pointer: &str) -> String {
        let text = self.json.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_else(|| panic!("no text at {pointer}: {}", self.story())).to_owned()
    }

    /// The whole number at a JSON pointer.
    #[track_caller]
    pub fn number_at(&self, pointer: &str) -> u64 {
        let number = self.json.pointer(pointer).and_then(Value::as_u64);
        number.unwrap_or_else(|| panic!("no number at {pointer}: {}", self.story()))
    }

    #[track_caller]
    pub fn items(&self) -> &[Value] {
        let items = self.json["items"].as_array();
        items.unwrap_or_else(|| panic!("no items: {}", self.story()))
    }

    /// The question and the answer, for a person to read.
    pub fn story(&self) -> String {
        let shown: String = self.text.chars().take(SHOWN_CHARS_MAX).collect();
        format!("{} -> {} {shown}", self.request, self.status)
    }
}

/// What a request carries beside its address.
#[derive(Debug, Clone, Default)]
pub struct Extra<'a> {
    pub headers: &'a [(&'a str, &'a str)],
    /// A body that is sent as it is, with this content type if any.
    pub raw: Option<(&'a str, Vec<u8>)>,
}

impl Api {
    /// A client of the server at an address such as `http://127.0.0.1:8080`.
    pub fn at(url: &str) -> Api {
        // Servers close a connection on which nothing is asked for 10 to 15 s: one that is closing is not to be used again.
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).redirect(Policy::none());
        let client = client.timeout(ANSWER_WITHIN).pool_idle_timeout(IDLE_MAX);
        Api::with_client(client.build().unwrap(), url)
    }

    /// One that speaks through a client of another kind.
    pub fn with_client(client: reqwest::Client, url: &str) -> Api {
        Api { client, url: url.to_owned(), token: None }
    }

    /// The same client as somebody else: with a token or an API key.
    pub fn with_token(&self, token: &str) -> Api {
        Api { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The bare client, for requests of another kind.
    pub fn http(&self) -> &reqwest::Client {
        &self.client
    }

    /// Where it listens, without the scheme.
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None, Extra::default()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Some(body), Extra::default()).await
    }

    pub async fn post_empty(&self, path: &str) -> Answer {
        self.send(Method::POST, path, None, Extra::default()).await
    }

    /// POST of a JSON document under an idempotency key.
    pub async fn post_keyed(&self, path: &str, key: &str, body: &Value) -> Answer {
        let headers = [("Idempotency-Key", key)];
        self.send(Method::POST, path, Some(body), Extra { headers: &headers, raw: None }).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, Some(body), Extra::default()).await
    }

    /// PATCH of a JSON document, with If-Match unless it is empty.
    pub async fn patch(&self, path: &str, if_match: &str, body: &Value) -> Answer {
        let headers = [("If-Match", if_match)];
        let headers = if if_match.is_empty() { &headers[..0] } else { &headers[..] };
        self.send(Method::PATCH, path, Some(body), Extra { headers, raw: None }).await
    }

    /// Any request with one header more.
    pub async fn send_with(&self, method: Method, path: &str, header: (&str, &str), body: Option<&Value>) -> Answer {
        self.send(method, path, body, Extra { headers: &[header], raw: None }).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None, Extra::default()).await
    }

    /// POST of a form, as a page of the service sends it.
    pub async fn post_form(&self, path: &str, headers: &[(&str, &str)], form: &str) -> Answer {
        let raw = Some(("application/x-www-form-urlencoded", form.as_bytes().to_vec()));
        self.send(Method::POST, path, None, Extra { headers, raw }).await
    }

    /// POST of bytes as they are.
    pub async fn post_raw(&self, path: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
        let raw = Some((content_type, body.into()));
        self.send(Method::POST, path, None, Extra { headers: &[], raw }).await
    }

    /// Any request; panics when there is no answer at all.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>, extra: Extra<'_>) -> Answer {
        let asked = format!("{method} {path}");
        let answer = self.try_send(method, path, body, extra).await;
        answer.unwrap_or_else(|error| panic!("no answer to {asked}: {error:?}"))
    }

    /// Any request; an error when there was no whole answer, as when the server is killed.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        extra: Extra<'_>,
    ) -> reqwest::Result<Answer> {
        let mut shown = format!("{method} {path}");
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in extra.headers {
            request = request.header(*name, *value);
            shown = format!("{shown} [{name}: {value}]");
        }
        if let Some(body) = body {
            let text = body.to_string();
            shown = format!("{shown} {}", text.chars().take(SHOWN_CHARS_MAX).collect::<String>());
            request = request.header(CONTENT_TYPE, "application/json").body(text);
        }
        if let Some((content_type, bytes)) = extra.raw {
            if !content_type.is_empty() {
                request = request.header(CONTENT_TYPE, content_type);
            }
            request = request.body(bytes);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = String::from_utf8_lossy(&response.bytes().await?).into_owned();
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Answer { status, headers, json, text, request: shown })
    }
}
