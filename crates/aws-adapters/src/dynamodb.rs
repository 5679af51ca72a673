//! The ports on DynamoDB.

mod audit;
mod journal;
mod orders;

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

pub use audit::DynamoAudit;
pub use journal::DynamoJournal;
pub use orders::DynamoOrders;

type Item = HashMap<String, AttributeValue>;

pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(crate) fn number(value: impl Into<u64>) -> AttributeValue {
    AttributeValue::N(value.into().to_string())
}

fn texts(values: impl IntoIterator<Item = String>) -> AttributeValue {
    AttributeValue::L(values.into_iter().map(AttributeValue::S).collect())
}
