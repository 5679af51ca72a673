//! Circuits and event source mappings, as a person would look at them and meddle with them.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};

use crate::{Environment, Request};

/// A consumer's event source mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingView {
    /// Such as `Enabled`.
    pub state: String,
    /// How many invocations at a time it makes.
    pub concurrency: u64,
}

/// A consumer's circuit, as the table has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CircuitView {
    /// `closed`, `open` or `half-open`.
    pub state: String,
    /// How many probes in a row have failed.
    pub failed_probes: u64,
    /// Whether people know that it was opened, and not yet that it is closed.
    pub is_told: bool,
}

/// One call of a sandbox provider during an outage or after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// When it came in, in milliseconds since 1970.
    pub started: u64,
    /// When it was answered.
    pub ended: u64,
    /// Whether it was served.
    pub served: bool,
}

impl Environment {
    /// A consumer's mapping, by the consumer's name in the outputs, such as `Payment`.
    pub async fn mapping(&self, consumer: &str) -> MappingView {
        let answer = self
            .mapping_call(&Request::get(self.mapping_path(consumer)))
            .await;
        let concurrency = &answer["ScalingConfig"]["MaximumConcurrency"];
        MappingView {
            state: answer["State"].as_str().unwrap_or_default().to_owned(),
            concurrency: concurrency.as_u64().unwrap_or_default(),
        }
    }

    /// Disables a consumer's mapping behind the controller's back.
    pub async fn disable_mapping(&self, consumer: &str) {
        let body = json!({ "Enabled": false }).to_string();
        let request = Request {
            method: "PUT",
            ..Request::post(self.mapping_path(consumer), body)
        };
        self.mapping_call(&request).await;
    }

    fn mapping_path(&self, consumer: &str) -> String {
        let id = self.output(&format!("{consumer}MappingId"));
        format!("/2015-03-31/event-source-mappings/{id}")
    }

    async fn mapping_call(&self, request: &Request) -> Value {
        let answer = self.call("lambda", request).await;
        assert!(answer.status < 300, "{}: {}", request.path, answer.text());
        answer.json()
    }

    /// Invokes the controller as its schedule does, and waits for its end.
    pub async fn control_circuits(&self) {
        let function = self.output("CircuitControlFunctionName");
        self.invoke(function, &json!({})).await;
    }

    /// A consumer's circuit; one that was never written is closed.
    pub async fn circuit(&self, consumer: &str) -> CircuitView {
        let found = self
            .dynamodb
            .get_item()
            .table_name(self.output("CircuitsTableName"))
            .key("id", AttributeValue::S(consumer.to_owned()))
            .consistent_read(true)
            .send()
            .await
            .unwrap_or_else(|error| panic!("the circuit of {consumer}: {error:?}"));
        let item = found.item.unwrap_or_default();
        let state = item.get("state").and_then(|state| state.as_s().ok());
        let failed = item.get("failedProbes").and_then(|it| it.as_n().ok());
        CircuitView {
            state: state.cloned().unwrap_or_else(|| "closed".to_owned()),
            failed_probes: failed.and_then(|it| it.parse().ok()).unwrap_or_default(),
            is_told: item.contains_key("toldAt"),
        }
    }

    /// What a sandbox provider, `payment` or `warehouse`, was asked around its
    /// outages since a moment, in order.
    pub async fn calls(&self, party: &str, since: u64) -> Vec<Call> {
        let prefix = AttributeValue::S(format!("attempt/{party}/"));
        let mut pages = self
            .dynamodb
            .scan()
            .table_name(self.output("SandboxStateTableName"))
            .filter_expression("begins_with(#key, :prefix) AND startedAt >= :since")
            .expression_attribute_names("#key", "key")
            .expression_attribute_values(":prefix", prefix)
            .expression_attribute_values(":since", AttributeValue::N(since.to_string()))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let mut calls = Vec::new();
        while let Some(item) = pages.next().await {
            let item = item.unwrap_or_else(|error| panic!("the calls of {party}: {error:?}"));
            let number = |name: &str| item[name].as_n().ok()?.parse().ok();
            calls.push(Call {
                started: number("startedAt").expect("startedAt"),
                ended: number("endedAt").expect("endedAt"),
                served: *item["served"].as_bool().expect("served"),
            });
        }
        calls.sort();
        calls
    }
}
