//! One item for each group.

use aws_sdk_dynamodb::Client;
use failures::{Group, GroupId, GroupStore};
use ports::Unavailable;
use serde_dynamo::aws_sdk_dynamodb_1::to_item;

use super::{dynamodb, read_item, was_written};
use crate::dynamodb::{Item, number, text};

/// Groups in one table. There are few: one for each distinct cause of each consumer.
///
/// Permissions: `dynamodb:GetItem`, `dynamodb:PutItem`, and `dynamodb:Scan` for `groups`.
#[derive(Debug, Clone)]
pub struct DynamoGroups {
    client: Client,
    table: String,
}

impl DynamoGroups {
    /// Groups in this table.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self {
            client,
            table: table.into(),
        }
    }
}

impl GroupStore for DynamoGroups {
    async fn get_group(&self, id: &GroupId) -> Result<Option<Group>, Unavailable> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("id", text(id.as_str()))
            .consistent_read(true)
            .send()
            .await
            .map_err(dynamodb)?;
        let group = answer.item.map(|item| read_item("group", item));
        group.transpose()
    }

    async fn put_group(&self, next: &Group) -> Result<bool, Unavailable> {
        let item: Item = to_item(next).map_err(dynamodb)?;
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item));
        let put = match next.version {
            0 | 1 => put.condition_expression("attribute_not_exists(id)"),
            version => put
                .condition_expression("version = :before")
                .expression_attribute_values(":before", number(version - 1)),
        };
        was_written(put.send().await)
    }

    async fn groups(&self) -> Result<Vec<Group>, Unavailable> {
        let mut groups = Vec::new();
        let mut from = None;
        loop {
            let page = self
                .client
                .scan()
                .table_name(&self.table)
                .set_exclusive_start_key(from)
                .send()
                .await
                .map_err(dynamodb)?;
            for item in page.items.unwrap_or_default() {
                groups.push(read_item("group", item)?);
            }
            from = page.last_evaluated_key;
            if from.is_none() {
                return Ok(groups);
            }
        }
    }
}
