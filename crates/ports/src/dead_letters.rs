//! A look into dead-letter queues.

use std::future::Future;

use crate::Unavailable;

/// What stands in a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueReport {
    /// Messages that wait.
    pub depth: u64,
    /// When the oldest of those seen was first sent, in milliseconds since 1970.
    pub oldest_sent_at: Option<u64>,
    /// Some of the messages.
    pub samples: Vec<Sample>,
}

/// One message of a queue, told without its content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// Ties it to a request, where the message says so.
    pub correlation_id: Option<String>,
    /// The stable name of the error, where a worker moved it.
    pub error_name: Option<String>,
    /// The message's type.
    pub message_type: Option<String>,
}

/// Looks into queues by name.
pub trait DeadLetters: Send + Sync {
    /// Reports on a queue without removing anything. `None` where there is no such queue.
    fn look_into(
        &self,
        queue_name: &str,
    ) -> impl Future<Output = Result<Option<QueueReport>, Unavailable>> + Send;
}
