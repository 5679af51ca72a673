//! The short way: one call that claims, runs and completes.

use std::error::Error;
use std::future::Future;
#[cfg(feature = "cache")]
use std::num::NonZeroUsize;
#[cfg(feature = "cache")]
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

#[cfg(feature = "cache")]
use crate::cache::{LocalCache, Remembered};
use crate::{
    Begin, BeginUndo, Claim, Clock, Fingerprint, InvalidResult, Key, Lease, Millis, NoTimeLeft,
    OnAbandoned, ResultJson, Seconds, Started, Store, StoreError, SystemClock, UndoStarted,
};
#[cfg(feature = "tokio")]
use crate::{LeaseLost, Renew, Renewal, Wait, keep_alive, wait::Patience};

/// Runs operations at most once per key, and answers duplicates with the stored result.
///
/// Make one for each kind of operation, keep it for the life of the process, and
/// share it: its clones share the store and the cache.
#[derive(Debug, Clone)]
pub struct Idempotency<S, C = SystemClock> {
    store: S,
    clock: C,
    options: Options,
}

#[derive(Debug, Clone)]
struct Options {
    retention: Duration,
    on_abandoned: OnAbandoned,
    result_limit: usize,
    #[cfg(feature = "tokio")]
    wait: Option<Wait>,
    #[cfg(feature = "cache")]
    cache: Option<Arc<LocalCache>>,
}

impl<S: Store> Idempotency<S> {
    /// How long records are kept unless told otherwise: longer than SQS keeps a
    /// message, so that a replay from a dead-letter queue is still recognised.
    pub const DEFAULT_RETENTION: Duration = Duration::from_secs(30 * 24 * 60 * 60);

    /// On the system's clock, retrying what an earlier attempt abandoned, without
    /// waiting for others, and without a cache.
    pub fn new(store: S) -> Self {
        Self {
            store,
            clock: SystemClock,
            options: Options {
                retention: Self::DEFAULT_RETENTION,
                on_abandoned: OnAbandoned::Retry,
                result_limit: ResultJson::DEFAULT_LIMIT,
                #[cfg(feature = "tokio")]
                wait: None,
                #[cfg(feature = "cache")]
                cache: None,
            },
        }
    }
}

impl<S, C> Idempotency<S, C> {
    /// The same on another clock.
    #[must_use]
    pub fn with_clock<D: Clock>(self, clock: D) -> Idempotency<S, D> {
        Idempotency {
            store: self.store,
            clock,
            options: self.options,
        }
    }

    /// The same, keeping records for another time, though never for less than
    /// their lease.
    #[must_use]
    pub fn with_retention(mut self, retention: Duration) -> Self {
        self.options.retention = retention;
        self
    }

    /// The same, with another way to treat abandoned attempts.
    #[must_use]
    pub fn with_on_abandoned(mut self, on_abandoned: OnAbandoned) -> Self {
        self.options.on_abandoned = on_abandoned;
        self
    }

    /// The same, with another limit for results, in bytes of JSON, than
    /// [`ResultJson::DEFAULT_LIMIT`]. A DynamoDB item holds 400 KiB, and a record
    /// may keep the results of both the operation and its undo.
    #[must_use]
    pub fn with_result_limit(mut self, bytes: usize) -> Self {
        self.options.result_limit = bytes;
        self
    }

    /// The same, waiting for an attempt that is under way elsewhere, rather than
    /// to fail at once with [`RunError::InProgress`].
    ///
    /// For callers that stay on the line, such as those of an HTTP API. A message
    /// from a queue had better go back to its queue: there, waiting costs nothing.
    #[cfg(feature = "tokio")]
    #[must_use]
    pub fn with_wait(mut self, wait: Wait) -> Self {
        self.options.wait = Some(wait);
        self
    }

    /// The same, with a new cache of up to `capacity` completed results in this
    /// process: a duplicate that meets its result there costs no request.
    ///
    /// Each result is held for at most `max_age`, and never longer than its record.
    /// Memory: up to `capacity` times the limit for results.
    ///
    /// A cached result does not know of an undo that another process began after
    /// it was cached. So leave the cache off for operations that are undone, or
    /// choose `max_age` so that a duplicate which comes as late may be told the
    /// old result: it is told, nothing is run. [`undo`](Self::undo) through the
    /// same cache is seen.
    #[cfg(feature = "cache")]
    #[must_use]
    pub fn with_local_cache(mut self, capacity: NonZeroUsize, max_age: Duration) -> Self {
        self.options.cache = Some(Arc::new(LocalCache::new(capacity, max_age)));
        self
    }

    /// The store, for what goes beyond the short way.
    pub fn store(&self) -> &S {
        &self.store
    }
}

/// What is asked for, the same for each attempt.
struct Request {
    key: Key,
    fingerprint: Fingerprint,
    deadline: Millis,
    longest_lease: Duration,
}

impl Request {
    /// Leased until the deadline.
    fn new(key: Key, payload: &impl Serialize, deadline: Millis) -> Result<Self, InvalidResult> {
        Ok(Self {
            key,
            fingerprint: Fingerprint::of_json(payload)?,
            deadline,
            longest_lease: Duration::MAX,
        })
    }
}

/// What to do about a request: run it, with this right, or answer with this.
enum Admission<R> {
    Run(R),
    Replay(ResultJson),
}

impl<S: Store, C: Clock> Idempotency<S, C> {
    /// Runs `work` unless it was run before under this key.
    ///
    /// `payload` is what must be the same in each request with this key: the
    /// whole of it, or a value made of the parts that count.
    ///
    /// `deadline` is when this process will have been stopped: a Lambda
    /// function's deadline. Until then nobody else runs the operation. If the
    /// future is dropped, the claim lapses at the deadline.
    ///
    /// If `work` fails, its effect may have happened or not:
    /// - under [`OnAbandoned::Retry`] the claim is given back and the next attempt
    ///   runs it again, so it must pass the key on to whomever it calls;
    /// - under [`OnAbandoned::Block`] the claim is kept, and once it has lapsed a
    ///   person decides. Work that knows that nothing happened gives the claim back
    ///   itself, with [`Store::release`], before it returns its error.
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
        let request = Request::new(key, payload, deadline)?;
        match self.admit(&request).await? {
            Admission::Run(started) => {
                let done = work(started.clone()).await;
                self.finish(request, &started, done).await
            }
            Admission::Replay(result) => Ok(Outcome::Replayed(result.decode()?)),
        }
    }

    /// The same for work that is long: the claim is held for `lease` at a time
    /// and renewed while `work` runs, so that after a crash others wait for the
    /// rest of one lease, not until a deadline that is far off. See [`keep_alive`].
    ///
    /// # Errors
    /// [`RunError`], by what the caller does next. [`RunError::LeaseLost`] if the
    /// claim could not be held: `work` has then been stopped.
    #[cfg(feature = "tokio")]
    pub async fn run_renewing<T, E, F>(
        &self,
        key: Key,
        payload: &impl Serialize,
        renewal: Renewal,
        work: impl FnOnce(Started) -> F,
    ) -> Result<Outcome<T>, RunError<E>>
    where
        S: Renew,
        T: Serialize + DeserializeOwned,
        E: Error + 'static,
        F: Future<Output = Result<T, E>>,
    {
        let request = Request {
            longest_lease: renewal.lease,
            ..Request::new(key, payload, renewal.deadline)?
        };
        match self.admit(&request).await? {
            Admission::Run(started) => {
                let work = work(started.clone());
                let done = keep_alive(&self.store, &self.clock, &started, renewal, work).await?;
                self.finish(request, &started, done).await
            }
            Admission::Replay(result) => Ok(Outcome::Replayed(result.decode()?)),
        }
    }

    /// Undoes the operation under this key, unless it was undone before. From
    /// then on [`run`](Self::run) refuses it, whether it ran, never ran, or is
    /// still to come.
    ///
    /// `payload` is that of the undo. `undo` learns what there is to undo from
    /// [`UndoStarted::action`]. Deadline and failures are as in [`run`](Self::run).
    ///
    /// # Errors
    /// [`RunError`], by what the caller does next; never [`RunError::Undone`].
    pub async fn undo<T, E, F>(
        &self,
        key: Key,
        payload: &impl Serialize,
        deadline: Millis,
        undo: impl FnOnce(UndoStarted) -> F,
    ) -> Result<Outcome<T>, RunError<E>>
    where
        T: Serialize + DeserializeOwned,
        E: Error + 'static,
        F: Future<Output = Result<T, E>>,
    {
        let request = Request::new(key, payload, deadline)?;
        self.forget(&request.key);
        let started = match self.admit_undo(&request).await? {
            Admission::Run(started) => started,
            Admission::Replay(result) => return Ok(Outcome::Replayed(result.decode()?)),
        };
        match undo(started.clone()).await {
            Ok(value) => {
                let result = ResultJson::encode_within(&value, self.options.result_limit)?;
                self.store.complete_undo(&started, &result).await?;
                Ok(Outcome::Ran(value))
            }
            Err(failure) => {
                if self.gives_back() {
                    // As in `finish`.
                    let _ = self.store.release_undo(&started).await;
                }
                Err(RunError::Work(failure))
            }
        }
    }

    async fn admit<E>(&self, request: &Request) -> Result<Admission<Started>, RunError<E>> {
        let mut patience = self.patience(request);
        loop {
            let claim = self.claim(request)?;
            if let Some(known) = self.recall(&claim) {
                return known.map(Admission::Replay);
            }
            match self.store.begin(&claim).await? {
                Begin::Start(started) => return Ok(Admission::Run(started)),
                Begin::AlreadyCompleted { result, expires_at } => {
                    self.remember(claim.key, claim.fingerprint, &result, expires_at);
                    return Ok(Admission::Replay(result));
                }
                Begin::InProgress { until } => {
                    if !patience.pause(&claim, until).await {
                        return Err(RunError::InProgress { until });
                    }
                }
                Begin::FingerprintMismatch => return Err(RunError::FingerprintMismatch),
                Begin::Undone => return Err(RunError::Undone),
                Begin::Abandoned => return Err(RunError::Abandoned),
            }
        }
    }

    async fn admit_undo<E>(
        &self,
        request: &Request,
    ) -> Result<Admission<UndoStarted>, RunError<E>> {
        let mut patience = self.patience(request);
        loop {
            let claim = self.claim(request)?;
            match self.store.begin_undo(&claim).await? {
                BeginUndo::Start(started) => return Ok(Admission::Run(started)),
                BeginUndo::AlreadyUndone { result } => return Ok(Admission::Replay(result)),
                BeginUndo::InProgress { until } => {
                    if !patience.pause(&claim, until).await {
                        return Err(RunError::InProgress { until });
                    }
                }
                BeginUndo::FingerprintMismatch => return Err(RunError::FingerprintMismatch),
                BeginUndo::Abandoned => return Err(RunError::Abandoned),
            }
        }
    }

    /// A new claim for each attempt.
    fn claim(&self, request: &Request) -> Result<Claim, NoTimeLeft> {
        let now = self.clock.now();
        let until = now.plus(request.longest_lease).min(request.deadline);
        let lease = Lease::until_deadline(now, until)?;
        let (key, fingerprint) = (request.key.clone(), request.fingerprint.clone());
        let claim = Claim::new(key, fingerprint, lease, self.options.retention);
        Ok(claim.with_on_abandoned(self.options.on_abandoned))
    }

    async fn finish<T: Serialize, E: Error + 'static>(
        &self,
        request: Request,
        started: &Started,
        done: Result<T, E>,
    ) -> Result<Outcome<T>, RunError<E>> {
        match done {
            Ok(value) => {
                let result = ResultJson::encode_within(&value, self.options.result_limit)?;
                self.store.complete(started, &result).await?;
                self.remember(
                    request.key,
                    request.fingerprint,
                    &result,
                    started.expires_at,
                );
                Ok(Outcome::Ran(value))
            }
            Err(failure) => {
                if self.gives_back() {
                    // The failure of the work says more than that of the release,
                    // after which the lease runs out by itself.
                    let _ = self.store.release(started).await;
                }
                Err(RunError::Work(failure))
            }
        }
    }

    /// Whether work that failed may be repeated without asking a person.
    fn gives_back(&self) -> bool {
        self.options.on_abandoned == OnAbandoned::Retry
    }
}

#[cfg(feature = "tokio")]
impl<S, C: Clock> Idempotency<S, C> {
    fn patience(&self, request: &Request) -> Patience {
        Patience::new(self.options.wait, self.clock.now(), request.deadline)
    }
}

#[cfg(feature = "cache")]
impl<S, C: Clock> Idempotency<S, C> {
    /// What a claim would be answered, if that is known here.
    fn recall<E>(&self, claim: &Claim) -> Option<Result<ResultJson, RunError<E>>> {
        let known = self.options.cache.as_ref()?.get(&claim.key, claim.now)?;
        Some(if known.fingerprint == claim.fingerprint {
            Ok(known.result)
        } else {
            Err(RunError::FingerprintMismatch)
        })
    }

    fn remember(
        &self,
        key: Key,
        fingerprint: Fingerprint,
        result: &ResultJson,
        expires_at: Seconds,
    ) {
        let Some(cache) = &self.options.cache else {
            return;
        };
        let operation = Remembered {
            fingerprint,
            result: result.clone(),
            expires_at,
        };
        cache.put(key, operation, self.clock.now());
    }

    fn forget(&self, key: &Key) {
        if let Some(cache) = &self.options.cache {
            cache.forget(key.clone());
        }
    }
}

/// Without the feature there is nothing to wait with.
#[cfg(not(feature = "tokio"))]
struct Patience;

#[cfg(not(feature = "tokio"))]
impl Patience {
    async fn pause(&mut self, _: &Claim, _: Millis) -> bool {
        false
    }
}

#[cfg(not(feature = "tokio"))]
impl<S, C> Idempotency<S, C> {
    fn patience(&self, _: &Request) -> Patience {
        Patience
    }
}

/// Without the feature nothing is known but by the store.
#[cfg(not(feature = "cache"))]
impl<S, C> Idempotency<S, C> {
    fn recall<E>(&self, _: &Claim) -> Option<Result<ResultJson, RunError<E>>> {
        None
    }

    fn remember(&self, _: Key, _: Fingerprint, _: &ResultJson, _: Seconds) {}

    fn forget(&self, _: &Key) {}
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

/// Why [`Idempotency::run`] or [`Idempotency::undo`] has no value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError<E> {
    /// The work itself failed. The claim was given back, or under
    /// [`OnAbandoned::Block`] kept.
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
    /// An attempt vanished, and [`OnAbandoned::Block`] leaves it to a person:
    /// see [`Abandoned`](crate::Abandoned).
    #[error("an earlier attempt vanished, its outcome unknown")]
    Abandoned,
    /// The deadline has passed; nothing was begun.
    #[error(transparent)]
    NoTimeLeft(#[from] NoTimeLeft),
    /// The claim could not be held until the work was done. The work was stopped,
    /// and its outcome is unknown, as after a crash.
    #[cfg(feature = "tokio")]
    #[error("the work was stopped")]
    LeaseLost(#[from] LeaseLost),
    /// The payload or the result cannot be stored or read. If it is the result
    /// of work just done, the claim stays until its lease runs out.
    #[error("the payload or the result cannot be stored or read")]
    Result(#[from] InvalidResult),
    /// The store failed, before the work or after it.
    #[error("the store failed")]
    Store(#[from] StoreError),
}
