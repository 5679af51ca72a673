//! Records in a DynamoDB table.
//!
//! The table has one string partition key, `id` unless chosen otherwise, and
//! time to live on `expiresAt`; or it has a composite key, and the records are in
//! [one partition](DynamoDbStore::with_partition) of it. What each step costs:
//!
//! | step                                                    | requests | write units |
//! |---------------------------------------------------------|----------|-------------|
//! | `begin`: first run, duplicate, conflict or takeover     | 1        | 1           |
//! | `begin_undo`: each of those, and a tombstone            | 1        | 1           |
//! | `begin_undo` of a record that expired, not yet deleted  | 2        | 2           |
//! | `complete`, `release`, `renew` and their undo forms     | 1        | 1           |
//! | a part of the caller's own transaction                  | 0        | 2           |
//! | `get`                                                   | 1        | 0 (1 read unit) |
//!
//! The units are for a record of up to a kilobyte. A larger one costs as many as it
//! has kilobytes, at each step but the first: DynamoDB charges a write for the larger
//! of the old and the new item, and a refused write for the item that it met.
//!
//! Permissions: `dynamodb:PutItem`, `dynamodb:UpdateItem`, and `dynamodb:GetItem`
//! for [`Store::get`] alone.

mod item;

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::{PutItemError, PutItemInput, PutItemOutput};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, Put, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
    Update,
};

use self::item::{
    COMPLETED, FINGERPRINT, Item, LEASE_UNTIL, Layout, OWNER, RESULT, STARTED, STATE,
    UNDO_FINGERPRINT, UNDO_RESULT, UNDOING, UNDONE, millis, seconds, text,
};
use crate::record::{
    decide_begin, decide_begin_undo, decide_complete, decide_complete_undo, decide_release,
    decide_release_undo,
};
use crate::{
    Begin, BeginUndo, Claim, Key, Millis, OwnerToken, Record, Renew, ResultJson, Seconds, Started,
    Store, StoreError, Superseded, UndoStarted,
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
const IS_RENEWABLE: &str = "#owner = :owner AND #state = :held AND #leaseUntil > :givenBack";

/// A [`Store`] in a DynamoDB table. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DynamoDbStore {
    client: Client,
    puts: Option<Arc<dyn SendPut>>,
    table: String,
    layout: Layout,
}

/// What comes of a put.
pub type BoxedPut<'a> =
    Pin<Box<dyn Future<Output = Result<PutItemOutput, SdkError<PutItemError>>> + Send + 'a>>;

/// Another way for the request that every operation begins with, for whoever has a cheaper
/// one than the SDK's client. It must repeat what failed in passing, as the client does.
pub trait SendPut: fmt::Debug + Send + Sync {
    /// Sends a put.
    fn put(&self, input: PutItemInput) -> BoxedPut<'_>;
}

impl DynamoDbStore {
    /// Records in this table, whose partition key is called `id`, and whose time
    /// to live is on `expiresAt`.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self {
            client,
            puts: None,
            table: table.into(),
            layout: Layout::default(),
        }
    }

    /// Sends the claims another way than by the client, which sends all else.
    #[must_use]
    pub fn with_puts(mut self, puts: impl SendPut + 'static) -> Self {
        self.puts = Some(Arc::new(puts));
        self
    }

    /// The same for a table whose key attribute has another name: its partition
    /// key, or its sort key [in a composite key](Self::with_partition).
    #[must_use]
    pub fn with_key_attribute(mut self, name: impl Into<String>) -> Self {
        self.layout.key = name.into();
        self
    }

    /// The same for a table with a composite primary key: all records of this
    /// store are in the partition `value` of the partition key `attribute`, and
    /// the key attribute is the table's sort key.
    ///
    /// One partition takes up to 1,000 write units a second. Beyond that, use
    /// several stores with a partition each, or a table of their own.
    ///
    /// ```no_run
    /// # use idempotency::DynamoDbStore;
    /// # fn store(client: aws_sdk_dynamodb::Client) -> DynamoDbStore {
    /// DynamoDbStore::new(client, "everything")
    ///     .with_partition("pk", "idempotency#mailer")
    ///     .with_key_attribute("sk")
    ///     .with_expiry_attribute("ttl")
    /// # }
    /// ```
    #[must_use]
    pub fn with_partition(
        mut self,
        attribute: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        self.layout.partition = Some((attribute.into(), value.into()));
        self
    }

    /// The same for a table whose time to live is on another attribute.
    #[must_use]
    pub fn with_expiry_attribute(mut self, name: impl Into<String>) -> Self {
        self.layout.expires_at = name.into();
        self
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
        &self,
        item: Option<&HashMap<String, AttributeValue>>,
        claim: &Claim,
    ) -> Result<Begin, StoreError> {
        let record = self.layout.read(item)?;
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
        &self,
        item: Option<&HashMap<String, AttributeValue>>,
        claim: &Claim,
    ) -> Result<BeginUndo, StoreError> {
        Ok(decide_begin_undo(self.layout.read(item)?.as_ref(), claim))
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
            Answer::Written(old) => Ok(decide_begin(
                self.layout.read(old.as_ref())?.as_ref(),
                claim,
            )),
            Answer::Refused(old) => self.interpret_begin_failure(old.as_ref(), claim),
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
            Answer::Written(old) => Ok(decide_begin_undo(
                self.layout.read(old.as_ref())?.as_ref(),
                claim,
            )),
            Answer::Refused(old) => {
                let record = self.layout.read(old.as_ref())?;
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
            .set_key(Some(self.layout.primary_key(key)))
            .send()
            .await
            .map_err(classify)?;
        self.layout.read(answer.item())
    }
}

impl Renew for DynamoDbStore {
    async fn renew(&self, started: &Started, until: Millis) -> Result<Started, StoreError> {
        let renewed = started.renewed(until);
        let terms = (renewed.lease_until, renewed.expires_at);
        let update = self.renewal_update(&started.key, terms, (started.owner, STARTED))?;
        self.renew_with(update).await?;
        Ok(renewed)
    }

    async fn renew_undo(
        &self,
        started: &UndoStarted,
        until: Millis,
    ) -> Result<UndoStarted, StoreError> {
        let renewed = started.renewed(until);
        let terms = (renewed.lease_until, renewed.expires_at);
        let update = self.renewal_update(&started.key, terms, (started.owner, UNDOING))?;
        self.renew_with(update).await?;
        Ok(renewed)
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

    fn renewal_update(
        &self,
        key: &Key,
        (lease_until, expires_at): (Millis, Seconds),
        (owner, state): (OwnerToken, &str),
    ) -> Result<Update, StoreError> {
        let condition = Expression::new(IS_RENEWABLE)
            .with(":owner", text(owner.to_string()))
            .with(":held", text(state))
            .with(":givenBack", millis(Millis::EPOCH));
        let change = Expression::new("SET #leaseUntil = :leaseUntil, #expiresAt = :expiresAt")
            .with(":leaseUntil", millis(lease_until))
            .with(":expiresAt", seconds(expires_at));
        self.update(key, change, condition)
    }

    /// A renewal that is repeated finds its own lease and writes it again, so a
    /// refusal always means that the claim is lost.
    async fn renew_with(&self, update: Update) -> Result<(), StoreError> {
        match self.send_update(update).await? {
            Answer::Written(_) => Ok(()),
            Answer::Refused(_) => Err(Superseded.into()),
        }
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
            Answer::Refused(old) => refused_undo(self.layout.read(old.as_ref())?.as_ref(), claim),
        }
    }

    fn item<const N: usize>(
        &self,
        claim: &Claim,
        state: &str,
        details: [(&str, AttributeValue); N],
    ) -> Item {
        let common = [
            (STATE, text(state)),
            (OWNER, text(claim.owner.to_string())),
            (&self.layout.expires_at, seconds(claim.expires_at)),
        ];
        let attributes = common.into_iter().chain(details);
        let mut item = self.layout.primary_key(&claim.key);
        item.extend(attributes.map(|(name, value)| (name.to_owned(), value)));
        item
    }

    fn put(&self, item: Item, condition: Expression) -> Result<Put, StoreError> {
        Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .set_expression_attribute_names(Some(self.layout.names(&condition.text)))
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
        let mut names = self.layout.names(&change.text);
        names.extend(self.layout.names(&condition.text));
        let mut values = change.values;
        values.extend(condition.values);
        Update::builder()
            .table_name(&self.table)
            .set_key(Some(self.layout.primary_key(key)))
            .update_expression(change.text)
            .condition_expression(condition.text)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(Some(values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(unbuildable)
    }

    async fn send_put(&self, put: Put) -> Result<Answer, StoreError> {
        match self.put_by(put).await {
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

    async fn put_by(&self, put: Put) -> Result<PutItemOutput, SdkError<PutItemError>> {
        let input = PutItemInput::builder()
            .table_name(put.table_name)
            .set_item(Some(put.item))
            .set_condition_expression(put.condition_expression)
            .set_expression_attribute_names(put.expression_attribute_names)
            .set_expression_attribute_values(put.expression_attribute_values)
            .set_return_values_on_condition_check_failure(
                put.return_values_on_condition_check_failure,
            )
            .return_values(ReturnValue::AllOld);
        // Boxed in both cases: the futures of whoever builds on this are deep enough.
        let sent: BoxedPut<'_> = match &self.puts {
            Some(puts) => puts.put(input.build().map_err(SdkError::construction_failure)?),
            None => Box::pin(input.send_with(&self.client)),
        };
        sent.await
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
        let record = self.layout.read(old.as_ref())?;
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
