//! `order-api`: the gateway's event, and the body in it.

use std::sync::LazyLock;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use aws_lambda_events::encodings::Body;
use aws_smithy_types::base64;
use jsonschema::Validator;
use order_api::{Access, OrderApi};
use serde_json::{Value, json};
use testkit::{World, fixtures};

use super::{Target, Verdict, in_runtime};
use crate::corpus::seeds;

/// The whole event.
pub(super) const REQUEST: Target = Target {
    name: "request",
    seeds: || seeds("request", &["events/order-api"]),
    check: |input| match serde_json::from_slice(input) {
        Ok(request) => check(&request),
        // The gateway wrote it, so that it cannot be; the function fails, and all is as before.
        Err(_) => Verdict::Refused,
    },
};

/// The order in it, as text and as base64.
pub(super) const BODY: Target = Target {
    name: "order",
    seeds: || {
        let sample = "crates/contracts/samples/order-request.v1";
        let samples = ["json", "minimal.json", "largest.json"].map(|end| format!("{sample}.{end}"));
        seeds("order", &samples.each_ref().map(String::as_str))
    },
    check: |input| {
        let as_base64 = check(&post(&base64::encode(input), true));
        if let Ok(text) = std::str::from_utf8(input) {
            assert_eq!(
                check(&post(text, false)),
                as_base64,
                "text and base64 differ"
            );
        }
        as_base64
    },
};

fn post(body: &str, is_base64: bool) -> ApiGatewayV2httpRequest {
    let mut event: Value = serde_json::from_str(&fixtures::sample("order-api/post-order")).unwrap();
    event["body"] = json!(body);
    event["isBase64Encoded"] = json!(is_base64);
    serde_json::from_value(event).unwrap()
}

/// Every status that the document has, with its schema for each media type.
static DESCRIBED: LazyLock<Vec<(String, String, Validator)>> = LazyLock::new(|| {
    let document: Value =
        serde_json::from_str(include_str!("../../../../docs/openapi.json")).unwrap();
    let mut described = Vec::new();
    for operation in [
        &document["paths"]["/orders"]["post"],
        &document["paths"]["/orders/{orderId}"]["get"],
    ] {
        for (status, answer) in operation["responses"].as_object().unwrap() {
            let answer = match answer["$ref"].as_str() {
                Some(target) => document.pointer(&target[1..]).unwrap(),
                None => answer,
            };
            for (media_type, content) in answer["content"].as_object().unwrap() {
                let schema = json!({
                    "$schema": "https://json-schema.org/draft/2020-12/schema",
                    "components": document["components"], "allOf": [content["schema"]],
                });
                let validator = jsonschema::draft202012::new(&schema).unwrap();
                described.push((status.clone(), media_type.clone(), validator));
            }
        }
    }
    described
});

/// An answer is one that the document has, and not large.
fn check_answer(answer: &ApiGatewayV2httpResponse) -> Value {
    assert!(answer.status_code < 500, "{answer:?}");
    let Some(Body::Text(text)) = &answer.body else {
        panic!("no text: {answer:?}");
    };
    assert!(text.len() <= 128 * 1024, "{} bytes of answer", text.len());
    let body: Value = serde_json::from_str(text).unwrap();
    let media_type = answer.headers["content-type"].to_str().unwrap();
    let status = answer.status_code.to_string();
    let fits = DESCRIBED
        .iter()
        .filter(|(of, under, _)| *of == status && under == media_type)
        .any(|(_, _, validator)| validator.is_valid(&body));
    assert!(fits, "not described: {answer:?}");
    body
}

fn check(request: &ApiGatewayV2httpRequest) -> Verdict {
    in_runtime(async {
        let (world, before) = (World::new(), World::new());
        let api = OrderApi::new(world.clone(), world.clock(), Access::Iam);
        let answer = api.handle(request).await;
        let body = check_answer(&answer);
        if answer.status_code != 202 {
            assert!(world.is_same_as(&before), "refused, and something was done");
            return Verdict::Refused;
        }
        let order = body["orderId"].as_str().unwrap().parse().unwrap();
        assert_eq!(world.timeline(order).len(), 1, "accepted is stored");
        let placed = contracts::EventMessage::parse(&world.timeline(order)[0].json).unwrap();
        let stored = placed.placed_order().unwrap();
        assert_eq!(body["total"]["amount"], stored.total().amount);
        let written = contracts::write_order(&stored);
        assert_eq!(contracts::parse_order(written.as_bytes()), Ok(stored));
        let again = api.handle(request).await;
        assert_eq!(again.status_code, 202);
        assert_eq!(again.headers["idempotency-replayed"], "true");
        assert_eq!(world.timeline(order).len(), 1, "once");
        Verdict::Accepted
    })
}
