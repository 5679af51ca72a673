//! Random steps of several attempts at one operation, for any store.

use idempotency::{
    Begin, BeginUndo, Claim, Fingerprint, Key, MemoryStore, Millis, OnAbandoned, OwnerToken, Renew,
    ResultJson, Seconds, Started, StoreError, UndoStarted,
};
use proptest::prelude::*;

/// What happens next. Indices choose among the rights won so far, old ones too.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Advance { millis: u64 },
    Begin { payload: u8, block: bool },
    Complete { right: usize },
    Release { right: usize },
    BeginUndo { payload: u8, block: bool },
    CompleteUndo { right: usize },
    ReleaseUndo { right: usize },
    Renew { right: usize },
    RenewUndo { right: usize },
    CompletedPut { payload: u8, block: bool },
    UndoneUpdate { payload: u8 },
    TombstonePut { payload: u8 },
}

/// Steps in which a wrong payload and the one-step forms are rare enough for the
/// long stories to happen too, and whole seconds hit the very end of leases.
pub(crate) fn step() -> impl Strategy<Value = Step> {
    let payload = || prop_oneof![7 => Just(0_u8), 1 => Just(1_u8)];
    let block = || prop::bool::weighted(0.2);
    let right = 0_usize..4;
    let millis = prop_oneof![1_u64..8_000, (1_u64..8).prop_map(|seconds| seconds * 1_000)];
    prop_oneof![
        4 => millis.prop_map(|millis| Step::Advance { millis }),
        6 => (payload(), block()).prop_map(|(payload, block)| Step::Begin { payload, block }),
        3 => right.clone().prop_map(|right| Step::Complete { right }),
        2 => right.clone().prop_map(|right| Step::Release { right }),
        3 => (payload(), block()).prop_map(|(payload, block)| Step::BeginUndo { payload, block }),
        2 => right.clone().prop_map(|right| Step::CompleteUndo { right }),
        3 => settling_seldom(right),
        1 => (payload(), block())
            .prop_map(|(payload, block)| Step::CompletedPut { payload, block }),
        1 => payload().prop_map(|payload| Step::UndoneUpdate { payload }),
        1 => payload().prop_map(|payload| Step::TombstonePut { payload }),
    ]
}

/// Apart from the rest, since a choice among more than ten could not be sent
/// between threads.
fn settling_seldom(right: std::ops::Range<usize>) -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => right.clone().prop_map(|right| Step::ReleaseUndo { right }),
        1 => right.clone().prop_map(|right| Step::Renew { right }),
        1 => right.prop_map(|right| Step::RenewUndo { right }),
    ]
}

/// One call to a store.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    Begin(Claim),
    Complete(Started, ResultJson),
    Release(Started),
    BeginUndo(Claim),
    CompleteUndo(UndoStarted, ResultJson),
    ReleaseUndo(UndoStarted),
    Renew(Started, Millis),
    RenewUndo(UndoStarted, Millis),
    CompletedPut(Claim, ResultJson),
    UndoneUpdate(Claim, ResultJson),
    TombstonePut(Claim, ResultJson),
}

/// What the store answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Begin(Begin),
    BeginUndo(BeginUndo),
    Renewed(Started),
    RenewedUndo(UndoStarted),
    Settled,
    Superseded,
    RefusedPut(Begin),
    RefusedUndo(BeginUndo),
}

impl Answer {
    /// The answer to an operation in one step.
    pub(crate) fn put(answer: Result<(), Begin>) -> Self {
        answer.map_or_else(Self::RefusedPut, |()| Self::Settled)
    }

    /// The answer to an undo in one step.
    pub(crate) fn undo(answer: Result<(), BeginUndo>) -> Self {
        answer.map_or_else(Self::RefusedUndo, |()| Self::Settled)
    }

    /// The answer to a step that settles a claim.
    pub(crate) fn settled(answer: Result<(), StoreError>) -> Self {
        Self::unless_superseded(answer, |()| Self::Settled)
    }

    /// The answer to a step that another attempt may have got ahead of.
    fn unless_superseded<T>(answer: Result<T, StoreError>, then: impl FnOnce(T) -> Self) -> Self {
        match answer {
            Ok(value) => then(value),
            Err(StoreError::Superseded(_)) => Self::Superseded,
            Err(error) => panic!("the store failed: {error:?}"),
        }
    }
}

/// Sends the calls that every store understands; the one-step forms are left.
pub(crate) async fn send(store: &impl Renew, call: &Call) -> Answer {
    match call {
        Call::Begin(claim) => Answer::Begin(store.begin(claim).await.unwrap()),
        Call::Complete(started, result) => Answer::settled(store.complete(started, result).await),
        Call::Release(started) => Answer::settled(store.release(started).await),
        Call::BeginUndo(claim) => Answer::BeginUndo(store.begin_undo(claim).await.unwrap()),
        Call::CompleteUndo(started, result) => {
            Answer::settled(store.complete_undo(started, result).await)
        }
        Call::ReleaseUndo(started) => Answer::settled(store.release_undo(started).await),
        Call::Renew(started, until) => {
            Answer::unless_superseded(store.renew(started, *until).await, Answer::Renewed)
        }
        Call::RenewUndo(started, until) => {
            let answer = store.renew_undo(started, *until).await;
            Answer::unless_superseded(answer, Answer::RenewedUndo)
        }
        Call::CompletedPut(..) | Call::UndoneUpdate(..) | Call::TombstonePut(..) => {
            panic!("not a step of the port: {call:?}")
        }
    }
}

/// The same with the one-step forms, for the store in memory.
pub(crate) async fn send_in_memory(store: &MemoryStore, call: &Call) -> Answer {
    match call {
        Call::CompletedPut(claim, result) => Answer::put(store.completed_put(claim, result)),
        Call::UndoneUpdate(claim, result) => Answer::undo(store.undone_update(claim, result)),
        Call::TombstonePut(claim, result) => Answer::undo(store.tombstone_put(claim, result)),
        call => send(store, call).await,
    }
}

/// All attempts together: their time, and the rights that they have won.
pub(crate) struct Players {
    key: Key,
    now: Millis,
    keep_seconds: u64,
    attempts: u128,
    rights: Vec<Started>,
    undo_rights: Vec<UndoStarted>,
}

const LEASE_MILLIS: u64 = 5_000;

impl Players {
    pub(crate) fn new(key: Key, keep_seconds: u64) -> Self {
        let now = Millis::new(1_000_000);
        Self {
            key,
            now,
            keep_seconds,
            attempts: 0,
            rights: Vec::new(),
            undo_rights: Vec::new(),
        }
    }

    /// The call that a step means now, if it means one.
    pub(crate) fn call(&mut self, step: &Step) -> Option<Call> {
        self.attempts += 1;
        let result = ResultJson::encode(&format!("result {}", self.attempts)).unwrap();
        match *step {
            Step::Advance { millis } => {
                self.now = Millis::new(self.now.get() + millis);
                None
            }
            Step::Begin { payload, block } => Some(Call::Begin(self.claim(payload, block))),
            Step::BeginUndo { payload, block } => Some(Call::BeginUndo(self.claim(payload, block))),
            Step::Complete { right } => Some(Call::Complete(pick(&self.rights, right)?, result)),
            Step::Release { right } => Some(Call::Release(pick(&self.rights, right)?)),
            Step::CompleteUndo { right } => {
                Some(Call::CompleteUndo(pick(&self.undo_rights, right)?, result))
            }
            Step::ReleaseUndo { right } => Some(Call::ReleaseUndo(pick(&self.undo_rights, right)?)),
            Step::Renew { right } => {
                Some(Call::Renew(pick(&self.rights, right)?, self.lease_end()))
            }
            Step::RenewUndo { right } => Some(Call::RenewUndo(
                pick(&self.undo_rights, right)?,
                self.lease_end(),
            )),
            Step::CompletedPut { payload, block } => {
                Some(Call::CompletedPut(self.claim(payload, block), result))
            }
            Step::UndoneUpdate { payload } => {
                Some(Call::UndoneUpdate(self.claim(payload, false), result))
            }
            Step::TombstonePut { payload } => {
                Some(Call::TombstonePut(self.claim(payload, false), result))
            }
        }
    }

    /// Remembers the rights that an answer grants.
    pub(crate) fn learn(&mut self, answer: &Answer) {
        match answer {
            Answer::Begin(Begin::Start(started)) | Answer::Renewed(started) => {
                self.rights.push(started.clone());
            }
            Answer::BeginUndo(BeginUndo::Start(started)) | Answer::RenewedUndo(started) => {
                self.undo_rights.push(started.clone());
            }
            _ => {}
        }
    }

    fn lease_end(&self) -> Millis {
        Millis::new(self.now.get() + LEASE_MILLIS)
    }

    fn claim(&self, payload: u8, block: bool) -> Claim {
        Claim {
            key: self.key.clone(),
            fingerprint: Fingerprint::of([payload]),
            owner: OwnerToken::from_u128(self.attempts),
            now: self.now,
            lease_until: self.lease_end(),
            expires_at: Seconds::new(self.now.to_seconds().get() + self.keep_seconds),
            on_abandoned: if block {
                OnAbandoned::Block
            } else {
                OnAbandoned::Retry
            },
        }
    }
}

/// The newest right for 0, the one before it for 1, and so on.
fn pick<T: Clone>(rights: &[T], back: usize) -> Option<T> {
    rights.iter().rev().nth(back).cloned()
}
