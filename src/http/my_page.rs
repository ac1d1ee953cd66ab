//! My Page: a customer's personal data and history, and the same history live.

use super::HttpState;
use super::customers::CustomerDto;
use crate::actors::api::{EVENT_ID_CHARS_MAX, FeedEntry, LiveEntry};
use crate::domain::ids::CustomerNo;
use crate::kit::answer::{Answer, Exclusive};
use crate::kit::call::Call;
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::numbers::GivenNumber;
use crate::kit::problem::Problem;
use crate::kit::route::{Access, Priority, Reply, Route, routes};
use crate::kit::values::{Cursor, Instant, Limit, MoneyDto, check_text};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use schemars::{JsonSchema, json_schema};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use warp::Reply as _;
use warp::http::{HeaderName, HeaderValue};
use warp::sse::Event;

/// Tells nginx and similar proxies not to buffer the events.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The `retry` of the stream: how long a client waits before it reconnects.
const RECONNECT: Duration = Duration::from_secs(1);

routes! { HttpState, "Customers":
    /// My Page: personal data and history, newest first
    MY_PAGE = Route::get("/v1/customers/{customerNo}/page", Access::Owner, "getMyPage").of(Priority::List)
        .answered(&[Reply::ok::<MyPageDto>("As it is now.")], &["customer_not_found"]) => page;
    /// My Page, live
    EVENTS = Route::get("/v1/customers/{customerNo}/events", Access::Owner, "followEvents").of(Priority::List)
        .with_header("Last-Event-ID", "Go on after this event.", |_| {
            json_schema!({ "type": "string", "maxLength": EVENT_ID_CHARS_MAX })
        })
        .answered(&[Reply::of(200, "Server-Sent Events: `id`, `event` (the kind) and `data` (a HistoryEntry). What \
            happens to a booking at once comes in the order of its steps. The stream goes on until the caller leaves.",
            "text/event-stream", |_| json_schema!({ "type": "string" })).with_headers(&["Cache-Control", "X-Accel-Buffering"])],
            &["customer_not_found", "invalid_last_event_id", "too_many_streams"]) => events;
}

#[derive(Debug, Deserialize, JsonSchema)]
struct PageQuery {
    /// The nextCursor of the page before.
    cursor: Option<Cursor>,
    #[serde(default)]
    limit: Limit,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventsQuery {
    /// Go on after this event, for those who cannot send `Last-Event-ID`. Browsers may send an empty one.
    #[schemars(length(max = EVENT_ID_CHARS_MAX))]
    last_event_id: Option<String>,
}

/// Something that happened to a booking.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct HistoryEntryDto {
    at: Instant,
    #[schemars(regex(pattern = r"^[a-z_]+\.[a-z_]+$"), example = &"rental.picked_up")]
    kind: String,
    reservation_no: GivenNumber,
    car_no: GivenNumber,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Instant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<MoneyDto>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl HistoryEntryDto {
    pub(super) fn of(entry: FeedEntry) -> HistoryEntryDto {
        HistoryEntryDto {
            at: Instant(entry.at),
            kind: entry.kind,
            reservation_no: (&entry.reservation_no).into(),
            car_no: (&entry.car_no).into(),
            from: entry.period.map(|period| Instant(period.from())),
            to: entry.period.map(|period| Instant(period.to())),
            amount: entry.amount.map(MoneyDto::from),
            note: entry.note,
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct MyPageDto {
    customer_no: GivenNumber,
    customer: Option<CustomerDto>,
    erased: bool,
    items: Vec<HistoryEntryDto>,
    next_cursor: Option<String>,
    /// The live events resume after this page without a gap from here.
    last_event_id: String,
}

async fn page(http: Arc<HttpState>, call: Call, query: PageQuery) -> Outcome {
    let PageQuery { cursor, limit } = query;
    let caller = call.caller();
    let customer_no: CustomerNo = call.number()?.resolve(&http.service, &caller).await?;
    let my_page =
        http.service.my_page(&caller, &customer_no, cursor.as_ref().map(|cursor| cursor.0.as_str()), limit.0).await??;
    let dto = MyPageDto {
        customer_no: (&customer_no).into(),
        customer: my_page.customer.map(CustomerDto::of),
        erased: my_page.erased,
        items: my_page.entries.into_iter().map(HistoryEntryDto::of).collect(),
        next_cursor: my_page.next_cursor,
        last_event_id: my_page.last_event_id,
    };
    Ok(Answer::ok(&dto).uncached())
}

async fn events(http: Arc<HttpState>, call: Call, query: EventsQuery) -> Outcome {
    follow(http, call, query, event).await
}

/// A customer's events, each told in one way or another.
pub(super) async fn follow(
    http: Arc<HttpState>,
    call: Call,
    query: EventsQuery,
    event: fn(LiveEntry) -> Event,
) -> Outcome {
    let customer_no = call.number()?;
    let last_event_id = last_event_id(&call, &query)?;
    let caller = call.caller();
    let customer_no: CustomerNo = customer_no.resolve(&http.service, &caller).await?;
    let permit = place(&http)?;
    let live =
        http.service.live(&caller, &customer_no, last_event_id.as_deref()).await?.map_err(|_| unknown_event())?;
    let keep_alive = http.settings.keep_alive;
    Ok(streamed(live.map(event).boxed(), keep_alive, http.end_of(call.credentials), permit))
}

/// The place of a stream among those that may be open.
pub(super) fn place(http: &HttpState) -> Result<OwnedSemaphorePermit, Problem> {
    let place = Arc::clone(&http.streams).try_acquire_owned();
    place.map_err(|_| Problem::new("too_many_streams", "too many event streams are open").retrying(5_000))
}

/// A stream of events until the caller leaves or `end` comes. It holds its permit for as long.
pub(super) fn streamed<P: Send + 'static>(
    live: BoxStream<'static, Event>,
    keep_alive: Duration,
    end: impl Future<Output = ()> + Send + 'static,
    place: P,
) -> Answer {
    // A comment at once, so that the client sees that it is connected.
    let greeting = Event::default().retry(RECONNECT).comment("connected");
    let events = stream::once(std::future::ready(greeting)).chain(live).take_until(Box::pin(end)).map(move |event| {
        let _ = &place;
        Ok::<_, Infallible>(event)
    });
    let events = Exclusive::new(events.boxed());
    // warp ends the stream with the events, whatever the interval is.
    let events = warp::sse::keep_alive().interval(keep_alive).stream(events);
    let mut answer = Answer::stream(warp::sse::reply(events).into_response()).uncached();
    answer.headers.insert(UNBUFFERED, HeaderValue::from_static("no"));
    answer
}

fn event(live: LiveEntry) -> Event {
    let event = Event::default().id(live.id).event(live.entry.kind.clone());
    // A plain structure can always be serialised.
    let data = serde_json::to_string(&HistoryEntryDto::of(live.entry)).unwrap_or_default();
    event.data(data)
}

/// The id to resume after, from the header that browsers send or from the query; browsers may send an empty one.
pub(super) fn last_event_id(call: &Call, query: &EventsQuery) -> Result<Option<String>, Problem> {
    let id = match call.headers.get("last-event-id") {
        Some(value) => std::str::from_utf8(value.as_bytes()).map_err(|_| unknown_event())?,
        None => query.last_event_id.as_deref().unwrap_or_default(),
    };
    if id.is_empty() {
        return Ok(None);
    }
    check_text(id, EVENT_ID_CHARS_MAX).map_err(|_| unknown_event())?;
    Ok(Some(id.to_owned()))
}

pub(super) fn unknown_event() -> Problem {
    Problem::new("invalid_last_event_id", "the id to resume after is not one that this service gave")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{CarNo, ReservationNo};
    use crate::domain::time::Timestamp;
    use http_body_util::BodyExt;
    use tokio::sync::Semaphore;
    use tokio_util::sync::CancellationToken;

    fn picked_up(id: &str) -> LiveEntry {
        let entry = FeedEntry {
            at: Timestamp::MIN,
            kind: "rental.picked_up".to_owned(),
            reservation_no: ReservationNo::parse("r1").expect("a number"),
            car_no: CarNo::parse("car01").expect("a number"),
            period: None,
            amount: None,
            note: None,
        };
        LiveEntry { id: id.to_owned(), entry }
    }

    #[tokio::test]
    async fn events_are_told_with_their_ids_until_the_service_ends() {
        let shutdown = CancellationToken::new();
        let streams = Arc::new(Semaphore::new(1));
        let place = Arc::clone(&streams).try_acquire_owned().expect("free");
        let live = stream::iter([event(picked_up("7"))]).chain(stream::pending()).boxed();
        let answer = streamed(live, Duration::from_millis(10), shutdown.clone().cancelled_owned(), place);
        let mut response = answer.into_response();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        assert_eq!(response.headers().get_all("cache-control").iter().collect::<Vec<_>>(), ["no-store"]);
        let mut text = String::new();
        // The comment that keeps the connection alive is the last thing waited for.
        while !text.contains("\n:\n") {
            let frame = response.body_mut().frame().await.expect("more").expect("no error");
            text.push_str(std::str::from_utf8(frame.data_ref().expect("data")).expect("UTF-8"));
        }
        assert!(text.starts_with(":connected\n"), "{text}");
        assert!(text.contains("event:rental.picked_up\n") && text.contains("id:7\n"), "{text}");
        assert!(text.contains("\"reservationNo\":\"r1\""), "{text}");
        assert_eq!(streams.available_permits(), 0);
        shutdown.cancel();
        response.body_mut().collect().await.expect("ends");
        drop(response);
        assert_eq!(streams.available_permits(), 1);
    }
}
