//! What is wrong, the worst first, so that an operator sees at once why something is slow. Pure.

use super::super::texts::{Language, Operation as Words, part_in_words, span};
use super::flow_in_words;
use crate::actors::service::{BreakerState, BulkheadStatus, ComponentHealth, SubscriptionStatus, UnsettledCounts};

/// From which age on events that wait for a follower are told.
const LATE_MS: i64 = 5_000;
/// From which time on a charge is slow.
const SLOW_CHARGE_MS: u64 = 1_000;

/// What the service tells of itself.
#[derive(Debug)]
pub struct Seen {
    pub now_ms: i64,
    pub components: Vec<ComponentHealth>,
    pub guard: BulkheadStatus,
    pub unsettled: UnsettledCounts,
    pub deferred: usize,
    pub subscriptions: Vec<SubscriptionStatus>,
    /// The share of lists and pages that is turned away, in percent.
    pub shed_percent: u32,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Whether customers cannot do something, or somebody must do something about it.
    pub is_bad: bool,
    pub title: String,
    pub more: String,
    /// What a part tells of itself.
    pub detail: Option<Detail>,
}

/// What a part tells of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detail {
    pub text: String,
    /// Whether it is in the words of the interface, which are English.
    pub is_english: bool,
}

impl Detail {
    /// Nothing when it is only the usual.
    pub fn of(t: &Words, detail: &str) -> Option<Detail> {
        let told = |text: &str, is_english| Some(Detail { text: text.to_owned(), is_english });
        match news(detail).as_str() {
            "" => None,
            "stopped on request" => told(t.on_request, false),
            "restarting" => told(t.restarting, false),
            "stopped" => told(t.stopped, false),
            other => told(other, true),
        }
    }
}

/// Those of a component's detail that are no news left out.
fn news(detail: &str) -> String {
    let is_usual = |part: &&str| {
        let all_up = part.strip_suffix(" shards up").and_then(|counts| counts.split_once(" of "));
        matches!(*part, "running" | "following") || all_up.is_some_and(|(up, all)| up == all)
    };
    let told: Vec<&str> = detail.split("; ").filter(|part| !part.is_empty() && !is_usual(part)).collect();
    told.join("; ")
}

pub fn troubles(t: &Words, seen: &Seen) -> Vec<Trouble> {
    let parts = seen.components.iter().filter_map(|component| of_part(t, component));
    let mut all: Vec<Trouble> = parts.chain(of_payments(t, seen)).chain(of_unsettled(t, seen)).collect();
    all.extend(seen.subscriptions.iter().flat_map(|subscription| of_follower(t, subscription)));
    if seen.shed_percent > 0 {
        all.push(warn(t.load, t.shedding(seen.shed_percent)));
    }
    // Within each half they stay in this order.
    all.sort_by_key(|trouble| !trouble.is_bad);
    all
}

fn bad(title: impl Into<String>, more: impl Into<String>) -> Trouble {
    Trouble { is_bad: true, title: title.into(), more: more.into(), detail: None }
}

fn warn(title: impl Into<String>, more: impl Into<String>) -> Trouble {
    Trouble { is_bad: false, ..bad(title, more) }
}

fn of_part(t: &Words, component: &ComponentHealth) -> Option<Trouble> {
    let words = part_in_words(t.language(), &component.name);
    let (name, when_down) = words.map_or((component.name.as_str(), ""), |words| (words.name, words.when_down));
    let detail = Detail::of(t, &component.detail);
    match (component.up, detail.is_none()) {
        (true, true) => None,
        (true, false) => Some(Trouble { detail, ..warn(t.is_troubled(name), "") }),
        (false, _) => Some(Trouble { detail, ..bad(t.is_down(name), when_down) }),
    }
}

fn of_payments(t: &Words, seen: &Seen) -> Vec<Trouble> {
    let guard = &seen.guard;
    let counts = guard.recent;
    let mut found = vec![];
    let title = |word: &str| format!("{}: {word}", t.payments);
    if guard.up {
        match guard.state {
            BreakerState::Open if counts.all > 0 => {
                found.push(bad(title(t.open), t.opened(counts.failed, counts.slow, counts.all)));
            }
            BreakerState::Open => found.push(bad(title(t.open), t.open_more)),
            BreakerState::HalfOpen => found.push(warn(title(t.half_open), t.half_open_more)),
            BreakerState::ForcedOpen => found.push(bad(title(t.forced_open), t.forced_open_more)),
            BreakerState::ForcedClosed => found.push(warn(title(t.forced_closed), t.forced_closed_more)),
            BreakerState::Closed if counts.failed > 0 => {
                found.push(warn(title(t.failing_word), t.failing(counts.failed, counts.all)));
            }
            BreakerState::Closed => {}
        }
        match slow_ms(seen) {
            Some((ms, true)) => {
                found.push(warn(title(t.slow_word), t.slow_running(guard.in_flight, seconds(t.language(), ms))));
            }
            Some((ms, false)) => found.push(warn(title(t.slow_word), t.slow_provider(seconds(t.language(), ms)))),
            None => {}
        }
        if guard.queued > 0 && is_tried(guard) {
            found.push(warn(title(t.queued), t.crowded(guard.queued, guard.limit)));
        }
    }
    if seen.deferred > 0 {
        let told = if seen.deferred == 1 { t.one_waiting.to_owned() } else { t.waiting(seen.deferred) };
        found.push(warn(title(t.deferred), told));
    }
    found
}

/// While nothing is tried, it is how long it took before.
const fn is_tried(guard: &BulkheadStatus) -> bool {
    !matches!(guard.state, BreakerState::Open | BreakerState::ForcedOpen)
}

/// How long a slow charge takes, and whether it is under way still; `None` while none is slow.
pub fn slow_ms(seen: &Seen) -> Option<(u64, bool)> {
    let guard = &seen.guard;
    // How long charges took a while ago is no news.
    let taken_ms = guard.charge_ms.filter(|_| guard.recent.all > 0);
    let running_ms = guard.oldest_at_ms.and_then(|at_ms| u64::try_from(seen.now_ms - at_ms).ok());
    let slow = |ms: Option<u64>| ms.filter(|ms| guard.up && is_tried(guard) && *ms >= SLOW_CHARGE_MS);
    slow(running_ms).map(|ms| (ms, true)).or_else(|| slow(taken_ms).map(|ms| (ms, false)))
}

fn of_unsettled(t: &Words, seen: &Seen) -> Vec<Trouble> {
    let age = |since_ms: Option<i64>| span(t.language(), since_ms.map_or(0, |since_ms| seen.now_ms - since_ms));
    let mut found = vec![];
    let (unknown, refunds) = (seen.unsettled.unknown, seen.unsettled.refunds);
    if unknown.overdue > 0 {
        found.push(bad(t.unknown, t.unknown_long(unknown.overdue, age(unknown.since_ms))));
    }
    if refunds.overdue > 0 {
        found.push(bad(t.refunds, t.refunds_long(refunds.overdue, age(refunds.since_ms))));
    }
    found
}

fn of_follower(t: &Words, subscription: &SubscriptionStatus) -> Vec<Trouble> {
    let name = flow_in_words(t, &subscription.name);
    let (lag, parked) = (subscription.lag, &subscription.parked);
    let mut found = vec![];
    if parked.len > 0 {
        let named = parked.targets.join(", ");
        let targets = if named.is_empty() { String::new() } else { [" ", &t.set_aside_of(named)].concat() };
        found.push(bad(t.followers, [t.set_aside(&name, parked.len), targets].concat()));
    }
    if lag.oldest_ms >= LATE_MS {
        found.push(warn(t.followers, t.late(name, lag.events, span(t.language(), lag.oldest_ms))));
    }
    found
}

/// Milliseconds, or seconds with a tenth from one on.
pub fn seconds(language: Language, ms: u64) -> String {
    if ms < 1_000 {
        return format!("{ms} ms");
    }
    let (whole, tenths) = (ms / 1_000, ms % 1_000 / 100);
    match language {
        Language::English => format!("{whole}.{tenths} s"),
        Language::Korean => format!("{whole}.{tenths}초"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::format::Format;
    use super::super::shown::Guard;
    use super::*;
    use crate::domain::time::Timestamp;
    use jiff::tz::TimeZone;

    fn component(name: &str, up: bool, detail: &str) -> ComponentHealth {
        ComponentHealth { name: name.to_owned(), up, essential: false, detail: detail.to_owned() }
    }

    fn well() -> Seen {
        let guard = BulkheadStatus { up: true, limit: 8, ..BulkheadStatus::down() };
        Seen {
            now_ms: 1_000_000,
            components: vec![component("journal", true, ""), component("fleet", true, "16 of 16 shards up")],
            guard,
            unsettled: UnsettledCounts::default(),
            deferred: 0,
            subscriptions: vec![],
            shed_percent: 0,
        }
    }

    fn titles(seen: &Seen) -> Vec<String> {
        troubles(Words::of(Language::English), seen).into_iter().map(|trouble| trouble.title).collect()
    }

    #[test]
    fn what_the_top_of_the_page_says_of_the_breaker_is_not_said_again() {
        let t = Words::of(Language::English);
        let format = Format::new(Language::English, TimeZone::UTC, Timestamp::MIN);
        for (state, all, sentence) in [
            (BreakerState::Closed, 0, Some(t.closed_more)),
            (BreakerState::ForcedOpen, 0, None),
            (BreakerState::Open, 0, None),
            // The top says what has failed.
            (BreakerState::Open, 20, Some(t.open_more)),
        ] {
            let mut seen = well();
            (seen.guard.state, seen.guard.recent.all) = (state, all);
            let guard = Guard::of(t, &format, &seen, &troubles(t, &seen), false);
            assert_eq!(guard.sentence, sentence, "{state:?} {all}");
        }
    }

    #[test]
    fn a_service_that_is_well_has_no_troubles() {
        assert_eq!(titles(&well()), [""; 0]);
    }

    #[test]
    fn only_what_is_unusual_of_a_detail_is_news() {
        for (detail, told) in [
            ("", ""),
            ("running", ""),
            ("following", ""),
            ("16 of 16 shards up", ""),
            ("15 of 16 shards up", "15 of 16 shards up"),
            ("16 of 16 shards up; stuck: timer", "stuck: timer"),
        ] {
            assert_eq!(news(detail), told, "{detail}");
        }
    }

    #[test]
    fn the_provider_is_slow_while_a_call_takes_long_and_no_longer_once_nothing_is_asked() {
        let slow = ["Payments: Slow"];
        let mut seen = well();
        seen.guard.charge_ms = Some(3_000);
        assert_eq!(titles(&seen), [""; 0], "that was a while ago");
        seen.guard.recent.all = 4;
        assert_eq!(titles(&seen), slow);
        seen.guard = BulkheadStatus { up: true, limit: 8, ..BulkheadStatus::down() };
        (seen.guard.in_flight, seen.guard.oldest_at_ms) = (4, Some(seen.now_ms - 999));
        assert_eq!(titles(&seen), [""; 0]);
        seen.guard.oldest_at_ms = Some(seen.now_ms - 2_000);
        assert_eq!(titles(&seen), slow);
        let told = troubles(Words::of(Language::English), &seen);
        assert!(told[0].more.starts_with("Calls under way at the payment provider: 4,"), "{}", told[0].more);
    }

    #[test]
    fn what_keeps_customers_from_something_comes_first() {
        let mut seen = well();
        seen.deferred = 3;
        seen.guard.state = BreakerState::Open;
        seen.guard.recent.all = 10;
        seen.guard.recent.failed = 7;
        seen.components.push(component("views", false, "stopped on request"));
        assert_eq!(titles(&seen), ["Lists and searches: down", "Payments: Held back", "Payments: To be paid later"]);
        let told = troubles(Words::of(Language::English), &seen);
        assert_eq!(told[0].detail.as_ref().map(|detail| detail.is_english), Some(false));
        assert!(told[1].more.starts_with("Calls to the payment provider: 10, of which failed: 7"), "{}", told[1].more);
    }

    #[test]
    fn a_guard_that_is_being_restarted_is_told_once_as_a_part() {
        let mut seen = well();
        seen.guard = BulkheadStatus::down();
        seen.components.push(component("bulkhead", false, "restarting"));
        assert_eq!(titles(&seen), ["Payment guard: down"]);
    }

    #[test]
    fn times_of_calls_are_told_in_tenths_of_seconds_from_one_on() {
        let told = [0, 999, 1_000, 2_399].map(|ms| seconds(Language::English, ms));
        assert_eq!(told, ["0 ms", "999 ms", "1.0 s", "2.3 s"]);
        assert_eq!(seconds(Language::Korean, 2_399), "2.3초");
    }
}
