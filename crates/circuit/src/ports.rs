//! What the circuit breaker needs from outside.

use std::future::Future;

use idempotency::Millis;
use ports::Unavailable;
use serde::{Deserialize, Serialize};

use crate::{Cause, Circuit, Verdict, Wanted};

/// Whether a circuit was opened by this write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// By this one.
    Now,
    /// By another environment, before.
    Before,
}

/// Opens circuits: all that a worker may do with them.
pub trait Trips: Send + Sync {
    /// Opens the circuit of a consumer unless it is open. MUST be one
    /// conditional write, so that of several environments one wins.
    fn open(
        &self,
        consumer: &str,
        cause: &Cause,
        now: Millis,
    ) -> impl Future<Output = Result<Opened, Unavailable>> + Send;
}

/// Whether a circuit was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// It is stored.
    Yes,
    /// Somebody else changed it in the meantime; nothing is stored.
    Conflict,
}

/// Keeps circuits.
pub trait CircuitStore: Send + Sync {
    /// The circuit of a consumer. MUST read what was written last. A circuit that
    /// was never stored is closed, with version 0.
    fn load(&self, consumer: &str) -> impl Future<Output = Result<Circuit, Unavailable>> + Send;

    /// Stores a circuit if the stored one still has the version that
    /// [`Circuit::version`] says, and counts the version up.
    fn save(&self, circuit: &Circuit) -> impl Future<Output = Result<Saved, Unavailable>> + Send;
}

/// Whether a mapping lets messages through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Switch {
    /// It does.
    Enabled,
    /// It does not.
    Disabled,
    /// It is being changed, and takes no other change until that is done.
    Changing,
}

/// An event source mapping as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mapping {
    /// Whether it lets messages through.
    pub switch: Switch,
    /// How many invocations at a time it makes, where that is limited.
    pub concurrency: Option<u32>,
}

/// The event source mappings between the queues and their consumers.
pub trait Mappings: Send + Sync {
    /// How a consumer's mapping is.
    fn look(&self, consumer: &str) -> impl Future<Output = Result<Mapping, Unavailable>> + Send;

    /// Makes it as wanted. The change may take a while to show.
    fn set(
        &self,
        consumer: &str,
        wanted: Wanted,
    ) -> impl Future<Output = Result<(), Unavailable>> + Send;
}

/// What there is to probe with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken<M> {
    /// A message. It stays invisible to others for longer than a probe takes.
    Message(M),
    /// There are messages, and none can be received now: they are delayed, or somebody has them.
    Waiting,
    /// There is none.
    Nothing,
}

/// What a worker says of a message that it was handed directly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeAnswer {
    /// Whether the message is done with, and has to be deleted.
    pub acknowledged: bool,
    /// What its calls showed of the outside party.
    pub verdict: Verdict,
}

/// The single messages that circuits are probed with.
pub trait ProbeMessages: Send + Sync {
    /// A message as the queue gave it.
    type Message: Send + Sync;

    /// Takes one message from a consumer's queue.
    fn take(
        &self,
        consumer: &str,
    ) -> impl Future<Output = Result<Taken<Self::Message>, Unavailable>> + Send;

    /// Has the consumer's worker handle it, as if it were received for the first
    /// time, so that the worker does not give it up.
    fn hand_over(
        &self,
        consumer: &str,
        message: &Self::Message,
    ) -> impl Future<Output = Result<ProbeAnswer, Unavailable>> + Send;

    /// Sends a copy of it, with its body and attributes, to the same queue.
    fn copy(
        &self,
        consumer: &str,
        message: &Self::Message,
    ) -> impl Future<Output = Result<(), Unavailable>> + Send;

    /// Deletes it.
    fn delete(
        &self,
        consumer: &str,
        message: &Self::Message,
    ) -> impl Future<Output = Result<(), Unavailable>> + Send;
}

/// Has the controller run again, by itself.
pub trait Wake: Send + Sync {
    /// Starts an invocation that watches over the circuits, and does not wait for it.
    fn wake(&self) -> impl Future<Output = Result<(), Unavailable>> + Send;
}

/// Counts and measures for those who watch from outside.
pub trait Meter: Send + Sync {
    /// Something happened to the circuit of a consumer, by its stable name such
    /// as `CircuitClosed`.
    fn happened(&self, consumer: &str, name: &'static str);

    /// The seconds for which a consumer has been paused or its circuit not closed.
    fn hindered(&self, consumer: &str, seconds: u64);
}
