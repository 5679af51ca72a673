//! Answers to the saga.

use std::future::Future;

use contracts::TaskToken;

use crate::Unavailable;

/// What a worker tells the saga about a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The step is done; small JSON for the saga's log.
    Success(String),
    /// The step was refused, for good.
    Failure {
        /// One of the names in [`contracts::saga`], which the state machine catches.
        error: &'static str,
        /// For the customer; no internals.
        cause: String,
    },
}

/// Whether anybody was still waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// The saga has the answer.
    Delivered,
    /// Nobody waits any more: the step timed out, was answered before, or the
    /// token is none. Not an error; the saga has gone on without the answer.
    Stale,
}

/// Answers the task that a command came from.
pub trait TaskAnswers: Send + Sync {
    /// Delivers an answer. MUST give `Stale`, not an error, for a token that is
    /// unknown, timed out or already answered.
    fn answer(
        &self,
        token: &TaskToken,
        answer: &Answer,
    ) -> impl Future<Output = Result<Answered, Unavailable>> + Send;
}
