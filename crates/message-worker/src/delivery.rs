//! One SQS record, parsed out of the event.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lambda_events::encodings::Base64Data;
use aws_lambda_events::event::sqs::{SqsMessage, SqsMessageAttribute};
use thiserror::Error;

/// A record without what is needed to report its failure.
///
/// An empty batch item identifier makes Lambda treat the whole batch as
/// failed, silently. The worker therefore refuses such an event before it has
/// handled any record: the invocation fails, and the whole batch comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("record {index} of the batch has no {missing}, so that its failure could not be reported")]
pub struct InvalidRecord {
    /// The record's position in the batch, from zero.
    pub index: usize,
    /// The field that is absent or empty.
    pub missing: &'static str,
}

/// A message attribute as SQS delivered it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// A `String` or `Number`, or a custom type that begins so.
    Text {
        /// The data type, such as `String` or `Number.int`.
        data_type: String,
        /// The value.
        value: String,
    },
    /// A `Binary`, or a custom type that begins so.
    Binary {
        /// The data type, such as `Binary` or `Binary.png`.
        data_type: String,
        /// The value, decoded.
        value: Vec<u8>,
    },
}

impl Attribute {
    /// A plain `String` attribute.
    pub fn text(value: impl Into<String>) -> Self {
        Self::Text {
            data_type: "String".to_owned(),
            value: value.into(),
        }
    }

    /// The value of a text attribute.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text { value, .. } => Some(value),
            Self::Binary { .. } => None,
        }
    }

    fn parse(attribute: SqsMessageAttribute) -> Option<Self> {
        let data_type = attribute.data_type;
        if let Some(value) = attribute.string_value {
            let data_type = data_type.unwrap_or_else(|| "String".to_owned());
            return Some(Self::Text { data_type, value });
        }
        let value = attribute.binary_value?.to_vec();
        let data_type = data_type.unwrap_or_else(|| "Binary".to_owned());
        Some(Self::Binary { data_type, value })
    }
}

/// As Lambda hands it over.
impl From<&Attribute> for SqsMessageAttribute {
    fn from(attribute: &Attribute) -> Self {
        let mut event = Self::default();
        match attribute {
            Attribute::Text { data_type, value } => {
                event.data_type = Some(data_type.clone());
                event.string_value = Some(value.clone());
            }
            Attribute::Binary { data_type, value } => {
                let mut binary = Base64Data::default();
                binary.0.clone_from(value);
                event.data_type = Some(data_type.clone());
                event.binary_value = Some(binary);
            }
        }
        event
    }
}

/// One delivery of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    message_id: String,
    receipt_handle: String,
    body: String,
    receive_count: u32,
    sent_at: Option<SystemTime>,
    first_received_at: Option<SystemTime>,
    source_arn: Option<String>,
    group_id: Option<String>,
    trace_header: Option<String>,
    /// Shared with the handler's context.
    attributes: Arc<BTreeMap<String, Attribute>>,
}

impl Delivery {
    /// Parses the record at `index` of its batch.
    ///
    /// A record without a receive count counts as received once: it is then
    /// retried rather than given up, and the queue's redrive policy still
    /// ends it.
    ///
    /// # Errors
    ///
    /// [`InvalidRecord`] where the message id or the receipt handle is absent or empty.
    pub fn parse(index: usize, record: SqsMessage) -> Result<Self, InvalidRecord> {
        let require = |field: Option<String>, missing| {
            field
                .filter(|value| !value.is_empty())
                .ok_or(InvalidRecord { index, missing })
        };
        let system = &record.attributes;
        Ok(Self {
            message_id: require(record.message_id, "message id")?,
            receipt_handle: require(record.receipt_handle, "receipt handle")?,
            body: record.body.unwrap_or_default(),
            receive_count: number(system, "ApproximateReceiveCount")
                .map_or(1, |count: u32| count.max(1)),
            sent_at: instant(system, "SentTimestamp"),
            first_received_at: instant(system, "ApproximateFirstReceiveTimestamp"),
            source_arn: record.event_source_arn,
            group_id: system.get("MessageGroupId").cloned(),
            trace_header: system.get("AWSTraceHeader").cloned(),
            attributes: Arc::new(parse_attributes(record.message_attributes)),
        })
    }

    /// The id SQS gave the message. A copy of the message has another one, so
    /// this is no idempotency key.
    #[must_use]
    pub fn message_id(&self) -> &str {
        &self.message_id
    }

    /// The handle of this delivery.
    #[must_use]
    pub fn receipt_handle(&self) -> &str {
        &self.receipt_handle
    }

    /// The body as it was sent; empty where the record has none.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.body
    }

    /// How often the message was received, this time included; at least 1.
    #[must_use]
    pub fn receive_count(&self) -> u32 {
        self.receive_count
    }

    /// When the message was sent to the queue.
    #[must_use]
    pub fn sent_at(&self) -> Option<SystemTime> {
        self.sent_at
    }

    /// When the message was first received from the queue.
    #[must_use]
    pub fn first_received_at(&self) -> Option<SystemTime> {
        self.first_received_at
    }

    /// The ARN of the queue it came from.
    #[must_use]
    pub fn source_arn(&self) -> Option<&str> {
        self.source_arn.as_deref()
    }

    /// The message group id. Messages of a FIFO queue have one; those of a
    /// standard queue may, and there it means fairness, not order.
    #[must_use]
    pub fn group_id(&self) -> Option<&str> {
        self.group_id.as_deref()
    }

    /// The group within which order must be kept: FIFO queues only.
    #[must_use]
    pub fn ordering_group(&self) -> Option<&str> {
        self.source_arn
            .as_deref()
            .filter(|arn| arn.ends_with(".fifo"))
            .and(self.group_id.as_deref())
    }

    /// The X-Ray header of the trace that the message belongs to, where it was
    /// sent with one.
    #[must_use]
    pub fn trace_header(&self) -> Option<&str> {
        self.trace_header.as_deref()
    }

    /// The message attributes by name.
    #[must_use]
    pub fn attributes(&self) -> &BTreeMap<String, Attribute> {
        &self.attributes
    }

    /// The value of a text attribute; `None` where it is absent or binary.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name)?.as_text()
    }

    pub(crate) fn shared_attributes(&self) -> Arc<BTreeMap<String, Attribute>> {
        Arc::clone(&self.attributes)
    }
}

fn parse_attributes(
    attributes: HashMap<String, SqsMessageAttribute>,
) -> BTreeMap<String, Attribute> {
    let named = attributes.into_iter();
    named
        .filter_map(|(name, value)| Some((name, Attribute::parse(value)?)))
        .collect()
}

fn number<N: std::str::FromStr>(attributes: &HashMap<String, String>, name: &str) -> Option<N> {
    attributes.get(name)?.parse().ok()
}

/// SQS stamps are milliseconds since the epoch.
fn instant(attributes: &HashMap<String, String>, name: &str) -> Option<SystemTime> {
    let millis = number(attributes, name)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lambda_events::event::sqs::SqsEvent;

    fn first(record: &str) -> Result<Delivery, InvalidRecord> {
        let event: SqsEvent =
            serde_json::from_str(&format!(r#"{{"Records":[{record}]}}"#)).unwrap();
        Delivery::parse(0, event.records.into_iter().next().unwrap())
    }

    #[test]
    fn a_record_as_lambda_sends_it_is_parsed_whole() {
        let delivery = first(
            r#"{"messageId":"m-1","receiptHandle":"r-1","body":"{}",
                "attributes":{"ApproximateReceiveCount":"3","SentTimestamp":"1000",
                    "ApproximateFirstReceiveTimestamp":"2000","MessageGroupId":"g",
                    "AWSTraceHeader":"Root=1-5759e988-bd862e3fe1be46a994272793"},
                "messageAttributes":{
                    "kind":{"stringValue":"a","dataType":"String"},
                    "blob":{"binaryValue":"AQI=","dataType":"Binary"}},
                "eventSourceARN":"arn:aws:sqs:eu-central-1:1:q.fifo"}"#,
        )
        .unwrap();
        assert_eq!(delivery.message_id(), "m-1");
        assert_eq!(delivery.receipt_handle(), "r-1");
        assert_eq!(delivery.body(), "{}");
        assert_eq!(delivery.receive_count(), 3);
        let epoch = SystemTime::UNIX_EPOCH;
        assert_eq!(delivery.sent_at(), Some(epoch + Duration::from_secs(1)));
        assert_eq!(
            delivery.first_received_at(),
            Some(epoch + Duration::from_secs(2))
        );
        assert_eq!(delivery.ordering_group(), Some("g"));
        assert_eq!(
            delivery.trace_header(),
            Some("Root=1-5759e988-bd862e3fe1be46a994272793")
        );
        assert_eq!(delivery.attributes()["kind"].as_text(), Some("a"));
        let blob = Attribute::Binary {
            data_type: "Binary".to_owned(),
            value: vec![1, 2],
        };
        assert_eq!(delivery.attributes()["blob"], blob);
    }

    #[test]
    fn a_group_of_a_standard_queue_does_not_order() {
        let delivery = first(
            r#"{"messageId":"m","receiptHandle":"r","attributes":{"MessageGroupId":"tenant"},
                "eventSourceARN":"arn:aws:sqs:eu-central-1:1:q"}"#,
        )
        .unwrap();
        assert_eq!(delivery.group_id(), Some("tenant"));
        assert_eq!(delivery.ordering_group(), None);
    }

    #[test]
    fn a_record_without_an_id_or_a_handle_is_refused() {
        #[track_caller]
        fn check(record: &str, missing: &'static str) {
            assert_eq!(first(record), Err(InvalidRecord { index: 0, missing }));
        }
        check(r#"{"receiptHandle":"r"}"#, "message id");
        check(r#"{"messageId":"","receiptHandle":"r"}"#, "message id");
        check(r#"{"messageId":"m"}"#, "receipt handle");
        check(r#"{"messageId":"m","receiptHandle":""}"#, "receipt handle");
    }

    #[test]
    fn a_record_without_a_receive_count_counts_as_received_once() {
        let delivery = first(r#"{"messageId":"m","receiptHandle":"r"}"#).unwrap();
        assert_eq!(delivery.receive_count(), 1);
    }
}
