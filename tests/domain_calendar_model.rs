//! A calendar against a model that knows only which hours of a car are taken, and by whom.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by a panic what is wrong")]

mod domain_support;

use domain_support::{SERIAL, at, block_no, car, reservation_no, subject};
use proptest::prelude::*;
use rentcar::domain::invariants;
use rentcar::domain::reservation::{
    Block, Buffers, Command, DayCounting, Event, Rejection, State, Status, Terms, decide, evolve,
};
use rentcar::domain::time::{HOUR_MS, Period, Timestamp};
use std::collections::BTreeMap;

const HOURS: u16 = 240;

#[derive(Debug, Clone, Copy)]
enum Step {
    Reserve { from: u16, hours: u16 },
    Block { from: u16, hours: u16 },
    Unblock { number: usize },
    Confirm { number: usize },
    Expire { number: usize },
    Cancel { number: usize },
    PickUp { number: usize },
    Complete { number: usize },
    CompleteNoShow { number: usize },
    Wait { hours: u16 },
}

fn steps() -> impl Strategy<Value = Step> {
    let period = || (0..HOURS, 1..24_u16);
    let number = || any::<usize>();
    prop_oneof![
        6 => period().prop_map(|(from, hours)| Step::Reserve { from, hours }),
        1 => period().prop_map(|(from, hours)| Step::Block { from, hours }),
        1 => number().prop_map(|number| Step::Unblock { number }),
        3 => number().prop_map(|number| Step::Confirm { number }),
        1 => number().prop_map(|number| Step::Expire { number }),
        2 => number().prop_map(|number| Step::Cancel { number }),
        3 => number().prop_map(|number| Step::PickUp { number }),
        2 => number().prop_map(|number| Step::Complete { number }),
        2 => number().prop_map(|number| Step::CompleteNoShow { number }),
        2 => (1..12_u16).prop_map(|hours| Step::Wait { hours }),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Held,
    Paid,
    Out,
    Blocked,
}

/// Who takes which hours: the name, from, to.
#[derive(Default)]
struct Model {
    taken: BTreeMap<String, (u16, u16, Taken)>,
    now: u16,
    /// When the car came back last.
    back: Option<u16>,
}

impl Model {
    /// Whether nobody has the car, and nobody comes so close that less than `buffer` hours are left between two rentals.
    fn is_free(&self, from: u16, to: u16, buffer: u16) -> bool {
        !self.taken.values().any(|&(start, end, how)| {
            // A car that is out stays taken until it is back.
            let end = if how == Taken::Out { end.max(self.now) } else { end };
            let buffer = if how == Taken::Blocked { 0 } else { buffer };
            start < to + buffer && from < end + buffer
        }) && !self.back.is_some_and(|back| buffer > 0 && back < to && from < back + buffer)
    }

    /// Whether somebody should have brought the car back.
    fn is_overdue(&self) -> bool {
        self.taken.values().any(|&(_, end, how)| how == Taken::Out && end <= self.now)
    }

    fn somebody_is_out(&self) -> bool {
        self.taken.values().any(|&(_, _, how)| how == Taken::Out)
    }
}

fn hour(hour: u16) -> Timestamp {
    at(i64::from(hour) * HOUR_MS)
}

struct Run {
    state: State,
    model: Model,
    terms: Terms,
    names: Vec<String>,
    /// The hours between two rentals.
    buffer: u16,
}

impl Run {
    fn tell(&mut self, command: &Command) -> Result<Vec<Event>, Rejection> {
        let now = hour(self.model.now);
        let events = decide(&self.state, command, &self.terms, now)?;
        assert_eq!(decide(&self.state, command, &self.terms, now), Ok(events.clone()), "deciding is not deterministic");
        for event in &events {
            self.state = evolve(std::mem::take(&mut self.state), event).unwrap();
        }
        Ok(events)
    }

    fn take(&mut self, name: String, from: u16, hours: u16, how: Taken, command: &Command) {
        let offered = how == Taken::Blocked || !self.model.is_overdue();
        let buffer = if how == Taken::Blocked { 0 } else { self.buffer };
        let free = offered && self.model.is_free(from, from + hours, buffer);
        let in_past = how == Taken::Held && from < self.model.now;
        let expected = match (in_past, free) {
            (true, _) => Err(Rejection::PeriodInPast),
            (false, false) => Err(Rejection::CarNotAvailable),
            (false, true) => Ok(1),
        };
        assert_eq!(self.tell(command).map(|events| events.len()), expected, "{command:?}");
        if expected.is_ok() {
            if how == Taken::Held {
                // Blocks that are over are dropped at the next reservation.
                let now = self.model.now;
                self.model.taken.retain(|_, &mut (_, end, how)| how != Taken::Blocked || now < end);
            }
            self.model.taken.insert(name.clone(), (from, from + hours, how));
            self.names.push(name);
        }
    }

    fn chosen(&self, number: usize) -> Option<String> {
        self.names.get(number % self.names.len().max(1)).cloned()
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Reserve { from, hours } => {
                let name = format!("r{}", self.names.len());
                let period = Period::new(hour(from), hour(from + hours)).unwrap();
                let command = Command::Reserve {
                    subject: subject(&name),
                    serial: SERIAL,
                    period,
                    day_counting: DayCounting::Hours,
                    hold_slot: None,
                };
                self.take(name, from, hours, Taken::Held, &command);
            }
            Step::Block { from, hours } => {
                let name = format!("b{}", self.names.len());
                let period = Period::new(hour(from), hour(from + hours)).unwrap();
                let block = Block { period, reason: String::new() };
                let command = Command::Block { block_no: block_no(&name), block };
                self.take(name, from, hours, Taken::Blocked, &command);
            }
            Step::Wait { hours } => self.model.now += hours,
            Step::Unblock { number }
            | Step::Confirm { number }
            | Step::Expire { number }
            | Step::Cancel { number }
            | Step::PickUp { number }
            | Step::Complete { number }
            | Step::CompleteNoShow { number } => {
                if let Some(name) = self.chosen(number) {
                    self.step_of(step, &name);
                }
            }
        }
    }

    fn step_of(&mut self, step: Step, name: &str) {
        let how = self.model.taken.get(name).map(|&(_, _, how)| how);
        let over_since = self.model.taken.get(name).and_then(|&(_, end, _)| self.model.now.checked_sub(end));
        let over = over_since.is_some();
        let reservation_no = reservation_no(name);
        // The result according to the model, if any.
        let (command, after) = match step {
            Step::Unblock { .. } => {
                (Command::Unblock { block_no: block_no(name) }, (how == Some(Taken::Blocked)).then_some(None))
            }
            Step::Confirm { .. } => {
                // An approval that comes after the end closes the reservation.
                let after = if over { None } else { Some(Taken::Paid) };
                (Command::Confirm { reservation_no }, (how == Some(Taken::Held)).then_some(after))
            }
            Step::Expire { .. } => {
                let ran_out = self.state.bookings.get(&reservation_no).is_some_and(|booking| {
                    matches!(booking.status, Status::PaymentPending { hold_until } if hold_until <= hour(self.model.now))
                });
                (Command::Expire { reservation_no }, ran_out.then_some(None))
            }
            Step::Cancel { .. } => {
                let legal = matches!(how, Some(Taken::Held | Taken::Paid)) && !over;
                (Command::Cancel { reservation_no, waiver: None }, legal.then_some(None))
            }
            Step::PickUp { .. } => {
                // Early only if nobody else has the car until the period begins.
                let now = self.model.now;
                let start = self.model.taken.get(name).map_or(now, |&(start, ..)| start);
                let free = now >= start || self.model.is_free(now, start, 0);
                let legal = how == Some(Taken::Paid) && !over && !self.model.somebody_is_out() && free;
                (Command::PickUp { reservation_no, hand_over: None }, legal.then_some(Some(Taken::Out)))
            }
            Step::Complete { .. } => (Command::Complete { reservation_no }, (how == Some(Taken::Out)).then_some(None)),
            Step::CompleteNoShow { .. } => {
                let legal = how == Some(Taken::Paid) && over_since.is_some_and(|hours| hours >= 1);
                (Command::CompleteNoShow { reservation_no }, legal.then_some(None))
            }
            Step::Reserve { .. } | Step::Block { .. } | Step::Wait { .. } => return,
        };
        let changed = self.tell(&command).is_ok_and(|events| !events.is_empty());
        assert_eq!(changed, after.is_some(), "{command:?} of {how:?}");
        match after {
            Some(Some(how)) => {
                let now = self.model.now;
                let (start, _, known) = self.model.taken.get_mut(name).unwrap();
                *known = how;
                if how == Taken::Out {
                    *start = now.min(*start);
                }
            }
            Some(None) => {
                if how == Some(Taken::Out) {
                    self.model.back = Some(self.model.now);
                }
                self.model.taken.remove(name);
            }
            None => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_taken_period_is_never_given_away_and_a_free_one_never_refused(
        steps in prop::collection::vec(steps(), 0..150),
        buffer in 0..4_u16,
    ) {
        let mut run = Run {
            state: evolve(State::default(), &Event::CarUpserted(car(1, 45_000))).unwrap(),
            model: Model::default(),
            terms: Terms { past_tolerance_ms: 0, buffers: Buffers::of_all(i64::from(buffer) * HOUR_MS), ..Terms::default() },
            buffer,
            names: vec![],
        };
        for step in steps {
            run.step(step);
            prop_assert_eq!(invariants::no_overlap(&run.state), Ok(()));
            prop_assert_eq!(invariants::out_once(&run.state), Ok(()));
            prop_assert_eq!(invariants::calendar_in_order(&subject("r1").car_no, &run.state), Ok(()));
            prop_assert_eq!(run.state.bookings.len() + run.state.blocks.len(), run.model.taken.len());
        }
    }
}
