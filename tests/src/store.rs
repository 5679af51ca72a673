//! The failure store: what dead letters become when they are drained.

use aws_adapters::{DynamoFailures, DynamoGroups};
use aws_sdk_dynamodb::types::AttributeValue;
use failures::{
    Failure, FailureId, FailureStore, Group, GroupId, GroupStore, Query, Status, Value,
};
use serde_json::{Value as Json, json};

use crate::{Environment, QUICKLY, QueuedMessage, wait_until};

impl Environment {
    /// The failure store, read and written as the functions do.
    pub fn failure_store(&self) -> DynamoFailures {
        DynamoFailures::new(self.dynamodb.clone(), self.output("FailuresTableName"))
    }

    /// The groups of failures.
    pub fn group_store(&self) -> DynamoGroups {
        DynamoGroups::new(self.dynamodb.clone(), self.output("FailureGroupsTableName"))
    }

    /// All failures that fit a query.
    pub async fn failures(&self, query: &Query) -> Vec<Failure> {
        let store = self.failure_store();
        let (mut all, mut from) = (Vec::new(), None);
        loop {
            let page = store.find(query, from.as_deref()).await;
            let page = page.unwrap_or_else(|error| panic!("the failure store: {error:?}"));
            all.extend(page.items);
            from = page.next;
            if from.is_none() {
                return all;
            }
        }
    }

    /// The failures whose message contains a text, whatever became of them.
    pub async fn failures_about(&self, text: &str) -> Vec<Failure> {
        let mut all = self.failures(&Query::default()).await;
        all.retain(|failure| failure.letter.body.contains(text));
        all
    }

    /// One failure, as it is.
    pub async fn failure(&self, id: &FailureId) -> Option<Failure> {
        let found = self.failure_store().get(id).await;
        found.unwrap_or_else(|error| panic!("failure {id}: {error:?}"))
    }

    /// Waits until a message that contains a text is in the store.
    pub async fn stored(&self, text: &str) -> Failure {
        let what = format!("the message with {text} is in the failure store");
        wait_until(&what, QUICKLY, async || {
            let found = self.failures_about(text).await;
            found
                .into_iter()
                .next()
                .ok_or_else(|| "it is not there".to_owned())
        })
        .await
    }

    /// A group of failures.
    pub async fn group(&self, id: &GroupId) -> Option<Group> {
        let found = self.group_store().get_group(id).await;
        found.unwrap_or_else(|error| panic!("group {id}: {error:?}"))
    }

    /// Waits until people have been told of everything in a group.
    pub async fn told_of(&self, id: &GroupId) -> Group {
        wait_until(
            &format!("people are told of {id}"),
            QUICKLY,
            async || match self.group(id).await {
                Some(group) if group.told_at.is_some() => Ok(group),
                other => Err(format!("{other:?}")),
            },
        )
        .await
    }

    /// Removes the failures whose message contains a text: what a test made, it removes.
    pub async fn forget_failures(&self, text: &str) {
        for failure in self.failures_about(text).await {
            self.dynamodb
                .delete_item()
                .table_name(self.output("FailuresTableName"))
                .key("id", AttributeValue::S(failure.id.to_string()))
                .send()
                .await
                .unwrap_or_else(|error| panic!("failure {} is still there: {error:?}", failure.id));
        }
    }

    /// Invokes the drain, as its schedule and a person do, and gives its answer.
    pub async fn drain(&self, request: &Json) -> Json {
        let function = self.output("DlqAlarmFunctionName");
        self.invoke(function, request).await
    }

    /// What the schedule asks for beside the drain: replays of what passes by itself.
    pub async fn replay_automatically(&self) -> Json {
        let request = json!({ "drain": [], "automaticReplay": true });
        self.drain(&request).await
    }

    /// The open failures that were found in a queue, as the messages that they were there.
    pub(crate) async fn drained_from(&self, queue_url: &str) -> Vec<QueuedMessage> {
        let name = queue_url.rsplit('/').next().unwrap_or(queue_url);
        if !name.ends_with("-dlq") && !name.ends_with("-quarantine") {
            return Vec::new();
        }
        let open = Query {
            statuses: vec![Status::Waiting, Status::Replaying],
            ..Query::default()
        };
        let found = self.failures(&open).await;
        let found = found.iter().filter(|it| it.trouble.found_in == name);
        found.map(as_it_was).collect()
    }
}

/// A message as it was in its queue, with what the store keeps of its metadata.
fn as_it_was(failure: &Failure) -> QueuedMessage {
    let trouble = &failure.trouble;
    let record = json!({
        "errorClass": trouble.class,
        "errorName": trouble.name,
        "cause": trouble.cause,
        "consumer": failure.consumer,
        "attempts": trouble.attempts,
        "failedAt": trouble.failed_at,
        "firstSeen": failure.first_seen,
        "schema": failure.schema,
        "schemaHash": failure.schema_hash,
        "bodySha256": failure.letter.body_sha256,
        "correlationId": failure.correlation_id,
        "messageId": trouble.source_message_id,
        "sourceQueue": trouble.source_queue,
    });
    let own = failure.letter.attributes.iter();
    let own = own.filter_map(|(name, value)| match value {
        Value::Text { value, .. } => Some((name.clone(), value.clone())),
        Value::Binary { .. } => None,
    });
    let ours = [
        ("failure".to_owned(), record.to_string()),
        ("errorName".to_owned(), trouble.name.clone()),
        ("consumer".to_owned(), failure.consumer.clone()),
    ];
    QueuedMessage {
        id: trouble.message_id.clone(),
        body: failure.letter.body.clone(),
        receive_count: 1,
        attributes: own.chain(ours).collect(),
    }
}
