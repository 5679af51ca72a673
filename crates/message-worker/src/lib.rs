#![doc = include_str!("../README.md")]

mod backoff;
mod class;
mod delivery;
mod failure_record;
mod handler;
#[cfg(feature = "memory")]
pub mod memory;
mod observe;
mod outcome;
mod queue;
mod record;
#[cfg(feature = "sqs")]
pub mod sqs;
mod worker;

pub use backoff::{Backoff, Jitter};
pub use class::{Class, Classify, Failure, cause_chain};
pub use delivery::{Attribute, Delivery, InvalidRecord};
pub use failure_record::FailureRecord;
pub use handler::{Description, Handler, RecordContext};
pub use observe::{BatchSummary, Observer, RecordReport, TracingObserver};
pub use outcome::Outcome;
pub use queue::{Operation, Queue, QueueError};
pub use worker::{Config, Worker, deadline_from};
