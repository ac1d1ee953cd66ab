//! Bookings in a fleet and in the one that others are compared with: two servers at once, loaded in turns, so that
//! whatever else the machine does meets both alike.

use crate::common::open_loop::{Pace, Script, drive};
use crate::grounds::{Fresh, Grounds};
use crate::results::Results;
use crate::service::RENTCAR;
use crate::service::figures::{latency, per_second};
use crate::service::found::Found;
use crate::service::machine::Spent;
use crate::service::scene::Scene;
use crate::{Plan, named};
use std::sync::Arc;
use std::time::Duration;

/// How many turns long a server is warmed up.
const WARM_TURNS: u32 = 2;

fn case(plan: &Plan, cars: usize) -> String {
    format!("{}, {} connections", named(cars), plan.connections)
}

fn other(plan: &Plan) -> String {
    format!("{RENTCAR} with {}", named(plan.reference()))
}

/// One of the two.
struct Side {
    name: String,
    fresh: Fresh,
    scene: Arc<Scene>,
}

impl Side {
    async fn start(grounds: &Grounds, cars: usize, name: &str) -> Side {
        Side { name: name.to_owned(), fresh: grounds.start(cars).await, scene: Arc::new(Scene::new(cars)) }
    }

    async fn turn(&self, plan: &Plan, found: &mut Found, case: &str, length: Duration, is_measured: bool) {
        let (server, script) = (&self.fresh.server, Arc::clone(&self.scene) as Arc<dyn Script>);
        let (before, spent) = (self.scene.tally(), Spent::until_now(&[server.pid()]));
        let samples = drive(&server.address(), &script, Pace::AsAnswered, plan.connections, length).await;
        let busy = Spent::until_now(&[server.pid()]).since(&spent);
        let tally = self.scene.tally().since(before);
        if !is_measured {
            return;
        }
        let late = latency(&samples);
        let mut note = |what: &str, unit, figure| found.note(&format!("{case}{what}"), &self.name, unit, figure);
        note("", "1/s", per_second(tally.booked, length));
        note(", refused or sent away", "1/s", per_second(tally.taken + tally.sent_away, length));
        note(", p50", "ms", late.p50_ms);
        note(", p99", "ms", late.p99_ms);
        note(", slowest", "ms", late.max_ms);
        note(", busy: server", "cores", busy.server);
        note(", busy: client", "cores", busy.client);
        note(", busy: others", "cores", busy.others);
    }
}

/// A fleet beside the other one.
pub async fn measure(plan: &Plan, grounds: &Grounds, found: &mut Found, cars: usize) {
    let case = case(plan, cars);
    let sides = [Side::start(grounds, cars, RENTCAR).await, Side::start(grounds, plan.reference(), &other(plan)).await];
    for side in &sides {
        side.turn(plan, found, &case, plan.turn * WARM_TURNS, false).await;
    }
    for round in 0..plan.rounds {
        eprintln!("{case}: round {} of {}", round + 1, plan.rounds);
        for turn in 0..sides.len() {
            sides[(round + turn) % sides.len()].turn(plan, found, &case, plan.turn, true).await;
        }
    }
}

/// Adds the ratio of the two, round by round.
pub fn compare(plan: &Plan, results: &mut Results, found: &Found, cars: usize) {
    let (case, other) = (case(plan, cars), other(plan));
    let rates = |name: &str| found.of(&case, name, "1/s");
    results.compare(&named(cars), (RENTCAR, rates(RENTCAR)), (&other, rates(&other)));
}
