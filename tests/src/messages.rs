//! Messages written by hand, to be put straight onto a queue.

use serde_json::{Value, json};

use crate::unique;

/// A command without a task token: nobody waits for its answer.
pub fn command(order: &str, name: &str, data: Value) -> Value {
    message("/waybill/order-saga", order, name, data)
}

/// An event with its number.
pub fn event(order: &str, name: &str, sequence: u64, data: Value) -> Value {
    let mut event = message("/waybill/test", order, name, data);
    event["sequence"] = json!(sequence);
    event
}

fn message(source: &str, order: &str, name: &str, mut data: Value) -> Value {
    data["orderId"] = json!(order);
    json!({
        "specversion": "1.0",
        "id": format!("{order}/{name}"),
        "source": source,
        "type": format!("waybill.{name}.v1"),
        "subject": order,
        "time": "2026-01-01T00:00:00.000Z",
        "datacontenttype": "application/json",
        "correlationid": unique("test"),
        "data": data
    })
}

/// The data of `payment.charge`.
pub fn charge(amount: u64, method: &str) -> Value {
    json!({ "amount": amount, "currency": "EUR", "method": method })
}

/// The data of `stock.reserve`.
pub fn reserve(sku: &str, quantity: u64) -> Value {
    json!({ "items": [{ "sku": sku, "quantity": quantity }] })
}

/// The data of `shipment.create`.
pub fn ship(sku: &str, quantity: u64) -> Value {
    json!({
        "items": [{ "sku": sku, "quantity": quantity }],
        "shipTo": {
            "name": "Ada Example", "line1": "Musterstrasse 1", "city": "Berlin",
            "postalCode": "10115", "country": "DE"
        }
    })
}

/// The data of an undo, and of `order.completed`.
pub fn nothing_more() -> Value {
    json!({})
}
