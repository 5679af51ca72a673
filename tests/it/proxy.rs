//! The proxy that faults and measurements come in by.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::AttributeValue;
use waybill_tests::proxy::{Call, Decide, Decision, Proxy, Refusal};
use waybill_tests::{Environment, Request, unique};

/// Decides each call alike, and notes what it was.
#[derive(Debug)]
struct Always {
    decision: Decision,
    seen: Mutex<Vec<(String, String)>>,
}

impl Decide for Always {
    fn decide(&self, call: &Call) -> Decision {
        let seen = (call.service.clone(), call.operation.clone());
        self.seen.lock().unwrap().push(seen);
        self.decision
    }
}

/// A proxy before the environment, and clients that go through it and do not repeat.
struct Between {
    environment: Environment,
    always: Arc<Always>,
    proxy: Proxy,
    config: SdkConfig,
}

impl Between {
    async fn with(decision: Decision) -> Self {
        let environment = Environment::connect().await;
        let always = Arc::new(Always {
            decision,
            seen: Mutex::default(),
        });
        let proxy = Proxy::start("127.0.0.1:0", environment.endpoint(), always.clone()).await;
        let config = environment.config_of("test", "test").to_builder();
        let config = config.retry_config(RetryConfig::disabled()).build();
        Self {
            environment,
            always,
            proxy,
            config,
        }
    }

    // The endpoint of a client goes before that of the environment's variables.
    fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        let config = aws_sdk_dynamodb::config::Builder::from(&self.config);
        aws_sdk_dynamodb::Client::from_conf(config.endpoint_url(self.proxy.url()).build())
    }

    fn sns(&self) -> aws_sdk_sns::Client {
        let config = aws_sdk_sns::config::Builder::from(&self.config);
        aws_sdk_sns::Client::from_conf(config.endpoint_url(self.proxy.url()).build())
    }

    fn sqs(&self) -> aws_sdk_sqs::Client {
        let config = aws_sdk_sqs::config::Builder::from(&self.config);
        aws_sdk_sqs::Client::from_conf(config.endpoint_url(self.proxy.url()).build())
    }

    /// Writes an item; gives its key and the name of the error, empty where the call was cut off.
    async fn put(&self) -> (String, Result<(), String>) {
        let sku = unique("PROXY");
        let put = self
            .dynamodb()
            .put_item()
            .table_name(self.environment.output("StockTableName"))
            .item("sku", AttributeValue::S(sku.clone()))
            .send()
            .await;
        let failed = |error: aws_sdk_dynamodb::error::SdkError<_>| {
            let name = error
                .as_service_error()
                .and_then(ProvideErrorMetadata::code);
            name.unwrap_or_default().to_owned()
        };
        (sku, put.map(|_| ()).map_err(failed))
    }

    async fn is_stored(&self, sku: &str) -> bool {
        let found = self
            .environment
            .dynamodb
            .get_item()
            .table_name(self.environment.output("StockTableName"))
            .key("sku", AttributeValue::S(sku.to_owned()))
            .consistent_read(true)
            .send()
            .await
            .unwrap();
        found.item.is_some()
    }
}

#[track_caller]
fn is(found: &Result<(), String>, wanted: Result<(), &str>) {
    assert_eq!(*found, wanted.map_err(str::to_owned));
}

#[tokio::test]
async fn a_call_that_passes_arrives_and_is_named() {
    let between = Between::with(Decision::Pass).await;
    let (sku, put) = between.put().await;
    is(&put, Ok(()));
    assert!(between.is_stored(&sku).await);
    let topics = between.sns().list_topics();
    topics.send().await.unwrap();
    let order = Request::get("/orders/7f0d2f5e-3c5b-5a8e-9a39-6f9a2f1c0b11");
    let url = between.proxy.url();
    let answer = between.environment.send_by(&url, &order).await;
    assert_eq!(answer.unwrap().status, 404);
    let seen = between.always.seen.lock().unwrap();
    let named = |service: &str, operation: &str| (service.to_owned(), operation.to_owned());
    let path = format!("GET {}", order.path);
    let wanted = [
        named("dynamodb", "PutItem"),
        named("sns", "ListTopics"),
        named("execute-api", &path),
    ];
    assert_eq!(*seen, wanted);
}

#[tokio::test]
async fn a_call_that_is_delayed_arrives_later() {
    let delay = Duration::from_millis(300);
    let between = Between::with(Decision::Delay(delay)).await;
    let began = Instant::now();
    let (sku, put) = between.put().await;
    is(&put, Ok(()));
    assert!(began.elapsed() >= delay);
    assert!(between.is_stored(&sku).await);
}

#[tokio::test]
async fn a_call_that_is_cut_off_before_does_not_arrive() {
    let between = Between::with(Decision::CutBefore).await;
    let (sku, put) = between.put().await;
    is(&put, Err(""));
    assert!(!between.is_stored(&sku).await);
}

#[tokio::test]
async fn a_call_that_is_cut_off_after_arrives_and_nobody_hears_of_it() {
    let between = Between::with(Decision::CutAfter).await;
    let (sku, put) = between.put().await;
    is(&put, Err(""));
    assert!(between.is_stored(&sku).await);
}

#[tokio::test]
async fn a_call_that_is_refused_does_not_arrive_and_fails_in_the_words_of_its_service() {
    let between = Between::with(Decision::Refuse(Refusal::Throttled)).await;
    let (sku, put) = between.put().await;
    is(&put, Err("ProvisionedThroughputExceededException"));
    assert!(!between.is_stored(&sku).await);
    let topics = between.sns().list_topics();
    let refused = topics.send().await.unwrap_err();
    assert_eq!(refused.into_service_error().code(), Some("Throttled"));
    let queues = between.sqs().list_queues();
    let refused = queues.send().await.unwrap_err();
    assert_eq!(
        refused.into_service_error().code(),
        Some("RequestThrottled")
    );

    let between = Between::with(Decision::Refuse(Refusal::Unavailable)).await;
    let (sku, put) = between.put().await;
    is(&put, Err("InternalServerError"));
    assert!(!between.is_stored(&sku).await);
    let topics = between.sns().list_topics();
    let refused = topics.send().await.unwrap_err();
    assert_eq!(refused.raw_response().unwrap().status().as_u16(), 500);
}
