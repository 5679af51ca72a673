//! What really happened.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use contracts::Timestamp;
use domain::{Currency, Money, OrderId};
use ports::ProviderError;

use crate::clients::Clients;
use crate::environment::{Environment, EnvironmentError};

/// The table of effects, and the table in which the sandbox counts attempts.
#[derive(Debug, Clone)]
pub struct Ledger {
    client: Client,
    effects: String,
    state: String,
}

/// One thing that happened.
#[derive(Debug, Clone)]
pub(super) struct Effect {
    pub(super) kind: &'static str,
    pub(super) money: Option<Money>,
    pub(super) reference: String,
}

/// Whether an effect is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Now,
    Before,
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
            effects: environment.text("SANDBOX_LEDGER_TABLE")?,
            state: environment.text("SANDBOX_STATE_TABLE")?,
        })
    }

    /// Writes an effect, once for each key.
    pub(super) async fn write(
        &self,
        order: OrderId,
        key: &str,
        effect: &Effect,
    ) -> Result<Written, ProviderError> {
        let mut put = self
            .client
            .put_item()
            .table_name(&self.effects)
            .item("orderId", text(order.to_string()))
            .item("key", text(key))
            .item("kind", text(effect.kind))
            .item("reference", text(&effect.reference))
            .item("at", text(now().to_string()))
            .condition_expression("attribute_not_exists(orderId)");
        if let Some(money) = effect.money {
            put = put
                .item("amount", AttributeValue::N(money.amount.to_string()))
                .item("currency", text(money.currency.as_str()));
        }
        match put.send().await {
            Ok(_) => Ok(Written::Now),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|e| e.is_conditional_check_failed_exception()) =>
            {
                Ok(Written::Before)
            }
            Err(error) => Err(ProviderError::OutcomeUnknown(Box::new(error))),
        }
    }

    /// What happened under a key: the money and the reference.
    pub(super) async fn find(
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
        let a_week_on = now().epoch_millis() / 1000 + 7 * 24 * 60 * 60;
        let counted = self
            .client
            .update_item()
            .table_name(&self.state)
            .key("key", text(key))
            .update_expression("ADD attempts :one SET expiresAt = :soon")
            .expression_attribute_values(":one", AttributeValue::N("1".to_owned()))
            .expression_attribute_values(":soon", AttributeValue::N(a_week_on.to_string()))
            .return_values(ReturnValue::UpdatedNew)
            .send()
            .await
            .map_err(|error| ProviderError::Unavailable(Box::new(error)))?;
        let attempts = counted
            .attributes
            .as_ref()
            .and_then(|item| item.get("attempts"));
        Ok(attempts.and_then(read_number).unwrap_or_default())
    }
}

fn read_money(item: &HashMap<String, AttributeValue>) -> Option<Money> {
    let amount = item.get("amount").and_then(read_number)?;
    Some(Money {
        amount,
        currency: Currency::new(&read_text(item, "currency")).ok()?,
    })
}

fn read_text(item: &HashMap<String, AttributeValue>, name: &str) -> String {
    item.get(name)
        .and_then(|value| value.as_s().ok())
        .cloned()
        .unwrap_or_default()
}

fn read_number(value: &AttributeValue) -> Option<u64> {
    value.as_n().ok()?.parse().ok()
}

fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_epoch_millis(u64::try_from(since.as_millis()).unwrap_or_default())
}
