//! A subscription of one's own to a topic, as any consumer could have one.

use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};

use crate::api::short_type;
use crate::{Environment, unique, wait_until};

/// A message as it was delivered.
#[derive(Debug, Clone)]
pub struct Captured {
    /// The body, unchanged.
    pub body: String,
    /// The body, parsed.
    pub message: Value,
}

impl Captured {
    /// `noun.verb`.
    pub fn name(&self) -> String {
        short_type(self.message["type"].as_str().unwrap_or_default())
    }

    /// The order that it is about.
    pub fn order(&self) -> &str {
        self.message["subject"].as_str().unwrap_or_default()
    }

    /// The event's number; commands have none.
    pub fn sequence(&self) -> Option<u64> {
        self.message["sequence"].as_u64()
    }
}

/// A notice to people.
#[derive(Debug, Clone)]
pub struct Notice {
    /// The subject line.
    pub subject: String,
    /// The text.
    pub text: String,
}

/// Collects what a topic delivers, until it is closed.
#[derive(Debug)]
pub struct Tap<'a> {
    environment: &'a Environment,
    queue_url: String,
    subscription: String,
    captured: Vec<Captured>,
}

impl<'a> Tap<'a> {
    /// Listens to the bus, to everything about one order.
    pub async fn on_order(environment: &'a Environment, order: &str) -> Tap<'a> {
        Self::on_bus(environment, Some(json!({ "subject": [order] }))).await
    }

    /// Listens to the bus.
    pub async fn on_bus(environment: &'a Environment, filter: Option<Value>) -> Tap<'a> {
        Self::open(environment, environment.output("BusTopicArn"), true, filter).await
    }

    /// Listens to what people are told.
    pub async fn on_notifications(environment: &'a Environment) -> Tap<'a> {
        Self::open(
            environment,
            environment.output("NotificationsTopicArn"),
            false,
            None,
        )
        .await
    }

    async fn open(
        environment: &'a Environment,
        topic: &str,
        raw: bool,
        filter: Option<Value>,
    ) -> Tap<'a> {
        let queue_url = make_queue(environment, topic).await;
        let mut subscribe = environment
            .sns
            .subscribe()
            .topic_arn(topic)
            .protocol("sqs")
            .endpoint(queue_arn(environment, &queue_url).await)
            .return_subscription_arn(true)
            .attributes("RawMessageDelivery", raw.to_string());
        if let Some(filter) = filter {
            subscribe = subscribe
                .attributes("FilterPolicyScope", "MessageBody")
                .attributes("FilterPolicy", filter.to_string());
        }
        let subscribed = subscribe.send().await.expect("a subscription");
        Self {
            environment,
            queue_url,
            subscription: subscribed
                .subscription_arn
                .expect("an ARN of the subscription"),
            captured: Vec::new(),
        }
    }

    /// What was captured so far, in the order of delivery.
    pub fn captured(&self) -> &[Captured] {
        &self.captured
    }

    /// The commands or events of one name.
    pub fn named(&self, name: &str) -> Vec<&Captured> {
        self.captured
            .iter()
            .filter(|captured| captured.name() == name)
            .collect()
    }

    /// What was captured as notices.
    pub fn notices(&self) -> Vec<Notice> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let notice = |captured: &Captured| Notice {
            subject: text(&captured.message["Subject"]),
            text: text(&captured.message["Message"]),
        };
        self.captured.iter().map(notice).collect()
    }

    /// Takes what has arrived.
    pub async fn listen(&mut self) {
        while self.receive().await {}
    }

    /// Takes a few of what has arrived; says whether there was anything.
    pub async fn receive(&mut self) -> bool {
        let sqs = &self.environment.sqs;
        let received = sqs
            .receive_message()
            .queue_url(&self.queue_url)
            .max_number_of_messages(10)
            .send()
            .await
            .expect("messages of the tap");
        let messages = received.messages.unwrap_or_default();
        for message in &messages {
            let body = message.body.clone().unwrap_or_default();
            let parsed = serde_json::from_str(&body).unwrap_or(Value::Null);
            self.captured.push(Captured {
                body,
                message: parsed,
            });
            let handle = message.receipt_handle.clone().unwrap_or_default();
            sqs.delete_message()
                .queue_url(&self.queue_url)
                .receipt_handle(handle)
                .send()
                .await
                .expect("a deleted message");
        }
        !messages.is_empty()
    }

    /// Listens until the captured messages satisfy a condition.
    pub async fn until(&mut self, what: &str, limit: Duration, condition: impl Fn(&Self) -> bool) {
        wait_until(what, limit, async || {
            self.listen().await;
            if condition(self) {
                return Ok(());
            }
            let names: Vec<_> = self.captured.iter().map(Captured::name).collect();
            Err(format!("captured: {}", names.join(", ")))
        })
        .await;
    }

    /// Listens until a message of this name was captured, and gives it.
    pub async fn next(&mut self, name: &str) -> Captured {
        let what = format!("{name} is published");
        self.until(&what, crate::SLOWLY, |tap| !tap.named(name).is_empty())
            .await;
        self.named(name)[0].clone()
    }

    /// Ends the subscription and deletes its queue.
    pub async fn close(self) {
        let sns = &self.environment.sns;
        sns.unsubscribe()
            .subscription_arn(self.subscription)
            .send()
            .await
            .expect("the subscription is ended");
        let sqs = &self.environment.sqs;
        sqs.delete_queue()
            .queue_url(self.queue_url)
            .send()
            .await
            .expect("the tap's queue is deleted");
    }
}

/// Makes a queue that the topic may send to.
async fn make_queue(environment: &Environment, topic: &str) -> String {
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "Service": "sns.amazonaws.com" },
            "Action": "sqs:SendMessage",
            "Resource": "*",
            "Condition": { "ArnEquals": { "aws:SourceArn": topic } }
        }]
    });
    let created = environment
        .sqs
        .create_queue()
        .queue_name(unique(&format!("{}-tap", environment.stack())))
        .attributes(QueueAttributeName::Policy, policy.to_string())
        .send()
        .await
        .expect("a queue for the tap");
    created.queue_url.expect("a URL of the tap's queue")
}

async fn queue_arn(environment: &Environment, queue_url: &str) -> String {
    let described = environment
        .sqs
        .get_queue_attributes()
        .queue_url(queue_url)
        .attribute_names(QueueAttributeName::QueueArn)
        .send()
        .await
        .expect("attributes of the tap's queue");
    let attributes = described.attributes.unwrap_or_default();
    attributes
        .get(&QueueAttributeName::QueueArn)
        .cloned()
        .expect("an ARN of the tap's queue")
}
