//! `waybill saga list`.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use clap::Args;
use domain::{OrderId, OrderStatus};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use crate::cli::Context;
use crate::failure::{Exit, Failure};
use crate::items;
use crate::output::{Column, note, table};
use crate::records::order::{Attempt, Captured, Reason, StoredOrder};
use crate::records::{epoch_millis, now_millis, span};

/// How many orders are read at once.
const CONCURRENCY: usize = 16;

/// `waybill saga list`
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// At most so many orders
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

#[derive(Debug, Serialize)]
struct Listing {
    orders: Vec<Waiting>,
    /// Whether there are more than are listed.
    truncated: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Waiting {
    order_id: String,
    /// When it came to need attention.
    since: String,
    reason: Option<Reason>,
    /// What was captured and not refunded, as the order's timeline says. Absent where nothing was.
    captured: Option<Captured>,
    /// How often a person has tried to finish it.
    attempts: usize,
    /// The attempt under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery: Option<Attempt>,
}

impl Arguments {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let deployment = context.settings.deployment().await?;
        let orders = deployment.output("OrdersTableName")?;
        let client = deployment.dynamodb();
        let limit = self.limit as usize;
        let mut ids = ids(&client, orders, limit + 1).await?;
        let truncated = ids.len() > limit;
        ids.truncate(limit);
        let found: Vec<StoredOrder> = stream::iter(ids)
            .map(|id| StoredOrder::read(&client, orders, id))
            .buffered(CONCURRENCY)
            .try_collect()
            .await?;
        // The index lags behind the table.
        let needs_attention =
            |order: &&StoredOrder| order.status == Some(OrderStatus::NeedsAttention);
        let mut orders: Vec<_> = found.iter().filter(needs_attention).map(waiting).collect();
        orders.sort_by(|one, other| one.since.cmp(&other.since));
        let listing = Listing { orders, truncated };
        context.output.result(&listing, text)?;
        if truncated {
            note("there are more: raise --limit");
        }
        Ok(Exit::Ok)
    }
}

/// The orders that need attention, the oldest first.
async fn ids(client: &Client, orders: &str, limit: usize) -> Result<Vec<OrderId>, Failure> {
    let status = OrderStatus::NeedsAttention.as_str().to_owned();
    let mut items = client
        .query()
        .table_name(orders)
        .index_name("by-status")
        .key_condition_expression("#status = :status")
        .expression_attribute_names("#status", "status")
        .expression_attribute_values(":status", AttributeValue::S(status))
        .into_paginator()
        .page_size(i32::try_from(limit).unwrap_or(i32::MAX))
        .items()
        .send();
    let mut ids = Vec::new();
    while ids.len() < limit {
        match items.next().await {
            Some(Ok(item)) => ids.extend(items::text(&item, "orderId").parse::<OrderId>()),
            Some(Err(error)) => return Err(Failure::from_sdk("dynamodb:Query", error)),
            None => break,
        }
    }
    Ok(ids)
}

fn waiting(order: &StoredOrder) -> Waiting {
    Waiting {
        order_id: order.id.to_string(),
        since: order
            .needs_attention_since()
            .unwrap_or(&order.updated_at)
            .to_owned(),
        reason: order.reason.clone(),
        captured: order.captured().filter(|captured| captured.amount > 0),
        attempts: order.recoveries.len(),
        recovery: order.recovery.clone(),
    }
}

fn text(listing: &Listing) -> String {
    if listing.orders.is_empty() {
        return "no order needs attention".to_owned();
    }
    let rows = listing.orders.iter().map(|order| {
        let captured = order.captured.as_ref();
        vec![
            Column::text(&order.order_id),
            Column::text(waited(&order.since)),
            Column::number(captured.map_or("-".to_owned(), |captured| {
                format!("{} {}", captured.amount, captured.currency)
            })),
            Column::number(order.attempts.to_string()),
            Column::text(doing(order)),
        ]
    });
    table(&["ORDER", "SINCE", "CAPTURED", "ATTEMPTS", "WHY"], rows)
}

fn waited(since: &str) -> String {
    epoch_millis(since).map_or_else(
        || since.to_owned(),
        |since| span(now_millis().saturating_sub(since) / 1000),
    )
}

fn doing(order: &Waiting) -> String {
    let why = order.reason.as_ref().map_or_else(String::new, |reason| {
        format!("{}: {}", reason.code, reason.message)
    });
    match &order.recovery {
        Some(attempt) => format!("{why} (being resumed by {})", attempt.by),
        None => why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::order::tests::order;
    use serde_json::json;

    #[test]
    fn a_waiting_order_is_listed_with_its_money_and_its_reason() {
        let money = json!({ "amount": 2500, "currency": "EUR" });
        let mut order = order(
            "needs-attention",
            &[
                ("payment.captured", money),
                ("order.needs-attention", json!({})),
            ],
        );
        order.reason = Some(Reason {
            code: "refund-failed".to_owned(),
            message: "no answer".to_owned(),
        });
        let orders = vec![waiting(&order)];
        assert_eq!(orders[0].since, "2026-11-21T17:56:01.000Z");
        let text = text(&Listing {
            orders,
            truncated: false,
        });
        assert!(
            text.contains("2500 EUR") && text.contains("refund-failed: no answer"),
            "{text}"
        );
    }
}
