#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod clock;
#[cfg(feature = "dynamodb")]
pub mod dynamodb;
mod front;
mod identity;
#[cfg(feature = "memory")]
pub mod memory;
pub mod record;
mod result;
mod store;

pub use clock::{Clock, Lease, ManualClock, Millis, NoTimeLeft, Seconds, SystemClock};
#[cfg(feature = "dynamodb")]
pub use dynamodb::DynamoDbStore;
pub use front::{Idempotency, Outcome, RunError};
pub use identity::{Fingerprint, InvalidKey, InvalidOwnerToken, Key, OwnerToken};
#[cfg(feature = "memory")]
pub use memory::MemoryStore;
pub use record::{
    ActionOutcome, Begin, BeginUndo, Claim, OnAbandoned, Record, Started, State, Superseded,
    UndoStarted,
};
pub use result::{InvalidResult, ResultJson};
pub use store::{Store, StoreError};
