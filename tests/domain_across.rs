//! All contexts together, in any order of steps, with every step and every policy repeated, delayed and thrown
//! back: the invariants hold after every step, and in the end nothing is pending.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says by a panic what is wrong")]

mod domain_support;

use domain_support::provider::Verdict;
use domain_support::world::{CARS, Step, World};
use proptest::prelude::*;
use rentcar::domain::payment;
use rentcar::domain::rental;
use rentcar::domain::reservation::Status;

fn verdicts() -> impl Strategy<Value = Verdict> {
    prop_oneof![3 => Just(Verdict::Approved), 1 => Just(Verdict::Declined)]
}

fn steps() -> impl Strategy<Value = Step> {
    // Few reservations, so that steps meet.
    let reservation = 0..6_u8;
    prop_oneof![
        4 => (any::<u8>(), any::<u8>(), any::<u8>()).prop_map(|(car, from, days)| Step::Reserve { car, from, days }),
        5 => reservation.clone().prop_map(|reservation| Step::Pay { reservation }),
        5 => (any::<u8>(), verdicts(), any::<bool>())
            .prop_map(|(call, verdict, answers)| Step::Provider { call, verdict, answers }),
        2 => any::<u8>().prop_map(|call| Step::MarkUnknown { call }),
        3 => reservation.clone().prop_map(|reservation| Step::Inquire { reservation }),
        2 => (reservation.clone(), any::<bool>())
            .prop_map(|(reservation, answers)| Step::Refund { reservation, answers }),
        2 => reservation.clone().prop_map(|reservation| Step::TimerGoesOff { reservation }),
        2 => reservation.clone().prop_map(|reservation| Step::Cancel { reservation }),
        3 => reservation.clone().prop_map(|reservation| Step::PickUp { reservation }),
        3 => reservation.clone().prop_map(|reservation| Step::Return { reservation }),
        1 => reservation.prop_map(|reservation| Step::MarkOverdue { reservation }),
        1 => any::<u8>().prop_map(|car| Step::Retire { car }),
        10 => (any::<u8>(), 1..5_u8).prop_map(|(policy, events)| Step::Policy { policy, events }),
        2 => (any::<u8>(), 1..20_u8).prop_map(|(policy, events)| Step::ThrowBack { policy, events }),
        2 => (0..30_u16).prop_map(|minutes| Step::Wait { minutes }),
        1 => (0..3_000_u16).prop_map(|minutes| Step::Wait { minutes }),
        5 => (0..6_u8, any::<u8>(), any::<u8>(), any::<u8>(), any::<bool>()).prop_map(
            |(reservation, car, from, days, pays)| Step::Change { reservation, car, from, days, pays }
        ),
    ]
}

/// What is true once nothing is under way any more.
fn check_settled(world: &World) {
    for (no, booking) in &world.bookings {
        let state = world.payment_of(no);
        let rental = world.rentals.state(no.rental().as_str()).0;
        let payment_no = no.payment();
        let (charged, _) = world.provider.charged(payment_no.as_str());
        let kept = charged - world.provider.refunded(payment_no.as_str());
        if let Some(payment) = &state.0 {
            assert_eq!(payment.outstanding(), None, "{no}");
            assert_eq!(payment.charged().amount() - payment.refunded().amount(), kept, "{no}: {payment:?}");
        }
        let (due, fees) = (booking.due().amount(), booking.change_fees().amount());
        assert_eq!(booking.change(), None, "{no}");
        match booking.status {
            Status::PaymentPending { .. } => panic!("{no} is still held"),
            Status::Confirmed { .. } => {
                assert_eq!(kept, due, "{no}");
                let rented = rental.as_ref().map(|rental| (&rental.subject.car_no, rental.period));
                assert_eq!(rented, Some((&booking.subject.car_no, booking.period)), "{no}");
                let live = matches!(
                    rental.as_ref().map(|rental| rental.status),
                    Some(rental::Status::Rented | rental::Status::PickedUp { .. })
                );
                assert!(live, "{no}: {rental:?}");
            }
            Status::Cancelled { quote, .. } | Status::NoShow { quote, .. } => {
                assert_eq!(
                    kept,
                    if quote.fee.amount() + quote.refund.amount() == 0 { 0 } else { quote.fee.amount() + fees },
                    "{no}"
                );
            }
            Status::Expired { .. } => assert_eq!(kept, 0, "{no}"),
            Status::Completed { .. } => assert_eq!(kept, due, "{no}"),
        }
        let keeps_car = matches!(booking.status, Status::Confirmed { .. });
        for car_no in CARS {
            let entry = world.ledger.state(car_no).0.unwrap();
            let is_here = keeps_car && booking.subject.car_no.as_str() == car_no;
            assert_eq!(entry.rentals.contains_key(&no.rental()), is_here, "{no}: the ledger of {car_no}");
            let calendar = world.calendars.state(car_no);
            assert_eq!(calendar.incoming.len(), 0, "{no}: {car_no} waits for what will not come");
        }
        if !booking.status.is_live() {
            let open = matches!(
                state.0.map(|payment| payment.status()),
                Some(payment::Status::Requested | payment::Status::Unknown)
            );
            assert!(!open, "{no}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_in_whatever_order_the_invariants_hold_and_everything_settles(
        steps in prop::collection::vec(steps(), 0..200),
    ) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
            world.check().map_err(|violation| TestCaseError::fail(format!("after {step:?}: {violation}")))?;
        }
        world.settle();
        world.check().map_err(|violation| TestCaseError::fail(violation.to_string()))?;
        check_settled(&world);
    }
}

/// The steps of one reservation of a car, all of them carried out at once.
fn carry_out(world: &mut World, steps: &[Step]) {
    for step in steps {
        world.step(*step);
        world.check().unwrap();
    }
}

const PAID: [Step; 4] = [
    Step::Reserve { car: 0, from: 0, days: 0 },
    Step::Pay { reservation: 0 },
    Step::Provider { call: 0, verdict: Verdict::Approved, answers: true },
    Step::Policy { policy: 0, events: 9 },
];

#[test]
fn a_paid_reservation_is_rented_handed_over_returned_and_completed() {
    let mut world = World::new();
    carry_out(&mut world, &PAID);
    carry_out(&mut world, &[Step::Policy { policy: 2, events: 9 }, Step::PickUp { reservation: 0 }]);
    carry_out(&mut world, &[Step::Policy { policy: 2, events: 9 }, Step::Return { reservation: 0 }]);
    world.settle();
    check_settled(&world);
    assert!(matches!(world.bookings.values().next().unwrap().status, Status::Completed { .. }));
}

#[test]
fn news_of_an_approval_that_comes_again_after_the_return_gives_no_money_back() {
    let mut world = World::new();
    carry_out(&mut world, &PAID);
    carry_out(&mut world, &[Step::Policy { policy: 2, events: 9 }, Step::PickUp { reservation: 0 }]);
    carry_out(&mut world, &[Step::Policy { policy: 2, events: 9 }, Step::Return { reservation: 0 }]);
    carry_out(&mut world, &[Step::Policy { policy: 3, events: 9 }, Step::ThrowBack { policy: 0, events: 9 }]);
    carry_out(&mut world, &[Step::Policy { policy: 0, events: 9 }]);
    world.settle();
    check_settled(&world);
}

#[test]
fn a_payment_approved_after_the_hold_is_gone_is_refunded_in_full() {
    let mut world = World::new();
    carry_out(
        &mut world,
        &[
            Step::Reserve { car: 0, from: 0, days: 0 },
            Step::Pay { reservation: 0 },
            Step::MarkUnknown { call: 0 },
            Step::Wait { minutes: 16 },
            Step::TimerGoesOff { reservation: 0 },
            Step::Policy { policy: 1, events: 9 },
            Step::Provider { call: 0, verdict: Verdict::Approved, answers: false },
        ],
    );
    world.settle();
    check_settled(&world);
    assert_eq!(world.provider.refunded("pay-r001"), 45_000);
}

#[test]
fn an_approval_learnt_after_the_end_of_the_period_is_refunded_in_full() {
    let mut world = World::new();
    carry_out(&mut world, &PAID[..2]);
    carry_out(&mut world, &[Step::Wait { minutes: 3 * 24 * 60 }]);
    carry_out(&mut world, &PAID[2..]);
    assert!(matches!(world.bookings.values().next().unwrap().status, Status::Expired { .. }));
    world.settle();
    check_settled(&world);
    assert_eq!(world.provider.refunded("pay-r001"), 45_000);
}

#[test]
fn who_never_comes_for_the_car_is_a_no_show_and_the_fee_is_kept() {
    let mut world = World::new();
    carry_out(&mut world, &PAID);
    carry_out(&mut world, &[Step::Policy { policy: 2, events: 9 }, Step::Wait { minutes: 3 * 24 * 60 }]);
    for refused in [Step::Cancel { reservation: 0 }, Step::PickUp { reservation: 0 }] {
        carry_out(&mut world, &[refused]);
        assert!(matches!(world.bookings.values().next().unwrap().status, Status::Confirmed { picked_up_at: None }));
    }
    carry_out(&mut world, &[Step::TimerGoesOff { reservation: 0 }]);
    assert!(matches!(world.bookings.values().next().unwrap().status, Status::NoShow { .. }));
    world.settle();
    check_settled(&world);
    assert_eq!(world.provider.refunded("pay-r001"), 13_500, "70 % are kept");
}
