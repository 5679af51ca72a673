//! What the handler answers is what `docs/openapi.json` says, and it says nothing else.

use std::collections::BTreeSet;

use contracts::{Event, Reason};
use jsonschema::Validator;
use order_api::Access;
use serde_json::{Value, json};
use testkit::{Fault, Operation, VirtualClock, World, fixtures};

use crate::client::{Answer, Request, send, send_signed};

fn document() -> Value {
    serde_json::from_str(include_str!("../../../../docs/openapi.json")).unwrap()
}

/// A validator for a schema that stands somewhere in the document.
fn validator(document: &Value, schema: &Value) -> Validator {
    let whole = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "components": document["components"],
        "allOf": [schema],
    });
    jsonschema::draft202012::new(&whole).unwrap()
}

fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(target) => document.pointer(&target[1..]).unwrap(),
        None => value,
    }
}

/// The answers that are described for a route, as `POST /orders`.
fn described<'a>(document: &'a Value, route: &str) -> &'a serde_json::Map<String, Value> {
    let (method, path) = route.split_once(' ').unwrap();
    let operation = &document["paths"][path][method.to_lowercase()];
    operation["responses"].as_object().unwrap()
}

/// Whether an answer is the gateway's own: the handler never sees such a request.
fn is_of_gateway_alone(answer: &Value) -> bool {
    let mut schemas = answer["content"].as_object().unwrap().values();
    schemas.all(|content| content["schema"]["$ref"] == "#/components/schemas/GatewayMessage")
}

#[track_caller]
fn check_described(document: &Value, name: &str, route: &str, answer: &Answer) {
    let status = answer.status.to_string();
    let responses = described(document, route);
    let response = responses.get(&status);
    let response = response.unwrap_or_else(|| panic!("{name}: {route} has no {status}"));
    let response = resolve(document, response);

    let media_type = answer.header("content-type").unwrap();
    let content = response["content"].get(media_type);
    let content = content.unwrap_or_else(|| panic!("{name}: {status} has no {media_type}"));
    let valid = validator(document, &content["schema"]).validate(&answer.body);
    assert!(valid.is_ok(), "{name}: {:?} {answer:?}", valid.err());

    let headers = response["headers"].as_object().cloned().unwrap_or_default();
    for (header, description) in &headers {
        let value = answer.header(&header.to_lowercase());
        let required = description["required"] == true;
        assert!(value.is_some() || !required, "{name}: {header} is missing");
        if let Some(value) = value {
            let valid = validator(document, &description["schema"]).is_valid(&json!(value));
            assert!(valid, "{name}: {header}: {value}");
        }
    }
    let known: BTreeSet<_> = headers.keys().map(|header| header.to_lowercase()).collect();
    for (header, _) in &answer.headers {
        let is_known = header == "content-type" || known.contains(header);
        assert!(is_known, "{name}: {header} is not described");
    }
}

/// One request, and what it comes to.
struct Case {
    name: &'static str,
    request: Request,
    access: Access,
    fault: Option<Operation>,
    expected: u16,
}

fn case(name: &'static str, request: Request, expected: u16) -> Case {
    Case {
        name,
        request,
        access: Access::Iam,
        fault: None,
        expected,
    }
}

fn cases(order: &str) -> Vec<Case> {
    let mut changed = fixtures::order_request();
    changed["items"][0]["quantity"] = json!(3);
    let post = Request::post;
    let fresh = || Request::post().key("fresh");
    vec![
        case("new", fresh(), 202),
        case("replay", post(), 202),
        case("reused key", post().body(&changed), 422),
        case("malformed", Request::sample("post-order-malformed"), 400),
        case("no key", Request::sample("post-order-without-key"), 400),
        case("blank key", fresh().key(" "), 400),
        case("too large", fresh().text(&" ".repeat(70_000)), 413),
        case("no media type", fresh().without_header("content-type"), 415),
        case("not JSON", Request::sample("post-order-not-json"), 415),
        case("invalid", Request::sample("post-order-invalid"), 422),
        case("no object", fresh().text("[]"), 422),
        Case {
            access: Access::Jwt,
            ..case("not yours", fresh().of_customer("cus_666"), 403)
        },
        Case {
            fault: Some(Operation::AcceptOrder),
            ..case("not stored", fresh(), 503)
        },
        case("shown", Request::get(order), 200),
        case("unknown", Request::sample("get-order-unknown"), 404),
        case("no id", Request::get("7"), 404),
        Case {
            access: Access::Jwt,
            ..case(
                "of another",
                Request::get(order).of_customer("cus_666"),
                404,
            )
        },
        Case {
            fault: Some(Operation::FindOrder),
            ..case("not read", Request::get(order), 503)
        },
    ]
}

/// A world with one order in it, placed by the request without changes.
async fn world_with_an_order() -> (World, String) {
    let world = World::new();
    let placed = send_signed(&world, &Request::post()).await;
    (world, placed.order_id().to_string())
}

#[tokio::test(start_paused = true)]
async fn every_answer_is_described_and_every_described_answer_is_given() {
    let document = document();
    let mut given = BTreeSet::new();
    let mut problems = BTreeSet::new();
    let (_, order) = world_with_an_order().await;
    for case in cases(&order) {
        let (world, _) = world_with_an_order().await;
        if let Some(operation) = case.fault {
            world.fail(
                operation,
                usize::from(operation == Operation::AcceptOrder),
                Fault::ErrorBefore,
            );
        }
        let answer = send(&world, case.access, &case.request).await;
        assert_eq!(answer.status, case.expected, "{}: {answer:?}", case.name);
        let route = case.request.route();
        check_described(&document, case.name, &route, &answer);
        given.insert((route, answer.status.to_string()));
        if answer.status >= 400 {
            problems.insert(answer.body["type"].clone().to_string());
            assert_eq!(answer.body["status"], answer.status, "{}", case.name);
        }
    }

    let mut wanted = BTreeSet::new();
    for route in ["POST /orders", "GET /orders/{orderId}"] {
        for (status, answer) in described(&document, route) {
            if !is_of_gateway_alone(resolve(&document, answer)) {
                wanted.insert((route.to_owned(), status.clone()));
            }
        }
    }
    assert_eq!(given, wanted);
    assert!(wanted.len() >= 10, "{wanted:?}");
    let listed = &document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"];
    let listed = listed.as_array().unwrap().iter().map(Value::to_string);
    assert_eq!(problems, listed.collect());
}

#[tokio::test(start_paused = true)]
async fn an_order_is_described_however_it_ended() {
    let document = document();
    let reason = || Reason {
        code: "refund-failed".to_owned(),
        message: "The refund did not succeed.".to_owned(),
    };
    for (ending, status) in [
        (Event::OrderCompleted, "completed"),
        (Event::OrderFailed(reason()), "failed"),
        (Event::OrderNeedsAttention(reason()), "needs-attention"),
    ] {
        let (world, order) = world_with_an_order().await;
        let at = fixtures::timestamp(VirtualClock::START);
        world.conclude(order.parse().unwrap(), &ending, at);
        let request = Request::get(&order);
        let answer = send_signed(&world, &request).await;
        assert_eq!(answer.body["status"], status);
        check_described(&document, status, &request.route(), &answer);
    }
}
