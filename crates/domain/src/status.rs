//! Where an order stands.

use std::fmt;
use std::str::FromStr;

use crate::EventKind;

/// The status of an order, as clients see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OrderStatus {
    /// Stored; from here on it is not lost.
    Accepted,
    /// The payment was captured.
    Paid,
    /// The stock is held.
    Reserved,
    /// The warehouse has taken it on.
    Shipped,
    /// Done.
    Completed,
    /// It could not be done, and everything was undone.
    Failed,
    /// An undo failed: a person must look.
    NeedsAttention,
}

impl OrderStatus {
    /// All of them, in the order in which a good order passes them.
    pub const ALL: [Self; 7] = [
        Self::Accepted,
        Self::Paid,
        Self::Reserved,
        Self::Shipped,
        Self::Completed,
        Self::Failed,
        Self::NeedsAttention,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Paid => "paid",
            Self::Reserved => "reserved",
            Self::Shipped => "shipped",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::NeedsAttention => "needs-attention",
        }
    }

    /// Whether nothing more happens by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::NeedsAttention)
    }
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The text names no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown order status: {0}")]
pub struct UnknownStatus(String);

impl FromStr for OrderStatus {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| UnknownStatus(text.to_owned()))
    }
}

/// The status after an event, or `None` where the event does not change it.
///
/// An undo does not step the status back: until the order has failed, a client
/// sees how far it came, and the timeline says what was undone.
pub fn evolve(event: EventKind) -> Option<OrderStatus> {
    match event {
        EventKind::OrderPlaced => Some(OrderStatus::Accepted),
        EventKind::PaymentCaptured => Some(OrderStatus::Paid),
        EventKind::StockReserved => Some(OrderStatus::Reserved),
        EventKind::ShipmentCreated => Some(OrderStatus::Shipped),
        EventKind::OrderCompleted => Some(OrderStatus::Completed),
        EventKind::OrderFailed => Some(OrderStatus::Failed),
        EventKind::OrderNeedsAttention => Some(OrderStatus::NeedsAttention),
        EventKind::PaymentDeclined
        | EventKind::PaymentRefunded
        | EventKind::StockRejected
        | EventKind::StockReleased
        | EventKind::ShipmentCancelled => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_reads_back_from_its_name() {
        for status in OrderStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
        }
        assert!("Completed".parse::<OrderStatus>().is_err());
    }
}
