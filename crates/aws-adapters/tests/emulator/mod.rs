//! Tables and queues of its own for each test, in the emulator at `AWS_ENDPOINT_URL`.

use std::env;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use aws_adapters::DynamoCalls;
use aws_credential_types::Credentials;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType,
};
use aws_sdk_sqs::types::QueueAttributeName;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::SystemTimeSource;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextRef,
};
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::{Response, StatusCode};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use idempotency::OwnerToken;

/// The clients, and the names of what a test made.
#[derive(Debug, Clone)]
pub(crate) struct Emulator {
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
    #[allow(dead_code, reason = "not every test makes them")]
    pub(crate) calls: DynamoCalls,
    pub(crate) sqs: aws_sdk_sqs::Client,
    pub(crate) wire: Wire,
    prefix: String,
}

/// Runs a test, and deletes its tables and queues whatever becomes of it.
///
/// Without an emulator it says that nothing was tested. Where that must not
/// happen, as in CI, `WAYBILL_REQUIRE_EMULATOR=1` makes it a failure.
pub(crate) async fn with_emulator<F>(test: impl FnOnce(Emulator) -> F)
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
    let emulator = Emulator::connect(endpoint);
    let outcome = tokio::spawn(test(emulator.clone())).await;
    emulator.delete_everything().await;
    outcome.unwrap();
}

impl Emulator {
    fn connect(endpoint: String) -> Self {
        let from_env = |name: &str| env::var(name).unwrap_or_else(|_| "test".to_owned());
        let credentials = Credentials::new(
            from_env("AWS_ACCESS_KEY_ID"),
            from_env("AWS_SECRET_ACCESS_KEY"),
            env::var("AWS_SESSION_TOKEN").ok(),
            None,
            "tests",
        );
        let region = env::var("AWS_REGION").unwrap_or_else(|_| "us-east-1".to_owned());
        let config = SdkConfig::builder()
            .behavior_version(aws_sdk_dynamodb::config::BehaviorVersion::latest())
            .region(Region::new(region))
            .endpoint_url(endpoint)
            .credentials_provider(
                aws_credential_types::provider::SharedCredentialsProvider::new(credentials.clone()),
            )
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .retry_config(RetryConfig::standard())
            .timeout_config(TimeoutConfig::disabled())
            .sleep_impl(TokioSleep::new())
            .time_source(SystemTimeSource::new())
            .build();
        let wire = Wire::default();
        let dynamodb = aws_sdk_dynamodb::config::Builder::from(&config).interceptor(wire.clone());
        Self {
            dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb.build()),
            calls: DynamoCalls::new(&config, &credentials, &aws_adapters::retry_budget("tests"))
                .unwrap(),
            sqs: aws_sdk_sqs::Client::new(&config),
            wire,
            prefix: format!("failures-test-{}", OwnerToken::random()),
        }
    }

    /// A table with its key, and with its indexes: their names and keys.
    /// A key that begins with `#` is a number.
    pub(crate) async fn table(
        &self,
        name: &str,
        keys: &[&str],
        indexes: &[(&str, [&str; 2])],
    ) -> String {
        let name = format!("{}-{name}", self.prefix);
        let mut request = self
            .dynamodb
            .create_table()
            .table_name(&name)
            .billing_mode(BillingMode::PayPerRequest)
            .set_key_schema(Some(schema(keys)));
        let of_indexes = indexes.iter().flat_map(|(_, keys)| keys.iter().copied());
        let mut attributes: Vec<_> = keys.iter().copied().chain(of_indexes).collect();
        attributes.sort_unstable();
        attributes.dedup();
        for attribute in attributes {
            request = request.attribute_definitions(definition(attribute));
        }
        for (index, keys) in indexes {
            let all = Projection::builder().projection_type(ProjectionType::All);
            let index = GlobalSecondaryIndex::builder()
                .index_name(*index)
                .set_key_schema(Some(schema(keys)))
                .projection(all.build());
            request = request.global_secondary_indexes(index.build().unwrap());
        }
        request.send().await.unwrap();
        self.wire.requests();
        name
    }

    /// A queue and its URL. What is received too often from it goes to the other one, if any.
    pub(crate) async fn queue(&self, name: &str, redrive_to: Option<&str>) -> String {
        let mut request = self
            .sqs
            .create_queue()
            .queue_name(format!("{}-{name}", self.prefix));
        if let Some(url) = redrive_to {
            let arn = QueueAttributeName::QueueArn;
            let told = self.sqs.get_queue_attributes().queue_url(url);
            let told = told.attribute_names(arn.clone()).send().await.unwrap();
            let arn = &told.attributes().unwrap()[&arn];
            let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":1}}"#);
            request = request.attributes(QueueAttributeName::RedrivePolicy, policy);
        }
        request.send().await.unwrap().queue_url.unwrap()
    }

    async fn delete_everything(&self) {
        let tables = self.dynamodb.list_tables().into_paginator().items().send();
        for table in tables.collect::<Result<Vec<_>, _>>().await.unwrap() {
            if table.starts_with(&self.prefix) {
                let request = self.dynamodb.delete_table().table_name(table);
                request.send().await.unwrap();
            }
        }
        let queues = self.sqs.list_queues().queue_name_prefix(&self.prefix);
        for url in queues.send().await.unwrap().queue_urls() {
            let request = self.sqs.delete_queue().queue_url(url);
            request.send().await.unwrap();
        }
    }
}

fn schema(keys: &[&str]) -> Vec<KeySchemaElement> {
    let types = [KeyType::Hash, KeyType::Range];
    let keys = keys.iter().zip(types);
    keys.map(|(key, key_type)| {
        let element = KeySchemaElement::builder().attribute_name(key.trim_start_matches('#'));
        element.key_type(key_type).build().unwrap()
    })
    .collect()
}

fn definition(attribute: &str) -> AttributeDefinition {
    let attribute_type = match attribute.starts_with('#') {
        true => ScalarAttributeType::N,
        false => ScalarAttributeType::S,
    };
    let definition =
        AttributeDefinition::builder().attribute_name(attribute.trim_start_matches('#'));
    definition.attribute_type(attribute_type).build().unwrap()
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
