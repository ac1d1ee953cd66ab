//! The rows of the booking process.

use super::{Action, LedgerNote, NewCalendar, RentalStanding, Row, StepName, Target, Undo};
use crate::domain::money::Money;
use crate::domain::payment::{ChargeStatus, Outstanding, Payment};
use crate::domain::reservation::Status;
use crate::domain::{fleet, payment, rental, reservation};

/// The process. Of the rows of a target the first that applies is its next step.
pub static TABLE: [Row; 24] = [
    Row {
        name: StepName::Confirm,
        target: Target::Reservation,
        when: "is held, and its payment is approved",
        does: "confirms it",
        moves_money: false,
        undo: Undo::Cancellation,
        step: |known, _, _| {
            let is_held = matches!(known.status?, Status::PaymentPending { .. });
            let reservation_no = known.subject.reservation_no.clone();
            let confirm = reservation::Command::Confirm { reservation_no };
            (is_held && known.is_approved()).then_some((Action::Reservation(confirm), None))
        },
    },
    Row {
        name: StepName::Expire,
        target: Target::Reservation,
        when: "is held, and no payment is approved or in doubt",
        does: "ends the hold when its time is over",
        moves_money: false,
        undo: Undo::Nothing,
        step: |known, _, _| {
            let Status::PaymentPending { hold_until } = known.status? else { return None };
            let reservation_no = known.subject.reservation_no.clone();
            let expire = reservation::Command::Expire { reservation_no };
            (!known.is_in_doubt()).then_some((Action::Reservation(expire), Some(hold_until)))
        },
    },
    Row {
        name: StepName::Complete,
        target: Target::Reservation,
        when: "is out, and its rental is returned",
        does: "completes it",
        moves_money: false,
        undo: Undo::Nothing,
        step: |known, _, _| {
            let is_out = matches!(known.status?, Status::Confirmed { picked_up_at: Some(_) });
            let reservation_no = known.subject.reservation_no.clone();
            let complete = reservation::Command::Complete { reservation_no };
            (is_out && known.rental == Some(RentalStanding::Returned)).then_some((Action::Reservation(complete), None))
        },
    },
    Row {
        name: StepName::NoShow,
        target: Target::Reservation,
        when: "is confirmed, and its car is not picked up",
        does: "closes it as a no-show when the grace after its period is over",
        moves_money: false,
        undo: Undo::Nothing,
        step: |known, terms, _| {
            let due = known.booking?.no_show_at(terms)?;
            let reservation_no = known.subject.reservation_no.clone();
            Some((Action::Reservation(reservation::Command::CompleteNoShow { reservation_no }), Some(due)))
        },
    },
    Row {
        name: StepName::MakeChange,
        target: Target::Reservation,
        when: "has a change under way that is held, and paid if it costs more",
        does: "makes the change",
        moves_money: false,
        undo: Undo::Nothing,
        step: |known, _, _| {
            let (booking, change) = known.change()?;
            let is_paid = || known.payment.is_some_and(|payment| payment.has_paid(change.no));
            let is_due = known.is_held(booking, change) && (booking.payable(change).is_none() || is_paid());
            let (reservation_no, change_no) = (known.subject.reservation_no.clone(), change.no);
            let make = reservation::Command::MakeChange { reservation_no, change_no };
            is_due.then_some((Action::Reservation(make), None))
        },
    },
    Row {
        name: StepName::EndChange,
        target: Target::Reservation,
        when: "has a change under way that is not paid, and of which no charge is in doubt",
        does: "gives the change up when its hold is over, or at once when it is declined or refused",
        moves_money: false,
        undo: Undo::Nothing,
        step: |known, _, _| {
            let (_, change) = known.change()?;
            let (is_declined, in_doubt) = match known.charge_of(change) {
                Some(ChargeStatus::Declined { .. }) => (true, false),
                Some(ChargeStatus::Requested | ChargeStatus::Unknown) => (false, true),
                Some(ChargeStatus::NotCharged | ChargeStatus::Approved { .. }) | None => (false, false),
            };
            let at_once = is_declined || known.new_calendar == NewCalendar::Refused;
            let (reservation_no, change_no) = (known.subject.reservation_no.clone(), change.no);
            let end = reservation::Command::EndChange { reservation_no, change_no };
            (!in_doubt).then_some((Action::Reservation(end), (!at_once).then_some(change.hold_until)))
        },
    },
    Row {
        name: StepName::HoldIncoming,
        target: Target::NewCalendar,
        when: "has a change to another car under way, whose calendar does not hold the new period",
        does: "holds the new period there",
        moves_money: false,
        undo: Undo::By(StepName::ReleaseIncoming),
        step: |known, _, now| {
            let (booking, change) = known.change()?;
            let NewCalendar::Lacks(car_no) = known.new_calendar else { return None };
            let leads_there = change.car_no.as_str() == car_no && now < change.hold_until;
            let hold = reservation::Command::HoldIncoming(Box::new(booking.incoming()?));
            leads_there.then_some((Action::Reservation(hold), None))
        },
    },
    Row {
        name: StepName::AcceptIncoming,
        target: Target::NewCalendar,
        when: "has moved to another car, whose calendar still holds it as incoming",
        does: "takes it into that calendar",
        moves_money: false,
        undo: Undo::Nothing,
        step: |known, _, _| {
            let (NewCalendar::Holds(incoming), Some(booking)) = (known.new_calendar, known.booking) else {
                return None;
            };
            let accept = reservation::Command::AcceptIncoming(Box::new(booking.clone()));
            incoming.is_of(booking).then_some((Action::Reservation(accept), None))
        },
    },
    Row {
        name: StepName::ReleaseIncoming,
        target: Target::NewCalendar,
        when: "has given up a change to another car, whose calendar still holds the period",
        does: "lets the period go there",
        moves_money: false,
        undo: Undo::Nothing,
        step: |known, _, _| {
            let NewCalendar::Holds(incoming) = known.new_calendar else { return None };
            let is_under_way = known.change().is_some_and(|(_, change)| change.no == incoming.change);
            let has_come = known.booking.is_some_and(|booking| incoming.is_of(booking));
            let (reservation_no, change_no) = (known.subject.reservation_no.clone(), incoming.change);
            let release = reservation::Command::ReleaseIncoming { reservation_no, change_no };
            (!is_under_way && !has_come).then_some((Action::Reservation(release), None))
        },
    },
    Row {
        name: StepName::CancelPayment,
        target: Target::Payment,
        when: "is cancelled, and its payment is not",
        does: "charges nothing more and gives back what is above the fee",
        moves_money: false,
        undo: Undo::Nothing,
        step: |known, _, _| {
            let booking = known.booking?;
            let Status::Cancelled { quote, .. } = booking.status else { return None };
            known.cancel_payment(booking, quote.fee)
        },
    },
    Row {
        name: StepName::ReleasePayment,
        target: Target::Payment,
        when: "has expired, and its payment is not cancelled",
        does: "charges nothing more and gives back what was charged",
        moves_money: false,
        undo: Undo::Nothing,
        step: |known, _, _| {
            let booking = known.booking?;
            let Status::Expired { .. } = booking.status else { return None };
            known.cancel_payment(booking, Money::zero(booking.price.currency()))
        },
    },
    Row {
        name: StepName::KeepNoShowFee,
        target: Target::Payment,
        when: "is a no-show that gives something back, and its payment is not cancelled",
        does: "gives back what is above the fee",
        moves_money: false,
        undo: Undo::Nothing,
        step: |known, _, _| {
            let booking = known.booking?;
            let Status::NoShow { quote, .. } = booking.status else { return None };
            // Where nothing goes back, the payment stays as it is.
            known.cancel_payment(booking, quote.fee).filter(|_| quote.refund.amount() > 0)
        },
    },
    Row {
        name: StepName::GiveBack,
        target: Target::Payment,
        when: "has no change under way, and more is paid than it costs",
        does: "gives back what is above that",
        moves_money: false,
        undo: Undo::Nothing,
        step: |known, _, _| {
            let (booking, payment) = (known.booking?, known.payment?);
            let is_kept = match booking.status {
                Status::Confirmed { .. } | Status::Completed { .. } => booking.change().is_none(),
                Status::NoShow { quote, .. } => quote.refund.amount() == 0,
                Status::PaymentPending { .. } | Status::Cancelled { .. } | Status::Expired { .. } => false,
            };
            let due = booking.due();
            let is_more = payment.kept().minus(due).is_some_and(|more| more.amount() > 0);
            let reduce =
                payment::Command::Reduce { subject: known.subject.clone(), due, change: booking.last_change() };
            (is_kept && is_more && !payment.is_cancelled).then_some((Action::Payment(reduce), None))
        },
    },
    Row {
        name: StepName::Inquire,
        target: Target::Payment,
        when: "has a payment whose outcome is not known",
        does: "asks the provider what became of the charge",
        moves_money: false,
        undo: Undo::Nothing,
        step: |known, _, _| known.is_in_doubt().then_some((Action::Provider(Outstanding::Charge), None)),
    },
    Row {
        name: StepName::ChargeChange,
        target: Target::Payment,
        when: "has a change under way that costs more and is not paid",
        does: "charges the difference, if the customer's means of payment are at hand",
        moves_money: true,
        undo: Undo::By(StepName::GiveBack),
        step: |known, _, now| {
            let (booking, change) = known.change()?;
            let amount = booking.payable(change).filter(|_| now < change.hold_until)?;
            let is_unpaid = matches!(known.charge_of(change), None | Some(ChargeStatus::NotCharged));
            is_unpaid.then_some((Action::Charge { amount, change: change.no }, None))
        },
    },
    Row {
        name: StepName::Refund,
        target: Target::Payment,
        when: "has a payment of which a refund is owed",
        does: "has the provider give the refund, under its one key",
        moves_money: true,
        undo: Undo::Nothing,
        step: |known, _, _| match known.payment.and_then(Payment::outstanding)? {
            refund @ Outstanding::Refund(_) => Some((Action::Provider(refund), None)),
            Outstanding::Charge => None,
        },
    },
    Row {
        name: StepName::Charge,
        target: Target::Payment,
        when: "is held and not paid",
        does: "charges its price, if the customer's means of payment are at hand",
        moves_money: true,
        undo: Undo::By(StepName::Refund),
        step: |known, _, now| {
            let booking = known.booking?;
            let is_held = matches!(booking.status, Status::PaymentPending { hold_until } if now < hold_until);
            let is_unpaid = known.payment.is_none_or(|payment| {
                matches!(payment.status(), payment::Status::NotCharged | payment::Status::Declined { .. })
            });
            (is_held && is_unpaid).then_some((Action::Charge { amount: booking.price, change: 0 }, None))
        },
    },
    Row {
        name: StepName::Rent,
        target: Target::Rental,
        when: "is confirmed and not rented",
        does: "makes the rental",
        moves_money: false,
        undo: Undo::By(StepName::CancelRental),
        step: |known, _, _| {
            let (is_confirmed, period) = (matches!(known.status?, Status::Confirmed { .. }), known.period?);
            let rent = rental::Command::Rent { subject: known.subject.clone(), serial: known.serial?, period };
            (is_confirmed && known.rental.is_none()).then_some((Action::Rental(rent), None))
        },
    },
    Row {
        name: StepName::ChangeRental,
        target: Target::Rental,
        when: "is confirmed, and its rental is of another car or period",
        does: "changes the rental",
        moves_money: false,
        undo: Undo::Nothing,
        step: |known, _, _| {
            let booking = known.booking?;
            let (subject, period) = (booking.subject.clone(), booking.period);
            let is_open = matches!(booking.status, Status::Confirmed { .. })
                && known.rental.is_some_and(|rental| rental.keeps_car().is_some());
            let is_other = known.rented.is_some_and(|rented| rented != (&subject.car_no, period));
            let change = rental::Command::Change { subject: subject.clone(), period };
            (is_open && is_other).then_some((Action::Rental(change), None))
        },
    },
    Row {
        name: StepName::HandOver,
        target: Target::Rental,
        when: "is out, and its rental does not know",
        does: "notes the hand-over in the rental",
        moves_money: false,
        undo: Undo::Nothing,
        step: |known, _, _| {
            let Status::Confirmed { picked_up_at: Some(at) } = known.status? else { return None };
            let hand_over = known.hand_over.cloned().map(Box::new);
            let pick_up = Action::Rental(rental::Command::PickUp { at, hand_over });
            (known.rental == Some(RentalStanding::Rented)).then_some((pick_up, None))
        },
    },
    Row {
        name: StepName::CancelRental,
        target: Target::Rental,
        when: "is closed without a hand-over, and its rental is not cancelled",
        does: "cancels the rental",
        moves_money: false,
        undo: Undo::Nothing,
        step: |known, _, _| {
            let is_closed =
                matches!(known.status?, Status::Cancelled { .. } | Status::Expired { .. } | Status::NoShow { .. });
            let is_rented = known.rental == Some(RentalStanding::Rented);
            (is_closed && is_rented).then_some((Action::Rental(rental::Command::Cancel), None))
        },
    },
    Row {
        name: StepName::MarkOverdue,
        target: Target::Rental,
        when: "has a rental that is out",
        does: "marks the rental as overdue when its period is over",
        moves_money: false,
        undo: Undo::Nothing,
        step: |known, _, _| {
            let due = known.period?.to();
            let is_out = known.rental == Some(RentalStanding::Out);
            is_out.then_some((Action::Rental(rental::Command::MarkOverdue), Some(due)))
        },
    },
    Row {
        name: StepName::NoteRental,
        target: Target::Fleet,
        when: "has a rental that keeps the car, and the ledger does not show it so",
        does: "notes in the ledger in which way the rental keeps the car",
        moves_money: false,
        undo: Undo::By(StepName::EndRental),
        step: |known, _, _| {
            let state = known.rental?.keeps_car().filter(|_| !known.former_car)?;
            let rental_no = known.subject.reservation_no.rental();
            let is_noted = known.note == LedgerNote::Read(Some(state));
            let note = fleet::Command::SetRentalState { rental_no, note: state };
            (!is_noted).then_some((Action::Fleet(note), None))
        },
    },
    Row {
        name: StepName::EndRental,
        target: Target::Fleet,
        when: "has a rental that has ended or moved to another car, and the ledger still has it",
        does: "removes the rental from the ledger",
        moves_money: false,
        undo: Undo::Nothing,
        step: |known, _, _| {
            let has_ended = known.rental?.keeps_car().is_none() || known.former_car;
            let rental_no = known.subject.reservation_no.rental();
            let is_gone = known.note == LedgerNote::Read(None);
            (has_ended && !is_gone).then_some((Action::Fleet(fleet::Command::EndRental { rental_no }), None))
        },
    },
];
