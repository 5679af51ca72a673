//! The messages of an order that were on the bus, as the audit trail has them.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::OrderId;

use super::short_name;
use crate::deployment::Deployment;
use crate::failure::Failure;
use crate::items::{self, Item};

/// A message in the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Audited {
    pub(crate) id: String,
    /// `noun.verb`.
    pub(crate) name: String,
    pub(crate) time: String,
    pub(crate) source: String,
    /// The event's number; commands have none.
    pub(crate) sequence: Option<u32>,
    pub(crate) recorded_at: String,
}

/// The messages of an order, in the order in which they were written.
pub(crate) async fn read(deployment: &Deployment, id: OrderId) -> Result<Vec<Audited>, Failure> {
    let mut entries = deployment
        .dynamodb()
        .query()
        .table_name(deployment.output("AuditTableName")?)
        .key_condition_expression("orderId = :order")
        .expression_attribute_values(":order", AttributeValue::S(id.to_string()))
        .consistent_read(true)
        .into_paginator()
        .items()
        .send();
    let mut found = Vec::new();
    while let Some(entry) = entries.next().await {
        let entry = entry.map_err(|error| Failure::from_sdk("dynamodb:Query", error))?;
        found.push(audited(&entry));
    }
    Ok(found)
}

fn audited(entry: &Item) -> Audited {
    let sequence = items::number(entry, "sequence");
    Audited {
        id: items::text(entry, "id"),
        name: short_name(&items::text(entry, "type")),
        time: items::text(entry, "time"),
        source: items::text(entry, "source"),
        sequence: sequence.and_then(|sequence| u32::try_from(sequence).ok()),
        recorded_at: items::text(entry, "recordedAt"),
    }
}
