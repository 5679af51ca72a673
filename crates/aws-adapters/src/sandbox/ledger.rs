//! What really happened.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{ConditionCheck, Put, ReturnValue, TransactWriteItem};
use domain::{Currency, Money, OrderId};
use ports::ProviderError;

use crate::calls::DynamoCalls;
use crate::clients::Clients;
use crate::dynamodb::{Item, now, number, read_number, read_text, text};
use crate::environment::{Environment, EnvironmentError};

/// The table of effects, and the table in which the sandbox counts attempts.
#[derive(Debug, Clone)]
pub struct Ledger {
    pub(super) client: Client,
    calls: DynamoCalls,
    effects: String,
    pub(super) state: String,
}

/// One thing that happened.
#[derive(Debug, Clone)]
pub(super) struct Effect {
    pub(super) kind: &'static str,
    pub(super) money: Option<Money>,
    pub(super) reference: String,
}

/// What came of writing an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// It happened now.
    Now,
    /// It had happened before, under the same key.
    Before {
        /// Its undo has happened as well.
        called_off: bool,
    },
    /// It must not happen any more: its undo came first.
    Barred,
}

impl Ledger {
    /// The tables that the environment names.
    ///
    /// # Errors
    /// [`EnvironmentError`] names the variable that is missing.
    pub fn from_environment(
        environment: Environment,
        clients: &Clients,
    ) -> Result<Self, EnvironmentError> {
        Ok(Self {
            client: clients.dynamodb(),
            calls: clients.dynamodb_calls()?,
            effects: environment.text("SANDBOX_LEDGER_TABLE")?,
            state: environment.text("SANDBOX_STATE_TABLE")?,
        })
    }

    /// These tables.
    pub fn new(client: Client, calls: DynamoCalls, effects: String, state: String) -> Self {
        Self {
            client,
            calls,
            effects,
            state,
        }
    }

    /// Writes an effect, once for each key, unless its undo has barred the key.
    pub(super) async fn write(
        &self,
        order: OrderId,
        key: &str,
        effect: &Effect,
    ) -> Result<Written, ProviderError> {
        let put = Put::builder()
            .table_name(&self.effects)
            .set_item(Some(to_item(order, key, effect)))
            .condition_expression("attribute_not_exists(orderId)")
            .build()
            .map_err(defect)?;
        let not_barred = ConditionCheck::builder()
            .table_name(&self.state)
            .key("key", text(barred(key)))
            .condition_expression("attribute_not_exists(#key)")
            .expression_attribute_names("#key", "key")
            .build()
            .map_err(defect)?;
        let put = TransactWriteItem::builder().put(put).build();
        let not_barred = TransactWriteItem::builder()
            .condition_check(not_barred)
            .build();
        Ok(
            match self.transact(vec![put, not_barred]).await?.as_slice() {
                [] => Written::Now,
                [false, true] => Written::Barred,
                [_, called_off] => Written::Before {
                    called_off: *called_off,
                },
                _ => Written::Before { called_off: false },
            },
        )
    }

    /// Finds what happened under a key; where nothing has, bars the key, so that
    /// nothing ever will.
    pub(super) async fn find_or_bar(
        &self,
        order: OrderId,
        key: &str,
    ) -> Result<Option<(Option<Money>, String)>, ProviderError> {
        if let Some(effect) = self.find(order, key).await? {
            return Ok(Some(effect));
        }
        let nothing_happened = ConditionCheck::builder()
            .table_name(&self.effects)
            .key("orderId", text(order.to_string()))
            .key("key", text(key))
            .condition_expression("attribute_not_exists(orderId)")
            .build()
            .map_err(defect)?;
        let nothing_happened = TransactWriteItem::builder().condition_check(nothing_happened);
        let refused = self
            .transact(vec![nothing_happened.build(), self.bar(key)?])
            .await?;
        // Something happened between the look and the bar.
        if refused.is_empty() {
            Ok(None)
        } else {
            self.find(order, key).await
        }
    }

    /// Writes the undo of an effect, once for each key, and bars the effect's key.
    pub(super) async fn write_undo(
        &self,
        order: OrderId,
        key: &str,
        effect: &Effect,
        undone_key: &str,
    ) -> Result<(), ProviderError> {
        let put = Put::builder()
            .table_name(&self.effects)
            .set_item(Some(to_item(order, key, effect)))
            .condition_expression("attribute_not_exists(orderId)")
            .build()
            .map_err(defect)?;
        let put = TransactWriteItem::builder().put(put).build();
        // Refused where it was written before; then the bar is there too.
        self.transact(vec![put, self.bar(undone_key)?]).await?;
        Ok(())
    }

    fn bar(&self, key: &str) -> Result<TransactWriteItem, ProviderError> {
        let put = Put::builder()
            .table_name(&self.state)
            .item("key", text(barred(key)))
            .item(
                "expiresAt",
                number(now().epoch_millis() / 1000 + REMEMBERED_SECONDS),
            )
            .build()
            .map_err(defect)?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// Writes all or nothing; gives, for each item, whether its condition failed.
    async fn transact(&self, items: Vec<TransactWriteItem>) -> Result<Vec<bool>, ProviderError> {
        let Err(error) = self.calls.transact(items).await else {
            return Ok(Vec::new());
        };
        let failed: Vec<bool> = match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => cancelled
                .cancellation_reasons()
                .iter()
                .map(|reason| reason.code() == Some("ConditionalCheckFailed"))
                .collect(),
            _ => Vec::new(),
        };
        if failed.contains(&true) {
            Ok(failed)
        } else {
            Err(ProviderError::OutcomeUnknown(Box::new(error)))
        }
    }

    /// What happened under a key: the money and the reference.
    async fn find(
        &self,
        order: OrderId,
        key: &str,
    ) -> Result<Option<(Option<Money>, String)>, ProviderError> {
        let found = self
            .client
            .get_item()
            .table_name(&self.effects)
            .key("orderId", text(order.to_string()))
            .key("key", text(key))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| ProviderError::Unavailable(Box::new(error)))?;
        Ok(found
            .item
            .map(|item| (read_money(&item), read_text(&item, "reference"))))
    }

    /// Counts an attempt under a key, and gives their number.
    pub(super) async fn count_attempt(&self, key: &str) -> Result<u64, ProviderError> {
        let forgotten_at = now().epoch_millis() / 1000 + REMEMBERED_SECONDS;
        let counted = self
            .client
            .update_item()
            .table_name(&self.state)
            .key("key", text(key))
            .update_expression("ADD attempts :one SET expiresAt = :soon")
            .expression_attribute_values(":one", number(1_u64))
            .expression_attribute_values(":soon", number(forgotten_at))
            .return_values(ReturnValue::UpdatedNew)
            .send()
            .await
            .map_err(|error| ProviderError::Unavailable(Box::new(error)))?;
        let attempts = counted
            .attributes
            .and_then(|item| read_number(&item, "attempts"));
        Ok(attempts.unwrap_or_default())
    }
}

/// The ports ask for 60 days.
const REMEMBERED_SECONDS: u64 = 70 * 24 * 60 * 60;

fn barred(key: &str) -> String {
    format!("barred/{key}")
}

fn to_item(order: OrderId, key: &str, effect: &Effect) -> Item {
    let mut item = HashMap::from([
        ("orderId".to_owned(), text(order.to_string())),
        ("key".to_owned(), text(key)),
        ("kind".to_owned(), text(effect.kind)),
        ("reference".to_owned(), text(&effect.reference)),
        ("at".to_owned(), text(now().to_string())),
    ]);
    if let Some(money) = effect.money {
        item.insert("amount".to_owned(), number(money.amount));
        item.insert("currency".to_owned(), text(money.currency.as_str()));
    }
    item
}

/// A request that cannot be built has certainly had no effect.
fn defect(error: BuildError) -> ProviderError {
    ProviderError::Unavailable(Box::new(error))
}

fn read_money(item: &Item) -> Option<Money> {
    let amount = read_number(item, "amount")?;
    Some(Money {
        amount,
        currency: Currency::new(&read_text(item, "currency")).ok()?,
    })
}
