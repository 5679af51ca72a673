//! `docs/openapi.json` agrees with the contract and with itself.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test reports its failure"
)]

use std::collections::BTreeSet;

use contracts::schema::ORDER_REQUEST;
use contracts::{RequestError, parse_order};
use domain::OrderStatus;
use jsonschema::Validator;
use serde_json::{Value, json};

fn document() -> Value {
    serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap()
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

fn component(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// Calls `visit` for every object of the document, with its JSON pointer.
fn walk(value: &Value, pointer: &str, visit: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(fields) => {
            visit(pointer, value);
            for (key, value) in fields {
                let key = key.replace('~', "~0").replace('/', "~1");
                walk(value, &format!("{pointer}/{key}"), visit);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                walk(value, &format!("{pointer}/{index}"), visit);
            }
        }
        _ => {}
    }
}

#[test]
fn the_request_is_described_by_the_schema_file() {
    let file: Value = serde_json::from_str(ORDER_REQUEST.text).unwrap();
    assert_eq!(document()["components"]["schemas"]["OrderRequest"], file);
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    walk(&document, "", &mut |place, value| {
        if let Some(target) = value.get("$ref").and_then(Value::as_str) {
            let target = target.strip_prefix('#').unwrap();
            assert!(document.pointer(target).is_some(), "{place}: {target}");
        }
    });
}

#[test]
fn every_example_keeps_its_schema() {
    let document = document();
    let mut checked = 0;
    walk(&document, "", &mut |place, value| {
        let Some(schema) = value.get("schema") else {
            return;
        };
        let named = value.get("examples").and_then(Value::as_object);
        let values = named.into_iter().flat_map(|named| named.values());
        let values = values.map(|example| &example["value"]);
        for example in values.chain(value.get("example")) {
            let valid = validator(&document, schema).validate(example);
            assert!(valid.is_ok(), "{place}: {:?}", valid.err());
            checked += 1;
        }
    });
    assert!(checked > 15, "only {checked} examples were found");
}

#[test]
fn every_problem_has_an_example_under_its_status() {
    let document = document();
    let listed = &document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"];
    let listed: BTreeSet<_> = listed.as_array().unwrap().iter().map(text).collect();
    let mut shown = BTreeSet::new();
    walk(&document["paths"], "", &mut |place, answer| {
        let answer = match answer.get("$ref").and_then(Value::as_str) {
            Some(target) => document.pointer(&target[1..]).unwrap(),
            None => answer,
        };
        let examples = &answer["content"]["application/problem+json"]["examples"];
        for example in examples
            .as_object()
            .into_iter()
            .flat_map(|all| all.values())
        {
            let problem = &example["value"];
            let status = problem["status"].to_string();
            assert!(place.ends_with(&format!("/responses/{status}")), "{place}");
            shown.insert(text(&problem["type"]));
        }
    });
    assert_eq!(shown, listed);
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn every_status_of_an_order_is_listed() {
    let document = document();
    let listed = &document["components"]["schemas"]["OrderStatus"]["enum"];
    let known = OrderStatus::ALL.map(OrderStatus::as_str);
    assert_eq!(*listed, json!(known));
}

#[test]
fn faults_are_as_described() {
    let document = document();
    let validator = validator(&document, &component("Fault"));
    let body = json!({ "currency": "euro", "items": [{}], "a/b~c": 1 }).to_string();
    for body in [body.as_str(), "[]"] {
        let Err(RequestError::Invalid(faults)) = parse_order(body.as_bytes()) else {
            panic!("{body} has faults");
        };
        for fault in faults {
            let written = serde_json::to_value(&fault).unwrap();
            assert!(validator.is_valid(&written), "{fault:?}");
        }
    }
}
