//! A look into SQS queues, without taking anything out.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName, QueueAttributeName};
use contracts::peek;
use contracts::schema::Schema;
use domain::CorrelationId;
use ports::{DeadLetters, QueueReport, Sample, Unavailable};

/// Looks into the queues of this account and region.
#[derive(Debug, Clone)]
pub struct SqsDeadLetters {
    client: Client,
}

impl SqsDeadLetters {
    /// Looks through this client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    async fn url(&self, queue_name: &str) -> Result<Option<String>, Unavailable> {
        match self
            .client
            .get_queue_url()
            .queue_name(queue_name)
            .send()
            .await
        {
            Ok(found) => Ok(found.queue_url),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|e| e.is_queue_does_not_exist()) =>
            {
                Ok(None)
            }
            Err(error) => Err(Unavailable::new("SQS", error)),
        }
    }

    async fn depth(&self, url: &str) -> Result<u64, Unavailable> {
        let name = QueueAttributeName::ApproximateNumberOfMessages;
        let asked = self
            .client
            .get_queue_attributes()
            .queue_url(url)
            .attribute_names(name.clone());
        let answer = asked
            .send()
            .await
            .map_err(|error| Unavailable::new("SQS", error))?;
        let depth = answer
            .attributes()
            .and_then(|attributes| attributes.get(&name));
        Ok(depth.and_then(|text| text.parse().ok()).unwrap_or_default())
    }

    /// Receives with a visibility time-out of zero: the messages stay where they are.
    async fn sample(&self, url: &str) -> Result<Vec<Message>, Unavailable> {
        let asked = self
            .client
            .receive_message()
            .queue_url(url)
            .max_number_of_messages(10)
            .visibility_timeout(0)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
            .message_attribute_names("errorName")
            .message_attribute_names("correlationId");
        let answer = asked
            .send()
            .await
            .map_err(|error| Unavailable::new("SQS", error))?;
        Ok(answer.messages.unwrap_or_default())
    }
}

impl DeadLetters for SqsDeadLetters {
    async fn look_into(&self, queue_name: &str) -> Result<Option<QueueReport>, Unavailable> {
        let Some(url) = self.url(queue_name).await? else {
            return Ok(None);
        };
        let depth = self.depth(&url).await?;
        let messages = self.sample(&url).await?;
        let report = QueueReport {
            depth,
            oldest_sent_at: messages.iter().filter_map(sent_at).min(),
            samples: messages.iter().map(describe).collect(),
        };
        Ok(Some(report))
    }
}

fn sent_at(message: &Message) -> Option<u64> {
    message
        .attributes()?
        .get(&MessageSystemAttributeName::SentTimestamp)?
        .parse()
        .ok()
}

/// What may be shown of a message that anybody may have sent: nothing that is not
/// known, and nothing long.
fn describe(message: &Message) -> Sample {
    let attribute = |name: &str| {
        let value = message.message_attributes()?.get(name)?.string_value()?;
        CorrelationId::new(value).ok().map(|text| text.to_string())
    };
    let told = peek(message.body().unwrap_or_default());
    let told_correlation = told.correlation().map(|id| id.to_string());
    Sample {
        correlation_id: attribute("correlationId").or(told_correlation),
        error_name: attribute("errorName"),
        message_type: told
            .message_type
            .filter(|name| Schema::find(name).is_some()),
    }
}
