//! The port: what a place for records must be able to do.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;

use crate::{
    Begin, BeginUndo, Claim, Key, Millis, Record, ResultJson, Started, Superseded, UndoStarted,
};

/// A place for records, shared by all that may run the same operation.
///
/// Each method is one atomic step that MUST decide as the function of the same
/// name in [`record`](crate::record) does. Each fails with [`StoreError`]:
/// `begin` and `begin_undo` answer instead of failing where another attempt is
/// in the way, the others then fail with [`StoreError::Superseded`].
pub trait Store: Send + Sync {
    /// Claims the operation, or says why not.
    ///
    /// After [`StoreError::Unavailable`] the claim may have been stored: a
    /// later attempt then finds it in progress until its lease runs out.
    fn begin(&self, claim: &Claim) -> impl Future<Output = Result<Begin, StoreError>> + Send;

    /// Stores the operation's result.
    fn complete(
        &self,
        started: &Started,
        result: &ResultJson,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Gives the claim back, so that a redelivery can take over at once.
    ///
    /// For any failure of the operation, whether or not the effect may have
    /// happened: the record stays.
    fn release(&self, started: &Started) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Claims the undo, or says why not. From then on the operation is refused.
    fn begin_undo(
        &self,
        claim: &Claim,
    ) -> impl Future<Output = Result<BeginUndo, StoreError>> + Send;

    /// Stores the undo's result, beside the operation's.
    fn complete_undo(
        &self,
        started: &UndoStarted,
        result: &ResultJson,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Gives the undo's claim back, so that a redelivery can take over at once.
    fn release_undo(
        &self,
        started: &UndoStarted,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The record as it is now, expired or not.
    fn get(&self, key: &Key) -> impl Future<Output = Result<Option<Record>, StoreError>> + Send;
}

/// A store whose leases can be made longer, for work that outlasts them.
///
/// Each method is one atomic step that MUST decide as the function of the same
/// name in [`record`](crate::record) does.
pub trait Renew: Store {
    /// Holds the claim until `until`, and says with what right from now on.
    ///
    /// # Errors
    /// [`StoreError::Superseded`] if another attempt has taken over, or the
    /// claim was given back.
    fn renew(
        &self,
        started: &Started,
        until: Millis,
    ) -> impl Future<Output = Result<Started, StoreError>> + Send;

    /// Holds the undo's claim until `until`, and says with what right from now on.
    ///
    /// # Errors
    /// [`StoreError::Superseded`] if another attempt has taken over, or the
    /// claim was given back.
    fn renew_undo(
        &self,
        started: &UndoStarted,
        until: Millis,
    ) -> impl Future<Output = Result<UndoStarted, StoreError>> + Send;
}

/// Why a store did not do as told, by what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Try again later. The write may or may not have happened.
    #[error("the idempotency store is unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// Stop: another attempt has taken over, and owns the outcome.
    #[error(transparent)]
    Superseded(#[from] Superseded),
    /// Tell a person: a corrupt record, or a request that can never succeed.
    #[error("the idempotency store or its record is not as it must be")]
    Invalid(#[source] Box<dyn Error + Send + Sync>),
}

impl<S: Store> Store for Arc<S> {
    fn begin(&self, claim: &Claim) -> impl Future<Output = Result<Begin, StoreError>> + Send {
        (**self).begin(claim)
    }

    fn complete(
        &self,
        started: &Started,
        result: &ResultJson,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        (**self).complete(started, result)
    }

    fn release(&self, started: &Started) -> impl Future<Output = Result<(), StoreError>> + Send {
        (**self).release(started)
    }

    fn begin_undo(
        &self,
        claim: &Claim,
    ) -> impl Future<Output = Result<BeginUndo, StoreError>> + Send {
        (**self).begin_undo(claim)
    }

    fn complete_undo(
        &self,
        started: &UndoStarted,
        result: &ResultJson,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        (**self).complete_undo(started, result)
    }

    fn release_undo(
        &self,
        started: &UndoStarted,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        (**self).release_undo(started)
    }

    fn get(&self, key: &Key) -> impl Future<Output = Result<Option<Record>, StoreError>> + Send {
        (**self).get(key)
    }
}

impl<S: Renew> Renew for Arc<S> {
    fn renew(
        &self,
        started: &Started,
        until: Millis,
    ) -> impl Future<Output = Result<Started, StoreError>> + Send {
        (**self).renew(started, until)
    }

    fn renew_undo(
        &self,
        started: &UndoStarted,
        until: Millis,
    ) -> impl Future<Output = Result<UndoStarted, StoreError>> + Send {
        (**self).renew_undo(started, until)
    }
}
