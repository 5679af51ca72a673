//! The message history of orders.

use std::future::Future;

use crate::Unavailable;

/// One message that was on the bus, without task token and personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// The order that it is about.
    pub order_id: String,
    /// The message's id.
    pub message_id: String,
    /// The message's type.
    pub message_type: String,
    /// When it was written, RFC 3339.
    pub time: String,
    /// Who wrote it.
    pub source: String,
    /// Ties it to the request.
    pub correlation_id: String,
    /// The message that caused it.
    pub causation_id: Option<String>,
    /// The event's number within its order.
    pub sequence: Option<u32>,
    /// The message as JSON, cleaned.
    pub body: String,
    /// Which deadline of the table's time-to-live applies, in seconds since 1970.
    pub expires_at: u64,
    /// When it was recorded, RFC 3339.
    pub recorded_at: String,
}

/// An append-only record of messages.
pub trait AuditTrail: Send + Sync {
    /// Appends an entry. MUST succeed without a second entry when it is there already.
    fn append(&self, entry: &AuditEntry) -> impl Future<Output = Result<(), Unavailable>> + Send;
}
