//! The shell around the steps: from a queue's record to the saga's answer.

use contracts::{CommandMessage, TaskToken, peek, saga};
use domain::Step;
use message_worker::{Classify, Delivery, Description, Handler, RecordContext};
use ports::{Answer, Answered, TaskAnswers, describe};

use crate::{Settled, StepError, StepOutcome, Steps, Told};

/// Decodes commands, has them carried out and answers the saga.
#[derive(Debug)]
pub struct StepHandler<S, A> {
    action: Step,
    steps: S,
    answers: A,
}

impl<S: Steps, A: TaskAnswers> StepHandler<S, A> {
    /// Handles an action and its undo; other commands are poison on this queue.
    pub fn new(action: Step, steps: S, answers: A) -> Self {
        Self {
            action,
            steps,
            answers,
        }
    }

    async fn answer(&self, token: &TaskToken, answer: &Answer) -> Result<Told, StepError> {
        let answering = self.answers.answer(token, answer).await;
        let answered = answering.map_err(StepError::Answer)?;
        if answered == Answered::Stale {
            tracing::info!("nobody waits for the answer any more");
        }
        Ok(answered.into())
    }
}

impl<S: Steps, A: TaskAnswers> Handler for StepHandler<S, A> {
    type Message = CommandMessage;
    type Output = Settled;
    type Error = StepError;

    fn decode(&self, delivery: &Delivery) -> Result<CommandMessage, StepError> {
        let message = CommandMessage::parse(delivery.body())?;
        if message.step.action() == self.action {
            Ok(message)
        } else {
            Err(message.envelope.unknown_type().into())
        }
    }

    async fn handle(
        &self,
        message: CommandMessage,
        context: &RecordContext,
    ) -> Result<Settled, StepError> {
        let answer = self.steps.run(&message, context).await?;
        let told = match &message.envelope.task_token {
            Some(token) => self.answer(token, &answer).await?,
            // A person may send a command by hand; then nobody waits.
            None => Told::NotAsked,
        };
        let outcome = StepOutcome::from(&answer);
        Ok(Settled { outcome, told })
    }

    /// A saga whose command cannot be read is told at once, so that it can undo.
    /// A command of another step has a worker of its own, which answers: it only
    /// came here as well, while the subscriptions change or by a person's mistake.
    async fn poisoned(&self, delivery: &Delivery, error: &dyn Classify) {
        let parsed = CommandMessage::parse(delivery.body());
        if parsed.is_ok_and(|message| message.step.action() != self.action) {
            return;
        }
        let Some(token) = peek(delivery.body()).task_token() else {
            return;
        };
        let answer = Answer::Failure {
            error: saga::BAD_MESSAGE,
            cause: "the command could not be read".to_owned(),
        };
        if let Err(unanswered) = self.answer(&token, &answer).await {
            // The message is safe in quarantine; the step's time limit tells the saga.
            tracing::warn!(error = %unanswered, poison = %error, "the saga was not told");
        }
    }

    fn describe(&self, delivery: &Delivery) -> Description {
        describe(delivery.body())
    }
}
