//! Dead letters out of SQS queues.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use failures::{DeadLetter, DeadLetterQueues, FAILURE_ID, FailureId, Letter, REPLAY_ID, ReplayId};
use message_worker::FailureRecord;
use ports::Unavailable;

use super::{attributes, sqs};

/// Long enough to store ten messages, also where a request is repeated.
const VISIBILITY_SECONDS: i32 = 60;

/// A poll that does not wait asks only some of the servers of a queue, and may find
/// nothing where something is.
const WAIT_SECONDS: i32 = 1;

/// Takes dead letters out of the queues of this account and region. Queues are named by
/// their name, or by their URL.
///
/// Permissions: `sqs:ReceiveMessage` and `sqs:DeleteMessage`, and `sqs:GetQueueUrl` where
/// a queue is named by its name.
#[derive(Debug, Clone)]
pub struct SqsDeadLetterQueues {
    client: Client,
    urls: Arc<Mutex<BTreeMap<String, String>>>,
}

impl SqsDeadLetterQueues {
    /// Receives and deletes through this client.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            urls: Arc::default(),
        }
    }

    async fn url(&self, queue: &str) -> Result<String, Unavailable> {
        if queue.contains("://") {
            self.remember(name_of(queue), queue);
            return Ok(queue.to_owned());
        }
        if let Some(known) = self.known(queue) {
            return Ok(known);
        }
        let asked = self.client.get_queue_url().queue_name(queue);
        let answer = asked.send().await.map_err(sqs)?;
        let url = answer.queue_url.ok_or_else(|| sqs("a queue has no URL"))?;
        self.remember(queue, &url);
        Ok(url)
    }

    fn known(&self, queue: &str) -> Option<String> {
        let urls = self.urls.lock().unwrap_or_else(PoisonError::into_inner);
        urls.get(queue).cloned()
    }

    fn remember(&self, queue: &str, url: &str) {
        let mut urls = self.urls.lock().unwrap_or_else(PoisonError::into_inner);
        urls.insert(queue.to_owned(), url.to_owned());
    }
}

impl DeadLetterQueues for SqsDeadLetterQueues {
    async fn receive(&self, queue: &str) -> Result<Vec<DeadLetter>, Unavailable> {
        let answer = self
            .client
            .receive_message()
            .queue_url(self.url(queue).await?)
            .max_number_of_messages(10)
            .visibility_timeout(VISIBILITY_SECONDS)
            .wait_time_seconds(WAIT_SECONDS)
            .message_attribute_names("All")
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .send()
            .await
            .map_err(sqs)?;
        let messages = answer.messages.unwrap_or_default().into_iter();
        Ok(messages
            .filter_map(|message| read(name_of(queue), message))
            .collect())
    }

    async fn delete(&self, letter: &DeadLetter) -> Result<(), Unavailable> {
        self.client
            .delete_message()
            .queue_url(self.url(&letter.queue).await?)
            .receipt_handle(&letter.receipt_handle)
            .send()
            .await
            .map_err(sqs)?;
        Ok(())
    }
}

fn name_of(queue: &str) -> &str {
    queue.rsplit('/').next().unwrap_or(queue)
}

/// `None` for a message without id or handle, which SQS never gives out: it could
/// neither be stored nor deleted.
fn read(queue: &str, message: Message) -> Option<DeadLetter> {
    let system = message.attributes.unwrap_or_default();
    let told = message.message_attributes.unwrap_or_default();
    let text = |name: &str| told.get(name)?.string_value();
    let record = text(FailureRecord::ATTRIBUTE).and_then(|json| serde_json::from_str(json).ok());
    let replayed = text(FAILURE_ID).zip(text(REPLAY_ID));
    Some(DeadLetter {
        message_id: message.message_id?,
        receipt_handle: message.receipt_handle?,
        queue: queue.to_owned(),
        sent_at: number(system.get(&MessageSystemAttributeName::SentTimestamp)),
        receives: number(system.get(&MessageSystemAttributeName::ApproximateReceiveCount)),
        redriven: system.contains_key(&MessageSystemAttributeName::DeadLetterQueueSourceArn),
        replayed: replayed
            .map(|(failure, replay)| (FailureId::new(failure), ReplayId::new(replay))),
        record,
        letter: Letter::new(message.body.unwrap_or_default(), attributes::own(told)),
    })
}

fn number<T: FromStr + Default>(text: Option<&String>) -> T {
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}
