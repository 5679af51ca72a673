//! The short way: one call that claims, runs and completes.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{
    Begin, Claim, Clock, Fingerprint, InvalidResult, Key, Lease, Millis, NoTimeLeft, OnAbandoned,
    ResultJson, Started, Store, StoreError, SystemClock,
};

/// Runs operations at most once per key, and answers duplicates with the stored result.
#[derive(Debug, Clone)]
pub struct Idempotency<S, C = SystemClock> {
    store: S,
    clock: C,
    retention: Duration,
    on_abandoned: OnAbandoned,
}

impl<S: Store> Idempotency<S> {
    /// How long records are kept unless told otherwise: longer than SQS keeps a
    /// message, so that a replay from a dead-letter queue is still recognised.
    pub const DEFAULT_RETENTION: Duration = Duration::from_secs(30 * 24 * 60 * 60);

    /// On the system's clock, retrying what an earlier attempt abandoned.
    pub fn new(store: S) -> Self {
        Self {
            store,
            clock: SystemClock,
            retention: Self::DEFAULT_RETENTION,
            on_abandoned: OnAbandoned::Retry,
        }
    }
}

impl<S: Store, C: Clock> Idempotency<S, C> {
    /// The same on another clock.
    #[must_use]
    pub fn with_clock<D: Clock>(self, clock: D) -> Idempotency<S, D> {
        Idempotency {
            store: self.store,
            clock,
            retention: self.retention,
            on_abandoned: self.on_abandoned,
        }
    }

    /// The same, keeping records for another time.
    #[must_use]
    pub fn with_retention(self, retention: Duration) -> Self {
        Self { retention, ..self }
    }

    /// The same, with another way to treat abandoned attempts.
    #[must_use]
    pub fn with_on_abandoned(self, on_abandoned: OnAbandoned) -> Self {
        Self {
            on_abandoned,
            ..self
        }
    }

    /// Runs `work` unless it was run before under this key.
    ///
    /// `deadline` is when this process will have been stopped: a Lambda
    /// function's deadline. Until then nobody else runs the operation. If `work`
    /// fails, the claim is given back and the next attempt runs it again, so it
    /// must pass the key on to whomever it calls. If the future is dropped, the
    /// claim lapses at the deadline.
    ///
    /// # Errors
    /// [`RunError`], by what the caller does next.
    pub async fn run<T, E, F>(
        &self,
        key: Key,
        payload: &impl Serialize,
        deadline: Millis,
        work: impl FnOnce(Started) -> F,
    ) -> Result<Outcome<T>, RunError<E>>
    where
        T: Serialize + DeserializeOwned,
        E: Error + 'static,
        F: Future<Output = Result<T, E>>,
    {
        let fingerprint = Fingerprint::of_json(payload).map_err(InvalidResult::from)?;
        let lease = Lease::until_deadline(self.clock.now(), deadline)?;
        let claim = Claim::new(key, fingerprint, lease, self.retention)
            .with_on_abandoned(self.on_abandoned);
        match self.store.begin(&claim).await? {
            Begin::Start(started) => self.finish(&started, work(started.clone()).await).await,
            Begin::AlreadyCompleted { result } => Ok(Outcome::Replayed(result.decode()?)),
            Begin::InProgress { until } => Err(RunError::InProgress { until }),
            Begin::FingerprintMismatch => Err(RunError::FingerprintMismatch),
            Begin::Undone => Err(RunError::Undone),
            Begin::Abandoned => Err(RunError::Abandoned),
        }
    }

    async fn finish<T: Serialize, E: Error + 'static>(
        &self,
        started: &Started,
        done: Result<T, E>,
    ) -> Result<Outcome<T>, RunError<E>> {
        match done {
            Ok(value) => {
                self.store
                    .complete(started, &ResultJson::encode(&value)?)
                    .await?;
                Ok(Outcome::Ran(value))
            }
            Err(failure) => {
                // The failure of the work says more than that of the release,
                // after which the lease runs out by itself.
                let _ = self.store.release(started).await;
                Err(RunError::Work(failure))
            }
        }
    }
}

/// The value of an operation, and whether it ran just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<T> {
    /// It ran now.
    Ran(T),
    /// It ran before; this is what it answered then.
    Replayed(T),
}

impl<T> Outcome<T> {
    /// The value, whenever it came about.
    pub fn into_inner(self) -> T {
        match self {
            Self::Ran(value) | Self::Replayed(value) => value,
        }
    }
}

/// Why [`Idempotency::run`] has no value.
#[derive(Debug, thiserror::Error)]
pub enum RunError<E> {
    /// The work itself failed; the claim was given back.
    #[error("the operation failed")]
    Work(#[source] E),
    /// Another attempt holds the claim: come back after `until`.
    #[error("another attempt is running the operation")]
    InProgress {
        /// When its lease runs out.
        until: Millis,
    },
    /// The key was used for another payload: the sender is in error.
    #[error("the key was used for another payload")]
    FingerprintMismatch,
    /// The operation has been undone and must not run any more.
    #[error("the operation has been undone")]
    Undone,
    /// An attempt vanished, and [`OnAbandoned::Block`] leaves it to a person.
    #[error("an earlier attempt vanished, its outcome unknown")]
    Abandoned,
    /// The deadline has passed; nothing was begun.
    #[error(transparent)]
    NoTimeLeft(#[from] NoTimeLeft),
    /// The payload or the result cannot be stored or read. If it is the result
    /// of work just done, the claim stays until its lease runs out.
    #[error("the payload or the result cannot be stored or read")]
    Result(#[from] InvalidResult),
    /// The store failed, before the work or after it.
    #[error("the store failed")]
    Store(#[from] StoreError),
}
