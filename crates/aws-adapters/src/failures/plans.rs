//! A plan in parts: its head is part 0, and its entries are the parts after it.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use failures::{Entry, Plan, PlanStore, ReplayId};
use ports::Unavailable;
use serde::{Deserialize, Serialize};
use serde_dynamo::aws_sdk_dynamodb_1::to_item;

use super::{dynamodb, read_item, was_written};
use crate::dynamodb::{Item, now, number, text};

/// An entry takes at most some 300 bytes, and an item 400 KB.
const ENTRIES_PER_PART: usize = 1000;

/// How long a plan can be looked at and gone on with.
const RETENTION: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// The index of the heads, by the time they were frozen. It has one key.
const HEADS: &str = "by-cut-off";

/// Plans in one table, with the index `by-cut-off` (`kind`, `cutOff`) and time to live
/// on `expiresAt`. They are kept for 90 days.
///
/// Permissions: `dynamodb:PutItem`, `dynamodb:Query`, also on the index.
#[derive(Debug, Clone)]
pub struct DynamoPlans {
    client: Client,
    table: String,
}

/// One part of the entries.
#[derive(Debug, Serialize, Deserialize)]
struct Part {
    entries: Vec<Entry>,
}

impl DynamoPlans {
    /// Plans in this table.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self {
            client,
            table: table.into(),
        }
    }

    fn put<T: Serialize>(
        &self,
        plan: &Plan,
        part: u64,
        content: T,
    ) -> Result<PutItemFluentBuilder, Unavailable> {
        let item: Item = to_item(content).map_err(dynamodb)?;
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .item("id", text(plan.id.as_str()))
            .item("part", number(part));
        Ok(put.item("expiresAt", number(expires_at(plan))))
    }

    fn put_head(&self, plan: &Plan) -> Result<PutItemFluentBuilder, Unavailable> {
        Ok(self.put(plan, 0, plan)?.item("kind", text("plan")))
    }

    async fn parts(&self, id: &ReplayId) -> Result<Vec<Item>, Unavailable> {
        let mut parts = Vec::new();
        let mut from = None;
        loop {
            let page = self
                .client
                .query()
                .table_name(&self.table)
                .key_condition_expression("id = :id")
                .expression_attribute_values(":id", text(id.as_str()))
                .consistent_read(true)
                .set_exclusive_start_key(from)
                .send()
                .await
                .map_err(dynamodb)?;
            parts.extend(page.items.unwrap_or_default());
            from = page.last_evaluated_key;
            if from.is_none() {
                return Ok(parts);
            }
        }
    }
}

impl PlanStore for DynamoPlans {
    /// The head last: a plan that can be read is whole.
    async fn create_plan(&self, plan: &Plan) -> Result<(), Unavailable> {
        for (part, entries) in (1..).zip(plan.entries.chunks(ENTRIES_PER_PART)) {
            let entries = entries.to_vec();
            let put = self.put(plan, part, Part { entries })?;
            put.send().await.map_err(dynamodb)?;
        }
        let put = self.put_head(plan)?;
        let put = put.condition_expression("attribute_not_exists(id)");
        if was_written(put.send().await)? {
            return Ok(());
        }
        // A request that is repeated because its answer was lost finds what it wrote.
        match self.get_plan(&plan.id).await? {
            Some(stored) if stored == *plan => Ok(()),
            _ => Err(dynamodb("there is another plan with this id")),
        }
    }

    async fn get_plan(&self, id: &ReplayId) -> Result<Option<Plan>, Unavailable> {
        let mut parts = self.parts(id).await?.into_iter();
        let head = parts.next().filter(|item| item.contains_key("kind"));
        let Some(head) = head else {
            return Ok(None);
        };
        let mut plan: Plan = read_item("replay", head)?;
        if is_forgotten(&plan) {
            return Ok(None);
        }
        for item in parts {
            let part: Part = read_item("replay", item)?;
            plan.entries.extend(part.entries);
        }
        if plan.entries.len() != plan.progress.planned {
            return Err(dynamodb("entries of the plan are missing"));
        }
        Ok(Some(plan))
    }

    async fn put_progress(&self, next: &Plan) -> Result<bool, Unavailable> {
        let put = self
            .put_head(next)?
            .condition_expression("version = :before")
            .expression_attribute_values(":before", number(next.version.saturating_sub(1)));
        was_written(put.send().await)
    }

    async fn plans(&self) -> Result<Vec<Plan>, Unavailable> {
        let mut plans: Vec<Plan> = Vec::new();
        let mut from = None;
        loop {
            let page = self
                .client
                .query()
                .table_name(&self.table)
                .index_name(HEADS)
                .key_condition_expression("kind = :plan")
                .expression_attribute_values(":plan", text("plan"))
                .scan_index_forward(false)
                .set_exclusive_start_key(from)
                .send()
                .await
                .map_err(dynamodb)?;
            for item in page.items.unwrap_or_default() {
                plans.push(read_item("replay", item)?);
            }
            from = page.last_evaluated_key;
            if from.is_none() {
                plans.retain(|plan| !is_forgotten(plan));
                return Ok(plans);
            }
        }
    }
}

fn expires_at(plan: &Plan) -> u64 {
    plan.cut_off.epoch_millis() / 1000 + RETENTION.as_secs()
}

fn is_forgotten(plan: &Plan) -> bool {
    expires_at(plan) <= now().epoch_millis() / 1000
}
