//! What a payment is after an event. Refuses nothing; meets the impossible with [`CorruptHistory`].

use super::{Charge, ChargeStatus, Event, Payment, Refund, State};
use crate::domain::money::Money;
use crate::domain::{BookingRef, CorruptHistory};

/// The payment after an event.
///
/// # Errors
/// When the event cannot have happened in this state.
pub fn evolve(state: State, event: &Event) -> Result<State, CorruptHistory> {
    let nothing_of = |subject: &BookingRef, amount: Money| Payment {
        subject: subject.clone(),
        amount,
        charges: vec![],
        refunds: vec![],
        is_cancelled: false,
    };
    let payment = match (state.0, event) {
        (Some(payment), _) => payment,
        (None, Event::Requested { subject, amount, .. } | Event::Cancelled { subject, amount, .. }) => {
            nothing_of(subject, *amount)
        }
        (None, _) => return Err(CorruptHistory { event: "an answer", state: "nothing was asked" }),
    };
    Ok(State(Some(progress(payment, event)?)))
}

fn progress(mut payment: Payment, event: &Event) -> Result<Payment, CorruptHistory> {
    let impossible = |event, state| Err(CorruptHistory { event, state });
    match event {
        Event::Requested { subject, amount, attempt, change, .. } => {
            let last = payment.charges.last();
            if payment.is_cancelled || last.is_some_and(|last| last.status.is_awaited()) {
                return impossible("requested", "not to be charged");
            }
            if last.is_some_and(|last| last.status.is_approved() && last.change >= *change) {
                return impossible("requested", "paid");
            }
            let is_again = |last: &Charge| last.status == ChargeStatus::NotCharged && last.attempt == *attempt;
            if last.is_some_and(|last| last.attempt >= *attempt && !is_again(last)) {
                return impossible("requested", "a later attempt");
            }
            let is_declined = |last: &Charge| matches!(last.status, ChargeStatus::Declined { .. });
            if last.is_some_and(|last| is_declined(last) || is_again(last)) {
                payment.charges.pop();
            }
            payment.subject = subject.clone();
            let status = ChargeStatus::Requested;
            payment.charges.push(Charge { attempt: *attempt, amount: *amount, change: *change, status });
        }
        Event::Approved { attempt, provider_ref, .. } => {
            let is_cancelled = payment.is_cancelled;
            let charge = payment.charges.iter_mut().find(|charge| charge.attempt == *attempt);
            let charge = charge.filter(|charge| match &charge.status {
                ChargeStatus::Requested | ChargeStatus::Unknown | ChargeStatus::NotCharged => true,
                ChargeStatus::Declined { .. } => is_cancelled,
                ChargeStatus::Approved { .. } => false,
            });
            let Some(charge) = charge else { return impossible("approved", "no attempt under way") };
            charge.status = ChargeStatus::Approved { provider_ref: provider_ref.clone() };
            if is_cancelled {
                let amount = charge.amount;
                give_back(&mut payment, amount)?;
            }
        }
        Event::Declined { attempt, .. } | Event::NotCharged { attempt, .. } | Event::OutcomeUnknown { attempt, .. } => {
            let last = payment.charges.last_mut().filter(|last| last.attempt == *attempt && last.status.is_awaited());
            let Some(last) = last else { return impossible("an answer", "no attempt under way") };
            last.status = if let Event::Declined { reason, .. } = event {
                ChargeStatus::Declined { reason: reason.clone() }
            } else if matches!(event, Event::NotCharged { .. }) {
                ChargeStatus::NotCharged
            } else {
                ChargeStatus::Unknown
            };
        }
        Event::Cancelled { .. } if payment.is_cancelled => return impossible("cancelled", "cancelled"),
        Event::Cancelled { refund, .. } => {
            payment.is_cancelled = true;
            give_back(&mut payment, *refund)?;
        }
        Event::Reduced { refund, .. } => give_back(&mut payment, *refund)?,
        Event::Refunded { .. } => {
            let owed = payment.refunds.iter_mut().find(|refund| !refund.is_made);
            owed.ok_or(CorruptHistory { event: "refunded", state: "no refund outstanding" })?.is_made = true;
        }
    }
    Ok(payment)
}

/// Adds refunds over an amount. The provider gives back of one charge at a time, so they are of the latest charges of which
/// anything is left.
fn give_back(payment: &mut Payment, amount: Money) -> Result<(), CorruptHistory> {
    let mut left = amount;
    let approved = payment.charges.iter().filter(|charge| charge.status.is_approved());
    let mut number = payment.refunds.last().map_or(0, |refund| refund.number);
    let mut refunds = vec![];
    for charge in approved.rev() {
        let of_it = payment.refunds.iter().filter(|refund| refund.attempt == charge.attempt);
        let given = payment.sum(of_it.map(|refund| refund.amount));
        let remains = charge.amount.minus(given).unwrap_or(Money::zero(amount.currency()));
        let part = if remains.minus(left).is_some() { left } else { remains };
        if part.amount() > 0 {
            number += 1;
            refunds.push(Refund { number, attempt: charge.attempt, amount: part, is_made: false });
            left = left.minus(part).unwrap_or(left);
        }
    }
    if left.amount() > 0 {
        return Err(CorruptHistory { event: "a refund", state: "less was charged" });
    }
    payment.refunds.extend(refunds);
    Ok(())
}
