//! Random interleavings of attempts at one operation and its undo.

#![allow(
    clippy::unwrap_used,
    reason = "a panic in a test is its failure report"
)]

mod steps;

use std::collections::HashSet;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use idempotency::record::{
    decide_begin, decide_begin_undo, decide_complete, decide_complete_undo, decide_completed_put,
    decide_release, decide_release_undo, decide_renew, decide_renew_undo, decide_tombstone_put,
    decide_undone_update,
};
use idempotency::{
    ActionOutcome, Begin, BeginUndo, Claim, Fingerprint, Key, MemoryStore, Millis, OwnerToken,
    Record, ResultJson, State, Store, Superseded,
};
use proptest::prelude::*;

use steps::{Answer, Call, Players, Step, send_in_memory, step};

const FOREVER: u64 = 1_000_000_000;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_interleaving_breaks_a_promise(steps in prop::collection::vec(step(), 1..60)) {
        let store = MemoryStore::default();
        let mut promises = Promises::default();
        play(FOREVER, &steps, |call| {
            let answer = ready(send_in_memory(&store, call));
            promises.check(call, &answer, stored(&store).as_ref());
            answer
        });
    }

    #[test]
    fn the_memory_store_does_what_the_pure_functions_decide(
        steps in prop::collection::vec(step(), 1..60)
    ) {
        let store = MemoryStore::default();
        let mut record = None;
        play(20, &steps, |call| {
            let answer = ready(send_in_memory(&store, call));
            assert_eq!(answer, decided(&mut record, call));
            assert_eq!(stored(&store), record);
            answer
        });
    }
}

fn play(keep_seconds: u64, steps: &[Step], mut act: impl FnMut(&Call) -> Answer) {
    let mut players = Players::new(key(), keep_seconds);
    for step in steps {
        if let Some(call) = players.call(step) {
            let answer = act(&call);
            players.learn(&answer);
        }
    }
}

fn key() -> Key {
    Key::new("operation").unwrap()
}

fn stored(store: &MemoryStore) -> Option<Record> {
    ready(store.get(&key())).unwrap()
}

/// The value of a future that never waits.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the store in memory waits for something"),
    }
}

/// The same call by the pure functions alone.
fn decided(record: &mut Option<Record>, call: &Call) -> Answer {
    let old = record.clone();
    let mut write = |next: Record| *record = Some(next);
    let mut settle = |next: Result<Record, Superseded>| match next {
        Ok(next) => {
            write(next);
            Answer::Settled
        }
        Err(Superseded) => Answer::Superseded,
    };
    let old = old.as_ref();
    match call {
        Call::Complete(started, result) => settle(decide_complete(old, started, result)),
        Call::Release(started) => settle(decide_release(old, started)),
        Call::CompleteUndo(started, result) => settle(decide_complete_undo(old, started, result)),
        Call::ReleaseUndo(started) => settle(decide_release_undo(old, started)),
        Call::Renew(started, until) => {
            let renewed = started.renewed(*until);
            match settle(decide_renew(old, &renewed)) {
                Answer::Settled => Answer::Renewed(renewed),
                refusal => refusal,
            }
        }
        Call::RenewUndo(started, until) => {
            let renewed = started.renewed(*until);
            match settle(decide_renew_undo(old, &renewed)) {
                Answer::Settled => Answer::RenewedUndo(renewed),
                refusal => refusal,
            }
        }
        Call::CompletedPut(claim, result) => decide_completed_put(old, claim, result)
            .map_or_else(Answer::RefusedPut, |next| settle(Ok(next))),
        Call::UndoneUpdate(claim, result) => decide_undone_update(old, claim, result)
            .map_or_else(Answer::RefusedUndo, |next| settle(Ok(next))),
        Call::TombstonePut(claim, result) => decide_tombstone_put(old, claim, result)
            .map_or_else(Answer::RefusedUndo, |next| settle(Ok(next))),
        Call::Begin(claim) => {
            let answer = decide_begin(old, claim);
            if matches!(answer, Begin::Start(_)) {
                settle(Ok(Record::started(claim)));
            }
            Answer::Begin(answer)
        }
        Call::BeginUndo(claim) => {
            let answer = decide_begin_undo(old, claim);
            if let BeginUndo::Start(undo) = &answer {
                settle(Ok(Record::undoing(claim, undo.action.clone())));
            }
            Answer::BeginUndo(answer)
        }
    }
}

/// What was seen so far, and what must therefore never be seen again.
#[derive(Default)]
struct Promises {
    payload: Option<Fingerprint>,
    held: Option<(OwnerToken, Millis)>,
    completed_by: HashSet<OwnerToken>,
    result: Option<ResultJson>,
    undo_began: bool,
    undone_by: HashSet<OwnerToken>,
    undo_result: Option<ResultJson>,
}

impl Promises {
    fn check(&mut self, call: &Call, answer: &Answer, record: Option<&Record>) {
        match (call, answer) {
            (Call::Begin(claim), Answer::Begin(Begin::Start(started))) => {
                assert!(!self.undo_began, "an action began after its undo");
                assert!(
                    self.completed_by.is_empty(),
                    "a completed action began again"
                );
                assert_eq!(
                    self.payload.get_or_insert(claim.fingerprint.clone()),
                    &claim.fingerprint
                );
                self.hold(claim, started.lease_until);
            }
            (Call::Begin(_), Answer::Begin(Begin::AlreadyCompleted { result, .. })) => {
                assert_eq!(Some(result), self.result.as_ref());
            }
            (Call::BeginUndo(claim), Answer::BeginUndo(BeginUndo::Start(undo))) => {
                assert!(self.undone_by.is_empty(), "what is undone is undone again");
                assert_eq!(recorded(&undo.action), self.result.as_ref());
                self.undo_began = true;
                self.hold(claim, undo.lease_until);
            }
            (Call::BeginUndo(_), Answer::BeginUndo(BeginUndo::AlreadyUndone { result })) => {
                assert_eq!(Some(result), self.undo_result.as_ref());
            }
            (Call::Complete(started, result), Answer::Settled) => {
                assert!(!self.undo_began, "an action completed after its undo began");
                self.complete(started.owner, result);
            }
            (Call::CompletedPut(claim, result), Answer::Settled) => {
                assert!(!self.undo_began, "an action completed after its undo began");
                self.complete(claim.owner, result);
            }
            (Call::CompleteUndo(started, result), Answer::Settled) => {
                self.complete_undo(started.owner, result);
            }
            (
                Call::UndoneUpdate(claim, result) | Call::TombstonePut(claim, result),
                Answer::Settled,
            ) => {
                self.undo_began = true;
                self.complete_undo(claim.owner, result);
            }
            (Call::Renew(..), Answer::Renewed(started)) => {
                assert!(
                    !self.undo_began,
                    "an action was renewed after its undo began"
                );
                self.hold_on(started.owner, started.lease_until);
            }
            (Call::RenewUndo(..), Answer::RenewedUndo(started)) => {
                self.hold_on(started.owner, started.lease_until);
            }
            (Call::Release(started), Answer::Settled) => self.give_back(started.owner),
            (Call::ReleaseUndo(started), Answer::Settled) => self.give_back(started.owner),
            _ => {}
        }
        self.check_results_survive(record);
    }

    fn hold(&mut self, claim: &Claim, until: Millis) {
        if let Some((_, held_until)) = self.held {
            assert!(
                held_until <= claim.now,
                "two attempts hold the claim at once"
            );
        }
        self.held = Some((claim.owner, until));
    }

    fn hold_on(&mut self, owner: OwnerToken, until: Millis) {
        let holder = self.held.map(|(owner, _)| owner);
        assert_eq!(holder, Some(owner), "a claim was renewed that is not held");
        self.held = Some((owner, until));
    }

    /// A release that is repeated, or that comes after the completion, changes nothing.
    fn give_back(&mut self, owner: OwnerToken) {
        if let Some((holder, _)) = self.held.take() {
            assert_eq!(holder, owner, "another's claim was given back");
        }
    }

    fn complete(&mut self, owner: OwnerToken, result: &ResultJson) {
        self.completed_by.insert(owner);
        assert_eq!(
            self.completed_by.len(),
            1,
            "two owners completed the operation"
        );
        self.result.get_or_insert_with(|| result.clone());
        self.held = None;
    }

    fn complete_undo(&mut self, owner: OwnerToken, result: &ResultJson) {
        self.undone_by.insert(owner);
        assert_eq!(self.undone_by.len(), 1, "two owners completed the undo");
        self.undo_result.get_or_insert_with(|| result.clone());
        self.held = None;
    }

    fn check_results_survive(&self, record: Option<&Record>) {
        let (result, undo_result) = match record.map(|record| &record.state) {
            None | Some(State::Started { .. }) => (None, None),
            Some(State::Completed { result, .. }) => (Some(result), None),
            Some(State::Undoing { action, .. }) => (recorded(action), None),
            Some(State::Undone { action, result, .. }) => (recorded(action), Some(result)),
        };
        assert_eq!(result, self.result.as_ref(), "the action's result was lost");
        assert_eq!(
            undo_result,
            self.undo_result.as_ref(),
            "the undo's result was lost"
        );
    }
}

fn recorded(action: &ActionOutcome) -> Option<&ResultJson> {
    match action {
        ActionOutcome::Completed { result } => Some(result),
        ActionOutcome::NeverRan | ActionOutcome::Unknown => None,
    }
}
