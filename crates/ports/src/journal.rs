//! Where a step's result, the order's event and the stock change together or not at all.

use std::future::Future;

use contracts::{StoredEvent, Timestamp};
use domain::stock::Movement;
use domain::{ItemQuantity, OrderId, Sku};
use idempotency::{Begin, BeginUndo, Claim, ResultJson, Started, Store, StoreError, UndoStarted};

/// What a finished step changes beside its own record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderChange {
    /// The order.
    pub order: OrderId,
    /// What happened, for the order's timeline. The status follows from it.
    pub event: StoredEvent,
    /// When.
    pub at: Timestamp,
    /// Pieces that move with it.
    pub stock: Option<StockMove>,
}

/// Pieces that move between the counts of their articles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StockMove {
    /// From where to where.
    pub movement: Movement,
    /// One line for each article.
    pub items: Vec<ItemQuantity>,
}

/// How near an order is to being complete. What it delivered is then the customer's,
/// and no undo may touch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// It is under way, failed, needs attention, or was never placed: an undo may take place.
    Open,
    /// A person has it completed just now.
    UnderWay,
    /// It is completed.
    Completed,
}

/// Says whether an undo may take place.
///
/// MUST read what every earlier write has left: an undo that was recorded as begun
/// before this read is seen by whoever completes the order afterwards.
pub trait Completions: Send + Sync {
    /// How near the order is to being complete.
    fn completion(
        &self,
        order: OrderId,
    ) -> impl Future<Output = Result<Completion, StoreError>> + Send;
}

/// Commits steps that were claimed first, because an outside party acts in between.
///
/// The record's completion is conditional on the claim: MUST return
/// [`StoreError::Superseded`] and change nothing where another attempt holds it.
/// An event that sets a status is conditional on the order: MUST return
/// [`CommitError::OrderEnded`] and change nothing where the status is final.
pub trait StepJournal: Store + Completions {
    /// Commits an action. Without a change only the result is stored.
    fn commit(
        &self,
        started: &Started,
        result: &ResultJson,
        change: Option<&OrderChange>,
    ) -> impl Future<Output = Result<(), CommitError>> + Send;

    /// Commits an undo. Without a change only the result is stored.
    fn commit_undo(
        &self,
        started: &UndoStarted,
        result: &ResultJson,
        change: Option<&OrderChange>,
    ) -> impl Future<Output = Result<(), CommitError>> + Send;
}

/// Why a commit changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The record or the store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There are fewer pieces of these articles than the change moves.
    #[error("too few pieces to move")]
    Short(Vec<Sku>),
    /// The order has ended: no action may add to it any more.
    #[error("the order has ended")]
    OrderEnded,
}

/// What became of an attempt to hold stock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserve {
    /// Held, recorded, and the event is written.
    Done,
    /// Nothing was changed: these articles were short.
    Short(Vec<Sku>),
    /// Nothing was changed: the order has ended.
    OrderEnded,
    /// Nothing was changed: the record was there before.
    Known(Begin),
}

/// Commits stock steps, whose whole effect is in the same store: the commit is the claim.
pub trait StockJournal: Store + Completions {
    /// Commits an action in one step: record, event and stock, or nothing.
    fn commit_at_once(
        &self,
        claim: &Claim,
        result: &ResultJson,
        change: &OrderChange,
    ) -> impl Future<Output = Result<Reserve, StoreError>> + Send;

    /// Commits the undo of a completed action in one step. `Err` of the outer
    /// kind is a failure; [`Some`] says why nothing was changed. With a change it is
    /// conditional on the order: MUST return [`StoreError::Superseded`] and change
    /// nothing unless its [`Completion`] is [`Completion::Open`].
    fn undo_at_once(
        &self,
        claim: &Claim,
        result: &ResultJson,
        change: Option<&OrderChange>,
    ) -> impl Future<Output = Result<Option<BeginUndo>, StoreError>> + Send;

    /// Leaves a tombstone where no action was recorded. [`Some`] says why nothing was changed.
    fn bury(
        &self,
        claim: &Claim,
        result: &ResultJson,
    ) -> impl Future<Output = Result<Option<BeginUndo>, StoreError>> + Send;
}
