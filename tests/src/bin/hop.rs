//! A function that only passes on what it gets: the ceiling for the end-to-end benchmark.
//!
//! It stands in for each function of the template and makes the one or two calls without
//! which an order would not move. It checks nothing, decides nothing and keeps nothing.

#![allow(clippy::large_futures, reason = "each is awaited once")]

use std::collections::HashMap;

use aws_adapters::{Clients, Environment};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sns::types::PublishBatchRequestEntry;
use futures_util::future::try_join_all;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

/// What SNS takes at a time.
const BATCH: usize = 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let hop = Hop {
        clients: Clients::from_environment(Environment)?,
        name: std::env::var("AWS_LAMBDA_FUNCTION_NAME")?,
    };
    let hop = &hop;
    let serve = |event: LambdaEvent<Value>| hop.pass_on(event.payload);
    lambda_runtime::run(service_fn(serve)).await
}

struct Hop {
    clients: Clients,
    name: String,
}

impl Hop {
    async fn pass_on(&self, event: Value) -> Result<Value, Error> {
        let is = |name: &str| self.name.ends_with(name);
        if is("-order-api") {
            return self.store(&event).await;
        }
        if is("-outbox-relay") {
            self.publish(&event).await?;
        } else if is("-saga-starter") {
            try_join_all(bodies(&event).map(|placed| self.start(placed))).await?;
        } else if ["-payment-worker", "-stock-worker", "-shipping-worker"]
            .map(is)
            .contains(&true)
        {
            try_join_all(bodies(&event).map(|command| self.answer(command))).await?;
        }
        Ok(json!({ "batchItemFailures": [] }))
    }

    async fn store(&self, event: &Value) -> Result<Value, Error> {
        let id = text(&event["headers"]["idempotency-key"]);
        let order: Value = serde_json::from_str(event["body"].as_str().unwrap_or_default())?;
        let data = json!({
            "orderId": id, "correlationId": id, "causationId": id,
            "total": { "amount": 2500, "currency": "EUR" }, "order": order
        });
        let item = HashMap::from([
            ("orderId".to_owned(), AttributeValue::S(id.clone())),
            // The saga completes no order that no customer placed.
            (
                "customerId".to_owned(),
                AttributeValue::S("growth".to_owned()),
            ),
            (
                "status".to_owned(),
                AttributeValue::S("accepted".to_owned()),
            ),
            ("createdAt".to_owned(), AttributeValue::S(id.clone())),
            ("timeline".to_owned(), event_of("order.placed", &id, &data)),
        ]);
        let put = self.clients.dynamodb().put_item().table_name(orders()?);
        put.set_item(Some(item)).send().await?;
        let body = json!({ "orderId": id }).to_string();
        Ok(json!({ "statusCode": 202, "body": body }))
    }

    /// The last event of each order is the new one.
    async fn publish(&self, event: &Value) -> Result<(), Error> {
        let records = event["Records"].as_array().into_iter().flatten();
        let events: Vec<_> = records
            .filter_map(|it| {
                it["dynamodb"]["NewImage"]["timeline"]["L"]
                    .as_array()?
                    .last()
            })
            .map(|it| text(&it["S"]))
            .collect();
        for batch in events.chunks(BATCH) {
            let entries = batch.iter().enumerate().map(|(index, event)| {
                let entry = PublishBatchRequestEntry::builder().id(index.to_string());
                entry.message(event).build()
            });
            let entries = entries.collect::<Result<Vec<_>, _>>()?;
            let publish = self.clients.sns().publish_batch();
            let publish = publish.topic_arn(std::env::var("BUS_TOPIC_ARN")?);
            publish
                .set_publish_batch_request_entries(Some(entries))
                .send()
                .await?;
        }
        Ok(())
    }

    async fn start(&self, placed: Value) -> Result<(), Error> {
        let start = self.clients.step_functions().start_execution();
        let start = start.state_machine_arn(std::env::var("ORDER_SAGA_ARN")?);
        let start = start.name(text(&placed["subject"]));
        start.input(placed["data"].to_string()).send().await?;
        Ok(())
    }

    async fn answer(&self, command: Value) -> Result<(), Error> {
        let id = text(&command["subject"]);
        let done = event_of("step.done", &id, &json!({ "orderId": id }));
        let append = self.clients.dynamodb().update_item().table_name(orders()?);
        let append = append.key("orderId", AttributeValue::S(id));
        let append = append.update_expression("SET timeline = list_append(timeline, :done)");
        append
            .expression_attribute_values(":done", done)
            .send()
            .await?;
        let answer = self.clients.step_functions().send_task_success();
        answer
            .task_token(text(&command["tasktoken"]))
            .output("{}")
            .send()
            .await?;
        Ok(())
    }
}

fn orders() -> Result<String, std::env::VarError> {
    std::env::var("ORDERS_TABLE")
}

/// The bodies of a batch of messages, parsed.
fn bodies(event: &Value) -> impl Iterator<Item = Value> {
    let records = event["Records"].as_array().into_iter().flatten();
    let bodies = records.filter_map(|record| record["body"].as_str());
    bodies.filter_map(|body| serde_json::from_str(body).ok())
}

/// An event, as a list of one.
fn event_of(name: &str, id: &str, data: &Value) -> AttributeValue {
    let event = json!({ "type": format!("waybill.{name}.v1"), "subject": id, "data": data });
    AttributeValue::L(vec![AttributeValue::S(event.to_string())])
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
