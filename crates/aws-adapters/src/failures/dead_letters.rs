//! Dead letters out of SQS queues.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{Message, MessageAttributeValue, MessageSystemAttributeName};
use failures::{
    DeadLetter, DeadLetterQueues, DrainedQueue, FAILURE_ID, FailureId, Letter, REPLAY_ID, ReplayId,
    UNEXPLAINED, UNKNOWN, Value,
};
use message_worker::FailureRecord;
use ports::Unavailable;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::{attributes, sqs};

/// Long enough to store ten messages, also where a request is repeated.
const VISIBILITY_SECONDS: i32 = 60;

/// A poll that does not wait asks only some of the servers of a queue, and may find
/// nothing where something is.
const WAIT_SECONDS: i32 = 1;

/// The cause where the attribute that tells it cannot be read.
const UNREADABLE: &str = "its attribute `failure` cannot be read";

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
    let replayed = text(FAILURE_ID).zip(text(REPLAY_ID));
    let replayed =
        replayed.map(|(failure, replay)| (FailureId::new(failure), ReplayId::new(replay)));
    let redriven = system.contains_key(&MessageSystemAttributeName::DeadLetterQueueSourceArn);
    let undelivered = DrainedQueue::from_name(queue).is_some_and(|queue| queue.undelivered);
    let said = Said::of(&told);
    let record = match &said.unread {
        None => said.record,
        // No worker moved it, and the queue knows more of the reason.
        Some(_) if redriven || undelivered => None,
        Some(_) => said.record.or_else(|| unreadable(&told)),
    };
    let mut own = attributes::own(told);
    own.extend(
        said.unread
            .map(|value| (FailureRecord::ATTRIBUTE.to_owned(), value)),
    );
    Some(DeadLetter {
        message_id: message.message_id?,
        receipt_handle: message.receipt_handle?,
        queue: queue.to_owned(),
        sent_at: number(system.get(&MessageSystemAttributeName::SentTimestamp)),
        receives: number(system.get(&MessageSystemAttributeName::ApproximateReceiveCount)),
        redriven,
        replayed,
        record,
        letter: Letter::new(message.body.unwrap_or_default(), own),
    })
}

type Told = HashMap<String, MessageAttributeValue>;

/// What the attribute `failure` says.
#[derive(Debug, Default)]
struct Said {
    record: Option<FailureRecord>,
    /// The attribute, where not all of it could be read.
    unread: Option<Value>,
}

impl Said {
    fn of(told: &Told) -> Self {
        let Some(attribute) = told.get(FailureRecord::ATTRIBUTE) else {
            return Self::default();
        };
        let json = attribute.string_value().unwrap_or_default();
        let (record, is_whole) = match serde_json::from_str(json) {
            Ok(record) => (Some(record), true),
            Err(_) => lenient(json, told),
        };
        let unread = match is_whole {
            true => None,
            false => attributes::from_sdk(attribute.clone()),
        };
        Self { record, unread }
    }
}

/// Reads what is there of a record, and whether that was all of it. `None` where there is
/// no field of a record at all.
fn lenient(json: &str, told: &Told) -> (Option<FailureRecord>, bool) {
    let Ok(Json::Object(fields)) = serde_json::from_str(json) else {
        return (None, false);
    };
    let (mut read, mut known, mut is_whole) = (defaults(told), 0, true);
    for (name, value) in fields {
        let before = read.insert(name.clone(), value);
        if record_of(&read).is_some() {
            known += usize::from(before.is_some());
            continue;
        }
        is_whole = false;
        match before {
            Some(before) => read.insert(name, before),
            None => read.remove(&name),
        };
    }
    match known {
        0 => (None, false),
        _ => (record_of(&read), is_whole),
    }
}

/// The record of a message whose worker said something that nobody can read.
fn unreadable(told: &Told) -> Option<FailureRecord> {
    let mut fields = defaults(told);
    fields.insert("cause".to_owned(), json!([UNREADABLE]));
    record_of(&fields)
}

/// The fields that a record must have: from the attributes beside it, where they are there.
fn defaults(told: &Told) -> Map<String, Json> {
    let text = |name: &str, default: &str| {
        let told = told.get(name).and_then(MessageAttributeValue::string_value);
        (name.to_owned(), Json::from(told.unwrap_or(default)))
    };
    Map::from_iter([
        text("errorClass", UNKNOWN),
        text("errorName", UNEXPLAINED),
        text("consumer", ""),
        text("bodySha256", ""),
        ("cause".to_owned(), json!([])),
        ("attempts".to_owned(), json!(0)),
        // Without a time it failed when it was sent here, and without an id it has the
        // one that it has here.
        ("failedAt".to_owned(), json!("")),
        ("messageId".to_owned(), json!("")),
    ])
}

fn record_of(fields: &Map<String, Json>) -> Option<FailureRecord> {
    FailureRecord::deserialize(fields).ok()
}

fn number<T: FromStr + Default>(text: Option<&String>) -> T {
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: &str = "waybill-dev-payment-dlq";

    fn letter(queue: &str, attributes: &[(&str, &str)], redriven: bool) -> DeadLetter {
        let mut message = Message::builder()
            .message_id("m-1")
            .receipt_handle("r-1")
            .body("body");
        for (name, text) in attributes {
            let value = MessageAttributeValue::builder().data_type("String");
            let value = value.string_value(*text).build().unwrap();
            message = message.message_attributes(*name, value);
        }
        if redriven {
            let source = MessageSystemAttributeName::DeadLetterQueueSourceArn;
            message = message.attributes(source, "arn");
        }
        read(queue, message.build()).unwrap()
    }

    #[track_caller]
    fn is_kept(letter: &DeadLetter, text: &str) {
        let kept = letter.letter.attributes.get(FailureRecord::ATTRIBUTE);
        assert_eq!(kept, Some(&attributes::string(text)));
    }

    #[test]
    fn what_a_worker_said_and_nobody_can_read_is_kept_and_told() {
        for text in [
            "not JSON",
            "[]",
            "{}",
            r#"{"its":"own"}"#,
            r#"{"attempts":"x"}"#,
        ] {
            let attributes = [("failure", text), ("errorName", "Throttled")];
            let letter = letter(QUEUE, &attributes, false);
            is_kept(&letter, text);
            let record = letter.record.unwrap();
            assert_eq!(record.cause, [UNREADABLE], "{text}");
            assert_eq!(record.error_class, UNKNOWN);
            assert_eq!(record.error_name, "Throttled");
        }
    }

    #[test]
    fn where_the_queue_says_why_an_unreadable_attribute_is_only_kept() {
        let delivery = "waybill-dev-payment-delivery-dlq";
        for text in ["its own", r#"{"errorName":"E","attempts":"many"}"#] {
            for (queue, redriven) in [(QUEUE, true), (delivery, false)] {
                let letter = letter(queue, &[("failure", text)], redriven);
                is_kept(&letter, text);
                assert_eq!(letter.record, None, "{queue}");
            }
        }
    }

    #[test]
    fn a_record_without_all_of_its_fields_is_read_as_far_as_it_goes() {
        let text = r#"{"errorClass":"poison","errorName":"E","cause":["c"],"consumer":"payment","later":1}"#;
        let read = letter(QUEUE, &[("failure", text)], false);
        assert_eq!(read.letter.attributes, BTreeMap::new());
        let record = read.record.unwrap();
        assert_eq!(
            (record.error_class.as_str(), record.attempts),
            ("poison", 0)
        );
        assert_eq!(record.cause, ["c"]);

        let text = r#"{"errorName":"E","attempts":"many"}"#;
        let read = letter(QUEUE, &[("failure", text)], false);
        is_kept(&read, text);
        assert_eq!(read.record.unwrap().error_name, "E");
    }

    #[test]
    fn a_message_of_which_nothing_is_said_has_no_record() {
        let letter = letter(QUEUE, &[("own", "x")], false);
        assert_eq!(letter.record, None);
        let own = BTreeMap::from([("own".to_owned(), attributes::string("x"))]);
        assert_eq!(letter.letter.attributes, own);
    }
}
