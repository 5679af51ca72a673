//! Calls ask what the SDK's clients ask, and take what happens as they do.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test reports its failure"
)]

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_adapters::{Call, DynamoCalls, Operation, retry_budget};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::config::BehaviorVersion;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::{PutItem, PutItemError, PutItemInput};
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use aws_sdk_sfn::operation::send_task_success::{SendTaskSuccess, SendTaskSuccessInput};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::{SystemTimeSource, TimeSource};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use serde_json::{Value, json};

/// A service with these answers; when they are used up, it gives none.
#[derive(Debug, Clone, Default)]
struct Service {
    answers: Arc<Mutex<VecDeque<(u16, String)>>>,
    requests: Arc<Mutex<Vec<Asked>>>,
}

/// A clock that is set by hand, in seconds since 1970.
#[derive(Debug, Clone)]
struct HandClock(Arc<AtomicU64>);

impl TimeSource for HandClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

#[derive(Debug, Clone)]
struct Asked {
    uri: String,
    headers: Vec<(String, String)>,
    body: Value,
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.map_or("", |(_, value)| value)
    }
}

impl HttpConnector for Service {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let headers = request.headers().iter();
        self.requests.lock().unwrap().push(Asked {
            uri: request.uri().to_owned(),
            headers: headers.map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
            body: serde_json::from_slice(request.body().bytes().unwrap()).unwrap(),
        });
        let Some((status, body)) = self.answers.lock().unwrap().pop_front() else {
            return HttpConnectorFuture::new(std::future::pending());
        };
        let status = StatusCode::try_from(status).unwrap();
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(body))))
    }
}

impl Service {
    fn answering(answers: &[(u16, Value)]) -> Self {
        let answers = answers
            .iter()
            .map(|(status, body)| (*status, body.to_string()));
        Self {
            answers: Arc::new(Mutex::new(answers.collect())),
            requests: Arc::default(),
        }
    }

    fn config(&self, region: &str, url: Option<&str>) -> SdkConfig {
        let service = self.clone();
        let http = http_client_fn(move |_, _| SharedHttpConnector::new(service.clone()));
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(Duration::from_secs(3))
            .operation_timeout(Duration::from_secs(8));
        let mut config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .credentials_provider(SharedCredentialsProvider::new(credentials()))
            .http_client(http)
            .sleep_impl(TokioSleep::new())
            .time_source(SystemTimeSource::new())
            .retry_config(RetryConfig::standard())
            .timeout_config(timeouts.build());
        config.set_endpoint_url(url.map(str::to_owned));
        config.build()
    }

    fn call<O: Operation>(&self, region: &str, url: Option<&str>) -> Call<O> {
        Call::new(
            &self.config(region, url),
            &credentials(),
            &retry_budget("test"),
        )
        .unwrap()
    }

    fn asked(&self) -> Vec<Asked> {
        self.requests.lock().unwrap().clone()
    }
}

fn credentials() -> Credentials {
    Credentials::new("key", "secret", Some("token".to_owned()), None, "test")
}

fn put() -> PutItemInput {
    let input = PutItemInput::builder().table_name("records");
    let input = input.item("id", AttributeValue::S("a".to_owned()));
    let input = input.condition_expression("attribute_not_exists(id)");
    input.build().unwrap()
}

/// Whether a call asked what the client asked, and signed it alike.
#[track_caller]
fn check_alike(client: &Asked, call: &Asked) {
    assert_eq!(call.uri, client.uri);
    let mut body = call.body.clone();
    // Each makes its own.
    if let Some(token) = body.get_mut("ClientRequestToken") {
        *token = client.body["ClientRequestToken"].clone();
    }
    assert_eq!(body, client.body);
    let names = [
        "content-type",
        "content-length",
        "x-amz-target",
        "x-amz-security-token",
    ];
    for name in names {
        assert_eq!(call.header(name), client.header(name), "{name}");
        assert_ne!(call.header(name), "", "{name}");
    }
    assert!(call.header("user-agent").starts_with("waybill/"));
    assert_eq!(signed(call), signed(client));
}

/// By whom and for which service a request is signed, and which of its headers: without
/// those that only the client sends.
fn signed(asked: &Asked) -> (String, Vec<String>) {
    let (scope, rest) = asked.header("authorization").split_once(", ").unwrap();
    let (headers, _) = rest.split_once(", ").unwrap();
    let headers = headers.strip_prefix("SignedHeaders=").unwrap().split(';');
    let is_clients = |it: &&str| it.starts_with("amz-sdk-") || *it == "x-amz-user-agent";
    let common = headers.filter(|it| !is_clients(it)).map(str::to_owned);
    (scope.to_owned(), common.collect())
}

#[tokio::test]
async fn a_call_asks_what_the_sdks_client_asks() {
    let answers: Vec<_> = (0..6).map(|_| (200, json!({}))).collect();
    let service = Service::answering(&answers);
    let config = service.config("eu-central-1", None);
    let client = aws_sdk_dynamodb::Client::new(&config);
    let calls = DynamoCalls::new(&config, &credentials(), &retry_budget("test")).unwrap();

    let sent = client.put_item().table_name("records");
    let sent = sent.item("id", AttributeValue::S("a".to_owned()));
    let sent = sent.condition_expression("attribute_not_exists(id)");
    sent.send().await.unwrap();
    let call: Call<PutItem> = service.call("eu-central-1", None);
    call.send(put()).await.unwrap();

    let item = Put::builder().table_name("records");
    let item = item.item("id", AttributeValue::S("a".to_owned()));
    let item = TransactWriteItem::builder()
        .put(item.build().unwrap())
        .build();
    let sent = client.transact_write_items().transact_items(item.clone());
    sent.send().await.unwrap();
    calls.transact(vec![item]).await.unwrap();

    let states = aws_sdk_sfn::Client::new(&config);
    let sent = states.send_task_success().task_token("t").output("{}");
    sent.send().await.unwrap();
    let call: Call<SendTaskSuccess> = service.call("eu-central-1", None);
    call.send(success()).await.unwrap();

    let asked = service.asked();
    assert_eq!(asked.len(), 6);
    for pair in asked.chunks(2) {
        check_alike(&pair[0], &pair[1]);
    }
    let (scope, headers) = signed(&asked[1]);
    assert!(scope.ends_with("/eu-central-1/dynamodb/aws4_request"));
    assert!(headers.contains(&"host".to_owned()), "{headers:?}");
}

fn success() -> SendTaskSuccessInput {
    let input = SendTaskSuccessInput::builder().task_token("t").output("{}");
    input.build().unwrap()
}

#[tokio::test]
async fn each_service_is_asked_where_the_rules_of_the_sdk_say() {
    #[track_caller]
    fn check(service: &Service, uri: &str) {
        assert_eq!(service.asked().last().unwrap().uri, uri);
    }
    let answers: Vec<_> = (0..3).map(|_| (200, json!({}))).collect();
    let service = Service::answering(&answers);
    let states: Call<SendTaskSuccess> = service.call("eu-central-1", None);
    states.send(success()).await.unwrap();
    check(&service, "https://states.eu-central-1.amazonaws.com/");
    let china: Call<PutItem> = service.call("cn-north-1", None);
    china.send(put()).await.unwrap();
    check(&service, "https://dynamodb.cn-north-1.amazonaws.com.cn/");
    let local: Call<PutItem> = service.call("eu-central-1", Some("http://127.0.0.1:4566"));
    local.send(put()).await.unwrap();
    check(&service, "http://127.0.0.1:4566/");
}

#[test]
fn an_address_with_a_path_is_refused_at_the_start() {
    let config = Service::default().config("eu-central-1", Some("http://127.0.0.1:4566/aws"));
    let refused = Call::<PutItem>::new(&config, &credentials(), &retry_budget("test")).unwrap_err();
    assert_eq!(refused.to_string(), "an AWS endpoint with a path");
}

#[tokio::test(start_paused = true)]
async fn a_transaction_whose_answer_was_lost_is_repeated_with_the_same_token() {
    let service = Service::answering(&[(500, json!({})), (200, json!({})), (200, json!({}))]);
    let config = service.config("eu-central-1", None);
    let calls = DynamoCalls::new(&config, &credentials(), &retry_budget("test")).unwrap();
    let put = Put::builder()
        .table_name("t")
        .item("id", AttributeValue::S("a".to_owned()));
    let item = TransactWriteItem::builder()
        .put(put.build().unwrap())
        .build();
    calls.transact(vec![item.clone()]).await.unwrap();
    calls.transact(vec![item]).await.unwrap();

    let tokens: Vec<_> = service
        .asked()
        .iter()
        .map(|it| it.body["ClientRequestToken"].clone())
        .collect();
    assert!(tokens[0].is_string());
    assert_eq!(tokens[0], tokens[1]);
    assert_ne!(
        tokens[0], tokens[2],
        "another transaction has another token"
    );
}

#[tokio::test]
async fn a_refusal_is_told_with_its_item_and_not_repeated() {
    let refusal = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
        "message": "The conditional request failed",
        "Item": { "id": { "S": "a" } },
    });
    let service = Service::answering(&[(400, refusal)]);
    let call: Call<PutItem> = service.call("eu-central-1", None);
    let SdkError::ServiceError(error) = call.send(put()).await.unwrap_err() else {
        panic!("the service refused");
    };
    let PutItemError::ConditionalCheckFailedException(refused) = error.into_err() else {
        panic!("its condition failed");
    };
    assert_eq!(
        refused.item().unwrap()["id"],
        AttributeValue::S("a".to_owned())
    );
    assert_eq!(service.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn throttling_is_repeated_as_often_as_the_configuration_says() {
    let throttled = json!({ "__type": "x#ProvisionedThroughputExceededException" });
    let answers: Vec<_> = (0..5).map(|_| (400, throttled.clone())).collect();
    let service = Service::answering(&answers);
    let call: Call<PutItem> = service.call("eu-central-1", None);
    let error = call.send(put()).await.unwrap_err();
    assert!(matches!(error, SdkError::ServiceError(_)), "{error:?}");
    assert_eq!(service.asked().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_answer_is_given_up_in_time() {
    let service = Service::default();
    let call: Call<PutItem> = service.call("eu-central-1", None);
    let begin = tokio::time::Instant::now();
    let sending = tokio::spawn(async move { call.send(put()).await });
    tokio::time::sleep(Duration::from_millis(2_999)).await;
    assert_eq!(service.asked().len(), 1);
    let error = sending.await.unwrap().unwrap_err();
    assert!(matches!(error, SdkError::TimeoutError(_)), "{error:?}");
    assert!(begin.elapsed() <= Duration::from_secs(8));
    assert!(
        service.asked().len() > 1,
        "an attempt ends before all time is used up"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_repeated_is_asked_as_before() {
    let service = Service::answering(&[(503, json!({})), (200, json!({}))]);
    let call: Call<PutItem> = service.call("eu-central-1", None);
    call.send(put()).await.unwrap();
    let asked = service.asked();
    let [first, second] = asked.as_slice() else {
        panic!("two requests, and not {asked:?}");
    };
    assert_eq!((&first.uri, &first.body), (&second.uri, &second.body));
    let names = |asked: &Asked| {
        let mut names: Vec<_> = asked.headers.iter().map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    };
    assert_eq!(names(first), names(second));
    for (name, value) in &first.headers {
        if !["authorization", "x-amz-date"].contains(&name.as_str()) {
            assert_eq!(second.header(name), value, "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_keeps_failing_is_spared_and_tried_again_with_time() {
    let answers: Vec<_> = (0..100).map(|_| (500, json!({}))).collect();
    let service = Service::answering(&answers);
    let clock = HandClock(Arc::new(AtomicU64::new(1_800_000_000)));
    let config = service.config("eu-central-1", None).into_builder();
    let config = config.time_source(clock.clone()).build();
    let call: Call<PutItem> = Call::new(&config, &credentials(), &retry_budget("test")).unwrap();
    let mut asked = Vec::new();
    for _ in 0..30 {
        let before = service.asked().len();
        call.send(put()).await.unwrap_err();
        asked.push(service.asked().len() - before);
    }
    assert_eq!((asked[0], asked[29]), (3, 1), "{asked:?}");

    clock.0.fetch_add(2, Ordering::Relaxed);
    let before = service.asked().len();
    call.send(put()).await.unwrap_err();
    assert_eq!(service.asked().len() - before, 3);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_no_service_wrote_is_repeated() {
    let service = Service::default();
    for answer in [(502, "<html>bad gateway</html>"), (503, ""), (200, "{}")] {
        let (status, body) = answer;
        let mut answers = service.answers.lock().unwrap();
        answers.push_back((status, body.to_owned()));
    }
    let call: Call<PutItem> = service.call("eu-central-1", None);
    call.send(put()).await.unwrap();
    assert_eq!(service.asked().len(), 3);
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_an_error_and_not_repeated() {
    let service = Service::default();
    let garbage = (200, "{ this is not JSON".to_owned());
    service.answers.lock().unwrap().push_back(garbage);
    let call: Call<PutItem> = service.call("eu-central-1", None);
    let error = call.send(put()).await.unwrap_err();
    let SdkError::ServiceError(error) = error else {
        panic!("as the SDK's client tells it, and not {error:?}");
    };
    assert!(!error.err().is_conditional_check_failed_exception());
    assert_eq!(service.asked().len(), 1);
}

/// A server that gives its first request another answer, and tells over which of its
/// connections each request came.
struct Server {
    url: String,
    connections: Arc<Mutex<Vec<usize>>>,
}

impl Server {
    fn answering_first(first: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&connections);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let seen = Arc::clone(&seen);
                std::thread::spawn(move || serve(stream.unwrap(), (number, first), &seen));
            }
        });
        Self { url, connections }
    }
}

fn serve(mut stream: TcpStream, (number, first): (usize, &str), seen: &Mutex<Vec<usize>>) {
    let host = format!("\r\nhost: {}\r\n", stream.local_addr().unwrap());
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut chunk) {
        request.extend_from_slice(&chunk[..count]);
        // The end of the body.
        if !request.ends_with(b"(id)\"}") {
            continue;
        }
        // As it was signed.
        assert!(String::from_utf8_lossy(&request).contains(&host));
        request.clear();
        let mut seen = seen.lock().unwrap();
        seen.push(number);
        if seen.len() > 1 {
            stream
                .write_all(b"HTTP/1.1 200 -\r\nContent-Length: 2\r\n\r\n{}")
                .unwrap();
            continue;
        }
        stream.write_all(first.as_bytes()).unwrap();
        if !first.ends_with("{}") {
            return;
        }
    }
}

async fn connections_of_three_calls(first: &'static str) -> Vec<usize> {
    let server = Server::answering_first(first);
    let http = aws_smithy_http_client::Builder::new().build_http();
    let config = Service::default().config("eu-central-1", Some(&server.url));
    let config = config.into_builder().http_client(http).build();
    let call: Call<PutItem> = Call::new(&config, &credentials(), &retry_budget("test")).unwrap();
    for _ in 0..3 {
        call.send(put()).await.unwrap();
    }
    server.connections.lock().unwrap().clone()
}

#[tokio::test]
async fn a_connection_that_led_to_an_error_is_not_used_again() {
    let failing = "HTTP/1.1 500 -\r\nContent-Length: 2\r\n\r\n{}";
    assert_eq!(connections_of_three_calls(failing).await, [0, 1, 1, 1]);
}

#[tokio::test]
async fn a_call_whose_connection_breaks_is_made_again() {
    for broken in ["", "HTTP/1.1 200 -\r\nContent-Length: 9\r\n\r\n{\"a"] {
        assert_eq!(connections_of_three_calls(broken).await, [0, 1, 1, 1]);
    }
}
