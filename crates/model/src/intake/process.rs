//! The real API on the real adapter: each request to DynamoDB is one call.

use std::fmt;

use aws_adapters::DynamoOrders;
use aws_credential_types::Credentials;
use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use aws_lambda_events::encodings::Body;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::{RetryPartition, TokenBucket};
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use order_api::{Access, OrderApi};
use serde::Serialize;
use serde_json::{Value, json};

use crate::tree::{Program, Script};
use crate::worker::Still;

const REQUEST: &str = include_str!("../../../../events/order-api/post-order.json");

/// A request of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Start {
    /// Which client: each names its requests in a way of its own.
    pub(super) client: u8,
    /// Which of two orders it wants under the one key.
    pub(super) order: u8,
}

/// A call of the function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call {
    /// A request to DynamoDB to put an item.
    Put(Put),
    /// The answer to the client.
    Answer(Answer),
}

/// The request as it goes out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Put {
    /// The item, as DynamoDB writes it.
    pub(super) item: String,
    /// Its condition.
    pub(super) condition: Option<String>,
}

/// What a client is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The HTTP status.
    pub status: i64,
    /// The body of a 202.
    pub body: String,
    /// The order that it names.
    pub order_id: String,
    /// What that costs.
    pub total: String,
}

/// The answer to a [`Call`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// Done.
    Done,
    /// The condition does not hold: this item is there.
    Refused(String),
    /// No answer; the request may have had its effect, or may have it later.
    NoAnswer,
}

/// The function.
#[derive(Debug)]
pub(super) struct Function;

impl Program for Function {
    type Start = Start;
    type Call = Call;
    type Reply = Reply;

    async fn run(start: &Start, script: Script<Call, Reply>) -> bool {
        let table = DynamoOrders::new(client(Wire(script.clone())), "orders".to_owned());
        let api = OrderApi::new(table, Still, Access::Iam);
        let response = api.handle(&request(*start)).await;
        script.ask(Call::Answer(answer(&response))).await;
        true
    }
}

/// As the gateway hands it over.
#[allow(
    clippy::expect_used,
    reason = "a request that does not parse is a defect of the model"
)]
fn request(start: Start) -> ApiGatewayV2httpRequest {
    let mut event: Value = serde_json::from_str(REQUEST).expect("the sample is JSON");
    event["headers"]["x-correlation-id"] = json!(format!("req-of-client-{}", start.client));
    let body = event["body"].as_str().unwrap_or_default();
    let mut body: Value = serde_json::from_str(body).expect("the order is JSON");
    body["items"][0]["quantity"] = json!(start.order + 1);
    event["body"] = json!(body.to_string());
    serde_json::from_value(event).expect("the sample is a request")
}

/// A refusal names the request that it is for, and nothing else that differs.
fn answer(response: &ApiGatewayV2httpResponse) -> Answer {
    let status = response.status_code;
    let body = match &response.body {
        Some(Body::Text(text)) if status == 202 => text.clone(),
        _ => String::new(),
    };
    let told: Value = serde_json::from_str(&body).unwrap_or_default();
    Answer {
        status,
        order_id: told["orderId"].as_str().unwrap_or_default().to_owned(),
        total: told["total"]["amount"].to_string(),
        body,
    }
}

/// As `Clients` makes it, on a wire of the model. Clients of one process share what may
/// be spent on retries; here each program is a process of its own.
fn client(wire: Wire) -> Client {
    let http = http_client_fn(move |_, _| SharedHttpConnector::new(wire.clone()));
    let retries = RetryPartition::custom("model");
    let retries = retries.token_bucket(TokenBucket::unlimited()).build();
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("key", "secret", None, None, "model"))
        .retry_config(RetryConfig::standard())
        .retry_partition(retries)
        .http_client(http);
    Client::from_conf(config.build())
}

#[derive(Clone)]
struct Wire(Script<Call, Reply>);

impl fmt::Debug for Wire {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Wire")
    }
}

const CONDITION_FAILED: &str = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = request.body().bytes().unwrap_or_default();
        let call = Call::Put(put(body));
        let script = self.0.clone();
        HttpConnectorFuture::new(async move {
            match script.ask(call).await {
                Reply::Done => Ok(respond(200, &json!({}))),
                Reply::Refused(item) => {
                    let item: Value = serde_json::from_str(&item).unwrap_or_default();
                    let message = "The conditional request failed";
                    Ok(respond(
                        400,
                        &json!({ "__type": CONDITION_FAILED, "message": message, "Item": item }),
                    ))
                }
                Reply::NoAnswer => Err(ConnectorError::timeout("no answer".into())),
            }
        })
    }
}

/// The API asks the table for nothing else.
fn put(body: &[u8]) -> Put {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let condition = request["ConditionExpression"].as_str();
    assert!(request["Item"].is_object(), "the request is a put");
    Put {
        item: request["Item"].to_string(),
        condition: condition.map(str::to_owned),
    }
}

#[allow(clippy::expect_used, reason = "two constants, both of them a status")]
fn respond(status: u16, body: &Value) -> HttpResponse {
    let status = StatusCode::try_from(status).expect("a status");
    HttpResponse::new(status, SdkBody::from(body.to_string()))
}
