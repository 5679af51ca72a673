//! What became of a command.

use std::fmt;

use ports::{Answer, Answered};

/// What became of a command that was carried out, or refused, to its end.
///
/// `Display` says it in plain words, as a failure record or a log wants it:
/// `refused: Waybill.AlreadyUndone; nobody waited for the answer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// What the step came to.
    pub outcome: StepOutcome,
    /// Whether the saga was told.
    pub told: Told,
}

/// What a step came to, now or when it was carried out before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepOutcome {
    /// It is done.
    Done,
    /// It was refused, for good.
    Refused {
        /// The name that the saga knows the refusal by, one of those in [`contracts::saga`].
        error: &'static str,
    },
}

/// Whether the saga was told what the step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The saga has the answer.
    Delivered,
    /// Nobody waits any more: the step timed out or was answered before.
    Stale,
    /// The command has no task token, so that nobody asked for an answer.
    NotAsked,
}

impl From<&Answer> for StepOutcome {
    fn from(answer: &Answer) -> Self {
        match answer {
            Answer::Success(_) => Self::Done,
            Answer::Failure { error, .. } => Self::Refused { error },
        }
    }
}

impl From<Answered> for Told {
    fn from(answered: Answered) -> Self {
        match answered {
            Answered::Delivered => Self::Delivered,
            Answered::Stale => Self::Stale,
        }
    }
}

impl fmt::Display for Settled {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { outcome, told } = self;
        write!(formatter, "{outcome}; {told}")
    }
}

impl fmt::Display for StepOutcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => formatter.write_str("done"),
            Self::Refused { error } => write!(formatter, "refused: {error}"),
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Delivered => "the saga was told",
            Self::Stale => "nobody waited for the answer",
            Self::NotAsked => "no answer was asked for",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_a_command_is_said_in_plain_words() {
        #[track_caller]
        fn check(outcome: StepOutcome, told: Told, words: &str) {
            assert_eq!(Settled { outcome, told }.to_string(), words);
        }
        let error = contracts::saga::ALREADY_UNDONE;
        check(
            StepOutcome::Refused { error },
            Told::Stale,
            "refused: Waybill.AlreadyUndone; nobody waited for the answer",
        );
        check(
            StepOutcome::Done,
            Told::Delivered,
            "done; the saga was told",
        );
        check(
            StepOutcome::Done,
            Told::NotAsked,
            "done; no answer was asked for",
        );
    }
}
