//! Orders and messages to begin with. A test changes what it is about.

#![allow(
    clippy::unwrap_used,
    reason = "a fixture that does not fit fails the test that uses it"
)]

use std::collections::BTreeMap;

use contracts::{Event, Lineage, Timestamp, TraceParent};
use domain::{CorrelationId, CustomerId, IdempotencyKey, NewOrder, OrderId, Sku, Step};
use failures::{Failure, FailureId, HistoryEntry, Letter, Status, Trouble, group_of};
use idempotency::Millis;
use serde_json::{Value, json};

use crate::clock::VirtualClock;

/// The id of one of many orders.
pub fn order_id(number: usize) -> OrderId {
    let customer = CustomerId::new("cus_42").unwrap();
    let key = IdempotencyKey::new(&format!("checkout-{number}")).unwrap();
    OrderId::derive(&customer, &key)
}

/// An article.
pub fn sku(name: &str) -> Sku {
    Sku::new(name).unwrap()
}

/// The body of `POST /orders`: two red mugs and a sticker, 2500 EUR cents, by a good card.
pub fn order_request() -> Value {
    json!({
        "customerId": "cus_42",
        "currency": "EUR",
        "items": [
            { "sku": "MUG-RED", "quantity": 2, "unitPrice": 1250 },
            { "sku": "STICKER", "quantity": 1, "unitPrice": 0 },
        ],
        "payment": { "method": "pm_card_visa" },
        "shipTo": address(),
    })
}

/// The order that [`order_request`] asks for.
pub fn new_order() -> NewOrder {
    contracts::parse_order(order_request().to_string().as_bytes()).unwrap()
}

/// Where messages come from, if it does not matter.
pub fn lineage() -> Lineage {
    let trace = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01";
    Lineage {
        correlation: CorrelationId::new("req-2026-11-21-0001").unwrap(),
        causation: None,
        trace: Some(TraceParent::new(trace).unwrap()),
    }
}

/// A command as the state machine sends it, for the order of [`new_order`].
pub fn command(order: OrderId, step: Step, token: &str) -> Value {
    json!({
        "specversion": "1.0",
        "id": format!("{order}/{step}"),
        "source": "/waybill/order-saga",
        "type": format!("waybill.{step}.v1"),
        "subject": order.to_string(),
        "time": timestamp(VirtualClock::START).to_string(),
        "datacontenttype": "application/json",
        "correlationid": "req-2026-11-21-0001",
        "causationid": format!("{order}/order.placed"),
        "tasktoken": token,
        "data": data(order, step),
    })
}

/// An event as the relay publishes it.
pub fn event(order: OrderId, event: &Event, sequence: u32) -> Value {
    let at = timestamp(VirtualClock::START);
    let stored = event.store(order, &lineage(), "/waybill/testkit", at);
    let mut message: Value = serde_json::from_str(&stored.json).unwrap();
    message["sequence"] = json!(sequence);
    message
}

/// A file of the folder `events`, as `payment-worker/charge`.
pub fn sample(name: &str) -> String {
    let file = format!("{}/../../events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(file).unwrap()
}

/// A moment as it is written.
pub fn timestamp(at: Millis) -> Timestamp {
    Timestamp::from_epoch_millis(at.get())
}

fn data(order: OrderId, step: Step) -> Value {
    let order = order.to_string();
    let items = json!([
        { "sku": "MUG-RED", "quantity": 2 },
        { "sku": "STICKER", "quantity": 1 },
    ]);
    match step {
        Step::Charge => json!({
            "orderId": order, "amount": 2500, "currency": "EUR", "method": "pm_card_visa",
        }),
        Step::Reserve => json!({ "orderId": order, "items": items }),
        Step::Ship => json!({ "orderId": order, "items": items, "shipTo": address() }),
        Step::Refund | Step::Release | Step::CancelShipment => json!({ "orderId": order }),
    }
}

fn address() -> Value {
    json!({
        "name": "Ada Lovelace",
        "line1": "Invalidenstraße 117",
        "city": "Berlin",
        "postalCode": "10115",
        "country": "DE",
    })
}

/// What went wrong with a message of the payment worker, at [`VirtualClock::START`].
pub fn trouble(message_id: &str) -> Trouble {
    Trouble {
        class: "transient".to_owned(),
        name: "ProviderUnavailable".to_owned(),
        cause: vec!["connection refused".to_owned()],
        attempts: 5,
        failed_at: timestamp(VirtualClock::START),
        found_in: "payment-dlq".to_owned(),
        message_id: message_id.to_owned(),
        source_queue: None,
        source_message_id: None,
    }
}

/// A failure that waits: a charge with a task token and an attribute of its own.
pub fn failure(id: &str) -> Failure {
    let order = order_id(1);
    let body = command(order, Step::Charge, "secret-token");
    let own = failures::Value::Text {
        data_type: "String".to_owned(),
        value: "x".to_owned(),
    };
    let trouble = trouble(id);
    Failure {
        id: FailureId::new(id),
        version: 1,
        status: Status::Waiting,
        consumer: "payment".to_owned(),
        group: group_of("payment", &trouble),
        letter: Letter::new(body.to_string(), BTreeMap::from([("own".to_owned(), own)])),
        message_type: Some("waybill.payment.charge.v1".to_owned()),
        event_id: None,
        order_id: Some(order.to_string()),
        correlation_id: None,
        schema: None,
        schema_hash: None,
        first_seen: None,
        stored_at: trouble.failed_at,
        failed: 1,
        automatic_replays: 0,
        dead_letters: vec![id.to_owned()],
        replay: None,
        resolution: None,
        edit_of: None,
        edited_as: None,
        note: None,
        history: vec![HistoryEntry {
            at: trouble.failed_at,
            by: "drain".to_owned(),
            action: "stored".to_owned(),
            detail: String::new(),
        }],
        expires_at: None,
        trouble,
    }
}
