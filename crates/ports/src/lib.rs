//! What the functions need from the outside, in the domain's words.
//!
//! Each port is one capability. An adapter MUST return the error that a port
//! names: callers decide by it what happens to a message, and nothing else
//! tells them.

mod answers;
mod audit;
mod bus;
mod dead_letters;
mod describe;
mod held;
mod journal;
mod orders;
mod people;
mod providers;
mod sagas;

use std::error::Error;

pub use answers::{Answer, Answered, TaskAnswers};
pub use audit::{AuditEntry, AuditTrail};
pub use bus::{Bus, Delivery};
pub use dead_letters::{DeadLetters, QueueReport, Sample};
pub use describe::describe;
pub use held::{HeldOrder, HeldOrders};
pub use journal::{
    CommitError, Completion, Completions, OrderChange, Reserve, StepJournal, StockJournal,
    StockMove,
};
pub use orders::{Acceptance, Accepted, OrderReader, OrderRecord, OrderStore, TimelineEntry};
pub use people::{Notice, People};
pub use providers::{
    CancelRequest, ChargeRequest, PaymentProvider, ProviderError, RefundRequest, ShipRequest,
    Warehouse,
};
pub use sagas::{SagaStart, Sagas};

/// An outside service did not do as told, and may do so later.
///
/// Whether it did and its answer was lost is unknown: the caller repeats the
/// call only where repeating does no harm.
#[derive(Debug, thiserror::Error)]
#[error("{service} is unavailable")]
pub struct Unavailable {
    /// Which service, for logs and failure records.
    pub service: &'static str,
    /// What it said.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

impl Unavailable {
    /// Keeps the whole error as the source.
    pub fn new(service: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            service,
            source: source.into(),
        }
    }
}
