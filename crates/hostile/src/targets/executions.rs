//! The state machines, started by hand with whatever input.

use serde_json::Value;
use simulation::Machine;
use simulation::by_hand::{self, PLACED, When};

use super::{Target, Verdict};
use crate::corpus::seeds;

/// `order-saga`: a second saga of an order, or one of an order that nobody placed.
pub(super) const SAGA: Target = Target {
    name: "saga",
    seeds: || seeds("saga", &[]),
    check: |input| check(Machine::Saga, input),
};

/// `saga-rescue`: the event of a saga that ended, or did not.
pub(super) const RESCUE: Target = Target {
    name: "rescue",
    seeds: || seeds("rescue", &[]),
    check: |input| check(Machine::Rescue, input),
};

/// `order-recovery`: an attempt for an order that needs attention, or does not.
pub(super) const RECOVERY: Target = Target {
    name: "recovery",
    seeds: || seeds("recovery", &[]),
    check: |input| check(Machine::Recovery, input),
};

/// Step Functions starts nothing with what is no JSON. With everything else the order that
/// is there keeps its promises, and an execution that is about no order does not succeed.
fn check(machine: Machine, input: &[u8]) -> Verdict {
    let Ok(value) = serde_json::from_slice::<Value>(input) else {
        return Verdict::Refused;
    };
    let mut succeeded = false;
    for when in [When::AtOnce, When::Later] {
        let ended = by_hand::start(machine, &value, when);
        let told = || format!("{when:?}: {ended:?}\n{}", ended.story);
        assert!(ended.violation.is_none(), "{}", told());
        let status = ended.status.unwrap_or_else(|| panic!("no end; {}", told()));
        let is_about_it = value.to_string().contains(PLACED);
        // Where there is nothing to rescue, all is well.
        let may_succeed = is_about_it || machine == Machine::Rescue;
        assert!(status != "SUCCEEDED" || may_succeed, "{}", told());
        succeeded |= status == "SUCCEEDED";
    }
    match succeeded {
        true => Verdict::Accepted,
        false => Verdict::Refused,
    }
}
