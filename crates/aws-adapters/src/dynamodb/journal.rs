//! Steps on DynamoDB: one transaction holds the record, the order's event and the stock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, CancellationReason, TransactWriteItem, Update};
use domain::stock::Movement;
use domain::{ItemQuantity, OrderId, OrderStatus, Sku};
use idempotency::{
    Begin, BeginUndo, Claim, DynamoDbStore, Key, Record, ResultJson, Started, Store, StoreError,
    Superseded, UndoStarted,
};
use ports::{
    CommitError, Completion, Completions, OrderChange, Reserve, StepJournal, StockJournal,
};

use super::number;
use super::orders::{append_event, unless_completing};
use crate::calls::DynamoCalls;

/// Records in one table, committed together with orders and stock in others.
#[derive(Debug, Clone)]
pub struct DynamoJournal {
    client: Client,
    calls: Option<DynamoCalls>,
    records: DynamoDbStore,
    orders: String,
    /// Absent for workers that move no stock and have no right to.
    stock: Option<String>,
}

impl DynamoJournal {
    /// Commits to these tables.
    pub fn new(client: Client, records: &str, orders: String, stock: Option<String>) -> Self {
        let records = DynamoDbStore::new(client.clone(), records);
        Self {
            client,
            calls: None,
            records,
            orders,
            stock,
        }
    }

    /// Makes the requests of every message by these calls, and only the others by the client.
    #[must_use]
    pub fn with_calls(mut self, calls: DynamoCalls) -> Self {
        self.records = self.records.with_puts(calls.clone());
        self.calls = Some(calls);
        self
    }

    /// The record first, then the order, then the stock: reasons come back in this order.
    fn transaction(
        &self,
        record: TransactWriteItem,
        change: Option<&OrderChange>,
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        let mut items = vec![record];
        let Some(change) = change else {
            return Ok(items);
        };
        items.push(as_item(
            append_event(&self.orders, change).map_err(invalid)?,
        ));
        if let Some(stock) = &change.stock {
            let no_table = || StoreError::Invalid("this worker has no stock table".into());
            let table = self.stock.as_deref().ok_or_else(no_table)?;
            for line in &stock.items {
                items.push(as_item(
                    move_pieces(table, stock.movement, line).map_err(invalid)?,
                ));
            }
        }
        Ok(items)
    }

    /// Tries again where another transaction touches the same item just now: on an
    /// article that sells well that is usual, and no reason to use up a receive.
    async fn write(&self, items: Vec<TransactWriteItem>) -> Result<(), Refusal> {
        for attempt in 1..CONFLICT_ATTEMPTS {
            match self.write_once(items.clone()).await {
                Err(Refusal::Conflict(_)) => tokio::time::sleep(pause(attempt)).await,
                settled => return settled,
            }
        }
        self.write_once(items).await
    }

    async fn write_once(&self, items: Vec<TransactWriteItem>) -> Result<(), Refusal> {
        let sent = match &self.calls {
            Some(calls) => calls.transact(items).await,
            None => {
                let request = self.client.transact_write_items();
                request.set_transact_items(Some(items)).send().await
            }
        };
        let Err(error) = sent else { return Ok(()) };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                let reasons = cancelled.cancellation_reasons().to_vec();
                Err(Refusal::read(reasons, error))
            }
            _ => Err(Refusal::Unavailable(StoreError::Unavailable(Box::new(
                error,
            )))),
        }
    }

    async fn commit_claimed(
        &self,
        record: TransactWriteItem,
        change: Option<&OrderChange>,
    ) -> Result<(), CommitError> {
        match self.write(self.transaction(record, change)?).await {
            Ok(()) => Ok(()),
            Err(Refusal::Record(_)) => Err(StoreError::Superseded(Superseded).into()),
            Err(Refusal::Order) => Err(CommitError::OrderEnded),
            Err(Refusal::Lines(lines)) => Err(CommitError::Short(skus(&lines, change))),
            Err(Refusal::Conflict(error) | Refusal::Unavailable(error)) => Err(error.into()),
        }
    }
}

/// How often a transaction is tried that conflicts with others.
const CONFLICT_ATTEMPTS: u32 = 6;

/// A pause that grows with the attempts and differs between competitors.
fn pause(attempt: u32) -> Duration {
    let longest = 20_u64 << attempt;
    let clock = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Duration::from_millis(u64::from(clock.subsec_nanos()) % longest)
}

/// Why a transaction changed nothing.
enum Refusal {
    /// The record's condition failed; this is the record's reason.
    Record(Box<CancellationReason>),
    /// The order's condition failed: it has ended.
    Order,
    /// The conditions of these stock lines failed, by their index.
    Lines(Vec<usize>),
    /// Another transaction touched the same item.
    Conflict(StoreError),
    /// Throttling, or no answer.
    Unavailable(StoreError),
}

impl Refusal {
    /// A failed condition on the record counts before the others: what was done
    /// before says nothing about the order or the pieces that are there now.
    fn read(
        reasons: Vec<CancellationReason>,
        error: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        let failed = |reason: &CancellationReason| reason.code() == Some("ConditionalCheckFailed");
        let lines: Vec<usize> = reasons
            .iter()
            .skip(FIRST_STOCK_ITEM)
            .enumerate()
            .filter(|(_, reason)| failed(reason))
            .map(|(line, _)| line)
            .collect();
        let conflict = reasons
            .iter()
            .any(|reason| reason.code() == Some("TransactionConflict"));
        let order_failed = reasons.get(ORDER_ITEM).is_some_and(failed);
        match reasons.into_iter().next() {
            Some(record) if failed(&record) => Self::Record(Box::new(record)),
            _ if order_failed => Self::Order,
            _ if !lines.is_empty() => Self::Lines(lines),
            _ if conflict => Self::Conflict(StoreError::Unavailable(Box::new(error))),
            _ => Self::Unavailable(StoreError::Unavailable(Box::new(error))),
        }
    }
}

/// The places in a transaction, behind the record.
const ORDER_ITEM: usize = 1;
const FIRST_STOCK_ITEM: usize = 2;

fn skus(lines: &[usize], change: Option<&OrderChange>) -> Vec<Sku> {
    let items = change
        .and_then(|change| change.stock.as_ref())
        .map(|stock| stock.items.as_slice());
    let items = items.unwrap_or_default();
    lines
        .iter()
        .filter_map(|line| items.get(*line))
        .map(|item| item.sku.clone())
        .collect()
}

fn move_pieces(table: &str, movement: Movement, line: &ItemQuantity) -> Result<Update, BuildError> {
    let (from, to) = match movement {
        Movement::Reserve => ("available", "reserved"),
        Movement::Release => ("reserved", "available"),
        Movement::Ship => ("reserved", "shipped"),
        Movement::CancelShipment => ("shipped", "reserved"),
    };
    Update::builder()
        .table_name(table)
        .key("sku", super::text(line.sku.as_str()))
        .update_expression("SET #from = #from - :pieces, #to = if_not_exists(#to, :zero) + :pieces")
        .condition_expression("#from >= :pieces")
        .expression_attribute_names("#from", from)
        .expression_attribute_names("#to", to)
        .expression_attribute_values(":pieces", number(line.quantity.get()))
        .expression_attribute_values(":zero", number(0_u64))
        .build()
}

fn as_item(update: Update) -> TransactWriteItem {
    TransactWriteItem::builder().update(update).build()
}

fn invalid(error: BuildError) -> StoreError {
    StoreError::Invalid(Box::new(error))
}

impl StepJournal for DynamoJournal {
    async fn commit(
        &self,
        started: &Started,
        result: &ResultJson,
        change: Option<&OrderChange>,
    ) -> Result<(), CommitError> {
        self.commit_claimed(self.records.completion(started, result)?, change)
            .await
    }

    async fn commit_undo(
        &self,
        started: &UndoStarted,
        result: &ResultJson,
        change: Option<&OrderChange>,
    ) -> Result<(), CommitError> {
        self.commit_claimed(self.records.undo_completion(started, result)?, change)
            .await
    }
}

impl StockJournal for DynamoJournal {
    async fn commit_at_once(
        &self,
        claim: &Claim,
        result: &ResultJson,
        change: &OrderChange,
    ) -> Result<Reserve, StoreError> {
        let record = self.records.completed_put(claim, result)?;
        match self.write(self.transaction(record, Some(change))?).await {
            Ok(()) => Ok(Reserve::Done),
            Err(Refusal::Record(reason)) => {
                let begin = self.records.interpret_begin_failure(reason.item(), claim)?;
                Ok(Reserve::Known(begin))
            }
            Err(Refusal::Order) => Ok(Reserve::OrderEnded),
            Err(Refusal::Lines(lines)) => Ok(Reserve::Short(skus(&lines, Some(change)))),
            Err(Refusal::Conflict(error) | Refusal::Unavailable(error)) => Err(error),
        }
    }

    async fn undo_at_once(
        &self,
        claim: &Claim,
        result: &ResultJson,
        change: Option<&OrderChange>,
    ) -> Result<Option<BeginUndo>, StoreError> {
        let record = self.records.undone_update(claim, result)?;
        let mut items = self.transaction(record, change)?;
        if let Some(order) = items.get_mut(ORDER_ITEM) {
            order.update = order.update.take().map(unless_completing);
        }
        self.undo_or_say_why(items, claim).await
    }

    async fn bury(
        &self,
        claim: &Claim,
        result: &ResultJson,
    ) -> Result<Option<BeginUndo>, StoreError> {
        let record = self.records.tombstone_put(claim, result)?;
        self.undo_or_say_why(vec![record], claim).await
    }
}

impl DynamoJournal {
    async fn undo_or_say_why(
        &self,
        items: Vec<TransactWriteItem>,
        claim: &Claim,
    ) -> Result<Option<BeginUndo>, StoreError> {
        match self.write(items).await {
            Ok(()) => Ok(None),
            Err(Refusal::Record(reason)) => self
                .records
                .interpret_undo_failure(reason.item(), claim)
                .map(Some),
            // The order was completed after it was looked at: look again.
            Err(Refusal::Order) => Err(StoreError::Superseded(Superseded)),
            Err(Refusal::Lines(_)) => Err(StoreError::Invalid(
                "fewer pieces are held than the record says".into(),
            )),
            Err(Refusal::Conflict(error) | Refusal::Unavailable(error)) => Err(error),
        }
    }
}

impl Completions for DynamoJournal {
    async fn completion(&self, order: OrderId) -> Result<Completion, StoreError> {
        let found = self
            .client
            .get_item()
            .table_name(&self.orders)
            .key("orderId", super::text(order.to_string()))
            .projection_expression("#status, recovery")
            .expression_attribute_names("#status", "status")
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| StoreError::Unavailable(Box::new(error)))?;
        Ok(found.item.as_ref().map_or(Completion::Open, completion))
    }
}

/// What an order's item says.
fn completion(item: &super::Item) -> Completion {
    let is = |value: Option<&AttributeValue>, word: &str| {
        value
            .and_then(|value| value.as_s().ok())
            .map(String::as_str)
            == Some(word)
    };
    let recovery = item.get("recovery").and_then(|value| value.as_m().ok());
    if is(item.get("status"), OrderStatus::Completed.as_str()) {
        Completion::Completed
    } else if is(
        recovery.and_then(|recovery| recovery.get("mode")),
        "complete",
    ) {
        Completion::UnderWay
    } else {
        Completion::Open
    }
}

/// Claims need no transaction: they are the records' own.
impl Store for DynamoJournal {
    async fn begin(&self, claim: &Claim) -> Result<Begin, StoreError> {
        self.records.begin(claim).await
    }

    async fn complete(&self, started: &Started, result: &ResultJson) -> Result<(), StoreError> {
        self.records.complete(started, result).await
    }

    async fn release(&self, started: &Started) -> Result<(), StoreError> {
        self.records.release(started).await
    }

    async fn begin_undo(&self, claim: &Claim) -> Result<BeginUndo, StoreError> {
        self.records.begin_undo(claim).await
    }

    async fn complete_undo(
        &self,
        started: &UndoStarted,
        result: &ResultJson,
    ) -> Result<(), StoreError> {
        self.records.complete_undo(started, result).await
    }

    async fn release_undo(&self, started: &UndoStarted) -> Result<(), StoreError> {
        self.records.release_undo(started).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        self.records.get(key).await
    }
}
