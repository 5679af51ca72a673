//! The port through which the worker moves messages.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use crate::delivery::Delivery;
use crate::failure_record::FailureRecord;

/// What the worker asks of the queue that its messages come from.
///
/// An adapter MUST return `Ok` only once the queue has confirmed: on `Ok` from
/// every operation but [`Queue::delay`] the source message is deleted.
/// It MUST send the body unchanged.
pub trait Queue: Send + Sync {
    /// Keeps the message of this receipt handle invisible for `delay` from now.
    fn delay(
        &self,
        receipt_handle: &str,
        delay: Duration,
    ) -> impl Future<Output = Result<(), QueueError>> + Send;

    /// Sends a copy of the message to its own queue, visible after `delay`
    /// (where the queue can delay so long; otherwise as late as it can).
    fn resend(
        &self,
        delivery: &Delivery,
        delay: Duration,
    ) -> impl Future<Output = Result<(), QueueError>> + Send;

    /// Sends the message and its failure record to the dead-letter queue.
    fn dead_letter(
        &self,
        delivery: &Delivery,
        record: &FailureRecord,
    ) -> impl Future<Output = Result<(), QueueError>> + Send;

    /// Sends the message and its failure record to the quarantine queue.
    fn quarantine(
        &self,
        delivery: &Delivery,
        record: &FailureRecord,
    ) -> impl Future<Output = Result<(), QueueError>> + Send;
}

/// The operations of a [`Queue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// [`Queue::delay`]
    Delay,
    /// [`Queue::resend`]
    Resend,
    /// [`Queue::dead_letter`]
    DeadLetter,
    /// [`Queue::quarantine`]
    Quarantine,
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Delay => "delay",
            Self::Resend => "resend",
            Self::DeadLetter => "dead-letter",
            Self::Quarantine => "quarantine",
        })
    }
}

/// An operation on the queue that failed, or whose outcome is unknown.
#[derive(Debug, thiserror::Error)]
#[error("could not {operation} the message")]
pub struct QueueError {
    operation: Operation,
    source: Box<dyn Error + Send + Sync>,
}

impl QueueError {
    /// The operation failed for this reason.
    pub fn new(operation: Operation, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            operation,
            source: source.into(),
        }
    }

    /// Which operation failed.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.operation
    }
}
