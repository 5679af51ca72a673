//! What an order asks of AWS does not rise unnoticed.
//!
//! It needs a deployment of its own whose functions call AWS through a proxy
//! (`make check-cost`), and counts one order after the other: so it runs alone.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is the failure report of a test"
)]
#![allow(clippy::large_futures, reason = "a test's future is awaited once")]

use std::collections::BTreeMap;

use serde_json::Value;
use waybill_tests::cost::{Counter, KINDS, Kind, Usage};

/// Written by `make cost`.
const COUNTS: &str = include_str!("counts.json");
const TIMES: usize = 3;

#[tokio::test]
async fn an_order_asks_no_more_of_aws_than_was_written_down_and_planned() {
    let frozen: Value = serde_json::from_str(COUNTS).unwrap();
    let counter = Counter::start().await;
    let mut wrong = Vec::new();
    for kind in KINDS {
        let usage = counter.count(kind, TIMES).await;
        wrong.extend(risen(kind, &usage.requests, &frozen[kind.name()]));
        wrong.extend(beyond_plan(kind, &usage));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// What is asked more often than it was, or for the first time.
fn risen(kind: Kind, counted: &BTreeMap<String, f64>, frozen: &Value) -> Vec<String> {
    assert!(
        frozen.is_object(),
        "nothing is written down for {kind:?}: run `make cost`"
    );
    let more = counted.iter().filter_map(|(request, count)| {
        let before = frozen[request].as_f64().unwrap_or_default();
        (*count > before).then(|| format!("{}: {request}: {count}, was {before}", kind.name()))
    });
    more.collect()
}

/// What the design allows.
fn beyond_plan(kind: Kind, usage: &Usage) -> Vec<String> {
    let answers = |function: &str| usage.sum(&format!("{function} states:SendTask"), "");
    let store = |function: &str| usage.store_requests(function);
    let transitions = usage.sum("order-saga states:Transition", "");
    let planned = match kind {
        Kind::Completed => vec![
            ("store requests of the intake", store("order-api"), 1.0),
            (
                "store requests of the payment",
                store("payment-worker"),
                2.0,
            ),
            ("store requests of the stock", store("stock-worker"), 1.0),
            (
                "store requests of the shipping",
                store("shipping-worker"),
                2.0,
            ),
            ("answers of the payment", answers("payment-worker"), 1.0),
            ("answers of the stock", answers("stock-worker"), 1.0),
            ("answers of the shipping", answers("shipping-worker"), 1.0),
            (
                "commands of the saga",
                usage.sum("order-saga sns:", ""),
                3.0,
            ),
            (
                "writes of the saga",
                usage.sum("order-saga dynamodb:", ""),
                1.0,
            ),
            ("billed transitions", transitions, 5.0),
        ],
        Kind::PlacedAgain => vec![("store requests", store("order-api"), 1.0)],
        Kind::ChargedAgain => vec![("store requests", store("payment-worker"), 1.0)],
        Kind::ReservedAgain => vec![("store requests", store("stock-worker"), 1.0)],
        Kind::ShippedAgain => vec![("store requests", store("shipping-worker"), 1.0)],
        Kind::Declined | Kind::Undone => Vec::new(),
    };
    let not_as_planned = planned.into_iter().filter_map(|(what, counted, planned)| {
        // None at all would mean that the proxy saw nothing.
        let is_right = counted > 0.0 && counted <= planned;
        (!is_right).then(|| format!("{}: {what}: {counted}, planned {planned}", kind.name()))
    });
    not_as_planned.collect()
}

#[test]
fn what_rose_is_named_with_its_service_and_operation() {
    let frozen = serde_json::json!({ "a sns:Publish": 2.0, "b sqs:SendMessage": 1.0 });
    let counted = [
        ("a sns:Publish", 3.0),
        ("b sqs:SendMessage", 1.0),
        ("c dynamodb:GetItem T", 1.0),
    ];
    let counted = counted.map(|(name, count)| (name.to_owned(), count)).into();
    let wanted = [
        "completed: a sns:Publish: 3, was 2",
        "completed: c dynamodb:GetItem T: 1, was 0",
    ];
    assert_eq!(risen(Kind::Completed, &counted, &frozen), wanted);
}
