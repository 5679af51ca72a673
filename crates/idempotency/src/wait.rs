//! Waiting for an attempt that is under way elsewhere.

use std::time::Duration;

use crate::{Claim, Millis, OwnerToken};

/// How to wait for an attempt that is under way elsewhere: for at most a time,
/// looking again after pauses that double, from 50 milliseconds to a second
/// unless told otherwise.
///
/// Each look is a request like the first. None comes later than the end of the
/// other attempt's lease, when the operation can be taken over, or than the own
/// deadline. Half of each pause is random, so that many who wait for the same
/// do not come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    at_most: Duration,
    first_pause: Duration,
    longest_pause: Duration,
}

impl Wait {
    /// Waits for at most this time.
    pub const fn at_most(time: Duration) -> Self {
        Self {
            at_most: time,
            first_pause: Duration::from_millis(50),
            longest_pause: Duration::from_secs(1),
        }
    }

    /// The same with other pauses, of at least a millisecond.
    #[must_use]
    pub const fn with_pauses(self, first: Duration, longest: Duration) -> Self {
        Self {
            first_pause: first,
            longest_pause: longest,
            ..self
        }
    }

    /// The end of the wait that begins now.
    pub(crate) fn end(self, now: Millis, deadline: Millis) -> Millis {
        now.plus(self.at_most).min(deadline)
    }

    /// The pause before another look, if there is time for one before `end`.
    /// `until` is when the other attempt's lease ends; `random` says how much of
    /// the pause's second half there is.
    pub(crate) fn pause(
        self,
        look: u32,
        now: Millis,
        until: Millis,
        end: Millis,
        random: OwnerToken,
    ) -> Option<Duration> {
        let times = 1_u32.checked_shl(look).unwrap_or(u32::MAX);
        let longest = self
            .first_pause
            .saturating_mul(times)
            .min(self.longest_pause);
        let random_part = longest.mul_f64(random.fraction() / 2.0);
        let pause = (longest / 2).saturating_add(random_part);
        let pause = pause.min(until.since(now)).max(Duration::from_millis(1));
        (now.plus(pause) < end).then_some(pause)
    }
}

/// A wait that is under way.
#[derive(Debug)]
pub(crate) struct Patience {
    /// How to wait, and until when, if at all.
    wait: Option<(Wait, Millis)>,
    looks: u32,
}

impl Patience {
    pub(crate) fn new(wait: Option<Wait>, now: Millis, deadline: Millis) -> Self {
        Self {
            wait: wait.map(|wait| (wait, wait.end(now, deadline))),
            looks: 0,
        }
    }

    /// Waits before another look; false if there is to be none.
    pub(crate) async fn pause(&mut self, claim: &Claim, until: Millis) -> bool {
        let Some((wait, end)) = self.wait else {
            return false;
        };
        let Some(pause) = wait.pause(self.looks, claim.now, until, end, claim.owner) else {
            return false;
        };
        self.looks = self.looks.saturating_add(1);
        tokio::time::sleep(pause).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis::new(1_000_000);
    const FAR: Millis = Millis::new(2_000_000);

    fn pause(look: u32, until: Millis, end: Millis, random: u128) -> Option<Duration> {
        let wait = Wait::at_most(Duration::from_secs(10));
        wait.pause(look, NOW, until, end, OwnerToken::from_u128(random))
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_half_of_each_is_random() {
        let millis = Duration::from_millis;
        for (look, least) in [(0, 25), (1, 50), (4, 400), (5, 500), (6, 500), (99, 500)] {
            assert_eq!(pause(look, FAR, FAR, 0), Some(millis(least)), "{look}");
            let most = pause(look, FAR, FAR, u128::MAX).unwrap();
            assert!(
                most > millis(2 * least - 1) && most <= millis(2 * least),
                "{look}: {most:?}"
            );
        }
    }

    #[test]
    fn no_pause_is_empty_and_none_overflows() {
        let odd = |first, longest| {
            let wait = Wait::at_most(Duration::MAX).with_pauses(first, longest);
            wait.pause(40, NOW, FAR, FAR, OwnerToken::from_u128(u128::MAX))
        };
        assert_eq!(
            odd(Duration::ZERO, Duration::ZERO),
            Some(Duration::from_millis(1))
        );
        assert_eq!(
            odd(Duration::MAX, Duration::MAX),
            None,
            "there is no look after the end"
        );
    }

    #[test]
    fn the_last_pause_ends_with_the_lease_of_the_other() {
        let until = NOW.plus(Duration::from_millis(7));
        assert_eq!(pause(5, until, FAR, 0), Some(Duration::from_millis(7)));
    }

    #[test]
    fn there_is_no_look_at_the_end_or_after_it() {
        let end = |millis| NOW.plus(Duration::from_millis(millis));
        assert_eq!(pause(0, FAR, end(25), 0), None);
        assert_eq!(pause(0, FAR, end(26), 0), Some(Duration::from_millis(25)));
    }

    #[test]
    fn the_wait_ends_with_its_time_or_the_deadline() {
        let wait = Wait::at_most(Duration::from_secs(10));
        let ten_seconds_on = NOW.plus(Duration::from_secs(10));
        assert_eq!(wait.end(NOW, FAR), ten_seconds_on);
        assert_eq!(
            wait.end(NOW, NOW.plus(Duration::from_secs(3))),
            NOW.plus(Duration::from_secs(3))
        );
    }
}
