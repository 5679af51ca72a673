//! The orders, as the edge stores and reads them.

use std::future::Future;

use contracts::{Reason, StoredEvent, Timestamp, TraceParent};
use domain::{CorrelationId, CustomerId, Money, NewOrder, OrderId, OrderStatus};

use crate::Unavailable;

/// Everything that accepting an order writes, in one step.
#[derive(Debug, Clone)]
pub struct Acceptance {
    /// The order's id.
    pub id: OrderId,
    /// The order.
    pub order: NewOrder,
    /// The fingerprint of its content.
    pub fingerprint: String,
    /// Ties everything that follows to the request.
    pub correlation: CorrelationId,
    /// The request's trace.
    pub trace: Option<TraceParent>,
    /// The first event of the order.
    pub placed: StoredEvent,
    /// When.
    pub at: Timestamp,
}

/// What came of storing an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// It is stored: from here on it is not lost.
    New,
    /// It had been stored before.
    Known(Box<OrderRecord>),
}

/// An order as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRecord {
    /// Its id.
    pub id: OrderId,
    /// Who ordered.
    pub customer: CustomerId,
    /// The fingerprint of its content.
    pub fingerprint: String,
    /// What it costs.
    pub total: Money,
    /// Where it stands.
    pub status: OrderStatus,
    /// Ties it to the request.
    pub correlation: CorrelationId,
    /// What happened so far, in order.
    pub timeline: Vec<TimelineEntry>,
    /// Why it failed or needs attention.
    pub reason: Option<Reason>,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineEntry {
    /// The event's type.
    pub event_type: String,
    /// When, RFC 3339.
    pub time: String,
}

/// Accepts orders.
pub trait OrderStore: Send + Sync {
    /// Stores an order, its idempotency check and its first event in one step.
    /// MUST NOT return `New` before it is durable, and never twice for one id.
    fn accept(
        &self,
        acceptance: &Acceptance,
    ) -> impl Future<Output = Result<Accepted, Unavailable>> + Send;
}

/// Reads orders.
pub trait OrderReader: Send + Sync {
    /// The order as it is now, read consistently.
    fn find(
        &self,
        id: OrderId,
    ) -> impl Future<Output = Result<Option<OrderRecord>, Unavailable>> + Send;
}
