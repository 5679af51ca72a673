//! For people: an attempt that vanished, and what to do about it.
//!
//! Under [`OnAbandoned::Block`](crate::OnAbandoned::Block) an operation whose
//! attempt vanished waits for a person, who finds out what became of the effect:
//!
//! | the effect …               | then                                                                |
//! |----------------------------|---------------------------------------------------------------------|
//! | did not happen             | [`Abandoned::retry`]: the next delivery runs the operation           |
//! | happened                   | [`Abandoned::settle`]: duplicates are answered with the given result |
//! | shall not happen, or shall be undone | [`Store::begin_undo`], which needs no permission of a person |
//!
//! ```
//! # use idempotency::{Abandoned, Key, Store, StoreError, Clock, SystemClock};
//! async fn it_did_not_happen(store: &impl Store, key: &Key) -> Result<bool, StoreError> {
//!     let Some(abandoned) = Abandoned::find(store, key, SystemClock.now()).await? else {
//!         return Ok(false); // Nobody is waiting: it runs, is done, or never began.
//!     };
//!     abandoned.retry(store).await?;
//!     Ok(true)
//! }
//! ```

use crate::{Key, Millis, Record, ResultJson, Started, State, Store, StoreError, UndoStarted};

/// An attempt at an operation, or at its undo, whose lease ran out without a word.
///
/// What is done with it is conditional on the owner token of that attempt. If
/// another has taken over since, it fails with [`StoreError::Superseded`] and
/// changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abandoned {
    attempt: Attempt,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Attempt {
    Action(Started),
    Undo(UndoStarted),
}

impl Abandoned {
    /// Looks whether the last attempt at an operation, or at its undo, vanished.
    ///
    /// # Errors
    /// [`StoreError`] if the store failed.
    pub async fn find<S: Store>(
        store: &S,
        key: &Key,
        now: Millis,
    ) -> Result<Option<Self>, StoreError> {
        let record = store.get(key).await?;
        Ok(record.and_then(|record| Self::of(key, &record, now)))
    }

    /// The attempt that a record tells of, if it vanished. An attempt that was
    /// given back did not: the next delivery retries it.
    pub fn of(key: &Key, record: &Record, now: Millis) -> Option<Self> {
        if record.is_expired(now) {
            return None;
        }
        let vanished = |lease_until: Millis| lease_until != Millis::EPOCH && lease_until <= now;
        let attempt = match &record.state {
            State::Started {
                owner, lease_until, ..
            } if vanished(*lease_until) => Attempt::Action(Started {
                key: key.clone(),
                owner: *owner,
                lease_until: *lease_until,
                expires_at: record.expires_at,
                takeover: true,
            }),
            State::Undoing {
                action,
                owner,
                lease_until,
                ..
            } if vanished(*lease_until) => Attempt::Undo(UndoStarted {
                key: key.clone(),
                owner: *owner,
                lease_until: *lease_until,
                expires_at: record.expires_at,
                action: action.clone(),
            }),
            _ => return None,
        };
        Some(Self { attempt })
    }

    /// When its lease ran out.
    pub fn since(&self) -> Millis {
        match &self.attempt {
            Attempt::Action(started) => started.lease_until,
            Attempt::Undo(started) => started.lease_until,
        }
    }

    /// Whether it was an attempt to undo the operation.
    pub fn is_undo(&self) -> bool {
        matches!(self.attempt, Attempt::Undo(_))
    }

    /// Gives the claim back: the effect did not happen, or may be tried again.
    /// The next attempt runs, and is told that it takes over.
    ///
    /// # Errors
    /// [`StoreError::Superseded`] if another attempt has taken over.
    pub async fn retry<S: Store>(&self, store: &S) -> Result<(), StoreError> {
        match &self.attempt {
            Attempt::Action(started) => store.release(started).await,
            Attempt::Undo(started) => store.release_undo(started).await,
        }
    }

    /// Stores the result: the effect happened, and this is what came of it.
    ///
    /// # Errors
    /// [`StoreError::Superseded`] if another attempt has taken over.
    pub async fn settle<S: Store>(&self, store: &S, result: &ResultJson) -> Result<(), StoreError> {
        match &self.attempt {
            Attempt::Action(started) => store.complete(started, result).await,
            Attempt::Undo(started) => store.complete_undo(started, result).await,
        }
    }
}
