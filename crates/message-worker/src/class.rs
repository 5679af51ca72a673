//! Errors, classed by what the caller does next.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::time::Duration;

/// What is to be done with a message whose handling ended in an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Nothing happened and it may work later: throttling, a refused
    /// connection. Retried with backoff, dead-lettered after the last receive.
    Transient,
    /// Nobody knows whether it happened: a time-out after the request was
    /// sent. Retried like [`Class::Transient`]; the handler must be idempotent.
    Ambiguous,
    /// The answer is no, and it is final. The message is done.
    Business,
    /// The message can never be handled. Quarantined at once, never retried.
    Poison,
    /// Not now, through no fault of the message: its claim is held by another,
    /// or a circuit is open. It goes back to the queue and is never
    /// dead-lettered for it.
    Deferred {
        /// How long to wait; the backoff decides where this is `None`.
        delay: Option<Duration>,
    },
}

impl Class {
    /// The stable name of the class, for logs, metrics and metadata.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Ambiguous => "ambiguous",
            Self::Business => "business",
            Self::Poison => "poison",
            Self::Deferred { .. } => "deferred",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// An error that knows its class and has a stable name.
///
/// `Display` must describe this error alone and leave its source out:
/// [`cause_chain`] renders the chain, each link once.
pub trait Classify: Error + Send + Sync + 'static {
    /// What the caller does next.
    fn class(&self) -> Class;

    /// A name that stays the same between releases, to group failures by.
    fn name(&self) -> &str;

    /// The id of the conversation the message belongs to, if the error knows it.
    fn correlation_id(&self) -> Option<&str> {
        None
    }
}

/// A ready-made [`Classify`] error for handlers without an error type of their own.
///
/// ```
/// use message_worker::{Failure, cause_chain};
///
/// let failure = Failure::transient("StoreUnavailable").caused_by("connection refused");
/// assert_eq!(failure.to_string(), "StoreUnavailable");
/// assert_eq!(cause_chain(&failure), ["StoreUnavailable", "connection refused"]);
/// ```
#[derive(Debug)]
pub struct Failure {
    class: Class,
    name: Cow<'static, str>,
    source: Option<Box<dyn Error + Send + Sync>>,
    correlation_id: Option<String>,
}

impl Failure {
    /// A failure of the given class and name.
    pub fn new(class: Class, name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            class,
            name: name.into(),
            source: None,
            correlation_id: None,
        }
    }

    /// A [`Class::Transient`] failure.
    pub fn transient(name: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Class::Transient, name)
    }

    /// A [`Class::Ambiguous`] failure.
    pub fn ambiguous(name: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Class::Ambiguous, name)
    }

    /// A [`Class::Business`] failure.
    pub fn business(name: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Class::Business, name)
    }

    /// A [`Class::Poison`] failure.
    pub fn poison(name: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Class::Poison, name)
    }

    /// A [`Class::Deferred`] failure.
    pub fn deferred(name: impl Into<Cow<'static, str>>, delay: Option<Duration>) -> Self {
        Self::new(Class::Deferred { delay }, name)
    }

    /// Adds the cause: an error, or a text where there is none.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds the correlation id.
    #[must_use]
    pub fn correlated(mut self, correlation_id: impl Into<String>) -> Self {
        self.correlation_id = Some(correlation_id.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}

impl Classify for Failure {
    fn class(&self) -> Class {
        self.class
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn correlation_id(&self) -> Option<&str> {
        self.correlation_id.as_deref()
    }
}

/// The error and everything that caused it, outermost first.
#[must_use]
pub fn cause_chain(error: &(dyn Error + 'static)) -> Vec<String> {
    std::iter::successors(Some(error), |&error| error.source())
        .map(ToString::to_string)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_leaves_the_source_out_and_the_chain_has_each_link_once() {
        let inner = Failure::ambiguous("TimedOut").caused_by("no answer within 2 s");
        let outer = Failure::transient("StoreUnavailable").caused_by(inner);
        assert_eq!(outer.to_string(), "StoreUnavailable");
        assert_eq!(
            cause_chain(&outer),
            ["StoreUnavailable", "TimedOut", "no answer within 2 s"]
        );
    }

    #[test]
    fn a_failure_keeps_its_class_name_and_correlation_id() {
        let delay = Some(Duration::from_secs(3));
        let failure = Failure::deferred("ClaimHeld", delay).correlated("c-1");
        assert_eq!(failure.class(), Class::Deferred { delay });
        assert_eq!(failure.class().to_string(), "deferred");
        assert_eq!(failure.name(), "ClaimHeld");
        assert_eq!(failure.correlation_id(), Some("c-1"));
    }
}
