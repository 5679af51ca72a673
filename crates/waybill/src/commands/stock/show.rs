//! `waybill stock show`.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use clap::Args;
use domain::Sku;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::CONCURRENCY;
use crate::cli::Context;
use crate::failure::{Exit, Failure};
use crate::items::{self, Item};
use crate::output::{Column, table};

/// `waybill stock show [SKU…]`
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The articles [default: all]
    #[arg(value_name = "SKU", value_parser = Sku::new)]
    skus: Vec<Sku>,
}

#[derive(Debug, Serialize)]
struct Listing {
    stock: Vec<Article>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Article {
    sku: String,
    /// Absent where the table holds no count.
    available: Option<u64>,
    reserved: Option<u64>,
    shipped: Option<u64>,
}

impl Arguments {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let deployment = context.settings.deployment().await?;
        let table = deployment.output("StockTableName")?;
        let client = deployment.dynamodb();
        let (stock, missing) = if self.skus.is_empty() {
            (all(&client, table).await?, Vec::new())
        } else {
            self.named(&client, table).await?
        };
        context.output.result(&Listing { stock }, text)?;
        if missing.is_empty() {
            Ok(Exit::Ok)
        } else {
            Err(Failure::NoSuchSku(missing))
        }
    }

    /// The named articles, in the order in which they were named, and those there are not.
    async fn named(
        &self,
        client: &Client,
        table: &str,
    ) -> Result<(Vec<Article>, Vec<String>), Failure> {
        let found: Vec<Option<Article>> = stream::iter(&self.skus)
            .map(|sku| one(client, table, sku))
            .buffered(CONCURRENCY)
            .try_collect()
            .await?;
        let missing = self.skus.iter().zip(&found);
        let missing = missing
            .filter(|(_, article)| article.is_none())
            .map(|(sku, _)| sku.to_string())
            .collect();
        Ok((found.into_iter().flatten().collect(), missing))
    }
}

async fn one(client: &Client, table: &str, sku: &Sku) -> Result<Option<Article>, Failure> {
    let answer = client
        .get_item()
        .table_name(table)
        .key("sku", AttributeValue::S(sku.to_string()))
        .consistent_read(true)
        .send()
        .await
        .map_err(|error| Failure::from_sdk("dynamodb:GetItem", error))?;
    Ok(answer.item.as_ref().map(article))
}

async fn all(client: &Client, table: &str) -> Result<Vec<Article>, Failure> {
    let mut items = client
        .scan()
        .table_name(table)
        .into_paginator()
        .items()
        .send();
    let mut stock = Vec::new();
    while let Some(item) = items.next().await {
        let item = item.map_err(|error| Failure::from_sdk("dynamodb:Scan", error))?;
        stock.push(article(&item));
    }
    stock.sort();
    Ok(stock)
}

fn article(item: &Item) -> Article {
    let count = |name| items::number(item, name);
    Article {
        sku: items::text(item, "sku"),
        available: count("available"),
        reserved: count("reserved"),
        shipped: count("shipped"),
    }
}

fn text(listing: &Listing) -> String {
    let rows = listing.stock.iter().map(|article| {
        vec![
            Column::text(&article.sku),
            count(article.available),
            count(article.reserved),
            count(article.shipped),
        ]
    });
    table(&["SKU", "AVAILABLE", "RESERVED", "SHIPPED"], rows)
}

/// What is no count is not taken for nothing.
fn count(count: Option<u64>) -> Column {
    Column::number(count.map_or_else(|| "?".to_owned(), |count| count.to_string()))
}
