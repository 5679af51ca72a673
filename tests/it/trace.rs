//! `waybill order trace` and `order republish`: every message of an order, wherever it is.

use std::collections::BTreeSet;

use serde_json::Value;
use uuid::Uuid;
use waybill_tests::{Environment, Order, QUICKLY, SLOWLY, StockLevel, Tap, unique, wait_until};

/// What `order trace` says.
async fn trace(environment: &Environment, id: &str) -> Value {
    let ran = environment.waybill(&["order", "trace", id]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.json()
}

/// The messages on the time line, as name and sequence.
fn messages(trace: &Value) -> Vec<(String, Option<u64>)> {
    let lines = trace["lines"].as_array().unwrap();
    let is_message = |line: &&Value| line["origin"] == "command" || line["origin"] == "event";
    lines
        .iter()
        .filter(is_message)
        .map(|line| {
            let name = line["what"].as_str().unwrap().to_owned();
            (name, line["sequence"].as_u64())
        })
        .collect()
}

fn whats<'a>(trace: &'a Value, origin: &str) -> Vec<&'a str> {
    let lines = trace["lines"].as_array().unwrap();
    let of_origin = lines.iter().filter(|line| line["origin"] == origin);
    of_origin.filter_map(|line| line["what"].as_str()).collect()
}

/// Waits until nothing of an order waits any more, and gives its trace.
async fn settled(environment: &Environment, id: &str) -> Value {
    wait_until(&format!("nothing of {id} waits"), QUICKLY, async || {
        let trace = trace(environment, id).await;
        match trace["waiting"].as_array().map_or(0, Vec::len) {
            0 => Ok(trace),
            _ => Err(trace["waiting"].to_string()),
        }
    })
    .await
}

/// An order's whole way is on its trace: what a subscriber heard, what the audit has.
async fn check(order: Order, sku: &str, status: &str, states: &[&str]) {
    let environment = Environment::connect().await;
    environment.seed(sku, StockLevel::new(5, 0, 0)).await;
    let id = order.id();
    let mut tap = Tap::on_order(&environment, &id).await;
    environment.accept(&order).await;
    let view = environment.ended(&id).await;
    assert_eq!(view.status, status, "order {id}");
    tap.next(&format!("order.{status}")).await;
    let trace = settled(&environment, &id).await;

    let heard: BTreeSet<_> = tap
        .captured()
        .iter()
        .map(|captured| (captured.name(), captured.sequence()))
        .collect();
    let told = messages(&trace);
    assert_eq!(
        told.iter().cloned().collect::<BTreeSet<_>>(),
        heard,
        "order {id}"
    );
    assert_eq!(told.len(), heard.len(), "each once: {told:?}");
    let audit = environment.audit(&id).await;
    assert_eq!(audit.len(), told.len(), "the audit of {id}");

    let times: Vec<_> = trace["lines"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|line| line["time"].as_str())
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    let saga = whats(&trace, "saga");
    for state in states {
        assert!(saga.contains(state), "{state} is not in {saga:?}");
    }
    for captured in tap.captured() {
        if let Some(token) = captured.message["tasktoken"].as_str() {
            assert!(!trace.to_string().contains(token), "a token of {id}");
        }
    }
    assert!(
        !trace.to_string().contains("Musterstrasse"),
        "the address of {id}"
    );
    tap.close().await;
}

#[tokio::test]
async fn a_completed_orders_trace_has_each_of_its_messages_once() {
    let sku = unique("MUG");
    let states = [
        "Charge begins",
        "Ship begins",
        "Complete begins",
        "it ends well",
    ];
    check(Order::of(&sku), &sku, "completed", &states).await;
}

#[tokio::test]
async fn a_declined_orders_trace_says_which_state_failed() {
    let sku = unique("MUG");
    let order = Order::of(&sku).paid_by("pm_card_chargeDeclined");
    check(order, &sku, "failed", &["Charge fails", "Fail begins"]).await;
}

#[tokio::test]
async fn an_undone_orders_trace_has_the_actions_and_their_undos() {
    let sku = unique("MUG");
    let order = Order::of(&sku).shipped_to("00000");
    let states = ["Ship fails", "Release begins", "Refund begins"];
    check(order, &sku, "failed", &states).await;
}

#[tokio::test]
async fn a_stuck_orders_trace_says_where_its_message_waits() {
    let environment = Environment::connect().await;
    let sku = unique("MUG");
    environment.seed(&sku, StockLevel::new(5, 0, 0)).await;
    let order = Order::of(&sku).paid_by("sandbox_unavailable");
    let id = order.id();
    let mut tap = Tap::on_order(&environment, &id).await;
    environment.accept(&order).await;
    tap.next("payment.charge").await;

    // First with the worker; when the worker has given up, where the message then is.
    let what = format!("the charge of {id} is set aside, and its trace says where");
    let place = wait_until(&what, SLOWLY, async || {
        let trace = trace(&environment, &id).await;
        let waiting = trace["waiting"].as_array().cloned().unwrap_or_default();
        let charge = waiting.iter().find(|it| it["message"] == "payment.charge");
        let place = charge
            .and_then(|it| it["place"].as_str())
            .unwrap_or("nowhere");
        match place.contains("failure store") || place.contains("-dlq") {
            true => Ok(place.to_owned()),
            false => Err(trace.to_string()),
        }
    })
    .await;
    let text = environment
        .waybill_text(&["order", "trace", &id])
        .await
        .stdout;
    assert!(text.contains("payment.charge"), "{place}: {text}");

    // The step's time limit undoes it; what was set aside is refused when it comes again.
    environment.ended_within(&id, SLOWLY).await;
    let gone = format!("the charge of {id} is refused");
    wait_until(&gone, SLOWLY, async || {
        environment.waybill(&["failures", "drain"]).await;
        let replay = [
            "failures",
            "replay",
            "--order",
            &id,
            "--yes",
            "--why",
            "a test ends",
        ];
        environment.waybill(&replay).await;
        let trace = trace(&environment, &id).await;
        let detail = trace["lines"].to_string();
        match detail.contains("Waybill.AlreadyUndone") {
            true => Ok(()),
            false => Err(detail),
        }
    })
    .await;
    tap.close().await;
}

#[tokio::test]
async fn an_order_that_nobody_knows_has_no_trace() {
    let environment = Environment::connect().await;
    let id = Uuid::new_v4().to_string();
    let ran = environment.waybill(&["order", "trace", &id]).await;
    assert_eq!(ran.code, 4, "{ran:?}");
}

#[tokio::test]
async fn an_orders_events_are_published_again_with_their_numbers() {
    let environment = Environment::connect().await;
    let order = Order::of(&unique("MUG")).paid_by("pm_card_chargeDeclined");
    let id = order.id();
    environment.accept(&order).await;
    let events = environment.ended(&id).await.events;
    settled(&environment, &id).await;

    let mut tap = Tap::on_order(&environment, &id).await;
    let dry = environment.waybill(&["order", "republish", &id]).await;
    assert_eq!(
        (dry.code, dry.json()["published"].as_bool()),
        (0, Some(false))
    );
    let ran = environment
        .waybill(&["order", "republish", &id, "--yes"])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    tap.until(&format!("the events of {id} again"), QUICKLY, |tap| {
        tap.captured().len() >= events.len()
    })
    .await;
    let heard: BTreeSet<_> = tap
        .captured()
        .iter()
        .map(|captured| (captured.sequence().unwrap(), captured.name()))
        .collect();
    let expected: BTreeSet<_> = (1..).zip(events).collect();
    assert_eq!(heard, expected, "once each, and nothing of the dry run");
    tap.close().await;
}
