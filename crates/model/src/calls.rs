//! What a worker asks of its ports, and what it is answered.

use domain::Sku;
use domain::payment::{Charge, Refund};
use domain::shipment::{Cancellation, Shipment};
use idempotency::{
    Begin, BeginUndo, Claim, Key, OwnerToken, Record, ResultJson, Started, UndoStarted,
};
use ports::{Answer, Answered, OrderChange};

/// The owner that a worker's claims have in its calls. Real ones are random; the
/// model puts the label of the run in its place.
pub const THIS_RUN: OwnerToken = OwnerToken::from_u128(u128::MAX);

/// A call of a port, with all that it passes.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// Claims an action.
    Begin(Claim),
    /// Claims an undo.
    BeginUndo(Claim),
    /// Gives an action's claim back.
    Release(Started),
    /// Gives an undo's claim back.
    ReleaseUndo(UndoStarted),
    /// Reads the step's record.
    Get(Key),
    /// Commits a claimed action.
    Commit(Started, ResultJson, Option<OrderChange>),
    /// Commits a claimed undo.
    CommitUndo(UndoStarted, ResultJson, Option<OrderChange>),
    /// Claims and commits an action of the stock.
    CommitAtOnce(Claim, ResultJson, OrderChange),
    /// Claims and commits an undo of the stock.
    UndoAtOnce(Claim, ResultJson, Option<OrderChange>),
    /// Leaves a tombstone.
    Bury(Claim, ResultJson),
    /// Asks the outside party for the action.
    Act {
        /// Its idempotency key.
        key: String,
    },
    /// Asks the outside party for the undo.
    CallOff {
        /// Its idempotency key.
        key: String,
        /// The key of the action.
        of: String,
    },
    /// Answers the saga.
    Answer(Answer),
    /// Lets the message wait.
    Delay,
    /// Puts a fresh copy into the queue.
    Resend,
    /// Moves the message to the dead-letter queue.
    DeadLetter,
    /// Moves the message to quarantine.
    Quarantine,
}

/// The answer to a [`Call`].
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// To [`Call::Begin`].
    Begin(Begin),
    /// To [`Call::BeginUndo`].
    BeginUndo(BeginUndo),
    /// To [`Call::Get`].
    Record(Option<Record>),
    /// Done.
    Done,
    /// A store's write: another attempt has taken over.
    Superseded,
    /// A commit: the order has ended.
    OrderEnded,
    /// A commit: too few pieces of these articles.
    Short(Vec<Sku>),
    /// A commit at once: the record was there before.
    Known(Begin),
    /// An undo at once, or a tombstone: the record says something else.
    KnownUndo(BeginUndo),
    /// A commit at once: what the record says is not so.
    Damaged,
    /// To [`Call::Act`] of the payment provider.
    Charge(Charge),
    /// To [`Call::CallOff`] of the payment provider.
    Refund(Refund),
    /// To [`Call::Act`] of the warehouse.
    Shipment(Shipment),
    /// To [`Call::CallOff`] of the warehouse.
    Cancellation(Cancellation),
    /// The outside party failed this request, certainly without an effect.
    PartyFailed,
    /// The outside party gave no answer in time.
    PartyTimedOut,
    /// To [`Call::Answer`].
    Answered(Answered),
    /// A table, queue or state machine gave no answer; the call may have had its effect.
    NoAnswer,
}
