//! What happens between the callers and AWS.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use waybill_tests::proxy::{Call, Decide, Decision, Refusal};

use crate::fault::Fault;
use crate::processes::kill_function_at;
use crate::run::Run;

/// Decides about each call by the faults that are on, and by the dice.
pub(crate) struct Network {
    run: Arc<Run>,
    stack: String,
    rng: Mutex<Rng>,
}

/// How many of ten thousand calls meet a fault while it is on.
const ODDS: [(Fault, u32); 6] = [
    (Fault::Killed, 40),
    (Fault::Throttled, 1500),
    (Fault::Unavailable, 1000),
    (Fault::Delayed, 3000),
    (Fault::CutBefore, 500),
    (Fault::CutAfter, 500),
];

impl Network {
    pub(crate) fn new(run: Arc<Run>, stack: &str) -> Self {
        Self {
            rng: Mutex::new(Rng::with_seed(run.plan.seed)),
            run,
            stack: stack.to_owned(),
        }
    }

    /// Most calls meet none.
    fn fault(&self, rng: &mut Rng) -> Option<Fault> {
        let met = ODDS
            .iter()
            .filter(|(fault, odds)| self.run.is_on(*fault) && rng.u32(0..10_000) < *odds);
        met.map(|(fault, _)| *fault).next()
    }

    /// What a killed function was asking for may have arrived or not.
    fn kill(&self, call: &Call, rng: &mut Rng) -> Option<Decision> {
        let killed = kill_function_at(call.peer, &self.stack);
        killed.then(|| match rng.bool() {
            true => Decision::CutBefore,
            false => Decision::CutAfter,
        })
    }
}

impl Decide for Network {
    fn decide(&self, call: &Call) -> Decision {
        let mut rng = self.rng.lock().expect("nobody panics while deciding");
        let Some(fault) = self.fault(&mut rng) else {
            return Decision::Pass;
        };
        let decision = match fault {
            Fault::Killed => self.kill(call, &mut rng),
            Fault::Throttled => Some(Decision::Refuse(Refusal::Throttled)),
            Fault::Unavailable => Some(Decision::Refuse(Refusal::Unavailable)),
            Fault::Delayed => Some(Decision::Delay(delay(&mut rng))),
            Fault::CutBefore => Some(Decision::CutBefore),
            Fault::CutAfter => Some(Decision::CutAfter),
            _ => None,
        };
        let Some(decision) = decision else {
            return Decision::Pass;
        };
        self.run.happened(fault);
        decision
    }
}

/// Mostly short; now and then longer than the functions wait for an answer (3 s).
fn delay(rng: &mut Rng) -> Duration {
    Duration::from_secs(4).mul_f64(rng.f64().powi(3))
}
