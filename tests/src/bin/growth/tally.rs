//! How many requests the functions make.

use std::sync::{Mutex, MutexGuard};

use waybill_tests::cost::ON_THE_WAY;
use waybill_tests::proxy::{Call, Callers, Decide, Decision};

/// Counts the calls of the functions on an order's way.
#[derive(Debug)]
pub(crate) struct Tally {
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    callers: Callers,
    calls: u32,
}

impl Tally {
    pub(crate) fn of(stack: &str) -> Self {
        let callers = Callers::of(stack);
        Self {
            seen: Mutex::new(Seen { callers, calls: 0 }),
        }
    }

    /// Since the last time.
    pub(crate) fn take(&self) -> u32 {
        std::mem::take(&mut self.seen().calls)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("nobody panics while counting")
    }
}

impl Decide for Tally {
    fn decide(&self, call: &Call) -> Decision {
        let mut seen = self.seen();
        let counts = ON_THE_WAY.contains(&seen.callers.name(call.peer));
        seen.calls += u32::from(counts);
        Decision::Pass
    }
}
