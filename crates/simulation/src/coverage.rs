//! What must have happened at least once over many seeds: a check that nothing can
//! break is worth nothing.

use std::collections::BTreeMap;

use crate::Mishap;

/// Beside each [`Mishap`].
const REQUIRED: [&str; 73] = [
    "api: accepted",
    "api: the key was used for another order",
    "api: unavailable",
    "answer: stale",
    "automatic replay: its circuit is not closed",
    "begin: already completed",
    "begin: an abandoned lease is taken over",
    "begin: in progress",
    "begin: undone",
    "begin-undo: already undone",
    "begin-undo: in progress",
    "begin-undo: start, the action never ran",
    "begin-undo: start, the action was completed",
    "begin-undo: start, the action's outcome is unknown",
    "bury: done",
    "cancel: cancelled",
    "cancel: nothing to cancel",
    "charge: declined",
    "circuit-control: CircuitClosed",
    "circuit-control: CircuitHalfOpen",
    "circuit-control: ProbeFailed",
    "circuit-control: a watch fails",
    "commit-at-once: known: already completed",
    "commit-at-once: known: undone",
    "commit-at-once: short",
    "create-failure: no",
    "drain: a failure is replayed by itself",
    "drain: a message is stored",
    "drain: a replay failed again",
    "drain: people are told of a group",
    "hand-over: Healthy",
    "hand-over: Unhealthy",
    "lambda: an environment is lost",
    "lambda: an invocation runs out of time",
    "open-circuit: open before",
    "open-circuit: opened",
    "operator: a consumer is paused",
    "operator: a plan is resumed",
    "operator: a single failure is replayed",
    "operator: an order is resumed (complete)",
    "operator: an order is resumed (undo)",
    "operator: garbage is put aside",
    "order ends: completed",
    "order ends: failed",
    "order ends: needs-attention, then completed",
    "order ends: needs-attention, then failed",
    "publish: published in part",
    "queue: its own policy moves a message to the dead letters",
    "recovery ends: ABORTED",
    "recovery ends: FAILED",
    "recovery ends: SUCCEEDED",
    "refund: nothing to refund",
    "relay: a part of a batch comes again",
    "replace-failure: no",
    "replay: a group is aborted by a canary",
    "replay: a group is cleared by its canaries",
    "replay: a message failed again",
    "replay: a message is processed",
    "replay: a message is skipped",
    "rescue ends: SUCCEEDED",
    "saga ends: ABORTED",
    "saga ends: FAILED",
    "save-circuit: conflict",
    "ship: refused",
    "start-saga: exists already",
    "sweep: a missing saga is started",
    "worker: dead-lettered (ProviderUnavailable)",
    "worker: deferred (ClaimHeld)",
    "worker: quarantined (NotAnEnvelope)",
    "worker: resent (CircuitOpen)",
    "worker: retried (DeadlineExceeded)",
    "worker: retried (ProviderOutcomeUnknown)",
    "worker: retried (Superseded)",
];

/// What never happened of what should have.
pub fn missing(counts: &BTreeMap<String, u64>) -> Vec<String> {
    let mishaps = Mishap::ALL
        .into_iter()
        .map(|mishap| format!("mishap: {mishap:?}"));
    let all = REQUIRED.into_iter().map(str::to_owned).chain(mishaps);
    all.filter(|wanted| !counts.contains_key(wanted)).collect()
}
