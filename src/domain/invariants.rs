//! What must be true of the states, whatever runs concurrently, crashes or is repeated: named checks, used by
//! tests, by simulation and by `rentcar verify`. Never consulted by a decision, and never repairs anything.
//!
//! They hold at every instant, also while policies lag behind; what is merely not done *yet* is no violation.

use super::fleet;
use super::ids::{CarNo, RentalNo};
use super::money::Money;
use super::payment::{self, Cancelled, ChargeStatus, Payment};
use super::rental;
use super::reservation::{self, Booking, CLOSED_KEPT_MAX, Status};
use super::time::Period;
use std::sync::Arc;

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{invariant} is broken for {entity}: {detail}")]
pub struct Violation {
    /// The permanent name of the check.
    pub invariant: &'static str,
    /// The number of the car, payment, reservation or rental for which it is broken.
    pub entity: String,
    /// How; free of personal data.
    pub detail: String,
}

impl Violation {
    /// `detail` must hold no personal data: it is printed.
    pub fn new(invariant: &'static str, entity: &impl ToString, detail: impl Into<String>) -> Self {
        Violation { invariant, entity: entity.to_string(), detail: detail.into() }
    }
}

fn ensure(
    holds: bool,
    invariant: &'static str,
    entity: &impl ToString,
    detail: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation::new(invariant, entity, detail())) }
}

/// Whether the money of a payment was ever taken.
fn charged(payment: &Payment) -> bool {
    payment.charges.iter().any(|charge| matches!(charge.status, ChargeStatus::Approved { .. }))
}

/// What a car is taken for does not overlap: live bookings, the periods to which bookings are being changed, and
/// maintenance blocks. A booking and its own change may.
///
/// # Errors
/// The two that overlap.
pub fn no_overlap(calendar: &reservation::State) -> Result<(), Violation> {
    let bookings = calendar.bookings.iter().map(|(no, booking)| (booking.period, no.as_str()));
    let changes =
        calendar.bookings.iter().filter_map(|(no, booking)| Some((booking.change_here()?.period, no.as_str())));
    let incoming = calendar.incoming.iter().map(|(no, incoming)| (incoming.period, no.as_str()));
    let blocks = calendar.blocks.iter().map(|(no, block)| (block.period, no.as_str()));
    let mut taken: Vec<(Period, &str)> = bookings.chain(changes).chain(incoming).chain(blocks).collect();
    taken.sort_unstable();
    for (at, (period, one)) in taken.iter().enumerate() {
        let later = taken.iter().skip(at + 1).take_while(|(next, _)| next.from() < period.to());
        if let Some((_, next)) = later.into_iter().find(|(_, next)| next != one) {
            let car_no = calendar.bookings.values().next().map_or("", |booking| booking.subject.car_no.as_str());
            return Err(Violation::new("no_overlap", &car_no, format!("{one} overlaps {next}")));
        }
    }
    Ok(())
}

/// No more than one customer has the car.
///
/// # Errors
/// Two bookings that are both picked up.
pub fn out_once(calendar: &reservation::State) -> Result<(), Violation> {
    let is_out = |booking: &&Arc<Booking>| matches!(booking.status, Status::Confirmed { picked_up_at: Some(_) });
    let mut out = calendar.bookings.values().filter(is_out).map(|booking| &booking.subject);
    match (out.next(), out.next()) {
        (Some(one), Some(other)) => {
            let detail = format!("{} and {} both have it", one.reservation_no, other.reservation_no);
            Err(Violation::new("out_once", &one.car_no, detail))
        }
        (_, None) | (None, Some(_)) => Ok(()),
    }
}

/// A calendar keeps its live bookings under their own numbers, and of the closed ones the last few only.
///
/// # Errors
/// What is out of order.
pub fn calendar_in_order(car_no: &CarNo, calendar: &reservation::State) -> Result<(), Violation> {
    const NAME: &str = "calendar_in_order";
    for (no, booking) in &calendar.bookings {
        ensure(booking.subject.reservation_no == *no, NAME, no, || "it stands under another number".to_owned())?;
        ensure(booking.status.is_live(), NAME, no, || "it is closed and stands among the live".to_owned())?;
    }
    for booking in calendar.bookings.values().chain(&calendar.closed) {
        let subject = &booking.subject;
        ensure(subject.car_no == *car_no, NAME, car_no, || format!("{} is of another car", subject.reservation_no))?;
    }
    for (no, incoming) in &calendar.incoming {
        let subject = &incoming.subject;
        let is_here = subject.car_no == *car_no && subject.reservation_no == *no;
        ensure(is_here, NAME, no, || "it comes to another car, or stands under another number".to_owned())?;
        ensure(!calendar.bookings.contains_key(no), NAME, no, || "it has come and is still to come".to_owned())?;
    }
    for booking in &calendar.closed {
        let no = &booking.subject.reservation_no;
        ensure(!booking.status.is_live(), NAME, no, || "it is live and stands among the closed".to_owned())?;
    }
    ensure(calendar.closed.len() <= CLOSED_KEPT_MAX, NAME, car_no, || "it remembers too many closed".to_owned())?;
    let waits = |booking: &Arc<Booking>| booking.status.is_live();
    let is_empty = calendar.incoming.is_empty() && !calendar.bookings.values().any(waits);
    let retired_empty = !calendar.retired || is_empty;
    ensure(retired_empty, NAME, car_no, || "it is retired and has live bookings".to_owned())
}

/// The fee kept and the amount given back are together what was paid: the price, or nothing when it was unpaid.
///
/// # Errors
/// When they are not.
pub fn quote_adds_up(booking: &Booking) -> Result<(), Violation> {
    let (quote, was_paid) = match booking.status {
        Status::Cancelled { quote, .. } => (quote, false),
        Status::NoShow { quote, .. } => (quote, true),
        Status::PaymentPending { .. }
        | Status::Confirmed { .. }
        | Status::Expired { .. }
        | Status::Completed { .. } => return Ok(()),
    };
    let sum = quote.fee.amount().checked_add(quote.refund.amount());
    let legal = sum == Some(booking.price.amount()) || (!was_paid && sum == Some(0));
    let same_currency = [quote.fee, quote.refund].iter().all(|part| part.currency() == booking.price.currency());
    ensure(legal && same_currency, "quote_adds_up", &booking.subject.reservation_no, || {
        format!("fee {} and refund {} of {}", quote.fee.amount(), quote.refund.amount(), booking.price.amount())
    })
}

/// A fee that was waived is not kept, and only that of a cancellation is ever waived.
///
/// # Errors
/// When it is kept, or the reservation is not cancelled.
pub fn waived_costs_nothing(booking: &Booking) -> Result<(), Violation> {
    let Some(waiver) = booking.waiver() else { return Ok(()) };
    let is_free = matches!(booking.status, Status::Cancelled { quote, .. } if quote.fee.amount() == 0);
    ensure(is_free, "waived_costs_nothing", &booking.subject.reservation_no, || {
        format!("its fee was waived ({}), and it is {:?}", waiver.code(), booking.status)
    })
}

/// What was refunded of a charge, and what is to be, never exceeds it; and nothing is charged twice: not the reservation,
/// and not one of its changes.
///
/// # Errors
/// The amounts that do, or what was charged twice.
pub fn money_conserved(payment: &Payment) -> Result<(), Violation> {
    const NAME: &str = "money_conserved";
    let no = payment.subject.reservation_no.payment();
    let approved = || payment.charges.iter().filter(|charge| matches!(charge.status, ChargeStatus::Approved { .. }));
    for charge in &payment.charges {
        let refunds = payment.refunds.iter().filter(|refund| refund.attempt == charge.attempt);
        let given: u64 = refunds.fold(0, |sum, refund| sum.saturating_add(refund.amount.amount()));
        let taken = if approved().any(|one| one == charge) { charge.amount.amount() } else { 0 };
        ensure(given <= taken, NAME, &no, || {
            format!("{given} goes back of attempt {}, which took {taken}", charge.attempt)
        })?;
        let times = approved().filter(|one| one.change == charge.change).count();
        ensure(times <= 1, NAME, &no, || format!("change {} was paid {times} times", charge.change))?;
    }
    let is_known = |attempt| payment.charges.iter().any(|charge| charge.attempt == attempt);
    ensure(payment.refunds.iter().all(|refund| is_known(refund.attempt)), NAME, &no, || {
        "something goes back of no charge".to_owned()
    })
}

/// No rental ever exists without an approved payment. The payment may have been cancelled since.
///
/// # Errors
/// When the payment does not exist, is another reservation's, or was never approved.
pub fn no_rental_without_approved_payment(rental: &rental::State, payment: &payment::State) -> Result<(), Violation> {
    const NAME: &str = "no_rental_without_approved_payment";
    let Some(rental) = &rental.0 else { return Ok(()) };
    let rental_no = rental.subject.reservation_no.rental();
    let Some(payment) = &payment.0 else { return Err(Violation::new(NAME, &rental_no, "there is no payment")) };
    let is_its_own = payment.subject.is_same_booking(&rental.subject);
    ensure(is_its_own, NAME, &rental_no, || "the payment is another reservation's".to_owned())?;
    ensure(charged(payment), NAME, &rental_no, || "the payment was never approved".to_owned())
}

/// A confirmed reservation has a payment of its own that covers its whole price and the fees of its changes. So have a completed one, a
/// no-show, and a cancelled one with a fee or a refund: only a paid reservation gets either when it is cancelled.
///
/// # Errors
/// When it is not.
pub fn confirmed_has_approved_payment(booking: &Booking, payment: &payment::State) -> Result<(), Violation> {
    const NAME: &str = "confirmed_has_approved_payment";
    let was_paid = match booking.status {
        Status::Confirmed { .. } | Status::Completed { .. } | Status::NoShow { .. } => true,
        Status::Cancelled { quote, .. } => quote.fee.amount() > 0 || quote.refund.amount() > 0,
        Status::PaymentPending { .. } | Status::Expired { .. } => false,
    };
    if !was_paid {
        return Ok(());
    }
    let no = &booking.subject.reservation_no;
    let Some(payment) = &payment.0 else { return Err(Violation::new(NAME, no, "there is no payment")) };
    let is_its_own = payment.subject.is_same_booking(&booking.subject);
    ensure(is_its_own, NAME, no, || "the payment is another reservation's".to_owned())?;
    ensure(charged(payment), NAME, no, || "the payment was never approved".to_owned())?;
    let is_kept = matches!(booking.status, Status::Confirmed { .. } | Status::Completed { .. });
    let paid = if is_kept { payment.kept() } else { payment.charged() };
    let covers = paid.minus(booking.due()).is_some() && (booking.last_change() > 0 || payment.amount == booking.price);
    ensure(covers, NAME, no, || format!("{} is paid of {}", paid.amount(), booking.due().amount()))
}

/// How a payment that was cancelled keeps something else than the fee of its end and those of its changes.
fn keeps(payment: &Payment, booking: &Booking, fee: Money) -> Option<String> {
    let kept = fee.plus(booking.change_fees());
    (Some(payment.kept()) != kept).then(|| format!("{} is kept, {kept:?} should be", payment.kept().amount()))
}

/// What was promised when a reservation was cancelled is given back: exactly the quoted refund.
///
/// # Errors
/// When more or less goes back.
pub fn refund_honours_quote(booking: &Booking, payment: &payment::State) -> Result<(), Violation> {
    let (Status::Cancelled { quote, .. }, Some(payment)) = (booking.status, &payment.0) else { return Ok(()) };
    if !payment.is_cancelled || !charged(payment) {
        return Ok(());
    }
    // One that was cancelled before it was confirmed gives back whatever was taken.
    let confirmed = quote.fee.amount() > 0 || quote.refund.amount() > 0;
    keeps(payment, booking, quote.fee)
        .map_or(Ok(()), |detail| ensure(!confirmed, "refund_honours_quote", &booking.subject.reservation_no, || detail))
}

/// A reservation that is confirmed or completed keeps its payment: the payment is cancelled only after the reservation
/// has ended.
///
/// # Errors
/// When the payment was cancelled.
pub fn fulfilled_stays_paid(booking: &Booking, payment: &payment::State) -> Result<(), Violation> {
    let is_fulfilled = matches!(booking.status, Status::Confirmed { .. } | Status::Completed { .. });
    let cancelled = payment.0.as_ref().is_some_and(|payment| payment.is_cancelled);
    ensure(!(is_fulfilled && cancelled), "fulfilled_stays_paid", &booking.subject.reservation_no, || {
        "its payment was cancelled".to_owned()
    })
}

/// A no-show keeps its fee: its payment stays as it is when nothing goes back, and otherwise gives back exactly the rest.
/// The payment may not have heard of it yet.
///
/// # Errors
/// When more or less goes back.
pub fn no_show_keeps_its_fee(booking: &Booking, payment: &payment::State) -> Result<(), Violation> {
    let (Status::NoShow { quote, .. }, Some(payment)) = (booking.status, &payment.0) else { return Ok(()) };
    let no = &booking.subject.reservation_no;
    match payment.status() {
        payment::Status::Approved { .. } => Ok(()),
        payment::Status::Cancelled(Cancelled::Charged { .. }) if quote.refund.amount() > 0 => {
            let wrong = keeps(payment, booking, quote.fee);
            wrong.map_or(Ok(()), |detail| Err(Violation::new("no_show_keeps_its_fee", no, detail)))
        }
        payment::Status::Cancelled(_)
        | payment::Status::Requested
        | payment::Status::Unknown
        | payment::Status::NotCharged
        | payment::Status::Declined { .. } => {
            Err(Violation::new("no_show_keeps_its_fee", no, "its payment does not keep it".to_owned()))
        }
    }
}

/// A payment belongs to the reservation of its number, and asks for its price, if that was never changed.
///
/// # Errors
/// When it does not.
pub fn payment_belongs_to_reservation(payment: &Payment, booking: Option<&Booking>) -> Result<(), Violation> {
    const NAME: &str = "payment_belongs_to_reservation";
    let no = payment.subject.reservation_no.payment();
    let booking = booking.ok_or_else(|| Violation::new(NAME, &no, "there is no such reservation"))?;
    let is_its_own = booking.subject.is_same_booking(&payment.subject);
    ensure(is_its_own, NAME, &no, || "it is another reservation's".to_owned())?;
    ensure(booking.last_change() > 0 || booking.price == payment.amount, NAME, &no, || {
        "it is not over the reservation's price".to_owned()
    })
}

/// A rental is of the car and the period that were reserved, and only of a reservation that was confirmed. It may not have
/// heard of a change yet.
///
/// # Errors
/// When it is not.
pub fn rental_follows_reservation(rental: &rental::Rental, booking: Option<&Booking>) -> Result<(), Violation> {
    const NAME: &str = "rental_follows_reservation";
    let no = rental.subject.reservation_no.rental();
    let booking = booking.ok_or_else(|| Violation::new(NAME, &no, "there is no such reservation"))?;
    let is_its_own = booking.subject.is_same_booking(&rental.subject);
    ensure(is_its_own, NAME, &no, || "it is another reservation's".to_owned())?;
    let is_as_reserved = booking.subject == rental.subject && booking.period == rental.period;
    let is_changed = booking.last_change() > 0;
    ensure(is_as_reserved || is_changed, NAME, &no, || "it is for another car or period".to_owned())?;
    let confirmed = match booking.status {
        Status::Confirmed { .. } | Status::Completed { .. } | Status::NoShow { .. } => true,
        // One without a price leaves no trace of having been confirmed.
        Status::Cancelled { quote, .. } => {
            quote.fee.amount() > 0 || quote.refund.amount() > 0 || booking.price.amount() == 0
        }
        Status::PaymentPending { .. } | Status::Expired { .. } => false,
    };
    ensure(confirmed, NAME, &no, || "the reservation was never confirmed".to_owned())
}

/// What the ledger says keeps a car is a rental of that car. The ledger may be late, but it makes nothing up.
///
/// # Errors
/// When there is no such rental, or it is of another car.
pub fn ledger_matches_rentals(car_no: &CarNo, rental_no: &RentalNo, rental: &rental::State) -> Result<(), Violation> {
    const NAME: &str = "ledger_matches_rentals";
    let rental = rental.0.as_ref();
    let rental = rental.ok_or_else(|| Violation::new(NAME, car_no, format!("{rental_no} does not exist")))?;
    let may_be = rental.subject.car_no == *car_no || rental.has_moved;
    ensure(may_be, NAME, car_no, || format!("{rental_no} is of another car"))
}

/// The calendar takes what it knows of a car from the ledger, and so is never ahead of it.
///
/// # Errors
/// When it is.
pub fn calendar_follows_ledger(
    car_no: &CarNo,
    calendar: &reservation::State,
    ledger: &fleet::State,
) -> Result<(), Violation> {
    let known = calendar.car.as_ref().map_or(0, |car| car.revision);
    let revision = ledger.0.as_ref().map_or(0, |car| car.revision);
    ensure(known <= revision, "calendar_follows_ledger", car_no, || {
        format!("the calendar has revision {known}, the ledger {revision}")
    })
}
