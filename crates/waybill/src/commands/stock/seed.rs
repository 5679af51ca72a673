//! `waybill stock seed`.

use std::path::PathBuf;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use clap::Args;
use futures_util::{StreamExt, stream};
use serde::Serialize;

use super::CONCURRENCY;
use super::levels::{self, Level};
use crate::cli::Context;
use crate::commands::input::{self, Limit};
use crate::failure::{Exit, Failure};
use crate::items;
use crate::output::{Column, note, progress_bar, table};

/// Some hundred thousand articles.
const LIMIT: Limit = Limit {
    bytes: 8 * 1024 * 1024,
    what: "a stock file",
};

/// `waybill stock seed FILE`
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// JSON: {"MUG-RED": 100, …} or [{"sku": "MUG-RED", "available": 100}, …]; - for stdin
    file: PathBuf,
    /// Leave articles alone that the table already has
    #[arg(long)]
    if_absent: bool,
}

/// What was done for each article.
#[derive(Debug, Serialize)]
struct Seeded {
    stock: Vec<Change>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Change {
    sku: String,
    action: Action,
    /// How many were available before.
    before: Option<u64>,
    /// How many are available now, as far as this command knows.
    available: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    Added,
    Set,
    Unchanged,
    LeftAlone,
}

impl Arguments {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let content = input::read(&self.file, LIMIT)?;
        let levels = levels::read(&content)
            .map_err(|error| input::not_json(&input::name(&self.file), &content, &error))?;
        let deployment = context.settings.deployment().await?;
        let stock = deployment.output("StockTableName")?;
        let client = deployment.dynamodb();
        let bar = progress_bar(levels.len() as u64, "seeding");
        let mut seeded = Seeded { stock: Vec::new() };
        let mut changes = stream::iter(&levels)
            .map(|level| seed(&client, stock, level, self.if_absent))
            .buffered(CONCURRENCY);
        while let Some(change) = changes.next().await {
            let change = change.inspect_err(|_| seeded.broken_off(levels.len()))?;
            seeded.stock.push(change);
            bar.inc(1);
        }
        bar.finish_and_clear();
        context.output.result(&seeded, text)?;
        Ok(Exit::Ok)
    }
}

impl Seeded {
    /// Says what was done before an error ended it.
    fn broken_off(&self, all: usize) {
        if let done @ 1.. = self.stock.len() {
            note(&format!(
                "{done} of {all} articles were seeded before the error, and stay so; \
                 repeat it: an article that is seeded twice is seeded once"
            ));
        }
    }
}

/// Sets what is available. What is reserved or shipped belongs to orders, and stays.
async fn seed(
    client: &Client,
    stock: &str,
    level: &Level,
    if_absent: bool,
) -> Result<Change, Failure> {
    let update = client
        .update_item()
        .table_name(stock)
        .key("sku", AttributeValue::S(level.sku.to_string()))
        .update_expression(
            "SET available = :available, \
             reserved = if_not_exists(reserved, :zero), \
             shipped = if_not_exists(shipped, :zero)",
        )
        .set_condition_expression(if_absent.then(|| "attribute_not_exists(sku)".to_owned()))
        .expression_attribute_values(":available", AttributeValue::N(level.available.to_string()))
        .expression_attribute_values(":zero", AttributeValue::N("0".to_owned()))
        .return_values(ReturnValue::AllOld);
    match update.send().await {
        Ok(answer) => {
            let old = answer.attributes.unwrap_or_default();
            Ok(change(level, items::number(&old, "available")))
        }
        Err(error) => match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(left_alone(level)),
            _ => Err(Failure::from_sdk("dynamodb:UpdateItem", error)),
        },
    }
}

fn change(level: &Level, before: Option<u64>) -> Change {
    let action = match before {
        None => Action::Added,
        Some(before) if before == level.available => Action::Unchanged,
        Some(_) => Action::Set,
    };
    Change {
        sku: level.sku.to_string(),
        action,
        before,
        available: Some(level.available),
    }
}

fn left_alone(level: &Level) -> Change {
    Change {
        sku: level.sku.to_string(),
        action: Action::LeftAlone,
        before: None,
        available: None,
    }
}

fn text(seeded: &Seeded) -> String {
    let rows = seeded.stock.iter().map(|change| {
        vec![
            Column::text(&change.sku),
            Column::number(
                change
                    .available
                    .map_or(String::new(), |count| count.to_string()),
            ),
            Column::text(what(change)),
        ]
    });
    table(&["SKU", "AVAILABLE", "DONE"], rows)
}

fn what(change: &Change) -> String {
    match (change.action, change.before) {
        (Action::Added, _) => "added".to_owned(),
        (Action::Unchanged, _) => "unchanged".to_owned(),
        (Action::Set, Some(before)) => format!("set, was {before}"),
        (Action::Set, None) => "set".to_owned(),
        (Action::LeftAlone, _) => "left alone, was there already".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Sku;

    #[track_caller]
    fn check(before: Option<u64>, expected: &str) {
        let level = Level {
            sku: Sku::new("MUG-RED").unwrap(),
            available: 100,
        };
        assert_eq!(what(&change(&level, before)), expected);
    }

    #[test]
    fn it_says_what_it_did() {
        check(None, "added");
        check(Some(100), "unchanged");
        check(Some(7), "set, was 7");
    }
}
