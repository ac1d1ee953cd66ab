//! What a payment makes of a command: whether a charge may be made, and what goes back. Changes nothing.

use super::{ATTEMPTS_MAX, Charge, ChargeStatus, Command, Event, PROVIDER_TEXT_BYTES_MAX, Payment, Rejection, State};
use crate::domain::BookingRef;
use crate::domain::money::Money;

/// Cuts a provider's text to [`PROVIDER_TEXT_BYTES_MAX`]: it comes from outside, and may have any length.
fn kept(text: &str) -> String {
    text[..text.floor_char_boundary(PROVIDER_TEXT_BYTES_MAX)].to_owned()
}

/// What follows from a command, or why it is refused. No events means that it is already as asked for.
///
/// # Errors
/// The rule that the command would break.
pub fn decide(state: &State, command: &Command) -> Result<Vec<Event>, Rejection> {
    match command {
        Command::Request { subject, serial, amount, change } => request(state, subject, *serial, *amount, *change),
        Command::Approve { attempt, provider_ref } => approve(state, *attempt, provider_ref),
        Command::Decline { attempt, reason } => {
            let payment = awaiting(state, *attempt)?;
            Ok(vec![Event::Declined { subject: payment.subject.clone(), attempt: *attempt, reason: kept(reason) }])
        }
        Command::NotCharged { attempt } => {
            let payment = awaiting(state, *attempt)?;
            Ok(vec![Event::NotCharged { subject: payment.subject.clone(), attempt: *attempt }])
        }
        Command::MarkUnknown { attempt } => {
            let payment = awaiting(state, *attempt)?;
            let requested = payment.last_charge().is_some_and(|charge| charge.status == ChargeStatus::Requested);
            let event = Event::OutcomeUnknown { subject: payment.subject.clone(), attempt: *attempt };
            Ok(if requested && !payment.is_cancelled { vec![event] } else { vec![] })
        }
        Command::Cancel { subject, serial, amount, keep } => cancel(state, subject, *serial, *amount, *keep),
        Command::Reduce { subject, due, change } => reduce(state, subject, *due, *change),
        Command::RefundReceipt { number, provider_ref } => refund_done(state, *number, provider_ref),
    }
}

fn request(
    state: &State,
    subject: &BookingRef,
    serial: u64,
    amount: Money,
    change: u32,
) -> Result<Vec<Event>, Rejection> {
    let requested =
        |attempt, amount| Ok(vec![Event::Requested { subject: subject.clone(), serial, amount, attempt, change }]);
    let Some(payment) = &state.0 else { return requested(1, amount) };
    check_subject(payment, subject)?;
    if payment.is_cancelled {
        return Err(Rejection::PaymentCancelled);
    }
    let Some(last) = payment.last_charge() else { return requested(1, amount) };
    let is_same = last.change == change;
    if payment.has_paid(change) {
        return Ok(vec![]);
    }
    match &last.status {
        ChargeStatus::Requested | ChargeStatus::Unknown => Err(Rejection::PaymentInFlight),
        // What is asked for late was of a change that has given way to another.
        ChargeStatus::NotCharged | ChargeStatus::Declined { .. } | ChargeStatus::Approved { .. }
            if change < last.change =>
        {
            Err(Rejection::AttemptOver)
        }
        ChargeStatus::NotCharged if is_same => requested(last.attempt, last.amount),
        ChargeStatus::NotCharged | ChargeStatus::Declined { .. } | ChargeStatus::Approved { .. }
            if last.attempt >= ATTEMPTS_MAX =>
        {
            Err(Rejection::TooManyAttempts)
        }
        ChargeStatus::NotCharged | ChargeStatus::Declined { .. } | ChargeStatus::Approved { .. } => {
            requested(last.attempt + 1, if is_same { last.amount } else { amount })
        }
    }
}

/// Whether the payment is that of the subject. Another reservation of the same number must not pass for paid because this
/// one is.
fn check_subject(payment: &Payment, subject: &BookingRef) -> Result<(), Rejection> {
    if payment.subject.is_same_booking(subject) { Ok(()) } else { Err(Rejection::PaymentNotFound) }
}

fn approve(state: &State, attempt: u32, provider_ref: &str) -> Result<Vec<Event>, Rejection> {
    let payment = state.0.as_ref().ok_or(Rejection::PaymentNotFound)?;
    let charge = payment.charges.iter().find(|charge| charge.attempt == attempt).ok_or(Rejection::AttemptOver)?;
    match &charge.status {
        ChargeStatus::Approved { .. } => return Ok(vec![]),
        // The provider may have been wrong when it said that nothing happened: money taken is always believed.
        ChargeStatus::Requested | ChargeStatus::Unknown | ChargeStatus::NotCharged => {}
        ChargeStatus::Declined { .. } if payment.is_cancelled => {}
        ChargeStatus::Declined { .. } => return Err(Rejection::AttemptOver),
    }
    let (subject, amount, change) = (payment.subject.clone(), charge.amount, charge.change);
    Ok(vec![Event::Approved { subject, amount, attempt, change, provider_ref: kept(provider_ref) }])
}

/// The payment, if the provider's answer to this attempt is still awaited.
fn awaiting(state: &State, attempt: u32) -> Result<&Payment, Rejection> {
    let payment = state.0.as_ref().ok_or(Rejection::PaymentNotFound)?;
    let is_awaited = |charge: &Charge| charge.attempt == attempt && charge.status.is_awaited();
    payment.last_charge().filter(|last| is_awaited(last)).map(|_| payment).ok_or(Rejection::AttemptOver)
}

fn cancel(
    state: &State,
    subject: &BookingRef,
    serial: u64,
    amount: Money,
    keep: Money,
) -> Result<Vec<Event>, Rejection> {
    let nothing = Money::zero(amount.currency());
    let cancelled = |amount, refund| vec![Event::Cancelled { subject: subject.clone(), serial, amount, refund }];
    let Some(payment) = &state.0 else { return Ok(cancelled(amount, nothing)) };
    check_subject(payment, subject)?;
    if payment.is_cancelled {
        return Ok(vec![]);
    }
    Ok(cancelled(payment.amount, payment.kept().minus(keep).unwrap_or(nothing)))
}

fn reduce(state: &State, subject: &BookingRef, due: Money, change: u32) -> Result<Vec<Event>, Rejection> {
    let payment = state.0.as_ref().ok_or(Rejection::PaymentNotFound)?;
    check_subject(payment, subject)?;
    let is_outdated = payment.last_charge().is_some_and(|charge| charge.change > change);
    let excess = payment.kept().minus(due).filter(|excess| excess.amount() > 0);
    let refund = excess.filter(|_| !payment.is_cancelled && !is_outdated);
    Ok(refund.map(|refund| Event::Reduced { subject: payment.subject.clone(), refund }).into_iter().collect())
}

fn refund_done(state: &State, number: u32, provider_ref: &str) -> Result<Vec<Event>, Rejection> {
    let payment = state.0.as_ref().ok_or(Rejection::PaymentNotFound)?;
    let refund = payment.refunds.iter().find(|refund| refund.number == number);
    match refund {
        Some(refund) if refund.is_made => Ok(vec![]),
        Some(refund) if payment.owed() == Some(refund) => Ok(vec![Event::Refunded {
            subject: payment.subject.clone(),
            amount: refund.amount,
            provider_ref: kept(provider_ref),
        }]),
        Some(_) | None => Err(Rejection::NoRefundOutstanding),
    }
}
