//! `waybill queues`: what waits, and a consumer that is paused.

use std::panic::{AssertUnwindSafe, resume_unwind};

use futures_util::FutureExt;
use serde_json::Value;
use waybill_tests::{Environment, Order, QUICKLY, Tap, unique, wait_until};

async fn queues(environment: &Environment) -> Value {
    let ran = environment.waybill(&["queues"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.json()
}

fn consumer<'a>(board: &'a Value, name: &str) -> &'a Value {
    let mut rows = board["consumers"].as_array().unwrap().iter();
    rows.find(|row| row["consumer"] == name).unwrap()
}

#[tokio::test]
async fn the_queues_of_all_consumers_are_shown_with_what_lets_messages_through() {
    let environment = Environment::connect().await;
    let board = queues(&environment).await;
    let names: Vec<_> = board["consumers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["consumer"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["saga", "payment", "stock", "shipping", "audit", "notify"]
    );
    for row in board["consumers"].as_array().unwrap() {
        for count in [
            "visible",
            "delayed",
            "inFlight",
            "deadLetters",
            "undelivered",
            "openFailures",
        ] {
            assert!(row[count].is_u64(), "{count}: {row}");
        }
    }
    let stock = consumer(&board, "stock");
    assert_eq!(stock["mapping"]["state"], "Enabled", "{stock}");
    assert_eq!(stock["mapping"]["concurrency"], 10, "{stock}");
    assert_eq!(stock["circuit"]["state"], "closed", "{stock}");
    let text = environment.waybill_text(&["queues"]).await;
    assert!(
        text.stdout.contains("CONSUMER") && text.stdout.contains("notify"),
        "{text:?}"
    );
}

#[tokio::test]
async fn messages_of_a_paused_consumer_wait_are_shown_and_are_processed_after_it() {
    let environment = Environment::connect().await;
    // The notifier's pause harms no other test: people are told a little later.
    let paused = AssertUnwindSafe(while_paused(&environment))
        .catch_unwind()
        .await;
    let resumed = environment.waybill(&["queues", "resume", "notify"]).await;
    let id = paused.unwrap_or_else(|panic| resume_unwind(panic));
    assert_eq!(resumed.code, 0, "{resumed:?}");

    wait_until("the notifier is enabled", QUICKLY, async || {
        let board = queues(&environment).await;
        let notify = consumer(&board, "notify");
        let is_on = notify["mapping"]["state"] == "Enabled" && notify["paused"].is_null();
        is_on.then_some(()).ok_or(notify.to_string())
    })
    .await;
    wait_until(&format!("people are told of {id}"), QUICKLY, async || {
        let trace = environment.waybill(&["order", "trace", &id]).await.json();
        match trace["waiting"].as_array().map_or(0, Vec::len) {
            0 => Ok(()),
            _ => Err(trace["waiting"].to_string()),
        }
    })
    .await;
}

/// Pauses the notifier, ends an order, and looks at what is shown.
async fn while_paused(environment: &Environment) -> String {
    let mut people = Tap::on_notifications(environment).await;
    let ran = environment
        .waybill(&["queues", "pause", "notify", "--why", "a test"])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    wait_until("the notifier is disabled", QUICKLY, async || {
        let board = queues(environment).await;
        let state = &consumer(&board, "notify")["mapping"]["state"];
        (*state == "Disabled")
            .then_some(())
            .ok_or(state.to_string())
    })
    .await;

    let order = Order::of(&unique("MUG")).paid_by("pm_card_chargeDeclined");
    let id = order.id();
    environment.accept(&order).await;
    environment.ended(&id).await;
    wait_until("what waits is shown, with its age", QUICKLY, async || {
        let board = queues(environment).await;
        let notify = consumer(&board, "notify").clone();
        let waits = notify["visible"].as_u64() > Some(0) && notify["oldestAgeSeconds"].is_u64();
        waits.then_some(()).ok_or(notify.to_string())
    })
    .await;
    let board = queues(environment).await;
    let notify = consumer(&board, "notify");
    assert_eq!(notify["paused"]["why"], "a test", "{notify}");
    assert!(
        notify["paused"]["by"]
            .as_str()
            .is_some_and(|by| by.contains("arn:aws"))
    );

    let trace = environment.waybill(&["order", "trace", &id]).await.json();
    let waiting = trace["waiting"].as_array().unwrap();
    // The same event may wait for the audit as well, and nobody paused that.
    let is_held_back = waiting.iter().any(|it| {
        let hindrance = it["hindrance"].as_str().unwrap_or_default();
        it["message"] == "order.failed" && hindrance.starts_with("notify: paused by")
    });
    assert!(is_held_back, "{trace}");
    people.listen().await;
    assert!(
        people
            .notices()
            .iter()
            .all(|notice| !notice.text.contains(&id)),
        "nobody is told while it is paused"
    );
    people.close().await;
    id
}
