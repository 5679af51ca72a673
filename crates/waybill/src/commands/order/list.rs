//! `waybill order list`.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use clap::Args;
use domain::OrderStatus;
use serde::Serialize;

use crate::api::order::Money;
use crate::cli::Context;
use crate::failure::{Exit, Failure};
use crate::items::{self, Item};
use crate::output::{Column, note, table};

/// The index of the orders table by status and time of creation.
const INDEX: &str = "by-status";

/// `waybill order list`
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only orders in this status [default: every status in turn]
    #[arg(long, value_name = "STATUS", value_parser = status_parser())]
    status: Option<OrderStatus>,
    /// At most this many of each status
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Listing {
    orders: Vec<Listed>,
    /// The statuses of which there are more than are listed.
    truncated: Vec<&'static str>,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    order_id: String,
    status: &'static str,
    created_at: String,
    updated_at: String,
    customer_id: String,
    total: Money,
}

impl Arguments {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let deployment = context.settings.deployment().await?;
        let orders = deployment.output("OrdersTableName")?;
        let client = deployment.dynamodb();
        let statuses = match self.status {
            Some(status) => vec![status],
            None => OrderStatus::ALL.to_vec(),
        };
        let limit = self.limit as usize;
        let mut listing = Listing {
            orders: Vec::new(),
            truncated: Vec::new(),
        };
        for status in statuses {
            let mut found = query(&client, orders, status, limit).await?;
            if found.len() > limit {
                listing.truncated.push(status.as_str());
                found.truncate(limit);
            }
            listing.orders.append(&mut found);
        }
        context.output.result(&listing, text)?;
        if !listing.truncated.is_empty() {
            let more = listing.truncated.join(", ");
            note(&format!("there are more that are {more}: raise --limit"));
        }
        Ok(Exit::Ok)
    }
}

/// The newest orders in a status, up to one more than `limit`, which tells that there are more.
async fn query(
    client: &Client,
    orders: &str,
    status: OrderStatus,
    limit: usize,
) -> Result<Vec<Listed>, Failure> {
    let mut pages = client
        .query()
        .table_name(orders)
        .index_name(INDEX)
        .key_condition_expression("#status = :status")
        .expression_attribute_names("#status", "status")
        .expression_attribute_values(":status", AttributeValue::S(status.as_str().to_owned()))
        .scan_index_forward(false)
        .into_paginator()
        .page_size(i32::try_from(limit + 1).unwrap_or(i32::MAX))
        .items()
        .send();
    let mut found = Vec::new();
    while found.len() <= limit {
        match pages.next().await {
            Some(Ok(item)) => found.push(listed(&item, status)),
            Some(Err(error)) => return Err(Failure::from_sdk("dynamodb:Query", error)),
            None => break,
        }
    }
    Ok(found)
}

fn listed(item: &Item, status: OrderStatus) -> Listed {
    Listed {
        order_id: items::text(item, "orderId"),
        status: status.as_str(),
        created_at: items::text(item, "createdAt"),
        updated_at: items::text(item, "updatedAt"),
        customer_id: items::text(item, "customerId"),
        total: Money {
            amount: items::number(item, "totalAmount").unwrap_or_default(),
            currency: items::text(item, "currency"),
        },
    }
}

fn text(listing: &Listing) -> String {
    let rows = listing.orders.iter().map(|order| {
        vec![
            Column::text(&order.order_id),
            Column::text(order.status),
            Column::text(&order.created_at),
            Column::text(&order.updated_at),
            Column::text(&order.customer_id),
            Column::number(format!("{} {}", order.total.amount, order.total.currency)),
        ]
    });
    let headers = ["ORDER", "STATUS", "CREATED", "UPDATED", "CUSTOMER", "TOTAL"];
    table(&headers, rows)
}

/// Offers the statuses to `--help` and to completions.
fn status_parser() -> impl clap::builder::TypedValueParser<Value = OrderStatus> {
    use clap::builder::TypedValueParser;
    clap::builder::PossibleValuesParser::new(OrderStatus::ALL.map(OrderStatus::as_str))
        .try_map(|name| name.parse::<OrderStatus>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_shows_what_the_index_holds() {
        let attribute = |value: &str| AttributeValue::S(value.to_owned());
        let item = Item::from([
            ("orderId".to_owned(), attribute("o-1")),
            ("customerId".to_owned(), attribute("cus_42")),
            ("createdAt".to_owned(), attribute("2026-11-21T17:56:15Z")),
            ("currency".to_owned(), attribute("EUR")),
            (
                "totalAmount".to_owned(),
                AttributeValue::N("2500".to_owned()),
            ),
        ]);
        let listing = Listing {
            orders: vec![listed(&item, OrderStatus::Failed)],
            truncated: Vec::new(),
        };
        let text = text(&listing);
        assert!(text.contains("o-1") && text.contains("2500 EUR"), "{text}");
    }
}
