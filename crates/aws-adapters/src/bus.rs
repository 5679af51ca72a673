//! The bus on SNS.

use aws_sdk_sns::Client;
use aws_sdk_sns::types::PublishBatchRequestEntry;
use ports::{Bus, Delivery, Unavailable};

/// Publishes to one topic.
#[derive(Debug, Clone)]
pub struct SnsBus {
    client: Client,
    topic_arn: String,
}

impl SnsBus {
    /// Publishes to this topic.
    pub fn new(client: Client, topic_arn: String) -> Self {
        Self { client, topic_arn }
    }
}

impl Bus for SnsBus {
    const BATCH: usize = 10;
    const BATCH_BYTES: usize = 256 * 1024;

    async fn publish(&self, messages: &[&str]) -> Result<Vec<Delivery>, Unavailable> {
        let entries = messages
            .iter()
            .enumerate()
            .map(|(index, message)| {
                let entry = PublishBatchRequestEntry::builder();
                entry.id(index.to_string()).message(*message).build()
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Unavailable::new("SNS", error))?;
        let answer = self
            .client
            .publish_batch()
            .topic_arn(&self.topic_arn)
            .set_publish_batch_request_entries(Some(entries))
            .send()
            .await
            .map_err(|error| Unavailable::new("SNS", error))?;

        // An entry that the answer does not name was not confirmed.
        let unconfirmed = || Delivery::Failed {
            code: "NotConfirmed".to_owned(),
        };
        let mut deliveries: Vec<_> = messages.iter().map(|_| unconfirmed()).collect();
        let mut set = |id: &str, delivery| {
            if let Some(slot) = id
                .parse()
                .ok()
                .and_then(|index: usize| deliveries.get_mut(index))
            {
                *slot = delivery;
            }
        };
        for entry in answer.successful() {
            set(entry.id().unwrap_or_default(), Delivery::Published);
        }
        for entry in answer.failed() {
            set(
                entry.id(),
                Delivery::Failed {
                    code: entry.code().to_owned(),
                },
            );
        }
        Ok(deliveries)
    }
}
