//! Exponential backoff with full jitter.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long a message waits before it is received again.
///
/// The ceiling doubles with every receive, from `base` up to `cap`; the delay
/// is drawn evenly between zero and the ceiling ("full jitter"), so that the
/// messages of one outage do not come back all at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The ceiling after the first receive.
    pub base: Duration,
    /// The ceiling never exceeds this.
    pub cap: Duration,
}

impl Backoff {
    /// The longest delay after the given receive, counted from 1.
    #[must_use]
    pub fn ceiling(&self, receive_count: u32) -> Duration {
        let doublings = receive_count.saturating_sub(1);
        let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.cap)
    }

    /// A delay between zero and the ceiling.
    #[must_use]
    pub fn delay(&self, receive_count: u32, jitter: &Jitter) -> Duration {
        let ceiling = self.ceiling(receive_count);
        let nanos = u64::try_from(ceiling.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(jitter.up_to(nanos))
    }
}

impl Default for Backoff {
    /// From two seconds to five minutes.
    fn default() -> Self {
        Self {
            base: Duration::from_secs(2),
            cap: Duration::from_secs(300),
        }
    }
}

/// The random numbers of the backoff: the SplitMix64 generator, good enough to
/// spread retries and too simple for anything secret.
#[derive(Debug)]
pub struct Jitter {
    state: AtomicU64,
}

impl Jitter {
    const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

    /// The same seed gives the same delays, for tests and simulations.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self {
            state: AtomicU64::new(seed),
        }
    }

    /// A number from zero to `limit`, both included.
    fn up_to(&self, limit: u64) -> u64 {
        // Multiplying and keeping the high half scales without a bias worth
        // speaking of, and without a division.
        let scaled = u128::from(self.next()) * (u128::from(limit) + 1);
        u64::try_from(scaled >> 64).unwrap_or(limit)
    }

    fn next(&self) -> u64 {
        let state = self.state.fetch_add(Self::STEP, Ordering::Relaxed);
        let mut mixed = state.wrapping_add(Self::STEP);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

impl Default for Jitter {
    /// Seeded by the operating system, by way of the standard library's
    /// randomly keyed hasher.
    fn default() -> Self {
        Self::seeded(RandomState::new().build_hasher().finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff {
        base: Duration::from_millis(500),
        cap: Duration::from_secs(5),
    };

    #[test]
    fn the_ceiling_doubles_up_to_the_cap_and_never_overflows() {
        #[track_caller]
        fn check(receive_count: u32, millis: u64) {
            assert_eq!(
                BACKOFF.ceiling(receive_count),
                Duration::from_millis(millis)
            );
        }
        check(0, 500);
        check(1, 500);
        check(2, 1000);
        check(4, 4000);
        check(5, 5000);
        check(33, 5000);
        check(u32::MAX, 5000);
    }

    #[test]
    fn delays_fill_the_range_evenly_and_stay_below_the_ceiling() {
        let jitter = Jitter::seeded(7);
        let delays: Vec<_> = (0..1000).map(|_| BACKOFF.delay(2, &jitter)).collect();
        assert!(delays.iter().all(|delay| *delay <= BACKOFF.ceiling(2)));
        let below_half = delays.iter().filter(|d| d.as_millis() < 500).count();
        assert!((400..600).contains(&below_half), "{below_half} of 1000");
    }

    #[test]
    fn the_same_seed_gives_the_same_delays() {
        let draw = |seed| {
            let jitter = Jitter::seeded(seed);
            [1, 2, 3].map(|count| BACKOFF.delay(count, &jitter))
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn the_whole_range_of_numbers_can_be_drawn() {
        let jitter = Jitter::seeded(0);
        assert_eq!(jitter.up_to(0), 0);
        assert!((0..100).any(|_| jitter.up_to(1) == 1));
        assert!((0..100).any(|_| jitter.up_to(u64::MAX) > u64::MAX / 2));
    }
}
