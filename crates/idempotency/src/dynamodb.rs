//! Records in a DynamoDB table.
//!
//! The table has one string partition key, `id` unless chosen otherwise, and
//! time to live on `expiresAt`. Requests, as the tests against the emulator count them:
//!
//! | step                                                    | requests |
//! |---------------------------------------------------------|----------|
//! | `begin`: first run, duplicate, conflict or takeover     | 1        |
//! | `begin_undo`: each of those, and a tombstone            | 1        |
//! | `begin_undo` of a record that expired, not yet deleted  | 2        |
//! | `complete`, `release` and their undo forms              | 1        |
//! | a part of the caller's own transaction                  | 0        |
//!
//! Permissions: `dynamodb:PutItem`, `dynamodb:UpdateItem`, and `dynamodb:GetItem`
//! for [`Store::get`] alone.

mod item;

use std::collections::HashMap;
use std::error::Error;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, Put, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
    Update,
};

use self::item::{
    COMPLETED, EXPIRES_AT, FINGERPRINT, Item, LEASE_UNTIL, OWNER, RESULT, STARTED, STATE,
    UNDO_FINGERPRINT, UNDO_RESULT, UNDOING, UNDONE, millis, read, seconds, text,
};
use crate::record::{
    decide_begin, decide_begin_undo, decide_complete, decide_complete_undo, decide_release,
    decide_release_undo,
};
use crate::{
    Begin, BeginUndo, Claim, Key, Millis, OwnerToken, Record, ResultJson, Started, Store,
    StoreError, Superseded, UndoStarted,
};

/// `decide_begin` answers `Start`.
const MAY_BEGIN: &str = "attribute_not_exists(#id) OR #expiresAt <= :nowSeconds \
    OR (#state = :started AND #fingerprint = :fingerprint AND #leaseUntil <= :takesOverUntil)";

/// `decide_begin_undo` answers `Start` and the record, if any, is not expired: an
/// update would keep the attributes of an expired one.
const MAY_BEGIN_UNDO: &str = "attribute_not_exists(#id) OR (#expiresAt > :nowSeconds \
    AND (#state = :completed OR (#state = :started AND #leaseUntil <= :now) \
    OR (#state = :undoing AND #undoFingerprint = :fingerprint \
    AND #leaseUntil <= :takesOverUntil)))";

const ABSENT: &str = "attribute_not_exists(#id) OR #expiresAt <= :nowSeconds";
const IS_COMPLETED: &str = "#state = :completed AND #expiresAt > :nowSeconds";
const IS_HELD: &str = "#owner = :owner AND #state = :held";

/// A [`Store`] in a DynamoDB table. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DynamoDbStore {
    client: Client,
    table: String,
    key_attribute: String,
}

impl DynamoDbStore {
    /// Records in this table, whose partition key is called `id`.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self {
            client,
            table: table.into(),
            key_attribute: "id".to_owned(),
        }
    }

    /// The same for a table whose partition key has another name.
    #[must_use]
    pub fn with_key_attribute(self, name: impl Into<String>) -> Self {
        Self {
            key_attribute: name.into(),
            ..self
        }
    }
}

/// Parts of the caller's own transaction, which makes the record and the
/// business data change together or not at all. Each asks DynamoDB to return the
/// record if its condition fails.
impl DynamoDbStore {
    /// The operation's result, for a claim that [`Store::begin`] made. If its
    /// condition fails, another attempt has taken over.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if the request cannot be built.
    pub fn completion(
        &self,
        started: &Started,
        result: &ResultJson,
    ) -> Result<TransactWriteItem, StoreError> {
        Ok(in_transaction(self.completion_update(started, result)?))
    }

    /// The undo's result, for a claim that [`Store::begin_undo`] made. If its
    /// condition fails, another attempt has taken over.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if the request cannot be built.
    pub fn undo_completion(
        &self,
        started: &UndoStarted,
        result: &ResultJson,
    ) -> Result<TransactWriteItem, StoreError> {
        Ok(in_transaction(
            self.undo_completion_update(started, result)?,
        ))
    }

    /// Claim and completion in one, for an operation whose whole effect is in
    /// the same transaction. If its condition fails, ask
    /// [`DynamoDbStore::interpret_begin_failure`].
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if the request cannot be built.
    pub fn completed_put(
        &self,
        claim: &Claim,
        result: &ResultJson,
    ) -> Result<TransactWriteItem, StoreError> {
        let details = [
            (FINGERPRINT, text(claim.fingerprint.as_str())),
            (RESULT, text(result.as_str())),
        ];
        let put = self.put(self.item(claim, COMPLETED, details), may_begin(claim))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// Claim and completion of the undo in one, where the operation was
    /// completed. If its condition fails, ask
    /// [`DynamoDbStore::interpret_undo_failure`].
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if the request cannot be built.
    pub fn undone_update(
        &self,
        claim: &Claim,
        result: &ResultJson,
    ) -> Result<TransactWriteItem, StoreError> {
        let condition = Expression::new(IS_COMPLETED)
            .with(":completed", text(COMPLETED))
            .with(":nowSeconds", seconds(claim.now.to_seconds()));
        let change = Expression::new(
            "SET #state = :undone, #owner = :owner, #expiresAt = :expiresAt, \
             #undoFingerprint = :fingerprint, #undoResult = :result",
        )
        .with(":undone", text(UNDONE))
        .with(":owner", text(claim.owner.to_string()))
        .with(":expiresAt", seconds(claim.expires_at))
        .with(":fingerprint", text(claim.fingerprint.as_str()))
        .with(":result", text(result.as_str()));
        Ok(in_transaction(self.update(&claim.key, change, condition)?))
    }

    /// Claim and completion of the undo in one, where there is nothing to undo:
    /// leaves the tombstone that refuses the operation if it still comes. If its
    /// condition fails, ask [`DynamoDbStore::interpret_undo_failure`].
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if the request cannot be built.
    pub fn tombstone_put(
        &self,
        claim: &Claim,
        result: &ResultJson,
    ) -> Result<TransactWriteItem, StoreError> {
        let details = [
            (UNDO_FINGERPRINT, text(claim.fingerprint.as_str())),
            (UNDO_RESULT, text(result.as_str())),
        ];
        let put = self.put(self.item(claim, UNDONE, details), absent(claim))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// What the item in the cancellation reason of a
    /// [`DynamoDbStore::completed_put`] means.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if the item is corrupt, or no reason to refuse.
    pub fn interpret_begin_failure(
        item: Option<&HashMap<String, AttributeValue>>,
        claim: &Claim,
    ) -> Result<Begin, StoreError> {
        let record = read(item)?;
        match decide_begin(record.as_ref(), claim) {
            Begin::Start(_) if !is_own(record.as_ref(), claim) => Err(contradiction()),
            answer => Ok(answer),
        }
    }

    /// What the item in the cancellation reason of a
    /// [`DynamoDbStore::undone_update`] or [`DynamoDbStore::tombstone_put`] means.
    ///
    /// [`BeginUndo::Start`] then says only which of the two to try instead:
    /// nothing has been written.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if the item is corrupt.
    pub fn interpret_undo_failure(
        item: Option<&HashMap<String, AttributeValue>>,
        claim: &Claim,
    ) -> Result<BeginUndo, StoreError> {
        Ok(decide_begin_undo(read(item)?.as_ref(), claim))
    }
}

impl Store for DynamoDbStore {
    async fn begin(&self, claim: &Claim) -> Result<Begin, StoreError> {
        let details = [
            (FINGERPRINT, text(claim.fingerprint.as_str())),
            (LEASE_UNTIL, millis(claim.lease_until)),
        ];
        let put = self.put(self.item(claim, STARTED, details), may_begin(claim))?;
        match self.send_put(put).await? {
            Answer::Written(old) => Ok(decide_begin(read(old.as_ref())?.as_ref(), claim)),
            Answer::Refused(old) => Self::interpret_begin_failure(old.as_ref(), claim),
        }
    }

    async fn complete(&self, started: &Started, result: &ResultJson) -> Result<(), StoreError> {
        let update = self.completion_update(started, result)?;
        self.settle(update, |record| decide_complete(record, started, result))
            .await
    }

    async fn release(&self, started: &Started) -> Result<(), StoreError> {
        let update = self.release_update(&started.key, held(started.owner, STARTED))?;
        self.settle(update, |record| decide_release(record, started))
            .await
    }

    async fn begin_undo(&self, claim: &Claim) -> Result<BeginUndo, StoreError> {
        match self.send_update(self.undoing_update(claim)?).await? {
            Answer::Written(old) => Ok(decide_begin_undo(read(old.as_ref())?.as_ref(), claim)),
            Answer::Refused(old) => {
                let record = read(old.as_ref())?;
                if record
                    .as_ref()
                    .is_some_and(|record| record.is_expired(claim.now))
                {
                    return self.begin_undo_over_expired(claim).await;
                }
                refused_undo(record.as_ref(), claim)
            }
        }
    }

    async fn complete_undo(
        &self,
        started: &UndoStarted,
        result: &ResultJson,
    ) -> Result<(), StoreError> {
        let update = self.undo_completion_update(started, result)?;
        self.settle(update, |record| {
            decide_complete_undo(record, started, result)
        })
        .await
    }

    async fn release_undo(&self, started: &UndoStarted) -> Result<(), StoreError> {
        let update = self.release_update(&started.key, held(started.owner, UNDOING))?;
        self.settle(update, |record| decide_release_undo(record, started))
            .await
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        let request = self
            .client
            .get_item()
            .table_name(&self.table)
            .consistent_read(true);
        let answer = request
            .key(&self.key_attribute, text(key.as_str()))
            .send()
            .await
            .map_err(classify)?;
        read(answer.item())
    }
}

/// The writes, each in the form that fits a transaction.
impl DynamoDbStore {
    fn completion_update(
        &self,
        started: &Started,
        result: &ResultJson,
    ) -> Result<Update, StoreError> {
        let change =
            Expression::new("SET #state = :completed, #result = :result REMOVE #leaseUntil")
                .with(":completed", text(COMPLETED))
                .with(":result", text(result.as_str()));
        self.update(&started.key, change, held(started.owner, STARTED))
    }

    fn undo_completion_update(
        &self,
        started: &UndoStarted,
        result: &ResultJson,
    ) -> Result<Update, StoreError> {
        let change =
            Expression::new("SET #state = :undone, #undoResult = :result REMOVE #leaseUntil")
                .with(":undone", text(UNDONE))
                .with(":result", text(result.as_str()));
        self.update(&started.key, change, held(started.owner, UNDOING))
    }

    fn release_update(&self, key: &Key, held: Expression) -> Result<Update, StoreError> {
        let change = Expression::new("SET #leaseUntil = :givenBack")
            .with(":givenBack", millis(Millis::EPOCH));
        self.update(key, change, held)
    }

    fn undoing_update(&self, claim: &Claim) -> Result<Update, StoreError> {
        let condition = Expression::new(MAY_BEGIN_UNDO)
            .with(":completed", text(COMPLETED))
            .with(":started", text(STARTED))
            .with(":now", millis(claim.now))
            .with(":nowSeconds", seconds(claim.now.to_seconds()))
            .with(":takesOverUntil", millis(claim.takes_over_until()));
        let change = Expression::new(
            "SET #state = :undoing, #owner = :owner, #expiresAt = :expiresAt, \
             #leaseUntil = :leaseUntil, #undoFingerprint = :fingerprint",
        )
        .with(":undoing", text(UNDOING))
        .with(":owner", text(claim.owner.to_string()))
        .with(":expiresAt", seconds(claim.expires_at))
        .with(":leaseUntil", millis(claim.lease_until))
        .with(":fingerprint", text(claim.fingerprint.as_str()));
        self.update(&claim.key, change, condition)
    }

    async fn begin_undo_over_expired(&self, claim: &Claim) -> Result<BeginUndo, StoreError> {
        let details = [
            (UNDO_FINGERPRINT, text(claim.fingerprint.as_str())),
            (LEASE_UNTIL, millis(claim.lease_until)),
        ];
        let put = self.put(self.item(claim, UNDOING, details), absent(claim))?;
        match self.send_put(put).await? {
            Answer::Written(_) => Ok(decide_begin_undo(None, claim)),
            Answer::Refused(old) => refused_undo(read(old.as_ref())?.as_ref(), claim),
        }
    }

    fn item<const N: usize>(
        &self,
        claim: &Claim,
        state: &str,
        details: [(&str, AttributeValue); N],
    ) -> Item {
        let common = [
            (self.key_attribute.as_str(), text(claim.key.as_str())),
            (STATE, text(state)),
            (OWNER, text(claim.owner.to_string())),
            (EXPIRES_AT, seconds(claim.expires_at)),
        ];
        let attributes = common.into_iter().chain(details);
        attributes
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    fn put(&self, item: Item, condition: Expression) -> Result<Put, StoreError> {
        Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .set_expression_attribute_names(Some(self.names(&condition.text)))
            .condition_expression(condition.text)
            .set_expression_attribute_values(Some(condition.values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(unbuildable)
    }

    fn update(
        &self,
        key: &Key,
        change: Expression,
        condition: Expression,
    ) -> Result<Update, StoreError> {
        let mut names = self.names(&change.text);
        names.extend(self.names(&condition.text));
        let mut values = change.values;
        values.extend(condition.values);
        Update::builder()
            .table_name(&self.table)
            .key(&self.key_attribute, text(key.as_str()))
            .update_expression(change.text)
            .condition_expression(condition.text)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(Some(values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(unbuildable)
    }

    /// DynamoDB refuses names that an expression does not use.
    fn names(&self, expression: &str) -> HashMap<String, String> {
        let attributes = [
            STATE,
            OWNER,
            EXPIRES_AT,
            LEASE_UNTIL,
            FINGERPRINT,
            RESULT,
            UNDO_FINGERPRINT,
            UNDO_RESULT,
        ];
        let named = attributes.map(|name| (format!("#{name}"), name.to_owned()));
        let key = ("#id".to_owned(), self.key_attribute.clone());
        let all = named.into_iter().chain([key]);
        all.filter(|(placeholder, _)| expression.contains(placeholder))
            .collect()
    }

    async fn send_put(&self, put: Put) -> Result<Answer, StoreError> {
        let request = self
            .client
            .put_item()
            .table_name(put.table_name)
            .set_item(Some(put.item))
            .set_condition_expression(put.condition_expression)
            .set_expression_attribute_names(put.expression_attribute_names)
            .set_expression_attribute_values(put.expression_attribute_values)
            .set_return_values_on_condition_check_failure(
                put.return_values_on_condition_check_failure,
            )
            .return_values(ReturnValue::AllOld);
        match request.send().await {
            Ok(answer) => Ok(Answer::Written(answer.attributes)),
            Err(SdkError::ServiceError(error)) => match error.into_err() {
                PutItemError::ConditionalCheckFailedException(refusal) => {
                    Ok(Answer::Refused(refusal.item))
                }
                error => Err(classify_service(error)),
            },
            Err(error) => Err(classify(error)),
        }
    }

    async fn send_update(&self, update: Update) -> Result<Answer, StoreError> {
        let request = self
            .client
            .update_item()
            .table_name(update.table_name)
            .set_key(Some(update.key))
            .update_expression(update.update_expression)
            .set_condition_expression(update.condition_expression)
            .set_expression_attribute_names(update.expression_attribute_names)
            .set_expression_attribute_values(update.expression_attribute_values)
            .set_return_values_on_condition_check_failure(
                update.return_values_on_condition_check_failure,
            )
            .return_values(ReturnValue::AllOld);
        match request.send().await {
            Ok(answer) => Ok(Answer::Written(answer.attributes)),
            Err(SdkError::ServiceError(error)) => match error.into_err() {
                UpdateItemError::ConditionalCheckFailedException(refusal) => {
                    Ok(Answer::Refused(refusal.item))
                }
                error => Err(classify_service(error)),
            },
            Err(error) => Err(classify(error)),
        }
    }

    /// Sends an update that is conditional on the claim. A refusal is no failure
    /// if the same attempt has settled the record before: its client repeated a
    /// write whose answer was lost.
    async fn settle(
        &self,
        update: Update,
        decide: impl FnOnce(Option<&Record>) -> Result<Record, Superseded>,
    ) -> Result<(), StoreError> {
        let Answer::Refused(old) = self.send_update(update).await? else {
            return Ok(());
        };
        let record = read(old.as_ref())?;
        let settled = decide(record.as_ref())?;
        if record == Some(settled) {
            Ok(())
        } else {
            Err(contradiction())
        }
    }
}

/// What DynamoDB made of a conditional write, with the item that it found.
enum Answer {
    Written(Option<Item>),
    Refused(Option<Item>),
}

/// An expression and the values it names.
struct Expression {
    text: String,
    values: Item,
}

impl Expression {
    fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            values: Item::new(),
        }
    }

    fn with(mut self, placeholder: &str, value: AttributeValue) -> Self {
        self.values.insert(placeholder.to_owned(), value);
        self
    }
}

fn may_begin(claim: &Claim) -> Expression {
    Expression::new(MAY_BEGIN)
        .with(":nowSeconds", seconds(claim.now.to_seconds()))
        .with(":started", text(STARTED))
        .with(":fingerprint", text(claim.fingerprint.as_str()))
        .with(":takesOverUntil", millis(claim.takes_over_until()))
}

fn absent(claim: &Claim) -> Expression {
    Expression::new(ABSENT).with(":nowSeconds", seconds(claim.now.to_seconds()))
}

fn held(owner: OwnerToken, state: &str) -> Expression {
    Expression::new(IS_HELD)
        .with(":owner", text(owner.to_string()))
        .with(":held", text(state))
}

fn in_transaction(update: Update) -> TransactWriteItem {
    TransactWriteItem::builder().update(update).build()
}

fn is_own(record: Option<&Record>, claim: &Claim) -> bool {
    record.is_some_and(|record| record.owner() == claim.owner)
}

fn refused_undo(record: Option<&Record>, claim: &Claim) -> Result<BeginUndo, StoreError> {
    match decide_begin_undo(record, claim) {
        BeginUndo::Start(_) if !is_own(record, claim) => Err(contradiction()),
        answer => Ok(answer),
    }
}

/// The condition and the decision are two forms of one rule; if they ever differ,
/// doing nothing is the safe way.
fn contradiction() -> StoreError {
    StoreError::Invalid("the table refused what the record allows".into())
}

fn unbuildable(error: BuildError) -> StoreError {
    StoreError::Invalid(Box::new(error))
}

/// Only what no repetition can cure is invalid. A missing table or permission is
/// not: once it is put right, the same message succeeds.
fn classify<E, R>(error: SdkError<E, R>) -> StoreError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    match error {
        SdkError::ConstructionFailure(_) => StoreError::Invalid(Box::new(error)),
        SdkError::ServiceError(error) => classify_service(error.into_err()),
        _ => StoreError::Unavailable(Box::new(error)),
    }
}

fn classify_service<E>(error: E) -> StoreError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match error.code() {
        Some("ValidationException") => StoreError::Invalid(Box::new(error)),
        _ => StoreError::Unavailable(Box::new(error)),
    }
}
