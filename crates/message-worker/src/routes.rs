//! Which class of error leads where.

use crate::class::Class;

/// Where the messages of each class of error go. [`Class::Deferred`] always
/// goes back to its queue.
///
/// ```
/// use message_worker::{Config, Destination, Route};
///
/// let mut config = Config::new("greeter");
/// // A person looks at what may have happened, before it happens twice.
/// config.routes.ambiguous = Route::Move(Destination::Quarantine);
/// // What was refused is kept.
/// config.routes.business = Route::Move(Destination::DeadLetter);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Routes {
    /// For [`Class::Transient`]; by default retried, then dead-lettered.
    pub transient: Route,
    /// For [`Class::Ambiguous`]; by default retried, then dead-lettered.
    pub ambiguous: Route,
    /// For [`Class::Business`]; by default done.
    pub business: Route,
    /// For [`Class::Poison`]; by default moved to quarantine at once.
    pub poison: Route,
}

/// What is done with a message whose handling ended in an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// Acknowledged: the error is the answer, and the message is deleted.
    Done,
    /// Returned to its queue with backoff, and moved on the last receive.
    Retry {
        /// Where the last receive moves it.
        then: Destination,
    },
    /// Moved at once.
    Move(Destination),
}

/// A queue beside the own one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// The dead-letter queue.
    DeadLetter,
    /// The quarantine queue.
    Quarantine,
}

impl Default for Routes {
    fn default() -> Self {
        let retry = Route::Retry {
            then: Destination::DeadLetter,
        };
        Self {
            transient: retry,
            ambiguous: retry,
            business: Route::Done,
            poison: Route::Move(Destination::Quarantine),
        }
    }
}

impl Routes {
    /// The route of a class; `None` for [`Class::Deferred`].
    #[must_use]
    pub const fn of(&self, class: Class) -> Option<Route> {
        match class {
            Class::Transient => Some(self.transient),
            Class::Ambiguous => Some(self.ambiguous),
            Class::Business => Some(self.business),
            Class::Poison => Some(self.poison),
            Class::Deferred { .. } => None,
        }
    }
}
