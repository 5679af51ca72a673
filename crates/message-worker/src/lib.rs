#![doc = include_str!("../README.md")]

mod backoff;
mod class;
mod delivery;
#[cfg(feature = "emf")]
pub mod emf;
mod failure_record;
mod handler;
mod known_poison;
#[cfg(feature = "memory")]
pub mod memory;
mod observe;
mod outcome;
mod queue;
mod record;
mod routes;
#[cfg(feature = "sqs")]
pub mod sqs;
#[cfg(feature = "tower")]
pub mod tower;
mod worker;

pub use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
pub use backoff::{Backoff, Jitter};
pub use class::{Class, Classify, Failure, ResultExt, cause_chain};
pub use delivery::{Attribute, Delivery, InvalidRecord};
pub use failure_record::FailureRecord;
pub use handler::{Description, Handler, RecordContext};
pub use known_poison::{KNOWN_POISON, PoisonMemory};
pub use observe::{BatchSummary, Observer, RecordReport, TracingObserver};
pub use outcome::Outcome;
pub use queue::{Operation, Queue, QueueError};
pub use routes::{Destination, Route, Routes};
pub use worker::{Config, Worker, deadline_from};
