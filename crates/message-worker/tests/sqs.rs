//! The adapter against a real SQS interface. It needs `AWS_ENDPOINT_URL`.

#![allow(
    clippy::unwrap_used,
    reason = "in a test, and in what helps it, a panic is the failure report"
)]

use std::collections::HashMap;
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsEvent, SqsMessage};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::types::{
    Message, MessageAttributeValue, MessageSystemAttributeName, MessageSystemAttributeNameForSends,
    MessageSystemAttributeValue, QueueAttributeName,
};
use message_worker::sqs::{QueueUrls, SqsQueue};
use message_worker::{
    Config, Delivery, Description, Failure, FailureRecord, Handler, RecordContext, Worker,
};
use tokio::time::Instant;

/// The client, or `None` where the test is to be skipped.
fn client() -> Option<Client> {
    let Ok(endpoint) = std::env::var("AWS_ENDPOINT_URL") else {
        let required = std::env::var("WAYBILL_REQUIRE_EMULATOR").is_ok_and(|value| value == "1");
        assert!(
            !required,
            "AWS_ENDPOINT_URL is not set, and the emulator is required"
        );
        eprintln!("SKIPPED: AWS_ENDPOINT_URL is not set, the SQS adapter was not tested");
        return None;
    };
    let variable = |name, default: &str| std::env::var(name).unwrap_or(default.to_owned());
    let http = aws_smithy_http_client::Builder::new().build_http();
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http)
        .endpoint_url(endpoint)
        .region(Region::new(variable("AWS_REGION", "eu-central-1")))
        .credentials_provider(Credentials::from_keys(
            variable("AWS_ACCESS_KEY_ID", "test"),
            variable("AWS_SECRET_ACCESS_KEY", "test"),
            None,
        ))
        .build();
    Some(Client::from_conf(config))
}

/// The queues of one test. They are deleted at its end, if it passes.
struct Queues {
    client: Client,
    urls: QueueUrls,
}

impl Queues {
    async fn create(test: &str, suffix: &str) -> Option<Self> {
        let client = client()?;
        let prefix = format!("message-worker-{}-{test}", std::process::id());
        let create = async |name: &str| {
            let mut queue = client
                .create_queue()
                .queue_name(format!("{prefix}-{name}{suffix}"));
            if suffix == ".fifo" {
                queue = queue.attributes(QueueAttributeName::FifoQueue, "true");
            }
            queue.send().await.unwrap().queue_url.unwrap()
        };
        let urls = QueueUrls {
            own: create("own").await,
            dead_letter: create("dead").await,
            quarantine: create("quarantine").await,
        };
        Some(Self { client, urls })
    }

    async fn delete(self) {
        let urls = self.urls;
        for url in [urls.own, urls.dead_letter, urls.quarantine] {
            let deleting = self.client.delete_queue().queue_url(url);
            deleting.send().await.unwrap();
        }
    }

    fn worker(&self, max_receives: u32) -> Worker<SqsQueue, Scripted> {
        let mut config = Config::new("adapter-test");
        config.max_receives = max_receives.try_into().unwrap();
        config.backoff.base = Duration::from_secs(3600);
        config.backoff.cap = Duration::from_secs(3600);
        let queue = SqsQueue::new(self.client.clone(), self.urls.clone());
        Worker::new(config, queue, Scripted)
    }

    async fn send(&self, body: &str) {
        let kind = MessageAttributeValue::builder()
            .data_type("String")
            .string_value("greeting")
            .build()
            .unwrap();
        let mut message = self
            .client
            .send_message()
            .queue_url(&self.urls.own)
            .message_body(body)
            .message_attributes("kind", kind)
            .message_system_attributes(
                MessageSystemAttributeNameForSends::AwsTraceHeader,
                trace_header(),
            );
        if self.urls.own.ends_with(".fifo") {
            message = message
                .message_group_id("red")
                .message_deduplication_id(body);
        }
        message.send().await.unwrap();
    }

    async fn receive(&self, url: &str) -> Vec<Message> {
        let received = self
            .client
            .receive_message()
            .queue_url(url)
            .max_number_of_messages(10)
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .message_attribute_names("All")
            .send();
        received.await.unwrap().messages.unwrap_or_default()
    }

    /// Receives a batch, runs it, and deletes what Lambda would delete.
    /// Returns the bodies that went back.
    async fn invoke(&self, worker: &Worker<SqsQueue, Scripted>) -> Vec<String> {
        let messages = self.receive(&self.urls.own).await;
        let mut event = SqsEvent::default();
        event.records = messages
            .iter()
            .map(|m| to_record(m, &self.urls.own))
            .collect();
        let deadline = Instant::now() + Duration::from_secs(30);
        let response = worker.run(event, deadline).await.unwrap();
        let mut returned = Vec::new();
        for message in messages {
            let id = message.message_id.unwrap();
            let failures = &response.batch_item_failures;
            if failures.iter().any(|failure| failure.item_identifier == id) {
                returned.push(message.body.unwrap());
                continue;
            }
            let deleting = self.client.delete_message().queue_url(&self.urls.own);
            let deleting = deleting.receipt_handle(message.receipt_handle.unwrap());
            deleting.send().await.unwrap();
        }
        returned.sort();
        returned
    }

    /// How many messages of the own queue are visible, invisible and delayed.
    async fn depths(&self) -> [String; 3] {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ];
        let answer = self
            .client
            .get_queue_attributes()
            .queue_url(&self.urls.own)
            .set_attribute_names(Some(names.to_vec()))
            .send();
        let attributes = answer.await.unwrap().attributes.unwrap();
        names.map(|name| attributes[&name].clone())
    }
}

const TRACE: &str = "Root=1-5759e988-bd862e3fe1be46a994272793";

fn trace_header() -> MessageSystemAttributeValue {
    let value = MessageSystemAttributeValue::builder();
    let value = value.data_type("String").string_value(TRACE);
    value.build().unwrap()
}

fn trace(message: &Message) -> Option<&str> {
    let header = MessageSystemAttributeName::AwsTraceHeader;
    message.attributes()?.get(&header).map(String::as_str)
}

/// What Lambda makes of a received message.
fn to_record(message: &Message, url: &str) -> SqsMessage {
    let system = message.attributes.iter().flatten();
    let system: HashMap<_, _> = system.map(|(name, value)| (name.as_str(), value)).collect();
    let attributes = message.message_attributes.iter().flatten();
    let attributes: HashMap<_, _> = attributes
        .map(|(name, value)| {
            let value = serde_json::json!({
                "dataType": value.data_type, "stringValue": value.string_value,
            });
            (name, value)
        })
        .collect();
    let name = url.rsplit('/').next().unwrap();
    serde_json::from_value(serde_json::json!({
        "messageId": message.message_id,
        "receiptHandle": message.receipt_handle,
        "body": message.body,
        "attributes": system,
        "messageAttributes": attributes,
        "eventSourceARN": format!("arn:aws:sqs:eu-central-1:000000000000:{name}"),
    }))
    .unwrap()
}

struct Scripted;

impl Handler for Scripted {
    type Message = String;
    type Output = ();
    type Error = Failure;

    fn decode(&self, delivery: &Delivery) -> Result<String, Failure> {
        match delivery.body() {
            "garbage" => Err(Failure::poison("NotJson").caused_by("a \u{0} and a \u{FFFF}")),
            body => Ok(body.to_owned()),
        }
    }

    async fn handle(&self, message: String, _: &RecordContext) -> Result<(), Failure> {
        match message.as_str() {
            "transient" => Err(Failure::transient("Throttled").caused_by("slow down")),
            "deferred" => Err(Failure::deferred(
                "ClaimHeld",
                Some(Duration::from_secs(600)),
            )),
            "deferred-fresh" => Err(Failure::deferred_fresh("CircuitOpen", Some(Duration::ZERO))),
            "deferred-briefly" => Err(Failure::deferred("ClaimHeld", Some(Duration::ZERO))),
            _ => Ok(()),
        }
    }

    fn describe(&self, _: &Delivery) -> Description {
        Description {
            correlation_id: Some("c-1".to_owned()),
            ..Description::default()
        }
    }
}

fn text<'a>(message: &'a Message, name: &str) -> &'a str {
    let attributes = message.message_attributes.as_ref().unwrap();
    attributes[name].string_value().unwrap()
}

fn failure(message: &Message) -> FailureRecord {
    serde_json::from_str(text(message, FailureRecord::ATTRIBUTE)).unwrap()
}

#[tokio::test]
async fn what_is_given_up_is_moved_with_its_record_and_its_own_attributes() {
    let Some(queues) = Queues::create("moved", "").await else {
        return;
    };
    for body in ["fine", "transient", "garbage"] {
        queues.send(body).await;
    }
    assert!(queues.invoke(&queues.worker(1)).await.is_empty());
    assert_eq!(queues.depths().await, ["0", "0", "0"]);

    let dead = queues.receive(&queues.urls.dead_letter).await;
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].body(), Some("transient"));
    assert_eq!(text(&dead[0], "kind"), "greeting");
    assert_eq!(trace(&dead[0]), Some(TRACE));
    assert_eq!(text(&dead[0], "errorClass"), "transient");
    assert_eq!(text(&dead[0], "errorName"), "Throttled");
    assert_eq!(text(&dead[0], "consumer"), "adapter-test");
    assert_eq!(text(&dead[0], "correlationId"), "c-1");
    let record = failure(&dead[0]);
    assert_eq!(record.cause, ["Throttled", "slow down"]);
    assert_eq!(record.attempts, 1);
    assert!(record.first_seen.is_some());
    assert_eq!(record.body_sha256, text(&dead[0], "bodySha256"));

    let quarantined = queues.receive(&queues.urls.quarantine).await;
    assert_eq!(quarantined.len(), 1);
    assert_eq!(quarantined[0].body(), Some("garbage"));
    assert_eq!(failure(&quarantined[0]).error_class, "poison");
    queues.delete().await;
}

#[tokio::test]
async fn what_is_retried_or_deferred_becomes_invisible_for_as_long_as_asked() {
    let Some(queues) = Queues::create("delayed", "").await else {
        return;
    };
    let worker = queues.worker(5);
    for body in ["transient", "deferred", "deferred-briefly"] {
        queues.send(body).await;
    }
    let returned = queues.invoke(&worker).await;
    assert_eq!(returned, ["deferred", "deferred-briefly", "transient"]);
    let again = queues.receive(&queues.urls.own).await;
    assert_eq!(again.len(), 1, "only the one deferred for no time is back");
    assert_eq!(again[0].body(), Some("deferred-briefly"));
    queues.delete().await;
}

#[tokio::test]
async fn a_message_deferred_on_its_last_receive_is_sent_anew_with_a_delay() {
    let Some(queues) = Queues::create("resent", "").await else {
        return;
    };
    queues.send("deferred").await;
    assert!(queues.invoke(&queues.worker(1)).await.is_empty());
    assert_eq!(queues.depths().await, ["0", "0", "1"]);

    queues.send("deferred-briefly").await;
    assert!(queues.invoke(&queues.worker(1)).await.is_empty());
    let copy = queues.receive(&queues.urls.own).await.remove(0);
    assert_eq!(copy.body(), Some("deferred-briefly"));
    assert_eq!(text(&copy, "kind"), "greeting");
    assert_eq!(trace(&copy), Some(TRACE));
    let system = copy.attributes.unwrap();
    let receives = &system[&MessageSystemAttributeName::ApproximateReceiveCount];
    assert_eq!(receives, "1", "the copy starts over");
    queues.delete().await;
}

#[tokio::test]
async fn a_message_deferred_fresh_is_sent_anew_on_its_first_receive() {
    let Some(queues) = Queues::create("fresh", "").await else {
        return;
    };
    queues.send("deferred-fresh").await;
    for _ in 0..3 {
        assert!(queues.invoke(&queues.worker(5)).await.is_empty());
    }
    let copy = queues.receive(&queues.urls.own).await.remove(0);
    assert_eq!(copy.body(), Some("deferred-fresh"));
    let system = copy.attributes.unwrap();
    let receives = &system[&MessageSystemAttributeName::ApproximateReceiveCount];
    assert_eq!(receives, "1", "each copy starts over");
    queues.delete().await;
}

#[tokio::test]
async fn messages_of_a_fifo_queue_can_be_moved_and_sent_anew() {
    let Some(queues) = Queues::create("fifo", ".fifo").await else {
        return;
    };
    for body in ["transient", "garbage", "deferred", "fine"] {
        queues.send(body).await;
    }
    assert!(queues.invoke(&queues.worker(1)).await.is_empty());
    let dead = queues.receive(&queues.urls.dead_letter).await;
    assert_eq!(dead[0].body(), Some("transient"));
    let quarantined = queues.receive(&queues.urls.quarantine).await;
    assert_eq!(quarantined[0].body(), Some("garbage"));
    let own = queues.receive(&queues.urls.own).await;
    assert_eq!(own.len(), 1);
    assert_eq!(own[0].body(), Some("deferred"));
    queues.delete().await;
}

#[tokio::test]
async fn a_queue_that_does_not_exist_loses_nothing() {
    let Some(mut queues) = Queues::create("missing", "").await else {
        return;
    };
    let quarantine = std::mem::replace(
        &mut queues.urls.quarantine,
        format!("{}-missing", queues.urls.own),
    );
    queues.send("garbage").await;
    assert_eq!(queues.invoke(&queues.worker(1)).await, ["garbage"]);
    assert_eq!(queues.depths().await, ["0", "1", "0"]);
    queues.urls.quarantine = quarantine;
    queues.delete().await;
}
