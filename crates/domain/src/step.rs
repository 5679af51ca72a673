//! The names of what the saga asks for and of what happened.

use std::fmt;
use std::str::FromStr;

/// A step of the saga: an action or its undo. Its name is the second half of a command's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Capture the payment.
    Charge,
    /// Undo of [`Step::Charge`].
    Refund,
    /// Hold the stock.
    Reserve,
    /// Undo of [`Step::Reserve`].
    Release,
    /// Hand over to the warehouse.
    Ship,
    /// Undo of [`Step::Ship`].
    CancelShipment,
}

impl Step {
    /// All steps, each action in front of its undo.
    pub const ALL: [Self; 6] = [
        Self::Charge,
        Self::Refund,
        Self::Reserve,
        Self::Release,
        Self::Ship,
        Self::CancelShipment,
    ];

    /// `noun.verb`, as in message types and ids.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Charge => "payment.charge",
            Self::Refund => "payment.refund",
            Self::Reserve => "stock.reserve",
            Self::Release => "stock.release",
            Self::Ship => "shipment.create",
            Self::CancelShipment => "shipment.cancel",
        }
    }

    /// The action that this step belongs to: itself, or what it undoes.
    ///
    /// An action and its undo share one idempotency record, kept under the action's name.
    pub fn action(self) -> Self {
        match self {
            Self::Charge | Self::Refund => Self::Charge,
            Self::Reserve | Self::Release => Self::Reserve,
            Self::Ship | Self::CancelShipment => Self::Ship,
        }
    }

    /// Whether this step undoes another.
    pub fn is_undo(self) -> bool {
        self.action() != self
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The text names no step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown step: {0}")]
pub struct ParseStepError(String);

impl FromStr for Step {
    type Err = ParseStepError;

    fn from_str(text: &str) -> Result<Self, ParseStepError> {
        Self::ALL
            .into_iter()
            .find(|step| step.as_str() == text)
            .ok_or_else(|| ParseStepError(text.to_owned()))
    }
}

/// What happened to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventKind {
    /// The order was stored.
    OrderPlaced,
    /// The customer was charged.
    PaymentCaptured,
    /// The provider refused the charge.
    PaymentDeclined,
    /// The customer got the money back.
    PaymentRefunded,
    /// All lines are held.
    StockReserved,
    /// At least one line was short, and nothing is held.
    StockRejected,
    /// What was held is available again.
    StockReleased,
    /// The warehouse took it on.
    ShipmentCreated,
    /// The warehouse called it off.
    ShipmentCancelled,
    /// The end, good.
    OrderCompleted,
    /// The end, everything undone.
    OrderFailed,
    /// The end of what the machine can do.
    OrderNeedsAttention,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::OrderPlaced,
        Self::PaymentCaptured,
        Self::PaymentDeclined,
        Self::PaymentRefunded,
        Self::StockReserved,
        Self::StockRejected,
        Self::StockReleased,
        Self::ShipmentCreated,
        Self::ShipmentCancelled,
        Self::OrderCompleted,
        Self::OrderFailed,
        Self::OrderNeedsAttention,
    ];

    /// `noun.verb` in the past tense, as in message types and ids.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OrderPlaced => "order.placed",
            Self::PaymentCaptured => "payment.captured",
            Self::PaymentDeclined => "payment.declined",
            Self::PaymentRefunded => "payment.refunded",
            Self::StockReserved => "stock.reserved",
            Self::StockRejected => "stock.rejected",
            Self::StockReleased => "stock.released",
            Self::ShipmentCreated => "shipment.created",
            Self::ShipmentCancelled => "shipment.cancelled",
            Self::OrderCompleted => "order.completed",
            Self::OrderFailed => "order.failed",
            Self::OrderNeedsAttention => "order.needs-attention",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_reads_back_from_its_name() {
        for step in Step::ALL {
            assert_eq!(step.as_str().parse(), Ok(step));
        }
    }

    #[test]
    fn an_undo_belongs_to_an_action_that_is_no_undo() {
        for step in Step::ALL {
            assert!(!step.action().is_undo(), "{step}");
        }
        assert_eq!(Step::ALL.iter().filter(|step| step.is_undo()).count(), 3);
    }
}
