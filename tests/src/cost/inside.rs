//! What the services do among themselves, from what they tell about it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::number;
use crate::{CONSUMERS, Environment, Request};

/// What an execution of the saga did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct History {
    pub(super) has_ended: bool,
    /// The start, each state that was entered, and each retry.
    pub(super) transitions: usize,
    pub(super) publishes: usize,
    pub(super) updates: usize,
}

impl History {
    fn read(events: &[Value]) -> Self {
        let mut history = Self::default();
        let mut entered = 0;
        for event in events {
            match event["type"].as_str().unwrap_or_default() {
                "ExecutionStarted" => history.transitions += 1,
                "ExecutionSucceeded" | "ExecutionFailed" => history.has_ended = true,
                "TaskScheduled" => history.schedule(&event["taskScheduledEventDetails"]),
                kind if kind.ends_with("StateEntered") => entered += 1,
                _ => {}
            }
        }
        let scheduled = history.publishes + history.updates;
        history.transitions += entered.max(scheduled);
        history
    }

    /// AWS names type and action, the emulator the whole resource of the state.
    fn schedule(&mut self, details: &Value) {
        let part = |name: &str| details[name].as_str().unwrap_or_default();
        let target = format!("{}:{}", part("resourceType"), part("resource"));
        match target {
            it if it.contains("sns:publish") => self.publishes += 1,
            it if it.contains("dynamodb:updateItem") => self.updates += 1,
            other => panic!("nobody has said what {other} costs"),
        }
    }
}

/// The invocations of a function, from its log.
#[derive(Debug, Default)]
pub(super) struct Invocation {
    pub(super) count: f64,
    pub(super) millis: f64,
    pub(super) log_bytes: f64,
}

/// CloudWatch Logs adds so many bytes to each event.
const OF_EACH_LINE: f64 = 26.0;

impl Invocation {
    pub(super) fn read(lines: &[String]) -> Self {
        let mut all = Self::default();
        for line in lines {
            all.log_bytes += number(line.len()) + OF_EACH_LINE;
            let billed = line
                .starts_with("REPORT ")
                .then(|| line.split_once("Billed Duration: "))
                .flatten();
            if let Some((_, billed)) = billed {
                all.count += 1.0;
                let millis = billed
                    .split_once(" ms")
                    .map_or(billed, |(millis, _)| millis);
                all.millis += millis.parse::<f64>().expect("milliseconds");
            }
        }
        all
    }
}

/// What the bus delivered of some messages.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    pub(super) by_consumer: BTreeMap<&'static str, f64>,
    pub(super) filtered_bytes: f64,
}

impl Environment {
    /// How many queues Lambda reads for the stack's functions.
    pub async fn read_queues(&self) -> usize {
        let request = Request::get("/2015-03-31/event-source-mappings/");
        let answer = self.call("lambda", &request).await;
        assert_eq!(
            answer.status,
            200,
            "event source mappings: {}",
            answer.text()
        );
        let mappings = answer.json()["EventSourceMappings"].take();
        let mappings = mappings.as_array().into_iter().flatten();
        let sources = mappings.filter_map(|it| it["EventSourceArn"].as_str());
        sources.filter(|it| it.contains(":sqs:")).count()
    }

    /// What the saga of an order did; nothing where there is none yet.
    pub(super) async fn history(&self, order: &str) -> History {
        let body = json!({ "executionArn": self.saga(order), "maxResults": 1000 });
        let target = "AWSStepFunctions.GetExecutionHistory";
        let answer = self.json_call("states", target, &body).await;
        if answer.status != 200 {
            return History::default();
        }
        let answer = answer.json();
        assert!(
            answer["nextToken"].is_null(),
            "the history of {order} is long"
        );
        History::read(answer["events"].as_array().map_or(&[], Vec::as_slice))
    }

    /// An order as it is stored; null where it is not.
    pub(super) async fn order_item(&self, id: &str) -> Value {
        let key = json!({ "orderId": { "S": id } });
        self.item_at(self.output("OrdersTableName"), &key).await
    }

    /// The item with this key, in DynamoDB's own JSON.
    pub(super) async fn item_at(&self, table: &str, key: &Value) -> Value {
        let body = json!({ "TableName": table, "Key": key, "ConsistentRead": true });
        let answer = self
            .json_call("dynamodb", "DynamoDB_20120810.GetItem", &body)
            .await;
        assert_eq!(answer.status, 200, "{key} of {table}: {}", answer.text());
        answer.json()["Item"].take()
    }

    /// Matches messages against the filters of the bus's subscriptions, as SNS does.
    pub(super) async fn deliveries(&self, messages: &[Value]) -> Deliveries {
        let mut deliveries = Deliveries::default();
        for (consumer, types) in self.filters().await {
            let wanted = messages.iter().filter(|message| {
                types
                    .as_ref()
                    .is_none_or(|it| it.contains(&message["type"]))
            });
            let wanted = number(wanted.count());
            if wanted > 0.0 {
                deliveries.by_consumer.insert(consumer, wanted);
            }
            if types.is_some() {
                let bytes: usize = messages.iter().map(|it| it.to_string().len()).sum();
                deliveries.filtered_bytes += number(bytes);
            }
        }
        deliveries
    }

    /// The types that each consumer's subscription lets through; `None` for all.
    async fn filters(&self) -> Vec<(&'static str, Option<Vec<Value>>)> {
        let mut subscriptions = self
            .sns
            .list_subscriptions_by_topic()
            .topic_arn(self.output("BusTopicArn"))
            .into_paginator()
            .items()
            .send();
        let mut filters = Vec::new();
        while let Some(subscription) = subscriptions.next().await {
            let subscription = subscription.expect("the subscriptions of the bus");
            let endpoint = subscription.endpoint.unwrap_or_default();
            let queue = endpoint.rsplit(':').next().unwrap_or_default().to_owned();
            let is_of = |consumer: &&str| self.queue(consumer).ends_with(&format!("/{queue}"));
            let Some(consumer) = CONSUMERS.into_iter().find(|it| is_of(it)) else {
                continue;
            };
            let arn = subscription.subscription_arn.unwrap_or_default();
            filters.push((consumer, self.filter(&arn).await));
        }
        assert_eq!(
            filters.len(),
            CONSUMERS.len(),
            "each consumer subscribes once"
        );
        filters
    }

    async fn filter(&self, subscription: &str) -> Option<Vec<Value>> {
        let described = self.sns.get_subscription_attributes();
        let described = described.subscription_arn(subscription).send().await;
        let attributes = described.expect("a subscription").attributes;
        let policy = attributes.and_then(|mut it| it.remove("FilterPolicy"))?;
        // The emulator says in this way that there is none.
        if policy.is_empty() {
            return None;
        }
        let policy: Value = serde_json::from_str(&policy).expect("a filter is JSON");
        policy["type"].as_array().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_is_a_transition_and_so_is_the_start() {
        let task = |kind: &str, resource: &str| {
            let details = json!({ "resourceType": kind, "resource": resource });
            json!({ "type": "TaskScheduled", "taskScheduledEventDetails": details })
        };
        let mut events = vec![json!({ "type": "ExecutionStarted" })];
        events.push(json!({ "type": "TaskStateEntered" }));
        events.push(task("sns", "publish.waitForTaskToken"));
        events.push(task(
            "states",
            "arn:aws:states:::sns:publish.waitForTaskToken",
        ));
        events.push(json!({ "type": "TaskStateEntered" }));
        events.push(task("dynamodb", "updateItem"));
        events.push(json!({ "type": "ExecutionSucceeded" }));
        let history = History::read(&events);
        let wanted = History {
            has_ended: true,
            transitions: 4,
            publishes: 2,
            updates: 1,
        };
        assert_eq!(history, wanted);
    }

    #[test]
    fn an_invocation_is_a_report_and_every_line_is_paid() {
        let lines = [
            "START",
            "REPORT RequestId: x\tDuration: 7 ms\tBilled Duration: 7 ms\tMemory",
        ];
        let all = Invocation::read(&lines.map(str::to_owned));
        assert_eq!((all.count, all.millis), (1.0, 7.0));
        let bytes: usize = lines.iter().map(|line| line.len() + 26).sum();
        assert_eq!(all.log_bytes, number(bytes));
    }
}
