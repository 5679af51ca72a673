//! An order as its table has it: more than the API shows a customer.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use domain::{OrderId, OrderStatus};
use serde::Serialize;
use serde_json::Value;

use super::short_name;
use crate::failure::Failure;
use crate::items::{self, Item};

/// An order, read consistently.
#[derive(Debug, Clone)]
pub(crate) struct StoredOrder {
    pub(crate) id: OrderId,
    /// Absent where commands were carried out for an order that was never placed.
    pub(crate) status: Option<OrderStatus>,
    pub(crate) updated_at: String,
    pub(crate) correlation: String,
    pub(crate) trace: Option<String>,
    pub(crate) reason: Option<Reason>,
    pub(crate) timeline: Vec<StoredEvent>,
    /// The attempt that has the order now.
    pub(crate) recovery: Option<Attempt>,
    /// The attempts that ended.
    pub(crate) recoveries: Vec<Attempt>,
}

/// Why it failed or needs attention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Reason {
    pub(crate) code: String,
    pub(crate) message: String,
}

/// An entry of the timeline.
#[derive(Debug, Clone)]
pub(crate) struct StoredEvent {
    /// Its place in the timeline, from 1.
    pub(crate) sequence: u32,
    /// The message as it was stored.
    pub(crate) message: Value,
}

/// A person's attempt to finish an order that needs attention.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Attempt {
    /// The execution's name.
    pub(crate) name: String,
    /// `undo` or `complete`.
    pub(crate) mode: String,
    pub(crate) by: String,
    pub(crate) why: String,
    pub(crate) started_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended_at: Option<String>,
    /// `failed` or `completed`, or what is missing still, such as `refund-failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) outcome: Option<String>,
}

impl StoredEvent {
    fn field(&self, name: &str) -> &str {
        self.message[name].as_str().unwrap_or_default()
    }

    /// The message's id.
    pub(crate) fn id(&self) -> &str {
        self.field("id")
    }

    /// `noun.verb`.
    pub(crate) fn name(&self) -> String {
        short_name(self.field("type"))
    }

    /// When it happened.
    pub(crate) fn time(&self) -> &str {
        self.field("time")
    }

    /// Who wrote it.
    pub(crate) fn source(&self) -> &str {
        self.field("source")
    }

    /// Whether what is stored there is a message of this order, and no command.
    pub(crate) fn is_event_of(&self, order: OrderId) -> bool {
        let Ok(envelope) = contracts::Envelope::parse(&self.to_publish().to_string()) else {
            return false;
        };
        let is_command = self.name().parse::<domain::Step>().is_ok();
        envelope.order.to_string() == order.to_string() && !is_command
    }

    /// The message as it goes onto the bus: with its number.
    pub(crate) fn to_publish(&self) -> Value {
        let mut message = self.message.clone();
        if let Some(fields) = message.as_object_mut() {
            fields.insert("sequence".to_owned(), Value::from(self.sequence));
        }
        message
    }
}

impl StoredOrder {
    /// Reads an order.
    pub(crate) async fn read(client: &Client, table: &str, id: OrderId) -> Result<Self, Failure> {
        let answer = client
            .get_item()
            .table_name(table)
            .key("orderId", AttributeValue::S(id.to_string()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| Failure::from_sdk("dynamodb:GetItem", error))?;
        let item = answer
            .item
            .ok_or_else(|| Failure::NoSuchOrder(id.to_string()))?;
        Ok(Self::from_item(id, &item))
    }

    fn from_item(id: OrderId, item: &Item) -> Self {
        let list = |name: &str| item.get(name).and_then(|value| value.as_l().ok());
        let timeline = list("timeline").map(Vec::as_slice).unwrap_or_default();
        let recoveries = list("recoveries").map(Vec::as_slice).unwrap_or_default();
        Self {
            id,
            status: items::text(item, "status").parse().ok(),
            updated_at: items::text(item, "updatedAt"),
            correlation: items::text(item, "correlationId"),
            trace: Some(items::text(item, "traceparent")).filter(|trace| !trace.is_empty()),
            reason: item.get("reason").and_then(reason),
            timeline: timeline.iter().zip(1..).map(event).collect(),
            recovery: item.get("recovery").and_then(attempt),
            recoveries: recoveries.iter().filter_map(attempt).collect(),
        }
    }

    /// The last event of a name.
    pub(crate) fn last(&self, name: &str) -> Option<&StoredEvent> {
        self.timeline
            .iter()
            .rev()
            .find(|event| event.name() == name)
    }

    /// The status as text.
    pub(crate) fn status_name(&self) -> &'static str {
        self.status.map_or("never placed", OrderStatus::as_str)
    }

    /// Since when it needs attention.
    pub(crate) fn needs_attention_since(&self) -> Option<&str> {
        self.last("order.needs-attention").map(StoredEvent::time)
    }

    /// What was captured and not refunded, in minor units, as the timeline says.
    pub(crate) fn captured(&self) -> Option<Captured> {
        let money = |name| self.last(name).map(|event| &event.message["data"]);
        let data = money("payment.captured")?;
        let refunded = money("payment.refunded").and_then(|data| data["amount"].as_u64());
        Some(Captured {
            amount: data["amount"]
                .as_u64()?
                .saturating_sub(refunded.unwrap_or_default()),
            currency: data["currency"].as_str()?.to_owned(),
        })
    }
}

/// Money that the customer is without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Captured {
    /// Minor units.
    pub(crate) amount: u64,
    pub(crate) currency: String,
}

fn event((value, sequence): (&AttributeValue, u32)) -> StoredEvent {
    let text = value.as_s().map(String::as_str).unwrap_or_default();
    StoredEvent {
        sequence,
        message: serde_json::from_str(text).unwrap_or_default(),
    }
}

fn reason(value: &AttributeValue) -> Option<Reason> {
    let map = value.as_m().ok()?;
    Some(Reason {
        code: items::text(map, "code"),
        message: items::text(map, "message"),
    })
}

fn attempt(value: &AttributeValue) -> Option<Attempt> {
    let map = value.as_m().ok()?;
    let optional = |name| Some(items::text(map, name)).filter(|text| !text.is_empty());
    Some(Attempt {
        name: items::text(map, "name"),
        mode: items::text(map, "mode"),
        by: items::text(map, "by"),
        why: items::text(map, "why"),
        started_at: items::text(map, "startedAt"),
        ended_at: optional("endedAt"),
        outcome: optional("outcome"),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    const CAPTURED: &str =
        include_str!("../../../contracts/samples/waybill.payment.captured.v1.json");

    /// An order with these events, each as `noun.verb` with its data.
    pub(crate) fn order(status: &str, events: &[(&str, Value)]) -> StoredOrder {
        let id = "0b7e7f0e-6a52-5d5c-9a39-0a2c8a1d9f10";
        let text = |value: &str| AttributeValue::S(value.to_owned());
        let timeline = events.iter().zip(0..).map(|((name, data), second)| {
            let message = json!({
                "id": format!("{id}/{name}"), "type": format!("waybill.{name}.v1"),
                "time": format!("2026-11-21T17:56:{:02}.000Z", second), "source": "/x", "data": data
            });
            text(&message.to_string())
        });
        let item = Item::from([
            ("status".to_owned(), text(status)),
            ("correlationId".to_owned(), text("c-1")),
            ("timeline".to_owned(), AttributeValue::L(timeline.collect())),
        ]);
        StoredOrder::from_item(id.parse().unwrap(), &item)
    }

    #[test]
    fn what_was_refunded_is_not_captured_any_more() {
        let money = json!({ "amount": 2500, "currency": "EUR" });
        let captured = order("paid", &[("payment.captured", money.clone())]).captured();
        assert_eq!(captured.map(|it| it.amount), Some(2500));
        let events = [
            ("payment.captured", money.clone()),
            ("payment.refunded", money),
        ];
        let captured = order("failed", &events).captured();
        assert_eq!(captured.map(|it| it.amount), Some(0));
        assert_eq!(order("failed", &[]).captured(), None);
    }

    #[test]
    fn what_is_no_event_of_the_order_is_known_as_such() {
        let sample: Value = serde_json::from_str(CAPTURED).unwrap();
        let id: OrderId = sample["subject"].as_str().unwrap().parse().unwrap();
        let with = |name: &str, value: &str| {
            let mut message = sample.clone();
            message[name] = json!(value);
            message
        };
        let is_event = |message: &Value| {
            let (sequence, message) = (1, message.clone());
            StoredEvent { sequence, message }.is_event_of(id)
        };
        assert!(is_event(&sample));
        for other in [
            Value::Null,
            json!([1]),
            json!("x"),
            json!({}),
            with("subject", "1b7e7f0e-6a52-5d5c-9a39-0a2c8a1d9f10"),
            with("type", "waybill.payment.refund.v1"),
            with("correlationid", ""),
        ] {
            assert!(!is_event(&other), "{other}");
        }
    }

    #[test]
    fn an_event_is_published_with_its_place_in_the_timeline() {
        let order = order(
            "paid",
            &[("order.placed", json!({})), ("payment.captured", json!({}))],
        );
        let sequences: Vec<_> = order
            .timeline
            .iter()
            .map(|event| event.to_publish()["sequence"].clone())
            .collect();
        assert_eq!(sequences, [1, 2]);
        assert_eq!(order.timeline[1].name(), "payment.captured");
    }
}
