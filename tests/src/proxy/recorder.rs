//! Lets every call pass, and writes down who made it.

use std::sync::{Mutex, MutexGuard};

use serde_json::Value;

use super::{Call, Callers, Decide, Decision};

/// A call that was passed on.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The function that made it, without the stack's name; empty for whoever is no function.
    pub caller: String,
    /// The service, such as `dynamodb`.
    pub service: String,
    /// The operation, such as `PutItem`.
    pub operation: String,
    /// The body, where it is JSON.
    pub body: Value,
}

/// Writes calls down.
#[derive(Debug)]
pub struct Recorder {
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    callers: Callers,
    calls: Vec<Recorded>,
}

impl Recorder {
    /// Knows the functions of this stack.
    pub fn of(stack: &str) -> Self {
        let callers = Callers::of(stack);
        let calls = Vec::new();
        Self {
            seen: Mutex::new(Seen { callers, calls }),
        }
    }

    /// What was written down since the last time, taken out.
    pub fn take(&self) -> Vec<Recorded> {
        std::mem::take(&mut self.seen().calls)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("nobody panics while writing down")
    }
}

impl Decide for Recorder {
    fn decide(&self, call: &Call) -> Decision {
        let mut seen = self.seen();
        let caller = seen.callers.name(call.peer).to_owned();
        seen.calls.push(Recorded {
            caller,
            service: call.service.clone(),
            operation: call.operation.clone(),
            body: serde_json::from_slice(&call.body).unwrap_or_default(),
        });
        Decision::Pass
    }
}
