//! A customer's bookings for a calendar of their own (iCalendar, RFC 5545): under a secret link, since programs that show
//! calendars cannot sign in.

use super::bookings::Models;
use super::format::Format;
use super::page::{go_to, reservation_address, whole_address};
use super::texts::{Customer, Language};
use crate::actors::api::{Caller, Identity};
use crate::domain::reservation::Status;
use crate::domain::time::Timestamp;
use crate::http::HttpState;
use crate::kit::answer::Answer;
use crate::kit::call::{Call, Nothing};
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::problem::Problem;
use crate::kit::route::{Access, Priority, Route, routes};
use icalendar::{Calendar, Component as _, Event, EventStatus};
use jiff::tz::TimeZone;
use std::sync::Arc;
use warp::http::StatusCode;

/// How many bookings a calendar has at most, the newest.
const BOOKINGS_MAX: usize = 100;
const LINK_CHARS_MAX: usize = 128;

routes! { HttpState, "Pages":
    /// A customer's bookings as a calendar
    CALENDAR = Route::page("/calendar/{link}", Access::Public, "calendar").of(Priority::List) => calendar;
    /// Another link for it
    RENEW = Route::form("/account/calendar", Access::SignedIn, "renewCalendarByForm").unkeyed() => renew;
}

/// The address of a calendar.
pub fn calendar_address(link: &str) -> String {
    format!("/calendar/{link}.ics")
}

async fn calendar(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    let link = call.segment("link");
    let link = link.strip_suffix(".ics").filter(|link| link.len() <= LINK_CHARS_MAX).ok_or_else(Problem::not_found)?;
    let customer_no = http.service.accounts()?.customer_of_calendar(link).await?.ok_or_else(Problem::not_found)?;
    // Whoever has the link sees what its owner sees of bookings.
    let identity = Identity::Customer { customer_no: customer_no.clone(), registered: true };
    let caller = Caller { identity, command_id_prefix: None };
    let language = Language::of(&call.headers);
    let t = Customer::of(language);
    let format = Format::new(language, http.settings.time_zone.clone(), http.service.now());
    let bookings = http.service.reservations_of(&caller, &customer_no, None, BOOKINGS_MAX).await??;
    let (mut shown, mut models) = (Calendar::new(), Models::default());
    shown.name(t.calendar_name);
    for view in bookings.items {
        let booking = &view.booking;
        let (status, is_shown) = match booking.status {
            Status::PaymentPending { .. } => (EventStatus::Tentative, true),
            Status::Confirmed { .. } | Status::Completed { .. } => (EventStatus::Confirmed, true),
            // So that a calendar takes away what it has shown.
            Status::Cancelled { .. } => (EventStatus::Cancelled, true),
            Status::Expired { .. } | Status::NoShow { .. } => (EventStatus::Cancelled, false),
        };
        if !is_shown {
            continue;
        }
        let no = &booking.subject.reservation_no;
        let model = models.of(&http, &booking.subject.car_no).await;
        let [starts, ends, stamp] = [booking.period.from(), booking.period.to(), booking.made_at].map(in_utc);
        let mut event = Event::new();
        event
            .uid(&format!("{no}@rentcar"))
            .add_property("DTSTAMP", stamp)
            .add_property("DTSTART", starts)
            .add_property("DTEND", ends)
            .summary(&t.calendar_entry(&model))
            .description(&format!("{} · {}", format.period(booking.period), format.money(booking.price)))
            .url(&whole_address(&http, &call, &reservation_address(no)))
            .status(status);
        shown.push(event);
    }
    Ok(Answer::text(StatusCode::OK, "text/calendar; charset=utf-8", shown.to_string()).uncached())
}

/// As `DATE-TIME` in UTC (RFC 5545, section 3.3.5).
fn in_utc(at: Timestamp) -> String {
    let zoned = jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or_default().to_zoned(TimeZone::UTC);
    zoned.strftime("%Y%m%dT%H%M%SZ").to_string()
}

async fn renew(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    let session = call.credentials.session.clone().ok_or_else(Problem::unauthenticated)?;
    if call.caller().customer().is_none() {
        return Ok(go_to("/account"));
    }
    http.service.accounts()?.renew_calendar(&call.caller(), &session.account_no).await?;
    Ok(go_to("/account?done=calendar#calendar"))
}
