//! How often somebody may try a password: per account and per address, before anything is hashed. An attempt counts as
//! failed until it has succeeded, so that many at once do not slip through. Never locks out for ever; forgets who is not
//! seen, and is bounded whoever comes. Reads no clock.

use crate::domain::account::MailHash;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use std::hash::Hash;

/// The most accounts, and the most addresses, whose failures are remembered.
const REMEMBERED_MAX: usize = 64 * 1024;

/// How much is let pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Failures in a row without a pause.
    pub free: u32,
    /// The pause after one more, in milliseconds; it doubles with each further one.
    pub pause_ms_min: u64,
    /// The longest pause, in milliseconds. Who waits twice as long has one failure less.
    pub pause_ms_max: u64,
}

/// Of an account: five at once, then one a second, two seconds … five minutes.
pub const ACCOUNT: Allowance = Allowance { free: 5, pause_ms_min: 1_000, pause_ms_max: 5 * 60_000 };
/// Of an address, behind which may be an office: twenty at once, then as above, but a minute at most.
pub const ADDRESS: Allowance = Allowance { free: 20, pause_ms_min: 1_000, pause_ms_max: 60_000 };

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Failures {
    count: u32,
    /// When the last attempt was.
    at_ms: u64,
}

impl Allowance {
    fn pause_ms(&self, failures: u32) -> u64 {
        let Some(beyond) = failures.checked_sub(self.free) else { return 0 };
        self.pause_ms_min.saturating_mul(1_u64.checked_shl(beyond).unwrap_or(u64::MAX)).min(self.pause_ms_max)
    }

    /// What is left of failures at that moment: one less for each time that passed in which the longest pause fits twice.
    fn faded(&self, failures: Failures, now_ms: u64) -> u32 {
        let fading = now_ms.saturating_sub(failures.at_ms) / self.pause_ms_max.saturating_mul(2).max(1);
        failures.count.saturating_sub(u32::try_from(fading).unwrap_or(u32::MAX))
    }

    /// How long until the next attempt, in milliseconds; 0 for at once.
    fn wait_ms(&self, failures: Failures, now_ms: u64) -> u64 {
        let pause = self.pause_ms(self.faded(failures, now_ms));
        failures.at_ms.saturating_add(pause).saturating_sub(now_ms)
    }
}

struct Counted<K> {
    allowance: Allowance,
    failures: Cache<K, Failures>,
}

impl<K: Hash + Eq + Copy> Counted<K> {
    fn new(allowance: Allowance) -> Counted<K> {
        Counted { allowance, failures: Cache::new(REMEMBERED_MAX) }
    }

    fn of(&self, key: &K) -> Failures {
        self.failures.get(key).unwrap_or_default()
    }

    fn wait_ms(&self, key: &K, now_ms: u64) -> u64 {
        self.allowance.wait_ms(self.of(key), now_ms)
    }

    /// Counts an attempt as failed; returns how many had failed before.
    fn count(&self, key: K, now_ms: u64) -> u32 {
        let before = self.allowance.faded(self.of(&key), now_ms);
        self.failures.insert(key, Failures { count: before.saturating_add(1), at_ms: now_ms });
        before
    }

    fn take_back(&self, key: &K) {
        let Failures { count, at_ms } = self.of(key);
        if count > 0 {
            self.failures.insert(*key, Failures { count: count - 1, at_ms });
        }
    }
}

/// What is remembered of failed attempts. It is gone with the process.
pub struct Throttle {
    accounts: Counted<[u8; 32]>,
    addresses: Counted<u128>,
    /// From which addresses somebody has signed in to which account: a stranger's failures do not keep those off.
    known: Cache<([u8; 32], u128), ()>,
    /// Of whoever looks and counts, so that many at once do not slip through.
    turn: Mutex<()>,
}

impl Default for Throttle {
    fn default() -> Throttle {
        Throttle {
            accounts: Counted::new(ACCOUNT),
            addresses: Counted::new(ADDRESS),
            known: Cache::new(REMEMBERED_MAX),
            turn: Mutex::new(()),
        }
    }
}

impl Throttle {
    /// Counts an attempt, and returns in which order it is hashed: 0 of an address from which somebody has signed in to that
    /// account, else one more than the address has failed before.
    ///
    /// # Errors
    /// How long to wait, in milliseconds; nothing is counted then.
    pub fn attempt(&self, mail: Option<&MailHash>, address: u128, now_ms: u64) -> Result<u32, u64> {
        let _turn = self.turn.lock();
        let is_known = mail.is_some_and(|mail| self.known.get(&(mail.0, address)).is_some());
        let of_account = mail.filter(|_| !is_known).map_or(0, |mail| self.accounts.wait_ms(&mail.0, now_ms));
        let wait_ms = of_account.max(self.addresses.wait_ms(&address, now_ms));
        if wait_ms > 0 {
            return Err(wait_ms);
        }
        if let Some(mail) = mail {
            self.accounts.count(mail.0, now_ms);
        }
        let failures = self.addresses.count(address, now_ms);
        Ok(if is_known { 0 } else { failures.saturating_add(1) })
    }

    /// The attempt was right: the account is as if nobody had tried, and the address as before.
    pub fn succeeded(&self, mail: Option<&MailHash>, address: u128) {
        let _turn = self.turn.lock();
        if let Some(mail) = mail {
            self.accounts.failures.remove(&mail.0);
            self.known.insert((mail.0, address), ());
        }
        self.addresses.take_back(&address);
    }

    /// The attempt was not looked at.
    pub fn not_tried(&self, mail: Option<&MailHash>, address: u128) {
        let _turn = self.turn.lock();
        if let Some(mail) = mail {
            self.accounts.take_back(&mail.0);
        }
        self.addresses.take_back(&address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(throttle: &Throttle, mail: u8, address: u128, now_ms: u64) -> Result<u32, u64> {
        throttle.attempt(Some(&MailHash([mail; 32])), address, now_ms)
    }

    #[test]
    fn an_account_is_tried_five_times_and_then_with_pauses_that_double_up_to_five_minutes() {
        let throttle = Throttle::default();
        for address in 0..5 {
            assert_eq!(fails(&throttle, 1, address, 0), Ok(1));
        }
        assert_eq!(fails(&throttle, 1, 10, 0), Err(1_000));
        assert_eq!(fails(&throttle, 1, 10, 1_000), Ok(1));
        assert_eq!(fails(&throttle, 1, 11, 1_000), Err(2_000));
        assert_eq!(fails(&throttle, 2, 10, 1_000), Ok(2), "another account is not concerned");
        let mut now_ms = 1_000;
        for address in 20..60 {
            if let Err(wait_ms) = fails(&throttle, 1, address, now_ms) {
                assert!(wait_ms <= 300_000, "{wait_ms}");
                now_ms += wait_ms;
                assert_eq!(fails(&throttle, 1, address, now_ms), Ok(1), "it is never locked out");
            }
        }
        throttle.succeeded(Some(&MailHash([1; 32])), 59);
        assert_eq!(fails(&throttle, 1, 70, now_ms), Ok(1));
    }

    #[test]
    fn an_address_may_try_twenty_accounts_and_is_slowed_down_after() {
        let throttle = Throttle::default();
        for mail in 0..20 {
            assert_eq!(fails(&throttle, mail, 1, 0), Ok(u32::from(mail) + 1));
        }
        assert_eq!(fails(&throttle, 20, 1, 0), Err(1_000));
        assert_eq!(fails(&throttle, 20, 2, 0), Ok(1), "another address is not concerned");
        throttle.succeeded(Some(&MailHash([19; 32])), 1);
        assert_eq!(fails(&throttle, 21, 1, 0), Ok(20));
        // An hour later it is forgotten.
        assert_eq!(fails(&throttle, 22, 1, 3_600_000), Ok(1));
    }

    #[test]
    fn who_has_signed_in_from_an_address_is_not_kept_off_by_strangers_and_comes_first() {
        let throttle = Throttle::default();
        assert_eq!(fails(&throttle, 1, 7, 0), Ok(1));
        throttle.succeeded(Some(&MailHash([1; 32])), 7);
        for address in 20..26 {
            let _ = fails(&throttle, 1, address, 0);
        }
        assert!(fails(&throttle, 1, 30, 0).is_err(), "the account is being tried");
        assert_eq!(fails(&throttle, 1, 7, 0), Ok(0));
        assert_eq!(fails(&throttle, 2, 7, 0), Ok(2), "of another account it knows nothing");
        for _ in 0..30 {
            let _ = fails(&throttle, 1, 7, 0);
        }
        assert!(fails(&throttle, 1, 7, 0).is_err(), "its own failures count");
    }

    #[test]
    fn what_was_not_looked_at_does_not_count() {
        let throttle = Throttle::default();
        for _ in 0..100 {
            assert_eq!(fails(&throttle, 1, 1, 0), Ok(1));
            throttle.not_tried(Some(&MailHash([1; 32])), 1);
        }
    }
}
