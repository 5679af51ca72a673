//! What the rules need from the outside.

use std::future::Future;

use message_worker::FailureRecord;
use ports::Unavailable;

use crate::failure::{Failure, FailureId, Letter, ReplayId};
use crate::group::{Group, GroupId};
use crate::plan::Plan;
use crate::query::Query;

/// A page of what was found.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// What was found, the latest failures first.
    pub items: Vec<T>,
    /// Where to go on; `None` at the end.
    pub next: Option<String>,
}

/// Keeps failures.
pub trait FailureStore: Send + Sync {
    /// Reads one, as it is now.
    fn get(
        &self,
        id: &FailureId,
    ) -> impl Future<Output = Result<Option<Failure>, Unavailable>> + Send;

    /// Stores a new one. `false` where one with this id is there: nothing is changed then.
    fn create(&self, failure: &Failure) -> impl Future<Output = Result<bool, Unavailable>> + Send;

    /// Replaces the version before `next.version`. `false` where there is another version:
    /// nothing is changed then, and the caller reads again and decides anew.
    fn replace(&self, next: &Failure) -> impl Future<Output = Result<bool, Unavailable>> + Send;

    /// Both, or none: replaces a record and creates another.
    fn replace_and_create(
        &self,
        next: &Failure,
        new: &Failure,
    ) -> impl Future<Output = Result<bool, Unavailable>> + Send;

    /// Finds one page of failures, from where the last page ended. A page may be
    /// short, or empty, and not be the last.
    fn find(
        &self,
        query: &Query,
        from: Option<&str>,
    ) -> impl Future<Output = Result<Page<Failure>, Unavailable>> + Send;
}

/// Keeps what is known of groups beside their failures.
pub trait GroupStore: Send + Sync {
    /// Reads one.
    fn get_group(
        &self,
        id: &GroupId,
    ) -> impl Future<Output = Result<Option<Group>, Unavailable>> + Send;

    /// Stores version 1 of a new one, or replaces the version before. `false` as in
    /// [`FailureStore::replace`].
    fn put_group(&self, next: &Group) -> impl Future<Output = Result<bool, Unavailable>> + Send;

    /// All of them.
    fn groups(&self) -> impl Future<Output = Result<Vec<Group>, Unavailable>> + Send;
}

/// Keeps plans.
pub trait PlanStore: Send + Sync {
    /// Stores a new plan with its entries.
    fn create_plan(&self, plan: &Plan) -> impl Future<Output = Result<(), Unavailable>> + Send;

    /// Reads a plan with its entries.
    fn get_plan(
        &self,
        id: &ReplayId,
    ) -> impl Future<Output = Result<Option<Plan>, Unavailable>> + Send;

    /// Replaces the version before, but for the entries, which never change. `false` as
    /// in [`FailureStore::replace`].
    fn put_progress(&self, next: &Plan) -> impl Future<Output = Result<bool, Unavailable>> + Send;

    /// The plans without their entries, the latest first.
    fn plans(&self) -> impl Future<Output = Result<Vec<Plan>, Unavailable>> + Send;
}

/// A message that a dead-letter queue gave out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The id it has in this queue.
    pub message_id: String,
    /// Deletes this delivery of it.
    pub receipt_handle: String,
    /// The name of the queue.
    pub queue: String,
    /// When it was sent to the queue, in milliseconds since 1970.
    pub sent_at: u64,
    /// The message, without the attributes that describe the failure.
    pub letter: Letter,
    /// What the worker said, where one moved it.
    pub record: Option<FailureRecord>,
    /// How often it was received from there, from 1; the queue's count is a guess.
    pub receives: u32,
    /// Whether the queue's own redrive policy moved it.
    pub redriven: bool,
    /// Where it is a replayed message that failed again: its record, and the replay.
    pub replayed: Option<(FailureId, ReplayId)>,
}

/// Takes dead letters out of their queues.
pub trait DeadLetterQueues: Send + Sync {
    /// Receives up to ten messages, which stay invisible to others for a while. Empty
    /// where none is visible.
    fn receive(
        &self,
        queue: &str,
    ) -> impl Future<Output = Result<Vec<DeadLetter>, Unavailable>> + Send;

    /// Deletes a message. It MUST be stored by then.
    fn delete(&self, letter: &DeadLetter) -> impl Future<Output = Result<(), Unavailable>> + Send;
}

/// Why a message was not sent, or may not have been.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The queue refused it: it was certainly not sent.
    #[error("the message was refused")]
    Refused(#[source] Unavailable),
    /// It is not known whether the queue took it.
    #[error("it is not known whether the message was sent")]
    Unknown(#[source] Unavailable),
}

impl SendError {
    /// What happened to the call.
    pub fn into_inner(self) -> Unavailable {
        match self {
            Self::Refused(error) | Self::Unknown(error) => error,
        }
    }
}

/// Sends messages to consumers once more.
pub trait ReplayQueues: Send + Sync {
    /// Sends a message to the queue of a consumer, with the attributes
    /// [`FAILURE_ID`](crate::FAILURE_ID) and [`REPLAY_ID`](crate::REPLAY_ID) beside its own.
    /// `Ok` only when the queue has confirmed; [`SendError::Refused`] only where it
    /// certainly did not take the message.
    fn send(
        &self,
        consumer: &str,
        letter: &Letter,
        failure: &FailureId,
        replay: &ReplayId,
    ) -> impl Future<Output = Result<(), SendError>> + Send;
}
