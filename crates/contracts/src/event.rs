//! Events: what happened to an order.

use domain::{CorrelationId, EventKind, ItemQuantity, Money, NewOrder, OrderId, Rejected, Sku};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Timestamp;
use crate::envelope::{ContractError, Envelope, TraceParent};
use crate::json::FromObject;
use crate::upcast::VERSIONS;
use crate::wire::{LineWire, MoneyWire, OrderWire};

/// Something that happened, with its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The order was stored.
    OrderPlaced(NewOrder),
    /// The customer was charged.
    PaymentCaptured {
        /// How much.
        money: Money,
        /// The provider's name for it.
        reference: String,
    },
    /// The provider refused.
    PaymentDeclined(Reason),
    /// The customer got the money back.
    PaymentRefunded {
        /// How much.
        money: Money,
        /// The provider's name for it.
        reference: String,
    },
    /// All lines are held.
    StockReserved(Vec<ItemQuantity>),
    /// These articles were short.
    StockRejected(Vec<Sku>),
    /// These lines are available again.
    StockReleased(Vec<ItemQuantity>),
    /// The warehouse took it on.
    ShipmentCreated {
        /// The warehouse's name for it.
        reference: String,
        /// What goes out.
        items: Vec<ItemQuantity>,
    },
    /// The warehouse called it off.
    ShipmentCancelled {
        /// The warehouse's name for it.
        reference: String,
    },
    /// The end, good.
    OrderCompleted,
    /// The end, everything undone.
    OrderFailed(Reason),
    /// The end of what the machine can do.
    OrderNeedsAttention(Reason),
}

/// Why something did not go well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Stable, for programs.
    pub code: String,
    /// For people; safe for the customer.
    pub message: String,
}

/// Where a message comes from: it is handed on from cause to effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// Ties it to the request.
    pub correlation: CorrelationId,
    /// The id of the message that caused it.
    pub causation: Option<String>,
    /// The trace that it belongs to.
    pub trace: Option<TraceParent>,
}

/// An event as the order's timeline keeps it: a CloudEvents message without a
/// sequence number, because that number is its place in the timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// What happened.
    pub kind: EventKind,
    /// The message.
    pub json: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PlacedV1<'a> {
    order_id: &'a str,
    total: MoneyWire,
    #[serde(flatten)]
    order: OrderWire,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PaymentV1<'a> {
    order_id: &'a str,
    #[serde(flatten)]
    money: MoneyWire,
    reference: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeclinedV1<'a> {
    order_id: &'a str,
    #[serde(flatten)]
    reason: &'a Reason,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RejectedV1<'a> {
    order_id: &'a str,
    code: &'static str,
    message: &'static str,
    skus: Vec<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StockV1<'a> {
    order_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Vec<LineWire>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OutcomeV1<'a> {
    order_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a Reason>,
}

impl Event {
    /// What happened, without the data.
    pub fn kind(&self) -> EventKind {
        match self {
            Self::OrderPlaced(_) => EventKind::OrderPlaced,
            Self::PaymentCaptured { .. } => EventKind::PaymentCaptured,
            Self::PaymentDeclined(_) => EventKind::PaymentDeclined,
            Self::PaymentRefunded { .. } => EventKind::PaymentRefunded,
            Self::StockReserved(_) => EventKind::StockReserved,
            Self::StockRejected(_) => EventKind::StockRejected,
            Self::StockReleased(_) => EventKind::StockReleased,
            Self::ShipmentCreated { .. } => EventKind::ShipmentCreated,
            Self::ShipmentCancelled { .. } => EventKind::ShipmentCancelled,
            Self::OrderCompleted => EventKind::OrderCompleted,
            Self::OrderFailed(_) => EventKind::OrderFailed,
            Self::OrderNeedsAttention(_) => EventKind::OrderNeedsAttention,
        }
    }

    /// Writes the event as the timeline keeps it.
    pub fn store(
        &self,
        order: OrderId,
        lineage: &Lineage,
        source: &str,
        at: Timestamp,
    ) -> StoredEvent {
        let kind = self.kind();
        let envelope = Envelope {
            id: format!("{order}/{kind}"),
            source: source.to_owned(),
            message_type: format!("waybill.{kind}.v1"),
            order,
            time: at.to_string(),
            correlation: lineage.correlation.clone(),
            causation: lineage.causation.clone(),
            trace: lineage.trace.clone(),
            task_token: None,
            sequence: None,
            data: self.data(&order.to_string()),
        };
        StoredEvent {
            kind,
            json: envelope.to_json(),
        }
    }

    fn data(&self, order_id: &str) -> Box<RawValue> {
        match self {
            Self::OrderPlaced(order) => raw(&PlacedV1 {
                order_id,
                total: order.total().into(),
                order: order.into(),
            }),
            Self::PaymentCaptured { money, reference }
            | Self::PaymentRefunded { money, reference } => raw(&PaymentV1 {
                order_id,
                money: (*money).into(),
                reference,
            }),
            Self::PaymentDeclined(reason) => raw(&DeclinedV1 { order_id, reason }),
            Self::StockReserved(items) | Self::StockReleased(items) => raw(&StockV1 {
                order_id,
                reference: None,
                items: Some(LineWire::write_all(items)),
            }),
            Self::StockRejected(skus) => raw(&RejectedV1 {
                order_id,
                code: "out-of-stock",
                message: "not enough pieces in stock",
                skus: skus.iter().map(Sku::as_str).collect(),
            }),
            Self::ShipmentCreated { reference, items } => raw(&StockV1 {
                order_id,
                reference: Some(reference),
                items: Some(LineWire::write_all(items)),
            }),
            Self::ShipmentCancelled { reference } => raw(&StockV1 {
                order_id,
                reference: Some(reference),
                items: None,
            }),
            Self::OrderCompleted => raw(&OutcomeV1 {
                order_id,
                reason: None,
            }),
            Self::OrderFailed(reason) | Self::OrderNeedsAttention(reason) => raw(&OutcomeV1 {
                order_id,
                reason: Some(reason),
            }),
        }
    }
}

/// These shapes have text keys and whole numbers only, which always serialise.
fn raw(data: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(data).unwrap_or_default()
}

/// An event that came from the bus, its envelope checked.
#[derive(Debug)]
pub struct EventMessage {
    /// The envelope; the data is still JSON.
    pub envelope: Envelope,
    /// What happened.
    pub kind: EventKind,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OutcomeDataV1 {
    order_id: String,
    #[serde(default)]
    reason: Option<FromObject<Reason>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlacedDataV1 {
    order_id: String,
    #[serde(flatten)]
    order: OrderWire,
}

impl EventMessage {
    /// Reads an event's envelope.
    ///
    /// # Errors
    /// [`ContractError`]: the body will never be readable.
    pub fn parse(body: &str) -> Result<Self, ContractError> {
        let envelope = Envelope::parse(body)?;
        let kind = envelope.kind()?;
        let found = EventKind::ALL
            .into_iter()
            .find(|event| event.as_str() == kind.name)
            .ok_or_else(|| envelope.unknown_type())?;
        VERSIONS.check(kind)?;
        Ok(Self {
            envelope,
            kind: found,
        })
    }

    /// The order of an `order.placed`.
    pub fn placed_order(&self) -> Result<NewOrder, ContractError> {
        self.expect_kind(&[EventKind::OrderPlaced])?;
        let data: PlacedDataV1 = self.data()?;
        self.expect_order(&data.order_id)?;
        Ok(data.order.read()?)
    }

    /// Why an order ended, for `order.failed` and `order.needs-attention`; `None` for `order.completed`.
    pub fn outcome(&self) -> Result<Option<Reason>, ContractError> {
        self.expect_kind(&[
            EventKind::OrderCompleted,
            EventKind::OrderFailed,
            EventKind::OrderNeedsAttention,
        ])?;
        let data: OutcomeDataV1 = self.data()?;
        self.expect_order(&data.order_id)?;
        match (self.kind, data.reason) {
            (EventKind::OrderCompleted, _) => Ok(None),
            (_, Some(reason)) => Ok(Some(reason.0)),
            (_, None) => Err(Rejected("data.reason is required").into()),
        }
    }

    fn expect_kind(&self, wanted: &[EventKind]) -> Result<(), ContractError> {
        if wanted.contains(&self.kind) {
            Ok(())
        } else {
            Err(self.envelope.unknown_type())
        }
    }

    fn expect_order(&self, order_id: &str) -> Result<(), ContractError> {
        if self.envelope.order.to_string() == order_id {
            Ok(())
        } else {
            Err(ContractError::Inconsistent(
                "data.orderId must be the subject",
            ))
        }
    }

    fn data<T: DeserializeOwned>(&self) -> Result<T, ContractError> {
        let data = VERSIONS.upcast(self.envelope.kind()?, &self.envelope.data)?;
        let read: Result<FromObject<T>, _> = serde_json::from_str(data.get());
        read.map(|read| read.0)
            .map_err(|error| ContractError::Data(error.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lineage() -> Lineage {
        let trace = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01";
        Lineage {
            correlation: CorrelationId::new("c-1").unwrap(),
            causation: Some("cause".into()),
            trace: Some(TraceParent::new(trace).unwrap()),
        }
    }

    #[test]
    fn an_event_reads_back_with_its_lineage() {
        let order: OrderId = "0b7e7f0e-6a52-5d5c-9a39-0a2c8a1d9f10".parse().unwrap();
        let reason = Reason {
            code: "out-of-stock".into(),
            message: "no mugs".into(),
        };
        let at = Timestamp::from_epoch_millis(0);
        let stored = Event::OrderFailed(reason.clone()).store(order, &lineage(), "/waybill/x", at);
        let read = EventMessage::parse(&stored.json).unwrap();
        assert_eq!(read.kind, EventKind::OrderFailed);
        assert_eq!(read.outcome().unwrap(), Some(reason));
        assert_eq!(read.envelope.correlation, lineage().correlation);
        assert_eq!(read.envelope.causation, lineage().causation);
        assert_eq!(read.envelope.trace, lineage().trace);
        assert!(read.placed_order().is_err());
    }
}
