//! Who, and when.

use contracts::Timestamp;
use failures::Actor;
use testkit::VirtualClock;

/// The time of everything.
pub(crate) const NOW: u64 = VirtualClock::START.get();

pub(crate) fn at(epoch_millis: u64) -> Timestamp {
    Timestamp::from_epoch_millis(epoch_millis)
}

pub(crate) fn actor() -> Actor {
    Actor {
        name: "ada".to_owned(),
        at: at(NOW),
    }
}
