//! Faults on order: which call of a port goes wrong, and how.

use std::collections::BTreeMap;
use std::time::Duration;

use idempotency::StoreError;
use ports::{CommitError, ProviderError, Unavailable};

/// The operations of all ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// `OrderStore::accept`
    AcceptOrder,
    /// `OrderReader::find`
    FindOrder,
    /// `Store::begin`
    Begin,
    /// `Store::complete`
    Complete,
    /// `Store::release`
    Release,
    /// `Store::begin_undo`
    BeginUndo,
    /// `Store::complete_undo`
    CompleteUndo,
    /// `Store::release_undo`
    ReleaseUndo,
    /// `Store::get`
    GetRecord,
    /// `Completions::completion`
    Completion,
    /// `StepJournal::commit`
    Commit,
    /// `StepJournal::commit_undo`
    CommitUndo,
    /// `StockJournal::commit_at_once`
    CommitAtOnce,
    /// `StockJournal::undo_at_once`
    UndoAtOnce,
    /// `StockJournal::bury`
    Bury,
    /// `PaymentProvider::charge`
    Charge,
    /// `PaymentProvider::refund`
    Refund,
    /// `Warehouse::ship`
    Ship,
    /// `Warehouse::cancel`
    Cancel,
    /// `TaskAnswers::answer`
    Answer,
    /// `Bus::publish`
    Publish,
    /// `HeldOrders::report`
    HoldOrder,
    /// `Sagas::start`
    StartSaga,
    /// `AuditTrail::append`
    AppendAudit,
    /// `People::tell`
    TellPeople,
    /// `DeadLetters::look_into`
    LookInto,
    /// `FailureStore::get`
    GetFailure,
    /// `FailureStore::create`
    CreateFailure,
    /// `FailureStore::replace`
    ReplaceFailure,
    /// `FailureStore::replace_and_create`
    ReplaceAndCreateFailure,
    /// `FailureStore::find`
    FindFailures,
    /// `GroupStore::get_group`
    GetGroup,
    /// `GroupStore::put_group`
    PutGroup,
    /// `GroupStore::groups`
    ListGroups,
    /// `PlanStore::create_plan`
    CreatePlan,
    /// `PlanStore::get_plan`
    GetPlan,
    /// `PlanStore::put_progress`
    PutProgress,
    /// `PlanStore::plans`
    ListPlans,
    /// `DeadLetterQueues::receive`
    ReceiveDeadLetters,
    /// `DeadLetterQueues::delete`
    DeleteDeadLetter,
    /// `ReplayQueues::send`
    SendReplay,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 40] = [
        Self::AcceptOrder,
        Self::FindOrder,
        Self::Begin,
        Self::Complete,
        Self::Release,
        Self::BeginUndo,
        Self::CompleteUndo,
        Self::ReleaseUndo,
        Self::GetRecord,
        Self::Completion,
        Self::Commit,
        Self::CommitUndo,
        Self::CommitAtOnce,
        Self::UndoAtOnce,
        Self::Bury,
        Self::Charge,
        Self::Refund,
        Self::Ship,
        Self::Cancel,
        Self::Answer,
        Self::Publish,
        Self::StartSaga,
        Self::AppendAudit,
        Self::TellPeople,
        Self::LookInto,
        Self::GetFailure,
        Self::CreateFailure,
        Self::ReplaceFailure,
        Self::ReplaceAndCreateFailure,
        Self::FindFailures,
        Self::GetGroup,
        Self::PutGroup,
        Self::ListGroups,
        Self::CreatePlan,
        Self::GetPlan,
        Self::PutProgress,
        Self::ListPlans,
        Self::ReceiveDeadLetters,
        Self::DeleteDeadLetter,
        Self::SendReplay,
    ];
}

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An error, and no effect.
    ErrorBefore,
    /// An error, though the effect took place: the answer was lost.
    ErrorAfter,
    /// No effect and no answer, ever: the caller dies or runs out of time here.
    SilenceBefore,
    /// The effect takes place, and the caller dies or runs out of time.
    SilenceAfter,
    /// The effect takes place after a while.
    Delay(Duration),
}

impl Fault {
    /// Every way to fail at a call, which are the crash points around it.
    pub const FAILURES: [Self; 4] = [
        Self::ErrorBefore,
        Self::ErrorAfter,
        Self::SilenceBefore,
        Self::SilenceAfter,
    ];
}

/// The source of an injected error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Injected(pub Operation);

impl std::fmt::Display for Injected {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "injected into {:?}", self.0)
    }
}

impl std::error::Error for Injected {}

/// The errors that a port returns where a call went wrong on the way.
pub(crate) trait Lost {
    /// The request did not get there.
    fn request(at: Injected) -> Self;
    /// The answer did not get back.
    fn answer(at: Injected) -> Self;
}

impl Lost for Unavailable {
    fn request(at: Injected) -> Self {
        Self::new("testkit", at)
    }

    fn answer(at: Injected) -> Self {
        Self::request(at)
    }
}

impl Lost for StoreError {
    fn request(at: Injected) -> Self {
        Self::Unavailable(Box::new(at))
    }

    fn answer(at: Injected) -> Self {
        Self::request(at)
    }
}

impl Lost for CommitError {
    fn request(at: Injected) -> Self {
        Self::Store(Lost::request(at))
    }

    fn answer(at: Injected) -> Self {
        Self::request(at)
    }
}

impl Lost for ProviderError {
    fn request(at: Injected) -> Self {
        Self::Unavailable(Box::new(at))
    }

    fn answer(at: Injected) -> Self {
        Self::OutcomeUnknown(Box::new(at))
    }
}

/// What was called, and what is still to go wrong.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    calls: Vec<Operation>,
    counts: BTreeMap<Operation, usize>,
    by_number: BTreeMap<usize, Fault>,
    by_operation: BTreeMap<(Operation, usize), Fault>,
}

impl Plan {
    /// At a call by its number, whatever it calls, counted from 0.
    pub(crate) fn at_call(&mut self, number: usize, fault: Fault) {
        self.by_number.insert(number, fault);
    }

    /// At a call of one operation, counted from 0.
    pub(crate) fn at(&mut self, operation: Operation, number: usize, fault: Fault) {
        self.by_operation.insert((operation, number), fault);
    }

    pub(crate) fn calls(&self) -> &[Operation] {
        &self.calls
    }

    /// Notes a call and says how it goes wrong, if it does.
    pub(crate) fn next(&mut self, operation: Operation) -> Option<Fault> {
        let number = self.calls.len();
        let count = self.counts.entry(operation).or_default();
        let before = *count;
        *count += 1;
        self.calls.push(operation);
        let planned = self.by_number.get(&number);
        planned
            .or_else(|| self.by_operation.get(&(operation, before)))
            .copied()
    }
}
