//! What becomes of messages that failed.
//!
//! ```text
//! DLQ, quarantine ──drain──▶ failure store ──replay──▶ the consumer's queue
//!                              ▲      ▲                        │
//!             failed again ────┘      └──── acknowledged ──────┘
//! ```
//!
//! The rules are pure: a [`Failure`] changes by a [`Change`], which is allowed or
//! refused; groups, queries and plans are values. The store's port knows only
//! create, replace and find. A record is replaced only in the version that was
//! read, so two operators, a drain and a worker may all be at it at once.
//!
//! [`replay`] carries plans out, [`edit`] mends a message that cannot succeed as it is,
//! and [`mask`] says what may be shown of one.

mod acknowledging;
mod automatic;
mod change;
mod claimed;
mod drain;
pub mod edit;
mod failure;
mod group;
pub mod mask;
mod notify;
mod plan;
mod ports;
mod query;
pub mod replay;
mod source;

use std::time::Duration;

pub use acknowledging::{Acknowledging, AcknowledgingError};
pub use automatic::{AutomaticReplay, CircuitStates, Limits, Ran, Survey, due};
pub use change::{Actor, Change, RESOLVED_RETENTION, Refused};
pub use drain::{DRAIN, Drain, Drained};
pub use failure::{
    Failure, FailureId, HistoryEntry, Letter, Replay, ReplayId, Resolution, Status, Trouble, Value,
};
pub use group::{Group, GroupId, GroupNote, Summary, group_of, normalise, summarize};
pub use notify::{NotTold, Notices};
pub use plan::{Entry, EntryState, Plan, Progress, Runner, Tally};
pub use ports::{
    DeadLetter, DeadLetterQueues, FailureStore, GroupStore, Page, PlanStore, ReplayQueues,
    SendError,
};
pub use query::Query;
pub use source::{DELIVERY_FAILED, DrainedQueue, RECEIVES_EXHAUSTED, UNEXPLAINED, UNKNOWN};

/// How long after a message was stored it can be repeated without asking the outside
/// party what it remembers. The ports ask for 60 days, and the message had been in
/// queues for up to 26 when it was stored, which leaves a month.
pub const KEYS_ARE_KNOWN: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The attribute of a replayed message that names its record.
pub const FAILURE_ID: &str = "failureId";

/// The attribute of a replayed message that names the replay.
pub const REPLAY_ID: &str = "replayId";
