//! Holding a claim while work goes on for longer than its lease.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::{Clock, Millis, Renew, Started, StoreError, UndoStarted};

/// A right that can be held for longer: [`Started`] or [`UndoStarted`].
pub trait Held: sealed::Renewable {}

impl Held for Started {}
impl Held for UndoStarted {}

mod sealed {
    use super::{Future, Millis, Renew, Started, StoreError, UndoStarted};

    pub trait Renewable: Clone + Send + Sync {
        fn lease_until(&self) -> Millis;

        fn renew<S: Renew>(
            &self,
            store: &S,
            until: Millis,
        ) -> impl Future<Output = Result<Self, StoreError>> + Send;
    }

    impl Renewable for Started {
        fn lease_until(&self) -> Millis {
            self.lease_until
        }

        fn renew<S: Renew>(
            &self,
            store: &S,
            until: Millis,
        ) -> impl Future<Output = Result<Self, StoreError>> + Send {
            store.renew(self, until)
        }
    }

    impl Renewable for UndoStarted {
        fn lease_until(&self) -> Millis {
            self.lease_until
        }

        fn renew<S: Renew>(
            &self,
            store: &S,
            until: Millis,
        ) -> impl Future<Output = Result<Self, StoreError>> + Send {
            store.renew_undo(self, until)
        }
    }
}

/// How long a claim is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// For how long at a time: so long a crash keeps others waiting.
    pub lease: Duration,
    /// When this process will have been stopped: nothing is held for longer.
    pub deadline: Millis,
}

/// Runs `work`, and renews its claim each time that a third of the lease has
/// passed: if a renewal fails, there is time for another.
///
/// A renewal costs one request and one write. The claim's own lease counts until
/// the first renewal.
///
/// # Errors
/// [`LeaseLost`] if the claim could not be held for as long as the work took. The
/// work has then been stopped, that is, its future dropped, and its outcome is
/// unknown. Work that ends is never an error here, whatever it came to.
pub async fn keep_alive<S, C, H, T>(
    store: &S,
    clock: &C,
    held: &H,
    renewal: Renewal,
    work: impl Future<Output = T>,
) -> Result<T, LeaseLost>
where
    S: Renew,
    C: Clock,
    H: Held,
{
    let lost = pin!(hold(store, clock, held.clone(), renewal));
    tokio::select! {
        // Work that is done is done, even if the lease ends at the same moment.
        biased;
        done = work => Ok(done),
        lost = lost => Err(lost),
    }
}

/// Renews until it fails.
async fn hold<S: Renew, C: Clock, H: Held>(
    store: &S,
    clock: &C,
    mut held: H,
    renewal: Renewal,
) -> LeaseLost {
    loop {
        let left = held.lease_until().since(clock.now());
        if held.lease_until() >= renewal.deadline {
            sleep(left).await;
            return LeaseLost::Deadline;
        }
        sleep(left.min(renewal.lease / 3)).await;
        let now = clock.now();
        let until = now.plus(renewal.lease).min(renewal.deadline);
        let left = held.lease_until().since(now);
        match timeout(left, held.renew(store, until)).await {
            Ok(Ok(renewed)) => held = renewed,
            Ok(Err(StoreError::Unavailable(_))) if clock.now() < held.lease_until() => {}
            Ok(Err(error)) => return LeaseLost::Store(error),
            Err(elapsed) => return LeaseLost::Store(StoreError::Unavailable(Box::new(elapsed))),
        }
    }
}

/// Why a claim could not be held until the work was done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseLost {
    /// The deadline came first.
    #[error("the deadline came before the work was done")]
    Deadline,
    /// The lease was not renewed before it ended: another attempt has taken over,
    /// a person has given the claim back, or the store failed.
    #[error("the claim could not be renewed")]
    Store(#[source] StoreError),
}
