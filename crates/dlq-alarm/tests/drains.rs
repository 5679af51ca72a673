//! The schedule's requests and a person's.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is the failure report of a test"
)]

mod function;

use std::time::Duration;

use dlq_alarm::{Incomplete, InvalidRequest, Request};
use function::{QUEUE, handle, put};
use serde_json::{Value, json};
use testkit::{Fault, Operation, World, fixtures};

fn request(event: Value) -> Request {
    Request::parse(event).unwrap()
}

fn sample(name: &str) -> Request {
    let text = fixtures::sample(&format!("dlq-alarm/{name}"));
    request(serde_json::from_str(&text).unwrap())
}

#[tokio::test(start_paused = true)]
async fn the_schedule_drains_every_queue_and_then_replays_what_passes_by_itself() {
    let world = World::new();
    for (queue, name) in [
        (QUEUE, "a"),
        ("waybill-stock-dlq", "b"),
        ("waybill-payment-delivery-dlq", "c"),
        ("waybill-quarantine", "d"),
    ] {
        put(&world, queue, name);
    }
    let answer = handle(&world, &sample("schedule")).await.unwrap();
    assert_eq!(answer.queues.len(), 4);
    assert!(answer.queues.values().all(|drained| drained.stored == 1));
    assert_eq!(answer.automatic_replays, 0, "their backoff is not over");
    tokio::time::advance(Duration::from_secs(301)).await;
    let answer = handle(&world, &sample("schedule")).await.unwrap();
    assert_eq!(answer.automatic_replays, 1);
}

#[tokio::test(start_paused = true)]
async fn a_person_drains_without_starting_a_replay() {
    let world = World::new();
    put(&world, QUEUE, "a");
    handle(&world, &request(json!({ "drain": "all" })))
        .await
        .unwrap();
    tokio::time::advance(Duration::from_secs(301)).await;
    let answer = handle(&world, &sample("drain")).await.unwrap();
    assert_eq!(answer.automatic_replays, 0);
    assert!(world.replayed().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_queues_that_are_named_are_drained_and_no_others() {
    let world = World::new();
    put(&world, QUEUE, "a");
    put(&world, "waybill-stock-dlq", "b");
    let answer = handle(&world, &sample("drain")).await.unwrap();
    assert_eq!(answer.queues.keys().collect::<Vec<_>>(), [QUEUE]);
    let text = serde_json::to_value(&answer).unwrap();
    let expected = json!({
        "stored": 1, "known": 0, "failedAgain": 0, "deleted": 1, "left": 0,
        "emptied": true, "unreadable": false,
    });
    assert_eq!(text["queues"][QUEUE], expected);
    assert_eq!(
        (&text["told"], &text["automaticReplays"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(world.dead_letters("waybill-stock-dlq").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_not_drained_cannot_be_asked_for() {
    let world = World::new();
    let error = handle(&world, &request(json!({ "drain": ["relay-failures"] }))).await;
    let Err(Incomplete::Request(InvalidRequest::UnknownQueue { name, known })) = error else {
        panic!("{error:?}");
    };
    assert_eq!(name, "relay-failures");
    assert!(known.contains(QUEUE), "{known}");
}

#[test]
fn what_is_neither_an_alarm_nor_a_drain_is_refused() {
    for event in [
        json!({}),
        json!({ "drain": "some" }),
        json!({ "drain": 1 }),
        json!({ "drain": "all", "replay": true }),
        json!("all"),
    ] {
        assert!(Request::parse(event.clone()).is_err(), "{event}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_is_not_kept_waiting_by_people_who_cannot_be_told() {
    let world = World::new();
    put(&world, QUEUE, "a");
    handle(&world, &sample("drain")).await.unwrap();
    tokio::time::advance(Duration::from_secs(3_601)).await;
    put(&world, QUEUE, "b");
    world.fail(Operation::TellPeople, 1, Fault::ErrorBefore);
    let error = handle(&world, &sample("schedule")).await.unwrap_err();
    assert!(matches!(error, Incomplete::NotTold(_)), "{error:?}");
    assert_eq!(world.replayed().len(), 1);
}
