//! What the page of operators shows, as words.

use super::super::format::Format;
use super::super::page::{Page, query_value};
use super::super::texts::{Operation as Words, difference_in_words, part_in_words, span};
use super::flow_in_words;
use super::troubles::{Detail, Seen, Trouble, seconds, slow_ms};
use crate::actors::service::{
    BreakerState, ComponentHealth, ReconcileError, ReconciliationStatus, Report, SubscriptionStatus, Unsettled,
};
use crate::domain::reconciliation::Finding;
use crate::domain::time::Timestamp;
use crate::http::HttpState;
use crate::http::health;
use crate::kit::route::Priority;
use crate::kit::shedding::Shedder;

const GIB_TENTH: u64 = 1024 * 1024 * 1024 / 10;

pub fn seen(http: &HttpState) -> Seen {
    let service = &http.service;
    Seen {
        now_ms: service.now().as_millis(),
        components: health::components(http),
        guard: service.bulkhead_status(),
        unsettled: service.unsettled(),
        deferred: service.payments_deferred(),
        subscriptions: service.subscriptions(),
        shed_percent: http.admission.shedder.shed_percent(Priority::List),
    }
}

/// How payments go.
pub struct Guard {
    pub class: &'static str,
    pub word: &'static str,
    /// What it means for customers, unless the top of the page says so.
    pub sentence: Option<&'static str>,
    /// What an operator can do about a provider that is slow or fails.
    pub advice: Option<&'static str>,
    pub is_forced: bool,
    pub is_stopped: bool,
    pub under_way: String,
    pub queued: usize,
    pub failed: String,
    pub slow: String,
    pub takes: String,
    pub deferred: usize,
    pub unknown: Owed,
    pub refunds: Owed,
    pub held_since: Option<String>,
    pub next_try: Option<String>,
    pub is_sandbox: bool,
}

/// How many of something are unsettled.
pub struct Owed {
    pub count: u64,
    /// Since when, and how many for too long.
    pub more: String,
    pub is_overdue: bool,
}

impl Owed {
    fn of(t: &Words, format: &Format, unsettled: Unsettled) -> Owed {
        let since = moment(format, unsettled.since_ms).map(|at| t.since(at));
        let overdue = (unsettled.overdue > 0).then(|| t.overdue(unsettled.overdue));
        let more: Vec<String> = since.into_iter().chain(overdue).collect();
        Owed { count: unsettled.count, more: more.join(" · "), is_overdue: unsettled.overdue > 0 }
    }
}

fn moment(format: &Format, at_ms: Option<i64>) -> Option<String> {
    at_ms.and_then(Timestamp::from_millis).map(|at| precise(format, at))
}

/// With seconds; with the day unless it is today.
fn precise(format: &Format, at: Timestamp) -> String {
    let local = format.local(at);
    let time = local.strftime("%H:%M:%S").to_string();
    if local.date() == format.local(format.now()).date() { time } else { format!("{} {time}", format.day(at)) }
}

impl Guard {
    pub fn of(t: &'static Words, format: &Format, seen: &Seen, troubles: &[Trouble], is_sandbox: bool) -> Guard {
        let guard = &seen.guard;
        let (class, word, sentence) = match guard.state {
            BreakerState::Closed if !guard.up => ("warn", t.guard_down, t.guard_down_more),
            BreakerState::Closed if slow_ms(seen).is_some() => ("warn", t.closed_slow, t.closed_more),
            BreakerState::Closed => ("ok", t.closed, t.closed_more),
            BreakerState::Open => ("bad", t.open, t.open_more),
            BreakerState::HalfOpen => ("warn", t.half_open, t.half_open_more),
            BreakerState::ForcedOpen => ("bad", t.forced_open, t.forced_open_more),
            BreakerState::ForcedClosed => ("warn", t.forced_closed, t.forced_closed_more),
        };
        let is_provider = match guard.state {
            BreakerState::Closed => slow_ms(seen).is_some(),
            BreakerState::Open | BreakerState::HalfOpen => true,
            BreakerState::ForcedOpen | BreakerState::ForcedClosed => false,
        };
        let counts = guard.recent;
        let share = |part| if counts.all == 0 { "–".to_owned() } else { t.part_of(part, counts.all) };
        Guard {
            class,
            word,
            sentence: troubles.iter().all(|trouble| trouble.more != sentence).then_some(sentence),
            advice: is_provider.then_some(if is_sandbox { t.advice_sandbox } else { t.advice }),
            is_forced: matches!(guard.state, BreakerState::ForcedOpen | BreakerState::ForcedClosed),
            is_stopped: guard.state == BreakerState::ForcedOpen,
            under_way: t.out_of(guard.in_flight, guard.limit),
            queued: guard.queued,
            failed: share(counts.failed),
            slow: share(counts.slow),
            // How long it took a while ago says nothing of now.
            takes: guard
                .charge_ms
                .filter(|_| counts.all > 0)
                .map_or_else(|| "–".to_owned(), |ms| seconds(t.language(), ms)),
            deferred: seen.deferred,
            unknown: Owed::of(t, format, seen.unsettled.unknown),
            refunds: Owed::of(t, format, seen.unsettled.refunds),
            held_since: moment(format, guard.opened_at_ms),
            next_try: moment(format, guard.next_probe_at_ms),
            is_sandbox,
        }
    }
}

/// The comparison with the provider's record.
pub struct Reconciliation {
    /// How far the one under way is.
    pub running: Option<String>,
    pub last: Option<Compared>,
}

/// What came of a comparison.
pub struct Compared {
    pub at: String,
    pub class: &'static str,
    pub word: &'static str,
    /// Why there is no result.
    pub failure: Option<&'static str>,
    pub counts: Vec<(&'static str, u64)>,
    pub differences: Vec<Difference>,
    pub unlisted: u64,
}

/// Where both records differ.
pub struct Difference {
    pub reservation_no: String,
    /// The page of the reservation.
    pub address: Option<String>,
    pub sentence: &'static str,
    pub here: String,
    pub there: String,
}

impl Reconciliation {
    pub fn of(t: &'static Words, format: &Format, status: ReconciliationStatus) -> Reconciliation {
        let running = status.running.map(|running| t.read_so_far(running.read, precise(format, running.since)));
        let compared = |(at, outcome): (Timestamp, Result<Report, ReconcileError>)| {
            let at = t.compared_at(precise(format, at));
            match outcome {
                Ok(report) => Compared::of(t, format, at, &report),
                Err(error) => Compared::failed(t, at, &error),
            }
        };
        Reconciliation { running, last: status.last.map(|last| compared((last.at, last.outcome))) }
    }
}

impl Compared {
    fn of(t: &'static Words, format: &Format, at: String, report: &Report) -> Compared {
        let (class, word) = if report.agrees() { ("ok", t.agrees) } else { ("bad", t.differs) };
        Compared {
            at,
            class,
            word,
            failure: None,
            counts: vec![
                (t.compared_payments, report.payments),
                (t.compared_charges, report.charges),
                (t.compared_refunds, report.refunds),
                (t.pending_charges, report.pending_charges),
                (t.pending_refunds, report.pending_refunds),
            ],
            differences: report.findings.iter().map(|finding| Difference::of(format, finding)).collect(),
            unlisted: report.unexamined,
        }
    }

    fn failed(t: &'static Words, at: String, error: &ReconcileError) -> Compared {
        let why = match error {
            ReconcileError::Running => t.comparing,
            ReconcileError::BreakerOpen => t.provider_guarded,
            ReconcileError::TooLong | ReconcileError::TooMany => t.record_too_long,
            ReconcileError::Provider(_) => t.provider_unreadable,
            ReconcileError::Read(_) => t.store_unreadable,
        };
        let (class, word, failure) = ("warn", t.no_result, Some(why));
        Compared { at, class, word, failure, counts: vec![], differences: vec![], unlisted: 0 }
    }
}

impl Difference {
    fn of(format: &Format, finding: &Finding) -> Difference {
        let reservation_no = finding.payment_no.reservation();
        Difference {
            address: reservation_no.as_ref().map(super::super::page::reservation_address),
            reservation_no: reservation_no.map_or_else(|| finding.payment_no.to_string(), |no| no.to_string()),
            sentence: difference_in_words(format.language, finding.difference),
            here: format.money(finding.here),
            there: format.money(finding.there),
        }
    }
}

/// Where everything is kept.
pub struct Store {
    pub is_up: bool,
    pub free: Option<String>,
    pub last_backup: Option<String>,
    /// The name of the file that a backup is downloaded as.
    pub file: String,
}

impl Store {
    pub fn of(http: &HttpState, page: &Page) -> Store {
        let storage = &http.admission.storage;
        let format = &page.format;
        Store {
            is_up: storage.outage().is_none(),
            free: storage.free_bytes().map(gib),
            last_backup: http.service.backed_up_at().map(|at| precise(format, at)),
            file: format!("rentcar-{}.ndjson", format.local(format.now()).strftime("%Y%m%d-%H%M")),
        }
    }
}

/// Bytes in GiB with a tenth.
fn gib(bytes: u64) -> String {
    let tenths = bytes / GIB_TENTH;
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}

/// How much of a class of calls is turned away.
pub struct Shed {
    pub calls: &'static str,
    pub percent: u32,
}

impl Shed {
    /// None while every call is taken.
    pub fn all(t: &'static Words, shedder: &Shedder) -> Vec<Shed> {
        let classes = [
            (Priority::List, t.calls_list),
            (Priority::Read, t.calls_read),
            (Priority::Create, t.calls_create),
            (Priority::Existing, t.calls_existing),
        ];
        let shed = |(priority, calls)| Shed { calls, percent: shedder.shed_percent(priority) };
        classes.map(shed).into_iter().filter(|shed| shed.percent > 0).collect()
    }
}

/// A part of the service.
pub struct PartShown {
    pub name: String,
    pub class: &'static str,
    pub word: &'static str,
    pub detail: Option<Detail>,
}

impl PartShown {
    pub fn of(t: &'static Words, component: &ComponentHealth) -> PartShown {
        let words = part_in_words(t.language(), &component.name);
        let detail = Detail::of(t, &component.detail);
        let (class, word) = match (component.up, detail.is_none()) {
            (true, true) => ("ok", t.up),
            (true, false) => ("warn", t.troubled),
            (false, _) => ("bad", t.down),
        };
        PartShown {
            name: words.map_or_else(|| component.name.clone(), |words| words.name.to_owned()),
            class,
            word,
            detail,
        }
    }
}

/// What follows events.
pub struct Follower {
    pub name: String,
    pub behind: u64,
    pub age: String,
    pub parked: usize,
    /// For whom the parked events are meant; the audit tells of each.
    pub targets: Vec<(String, String)>,
}

impl Follower {
    pub fn of(t: &Words, subscription: &SubscriptionStatus) -> Follower {
        let lag = subscription.lag;
        let target = |target: &String| (target.clone(), format!("/operation/audit?number={}", query_value(target)));
        Follower {
            name: flow_in_words(t, &subscription.name),
            behind: lag.events,
            age: if lag.events == 0 { "–".to_owned() } else { span(t.language(), lag.oldest_ms) },
            parked: subscription.parked.len,
            targets: subscription.parked.targets.iter().map(target).collect(),
        }
    }

    pub const fn is_behind(&self) -> bool {
        self.behind > 0 || self.parked > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_told_in_gib_with_a_tenth() {
        let gib_bytes = 1024 * 1024 * 1024;
        assert_eq!([gib(0), gib(gib_bytes * 3 / 2), gib(gib_bytes * 56)], ["0.0 GiB", "1.5 GiB", "56.0 GiB"]);
    }
}
