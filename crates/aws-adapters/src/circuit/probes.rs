//! Single messages that circuits are probed with.

use std::collections::HashMap;

use aws_lambda_events::event::sqs::{SqsMessage, SqsMessageAttribute};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_sqs::types::{
    Message, MessageAttributeValue, MessageSystemAttributeName, MessageSystemAttributeNameForSends,
    MessageSystemAttributeValue, QueueAttributeName,
};
use circuit::{ProbeAnswer, ProbeMessages, Taken};
use ports::Unavailable;
use serde_json::json;

/// Longer than a worker may take (30 s) and the moving of a message after it.
const INVISIBLE_SECONDS: i32 = 90;

/// Long polling asks all of a queue's servers, where a short look may miss the only message.
const WAIT_SECONDS: i32 = 1;

/// A queue and the function that its messages are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeLine {
    /// The queue.
    pub queue_url: String,
    /// The same queue, as a worker finds it in a record.
    pub queue_arn: String,
    /// The function's name.
    pub function: String,
}

/// Takes messages from SQS and hands them to functions.
#[derive(Debug, Clone)]
pub struct SqsProbes {
    sqs: aws_sdk_sqs::Client,
    lambda: aws_sdk_lambda::Client,
    lines: HashMap<String, ProbeLine>,
}

impl SqsProbes {
    /// The lines, by consumer. `lambda` must have the patience to wait for a worker.
    pub fn new(
        sqs: aws_sdk_sqs::Client,
        lambda: aws_sdk_lambda::Client,
        lines: HashMap<String, ProbeLine>,
    ) -> Self {
        Self { sqs, lambda, lines }
    }

    fn line(&self, consumer: &str) -> Result<&ProbeLine, Unavailable> {
        let line = self.lines.get(consumer);
        line.ok_or_else(|| Unavailable::new("SQS", format!("no queue is known for {consumer}")))
    }

    /// Whether the queue has messages that cannot be received now.
    async fn has_others(&self, queue_url: &str) -> Result<bool, Unavailable> {
        let found = self
            .sqs
            .get_queue_attributes()
            .queue_url(queue_url)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessages)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessagesNotVisible)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessagesDelayed)
            .send()
            .await
            .map_err(|error| Unavailable::new("SQS", error))?;
        let counts = found.attributes.unwrap_or_default();
        Ok(counts.values().any(|count| count != "0"))
    }
}

impl ProbeMessages for SqsProbes {
    type Message = SqsMessage;

    async fn take(&self, consumer: &str) -> Result<Taken<SqsMessage>, Unavailable> {
        let ProbeLine {
            queue_url,
            queue_arn,
            ..
        } = self.line(consumer)?;
        let received = self
            .sqs
            .receive_message()
            .queue_url(queue_url)
            .max_number_of_messages(1)
            .visibility_timeout(INVISIBLE_SECONDS)
            .wait_time_seconds(WAIT_SECONDS)
            .message_attribute_names("All")
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .send()
            .await
            .map_err(|error| Unavailable::new("SQS", error))?;
        let message = received.messages.unwrap_or_default().into_iter().next();
        Ok(match message {
            Some(message) => Taken::Message(
                to_record(message, queue_arn).map_err(|error| Unavailable::new("SQS", error))?,
            ),
            None if self.has_others(queue_url).await? => Taken::Waiting,
            None => Taken::Nothing,
        })
    }

    async fn hand_over(
        &self,
        consumer: &str,
        message: &SqsMessage,
    ) -> Result<ProbeAnswer, Unavailable> {
        let unavailable = |source| Unavailable {
            service: "Lambda",
            source,
        };
        let payload = serde_json::to_vec(&json!({ "probe": message }))
            .map_err(|error| unavailable(error.into()))?;
        let answered = self
            .lambda
            .invoke()
            .function_name(&self.line(consumer)?.function)
            .payload(Blob::new(payload))
            .send()
            .await
            .map_err(|error| unavailable(error.into()))?;
        if let Some(error) = answered.function_error {
            let failed = format!("the function of {consumer} failed: {error}");
            return Err(unavailable(failed.into()));
        }
        let payload = answered.payload.map(Blob::into_inner).unwrap_or_default();
        serde_json::from_slice(&payload).map_err(|error| unavailable(error.into()))
    }

    async fn copy(&self, consumer: &str, message: &SqsMessage) -> Result<(), Unavailable> {
        let unavailable = |source| Unavailable {
            service: "SQS",
            source,
        };
        let mut copy = self
            .sqs
            .send_message()
            .queue_url(&self.line(consumer)?.queue_url)
            .message_body(message.body.as_deref().unwrap_or_default());
        for (name, attribute) in &message.message_attributes {
            let value = to_sdk(attribute).map_err(|error| unavailable(error.into()))?;
            copy = copy.message_attributes(name, value);
        }
        if let Some(trace) = message.attributes.get(TRACE) {
            let value = MessageSystemAttributeValue::builder()
                .data_type("String")
                .string_value(trace)
                .build()
                .map_err(|error| unavailable(error.into()))?;
            let name = MessageSystemAttributeNameForSends::AwsTraceHeader;
            copy = copy.message_system_attributes(name, value);
        }
        copy.send()
            .await
            .map_err(|error| unavailable(error.into()))?;
        Ok(())
    }

    async fn delete(&self, consumer: &str, message: &SqsMessage) -> Result<(), Unavailable> {
        self.sqs
            .delete_message()
            .queue_url(&self.line(consumer)?.queue_url)
            .receipt_handle(message.receipt_handle.as_deref().unwrap_or_default())
            .send()
            .await
            .map_err(|error| Unavailable::new("SQS", error))?;
        Ok(())
    }
}

const TRACE: &str = "AWSTraceHeader";

/// A received message as Lambda would hand it over on its first receive.
fn to_record(message: Message, queue_arn: &str) -> Result<SqsMessage, serde_json::Error> {
    let mut record = SqsMessage::default();
    record.event_source = Some("aws:sqs".to_owned());
    record.event_source_arn = Some(queue_arn.to_owned());
    record.message_id = message.message_id;
    record.receipt_handle = message.receipt_handle;
    record.body = message.body;
    let system = message.attributes.unwrap_or_default().into_iter();
    record.attributes = system
        .map(|(name, value)| (name.as_str().to_owned(), value))
        .collect();
    // On what it takes for the last receive, a worker gives a message up.
    record
        .attributes
        .insert("ApproximateReceiveCount".to_owned(), "1".to_owned());
    let own = message.message_attributes.unwrap_or_default().into_iter();
    record.message_attributes = own
        .map(|(name, value)| Ok((name, from_sdk(value)?)))
        .collect::<Result<_, serde_json::Error>>()?;
    Ok(record)
}

/// The event's types can only be read, not made; so it is written as Lambda writes it.
fn from_sdk(value: MessageAttributeValue) -> Result<SqsMessageAttribute, serde_json::Error> {
    let bytes = value.binary_value.map(aws_smithy_types::base64::encode);
    serde_json::from_value(json!({
        "dataType": value.data_type,
        "stringValue": value.string_value,
        "binaryValue": bytes,
    }))
}

fn to_sdk(
    attribute: &SqsMessageAttribute,
) -> Result<MessageAttributeValue, aws_sdk_sqs::error::BuildError> {
    let bytes = attribute.binary_value.as_ref();
    MessageAttributeValue::builder()
        .data_type(attribute.data_type.as_deref().unwrap_or("String"))
        .set_string_value(attribute.string_value.clone())
        .set_binary_value(bytes.map(|bytes| aws_sdk_sqs::primitives::Blob::new(bytes.to_vec())))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_sqs::primitives;

    fn attribute(data_type: &str) -> aws_sdk_sqs::types::builders::MessageAttributeValueBuilder {
        MessageAttributeValue::builder().data_type(data_type)
    }

    #[test]
    fn a_message_is_handed_over_whole_and_as_on_its_first_receive() {
        let text = attribute("String").string_value("f-1").build().unwrap();
        let bytes = primitives::Blob::new([1, 2, 3]);
        let binary = attribute("Binary.png").binary_value(bytes).build().unwrap();
        let message = Message::builder()
            .message_id("m-1")
            .receipt_handle("r-1")
            .body("{}")
            .attributes(MessageSystemAttributeName::ApproximateReceiveCount, "5")
            .attributes(MessageSystemAttributeName::SentTimestamp, "1000")
            .message_attributes("failureId", text.clone())
            .message_attributes("picture", binary.clone())
            .build();
        let json = serde_json::to_string(&json!({ "probe": to_record(message, "arn:q").unwrap() }))
            .unwrap();

        let record: serde_json::Value = serde_json::from_str(&json).unwrap();
        let record: SqsMessage = serde_json::from_value(record["probe"].clone()).unwrap();
        let delivery = message_worker::Delivery::parse(0, record.clone()).unwrap();
        assert_eq!(delivery.receive_count(), 1);
        assert_eq!(delivery.body(), "{}");
        assert_eq!(delivery.source_arn(), Some("arn:q"));
        assert!(delivery.sent_at().is_some());
        assert_eq!(
            to_sdk(&record.message_attributes["failureId"]).unwrap(),
            text
        );
        assert_eq!(
            to_sdk(&record.message_attributes["picture"]).unwrap(),
            binary
        );
    }
}
