//! Every command in every state of an account: the events, no change, or the rule that it breaks.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by a panic what is wrong")]
#![allow(clippy::needless_pass_by_value, reason = "a table of literals reads best without borrows")]

mod domain_support;

use domain_support::at;
use rentcar::domain::account::{
    Command, Event, MailHash, PasswordHash, Proof, Rejection, Role, SESSIONS_MAX, State, TokenHash, USE_NOTED_MS,
    decide, evolve,
};

/// The moment of all commands.
const NOW_MS: i64 = 1_000_000;

fn folded(given: &[Event]) -> State {
    given.iter().fold(State::default(), |state, event| evolve(state, event).unwrap())
}

fn check(given: &[Event], when: Command, then: Result<Vec<Event>, Rejection>) {
    let decided = decide(&folded(given), &when, at(NOW_MS));
    assert_eq!(decided, then, "{when:?} given {given:?}");
    // What follows can happen.
    folded(&[given, &decided.unwrap_or_default()].concat());
}

fn opened() -> Event {
    Event::Opened { role: Role::Staff, at: at(0), mail: None, password: None }
}

fn started(id: u8, at_ms: i64) -> Event {
    Event::SessionStarted { id: TokenHash([id; 32]), at: at(at_ms), expires_at: at(NOW_MS + 1_000) }
}

fn ended(id: u8) -> Event {
    Event::SessionEnded { id: TokenHash([id; 32]), at: at(NOW_MS) }
}

fn allowed(expires_ms: i64) -> Event {
    Event::ResetAllowed { token: TokenHash([99; 32]), at: at(1), expires_at: at(expires_ms) }
}

fn reset_ended() -> Event {
    Event::ResetEnded { token: TokenHash([99; 32]), at: at(NOW_MS) }
}

fn password() -> PasswordHash {
    PasswordHash("hash".to_owned())
}

fn password_set() -> Event {
    Event::PasswordSet { at: at(NOW_MS), password: Some(password()) }
}

fn set(proof: Proof) -> Command {
    Command::SetPassword { proof, password: password() }
}

fn start(id: u8, password_at_ms: i64) -> Command {
    Command::StartSession { id: TokenHash([id; 32]), password_at: at(password_at_ms), expires_at: at(NOW_MS + 1_000) }
}

#[test]
fn an_account_is_opened_once_and_erased_for_good() {
    let open = Command::Open { role: Role::Staff, mail: MailHash([1; 32]), password: password() };
    let decided =
        Event::Opened { role: Role::Staff, at: at(NOW_MS), mail: Some(MailHash([1; 32])), password: Some(password()) };
    check(&[], open.clone(), Ok(vec![decided]));
    check(&[opened()], open.clone(), Err(Rejection::MailAddressTaken));
    let erase = Command::Erase { mail: Some(MailHash([1; 32])) };
    let erased = Event::Erased { at: at(NOW_MS), mail: Some(MailHash([1; 32])) };
    check(
        &[opened(), started(1, 0), allowed(NOW_MS)],
        erase.clone(),
        Ok(vec![ended(1), reset_ended(), erased.clone()]),
    );
    check(&[opened(), erased.clone()], erase.clone(), Ok(vec![]));
    check(&[], erase, Err(Rejection::AccountNotFound));
    for command in [start(1, 0), set(Proof::Operator), Command::Enable, Command::Disable] {
        check(&[opened(), erased.clone()], command, Err(Rejection::AccountNotFound));
    }
    check(&[opened(), erased], open, Err(Rejection::MailAddressTaken));
}

#[test]
fn who_knows_the_password_that_counts_signs_in_unless_the_account_is_disabled() {
    check(&[opened()], start(1, 0), Ok(vec![started(1, NOW_MS)]));
    check(&[opened(), started(1, 5)], start(1, 0), Ok(vec![]));
    let another = Event::PasswordSet { at: at(7), password: None };
    check(&[opened(), another.clone()], start(1, 0), Err(Rejection::PasswordChanged));
    check(&[opened(), another], start(1, 7), Ok(vec![started(1, NOW_MS)]));
    let disabled = Event::Disabled { at: at(3) };
    check(&[opened(), disabled.clone()], start(1, 0), Err(Rejection::AccountDisabled));
    check(&[opened(), disabled, Event::Enabled { at: at(4) }], start(1, 0), Ok(vec![started(1, NOW_MS)]));
}

#[test]
fn the_session_used_least_recently_makes_room_and_those_that_expired_end() {
    let most = u8::try_from(SESSIONS_MAX).unwrap();
    let mut given = vec![opened()];
    given.extend((1..=most).map(|id| started(id, i64::from(id))));
    check(&given, start(100, 0), Ok(vec![ended(1), started(100, NOW_MS)]));
    given.push(Event::SessionUsed { id: TokenHash([1; 32]), at: at(500) });
    check(&given, start(100, 0), Ok(vec![ended(2), started(100, NOW_MS)]));
    let expired = Event::SessionStarted { id: TokenHash([1; 32]), at: at(1), expires_at: at(NOW_MS) };
    check(&[opened(), expired, started(2, 2)], start(100, 0), Ok(vec![ended(1), started(100, NOW_MS)]));
}

#[test]
fn another_password_ends_all_sessions_but_the_one_that_asks_and_the_reset() {
    let given = [opened(), started(1, 1), started(2, 2), allowed(NOW_MS + 1)];
    let by_old = |password_at_ms, keep: Option<u8>| {
        let keep = keep.map(|id| TokenHash([id; 32]));
        set(Proof::OldPassword { password_at: at(password_at_ms), keep })
    };
    check(&given, by_old(0, Some(2)), Ok(vec![ended(1), reset_ended(), password_set()]));
    check(&given, by_old(5, Some(2)), Err(Rejection::PasswordChanged));
    check(&given, set(Proof::Operator), Ok(vec![ended(1), ended(2), reset_ended(), password_set()]));
    let disabled = [opened(), Event::Disabled { at: at(3) }];
    check(&disabled, by_old(0, None), Err(Rejection::AccountDisabled));
    check(&disabled, set(Proof::Operator), Ok(vec![password_set()]));
}

#[test]
fn a_reset_is_used_once_and_in_time() {
    let by_reset = |token: u8| set(Proof::Reset(TokenHash([token; 32])));
    let given = [opened(), started(1, 1), allowed(NOW_MS + 1)];
    check(&given, by_reset(99), Ok(vec![ended(1), reset_ended(), password_set()]));
    check(&given, by_reset(98), Err(Rejection::ResetTokenInvalid));
    check(&[opened(), allowed(NOW_MS)], by_reset(99), Err(Rejection::ResetTokenInvalid));
    check(&[opened()], by_reset(99), Err(Rejection::ResetTokenInvalid));
    let used = [opened(), allowed(NOW_MS + 1), reset_ended(), password_set()];
    check(&used, by_reset(99), Err(Rejection::ResetTokenInvalid));
    let allow = Command::AllowReset { token: TokenHash([98; 32]), expires_at: at(NOW_MS + 9) };
    let again = Event::ResetAllowed { token: TokenHash([98; 32]), at: at(NOW_MS), expires_at: at(NOW_MS + 9) };
    check(&given[..1], allow.clone(), Ok(vec![again.clone()]));
    check(&given, allow.clone(), Ok(vec![reset_ended(), again]));
    check(&[opened(), Event::Disabled { at: at(3) }], allow, Err(Rejection::AccountDisabled));
}

#[test]
fn a_session_ends_once_and_its_use_is_noted_now_and_then() {
    let of = |id: u8| TokenHash([id; 32]);
    let given = [opened(), started(1, NOW_MS - USE_NOTED_MS), started(2, NOW_MS - USE_NOTED_MS + 1)];
    check(&given, Command::UseSession { id: of(1) }, Ok(vec![Event::SessionUsed { id: of(1), at: at(NOW_MS) }]));
    check(&given, Command::UseSession { id: of(2) }, Ok(vec![]));
    check(&given, Command::UseSession { id: of(3) }, Ok(vec![]));
    check(&given, Command::EndSession { id: of(1) }, Ok(vec![ended(1)]));
    check(&given, Command::EndSession { id: of(3) }, Ok(vec![]));
    check(&given, Command::EndOtherSessions { keep: of(1) }, Ok(vec![ended(2)]));
}

#[test]
fn a_calendar_has_another_link_each_time_unless_the_account_is_disabled() {
    let renewed = |ms| Event::CalendarRenewed { at: at(ms) };
    check(&[opened()], Command::RenewCalendar, Ok(vec![renewed(NOW_MS)]));
    check(&[opened(), renewed(5)], Command::RenewCalendar, Ok(vec![renewed(NOW_MS)]));
    check(&[opened(), renewed(NOW_MS)], Command::RenewCalendar, Ok(vec![]));
    check(&[opened(), Event::Disabled { at: at(3) }], Command::RenewCalendar, Err(Rejection::AccountDisabled));
}

#[test]
fn disabling_ends_everything_and_does_nothing_twice() {
    let disabled = Event::Disabled { at: at(NOW_MS) };
    check(
        &[opened(), started(1, 1), allowed(NOW_MS + 1)],
        Command::Disable,
        Ok(vec![ended(1), reset_ended(), disabled.clone()]),
    );
    check(&[opened(), disabled.clone()], Command::Disable, Ok(vec![]));
    check(&[opened(), disabled], Command::Enable, Ok(vec![Event::Enabled { at: at(NOW_MS) }]));
    check(&[opened()], Command::Enable, Ok(vec![]));
}

#[test]
fn an_impossible_history_is_refused() {
    let erased = Event::Erased { at: at(1), mail: None };
    for impossible in [
        vec![started(1, 0)],
        vec![opened(), opened()],
        vec![opened(), ended(1)],
        vec![opened(), started(1, 0), started(1, 0)],
        vec![opened(), reset_ended()],
        vec![opened(), Event::SessionUsed { id: TokenHash([1; 32]), at: at(1) }],
        vec![opened(), erased.clone(), erased.clone()],
        vec![erased],
    ] {
        let (last, before) = impossible.split_last().unwrap();
        assert!(evolve(folded(before), last).is_err(), "{impossible:?}");
    }
}
