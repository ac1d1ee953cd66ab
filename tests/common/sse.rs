//! Reads Server-Sent Events.

use super::client::Api;
use futures_util::StreamExt;
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its `id:`.
    pub id: String,
    /// Its `event:`; empty when it has none.
    pub name: String,
    /// Its `data:` as JSON.
    pub data: Value,
}

/// A stream of events that is open.
pub struct Events {
    body: futures_util::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    buffer: Vec<u8>,
}

impl Events {
    /// Opens the live events of a customer, from now on or after an id.
    pub async fn open(api: &Api, customer_no: &str, last_event_id: Option<&str>) -> Events {
        let resume: Vec<_> = last_event_id.map(|id| ("Last-Event-ID", id)).into_iter().collect();
        Events::open_with(api, customer_no, &resume).await
    }

    /// The same, with these headers.
    pub async fn open_with(api: &Api, customer_no: &str, headers: &[(&str, &str)]) -> Events {
        let address = format!("{}{}", api.url, super::path("/v1/customers/{}/events", customer_no));
        // A client of its own: the shared one bounds the time of a whole answer, and this answer has no end.
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        let mut request = client.get(address).header("Accept", "text/event-stream");
        if let Some(token) = &api.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200, "the live events were refused");
        let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        assert!(content_type.is_some_and(|text| text.starts_with("text/event-stream")), "{content_type:?}");
        Events { body: response.bytes_stream().boxed(), buffer: vec![] }
    }

    /// The next event that carries data, or `None` when none came within the bound or the stream ended.
    pub async fn next_within(&mut self, bound: Duration) -> Option<Event> {
        let until = Instant::now() + bound;
        loop {
            while let Some(block) = self.block() {
                if let Some(event) = parse(&block) {
                    return Some(event);
                }
            }
            let chunk = timeout_at(until, self.body.next()).await.ok()??.ok()?;
            self.buffer.extend_from_slice(&chunk);
        }
    }

    /// Reads until the stream ends.
    pub async fn until_end(&mut self) {
        while let Some(Ok(_)) = self.body.next().await {}
    }

    /// The next so many events; panics when they do not come in time.
    pub async fn take(&mut self, count: usize, bound: Duration) -> Vec<Event> {
        let mut events = vec![];
        while events.len() < count {
            match self.next_within(bound).await {
                Some(event) => events.push(event),
                None => panic!("only {} of {count} live events came: {events:?}", events.len()),
            }
        }
        events
    }

    /// Takes a whole block off the buffer, if there is one.
    fn block(&mut self) -> Option<String> {
        let end = self.buffer.windows(2).position(|pair| pair == b"\n\n")?;
        let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
        Some(String::from_utf8_lossy(&block).into_owned())
    }
}

/// An event of a block; `None` for comments, retry hints and whatever else carries no data.
fn parse(block: &str) -> Option<Event> {
    let (mut id, mut name, mut data) = (String::new(), String::new(), vec![]);
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => value.clone_into(&mut id),
            "event" => value.clone_into(&mut name),
            "data" => data.push(value),
            _ => {}
        }
    }
    if data.is_empty() {
        return None;
    }
    let data = data.join("\n");
    let data = serde_json::from_str(&data).unwrap_or_else(|error| panic!("{data:?} is not JSON: {error}"));
    Some(Event { id, name, data })
}
