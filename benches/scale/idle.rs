//! A server that was started on a fleet and is asked nothing.

use crate::grounds::Grounds;
use crate::service::RENTCAR;
use crate::service::found::Found;
use crate::service::machine::{Spent, resident_mb};
use crate::{Plan, named};

/// What it takes of memory and of the processors.
pub async fn measure(plan: &Plan, grounds: &Grounds, found: &mut Found) {
    let name = named(plan.reference());
    eprintln!("{name}, idle for {:?}", plan.idle);
    let fresh = grounds.start(plan.reference()).await;
    let processes = [fresh.server.pid()];
    let spent = Spent::until_now(&processes);
    tokio::time::sleep(plan.idle).await;
    let busy = Spent::until_now(&processes).since(&spent);
    found.note(&format!("{name}, idle, resident"), RENTCAR, "MB", resident_mb(processes[0]));
    found.note(&format!("{name}, idle, share of one core"), RENTCAR, "%", 100.0 * busy.server);
}
