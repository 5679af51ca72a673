//! Time, as types that cannot be confused, and a clock that tests can turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch: the unit of leases and of Lambda deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Millis(u64);

impl Millis {
    /// The epoch itself. A lease that was given back "ended" then, whatever a clock says.
    pub const EPOCH: Self = Self(0);

    /// Wraps a number of milliseconds.
    pub const fn new(millis: u64) -> Self {
        Self(millis)
    }

    /// The number of milliseconds.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// This moment and a duration; stays at the end of time rather than wrap.
    pub fn plus(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// The second in which this moment lies.
    pub const fn to_seconds(self) -> Seconds {
        Seconds(self.0 / 1000)
    }

    /// The first full second that is not before this moment.
    pub(crate) const fn to_seconds_up(self) -> Seconds {
        Seconds(self.0.div_ceil(1000))
    }

    /// The time from `earlier` to this moment; none if that is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Seconds since the Unix epoch: the unit of DynamoDB's time to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seconds(u64);

impl Seconds {
    /// Wraps a number of seconds.
    pub const fn new(seconds: u64) -> Self {
        Self(seconds)
    }

    /// The number of seconds.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// The time in which a claim belongs to its owner alone: never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    now: Millis,
    until: Millis,
}

impl Lease {
    /// A lease to the moment at which this process will have been stopped.
    ///
    /// # Errors
    /// [`NoTimeLeft`] if that moment is now or past: no time left is a reason
    /// not to begin, never "no limit".
    pub fn until_deadline(now: Millis, deadline: Millis) -> Result<Self, NoTimeLeft> {
        if deadline <= now {
            return Err(NoTimeLeft);
        }
        Ok(Self {
            now,
            until: deadline,
        })
    }

    /// When the lease was taken.
    pub const fn now(self) -> Millis {
        self.now
    }

    /// The first moment at which another may take over.
    pub const fn until(self) -> Millis {
        self.until
    }
}

/// The deadline has passed, so nothing may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no time is left before the deadline")]
pub struct NoTimeLeft;

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// The current moment.
    fn now(&self) -> Millis;
}

/// The clock of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Millis::EPOCH.plus(since_epoch)
    }
}

/// A clock that moves only when told to. Its clones show the same time.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// A clock that stands at this moment.
    pub fn at(now: Millis) -> Self {
        Self(Arc::new(AtomicU64::new(now.get())))
    }

    /// Moves the clock forward.
    pub fn advance(&self, duration: Duration) {
        let later = self.now().plus(duration);
        self.0.store(later.get(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_with_no_time_left_is_refused() {
        let now = Millis::new(5_000);
        assert_eq!(Lease::until_deadline(now, now), Err(NoTimeLeft));
        assert_eq!(
            Lease::until_deadline(now, Millis::new(4_999)),
            Err(NoTimeLeft)
        );
        let lease = Lease::until_deadline(now, Millis::new(5_001)).unwrap();
        assert_eq!((lease.now(), lease.until()), (now, Millis::new(5_001)));
    }

    #[test]
    fn a_moment_lies_in_its_second_and_never_wraps() {
        assert_eq!(Millis::new(1_999).to_seconds(), Seconds::new(1));
        assert_eq!(Millis::new(2_000).to_seconds_up(), Seconds::new(2));
        assert_eq!(Millis::new(2_001).to_seconds_up(), Seconds::new(3));
        assert_eq!(
            Millis::new(u64::MAX).plus(Duration::MAX),
            Millis::new(u64::MAX)
        );
    }

    #[test]
    fn no_time_passes_backwards() {
        let (early, late) = (Millis::new(10), Millis::new(25));
        assert_eq!(late.since(early), Duration::from_millis(15));
        assert_eq!(early.since(late), Duration::ZERO);
    }

    #[test]
    fn clones_of_a_manual_clock_show_the_same_time() {
        let clock = ManualClock::at(Millis::new(10));
        let other = clock.clone();
        clock.advance(Duration::from_millis(5));
        assert_eq!(other.now(), Millis::new(15));
    }

    #[test]
    fn the_system_clock_counts_in_milliseconds() {
        let year_2020 = Millis::new(1_577_836_800_000);
        let year_2500 = Millis::new(16_725_225_600_000);
        assert!((year_2020..year_2500).contains(&SystemClock.now()));
    }
}
