//! The orders: one item for each, which is also its outbox.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnValuesOnConditionCheckFailure as OnConditionFailure, Update,
};
use contracts::Reason;
use domain::{CorrelationId, Currency, CustomerId, Money, OrderId, OrderStatus};
use ports::{
    Acceptance, Accepted, OrderChange, OrderReader, OrderRecord, OrderStore, TimelineEntry,
    Unavailable,
};
use serde::Deserialize;

use super::{Item, number, text, texts};

/// Orders in one table.
#[derive(Debug, Clone)]
pub struct DynamoOrders {
    client: Client,
    table: String,
}

impl DynamoOrders {
    /// Orders in this table.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }
}

impl OrderStore for DynamoOrders {
    async fn accept(&self, acceptance: &Acceptance) -> Result<Accepted, Unavailable> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(to_item(acceptance)))
            .condition_expression("attribute_not_exists(orderId)")
            .return_values_on_condition_check_failure(OnConditionFailure::AllOld);
        let Err(error) = put.send().await else {
            return Ok(Accepted::New);
        };
        match error.as_service_error() {
            Some(refused) if refused.is_conditional_check_failed_exception() => {}
            _ => return Err(Unavailable::new("DynamoDB", error)),
        }
        match existing(error.into_service_error()) {
            Some(order) => Ok(Accepted::Known(Box::new(order))),
            None => Err(Unavailable::new(
                "DynamoDB",
                "the stored order cannot be read",
            )),
        }
    }
}

impl OrderReader for DynamoOrders {
    async fn find(&self, id: OrderId) -> Result<Option<OrderRecord>, Unavailable> {
        let found = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("orderId", text(id.to_string()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| Unavailable::new("DynamoDB", error))?;
        let Some(item) = found.item else {
            return Ok(None);
        };
        // A command for an order that was never placed leaves a timeline without an order.
        if !item.contains_key("order") {
            return Ok(None);
        }
        match read(&item) {
            Some(order) => Ok(Some(order)),
            None => Err(Unavailable::new(
                "DynamoDB",
                "the stored order cannot be read",
            )),
        }
    }
}

fn existing(error: aws_sdk_dynamodb::operation::put_item::PutItemError) -> Option<OrderRecord> {
    use aws_sdk_dynamodb::operation::put_item::PutItemError::ConditionalCheckFailedException;
    match error {
        ConditionalCheckFailedException(refused) => read(refused.item()?),
        _ => None,
    }
}

fn to_item(acceptance: &Acceptance) -> Item {
    let order = &acceptance.order;
    let at = acceptance.at.to_string();
    let mut item = Item::from([
        ("orderId".to_owned(), text(acceptance.id.to_string())),
        ("customerId".to_owned(), text(order.customer().as_str())),
        (
            "requestFingerprint".to_owned(),
            text(&acceptance.fingerprint),
        ),
        ("order".to_owned(), text(contracts::write_order(order))),
        ("totalAmount".to_owned(), number(order.total().amount)),
        ("currency".to_owned(), text(order.currency().as_str())),
        ("status".to_owned(), text(OrderStatus::Accepted.as_str())),
        ("createdAt".to_owned(), text(&at)),
        ("updatedAt".to_owned(), text(at)),
        (
            "correlationId".to_owned(),
            text(acceptance.correlation.as_str()),
        ),
        (
            "timeline".to_owned(),
            texts([acceptance.placed.json.clone()]),
        ),
    ]);
    if let Some(trace) = &acceptance.trace {
        item.insert("traceparent".to_owned(), text(trace.as_str()));
    }
    item
}

/// The part of a stored event that the timeline shows.
#[derive(Deserialize)]
struct StoredEventHead {
    #[serde(rename = "type")]
    event_type: String,
    time: String,
}

fn read(item: &Item) -> Option<OrderRecord> {
    let field = |name: &str| {
        item.get(name)
            .and_then(|value| value.as_s().ok())
            .map(String::as_str)
    };
    let amount = item.get("totalAmount")?.as_n().ok()?.parse().ok()?;
    let timeline = item.get("timeline")?.as_l().ok()?;
    Some(OrderRecord {
        id: field("orderId")?.parse().ok()?,
        customer: CustomerId::new(field("customerId")?).ok()?,
        fingerprint: field("requestFingerprint")?.to_owned(),
        total: Money {
            amount,
            currency: Currency::new(field("currency")?).ok()?,
        },
        status: field("status")?.parse().ok()?,
        correlation: CorrelationId::new(field("correlationId")?).ok()?,
        timeline: timeline.iter().map(read_event).collect::<Option<_>>()?,
        reason: item.get("reason").and_then(read_reason),
    })
}

fn read_event(value: &AttributeValue) -> Option<TimelineEntry> {
    let head: StoredEventHead = serde_json::from_str(value.as_s().ok()?).ok()?;
    Some(TimelineEntry {
        event_type: head.event_type,
        time: head.time,
    })
}

fn read_reason(value: &AttributeValue) -> Option<Reason> {
    let map = value.as_m().ok()?;
    let field = |name: &str| map.get(name)?.as_s().ok().cloned();
    Some(Reason {
        code: field("code")?,
        message: field("message")?,
    })
}

/// Makes an update that sets no status conditional on an order that is neither
/// completed nor about to be: for an undo whose whole effect is in the same transaction.
pub(super) fn unless_completing(mut update: Update) -> Update {
    let condition = "(attribute_not_exists(#status) OR #status <> :completed) \
                     AND (attribute_not_exists(recovery.#mode) OR recovery.#mode <> :complete)";
    update.condition_expression = Some(condition.to_owned());
    let names = update.expression_attribute_names.get_or_insert_default();
    names.insert("#status".to_owned(), "status".to_owned());
    names.insert("#mode".to_owned(), "mode".to_owned());
    let values = update.expression_attribute_values.get_or_insert_default();
    values.insert(
        ":completed".to_owned(),
        text(OrderStatus::Completed.as_str()),
    );
    values.insert(":complete".to_owned(), text("complete"));
    update
}

/// Appends a change's event to the order's timeline, and sets the status that follows from it.
///
/// The list's index numbers the events without a read: the append is atomic.
/// An order that has ended is not opened again: what sets a status is refused.
pub(super) fn append_event(
    table: &str,
    change: &OrderChange,
) -> Result<Update, aws_sdk_dynamodb::error::BuildError> {
    let status = domain::evolve(change.event.kind);
    let set_status = if status.is_some() {
        ", #status = :status"
    } else {
        ""
    };
    let mut update = Update::builder()
        .table_name(table)
        .key("orderId", text(change.order.to_string()))
        .update_expression(format!(
            "SET timeline = list_append(if_not_exists(timeline, :none), :event), \
             updatedAt = :at{set_status}"
        ))
        .expression_attribute_values(":none", texts([]))
        .expression_attribute_values(":event", texts([change.event.json.clone()]))
        .expression_attribute_values(":at", text(change.at.to_string()));
    if let Some(status) = status {
        update = update
            .condition_expression(
                "attribute_not_exists(#status) OR NOT #status IN (:completed, :failed, :attention)",
            )
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":status", text(status.as_str()))
            .expression_attribute_values(":completed", text(OrderStatus::Completed.as_str()))
            .expression_attribute_values(":failed", text(OrderStatus::Failed.as_str()))
            .expression_attribute_values(":attention", text(OrderStatus::NeedsAttention.as_str()));
    }
    update.build()
}
