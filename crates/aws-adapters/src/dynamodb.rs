//! The ports on DynamoDB.

mod audit;
mod journal;
mod orders;

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use contracts::Timestamp;
use idempotency::{Clock, SystemClock};

pub use audit::DynamoAudit;
pub use journal::DynamoJournal;
pub use orders::DynamoOrders;

pub(crate) type Item = HashMap<String, AttributeValue>;

pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(crate) fn number(value: impl Into<u64>) -> AttributeValue {
    AttributeValue::N(value.into().to_string())
}

/// The text of an attribute; empty where there is none.
pub(crate) fn read_text(item: &Item, name: &str) -> String {
    let value = item.get(name).and_then(|value| value.as_s().ok());
    value.cloned().unwrap_or_default()
}

/// The number of an attribute, if it is one that counts something.
pub(crate) fn read_number(item: &Item, name: &str) -> Option<u64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

/// The present moment, for what a table remembers for a time.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_epoch_millis(SystemClock.now().get())
}

fn texts(values: impl IntoIterator<Item = String>) -> AttributeValue {
    AttributeValue::L(values.into_iter().map(AttributeValue::S).collect())
}
