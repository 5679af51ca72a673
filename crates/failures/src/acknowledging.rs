//! The worker's word that a replayed message was processed.

use std::fmt;
use std::sync::LazyLock;

use contracts::Timestamp;
use idempotency::Clock;
use message_worker::{Class, Classify, Delivery, Description, Handler, RecordContext};
use ports::Unavailable;

use crate::change::{Actor, Change};
use crate::failure::{FailureId, ReplayId};
use crate::ports::FailureStore;
use crate::{FAILURE_ID, REPLAY_ID};

/// A record that is changed under our hands so often is left for the next delivery.
const ATTEMPTS: usize = 10;

/// Wraps a handler: when a replayed message was processed, its record is resolved with
/// what the handler says became of it.
///
/// A replayed message carries the attributes [`FAILURE_ID`] and [`REPLAY_ID`]. For any
/// other message nothing is done, and the store is not even built.
///
/// A business error is an end too, so it resolves the record as well. Where the store
/// cannot be reached the message is returned with a transient error: it comes again, is
/// a harmless duplicate, and is acknowledged then.
pub struct Acknowledging<H, S, C> {
    handler: H,
    consumer: String,
    store: LazyLock<S, Box<dyn FnOnce() -> S + Send>>,
    clock: C,
}

/// What went wrong with a message, or with its record.
#[derive(Debug, thiserror::Error)]
pub enum AcknowledgingError<E> {
    /// The handler's own error.
    #[error(transparent)]
    Handler(E),
    /// The message was processed, and its record could not be resolved.
    #[error("the failure store is unavailable")]
    Store(#[source] Unavailable),
}

impl<E: Classify> Classify for AcknowledgingError<E> {
    fn class(&self) -> Class {
        match self {
            Self::Handler(error) => error.class(),
            Self::Store(_) => Class::Transient,
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Handler(error) => error.name(),
            Self::Store(_) => "FailureStoreUnavailable",
        }
    }

    fn correlation_id(&self) -> Option<&str> {
        match self {
            Self::Handler(error) => error.correlation_id(),
            Self::Store(_) => None,
        }
    }
}

/// Which record and which replay a message belongs to.
#[derive(Debug)]
struct Replayed {
    failure: FailureId,
    replay: ReplayId,
}

impl Replayed {
    fn find(context: &RecordContext) -> Option<Self> {
        Some(Self {
            failure: FailureId::new(context.attribute(FAILURE_ID)?),
            replay: ReplayId::new(context.attribute(REPLAY_ID)?),
        })
    }
}

impl<H: Handler, S: FailureStore, C: Clock> Acknowledging<H, S, C> {
    /// Resolves records in the name of this consumer. The store is built for the first
    /// replayed message: most environments never see one.
    pub fn new(
        handler: H,
        consumer: impl Into<String>,
        store: impl FnOnce() -> S + Send + 'static,
        clock: C,
    ) -> Self {
        Self {
            handler,
            consumer: consumer.into(),
            store: LazyLock::new(Box::new(store)),
            clock,
        }
    }

    async fn acknowledge(&self, replayed: &Replayed, outcome: &str) -> Result<(), Unavailable> {
        let Replayed {
            failure: id,
            replay,
        } = replayed;
        let change = Change::Acknowledge {
            replay: replay.clone(),
            outcome: outcome.to_owned(),
        };
        for _ in 0..ATTEMPTS {
            let Some(failure) = self.store.get(id).await? else {
                tracing::warn!(failure_id = %id, "a replayed message has no record");
                return Ok(());
            };
            let actor = Actor {
                name: self.consumer.clone(),
                at: Timestamp::from_epoch_millis(self.clock.now().get()),
            };
            let next = match failure.after(&change, &actor) {
                Ok(next) => next,
                // A duplicate, or a person was quicker.
                Err(refused) => {
                    tracing::info!(failure_id = %id, %refused, "the record is not resolved");
                    return Ok(());
                }
            };
            if self.store.replace(&next).await? {
                tracing::info!(failure_id = %id, replay_id = %replay, outcome, "resolved");
                return Ok(());
            }
        }
        let endless = "the record was changed again and again";
        Err(Unavailable::new("failure store", endless))
    }
}

impl<H, S, C> Handler for Acknowledging<H, S, C>
where
    H: Handler<Output: fmt::Display>,
    S: FailureStore,
    C: Clock,
{
    type Message = H::Message;
    type Output = H::Output;
    type Error = AcknowledgingError<H::Error>;

    fn decode(&self, delivery: &Delivery) -> Result<H::Message, Self::Error> {
        let decoded = self.handler.decode(delivery);
        decoded.map_err(AcknowledgingError::Handler)
    }

    async fn handle(
        &self,
        message: H::Message,
        context: &RecordContext,
    ) -> Result<H::Output, Self::Error> {
        let handled = self.handler.handle(message, context).await;
        let Some(replayed) = Replayed::find(context) else {
            return handled.map_err(AcknowledgingError::Handler);
        };
        let outcome = match &handled {
            Ok(output) => output.to_string(),
            Err(error) if error.class() == Class::Business => format!("refused: {}", error.name()),
            Err(_) => return handled.map_err(AcknowledgingError::Handler),
        };
        // Boxed, since it is large and rare.
        Box::pin(self.acknowledge(&replayed, &outcome))
            .await
            .map_err(AcknowledgingError::Store)?;
        handled.map_err(AcknowledgingError::Handler)
    }

    async fn poisoned(&self, delivery: &Delivery, error: &dyn Classify) {
        self.handler.poisoned(delivery, error).await;
    }

    fn describe(&self, delivery: &Delivery) -> Description {
        self.handler.describe(delivery)
    }
}

/// The store may hold credentials, and tells nothing.
impl<H: fmt::Debug, S, C> fmt::Debug for Acknowledging<H, S, C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Acknowledging");
        debug.field("handler", &self.handler);
        debug.field("consumer", &self.consumer);
        debug.finish_non_exhaustive()
    }
}
