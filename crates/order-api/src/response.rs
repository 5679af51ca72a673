//! What the API answers.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use aws_lambda_events::encodings::Body;
use contracts::Reason;
use domain::{CorrelationId, Money, OrderId, OrderStatus};
use http::HeaderValue;
use http::header::{CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER};
use ports::OrderRecord;
use serde::Serialize;

use crate::problem::Problem;

const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const CORRELATION: HeaderName = HeaderName::from_static("x-correlation-id");

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OrderBody<'a> {
    order_id: String,
    status: &'static str,
    correlation_id: &'a str,
    total: TotalBody<'a>,
    links: Links,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeline: Option<Vec<EventBody<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a Reason>,
}

#[derive(Serialize)]
struct TotalBody<'a> {
    amount: u64,
    currency: &'a str,
}

#[derive(Serialize)]
struct Links {
    #[serde(rename = "self")]
    own: String,
}

#[derive(Serialize)]
struct EventBody<'a> {
    #[serde(rename = "type")]
    event_type: &'a str,
    time: &'a str,
    sequence: usize,
}

/// `202`: the order is stored. The same answer for the first request and for its
/// repetitions, which are marked.
pub(crate) fn accepted(
    id: OrderId,
    total: Money,
    correlation: &CorrelationId,
    replayed: bool,
) -> ApiGatewayV2httpResponse {
    let body = OrderBody {
        order_id: id.to_string(),
        status: OrderStatus::Accepted.as_str(),
        correlation_id: correlation.as_str(),
        total: total_body(&total),
        links: links(id),
        timeline: None,
        reason: None,
    };
    let mut response = json(202, "application/json", to_json(&body));
    set(&mut response, LOCATION, &links(id).own);
    set(&mut response, CORRELATION, correlation.as_str());
    if replayed {
        set(&mut response, REPLAYED, "true");
    }
    response
}

/// `200`: the order as it is now.
pub(crate) fn order(order: &OrderRecord) -> ApiGatewayV2httpResponse {
    let timeline = order
        .timeline
        .iter()
        .enumerate()
        .map(|(index, event)| EventBody {
            event_type: &event.event_type,
            time: &event.time,
            sequence: index + 1,
        });
    let body = OrderBody {
        order_id: order.id.to_string(),
        status: order.status.as_str(),
        correlation_id: order.correlation.as_str(),
        total: total_body(&order.total),
        links: links(order.id),
        timeline: Some(timeline.collect()),
        reason: order.reason.as_ref(),
    };
    json(200, "application/json", to_json(&body))
}

/// A problem document.
pub(crate) fn problem(problem: &Problem, correlation_id: &str) -> ApiGatewayV2httpResponse {
    let body = problem.document(correlation_id);
    let mut response = json(
        i64::from(problem.status()),
        "application/problem+json",
        body,
    );
    if *problem == Problem::Unavailable {
        set(&mut response, RETRY_AFTER, "2");
    }
    response
}

fn total_body(total: &Money) -> TotalBody<'_> {
    TotalBody {
        amount: total.amount,
        currency: total.currency.as_str(),
    }
}

fn links(id: OrderId) -> Links {
    Links {
        own: format!("/orders/{id}"),
    }
}

/// Text and numbers always serialise.
fn to_json(body: &impl Serialize) -> String {
    serde_json::to_string(body).unwrap_or_default()
}

fn json(status: i64, content_type: &'static str, body: String) -> ApiGatewayV2httpResponse {
    let mut response = ApiGatewayV2httpResponse::default();
    response.status_code = status;
    response
        .headers
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.body = Some(Body::Text(body));
    response
}

/// A value that no header can carry is left out.
fn set(response: &mut ApiGatewayV2httpResponse, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers.insert(name, value);
    }
}
