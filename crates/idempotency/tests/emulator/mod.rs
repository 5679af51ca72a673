//! A table of its own for each test, in the emulator at `AWS_ENDPOINT_URL`, and
//! a client that counts its requests.

use std::env;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextRef,
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
    with_table_keyed_by("id", test).await;
}

/// The same with another name for the partition key.
pub(crate) async fn with_table_keyed_by<F>(key_attribute: &str, test: impl FnOnce(Table) -> F)
where
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
    let table = Table::create(&endpoint, key_attribute).await;
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
    async fn create(endpoint: &str, key_attribute: &str) -> Self {
        let wire = Wire::default();
        let client = client(endpoint, wire.clone());
        let name = format!("idempotency-test-{}", OwnerToken::random());
        let key = KeySchemaElement::builder()
            .attribute_name(key_attribute)
            .key_type(KeyType::Hash);
        let attribute = AttributeDefinition::builder()
            .attribute_name(key_attribute)
            .attribute_type(ScalarAttributeType::S);
        let request = client.create_table().table_name(&name);
        let request = request.key_schema(key.build().unwrap());
        let request = request.attribute_definitions(attribute.build().unwrap());
        request
            .billing_mode(BillingMode::PayPerRequest)
            .send()
            .await
            .unwrap();
        let store = DynamoDbStore::new(client.clone(), &name).with_key_attribute(key_attribute);
        wire.requests();
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

/// Counts the requests that go over the wire, retries too, and can lose an answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wire {
    requests: Arc<AtomicUsize>,
    loses_next_answer: Arc<AtomicBool>,
}

impl Wire {
    /// The number of requests since the last time of asking.
    pub(crate) fn requests(&self) -> usize {
        self.requests.swap(0, Ordering::SeqCst)
    }

    /// The next request is carried out, but its answer becomes a server error,
    /// which makes the SDK repeat the request.
    pub(crate) fn lose_next_answer(&self) {
        self.loses_next_answer.store(true, Ordering::SeqCst);
    }
}

#[dyn_dispatch_hint]
impl Intercept for Wire {
    fn name(&self) -> &'static str {
        "wire"
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
}
