//! A table of its own for each test, in the emulator at `AWS_ENDPOINT_URL`, and
//! a client that counts its requests and the write units that they consume.

use std::collections::HashMap;
use std::env;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::operation::put_item::{PutItemError, PutItemInput, PutItemOutput};
use aws_sdk_dynamodb::operation::transact_write_items::{
    TransactWriteItemsInput, TransactWriteItemsOutput,
};
use aws_sdk_dynamodb::operation::update_item::{
    UpdateItemError, UpdateItemInput, UpdateItemOutput,
};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, ConsumedCapacity, KeySchemaElement, KeyType,
    ReturnConsumedCapacity, ScalarAttributeType,
};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    AfterDeserializationInterceptorContextRef, BeforeDeserializationInterceptorContextMut,
    BeforeSerializationInterceptorContextMut, BeforeTransmitInterceptorContextRef, Error, Output,
};
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::{Response, StatusCode};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use idempotency::{DynamoDbStore, OwnerToken};

/// A table, the store in it, and what went over the wire.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) client: Client,
    pub(crate) name: String,
    pub(crate) store: DynamoDbStore,
    pub(crate) wire: Wire,
}

/// Runs a test with a new table, and deletes the table whatever becomes of it.
///
/// Without an emulator it says that nothing was tested. Where that must not
/// happen, as in CI, `WAYBILL_REQUIRE_EMULATOR=1` makes it a failure.
pub(crate) async fn with_table<F>(test: impl FnOnce(Table) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    with_table_keyed_by(["id"], test).await;
}

/// The same with other names for the attributes of the primary key: the partition
/// key, and after it the sort key if there is to be one.
pub(crate) async fn with_table_keyed_by<F, const N: usize>(
    key_attributes: [&str; N],
    test: impl FnOnce(Table) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let Ok(endpoint) = env::var("AWS_ENDPOINT_URL") else {
        let required = env::var("WAYBILL_REQUIRE_EMULATOR").is_ok_and(|value| value == "1");
        assert!(
            !required,
            "AWS_ENDPOINT_URL names no emulator, and one is required"
        );
        // Written past the capture of the test harness, so that it is seen.
        let mut stderr = std::io::stderr();
        writeln!(
            stderr,
            "SKIPPED, not tested: AWS_ENDPOINT_URL names no emulator"
        )
        .unwrap();
        return;
    };
    let table = Table::create(&endpoint, &key_attributes).await;
    let outcome = tokio::spawn(test(table.clone())).await;
    table
        .client
        .delete_table()
        .table_name(&table.name)
        .send()
        .await
        .unwrap();
    outcome.unwrap();
}

impl Table {
    async fn create(endpoint: &str, key_attributes: &[&str]) -> Self {
        let wire = Wire::default();
        let client = client(endpoint, wire.clone());
        let name = format!("idempotency-test-{}", OwnerToken::random());
        let mut request = client.create_table().table_name(&name);
        for (attribute, kind) in key_attributes.iter().zip([KeyType::Hash, KeyType::Range]) {
            let key = KeySchemaElement::builder()
                .attribute_name(*attribute)
                .key_type(kind);
            let definition = AttributeDefinition::builder()
                .attribute_name(*attribute)
                .attribute_type(ScalarAttributeType::S);
            request = request.key_schema(key.build().unwrap());
            request = request.attribute_definitions(definition.build().unwrap());
        }
        request
            .billing_mode(BillingMode::PayPerRequest)
            .send()
            .await
            .unwrap();
        let store = DynamoDbStore::new(client.clone(), &name);
        wire.cost();
        Self {
            client,
            name,
            store,
            wire,
        }
    }
}

pub(crate) fn client(endpoint: &str, wire: Wire) -> Client {
    let from_env = |name: &str| env::var(name).unwrap_or_else(|_| "test".to_owned());
    let credentials = Credentials::new(
        from_env("AWS_ACCESS_KEY_ID"),
        from_env("AWS_SECRET_ACCESS_KEY"),
        env::var("AWS_SESSION_TOKEN").ok(),
        None,
        "tests",
    );
    let region = env::var("AWS_REGION").unwrap_or_else(|_| "us-east-1".to_owned());
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region))
        .endpoint_url(endpoint)
        .credentials_provider(credentials)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .interceptor(wire)
        .build();
    Client::from_conf(config)
}

/// Requests and write units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) requests: usize,
    pub(crate) write_units: usize,
}

/// Counts what goes over the wire, retries too, and can lose an answer.
///
/// The write units of a write that succeeded are what the answer reports. A
/// refusal reports none, but is charged: for the size of the item that stood in
/// the way, which is in the answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wire {
    requests: Arc<AtomicUsize>,
    write_units: Arc<AtomicUsize>,
    loses_next_answer: Arc<AtomicBool>,
}

impl Wire {
    /// The number of requests since the last time of asking.
    pub(crate) fn requests(&self) -> usize {
        self.cost().requests
    }

    /// What was spent since the last time of asking.
    pub(crate) fn cost(&self) -> Cost {
        Cost {
            requests: self.requests.swap(0, Ordering::SeqCst),
            write_units: self.write_units.swap(0, Ordering::SeqCst),
        }
    }

    /// The next request is carried out, but its answer becomes a server error,
    /// which makes the SDK repeat the request.
    pub(crate) fn lose_next_answer(&self) {
        self.loses_next_answer.store(true, Ordering::SeqCst);
    }
}

/// What a successful write reports. There are no parts of units.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "units are small whole numbers"
)]
fn reported(consumed: &ConsumedCapacity) -> usize {
    consumed.capacity_units().unwrap() as usize
}

/// What a refused write is charged: one unit for each kilobyte that is begun of
/// the item that it met.
fn charged(item: Option<&HashMap<String, AttributeValue>>) -> usize {
    let bytes = |(name, value): (&String, &AttributeValue)| {
        name.len()
            + match value {
                AttributeValue::S(text) => text.len(),
                AttributeValue::N(digits) => digits.len().div_ceil(2) + 1,
                other => panic!("a record has no {other:?}"),
            }
    };
    let bytes: usize = item.into_iter().flatten().map(bytes).sum();
    bytes.div_ceil(1024).max(1)
}

fn write_units(answer: Result<&Output, &Error>) -> usize {
    match answer {
        Ok(output) => {
            let one = output
                .downcast_ref::<PutItemOutput>()
                .and_then(PutItemOutput::consumed_capacity)
                .or_else(|| {
                    output
                        .downcast_ref::<UpdateItemOutput>()?
                        .consumed_capacity()
                });
            let many = output.downcast_ref::<TransactWriteItemsOutput>();
            let many = many.map(TransactWriteItemsOutput::consumed_capacity);
            let all = one.into_iter().chain(many.into_iter().flatten());
            all.map(reported).sum()
        }
        Err(error) => match (error.downcast_ref(), error.downcast_ref()) {
            (Some(PutItemError::ConditionalCheckFailedException(refusal)), _)
            | (_, Some(UpdateItemError::ConditionalCheckFailedException(refusal))) => {
                charged(refusal.item())
            }
            _ => 0,
        },
    }
}

#[dyn_dispatch_hint]
impl Intercept for Wire {
    fn name(&self) -> &'static str {
        "wire"
    }

    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let total = || Some(ReturnConsumedCapacity::Total);
        let input = context.input_mut();
        if let Some(input) = input.downcast_mut::<PutItemInput>() {
            input.return_consumed_capacity = total();
        } else if let Some(input) = input.downcast_mut::<UpdateItemInput>() {
            input.return_consumed_capacity = total();
        } else if let Some(input) = input.downcast_mut::<TransactWriteItemsInput>() {
            input.return_consumed_capacity = total();
        }
        Ok(())
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if self.loses_next_answer.swap(false, Ordering::SeqCst) {
            let server_error = StatusCode::try_from(500)?;
            *context.response_mut() = Response::new(server_error, SdkBody::empty());
        }
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let answer = match context.output_or_error() {
            Ok(output) => Ok(output),
            Err(error) => match error.as_operation_error() {
                Some(error) => Err(error),
                None => return Ok(()),
            },
        };
        self.write_units
            .fetch_add(write_units(answer), Ordering::SeqCst);
        Ok(())
    }
}
