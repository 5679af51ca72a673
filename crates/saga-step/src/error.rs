//! What can go wrong with a step, by what happens to its message next.

use std::error::Error;
use std::time::Duration;

use contracts::ContractError;
use idempotency::{Millis, NoTimeLeft, StoreError};
use message_worker::{Class, Classify};
use ports::{ProviderError, Unavailable};

/// A step was not carried out to its end.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The body is not a command of this worker.
    #[error("the message breaks its contract")]
    Contract(#[from] ContractError),
    /// The id was used before for a command with other data.
    #[error("another command with the same id and other data was carried out before")]
    PayloadChanged,
    /// Another delivery of the same message, or of its counterpart, is at work.
    #[error("another delivery holds the claim")]
    ClaimHeld {
        /// How long to stay away.
        wait: Duration,
    },
    /// An undo came while its order was being completed.
    #[error("the order is being completed")]
    Completing {
        /// How long to stay away.
        wait: Duration,
    },
    /// An earlier attempt vanished, and only a person can say what it did.
    #[error("an abandoned attempt waits for a person")]
    Abandoned,
    /// The invocation is about to end.
    #[error("no time is left")]
    NoTime(#[from] NoTimeLeft),
    /// The circuit of the outside party is open: nothing was attempted, or what
    /// was attempted had no effect.
    #[error("the outside party is not called for now")]
    CircuitOpen {
        /// How long to stay away.
        wait: Duration,
    },
    /// Another attempt took over while this one worked; its outcome counts.
    #[error("another attempt took over")]
    Superseded,
    /// A table did not answer.
    #[error("the store is unavailable")]
    Store(#[source] Box<dyn Error + Send + Sync>),
    /// The outside party did not answer, or its answer was lost.
    #[error("the outside party gave no answer")]
    Provider(#[from] ProviderError),
    /// The saga could not be answered.
    #[error("the answer did not reach the saga")]
    Answer(#[source] Unavailable),
    /// A record or a request is not as it must be: a defect, for a person to look at.
    #[error("a record is damaged")]
    Damaged(#[source] Box<dyn Error + Send + Sync>),
}

impl StepError {
    /// A claim that is held until a moment.
    pub fn held(now: Millis, until: Millis) -> Self {
        let wait = Duration::from_millis(until.get().saturating_sub(now.get()));
        Self::ClaimHeld {
            wait: wait.max(Duration::from_secs(1)),
        }
    }
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(source) => Self::Store(source),
            StoreError::Superseded(_) => Self::Superseded,
            StoreError::Invalid(source) => Self::Damaged(source),
        }
    }
}

impl Classify for StepError {
    fn class(&self) -> Class {
        match self {
            Self::Contract(_) | Self::PayloadChanged => Class::Poison,
            Self::ClaimHeld { wait } | Self::Completing { wait } => Class::Deferred {
                delay: Some(*wait),
                fresh: false,
            },
            Self::NoTime(_) => Class::Deferred {
                delay: None,
                fresh: false,
            },
            // The message was not to blame: no receive of it is used up.
            Self::CircuitOpen { wait } => Class::Deferred {
                delay: Some(*wait),
                fresh: true,
            },
            Self::Provider(error) if error.is_outcome_unknown() => Class::Ambiguous,
            Self::Abandoned
            | Self::Superseded
            | Self::Store(_)
            | Self::Provider(_)
            | Self::Answer(_)
            | Self::Damaged(_) => Class::Transient,
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Contract(error) => error.name(),
            Self::PayloadChanged => "PayloadChanged",
            Self::ClaimHeld { .. } => "ClaimHeld",
            Self::Completing { .. } => "OrderCompleting",
            Self::Abandoned => "AttemptAbandoned",
            Self::NoTime(_) => "NoTimeLeft",
            Self::Superseded => "Superseded",
            Self::Store(_) => "StoreUnavailable",
            Self::Provider(ProviderError::Unavailable(_)) => "ProviderUnavailable",
            Self::Provider(ProviderError::TimedOut(_)) => "ProviderTimedOut",
            Self::Provider(ProviderError::OutcomeUnknown(_)) => "ProviderOutcomeUnknown",
            Self::Provider(ProviderError::Failed(_)) => "ProviderFailed",
            Self::CircuitOpen { .. } => "CircuitOpen",
            Self::Answer(_) => "SagaUnavailable",
            Self::Damaged(_) => "RecordDamaged",
        }
    }
}
