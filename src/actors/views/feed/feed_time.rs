//! The time by which a feed is sorted: the millisecond, and within it the rank of the kind of event. On a fast disk
//! several events of a booking fall into one millisecond, in contexts that have no order among them.

use crate::domain::time::Timestamp;

const STEPS: i64 = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct FeedTime(i64);

impl FeedTime {
    /// The step of an instant. Steps from 16 on count as 15.
    pub fn new(at: Timestamp, step: u8) -> FeedTime {
        FeedTime(at.as_millis() * STEPS + i64::from(step).min(STEPS - 1))
    }

    pub fn from_bytes(bytes: [u8; 8]) -> Option<FeedTime> {
        let feed_time = FeedTime(i64::from_be_bytes(bytes));
        Timestamp::from_millis(feed_time.0.div_euclid(STEPS)).map(|_| feed_time)
    }

    /// Big-endian, so that the bytes sort as the moments do.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    pub fn instant(self) -> Timestamp {
        Timestamp::MIN.saturating_add_millis(self.0.div_euclid(STEPS))
    }

    pub fn step(self) -> u8 {
        u8::try_from(self.0.rem_euclid(STEPS)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_the_order_of_its_instant_and_then_of_its_step() {
        let at = |ms| Timestamp::from_millis(ms).unwrap();
        let order = [(0, 0), (0, 15), (1, 0), (1, 3), (2, 0)].map(|(ms, step)| FeedTime::new(at(ms), step));
        assert!(order.is_sorted());
        let last = FeedTime::new(Timestamp::MAX, 200);
        for feed_time in order.into_iter().chain([last]) {
            assert_eq!(FeedTime::from_bytes(feed_time.to_bytes()), Some(feed_time));
            assert_eq!(FeedTime::new(feed_time.instant(), feed_time.step()), feed_time);
        }
        assert_eq!((last.instant(), last.step()), (Timestamp::MAX, 15));
        assert_eq!(FeedTime::from_bytes([0xff; 8]), None);
        assert_eq!(FeedTime::from_bytes(i64::MAX.to_be_bytes()), None);
    }
}
