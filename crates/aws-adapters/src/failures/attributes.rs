//! Message attributes between SQS and the failure store.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_sqs::error::BuildError;
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::MessageAttributeValue;
use failures::{FAILURE_ID, REPLAY_ID, Value};
use message_worker::FailureRecord;

/// SQS takes ten. Beside the two that name record and replay there must be room for the
/// failure record, should the message fail again: what is pushed out then would be lost.
const MOST_OWN: usize = 7;

/// The sender's own attributes.
pub(super) fn own(attributes: HashMap<String, MessageAttributeValue>) -> BTreeMap<String, Value> {
    let is_own = |name: &str| {
        name != FAILURE_ID && name != REPLAY_ID && !FailureRecord::ATTRIBUTES.contains(&name)
    };
    attributes
        .into_iter()
        .filter(|(name, _)| is_own(name))
        .filter_map(|(name, value)| Some((name, from_sdk(value)?)))
        .collect()
}

/// The own attributes that a replayed message can have, and how many it cannot.
pub(super) fn that_fit(own: &BTreeMap<String, Value>) -> (BTreeMap<String, Value>, usize) {
    let kept = own.iter().take(MOST_OWN);
    let kept = kept.map(|(name, value)| (name.clone(), value.clone()));
    (kept.collect(), own.len().saturating_sub(MOST_OWN))
}

pub(super) fn from_sdk(value: MessageAttributeValue) -> Option<Value> {
    let data_type = value.data_type;
    if let Some(value) = value.string_value {
        return Some(Value::Text { data_type, value });
    }
    let value = value.binary_value?.into_inner();
    Some(Value::Binary { data_type, value })
}

pub(super) fn to_sdk(value: Value) -> Result<MessageAttributeValue, BuildError> {
    let attribute = MessageAttributeValue::builder();
    match value {
        Value::Text { data_type, value } => attribute.data_type(data_type).string_value(value),
        Value::Binary { data_type, value } => attribute
            .data_type(data_type)
            .binary_value(Blob::new(value)),
    }
    .build()
}

pub(super) fn string(value: &str) -> Value {
    Value::Text {
        data_type: "String".to_owned(),
        value: value.to_owned(),
    }
}
