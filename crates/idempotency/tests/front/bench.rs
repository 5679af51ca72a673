//! What the tests share: a clock that follows tokio's, and a store that counts and fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use idempotency::{
    Begin, BeginUndo, Claim, Clock, Idempotency, Key, MemoryStore, Millis, Outcome, Record, Renew,
    ResultJson, RunError, Started, Store, StoreError, UndoStarted,
};
use tokio::time::Instant;

pub(crate) const NOW: Millis = Millis::new(1_000_000);
pub(crate) const DEADLINE: Millis = Millis::new(1_030_000);

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("the mail server is down")]
pub(crate) struct MailServerDown;

pub(crate) type Sent = Result<Outcome<u32>, RunError<MailServerDown>>;

pub(crate) fn key() -> Key {
    Key::prefixed("mail", "42").unwrap()
}

/// Shows `NOW` at first and runs with tokio's clock, which a test can pause.
#[derive(Debug, Clone)]
pub(crate) struct TokioClock(Instant);

impl TokioClock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Millis {
        NOW.plus(self.0.elapsed())
    }
}

pub(crate) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// The moment that many milliseconds after the start.
pub(crate) fn at(millis: u64) -> Millis {
    NOW.plus(Duration::from_millis(millis))
}

/// A store in memory that counts what it is asked, and whose renewals can fail.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watched {
    pub(crate) inner: MemoryStore,
    requests: Arc<AtomicUsize>,
    renewals_to_fail: Arc<AtomicUsize>,
    renewals_hang: Arc<AtomicBool>,
}

#[cfg_attr(
    not(all(feature = "cache", feature = "tokio")),
    allow(dead_code, reason = "each feature's tests watch something else")
)]
impl Watched {
    /// The number of requests since the last time of asking.
    pub(crate) fn requests(&self) -> usize {
        self.requests.swap(0, Ordering::SeqCst)
    }

    pub(crate) fn fail_renewals(&self, count: usize) {
        self.renewals_to_fail.store(count, Ordering::SeqCst);
    }

    /// From now on no renewal is ever answered.
    pub(crate) fn hang_renewals(&self) {
        self.renewals_hang.store(true, Ordering::SeqCst);
    }

    fn count(&self) {
        self.requests.fetch_add(1, Ordering::SeqCst);
    }

    async fn renewal_fails(&self) -> Result<(), StoreError> {
        if self.renewals_hang.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let one_less = |left: usize| left.checked_sub(1);
        let failing = &self.renewals_to_fail;
        match failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) {
            Ok(_) => Err(StoreError::Unavailable("the test says so".into())),
            Err(_) => Ok(()),
        }
    }
}

impl Store for Watched {
    async fn begin(&self, claim: &Claim) -> Result<Begin, StoreError> {
        self.count();
        self.inner.begin(claim).await
    }

    async fn complete(&self, started: &Started, result: &ResultJson) -> Result<(), StoreError> {
        self.count();
        self.inner.complete(started, result).await
    }

    async fn release(&self, started: &Started) -> Result<(), StoreError> {
        self.count();
        self.inner.release(started).await
    }

    async fn begin_undo(&self, claim: &Claim) -> Result<BeginUndo, StoreError> {
        self.count();
        self.inner.begin_undo(claim).await
    }

    async fn complete_undo(
        &self,
        started: &UndoStarted,
        result: &ResultJson,
    ) -> Result<(), StoreError> {
        self.count();
        self.inner.complete_undo(started, result).await
    }

    async fn release_undo(&self, started: &UndoStarted) -> Result<(), StoreError> {
        self.count();
        self.inner.release_undo(started).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        self.count();
        self.inner.get(key).await
    }
}

impl Renew for Watched {
    async fn renew(&self, started: &Started, until: Millis) -> Result<Started, StoreError> {
        self.count();
        self.renewal_fails().await?;
        self.inner.renew(started, until).await
    }

    async fn renew_undo(
        &self,
        started: &UndoStarted,
        until: Millis,
    ) -> Result<UndoStarted, StoreError> {
        self.count();
        self.renewal_fails().await?;
        self.inner.renew_undo(started, until).await
    }
}

/// One environment of a function, on tokio's clock.
pub(crate) type Runner = Idempotency<Watched, TokioClock>;

pub(crate) fn runner() -> Runner {
    Idempotency::new(Watched::default()).with_clock(TokioClock::start())
}

/// Sends a mail under the key, whatever time that takes.
pub(crate) async fn send(runner: &Runner, deadline: Millis, value: u32) -> Sent {
    let work = |_| async move { Ok(value) };
    runner.run(key(), &"hello", deadline, work).await
}

/// An attempt that claims the operation for the time to `deadline` and is never
/// heard of again.
pub(crate) async fn vanish(runner: &Runner, deadline: Millis) {
    let forever = |_| std::future::pending::<Result<u32, MailServerDown>>();
    let lost = runner.run(key(), &"hello", deadline, forever);
    let moment = Duration::from_millis(1);
    assert!(tokio::time::timeout(moment, lost).await.is_err());
}
