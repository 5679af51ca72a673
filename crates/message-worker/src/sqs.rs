//! The [`Queue`] port on Amazon SQS.

mod attributes;

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::BuildError;
use aws_sdk_sqs::operation::send_message::builders::SendMessageFluentBuilder;
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{
    MessageAttributeValue, MessageSystemAttributeNameForSends, MessageSystemAttributeValue,
};

use crate::delivery::{Attribute, Delivery};
use crate::failure_record::FailureRecord;
use crate::queue::{Operation, Queue, QueueError};

/// SQS counts twelve hours from the receive; a quarter of an hour less leaves
/// room for the time a function has been working on the message.
const LONGEST_INVISIBILITY: Duration = Duration::from_secs(12 * 3600 - 15 * 60);

/// The most that SQS delays a message that is sent.
const LONGEST_DELAY: Duration = Duration::from_secs(15 * 60);

/// The queues of one consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueUrls {
    /// The queue that the consumer's messages come from.
    pub own: String,
    /// Where messages go whose retries are used up.
    pub dead_letter: String,
    /// Where messages go that can never be handled.
    pub quarantine: String,
}

/// Moves messages between SQS queues.
///
/// A moved message keeps its body, its attributes and the X-Ray header of its trace. The failure record is
/// added as JSON in the attribute `failure`, and beside it, to filter and read
/// by, `errorClass`, `errorName`, `consumer`, `correlationId` and `bodySha256`.
/// SQS allows ten attributes: the failure record comes first, then the
/// message's own, then the others. So that the message stays within the size
/// limit the causes are cut, never the body.
#[derive(Clone, Debug)]
pub struct SqsQueue {
    client: Client,
    urls: QueueUrls,
    size_limit: usize,
}

impl SqsQueue {
    /// The size limit of a queue as SQS creates it: 1 MiB.
    pub const DEFAULT_SIZE_LIMIT: usize = 1024 * 1024;

    /// Moves messages between the given queues.
    #[must_use]
    pub fn new(client: Client, urls: QueueUrls) -> Self {
        Self {
            client,
            urls,
            size_limit: Self::DEFAULT_SIZE_LIMIT,
        }
    }

    /// For queues whose `MaximumMessageSize`, in bytes, is not the default.
    #[must_use]
    pub fn with_size_limit(mut self, bytes: usize) -> Self {
        self.size_limit = bytes;
        self
    }

    /// A message to the queue `url`. FIFO queues require a group, and a
    /// deduplication id: the message's own id makes a repeated move harmless.
    fn message(
        &self,
        url: &str,
        delivery: &Delivery,
        attributes: BTreeMap<String, Attribute>,
    ) -> Result<SendMessageFluentBuilder, BuildError> {
        let mut message = self
            .client
            .send_message()
            .queue_url(url)
            .message_body(delivery.body())
            .set_message_group_id(delivery.group_id().map(str::to_owned));
        if is_fifo(url) {
            let group = delivery.group_id().unwrap_or(delivery.message_id());
            message = message
                .message_group_id(group)
                .message_deduplication_id(delivery.message_id());
        }
        if let Some(header) = delivery.trace_header() {
            let name = MessageSystemAttributeNameForSends::AwsTraceHeader;
            message = message.message_system_attributes(name, trace_header(header)?);
        }
        for (name, attribute) in attributes {
            message = message.message_attributes(name, to_sdk(attribute)?);
        }
        Ok(message)
    }

    async fn park(
        &self,
        operation: Operation,
        url: &str,
        delivery: &Delivery,
        record: &FailureRecord,
    ) -> Result<(), QueueError> {
        let attributes = attributes::with_record(delivery, record, self.size_limit);
        self.message(url, delivery, attributes)
            .map_err(|error| QueueError::new(operation, error))?
            .send()
            .await
            .map_err(|error| QueueError::new(operation, error))?;
        Ok(())
    }
}

impl Queue for SqsQueue {
    async fn delay(&self, receipt_handle: &str, delay: Duration) -> Result<(), QueueError> {
        self.client
            .change_message_visibility()
            .queue_url(&self.urls.own)
            .receipt_handle(receipt_handle)
            .visibility_timeout(whole_seconds(delay.min(LONGEST_INVISIBILITY)))
            .send()
            .await
            .map_err(|error| QueueError::new(Operation::Delay, error))?;
        Ok(())
    }

    async fn resend(&self, delivery: &Delivery, delay: Duration) -> Result<(), QueueError> {
        let attributes = delivery.attributes().clone();
        // A FIFO queue refuses a delay on a single message.
        let delay = (!is_fifo(&self.urls.own)).then(|| whole_seconds(delay.min(LONGEST_DELAY)));
        self.message(&self.urls.own, delivery, attributes)
            .map_err(|error| QueueError::new(Operation::Resend, error))?
            .set_delay_seconds(delay)
            .send()
            .await
            .map_err(|error| QueueError::new(Operation::Resend, error))?;
        Ok(())
    }

    async fn dead_letter(
        &self,
        delivery: &Delivery,
        record: &FailureRecord,
    ) -> Result<(), QueueError> {
        let url = &self.urls.dead_letter;
        self.park(Operation::DeadLetter, url, delivery, record)
            .await
    }

    async fn quarantine(
        &self,
        delivery: &Delivery,
        record: &FailureRecord,
    ) -> Result<(), QueueError> {
        let url = &self.urls.quarantine;
        self.park(Operation::Quarantine, url, delivery, record)
            .await
    }
}

fn is_fifo(url: &str) -> bool {
    url.ends_with(".fifo")
}

/// Rounded up: a message must not come back earlier than was asked.
fn whole_seconds(delay: Duration) -> i32 {
    let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

/// So that the trace goes on where the message goes. SQS does not count it as
/// one of the message's attributes, nor its size.
fn trace_header(header: &str) -> Result<MessageSystemAttributeValue, BuildError> {
    let value = MessageSystemAttributeValue::builder();
    value.data_type("String").string_value(header).build()
}

fn to_sdk(attribute: Attribute) -> Result<MessageAttributeValue, BuildError> {
    let value = MessageAttributeValue::builder();
    match attribute {
        Attribute::Text {
            data_type,
            value: text,
        } => value.data_type(data_type).string_value(text),
        Attribute::Binary {
            data_type,
            value: bytes,
        } => value.data_type(data_type).binary_value(Blob::new(bytes)),
    }
    .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_sqs::config::BehaviorVersion;

    #[test]
    fn a_moved_message_stays_in_its_trace() {
        let record = serde_json::json!({
            "messageId": "m", "receiptHandle": "r", "body": "b",
            "attributes": { "AWSTraceHeader": "Root=1-5759e988-bd862e3fe1be46a994272793" },
        });
        let record = serde_json::from_value(record).unwrap();
        let delivery = Delivery::parse(0, record).unwrap();
        let config = aws_sdk_sqs::Config::builder().behavior_version(BehaviorVersion::latest());
        let urls = QueueUrls {
            own: "own".to_owned(),
            dead_letter: "dead".to_owned(),
            quarantine: "quarantine".to_owned(),
        };
        let queue = SqsQueue::new(Client::from_conf(config.build()), urls);
        let message = queue.message("dead", &delivery, BTreeMap::new()).unwrap();
        let system = message.get_message_system_attributes().clone().unwrap();
        let header = &system[&MessageSystemAttributeNameForSends::AwsTraceHeader];
        assert_eq!(header.data_type(), "String");
        assert_eq!(
            header.string_value(),
            Some("Root=1-5759e988-bd862e3fe1be46a994272793")
        );
        assert_eq!(message.get_message_attributes(), &None);
    }

    #[test]
    fn a_delay_is_rounded_up_to_whole_seconds() {
        #[track_caller]
        fn check(millis: u64, seconds: i32) {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds);
        }
        check(0, 0);
        check(1, 1);
        check(1000, 1);
        check(1001, 2);
    }
}
