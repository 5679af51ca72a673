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
        /// Whether a fresh copy takes the place of the message at once, so that
        /// no receive is used up: for waits that may outlast the receives which
        /// the redrive policy allows, such as an outage. Otherwise the message
        /// itself goes back, and only its last receive makes a copy.
        ///
        /// In a FIFO queue a copy would be overtaken by its group, so there
        /// this is ignored until the last receive.
        fresh: bool,
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

    /// A [`Class::Deferred`] failure: the message itself goes back.
    pub fn deferred(name: impl Into<Cow<'static, str>>, delay: Option<Duration>) -> Self {
        let fresh = false;
        Self::new(Class::Deferred { delay, fresh }, name)
    }

    /// A [`Class::Deferred`] failure: a fresh copy takes the message's place,
    /// so that no receive is used up. Give a delay: the backoff of a copy
    /// begins anew, and never grows.
    pub fn deferred_fresh(name: impl Into<Cow<'static, str>>, delay: Option<Duration>) -> Self {
        let fresh = true;
        Self::new(Class::Deferred { delay, fresh }, name)
    }

    /// Takes class, name and correlation id from an error, for a handler whose
    /// parts have error types of their own. The error becomes the cause.
    pub fn of(error: impl Classify) -> Self {
        let failure = Self {
            class: error.class(),
            name: error.name().to_owned().into(),
            source: None,
            correlation_id: error.correlation_id().map(str::to_owned),
        };
        failure.caused_by(error)
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

/// Gives the errors of others a class and a name, where they occur.
///
/// For any error that can be boxed: those of libraries, `Box<dyn Error + Send +
/// Sync>`, those of `anyhow`, and texts.
///
/// ```
/// use message_worker::{Class, Classify, Failure, ResultExt};
///
/// fn amount(body: &str) -> Result<u64, Failure> {
///     body.trim().parse::<u64>().or_poison("NotAnAmount")
/// }
///
/// let failure = amount("a lot").unwrap_err();
/// assert_eq!((failure.class(), failure.name()), (Class::Poison, "NotAnAmount"));
/// ```
pub trait ResultExt<T>: Sized {
    /// Turns an error into a [`Failure`] of this class and name, and keeps it as the cause.
    ///
    /// # Errors
    ///
    /// Where there was one before.
    fn or_failure(self, class: Class, name: impl Into<Cow<'static, str>>) -> Result<T, Failure>;

    /// [`or_failure`](Self::or_failure) of [`Class::Transient`].
    ///
    /// # Errors
    ///
    /// Where there was one before.
    fn or_transient(self, name: impl Into<Cow<'static, str>>) -> Result<T, Failure> {
        self.or_failure(Class::Transient, name)
    }

    /// [`or_failure`](Self::or_failure) of [`Class::Ambiguous`].
    ///
    /// # Errors
    ///
    /// Where there was one before.
    fn or_ambiguous(self, name: impl Into<Cow<'static, str>>) -> Result<T, Failure> {
        self.or_failure(Class::Ambiguous, name)
    }

    /// [`or_failure`](Self::or_failure) of [`Class::Business`].
    ///
    /// # Errors
    ///
    /// Where there was one before.
    fn or_business(self, name: impl Into<Cow<'static, str>>) -> Result<T, Failure> {
        self.or_failure(Class::Business, name)
    }

    /// [`or_failure`](Self::or_failure) of [`Class::Poison`].
    ///
    /// # Errors
    ///
    /// Where there was one before.
    fn or_poison(self, name: impl Into<Cow<'static, str>>) -> Result<T, Failure> {
        self.or_failure(Class::Poison, name)
    }
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> ResultExt<T> for Result<T, E> {
    fn or_failure(self, class: Class, name: impl Into<Cow<'static, str>>) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(class, name).caused_by(error))
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
    fn any_error_that_can_be_boxed_joins_with_a_class_and_a_name() {
        #[track_caller]
        fn check(joined: Result<(), Failure>, class: Class, cause: &str) {
            let failure = joined.unwrap_err();
            assert_eq!(failure.class(), class);
            assert_eq!(cause_chain(&failure), ["Named", cause]);
        }
        let io = || Err(std::io::Error::other("disk"));
        check(io().or_transient("Named"), Class::Transient, "disk");
        let boxed: Result<(), Box<dyn Error + Send + Sync>> = Err("lost".into());
        check(boxed.or_ambiguous("Named"), Class::Ambiguous, "lost");
        check(Err("no").or_business("Named"), Class::Business, "no");
        let text = String::from("not a number");
        check(Err(text).or_poison("Named"), Class::Poison, "not a number");
    }

    #[test]
    fn an_error_with_a_class_becomes_a_failure_and_keeps_all_of_it() {
        let inner = Failure::ambiguous("TimedOut").correlated("c-1");
        let failure = Failure::of(inner.caused_by("no answer"));
        assert_eq!(failure.class(), Class::Ambiguous);
        assert_eq!(failure.correlation_id(), Some("c-1"));
        assert_eq!(cause_chain(&failure), ["TimedOut", "TimedOut", "no answer"]);
    }

    #[test]
    fn a_failure_keeps_its_class_name_and_correlation_id() {
        let delay = Some(Duration::from_secs(3));
        let failure = Failure::deferred("ClaimHeld", delay).correlated("c-1");
        let fresh = false;
        assert_eq!(failure.class(), Class::Deferred { delay, fresh });
        assert_eq!(failure.class().to_string(), "deferred");
        assert_eq!(failure.name(), "ClaimHeld");
        assert_eq!(failure.correlation_id(), Some("c-1"));
    }
}
