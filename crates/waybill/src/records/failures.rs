//! The failures of an order: those in the store, and those that wait to be drained into it.

use std::collections::BTreeMap;

use aws_adapters::DynamoFailures;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use failures::{Failure as StoredFailure, FailureStore, Query};
use futures_util::future::try_join_all;
use message_worker::FailureRecord;
use serde::Serialize;
use serde_json::Value;

use super::{moment, short_name};
use crate::deployment::Deployment;
use crate::failure::Failure;

/// All failures of an order that the store has, the first stored first.
pub(crate) async fn of_order(
    deployment: &Deployment,
    order: &str,
) -> Result<Vec<StoredFailure>, Failure> {
    let table = deployment.output("FailuresTableName")?;
    let store = DynamoFailures::new(deployment.dynamodb(), table);
    let query = Query {
        order_id: Some(order.to_owned()),
        ..Query::default()
    };
    let mut found = Vec::new();
    let mut from = None;
    loop {
        let page = store.find(&query, from.as_deref()).await;
        let page = page.map_err(Failure::from_port)?;
        found.extend(page.items);
        match page.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    found.sort_by(|one, other| (one.stored_at, &one.id).cmp(&(other.stored_at, &other.id)));
    // One that changes between two pages may be on both.
    found.dedup_by(|one, other| one.id == other.id);
    Ok(found)
}

/// A message that waits in a dead-letter queue, without its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeadLetter {
    /// The name of the queue.
    pub(crate) queue: String,
    /// The id that it has there.
    pub(crate) sqs_id: String,
    /// The message's id, where it can be read.
    pub(crate) message_id: Option<String>,
    /// `noun.verb`, where it can be read.
    pub(crate) name: Option<String>,
    /// When it got there.
    pub(crate) since: Option<String>,
    /// The error's name, where a worker said one.
    pub(crate) error_name: Option<String>,
}

/// A queue's dead letters of an order, and whether all of the queue was seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peek {
    pub(crate) found: Vec<DeadLetter>,
    /// Queues that hold more than was looked at.
    pub(crate) cut_short: Vec<String>,
}

/// The dead-letter queues of all consumers and the quarantine, by their outputs.
fn queues(deployment: &Deployment) -> Result<Vec<String>, Failure> {
    let mut urls = Vec::new();
    for consumer in super::traffic::CONSUMERS {
        urls.push(deployment.output(consumer.dlq)?.to_owned());
        urls.push(deployment.output(consumer.delivery_dlq)?.to_owned());
    }
    urls.push(deployment.output("QuarantineQueueUrl")?.to_owned());
    Ok(urls)
}

/// Looks for an order in the dead-letter queues, and leaves everything there.
pub(crate) async fn not_drained(deployment: &Deployment, order: &str) -> Result<Peek, Failure> {
    let client = aws_sdk_sqs::Client::new(deployment.config());
    let urls = queues(deployment)?;
    let looks = urls.iter().map(|url| look(&client, url, order));
    let mut peek = Peek::default();
    for one in try_join_all(looks).await? {
        peek.found.extend(one.found);
        peek.cut_short.extend(one.cut_short);
    }
    Ok(peek)
}

/// So often at most a queue is asked: up to ten messages each time.
const LOOKS: usize = 30;

/// Receives with a visibility of zero, which hides nothing from the drain.
async fn look(client: &aws_sdk_sqs::Client, url: &str, order: &str) -> Result<Peek, Failure> {
    let name = url.rsplit('/').next().unwrap_or(url).to_owned();
    let mut seen: BTreeMap<String, Option<DeadLetter>> = BTreeMap::new();
    // SQS gives out what it likes: two looks without anything new are taken for all.
    let mut looks_without_news = 0;
    let mut looks = 0;
    while looks_without_news < 2 && looks < LOOKS {
        let before = seen.len();
        let messages = receive(client, url).await?;
        if messages.is_empty() {
            break;
        }
        for message in messages {
            let id = message.message_id.clone().unwrap_or_default();
            seen.entry(id)
                .or_insert_with(|| dead_letter(&name, &message, order));
        }
        looks += 1;
        looks_without_news = match seen.len() == before {
            true => looks_without_news + 1,
            false => 0,
        };
    }
    Ok(Peek {
        found: seen.into_values().flatten().collect(),
        cut_short: (looks == LOOKS).then_some(name).into_iter().collect(),
    })
}

async fn receive(client: &aws_sdk_sqs::Client, url: &str) -> Result<Vec<Message>, Failure> {
    let received = client
        .receive_message()
        .queue_url(url)
        .max_number_of_messages(10)
        .visibility_timeout(0)
        // Long polling asks all of SQS's servers.
        .wait_time_seconds(1)
        .message_attribute_names(FailureRecord::ATTRIBUTE)
        .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
        .send()
        .await
        .map_err(|error| Failure::from_sdk("sqs:ReceiveMessage", error))?;
    Ok(received.messages.unwrap_or_default())
}

/// `None` where it is not about this order.
fn dead_letter(queue: &str, message: &Message, order: &str) -> Option<DeadLetter> {
    let body = message.body().unwrap_or_default();
    if !body.contains(order) {
        return None;
    }
    let head: Value = serde_json::from_str(body).unwrap_or_default();
    let text = |name: &str| head[name].as_str().map(str::to_owned);
    let sent = message
        .attributes()
        .and_then(|all| all.get(&MessageSystemAttributeName::SentTimestamp))
        .and_then(|millis| millis.parse().ok());
    let record = message
        .message_attributes()
        .and_then(|all| all.get(FailureRecord::ATTRIBUTE))
        .and_then(|attribute| attribute.string_value());
    let record: Value = record
        .and_then(|record| serde_json::from_str(record).ok())
        .unwrap_or_default();
    Some(DeadLetter {
        queue: queue.to_owned(),
        sqs_id: message.message_id().unwrap_or_default().to_owned(),
        message_id: text("id"),
        name: text("type").map(|message_type| short_name(&message_type)),
        since: sent.map(moment),
        error_name: record["errorName"].as_str().map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_dead_letters_of_the_order_are_told_and_never_their_bodies() {
        let body = r#"{"id": "o-1/payment.charge", "type": "waybill.payment.charge.v1",
            "subject": "o-1", "tasktoken": "SECRET"}"#;
        let message = Message::builder().message_id("m-1").body(body).build();
        assert_eq!(dead_letter("payment-dlq", &message, "o-2"), None);
        let found = dead_letter("payment-dlq", &message, "o-1").unwrap();
        assert_eq!(found.name.as_deref(), Some("payment.charge"));
        assert_eq!(found.message_id.as_deref(), Some("o-1/payment.charge"));
        assert!(!format!("{found:?}").contains("SECRET"));
    }

    #[test]
    fn a_body_that_is_no_json_is_found_by_its_text() {
        let message = Message::builder().message_id("m-1").body("{o-1").build();
        let found = dead_letter("quarantine", &message, "o-1").unwrap();
        assert_eq!((found.message_id, found.name), (None, None));
    }
}
