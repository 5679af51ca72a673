//! One item for each failure: its fields, and `failedAt` for the indexes.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use failures::{Failure, FailureId, FailureStore, Page, Query};
use ports::Unavailable;
use serde_dynamo::aws_sdk_dynamodb_1::to_item;

use super::pages::{self, Cursor};
use super::{dynamodb, read_item, was_written};
use crate::dynamodb::{Item, now, number, text};

/// No longer value can be the key of an index.
const LONGEST_INDEX_KEY: usize = 1024;

/// Failures in one table, with the indexes `by-status`, `by-group` and `by-order`,
/// each by `failedAt`, and time to live on `expiresAt`.
///
/// | operation | requests | permissions |
/// |---|---|---|
/// | `get` | 1 | `dynamodb:GetItem` |
/// | `create`, `replace` | 1 | `dynamodb:PutItem` |
/// | `replace_and_create` | 1 | `dynamodb:PutItem` |
/// | `find`, a page | 1, or 1 for each status | `dynamodb:Query` on the indexes, `dynamodb:GetItem` |
///
/// `find` reads indexes, which may be behind the table for a moment: a failure may be
/// shown as it was, and one that changes between two pages may be on both or on none.
#[derive(Debug, Clone)]
pub struct DynamoFailures {
    client: Client,
    table: String,
}

impl DynamoFailures {
    /// Failures in this table.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self {
            client,
            table: table.into(),
        }
    }

    fn creation(&self, failure: &Failure) -> Result<Put, Unavailable> {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(write(failure)?))
            .condition_expression("attribute_not_exists(id) OR expiresAt <= :now")
            .expression_attribute_values(":now", number(now().epoch_millis() / 1000));
        put.build().map_err(dynamodb)
    }

    fn replacement(&self, next: &Failure) -> Result<Put, Unavailable> {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(write(next)?))
            .condition_expression("version = :before")
            .expression_attribute_values(":before", number(next.version.saturating_sub(1)));
        put.build().map_err(dynamodb)
    }

    async fn send(&self, put: Put) -> Result<bool, Unavailable> {
        let request = self
            .client
            .put_item()
            .table_name(put.table_name)
            .set_item(Some(put.item))
            .set_condition_expression(put.condition_expression)
            .set_expression_attribute_values(put.expression_attribute_values);
        was_written(request.send().await)
    }

    /// One page of a query by ids: no index is needed.
    async fn find_by_ids(
        &self,
        query: &Query,
        from: Option<&str>,
    ) -> Result<Page<Failure>, Unavailable> {
        let start = pages::offset(from)?;
        let mut found = Vec::new();
        for id in query.ids.iter().skip(start).take(pages::IDS_PER_PAGE) {
            found.extend(self.get(id).await?);
        }
        let end = start + pages::IDS_PER_PAGE;
        Ok(Page {
            items: pages::latest_first(found, query),
            next: (end < query.ids.len()).then(|| end.to_string()),
        })
    }
}

impl FailureStore for DynamoFailures {
    async fn get(&self, id: &FailureId) -> Result<Option<Failure>, Unavailable> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("id", text(id.as_str()))
            .consistent_read(true)
            .send()
            .await
            .map_err(dynamodb)?;
        let found = answer.item.map(read).transpose()?;
        Ok(found.filter(|failure| !failure.is_forgotten(now())))
    }

    async fn create(&self, failure: &Failure) -> Result<bool, Unavailable> {
        self.send(self.creation(failure)?).await
    }

    async fn replace(&self, next: &Failure) -> Result<bool, Unavailable> {
        self.send(self.replacement(next)?).await
    }

    async fn replace_and_create(&self, next: &Failure, new: &Failure) -> Result<bool, Unavailable> {
        let part = |put| TransactWriteItem::builder().put(put).build();
        let answer = self
            .client
            .transact_write_items()
            .transact_items(part(self.replacement(next)?))
            .transact_items(part(self.creation(new)?))
            .send()
            .await;
        match answer {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(was_refused) => Ok(false),
            Err(error) => Err(dynamodb(error)),
        }
    }

    async fn find(&self, query: &Query, from: Option<&str>) -> Result<Page<Failure>, Unavailable> {
        if !query.ids.is_empty() {
            return self.find_by_ids(query, from).await;
        }
        let mut cursor = Cursor::read(query, from)?;
        let mut found = Vec::new();
        for lane in cursor.lanes_to_read() {
            let request = lane.request(&self.client, &self.table, query)?;
            let answer = request.send().await.map_err(dynamodb)?;
            let more = answer.last_evaluated_key.is_some();
            let items = answer.items.unwrap_or_default().into_iter().map(read);
            lane.fetched(items.collect::<Result<_, _>>()?, more);
        }
        found.extend(cursor.take_what_is_in_order());
        Ok(Page {
            items: pages::latest_first(found, query),
            next: cursor.write()?,
        })
    }
}

/// Whether a condition failed. A conflict with another transaction is no refusal.
fn was_refused(error: &TransactWriteItemsError) -> bool {
    let TransactWriteItemsError::TransactionCanceledException(cancelled) = error else {
        return false;
    };
    let reasons = cancelled.cancellation_reasons();
    reasons
        .iter()
        .any(|reason| reason.code() == Some("ConditionalCheckFailed"))
}

fn write(failure: &Failure) -> Result<Item, Unavailable> {
    let mut item: Item = to_item(failure).map_err(dynamodb)?;
    let failed_at = failure.trouble.failed_at.to_string();
    item.insert("failedAt".to_owned(), text(failed_at));
    // DynamoDB refuses the whole item for a key that no index can have. A body may
    // claim any order; it still says so.
    let fits = |value: &AttributeValue| {
        let key = value.as_s().map(String::len);
        key.is_ok_and(|length| (1..=LONGEST_INDEX_KEY).contains(&length))
    };
    if !item.get("orderId").is_some_and(fits) {
        item.remove("orderId");
    }
    Ok(item)
}

fn read(item: Item) -> Result<Failure, Unavailable> {
    read_item("failure", item)
}
