//! What has happened to a reservation, a customer or a car. The feed of its customer has whatever happens to a reservation,
//! and the audit has who did what; both are read, and put together.

use super::{Result, Service};
use crate::actors::api::{AuditEntry, AuditFilter, Caller, CursorPage, FeedEntry, InvalidCursor};
use crate::domain::ids::{CarNo, CustomerNo, ReservationNo};
use crate::domain::money::Money;
use crate::domain::time::{Period, Timestamp};
use crate::domain::who::Who;
use std::collections::BTreeSet;

/// Something that has happened to a car, a reservation or a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// When, by the clock of the service.
    pub at: Timestamp,
    /// Who did it; `None` of what has followed by itself, and where it is not known.
    pub by: Option<Who>,
    /// What: the kind of the event.
    pub kind: String,
    /// The reservation that it is about, if it is about one.
    pub reservation_no: Option<ReservationNo>,
    /// The period, if the event has one.
    pub period: Option<Period>,
    /// The amount, if the event has one.
    pub amount: Option<Money>,
    /// A further word, such as why a payment was declined, or a code.
    pub note: Option<String>,
}

/// How many entries of a feed are read at once.
const FEED_PER_READ: usize = 200;
/// How many entries of a customer's feed are looked at for a reservation. A customer such as a shop may have more.
const FEED_LOOKED_AT_MAX: usize = 2_000;
/// The most acts that are read about one number.
const ACTS_MAX: usize = 200;

/// The answer, or that the caller's cursor is none of ours.
type Cursored<T> = std::result::Result<T, InvalidCursor>;

/// What a number is of: numbers of cars, reservations and customers may be the same.
#[derive(Debug, Clone, Copy)]
enum Of {
    Car,
    Customer,
    Reservation,
}

impl Of {
    /// Whether what was done is about one of these.
    fn includes(self, what: &str) -> bool {
        let is_of_car = what.starts_with("fleet.")
            || matches!(what, "reservation.blocked" | "reservation.unblocked" | "reservation.retired");
        let is_of_customer = what.starts_with("customer.");
        match self {
            Of::Car => is_of_car,
            Of::Customer => is_of_customer,
            Of::Reservation => !is_of_car && !is_of_customer,
        }
    }
}

impl From<FeedEntry> for HistoryEntry {
    fn from(entry: FeedEntry) -> HistoryEntry {
        HistoryEntry {
            at: entry.at,
            by: None,
            kind: entry.kind,
            reservation_no: Some(entry.reservation_no),
            period: entry.period,
            amount: entry.amount,
            note: entry.note,
        }
    }
}

impl From<AuditEntry> for HistoryEntry {
    fn from(act: AuditEntry) -> HistoryEntry {
        let AuditEntry { at, by, what, number: _, why } = act;
        HistoryEntry { at, by, kind: what, reservation_no: None, period: None, amount: None, note: why }
    }
}

/// Notes who did it at the entry that an act has led to; returns the act if there is none.
fn noted(entries: &mut [HistoryEntry], act: AuditEntry) -> Option<AuditEntry> {
    let is_same = |entry: &HistoryEntry| {
        let number = entry.reservation_no.as_ref().map(ReservationNo::as_str);
        let is_kind = entry.kind == act.what
            // A booking that goes to another car is told as one that is changed.
            || (entry.kind == "reservation.changed" && act.what == "reservation.moved");
        entry.by.is_none() && entry.at == act.at && is_kind && number == act.number.as_deref()
    };
    let Some(entry) = entries.iter_mut().find(|entry| is_same(entry)) else { return Some(act) };
    entry.by = act.by;
    entry.note = entry.note.take().or(act.why);
    None
}

fn newest_first(entries: &mut [HistoryEntry]) {
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.at));
}

impl Service {
    async fn acts(
        &self,
        of: Of,
        number: &str,
        within: (Option<Timestamp>, Option<Timestamp>),
    ) -> Result<Vec<AuditEntry>> {
        let (from, to) = within;
        let filter = AuditFilter { from, to, by: None, number: Some(number.to_owned()) };
        // Without a cursor there is no wrong one.
        let page = self.audit(&filter, None, ACTS_MAX).await?;
        let items = page.map_or_else(|_| vec![], |page| page.items);
        Ok(items.into_iter().filter(|act| of.includes(&act.what)).collect())
    }

    /// What has happened to a reservation, its payment and its rental, the newest first, and whether that is all.
    ///
    /// # Errors
    /// When there is no such reservation that the caller may see, or it cannot be read.
    pub async fn reservation_history(
        &self,
        caller: &Caller,
        reservation_no: &ReservationNo,
    ) -> Result<(Vec<HistoryEntry>, bool)> {
        let customer_no = self.booking_of(caller, reservation_no).await?.subject.customer_no;
        let (mut entries, mut cursor, mut looked_at) = (Vec::new(), None::<String>, 0);
        let is_whole = loop {
            // A cursor that the page before gave is none that is refused.
            let Ok(page) = self.my_page(caller, &customer_no, cursor.as_deref(), FEED_PER_READ).await? else {
                break false;
            };
            looked_at += page.entries.len();
            let of_it = page.entries.into_iter().filter(|entry| entry.reservation_no == *reservation_no);
            entries.extend(of_it.map(HistoryEntry::from));
            cursor = page.next_cursor;
            if cursor.is_none() || looked_at >= FEED_LOOKED_AT_MAX {
                break cursor.is_none();
            }
        };
        let acts = self.acts(Of::Reservation, reservation_no.as_str(), (None, None)).await?;
        let left: Vec<AuditEntry> = acts.into_iter().filter_map(|act| noted(&mut entries, act)).collect();
        entries.extend(left.into_iter().map(HistoryEntry::from));
        newest_first(&mut entries);
        Ok((entries, is_whole))
    }

    /// A page of what has happened to a customer and to their bookings, the newest first.
    ///
    /// # Errors
    /// When nothing is known of the customer that the caller may see, or it cannot be read.
    pub async fn customer_history(
        &self,
        caller: &Caller,
        customer_no: &CustomerNo,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Cursored<CursorPage<HistoryEntry>>> {
        let (before, cursor) = match cursor.map(|cursor| split(cursor).ok_or(InvalidCursor)).transpose() {
            Ok(None) => (None, None),
            Ok(Some((before, cursor))) => (Some(before), Some(cursor)),
            Err(invalid) => return Ok(Err(invalid)),
        };
        let page = match self.my_page(caller, customer_no, cursor, limit).await? {
            Ok(page) => page,
            Err(invalid) => return Ok(Err(invalid)),
        };
        let numbers: BTreeSet<String> = page.entries.iter().map(|entry| entry.reservation_no.to_string()).collect();
        let mut entries: Vec<HistoryEntry> = page.entries.into_iter().map(HistoryEntry::from).collect();
        let last = entries.last().map(|last| last.at);
        for number in numbers {
            for act in self.acts(Of::Reservation, &number, (last, None)).await? {
                noted(&mut entries, act);
            }
        }
        // What was done to the customer stands on the page of its time.
        let from = last.filter(|_| page.next_cursor.is_some());
        let acts = self.acts(Of::Customer, customer_no.as_str(), (from, before)).await?;
        entries.extend(acts.into_iter().map(HistoryEntry::from));
        newest_first(&mut entries);
        let next_cursor = page.next_cursor.zip(last).map(|(next, last)| format!("{}.{next}", last.as_millis()));
        Ok(Ok(CursorPage { items: entries, next_cursor }))
    }

    /// What people have done with a car, the newest first. What has become of its bookings is in those.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn car_history(&self, car_no: &CarNo) -> Result<Vec<HistoryEntry>> {
        let acts = self.acts(Of::Car, car_no.as_str(), (None, None)).await?;
        Ok(acts.into_iter().map(HistoryEntry::from).collect())
    }
}

/// The instant of the last entry before a page, and where the feed goes on.
fn split(cursor: &str) -> Option<(Timestamp, &str)> {
    let (before, cursor) = cursor.split_once('.')?;
    Some((Timestamp::from_millis(before.parse().ok()?)?, cursor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::who::WhoKind;

    fn entry(at_ms: i64, kind: &str) -> HistoryEntry {
        HistoryEntry {
            at: Timestamp::from_millis(at_ms).unwrap(),
            by: None,
            kind: kind.to_owned(),
            reservation_no: ReservationNo::parse("r1").ok(),
            period: None,
            amount: None,
            note: None,
        }
    }

    fn act(at_ms: i64, what: &str, number: &str) -> AuditEntry {
        let by = Some(Who { kind: WhoKind::Staff, id: "minji".to_owned() });
        let at = Timestamp::from_millis(at_ms).unwrap();
        AuditEntry { at, by, what: what.to_owned(), number: Some(number.to_owned()), why: Some("GOODWILL".to_owned()) }
    }

    #[test]
    fn who_did_it_is_noted_where_it_was_done_and_once() {
        let mut entries = [entry(5, "reservation.changed"), entry(5, "rental.changed"), entry(3, "reservation.held")];
        assert_eq!(noted(&mut entries, act(5, "reservation.moved", "r1")), None);
        assert_eq!(entries[0].by.as_ref().map(|by| by.id.as_str()), Some("minji"));
        assert_eq!(entries[0].note.as_deref(), Some("GOODWILL"));
        for other in
            [act(5, "reservation.changed", "r1"), act(3, "reservation.held", "r2"), act(4, "reservation.held", "r1")]
        {
            assert_eq!(noted(&mut entries, other.clone()), Some(other));
        }
        assert!(entries[1..].iter().all(|entry| entry.by.is_none()));
    }

    #[test]
    fn what_was_done_to_a_car_is_not_that_of_a_customer_or_a_reservation_of_the_same_number() {
        for (what, of_car, of_customer) in [
            ("fleet.amended", true, false),
            ("reservation.blocked", true, false),
            ("customer.erased", false, true),
            ("reservation.cancelled", false, false),
            ("payment.requested", false, false),
        ] {
            let expected = [of_car, of_customer, !of_car && !of_customer];
            assert_eq!([Of::Car, Of::Customer, Of::Reservation].map(|of| of.includes(what)), expected, "{what}");
        }
    }
}
