//! Steps with an outside party: claim, ask, commit.

use std::future::Future;
use std::time::Duration;

use circuit::{AlwaysClosed, Breaker, Call, Health};
use contracts::{CommandMessage, Event, Lineage, Timestamp};
use domain::stock::Movement;
use domain::{ItemQuantity, Knowledge};
use idempotency::{
    ActionOutcome, Begin, BeginUndo, Claim, Clock, Millis, NoTimeLeft, ResultJson, Started,
    StoreError, UndoStarted,
};
use message_worker::RecordContext;
use ports::{
    Answer, CommitError, Completion, Completions, OrderChange, ProviderError, StepJournal,
    StockMove,
};

use crate::{StepError, Steps};

/// How long an outside party may take; shorter than [`crate::LEASE`].
pub const PROVIDER_TIME_LIMIT: Duration = Duration::from_secs(10);

/// What an effect came to.
#[derive(Debug)]
pub struct Done {
    /// Stored in the step's record; a duplicate is answered from it.
    pub result: ResultJson,
    /// What changes with it, if anything.
    pub change: Option<OrderChange>,
    /// Whether the outside party was asked. What it answered then shows that it serves.
    pub asked: bool,
}

/// An action and its undo on an outside party.
///
/// Both may run again after a crash, under the same provider keys: the outside
/// party makes that one effect.
pub trait Effects: Send + Sync {
    /// Carries out the action.
    fn act(&self, message: &CommandMessage)
    -> impl Future<Output = Result<Done, StepError>> + Send;

    /// Undoes what the action recorded, or whatever the outside party knows of it.
    fn undo(
        &self,
        message: &CommandMessage,
        action: &ActionOutcome,
    ) -> impl Future<Output = Result<Done, StepError>> + Send;

    /// What to do when the action took effect outside and may not be recorded, since
    /// the order has ended meanwhile or the pieces are not there: take the effect
    /// back, and come to a refusal that sets no status.
    fn take_back(
        &self,
        message: &CommandMessage,
        why: &CommitError,
    ) -> impl Future<Output = Result<Done, StepError>> + Send;

    /// The answer that a stored result of the action stands for.
    ///
    /// # Errors
    /// [`StepError::Damaged`] where the result cannot be read.
    fn answer(&self, result: &ResultJson) -> Result<Answer, StepError>;
}

/// Carries out the steps of one outside party.
#[derive(Debug)]
pub struct ClaimedSteps<J, E, C, B = AlwaysClosed> {
    journal: J,
    effects: E,
    clock: C,
    breaker: B,
}

impl<J: StepJournal, E: Effects, C: Clock> ClaimedSteps<J, E, C> {
    /// Puts the parts together.
    pub fn new(journal: J, effects: E, clock: C) -> Self {
        Self {
            journal,
            effects,
            clock,
            breaker: AlwaysClosed,
        }
    }

    /// Calls the outside party only while this breaker admits it, and tells it
    /// how each call went.
    pub fn guarded_by<B: Breaker>(self, breaker: B) -> ClaimedSteps<J, E, C, B> {
        ClaimedSteps {
            journal: self.journal,
            effects: self.effects,
            clock: self.clock,
            breaker,
        }
    }
}

impl<J: StepJournal, E: Effects, C: Clock, B: Breaker> ClaimedSteps<J, E, C, B> {
    async fn act(
        &self,
        message: &CommandMessage,
        claim: &Claim,
        call: Call<'_>,
    ) -> Result<Answer, StepError> {
        match self.journal.begin(claim).await? {
            Begin::Start(started) => {
                let outcome = self.act_and_commit(message, &started, call).await;
                if outcome.as_ref().is_err_and(is_settled) {
                    warn_if_held(Box::pin(self.journal.release(&started)).await);
                }
                outcome
            }
            Begin::AlreadyCompleted { result, .. } => self.effects.answer(&result),
            Begin::Undone => Ok(already_undone()),
            Begin::InProgress { until } => Err(StepError::held(claim.now, until)),
            Begin::FingerprintMismatch => Err(StepError::PayloadChanged),
            Begin::Abandoned => Err(StepError::Abandoned),
        }
    }

    async fn act_and_commit(
        &self,
        message: &CommandMessage,
        started: &Started,
        call: Call<'_>,
    ) -> Result<Answer, StepError> {
        let mut done = self.ask(call, Box::pin(self.effects.act(message))).await?;
        let mut committed = self
            .journal
            .commit(started, &done.result, done.change.as_ref())
            .await;
        if let Err(why @ (CommitError::Short(_) | CommitError::OrderEnded)) = &committed {
            done = self
                .ask(call, Box::pin(self.effects.take_back(message, why)))
                .await?;
            committed = self
                .journal
                .commit(started, &done.result, done.change.as_ref())
                .await;
        }
        committed.map_err(commit_failed)?;
        self.effects.answer(&done.result)
    }

    async fn undo(
        &self,
        message: &CommandMessage,
        claim: &Claim,
        call: Call<'_>,
    ) -> Result<Answer, StepError> {
        // Here nothing is claimed yet: a refusal leaves the record as it is.
        if let Some(refused) = undo_refusal(&self.journal, message).await? {
            return Ok(refused);
        }
        match self.journal.begin_undo(claim).await? {
            BeginUndo::Start(started) => {
                let outcome = self.undo_unless_completed(message, &started, call).await;
                if !matches!(outcome, Ok(Answer::Success(_))) {
                    warn_if_held(self.journal.release_undo(&started).await);
                }
                outcome
            }
            BeginUndo::AlreadyUndone { result } => Ok(Answer::Success(result.into_string())),
            BeginUndo::InProgress { until } => Err(StepError::held(claim.now, until)),
            BeginUndo::FingerprintMismatch => Err(StepError::PayloadChanged),
            BeginUndo::Abandoned => Err(StepError::Abandoned),
        }
    }

    /// Looks again, now that the record says that an undo is under way: whoever
    /// completes the order announces it before looking at the records, so that at
    /// least one of the two sees the other.
    async fn undo_unless_completed(
        &self,
        message: &CommandMessage,
        started: &UndoStarted,
        call: Call<'_>,
    ) -> Result<Answer, StepError> {
        match undo_refusal(&self.journal, message).await? {
            Some(refused) => Ok(refused),
            None => self.undo_and_commit(message, started, call).await,
        }
    }

    async fn undo_and_commit(
        &self,
        message: &CommandMessage,
        started: &UndoStarted,
        call: Call<'_>,
    ) -> Result<Answer, StepError> {
        let effect = Box::pin(self.effects.undo(message, &started.action));
        let done = self.ask(call, effect).await?;
        self.journal
            .commit_undo(started, &done.result, done.change.as_ref())
            .await
            .map_err(commit_failed)?;
        Ok(Answer::Success(done.result.into_string()))
    }

    /// Lets an effect take place, and takes note of what it says about the outside party.
    async fn ask(
        &self,
        call: Call<'_>,
        effect: impl Future<Output = Result<Done, StepError>>,
    ) -> Result<Done, StepError> {
        let outcome = in_time(effect).await;
        if let Some(health) = health(&outcome) {
            self.breaker.record(call, health).await;
        }
        outcome
    }

    /// A call that certainly had no effect, and that opened the circuit or met it
    /// open, is as good as none: its message must not pay for it with a receive.
    fn spare(&self, error: StepError) -> StepError {
        match (&error, self.breaker.admit()) {
            (StepError::Provider(ProviderError::Unavailable(_)), Err(wait)) => {
                StepError::CircuitOpen { wait }
            }
            _ => error,
        }
    }
}

impl<J: StepJournal, E: Effects, C: Clock, B: Breaker> Steps for ClaimedSteps<J, E, C, B> {
    async fn run(
        &self,
        message: &CommandMessage,
        context: &RecordContext,
    ) -> Result<Answer, StepError> {
        // Where the end of the invocation would cut the call off, nothing is begun.
        if context.remaining() < PROVIDER_TIME_LIMIT {
            return Err(NoTimeLeft.into());
        }
        // Before anything is claimed, so that nothing is to be given back.
        self.breaker
            .admit()
            .map_err(|wait| StepError::CircuitOpen { wait })?;
        let claim = crate::claim(message, context, &self.clock)?;
        let call = Call {
            message: &message.envelope.id,
            attempt: context.attempt(),
        };
        let answer = if message.step.is_undo() {
            // Boxed, as effects are: of all parts of a future, the largest is its size.
            Box::pin(self.undo(message, &claim, call)).await
        } else {
            self.act(message, &claim, call).await
        };
        answer.map_err(|error| self.spare(error))
    }
}

/// The refusal of an action that comes after its undo.
pub fn already_undone() -> Answer {
    Answer::Failure {
        error: contracts::saga::ALREADY_UNDONE,
        cause: "this step was undone before it was asked for".to_owned(),
    }
}

/// How long an undo stays away from an order that is being completed.
const COMPLETION_WAIT: Duration = Duration::from_secs(5);

/// The refusal of an undo whose order is completed; `None` where it may take place.
///
/// # Errors
/// [`StepError::Completing`] while a person has the order completed, and
/// [`StepError::Store`] where the order cannot be read.
pub async fn undo_refusal(
    orders: &impl Completions,
    message: &CommandMessage,
) -> Result<Option<Answer>, StepError> {
    match orders.completion(message.envelope.order).await? {
        Completion::Open => Ok(None),
        Completion::UnderWay => Err(StepError::Completing {
            wait: COMPLETION_WAIT,
        }),
        Completion::Completed => Ok(Some(Answer::Failure {
            error: contracts::saga::ORDER_COMPLETED,
            cause: "the order was completed before this step was undone".to_owned(),
        })),
    }
}

/// What the outcome of an effect says about the outside party; `None` where it was
/// not asked, or where what went wrong is not its doing.
fn health(outcome: &Result<Done, StepError>) -> Option<Health> {
    match outcome {
        Ok(done) => done.asked.then_some(Health::Healthy),
        Err(StepError::Provider(error)) => Some(match error {
            ProviderError::Unavailable(_) | ProviderError::TimedOut(_) => Health::Unhealthy,
            ProviderError::OutcomeUnknown(_) => Health::Unknown,
            ProviderError::Failed(_) => Health::Healthy,
        }),
        Err(_) => None,
    }
}

/// The code in the stored result of an action that was taken back since its order had ended.
pub const ORDER_ENDED: &str = "order-ended";

/// The refusal of an action that comes after its order has ended.
pub fn order_ended() -> Answer {
    Answer::Failure {
        error: contracts::saga::ORDER_ENDED,
        cause: "the order had ended before this step was carried out".to_owned(),
    }
}

/// An outside party that takes too long may or may not have done it.
async fn in_time<T>(effect: impl Future<Output = Result<T, StepError>>) -> Result<T, StepError> {
    match tokio::time::timeout(PROVIDER_TIME_LIMIT, effect).await {
        Ok(outcome) => outcome,
        Err(elapsed) => Err(ProviderError::TimedOut(Box::new(elapsed)).into()),
    }
}

fn commit_failed(error: CommitError) -> StepError {
    match error {
        CommitError::Store(error) => error.into(),
        other => StepError::Damaged(Box::new(other)),
    }
}

/// Whether the outside party is done with the call. If its answer was lost, the
/// call may still be under way: the claim then stays until its lease runs out, so
/// that an undo does not overtake it.
fn is_settled(error: &StepError) -> bool {
    !matches!(error, StepError::Provider(error) if error.is_outcome_unknown())
}

/// A claim that could not be given back runs out by itself; the redelivery only waits longer.
fn warn_if_held(released: Result<(), StoreError>) {
    if let Err(error) = released {
        tracing::warn!(error = %error, "the claim could not be given back");
    }
}

/// What is known of an action whose result `read` can read.
///
/// # Errors
/// [`StepError::Damaged`] where the result cannot be read.
pub fn knowledge<T>(
    action: &ActionOutcome,
    read: impl Fn(&ResultJson) -> Result<T, StepError>,
) -> Result<Knowledge<T>, StepError> {
    Ok(match action {
        ActionOutcome::NeverRan => Knowledge::NeverRan,
        ActionOutcome::Completed { result } => Knowledge::Recorded(read(result)?),
        ActionOutcome::Unknown => Knowledge::Unknown,
    })
}

/// A result as the step's record stores it.
///
/// # Errors
/// [`StepError::Damaged`] where it is too large to be one.
pub fn stored(json: String) -> Result<ResultJson, StepError> {
    ResultJson::from_json(json).map_err(|error| StepError::Damaged(Box::new(error)))
}

/// What a step changes on its order: the event, and the pieces that move with it.
pub fn order_change(
    message: &CommandMessage,
    event: &Event,
    source: &str,
    now: Millis,
    stock: Option<(Movement, &[ItemQuantity])>,
) -> OrderChange {
    let order = message.envelope.order;
    let at = Timestamp::from_epoch_millis(now.get());
    OrderChange {
        order,
        event: event.store(order, &lineage(message), source, at),
        at,
        stock: stock.map(|(movement, items)| StockMove {
            movement,
            items: items.to_vec(),
        }),
    }
}

/// Where the messages that a command leads to come from.
fn lineage(message: &CommandMessage) -> Lineage {
    Lineage {
        correlation: message.envelope.correlation.clone(),
        causation: Some(message.envelope.id.clone()),
        trace: message.envelope.trace.clone(),
    }
}
