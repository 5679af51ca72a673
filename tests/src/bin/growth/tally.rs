//! How many requests the functions make.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard};

use waybill_tests::cost::ON_THE_WAY;
use waybill_tests::proxy::{Call, Caller, Decide, Decision};

/// Counts the calls of the functions on an order's way.
#[derive(Debug)]
pub(crate) struct Tally {
    stack: String,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    is_on_the_way: HashMap<SocketAddr, bool>,
    calls: u32,
}

impl Tally {
    pub(crate) fn of(stack: &str) -> Self {
        Self {
            stack: stack.to_owned(),
            seen: Mutex::default(),
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
        let look = || {
            let caller = Caller::at(call.peer, &self.stack);
            caller.is_some_and(|it| ON_THE_WAY.contains(&it.function.as_str()))
        };
        let counts = *seen.is_on_the_way.entry(call.peer).or_insert_with(look);
        seen.calls += u32::from(counts);
        Decision::Pass
    }
}
