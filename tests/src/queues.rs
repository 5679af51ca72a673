//! The queues: sending to them, and looking into them without taking anything.
//!
//! A dead letter may be in its queue still or in the failure store already: it is the
//! drain's affair when it moves. So whoever looks into a dead-letter queue sees both.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use serde_json::Value;

use crate::http::Target;
use crate::{CONSUMERS, Environment, QUICKLY, Request, wait_until};

/// A message that a queue holds, visible or not.
#[derive(Debug, Clone)]
pub struct QueuedMessage {
    /// Its id in this queue.
    pub id: String,
    /// The body, unchanged.
    pub body: String,
    /// How often it was received.
    pub receive_count: u64,
    /// The values of its message attributes.
    pub attributes: HashMap<String, String>,
}

impl QueuedMessage {
    /// The failure record that a worker put beside the body.
    pub fn failure(&self) -> Value {
        let record = self.attributes.get("failure");
        let record = record.unwrap_or_else(|| panic!("no failure record beside {}", self.body));
        serde_json::from_str(record).unwrap_or_else(|error| panic!("{error} in {record}"))
    }
}

impl Environment {
    /// Puts a body straight onto a queue.
    pub async fn put(&self, queue_url: &str, body: &str) {
        self.put_together(queue_url, &[body]).await;
    }

    /// Puts bodies onto a queue in one request, so that they come to the consumer in one batch.
    pub async fn put_together(&self, queue_url: &str, bodies: &[&str]) {
        let entries = bodies.iter().enumerate().map(|(index, body)| {
            SendMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .message_body(*body)
                .build()
                .expect("an entry of a batch")
        });
        let sent = self
            .sqs
            .send_message_batch()
            .queue_url(queue_url)
            .set_entries(Some(entries.collect()))
            .send()
            .await
            .unwrap_or_else(|error| panic!("nothing was sent to {queue_url}: {error:?}"));
        assert!(
            sent.failed.is_empty(),
            "not all were sent: {:?}",
            sent.failed
        );
    }

    /// Everything that a queue holds, what is being worked on included; of a dead-letter
    /// queue also what was drained from it and is open.
    pub async fn peek(&self, queue_url: &str) -> Vec<QueuedMessage> {
        // In this order: what moves meanwhile is seen twice, and counted once.
        let mut messages = self.queued(queue_url).await;
        for drained in self.drained_from(queue_url).await {
            if messages.iter().all(|message| message.id != drained.id) {
                messages.push(drained);
            }
        }
        messages
    }

    /// What is in a queue itself.
    pub async fn queued(&self, queue_url: &str) -> Vec<QueuedMessage> {
        let path = format!("/_ministack/sqs/messages?QueueUrl={queue_url}");
        let host = self.endpoint().trim_start_matches("http://").to_owned();
        let target = Target {
            service: "sqs",
            host: &host,
            origin: self.endpoint(),
        };
        let answer = self
            .http
            .send(&target, &Request::get(path).unsigned())
            .await;
        assert_eq!(
            answer.status,
            200,
            "looking into {queue_url}: {}",
            answer.text()
        );
        let answer = answer.json();
        let accounts = answer["messages"]
            .as_object()
            .into_iter()
            .flat_map(|all| all.values());
        let regions = accounts
            .filter_map(Value::as_object)
            .flat_map(|all| all.values());
        let queues = regions
            .filter_map(Value::as_object)
            .flat_map(|all| all.values());
        queues
            .filter_map(Value::as_array)
            .flatten()
            .map(queued)
            .collect()
    }

    /// The messages of a queue whose body contains a text.
    pub async fn holding(&self, queue_url: &str, text: &str) -> Vec<QueuedMessage> {
        let mut messages = self.peek(queue_url).await;
        messages.retain(|message| message.body.contains(text));
        messages
    }

    /// Waits until a message is in a queue.
    pub async fn arrived(&self, queue_url: &str, text: &str) -> QueuedMessage {
        let what = format!("a message with {text} is in {queue_url}");
        wait_until(&what, QUICKLY, async || {
            let found = self.holding(queue_url, text).await;
            found
                .into_iter()
                .next()
                .ok_or_else(|| "it is not there".to_owned())
        })
        .await
    }

    /// Waits until a consumer has dealt with every message that contains a text.
    pub async fn dealt_with(&self, consumer: &str, text: &str) {
        let what = format!("{consumer} deals with the messages of {text}");
        wait_until(&what, QUICKLY, async || {
            let waiting = self.holding(self.queue(consumer), text).await;
            match waiting.first() {
                None => Ok(()),
                Some(first) => Err(format!("{} wait, first: {first:?}", waiting.len())),
            }
        })
        .await;
        for queue_url in [self.dlq(consumer), self.quarantine()] {
            let failed = self.holding(queue_url, text).await;
            assert!(
                failed.is_empty(),
                "{consumer} could not deal with {failed:?}"
            );
        }
    }

    /// Waits until every consumer's queue is empty: a message leaves when its function has
    /// returned.
    pub async fn all_dealt_with(&self, limit: Duration) {
        for consumer in CONSUMERS {
            let queue = self.queue(consumer);
            let what = format!("{consumer} is empty");
            wait_until(&what, limit, async || {
                match self.queued(queue).await.len() {
                    0 => Ok(()),
                    held => Err(format!("{held} messages")),
                }
            })
            .await;
        }
    }

    /// Takes the messages that contain a text out of a queue, and out of the failure
    /// store: what a test made, it removes.
    pub async fn remove(&self, queue_url: &str, text: &str) {
        let what = format!("the messages with {text} are removed from {queue_url}");
        wait_until(&what, QUICKLY, async || {
            self.remove_some(queue_url, text).await;
            self.forget_failures(text).await;
            match self.holding(queue_url, text).await.len() {
                0 => Ok(()),
                left => Err(format!("{left} are left")),
            }
        })
        .await;
    }

    async fn remove_some(&self, queue_url: &str, text: &str) {
        let received = self
            .sqs
            .receive_message()
            .queue_url(queue_url)
            .max_number_of_messages(10)
            .visibility_timeout(3)
            .send()
            .await
            .unwrap_or_else(|error| panic!("nothing was received from {queue_url}: {error:?}"));
        for message in received.messages.unwrap_or_default() {
            // The others come back by themselves; till then the next look finds further ones.
            if message.body.is_some_and(|body| body.contains(text)) {
                self.sqs
                    .delete_message()
                    .queue_url(queue_url)
                    .receipt_handle(message.receipt_handle.unwrap_or_default())
                    .send()
                    .await
                    .expect("the message is deleted");
            }
        }
    }
}

fn queued(message: &Value) -> QueuedMessage {
    let attributes = message["MessageAttributes"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    QueuedMessage {
        id: message["MessageId"].as_str().unwrap_or_default().to_owned(),
        body: message["Body"].as_str().unwrap_or_default().to_owned(),
        receive_count: message["ReceiveCount"].as_u64().unwrap_or_default(),
        attributes: attributes
            .into_iter()
            .filter_map(|(name, value)| Some((name, value["StringValue"].as_str()?.to_owned())))
            .collect(),
    }
}
