//! A failure as it is listed, shown and exported. A body is shown without its task token
//! in any case, and without personal data unless somebody asks for it.

use std::collections::BTreeMap;

use contracts::Timestamp;
use failures::mask::displayed;
use failures::{Failure, HistoryEntry, Replay, Resolution, Value};
use serde::Serialize;

/// One line of a list.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    pub(super) id: String,
    pub(super) status: &'static str,
    pub(super) consumer: String,
    pub(super) group: String,
    pub(super) class: String,
    pub(super) error: String,
    pub(super) message_type: Option<String>,
    pub(super) order_id: Option<String>,
    pub(super) failed_at: Timestamp,
    pub(super) stored_at: Timestamp,
    pub(super) first_seen: Option<String>,
    /// How often it was given up: 1, and 1 more for each replay that failed.
    pub(super) failed: u32,
    pub(super) replay: Option<Replay>,
    pub(super) note: Option<String>,
}

impl Summary {
    pub(super) fn of(failure: &Failure) -> Self {
        Self {
            id: failure.id.to_string(),
            status: failure.status.as_str(),
            consumer: failure.consumer.clone(),
            group: failure.group.to_string(),
            class: failure.trouble.class.clone(),
            error: failure.trouble.name.clone(),
            message_type: failure.message_type.clone(),
            order_id: failure.order_id.clone(),
            failed_at: failure.trouble.failed_at,
            stored_at: failure.stored_at,
            first_seen: failure.first_seen.clone(),
            failed: failure.failed,
            replay: failure.replay.clone(),
            note: failure.note.clone(),
        }
    }
}

/// All there is to know of one.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Detail {
    #[serde(flatten)]
    pub(super) summary: Summary,
    /// How often it was received, the last time.
    pub(super) attempts: u32,
    pub(super) cause: Vec<String>,
    pub(super) found_in: String,
    /// The queue that the worker received it from, and the id in the worker's log lines.
    pub(super) source_queue: Option<String>,
    pub(super) source_message_id: Option<String>,
    pub(super) event_id: Option<String>,
    pub(super) correlation_id: Option<String>,
    pub(super) schema: Option<String>,
    pub(super) schema_hash: Option<String>,
    pub(super) dead_letters: Vec<String>,
    pub(super) automatic_replays: u32,
    pub(super) resolution: Option<Resolution>,
    pub(super) edit_of: Option<String>,
    pub(super) edited_as: Option<String>,
    /// When the record is forgotten.
    pub(super) expires_at: Option<Timestamp>,
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) body_sha256: String,
    pub(super) body: String,
    pub(super) history: Vec<HistoryEntry>,
    /// The order as it is now, where it was looked up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) order: Option<Order>,
}

/// The order that a message is about.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Order {
    pub(super) status: String,
    pub(super) timeline: Vec<OrderEvent>,
}

/// Something that happened to an order.
#[derive(Debug, Clone, Serialize)]
pub(super) struct OrderEvent {
    #[serde(rename = "type")]
    pub(super) event_type: String,
    pub(super) time: String,
}

impl Detail {
    pub(super) fn of(failure: &Failure, personal: bool) -> Self {
        let attributes = failure.letter.attributes.iter();
        Self {
            summary: Summary::of(failure),
            attempts: failure.trouble.attempts,
            cause: failure.trouble.cause.clone(),
            found_in: failure.trouble.found_in.clone(),
            source_queue: failure.trouble.source_queue.clone(),
            source_message_id: failure.trouble.source_message_id.clone(),
            event_id: failure.event_id.clone(),
            correlation_id: failure.correlation_id.clone(),
            schema: failure.schema.clone(),
            schema_hash: failure.schema_hash.clone(),
            dead_letters: failure.dead_letters.clone(),
            automatic_replays: failure.automatic_replays,
            resolution: failure.resolution.clone(),
            edit_of: failure.edit_of.as_ref().map(ToString::to_string),
            edited_as: failure.edited_as.as_ref().map(ToString::to_string),
            expires_at: failure
                .expires_at
                .map(|seconds| Timestamp::from_epoch_millis(seconds.saturating_mul(1000))),
            attributes: attributes
                .map(|(name, value)| (name.clone(), attribute(name, value, personal)))
                .collect(),
            body_sha256: failure.letter.body_sha256.clone(),
            body: displayed(&failure.letter.body, personal),
            history: failure.history.clone(),
            order: None,
        }
    }
}

fn attribute(name: &str, value: &Value, personal: bool) -> String {
    match value {
        // As a pair, so that a token which is an attribute of its own is known as one.
        Value::Text { value, .. } => {
            let pair = serde_json::json!({ name: value }).to_string();
            let pair = serde_json::from_str::<serde_json::Value>(&displayed(&pair, personal));
            let text = pair
                .ok()
                .and_then(|pair| Some(pair.get(name)?.as_str()?.to_owned()));
            text.unwrap_or_default()
        }
        Value::Binary { value, .. } => format!("({} bytes)", value.len()),
    }
}
