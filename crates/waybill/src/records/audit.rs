//! The messages of an order that were on the bus, as the audit trail has them.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::OrderId;

use super::short_name;
use crate::deployment::Deployment;
use crate::failure::Failure;
use crate::items;

/// The names, as `noun.verb`, of the messages of an order.
pub(crate) async fn sent(deployment: &Deployment, id: OrderId) -> Result<Vec<String>, Failure> {
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
    let mut names = Vec::new();
    while let Some(entry) = entries.next().await {
        let entry = entry.map_err(|error| Failure::from_sdk("dynamodb:Query", error))?;
        names.push(short_name(&items::text(&entry, "type")));
    }
    Ok(names)
}
