//! When sessions and resets end by themselves: the Account context on a store in memory, under a clock that is set.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must say so")]

mod common;

use common::{SOON, eventually};
use rentcar::actors::account::alone::AccountsAlone;
use rentcar::actors::account::delivery::ResetDrop;
use rentcar::actors::account::hashing::Turn;
use rentcar::actors::account::password::HashCost;
use rentcar::actors::account::service::AccountSettings;
use rentcar::actors::customer::master_key::MasterKeys;
use rentcar::actors::runtime::ManualClock;
use rentcar::actors::service::NewPassword;
use rentcar::domain::account::Role;
use rentcar::domain::reservation::Terms;
use rentcar::store::memory::MemoryJournal;
use rentcar::store::schema;
use serde_json::Value;
use std::fs;
use std::sync::Arc;

const PASSWORD: &str = "correct horse battery";
const ANOTHER: &str = "wrong horse battery";

/// The Account context on a store in memory, whose time is told.
struct InTime {
    clock: Arc<ManualClock>,
    alone: AccountsAlone,
    drop_box: tempfile::TempDir,
}

const DAY_MS: u32 = 86_400_000;
const MINUTE_MS: u32 = 60_000;

impl InTime {
    async fn start() -> InTime {
        let journal = MemoryJournal::new(&schema::ALL.map(|context| (context, 2)));
        let (clock, drop_box) = (Arc::new(ManualClock::at(1_800_000_000_000)), tempfile::tempdir().unwrap());
        let settings = AccountSettings {
            cost: HashCost { memory_kib: 8, passes: 1 },
            threads: 1,
            session_ms: 30 * i64::from(DAY_MS),
            idle_ms: 7 * i64::from(DAY_MS),
            reset_ms: 30 * i64::from(MINUTE_MS),
            reset_drop: Some(ResetDrop { directory: drop_box.path().to_owned(), link: None }),
        };
        let (terms, keys) = (Terms::default(), MasterKeys::none());
        let alone = AccountsAlone::start(journal, clock.clone(), &terms, settings, &keys).await.unwrap();
        let password = NewPassword::chosen(PASSWORD, None).unwrap();
        alone.accounts.open((Turn::OPERATOR, None), "kim@example.com", password, Role::Staff).await.unwrap();
        InTime { clock, alone, drop_box }
    }

    async fn sign_in(&self) -> String {
        match self.alone.accounts.sign_in(1, "kim@example.com", PASSWORD).await {
            Ok(signed_in) => signed_in.token,
            Err(error) => panic!("the password is right: {error}"),
        }
    }

    async fn holds(&self, token: &str) -> bool {
        self.alone.accounts.session(token).await.unwrap().is_some()
    }

    /// Uses a session, until that is noted.
    async fn use_until_noted(&self, token: &str) {
        let accounts = &self.alone.accounts;
        let now = || async { accounts.session(token).await.unwrap().expect("it holds").session.used_at };
        let before = now().await;
        eventually("the use is noted", SOON, async || now().await > before).await;
    }
}

#[tokio::test]
async fn a_session_ends_after_a_week_without_use_and_after_a_month_with_it() {
    let company = InTime::start().await;
    let idle = company.sign_in().await;
    company.clock.advance_ms(7 * DAY_MS - 1);
    let used = company.sign_in().await;
    assert!(company.holds(&idle).await);
    company.clock.advance_ms(MINUTE_MS);
    assert!(company.holds(&used).await);
    for _ in 0..5 {
        company.clock.advance_ms(5 * DAY_MS);
        company.use_until_noted(&used).await;
    }
    assert!(!company.holds(&idle).await, "a month later");
    company.clock.advance_ms(5 * DAY_MS - 2 * MINUTE_MS);
    assert!(company.holds(&used).await);
    company.clock.advance_ms(2 * MINUTE_MS);
    assert!(!company.holds(&used).await, "however often it was used");
    company.alone.stop().await;
}

#[tokio::test]
async fn a_token_of_a_reset_holds_for_half_an_hour() {
    let company = InTime::start().await;
    let accounts = &company.alone.accounts;
    let token = async || {
        accounts.send_reset(1, "kim@example.com").unwrap();
        let message = || {
            let mut files = fs::read_dir(company.drop_box.path()).unwrap().map(|file| file.unwrap().path());
            files.find(|path| path.extension().is_some_and(|kind| kind == "json"))
        };
        eventually("a message is in the drop", SOON, async || message().is_some()).await;
        let file = message().unwrap();
        let said: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        fs::remove_file(file).unwrap();
        said["token"].as_str().unwrap().to_owned()
    };
    let new = || NewPassword::chosen(ANOTHER, None).unwrap();
    let late = token().await;
    company.clock.advance_ms(30 * MINUTE_MS);
    assert!(accounts.reset_password(1, &late, new()).await.is_err());
    let in_time = token().await;
    company.clock.advance_ms(30 * MINUTE_MS - 1);
    accounts.reset_password(1, &in_time, new()).await.unwrap();
    company.alone.stop().await;
}
