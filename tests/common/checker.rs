//! An independent checker: knows answers, the provider's own record and exported lines, and none of our code.

use super::export::Event;
use super::{amount, millis};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// What the provider's own record says of one reservation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProviderMovements {
    pub charged: u64,
    pub refunded: u64,
    pub charges: usize,
    pub refunds: usize,
}

/// The provider's record by reservation; no idempotency key may have moved money twice.
#[track_caller]
pub fn money_moved(ledger: &[Value]) -> HashMap<String, ProviderMovements> {
    let mut by_key: HashMap<(String, String), usize> = HashMap::new();
    let mut moved: HashMap<String, ProviderMovements> = HashMap::new();
    for entry in ledger {
        let (kind, key) = (entry["kind"].as_str().unwrap(), entry["idempotencyKey"].as_str().unwrap());
        let times = by_key.entry((kind.to_owned(), key.to_owned())).or_default();
        *times += 1;
        assert_eq!(*times, 1, "{kind} under {key} moved money twice");
        let of_it = moved.entry(entry["reservationNo"].as_str().unwrap().to_owned()).or_default();
        match kind {
            "CHARGE" => (of_it.charged, of_it.charges) = (of_it.charged + amount(&entry["amount"]), of_it.charges + 1),
            "REFUND" => {
                (of_it.refunded, of_it.refunds) = (of_it.refunded + amount(&entry["amount"]), of_it.refunds + 1);
            }
            _ => panic!("an unknown movement of money: {entry}"),
        }
    }
    for (reservation_no, moved) in &moved {
        assert!(moved.refunded <= moved.charged, "{reservation_no}: more went back than was taken: {moved:?}");
    }
    moved
}

/// What is wrong with the money of a reservation, given its own answer, its payment's and the provider's record.
/// It may be wrong for a moment while an outcome or a refund is pending; then it is checked again.
pub fn money_disagrees(reservation: &Value, payment: Option<&Value>, moved: ProviderMovements) -> Option<String> {
    let (status, price) = (reservation["status"].as_str().unwrap_or_default(), amount(&reservation["price"]));
    let (charged, refunded, payment_status) = match payment {
        None => (0, 0, ""),
        Some(payment) => (
            amount(&payment["chargedAmount"]),
            amount(&payment["refundedAmount"]),
            payment["status"].as_str().unwrap_or_default(),
        ),
    };
    let wrong =
        |what: &str| Some(format!("{what}: {reservation} with {} and {moved:?}", payment.unwrap_or(&Value::Null)));
    if (charged, refunded) != (moved.charged, moved.refunded) {
        return wrong("our books are not the provider's");
    }
    match status {
        // Nothing is paid twice, and changes are paid and given back. The tests change while that costs nothing.
        "CONFIRMED" | "COMPLETED" if charged.checked_sub(refunded) != Some(price) => wrong("what is confirmed is paid"),
        "CONFIRMED" | "COMPLETED" if payment_status != "APPROVED" => wrong("what is confirmed is approved"),
        "PAYMENT_PENDING" if charged != 0 => wrong("what is paid is confirmed"),
        "PAYMENT_PENDING" if payment_status == "UNKNOWN" => wrong("what is unknown is asked for"),
        // The tests cancel more than a day before the period, when it is free.
        "CANCELLED" | "EXPIRED" if charged != refunded => wrong("the money of what is over goes back"),
        _ => None,
    }
}

/// No two live bookings of a car overlap, by their own answers.
#[track_caller]
pub fn no_overlap(reservations: &[Value]) {
    let mut cars: HashMap<&str, Vec<(i64, i64, &str)>> = HashMap::new();
    for reservation in reservations {
        let live = matches!(reservation["status"].as_str(), Some("PAYMENT_PENDING" | "CONFIRMED"));
        if live {
            let period = |name: &str| millis(reservation[name].as_str().unwrap());
            let number = reservation["reservationNo"].as_str().unwrap();
            let bookings = cars.entry(reservation["carNo"].as_str().unwrap()).or_default();
            bookings.push((period("from"), period("to"), number));
        }
    }
    for (car_no, bookings) in &mut cars {
        bookings.sort_unstable();
        for pair in bookings.windows(2) {
            assert!(pair[0].1 <= pair[1].0, "{car_no} is booked twice: {pair:?}");
        }
    }
}

/// A live booking in the checker's own calendar.
struct Booked {
    from: i64,
    to: i64,
}

/// What a history looks like to somebody who only reads it.
#[derive(Default)]
struct Judge {
    heads: HashMap<(String, u64), u64>,
    calendars: HashMap<String, HashMap<String, Booked>>,
    once: HashMap<(String, String), u64>,
    approved: HashSet<String>,
    confirmed: HashSet<String>,
}

impl Judge {
    fn hear(&mut self, event: &Event) {
        let head = self.heads.entry((event.context.clone(), event.shard)).or_default();
        assert_eq!(event.position, *head + 1, "a gap in {}/{}: {event:?}", event.context, event.shard);
        *head = event.position;
        let Some(reservation_no) = event.reservation_no().map(str::to_owned) else { return };
        let of_once = [
            "reservation.held",
            "reservation.confirmed",
            "reservation.expired",
            "reservation.cancelled",
            "reservation.picked_up",
            "reservation.completed",
            "payment.cancelled",
            "rental.rented",
            "rental.picked_up",
            "rental.returned",
            "rental.cancelled",
        ];
        for kind in of_once.into_iter().filter(|kind| event.is(kind)) {
            let times = self.once.entry((kind.to_owned(), reservation_no.clone())).or_default();
            *times += 1;
            assert_eq!(*times, 1, "{kind} happened twice to {reservation_no}");
        }
        if event.is("payment.approved") {
            let change = event.find("change").and_then(Value::as_u64).unwrap_or_default();
            let times = self.once.entry((format!("payment.approved {change}"), reservation_no.clone())).or_default();
            *times += 1;
            assert_eq!(*times, 1, "payment.approved happened twice to {reservation_no}, change {change}");
        }
        self.keep_calendar(event, &reservation_no);
        if event.is("payment.approved") {
            self.approved.insert(reservation_no);
        } else if event.is("reservation.confirmed") {
            self.confirmed.insert(reservation_no);
        }
    }

    fn keep_calendar(&mut self, event: &Event, reservation_no: &str) {
        let calendar = self.calendars.entry(event.entity.clone()).or_default();
        // What is held beside a booking, for a change of it.
        let beside = format!("{reservation_no} changed");
        let is_here = || event.find("newCarNo").is_none_or(|car_no| *car_no == event.entity.as_str());
        let takes = if event.is("reservation.held") || event.is("reservation.changed") {
            calendar.remove(&beside);
            Some(reservation_no.to_owned())
        } else if event.is("reservation.incoming_held") || (event.is("reservation.change_begun") && is_here()) {
            Some(beside.clone())
        } else {
            None
        };
        if let Some(name) = takes {
            let (from, to) = (event.instant("from").unwrap(), event.instant("to").unwrap());
            let others = calendar.iter().filter(|(other, _)| *other != reservation_no && **other != beside);
            for (other, booked) in others {
                let apart = to <= booked.from || booked.to <= from;
                assert!(apart, "{} is held for {reservation_no} while {other} has it", event.entity);
            }
            calendar.insert(name, Booked { from, to });
        } else if event.is("reservation.incoming_accepted") {
            let held = calendar.remove(&beside).unwrap_or_else(|| panic!("{reservation_no} was not held: {event:?}"));
            calendar.insert(reservation_no.to_owned(), held);
        } else if event.is("reservation.incoming_released") || event.is("reservation.change_ended") {
            calendar.remove(&beside);
        } else if event.is("reservation.moved") {
            assert!(calendar.remove(reservation_no).is_some(), "{reservation_no} was not there: {event:?}");
        } else if ["expired", "cancelled", "completed"].iter().any(|end| event.is(&format!("reservation.{end}"))) {
            let known = calendar.remove(reservation_no);
            assert!(known.is_some(), "{reservation_no} ended without having been held: {event:?}");
        }
    }
}

/// Positions without gaps, no overlap at any moment of the history, nothing twice, nothing confirmed without a
/// payment; returns which reservations were ever held, so that the caller can tell whether it is the whole history.
#[track_caller]
pub fn history_is_sound(events: &[Event]) -> HashSet<String> {
    let mut judge = Judge::default();
    for event in events {
        judge.hear(event);
    }
    // Shards are exported one after the other, so what spans contexts can be told at the end only.
    for reservation_no in &judge.confirmed {
        assert!(judge.approved.contains(reservation_no), "{reservation_no} is confirmed and not paid");
    }
    for (kind, reservation_no) in judge.once.keys() {
        let known = kind != "rental.rented" || judge.confirmed.contains(reservation_no);
        assert!(known, "{reservation_no} is rented and not confirmed");
    }
    let held = judge.once.into_keys().filter(|(kind, _)| kind == "reservation.held");
    held.map(|(_, reservation_no)| reservation_no).collect()
}
