//! What became of a record.

use std::time::Duration;

/// What became of one record of a batch. Each record has exactly one outcome,
/// and it is either acknowledged (Lambda deletes it) or returned to its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Acknowledged: the handler succeeded.
    Processed,
    /// Acknowledged: the handler's error is the answer, such as a business error.
    Refused,
    /// Acknowledged: a copy waits in the same queue.
    Resent {
        /// How long the copy stays invisible.
        delay: Duration,
    },
    /// Acknowledged: moved to the dead-letter queue.
    DeadLettered,
    /// Acknowledged: moved to the quarantine queue.
    Quarantined,
    /// Returned, to be tried again.
    Retried {
        /// How long it stays invisible.
        delay: Duration,
    },
    /// Returned, because it cannot be handled now.
    Deferred {
        /// How long it stays invisible.
        delay: Duration,
    },
    /// Returned, since moving it elsewhere failed.
    Stranded,
    /// Returned without being handled: the time was up.
    Unclaimed,
    /// Returned without being handled: an earlier message of its FIFO group
    /// was returned.
    Blocked,
}

impl Outcome {
    /// Whether Lambda deletes the message, as opposed to returning it.
    #[must_use]
    pub const fn is_acknowledged(self) -> bool {
        matches!(
            self,
            Self::Processed
                | Self::Refused
                | Self::Resent { .. }
                | Self::DeadLettered
                | Self::Quarantined
        )
    }

    /// Whether the record was returned without being handled.
    #[must_use]
    pub const fn is_untouched(self) -> bool {
        matches!(self, Self::Unclaimed | Self::Blocked)
    }

    /// How long the message stays invisible, where the worker decided that.
    #[must_use]
    pub const fn delay(self) -> Option<Duration> {
        match self {
            Self::Resent { delay } | Self::Retried { delay } | Self::Deferred { delay } => {
                Some(delay)
            }
            _ => None,
        }
    }

    /// The stable name of the outcome, for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Processed => "processed",
            Self::Refused => "refused",
            Self::Resent { .. } => "resent",
            Self::DeadLettered => "dead-lettered",
            Self::Quarantined => "quarantined",
            Self::Retried { .. } => "retried",
            Self::Deferred { .. } => "deferred",
            Self::Stranded => "stranded",
            Self::Unclaimed => "unclaimed",
            Self::Blocked => "blocked",
        }
    }
}
