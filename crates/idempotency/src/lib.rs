#![cfg_attr(
    any(
        not(doctest),
        all(feature = "cache", feature = "dynamodb", feature = "memory", feature = "tokio")
    ),
    doc = include_str!("../README.md")
)]
#![warn(missing_docs)]

pub mod abandoned;
#[cfg(feature = "cache")]
mod cache;
mod clock;
#[cfg(feature = "dynamodb")]
pub mod dynamodb;
mod front;
mod identity;
#[cfg(feature = "memory")]
pub mod memory;
mod parts;
pub mod record;
#[cfg(feature = "tokio")]
mod renew;
mod result;
mod store;
#[cfg(feature = "tokio")]
mod wait;

pub use abandoned::Abandoned;
pub use clock::{Clock, Lease, ManualClock, Millis, NoTimeLeft, Seconds, SystemClock};
#[cfg(feature = "dynamodb")]
pub use dynamodb::{BoxedPut, DynamoDbStore, SendPut};
pub use front::{Idempotency, Outcome, RunError};
pub use identity::{Fingerprint, InvalidKey, InvalidOwnerToken, Key, OwnerToken};
#[cfg(feature = "memory")]
pub use memory::MemoryStore;
pub use parts::{InvalidParts, MissingPart, Parts};
pub use record::{
    ActionOutcome, Begin, BeginUndo, Claim, OnAbandoned, Record, Started, State, Superseded,
    UndoStarted,
};
#[cfg(feature = "tokio")]
pub use renew::{Held, LeaseLost, Renewal, keep_alive};
pub use result::{InvalidResult, ResultJson};
pub use store::{Renew, Store, StoreError};
#[cfg(feature = "tokio")]
pub use wait::Wait;
