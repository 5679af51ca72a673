//! Requests as the gateway passes them on, and answers as a client reads them.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use aws_lambda_events::encodings::Body;
use domain::OrderId;
use order_api::{Access, OrderApi};
use serde_json::{Value, json};
use testkit::{World, fixtures};

/// A request as the gateway writes it; a test changes what it is about.
#[derive(Debug, Clone)]
pub(crate) struct Request(pub(crate) Value);

impl Request {
    /// One of the events in `events/order-api`.
    pub(crate) fn sample(name: &str) -> Self {
        let sample = fixtures::sample(&format!("order-api/{name}"));
        Self(serde_json::from_str(&sample).unwrap())
    }

    /// A good order.
    pub(crate) fn post() -> Self {
        Self::sample("post-order").body(&fixtures::order_request())
    }

    pub(crate) fn get(order: &str) -> Self {
        let mut request = Self::sample("get-order");
        request.0["rawPath"] = json!(format!("/orders/{order}"));
        request.0["pathParameters"]["orderId"] = json!(order);
        request
    }

    pub(crate) fn body(self, order: &Value) -> Self {
        self.text(&order.to_string())
    }

    pub(crate) fn text(mut self, body: &str) -> Self {
        self.0["body"] = json!(body);
        self
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.0["headers"][name] = json!(value);
        self
    }

    pub(crate) fn without_header(mut self, name: &str) -> Self {
        self.0["headers"].as_object_mut().unwrap().remove(name);
        self
    }

    /// Signed by a customer's token instead of a system's key.
    pub(crate) fn of_customer(mut self, subject: &str) -> Self {
        let jwt = json!({ "claims": { "sub": subject }, "scopes": null });
        self.0["requestContext"]["authorizer"] = json!({ "jwt": jwt });
        self
    }

    pub(crate) fn route(&self) -> String {
        self.0["routeKey"].as_str().unwrap().to_owned()
    }
}

/// An answer of the API.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case, sorted.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) text: String,
    pub(crate) body: Value,
}

impl Answer {
    fn read(response: &ApiGatewayV2httpResponse) -> Self {
        let text = match response.body.as_ref().unwrap() {
            Body::Text(text) => text.clone(),
            other => panic!("{other:?}"),
        };
        let mut headers: Vec<_> = response
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        headers.sort();
        assert!(!response.is_base64_encoded);
        Self {
            status: response.status_code.try_into().unwrap(),
            headers,
            body: serde_json::from_str(&text).unwrap(),
            text,
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let header = headers.find(|(own, _)| own == name);
        header.map(|(_, value)| value.as_str())
    }

    /// The name of the problem that it tells of.
    #[track_caller]
    pub(crate) fn problem(&self) -> &str {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        let problem = self.body["type"].as_str().unwrap();
        problem.strip_prefix("urn:waybill:problem:").unwrap()
    }

    pub(crate) fn order_id(&self) -> OrderId {
        self.body["orderId"].as_str().unwrap().parse().unwrap()
    }
}

/// Sends a request to an API over this world.
pub(crate) async fn send(world: &World, access: Access, request: &Request) -> Answer {
    let event: ApiGatewayV2httpRequest = serde_json::from_value(request.0.clone()).unwrap();
    let api = OrderApi::new(world.clone(), world.clock(), access);
    Answer::read(&api.handle(&event).await)
}

/// The same, from a system that acts for all customers.
pub(crate) async fn send_signed(world: &World, request: &Request) -> Answer {
    send(world, Access::Iam, request).await
}
