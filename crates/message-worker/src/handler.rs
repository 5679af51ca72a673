//! What the author of a consumer writes.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::class::Classify;
use crate::delivery::{Attribute, Delivery};

/// Handles one message at a time. The worker takes care of the batch.
///
/// A message may be delivered more than once, and a handler may be dropped at
/// any await point when its time is up: it must be idempotent.
pub trait Handler: Send + Sync {
    /// What a body decodes to.
    type Message: Send;
    /// What handling a message comes to, for handlers that wrap this one. The
    /// worker does not look at it; most handlers have `()`.
    type Output: Send;
    /// What can go wrong.
    type Error: Classify;

    /// Decodes and validates one body, so that a bad one fails alone.
    ///
    /// # Errors
    ///
    /// Usually of class [`Poison`](crate::Class::Poison).
    fn decode(&self, delivery: &Delivery) -> Result<Self::Message, Self::Error>;

    /// Handles one message; `Ok` deletes it.
    fn handle(
        &self,
        message: Self::Message,
        context: &RecordContext,
    ) -> impl Future<Output = Result<Self::Output, Self::Error>> + Send;

    /// Called once a message with an error of class [`Poison`](crate::Class::Poison)
    /// is where it stays, by default in quarantine: for instance to tell
    /// whoever waits for an answer that none will come. It has the same time
    /// limit as the handling.
    ///
    /// The error is the handler's own, or the worker's, named
    /// [`KNOWN_POISON`](crate::KNOWN_POISON), where the same body was refused before.
    fn poisoned(
        &self,
        delivery: &Delivery,
        error: &dyn Classify,
    ) -> impl Future<Output = ()> + Send {
        let _ = (delivery, error);
        async {}
    }

    /// Says what can be read of a message for logs and metadata, as far as it
    /// can: it is called before decoding, on bad bodies too.
    fn describe(&self, delivery: &Delivery) -> Description {
        let _ = delivery;
        Description::default()
    }
}

/// What can be told about a message before it is decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// The id of the conversation it belongs to.
    pub correlation_id: Option<String>,
    /// The id of the contract that the body follows, or claims to.
    pub schema: Option<String>,
    /// The hash of that contract, as the consumer knows it.
    pub schema_hash: Option<String>,
}

/// What a handler knows of the delivery it handles.
#[derive(Clone, Debug)]
pub struct RecordContext {
    pub(crate) message_id: String,
    pub(crate) attempt: u32,
    pub(crate) last_attempt: bool,
    pub(crate) deadline: Instant,
    pub(crate) attributes: Arc<BTreeMap<String, Attribute>>,
}

impl RecordContext {
    /// A context for calling a handler without a worker, as its tests do.
    pub fn new(message_id: impl Into<String>, attempt: u32, deadline: Instant) -> Self {
        Self {
            message_id: message_id.into(),
            attempt,
            last_attempt: false,
            deadline,
            attributes: Arc::default(),
        }
    }

    /// Gives the delivery these message attributes.
    #[must_use]
    pub fn with_attributes(mut self, attributes: BTreeMap<String, Attribute>) -> Self {
        self.attributes = Arc::new(attributes);
        self
    }

    /// Makes this the last attempt.
    #[must_use]
    pub fn last(mut self) -> Self {
        self.last_attempt = true;
        self
    }

    /// The id SQS gave the message. A copy of the message has another one, so
    /// this is no idempotency key.
    #[must_use]
    pub fn message_id(&self) -> &str {
        &self.message_id
    }

    /// Which receive of the message this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether a retryable error now moves the message out of its queue, by
    /// default to the dead-letter queue.
    #[must_use]
    pub fn is_last_attempt(&self) -> bool {
        self.last_attempt
    }

    /// The message attributes of the delivery by name.
    #[must_use]
    pub fn attributes(&self) -> &BTreeMap<String, Attribute> {
        &self.attributes
    }

    /// The value of a text attribute; `None` where it is absent or binary.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name)?.as_text()
    }

    /// When the handler is stopped, which is before the invocation ends.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The time left until the deadline. Zero means that there is none.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}
