//! A copy of everything that is stored about a customer, for themselves: personal data, bookings and history as one JSON document.
//! It is read in pages while it is sent, so that it takes no more memory than a list does.

use super::HttpState;
use super::admin::until;
use super::customers::CustomerDto;
use super::my_page::HistoryEntryDto;
use super::payments::PaymentDto;
use super::rentals::RentalDto;
use super::reservations::ReservationDto;
use crate::actors::api::{Caller, MyPage, ReservationView};
use crate::actors::service::{AccountView, Backup, Interrupted};
use crate::domain::account::Session;
use crate::domain::ids::CustomerNo;
use crate::kit::answer::{Answer, Exclusive, JSON};
use crate::kit::call::{Call, Nothing};
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::numbers::GivenNumber;
use crate::kit::problem::Problem;
use crate::kit::route::{Access, Priority, Reply, Route, routes};
use crate::kit::values::Instant;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;
use warp::Reply as _;
use warp::http::HeaderValue;
use warp::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};

const ITEMS_PER_READ: usize = 100;

routes! { HttpState, "Customers":
    /// A copy of all data about a customer
    ///
    /// Personal data, the account, every booking with its payment and rental, and the whole history, as a download. The licence number is
    /// whole only for customers who ask for their own data. The body breaks off, and is no JSON then, when something cannot be
    /// read any more.
    OWN_DATA = Route::get("/v1/customers/{customerNo}/data", Access::Owner, "downloadCustomerData").of(Priority::List)
        .answered(&[Reply::ok::<OwnDataDto>("As it is now.").with_headers(&["Content-Disposition"])],
            &["customer_not_found"]) => own_data;
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct OwnDataDto {
    customer_no: GivenNumber,
    /// `null` for who is not registered or erased, or whose personal data is lost.
    customer: Option<CustomerDto>,
    erased: bool,
    /// How the customer signs in here; `null` without an account.
    account: Option<OwnAccountDto>,
    /// The newest first.
    bookings: Vec<OwnBookingDto>,
    /// The newest first.
    history: Vec<HistoryEntryDto>,
}

/// An account with a mail address and a password, both of which are kept as hashes only.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct OwnAccountDto {
    account_no: String,
    opened_at: Instant,
    password_at: Instant,
    disabled: bool,
    /// The oldest first.
    sessions: Vec<OwnSessionDto>,
}

/// A session: a browser that has signed in.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct OwnSessionDto {
    signed_in_at: Instant,
    used_at: Instant,
    /// At the latest.
    expires: Instant,
}

impl OwnAccountDto {
    fn of(view: &AccountView) -> Option<OwnAccountDto> {
        let open = view.account.open()?;
        let session = |session: &Session| OwnSessionDto {
            signed_in_at: Instant(session.at),
            used_at: Instant(session.used_at),
            expires: Instant(session.expires_at),
        };
        Some(OwnAccountDto {
            account_no: view.account_no.to_string(),
            opened_at: Instant(open.opened_at),
            password_at: Instant(open.password_at),
            disabled: open.disabled_at.is_some(),
            sessions: open.sessions.iter().map(session).collect(),
        })
    }
}

/// A booking with all that belongs to it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct OwnBookingDto {
    reservation: ReservationDto,
    payment: Option<PaymentDto>,
    rental: Option<RentalDto>,
}

impl OwnBookingDto {
    fn of(view: &ReservationView, caller: &Caller) -> OwnBookingDto {
        let booking = &view.booking;
        OwnBookingDto {
            reservation: ReservationDto::of(view),
            payment: view
                .payment
                .as_ref()
                .map(|payment| PaymentDto::of(&booking.subject, booking.price, Some(payment))),
            rental: view.rental.as_ref().map(|rental| RentalDto::of(rental, caller)),
        }
    }
}

async fn own_data(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    let caller = call.caller();
    let customer_no: CustomerNo = call.number()?.resolve(&http.service, &caller).await?;
    let MyPage { customer, erased, .. } = http.service.my_page(&caller, &customer_no, None, 1).await??;
    let is_own = caller.customer().is_some_and(|own| own.is_same(&customer_no));
    let shown = if is_own { CustomerDto::whole } else { CustomerDto::of };
    let head = OwnDataDto {
        customer_no: (&customer_no).into(),
        customer: customer.map(shown),
        erased,
        account: http.service.account_of(&customer_no).await?.as_ref().and_then(OwnAccountDto::of),
        bookings: vec![],
        history: vec![],
    };
    let head = serde_json::to_string(&head).map_err(|_| Problem::internal())?;
    // The lists are last, in this order, and empty.
    let head = head.strip_suffix(r#"],"history":[]}"#).ok_or_else(Problem::internal)?.to_owned();
    let reading =
        Reading { http: Arc::clone(&http), caller, customer_no, next: Some(Next::Bookings(None)), is_first: true };
    let pieces = stream::once(std::future::ready(Ok(Bytes::from(head)))).chain(stream::unfold(reading, Reading::piece));
    let pieces: Backup = until(pieces.boxed(), Box::pin(http.end_of(call.credentials)));
    let mut answer = Answer::stream(warp::reply::stream(Exclusive::new(pieces)).into_response()).uncached();
    answer.headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    let attachment = HeaderValue::from_static("attachment; filename=\"customer-data.json\"");
    answer.headers.insert(CONTENT_DISPOSITION, attachment);
    Ok(answer)
}

/// What is read next, after a cursor.
enum Next {
    Bookings(Option<String>),
    History(Option<String>),
}

struct Reading {
    http: Arc<HttpState>,
    caller: Caller,
    customer_no: CustomerNo,
    next: Option<Next>,
    /// Whether the list has no item yet.
    is_first: bool,
}

impl Reading {
    async fn piece(mut self) -> Option<(Result<Bytes, Interrupted>, Reading)> {
        let next = self.next.take()?;
        match self.read(next).await {
            Ok(text) => Some((Ok(Bytes::from(text)), self)),
            Err(problem) => {
                tracing::warn!(code = problem.code, "copy of customer data interrupted");
                Some((Err(Interrupted), self))
            }
        }
    }

    async fn read(&mut self, next: Next) -> Result<String, Problem> {
        let (service, caller, customer_no) = (&self.http.service, &self.caller, &self.customer_no);
        let mut text = String::new();
        match next {
            Next::Bookings(cursor) => {
                let page = service.reservations_of(caller, customer_no, cursor.as_deref(), ITEMS_PER_READ).await??;
                let items = page.items.iter().map(|view| OwnBookingDto::of(view, caller));
                append(&mut text, items, &mut self.is_first)?;
                self.next = Some(if page.next_cursor.is_some() {
                    Next::Bookings(page.next_cursor)
                } else {
                    self.is_first = true;
                    text.push_str(r#"],"history":["#);
                    Next::History(None)
                });
            }
            Next::History(cursor) => {
                let page = service.my_page(caller, customer_no, cursor.as_deref(), ITEMS_PER_READ).await??;
                append(&mut text, page.entries.into_iter().map(HistoryEntryDto::of), &mut self.is_first)?;
                if page.next_cursor.is_some() {
                    self.next = Some(Next::History(page.next_cursor));
                } else {
                    text.push_str("]}");
                }
            }
        }
        Ok(text)
    }
}

/// Adds items to a list, with commas between.
fn append<T: Serialize>(text: &mut String, items: impl Iterator<Item = T>, is_first: &mut bool) -> Result<(), Problem> {
    for item in items {
        if !std::mem::take(is_first) {
            text.push(',');
        }
        text.push_str(&serde_json::to_string(&item).map_err(|_| Problem::internal())?);
    }
    Ok(())
}
