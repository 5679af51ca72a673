//! What the tables hold.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::types::AttributeValue;
use contracts::Timestamp;
use serde_json::{Value, json};

use crate::{Environment, Order};

type Item = HashMap<String, AttributeValue>;

/// One effect in the sandbox's ledger.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Effect {
    /// `capture`, `refund`, `shipment` or `shipment-cancelled`.
    pub kind: String,
    /// Minor units; zero for shipments.
    pub amount: u64,
}

/// The pieces of an article.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StockLevel {
    /// To be had. Signed, so that a fault would show.
    pub available: i64,
    /// Held for orders.
    pub reserved: i64,
    /// Gone.
    pub shipped: i64,
}

impl StockLevel {
    /// A level.
    pub const fn new(available: i64, reserved: i64, shipped: i64) -> Self {
        Self {
            available,
            reserved,
            shipped,
        }
    }
}

/// A capture that the payment provider does not know any more.
#[derive(Debug, Clone)]
pub struct LostCapture(Item);

/// One message in an order's audit trail.
#[derive(Debug, Clone)]
pub struct AuditEntry {
    /// `noun.verb`.
    pub name: String,
    /// The event's number; commands have none.
    pub sequence: Option<u64>,
    /// The whole item as text, to look for what must not be in it.
    pub whole: String,
}

impl Environment {
    /// Puts an article on the shelf.
    pub async fn seed(&self, sku: &str, level: StockLevel) {
        let number = |value: i64| AttributeValue::N(value.to_string());
        self.dynamodb
            .put_item()
            .table_name(self.output("StockTableName"))
            .item("sku", text(sku))
            .item("available", number(level.available))
            .item("reserved", number(level.reserved))
            .item("shipped", number(level.shipped))
            .send()
            .await
            .unwrap_or_else(|error| panic!("stock of {sku} was not seeded: {error:?}"));
    }

    /// Stores an order of an hour ago whose event never came to be.
    pub async fn store_without_event(&self, order: &Order) {
        const AN_HOUR_AGO: u64 = 60 * 60 * 1000;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now = u64::try_from(now.as_millis()).unwrap_or_default();
        let at = Timestamp::from_epoch_millis(now.saturating_sub(AN_HOUR_AGO)).to_string();
        self.dynamodb
            .put_item()
            .table_name(self.output("OrdersTableName"))
            .item("orderId", text(&order.id()))
            .item("customerId", text(order.customer()))
            .item("requestFingerprint", text("unknown"))
            .item("order", text(&order.body().to_string()))
            .item("totalAmount", AttributeValue::N(order.total().to_string()))
            .item("currency", text("EUR"))
            .item("status", text("accepted"))
            .item("createdAt", text(&at))
            .item("updatedAt", text(&at))
            .item("correlationId", text(&order.id()))
            .item("timeline", AttributeValue::L(Vec::new()))
            .send()
            .await
            .unwrap_or_else(|error| panic!("{} was not stored: {error:?}", order.id()));
    }

    /// The pieces of an article.
    pub async fn stock(&self, sku: &str) -> StockLevel {
        let found = self.item("StockTableName", "sku", sku).await;
        let item = found.unwrap_or_else(|| panic!("there is no article {sku}"));
        StockLevel {
            available: number(&item, "available").unwrap_or_default(),
            reserved: number(&item, "reserved").unwrap_or_default(),
            shipped: number(&item, "shipped").unwrap_or_default(),
        }
    }

    /// What really happened for an order, sorted by kind.
    pub async fn ledger(&self, order: &str) -> Vec<Effect> {
        let mut effects: Vec<Effect> = self
            .query("SandboxLedgerTableName", order)
            .await
            .iter()
            .map(|item| Effect {
                kind: string(item, "kind"),
                amount: number(item, "amount").unwrap_or_default().unsigned_abs(),
            })
            .collect();
        effects.sort();
        effects
    }

    /// The message history of an order, as it was recorded.
    pub async fn audit(&self, order: &str) -> Vec<AuditEntry> {
        let items = self.query("AuditTableName", order).await;
        items.iter().map(audit_entry).collect()
    }

    /// The events in an order's item, as `noun.verb`; an order that was never placed may have some.
    pub async fn outbox(&self, order: &str) -> Vec<String> {
        let found = self.item("OrdersTableName", "orderId", order).await;
        let Some(AttributeValue::L(events)) = found.and_then(|mut item| item.remove("timeline"))
        else {
            return Vec::new();
        };
        let name = |event: &AttributeValue| {
            let event: Value = serde_json::from_str(event.as_s().ok()?).ok()?;
            Some(crate::api::short_type(event["type"].as_str()?))
        };
        events.iter().filter_map(name).collect()
    }

    /// The state of a step's idempotency record: `started`, `completed`, `undoing`, `undone`.
    /// A step is named by its action, as `payment.charge`; the undo shares the record.
    pub async fn step_state(&self, order: &str, step: &str) -> Option<String> {
        let key = format!("{order}/{step}");
        let item = self.item("IdempotencyTableName", "id", &key).await?;
        Some(string(&item, "state"))
    }

    /// Takes a capture out of the payment provider's ledger, as if the provider had lost it.
    pub async fn lose_capture(&self, order: &str) -> LostCapture {
        let table = self.output("SandboxLedgerTableName");
        let removed = self
            .dynamodb
            .delete_item()
            .table_name(table)
            .key("orderId", text(order))
            .key("key", text(&format!("{order}/payment.charge")))
            .return_values(aws_sdk_dynamodb::types::ReturnValue::AllOld)
            .send()
            .await;
        let removed = removed.unwrap_or_else(|error| panic!("the ledger of {order}: {error:?}"));
        LostCapture(removed.attributes.expect("a capture in the ledger"))
    }

    /// The provider finds the capture again.
    pub async fn find_capture(&self, lost: &LostCapture) {
        self.dynamodb
            .put_item()
            .table_name(self.output("SandboxLedgerTableName"))
            .set_item(Some(lost.0.clone()))
            .send()
            .await
            .expect("the capture is in the ledger again");
    }

    /// Makes an order that completed one of which everything is done and nothing says so.
    /// Its timeline stays as long as it is: the relay takes it for a list that only grows.
    pub async fn take_back_completion(&self, order: &str) {
        let found = self.item("OrdersTableName", "orderId", order).await;
        let last = match found.and_then(|mut item| item.remove("timeline")) {
            Some(AttributeValue::L(events)) => events.len() - 1,
            other => panic!("no timeline of {order}: {other:?}"),
        };
        let reason = json!({ "code": "completion-failed", "message": "It shipped." });
        let data = json!({ "reason": reason });
        let event = crate::messages::event(order, "order.needs-attention", 5, data);
        self.dynamodb
            .update_item()
            .table_name(self.output("OrdersTableName"))
            .key("orderId", text(order))
            .update_expression(format!(
                "SET #status = :attention, reason = :reason, timeline[{last}] = :event"
            ))
            .condition_expression("#status = :completed")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":completed", text("completed"))
            .expression_attribute_values(":attention", text("needs-attention"))
            .expression_attribute_values(":event", text(&event.to_string()))
            .expression_attribute_values(
                ":reason",
                AttributeValue::M(HashMap::from([
                    ("code".to_owned(), text("completion-failed")),
                    ("message".to_owned(), text("It shipped.")),
                ])),
            )
            .send()
            .await
            .unwrap_or_else(|error| panic!("{order} was not changed: {error:?}"));
    }

    /// Removes the item of an order that exists only because a test sent commands for it.
    pub async fn forget(&self, order: &str) {
        self.dynamodb
            .delete_item()
            .table_name(self.output("OrdersTableName"))
            .key("orderId", text(order))
            .send()
            .await
            .unwrap_or_else(|error| panic!("order {order} was not removed: {error:?}"));
    }

    async fn item(&self, table: &str, key: &str, value: &str) -> Option<Item> {
        let found = self
            .dynamodb
            .get_item()
            .table_name(self.output(table))
            .key(key, text(value))
            .consistent_read(true)
            .send()
            .await;
        found
            .unwrap_or_else(|error| panic!("{table} {value}: {error:?}"))
            .item
    }

    async fn query(&self, table: &str, order: &str) -> Vec<Item> {
        let mut pages = self
            .dynamodb
            .query()
            .table_name(self.output(table))
            .key_condition_expression("orderId = :order")
            .expression_attribute_values(":order", text(order))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let mut items = Vec::new();
        while let Some(item) = pages.next().await {
            items.push(item.unwrap_or_else(|error| panic!("{table} {order}: {error:?}")));
        }
        items
    }
}

fn audit_entry(item: &Item) -> AuditEntry {
    AuditEntry {
        name: crate::api::short_type(&string(item, "type")),
        sequence: number(item, "sequence").map(i64::unsigned_abs),
        whole: format!("{item:?}"),
    }
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn string(item: &Item, name: &str) -> String {
    item.get(name)
        .and_then(|value| value.as_s().ok())
        .cloned()
        .unwrap_or_default()
}

fn number(item: &Item, name: &str) -> Option<i64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}
