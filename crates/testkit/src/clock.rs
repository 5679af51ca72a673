//! The one time of a test.

use idempotency::{Clock, Millis};
use tokio::time::Instant;

/// Shows tokio's time as a time of day: where that is paused, leases, backoff
/// and time limits all move together, and only when told to. Clones agree.
#[derive(Debug, Clone, Copy)]
pub struct VirtualClock {
    origin: Instant,
}

impl VirtualClock {
    /// What the clock shows when it is made: 2026-11-21T17:56:15.859Z.
    pub const START: Millis = Millis::new(1_795_283_775_859);

    /// A clock that starts now.
    pub(crate) fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Millis {
        Self::START.plus(self.origin.elapsed())
    }
}
