//! Whether a payment of ours and the provider's own record of its reservation say the same.
//!
//! What is merely under way is no difference: an attempt whose outcome is awaited may be in the provider's record or
//! not, and so may a refund that is owed. Everything else has to agree, key by key. Asks nobody.

use super::ids::{PaymentNo, ReservationNo};
use super::money::{Currency, Money};
use super::payment::{Charge, ChargeStatus, Payment, Refund};
use std::sync::Arc;

/// A movement of money in the provider's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    /// Our idempotency key, under which the provider moved it.
    pub key: Arc<str>,
    /// How much moved, in the provider's words.
    pub amount: Money,
}

/// What the provider's record says of one reservation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProviderMovements {
    /// From the customer.
    pub charges: Vec<Movement>,
    /// Back to the customer.
    pub refunds: Vec<Movement>,
}

/// How the two records differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Difference {
    /// The provider has taken money that is not recorded here as charged.
    ChargeNotRecorded,
    /// Money is recorded here as charged, and is not in the provider's record.
    ChargeNotFound,
    /// Both know the charge, with different amounts.
    ChargeAmountsDiffer,
    /// The provider has given money back, and that is not recorded here.
    RefundNotRecorded,
    /// Money is recorded here as given back, and is not in the provider's record.
    RefundNotFound,
    /// Both know the refund, with different amounts.
    RefundAmountsDiffer,
    /// The provider has given back more than it had taken.
    RefundedAboveCharge,
    /// The provider has taken money more than once.
    ChargedTwice,
    /// The provider has moved money for a reservation that is not known here.
    ReservationUnknown,
}

impl Difference {
    /// All there are.
    pub const ALL: [Difference; 9] = [
        Difference::ChargeNotRecorded,
        Difference::ChargeNotFound,
        Difference::ChargeAmountsDiffer,
        Difference::RefundNotRecorded,
        Difference::RefundNotFound,
        Difference::RefundAmountsDiffer,
        Difference::RefundedAboveCharge,
        Difference::ChargedTwice,
        Difference::ReservationUnknown,
    ];

    /// The permanent machine code.
    pub const fn code(self) -> &'static str {
        match self {
            Difference::ChargeNotRecorded => "CHARGE_NOT_RECORDED",
            Difference::ChargeNotFound => "CHARGE_NOT_FOUND",
            Difference::ChargeAmountsDiffer => "CHARGE_AMOUNTS_DIFFER",
            Difference::RefundNotRecorded => "REFUND_NOT_RECORDED",
            Difference::RefundNotFound => "REFUND_NOT_FOUND",
            Difference::RefundAmountsDiffer => "REFUND_AMOUNTS_DIFFER",
            Difference::RefundedAboveCharge => "REFUNDED_ABOVE_CHARGE",
            Difference::ChargedTwice => "CHARGED_TWICE",
            Difference::ReservationUnknown => "RESERVATION_UNKNOWN",
        }
    }

    /// What it means, for a person.
    pub const fn sentence(self) -> &'static str {
        match self {
            Difference::ChargeNotRecorded => "the provider has taken money that is not recorded here as charged",
            Difference::ChargeNotFound => "it is recorded here as charged, and the provider knows nothing of it",
            Difference::ChargeAmountsDiffer => "the provider has charged another amount than is recorded here",
            Difference::RefundNotRecorded => "the provider has given money back, and that is not recorded here",
            Difference::RefundNotFound => "it is recorded here as refunded, and the provider knows nothing of it",
            Difference::RefundAmountsDiffer => "the provider has given back another amount than is due here",
            Difference::RefundedAboveCharge => "the provider has given back more than it had taken",
            Difference::ChargedTwice => "the provider has taken money more than once for one reservation",
            Difference::ReservationUnknown => "the provider has moved money for a reservation that is not known here",
        }
    }
}

/// A difference, with both amounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The payment of the reservation, whether it exists or not.
    pub payment_no: PaymentNo,
    /// How the records differ.
    pub difference: Difference,
    /// What is recorded here: of the charge, or of the refund.
    pub here: Money,
    /// What the provider's record says of the same.
    pub there: Money,
}

/// The differences between a payment as committed and the provider's record of its reservation. `known` says whether
/// the reservation is known here, which it may be without its payment.
pub fn compare(no: &ReservationNo, payment: Option<&Payment>, known: bool, moved: &ProviderMovements) -> Vec<Finding> {
    let finding = |(difference, here, there)| Finding { payment_no: no.payment(), difference, here, there };
    let currency = |moved: &[Movement]| moved.first().map(|movement| movement.amount.currency());
    let currency = payment
        .map(|payment| payment.amount.currency())
        .or(currency(&moved.charges))
        .or(currency(&moved.refunds))
        .unwrap_or(Currency::KRW);
    let found = match payment {
        None if !known => unknown(currency, moved),
        Some(_) | None => {
            let mut found = charges(payment, currency, moved);
            found.extend(refunds(payment, currency, moved));
            found
        }
    };
    found.into_iter().map(finding).collect()
}

type Found = Vec<(Difference, Money, Money)>;

fn unknown(currency: Currency, moved: &ProviderMovements) -> Found {
    let there = if moved.charges.is_empty() { &moved.refunds } else { &moved.charges };
    if there.is_empty() {
        return vec![];
    }
    vec![(Difference::ReservationUnknown, Money::zero(currency), total(there, currency))]
}

/// What is due by our record under a key.
struct Expected {
    key: String,
    amount: Money,
    /// Whether the movement must be there; else it may be there already.
    is_made: bool,
}

fn due_charges(payment: Option<&Payment>) -> Vec<Expected> {
    let expected = |payment: &Payment, charge: &Charge| {
        let is_made = match &charge.status {
            ChargeStatus::Approved { .. } => true,
            ChargeStatus::Requested | ChargeStatus::Unknown => false,
            ChargeStatus::NotCharged | ChargeStatus::Declined { .. } => return None,
        };
        Some(Expected { key: payment.charge_key_of(charge.attempt), amount: charge.amount, is_made })
    };
    let charges = payment.into_iter().flat_map(|payment| payment.charges.iter().map(move |charge| (payment, charge)));
    charges.filter_map(|(payment, charge)| expected(payment, charge)).collect()
}

fn due_refunds(payment: Option<&Payment>) -> Vec<Expected> {
    let refunds = payment.into_iter().flat_map(|payment| payment.refunds.iter().map(move |refund| (payment, refund)));
    let expected = |(payment, refund): (&Payment, &Refund)| Expected {
        key: payment.refund_key(refund.number),
        amount: refund.amount,
        is_made: refund.is_made,
    };
    refunds.map(expected).collect()
}

/// Missing or different, where our record says what there must be.
fn missing(
    due: &[Expected],
    moved: &[Movement],
    (not_found, differ): (Difference, Difference),
) -> impl Iterator<Item = (Difference, Money, Money)> {
    due.iter().filter_map(move |Expected { key, amount, is_made }| {
        match moved.iter().find(|movement| *movement.key == **key) {
            Some(movement) if movement.amount != *amount => Some((differ, *amount, movement.amount)),
            None if *is_made => Some((not_found, *amount, Money::zero(amount.currency()))),
            Some(_) | None => None,
        }
    })
}

fn charges(payment: Option<&Payment>, currency: Currency, moved: &ProviderMovements) -> Found {
    let due = due_charges(payment);
    let codes = (Difference::ChargeNotFound, Difference::ChargeAmountsDiffer);
    let mut found: Found = missing(&due, &moved.charges, codes).collect();
    let matched = due.iter().filter(|due| moved.charges.iter().any(|movement| *movement.key == *due.key)).count();
    let here = payment.map_or(Money::zero(currency), Payment::charged);
    match &moved.charges[..] {
        all if all.len() == matched => {}
        [only] => found.push((Difference::ChargeNotRecorded, Money::zero(currency), only.amount)),
        all => found.push((Difference::ChargedTwice, here, total(all, currency))),
    }
    found
}

fn refunds(payment: Option<&Payment>, currency: Currency, moved: &ProviderMovements) -> Found {
    let due = due_refunds(payment);
    let (taken, given) = (total(&moved.charges, currency), total(&moved.refunds, currency));
    if !moved.refunds.is_empty() && taken.minus(given).is_none() {
        let here = payment.map_or(Money::zero(currency), Payment::refunded);
        return vec![(Difference::RefundedAboveCharge, here, given)];
    }
    let missing = missing(&due, &moved.refunds, (Difference::RefundNotFound, Difference::RefundAmountsDiffer));
    let is_due = |movement: &&Movement| due.iter().any(|due| *due.key == *movement.key);
    let other = moved.refunds.iter().filter(|movement| !is_due(movement));
    let other = other.map(|movement| (Difference::RefundNotRecorded, Money::zero(currency), movement.amount));
    missing.chain(other).collect()
}

/// The sum of the movements in the currency of the first; those in another currency are left out.
fn total(moved: &[Movement], currency: Currency) -> Money {
    let currency = moved.first().map_or(currency, |movement| movement.amount.currency());
    let alike = moved.iter().filter(|movement| movement.amount.currency() == currency);
    let sum = alike.fold(0_u64, |sum, movement| sum.saturating_add(movement.amount.amount()));
    Money::new(sum.min(Money::AMOUNT_MAX), currency).unwrap_or(Money::zero(currency))
}

#[cfg(test)]
mod tests {
    use super::super::BookingRef;
    use super::super::ids::{CarNo, CustomerNo};
    use super::super::payment::{Cancelled, Status};
    use super::*;
    use Difference as D;

    const PRICE: u64 = 1_000;

    fn won(amount: u64) -> Money {
        Money::new(amount, Currency::KRW).unwrap()
    }

    fn no() -> ReservationNo {
        ReservationNo::parse("r1").unwrap()
    }

    fn payment(status: Status) -> Payment {
        let car_no = CarNo::parse("car01").unwrap();
        let subject = BookingRef { reservation_no: no(), customer_no: CustomerNo::anonymous(), car_no };
        Payment::of(subject, won(PRICE), 2, status)
    }

    fn approved() -> Status {
        Status::Approved { provider_ref: "ch_1".to_owned() }
    }

    fn cancelled(refund: u64, refunded: bool) -> Status {
        Status::Cancelled(Cancelled::Charged { refund: won(refund), refunded })
    }

    fn movements(moved: &[(&str, u64)]) -> Vec<Movement> {
        moved.iter().map(|(key, amount)| Movement { key: (*key).into(), amount: won(*amount) }).collect()
    }

    /// Ours in the given state beside the provider's charges and refunds: the differences, with both amounts.
    fn check(ours: Option<Status>, charges: &[(&str, u64)], refunds: &[(&str, u64)], then: &[(Difference, u64, u64)]) {
        let moved = ProviderMovements { charges: movements(charges), refunds: movements(refunds) };
        let found = compare(&no(), ours.map(payment).as_ref(), true, &moved);
        let found: Vec<_> =
            found.iter().map(|found| (found.difference, found.here.amount(), found.there.amount())).collect();
        assert_eq!(found, then, "{moved:?}");
    }

    const OURS: (&str, u64) = ("pay-r1/2", PRICE);

    #[test]
    fn what_both_say_is_no_difference() {
        check(None, &[], &[], &[]);
        check(Some(approved()), &[OURS], &[], &[]);
        check(Some(cancelled(900, true)), &[OURS], &[("pay-r1/refund", 900)], &[]);
        check(Some(cancelled(0, true)), &[OURS], &[], &[]);
        check(Some(Status::Declined { reason: "no".to_owned() }), &[], &[], &[]);
        check(Some(Status::Cancelled(Cancelled::Uncharged)), &[], &[], &[]);
    }

    #[test]
    fn what_is_under_way_may_have_happened_there_or_not() {
        for status in [Status::Requested, Status::Unknown, Status::Cancelled(Cancelled::OutcomeUnknown)] {
            check(Some(status.clone()), &[], &[], &[]);
            check(Some(status), &[OURS], &[], &[]);
        }
        check(Some(cancelled(900, false)), &[OURS], &[], &[]);
        check(Some(cancelled(900, false)), &[OURS], &[("pay-r1/refund", 900)], &[]);
    }

    #[test]
    fn what_was_taken_there_and_is_not_recorded_here_is_found() {
        let then = [(D::ChargeNotRecorded, 0, PRICE)];
        check(Some(Status::NotCharged), &[OURS], &[], &then);
        check(Some(Status::Declined { reason: "no".to_owned() }), &[OURS], &[], &then);
        check(Some(Status::Cancelled(Cancelled::Uncharged)), &[OURS], &[], &then);
        check(None, &[OURS], &[], &then);
        check(Some(Status::Requested), &[("pay-r1/1", PRICE)], &[], &then);
    }

    #[test]
    fn what_is_recorded_here_as_taken_and_unknown_there_is_found() {
        check(Some(approved()), &[], &[], &[(D::ChargeNotFound, PRICE, 0)]);
        check(Some(cancelled(900, false)), &[], &[], &[(D::ChargeNotFound, PRICE, 0)]);
        let under_another_key = [(D::ChargeNotFound, PRICE, 0), (D::ChargeNotRecorded, 0, PRICE)];
        check(Some(approved()), &[("pay-r1/1", PRICE)], &[], &under_another_key);
    }

    #[test]
    fn amounts_that_differ_are_found_even_while_the_payment_is_under_way() {
        for status in [approved(), Status::Unknown] {
            check(Some(status), &[("pay-r1/2", 1_001)], &[], &[(D::ChargeAmountsDiffer, PRICE, 1_001)]);
        }
        for refunded in [true, false] {
            let then = [(D::RefundAmountsDiffer, 900, 899)];
            check(Some(cancelled(900, refunded)), &[OURS], &[("pay-r1/refund", 899)], &then);
        }
        let euros = Money::new(PRICE, Currency::parse("EUR").unwrap()).unwrap();
        let charges = vec![Movement { key: OURS.0.into(), amount: euros }];
        let moved = ProviderMovements { charges, refunds: vec![] };
        let found = compare(&no(), Some(&payment(approved())), true, &moved);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].difference, found[0].there), (D::ChargeAmountsDiffer, euros));
    }

    #[test]
    fn refunds_that_only_one_side_knows_are_found() {
        check(Some(cancelled(900, true)), &[OURS], &[], &[(D::RefundNotFound, 900, 0)]);
        check(Some(approved()), &[OURS], &[("pay-r1/refund", 900)], &[(D::RefundNotRecorded, 0, 900)]);
        let twice = [("pay-r1/refund", 900), ("by-hand", 100)];
        check(Some(cancelled(900, true)), &[OURS], &twice, &[(D::RefundNotRecorded, 0, 100)]);
    }

    #[test]
    fn more_given_back_than_taken_is_found() {
        let twice = [("pay-r1/refund", 900), ("by-hand", 900)];
        check(Some(cancelled(900, true)), &[OURS], &twice, &[(D::RefundedAboveCharge, 900, 1_800)]);
        let then = [(D::ChargeNotFound, PRICE, 0), (D::RefundedAboveCharge, 900, 900)];
        check(Some(cancelled(900, true)), &[], &[("pay-r1/refund", 900)], &then);
    }

    #[test]
    fn money_taken_twice_for_one_reservation_is_found() {
        let twice = [("pay-r1/1", PRICE), OURS];
        check(Some(approved()), &twice, &[], &[(D::ChargedTwice, PRICE, 2 * PRICE)]);
        check(Some(Status::Unknown), &twice, &[], &[(D::ChargedTwice, 0, 2 * PRICE)]);
        check(None, &twice, &[], &[(D::ChargedTwice, 0, 2 * PRICE)]);
    }

    #[test]
    fn money_moved_for_a_reservation_that_is_not_known_here_is_found() {
        let moved = ProviderMovements { charges: movements(&[("k", 5)]), refunds: vec![] };
        let found = compare(&no(), None, false, &moved);
        assert_eq!(found.len(), 1);
        let Finding { payment_no, difference, here, there } = &found[0];
        assert_eq!((payment_no.as_str(), *difference), ("pay-r1", D::ReservationUnknown));
        assert_eq!((*here, *there), (won(0), won(5)));
        assert!(compare(&no(), None, false, &ProviderMovements::default()).is_empty());
    }

    #[test]
    fn sums_beyond_what_money_can_be_stay_at_its_bound() {
        let moved = ProviderMovements { charges: movements(&[("a", Money::AMOUNT_MAX), ("b", 1)]), refunds: vec![] };
        assert_eq!(compare(&no(), None, false, &moved)[0].there.amount(), Money::AMOUNT_MAX);
    }
}
