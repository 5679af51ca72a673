//! Everything that a deployment has written and that people read.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use waybill_tests::Environment;

/// A secret in a place where it must not be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) place: String,
    pub(crate) around: String,
}

/// The tables of which no item may hold a secret. The orders have the address.
const TABLES: [&str; 7] = [
    "IdempotencyTable",
    "StockTable",
    "FailureGroupsTable",
    "ReplaysTable",
    "AuditTable",
    "SandboxLedgerTable",
    "CircuitsTable",
];

/// The texts by where they are.
#[derive(Default)]
pub(crate) struct Written(BTreeMap<String, String>);

impl Written {
    pub(crate) async fn of(environment: &Environment) -> Self {
        let mut written = Self::default();
        let prefix = format!("{}-", environment.stack());
        for group in log_groups(environment).await {
            let name = group.rsplit('/').next().unwrap_or(&group);
            let name = name.strip_prefix(&prefix).unwrap_or(name);
            let lines = log_lines(environment, &group).await;
            written.add(&format!("the logs of {name}"), &lines.join("\n"));
        }
        for table in TABLES {
            let items = scan(environment, &format!("{table}Name")).await;
            written.add(
                table,
                &items
                    .iter()
                    .map(|it| format!("{it:?}\n"))
                    .collect::<String>(),
            );
        }
        // A message is kept whole, to be sent again: in its body, and nowhere else in the record.
        for mut item in scan(environment, "FailuresTableName").await {
            let id = format!("{:?}", item["id"]);
            match item.get_mut("letter") {
                Some(AttributeValue::M(letter)) => letter.remove("body"),
                _ => item.remove("body"),
            }
            .unwrap_or_else(|| panic!("where is the body of {id}?"));
            written.add(&format!("failure {id}"), &format!("{item:?}"));
        }
        written
    }

    pub(crate) fn add(&mut self, place: &str, text: &str) {
        self.0.entry(place.to_owned()).or_default().push_str(text);
    }

    /// Where a text is found.
    pub(crate) fn names(&self, text: &str) -> Vec<&str> {
        let places = self.0.iter().filter(|(_, written)| written.contains(text));
        places.map(|(place, _)| place.as_str()).collect()
    }

    /// Where any of these words is found, and what stands before it. (The word itself is not told.)
    pub(crate) fn search(&self, words: &[&str]) -> Vec<Finding> {
        let mut found = Vec::new();
        for (place, text) in &self.0 {
            for word in words {
                if let Some((before, _)) = text.split_once(word) {
                    let around = before.chars().rev().take(120).collect::<Vec<_>>();
                    let around = around.into_iter().rev().collect();
                    found.push(Finding {
                        place: place.clone(),
                        around,
                    });
                }
            }
        }
        found
    }
}

async fn logs(environment: &Environment, action: &str, body: &Value) -> Value {
    let target = format!("Logs_20140328.{action}");
    let answer = environment.json_call("logs", &target, body).await;
    assert_eq!(answer.status, 200, "{action} {body}: {}", answer.text());
    answer.json()
}

/// The log groups of the stack.
async fn log_groups(environment: &Environment) -> Vec<String> {
    let answer = logs(environment, "DescribeLogGroups", &json!({ "limit": 50 })).await;
    let groups = answer["logGroups"].as_array().cloned().unwrap_or_default();
    let names = groups
        .iter()
        .filter_map(|group| group["logGroupName"].as_str());
    let own: Vec<_> = names
        .filter(|it| it.contains(environment.stack()))
        .map(str::to_owned)
        .collect();
    assert!(
        own.len() >= 15,
        "a log group for each function and state machine: {own:?}"
    );
    own
}

async fn log_lines(environment: &Environment, group: &str) -> Vec<String> {
    let mut page = json!({ "logGroupName": group, "limit": 10_000 });
    let mut lines = Vec::new();
    loop {
        let answer = logs(environment, "FilterLogEvents", &page).await;
        let events = answer["events"].as_array().cloned().unwrap_or_default();
        lines.extend(
            events
                .iter()
                .filter_map(|it| it["message"].as_str())
                .map(str::to_owned),
        );
        page["nextToken"] = answer["nextToken"].clone();
        if page["nextToken"].is_null() || events.is_empty() {
            return lines;
        }
    }
}

async fn scan(
    environment: &Environment,
    output: &str,
) -> Vec<std::collections::HashMap<String, AttributeValue>> {
    let request = environment
        .dynamodb
        .scan()
        .table_name(environment.output(output));
    let pages = request.into_paginator().items().send();
    pages.collect::<Result<_, _>>().await.unwrap()
}
