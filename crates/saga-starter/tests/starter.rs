//! Each placed order has one saga.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is the failure report of a test"
)]

use contracts::Event;
use message_worker::Handler;
use saga_starter::SagaStarter;
use serde_json::{Value, json};
use testkit::{Fault, Inbox, Operation, World, fixtures};

fn handler(world: &World) -> impl Handler + use<> {
    SagaStarter::new(world.clone())
}

fn placed(number: usize) -> Value {
    let event = Event::OrderPlaced(fixtures::new_order());
    fixtures::event(fixtures::order_id(number), &event, 1)
}

#[tokio::test(start_paused = true)]
async fn the_input_is_the_order_with_its_total_and_its_lineage() {
    let (world, inbox, order) = (World::new(), Inbox::default(), fixtures::order_id(1));
    inbox.drive(handler(&world), &[placed(1)]).await;
    let sagas = world.sagas();
    assert_eq!(sagas.len(), 1);
    assert_eq!(sagas[0].0, order);
    let input: Value = serde_json::from_str(&sagas[0].1).unwrap();
    let expected = json!({
        "orderId": order.to_string(),
        "correlationId": "req-2026-11-21-0001",
        "traceparent": "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01",
        "causationId": format!("{order}/order.placed"),
        "order": fixtures::order_request(),
        "total": { "amount": 2500, "currency": "EUR" },
    });
    assert_eq!(input, expected);
}

#[tokio::test(start_paused = true)]
async fn a_trace_that_is_missing_is_null_and_not_absent() {
    let (world, inbox) = (World::new(), Inbox::default());
    let mut untraced = placed(1);
    untraced.as_object_mut().unwrap().remove("traceparent");
    inbox.drive(handler(&world), &[untraced]).await;
    let input: Value = serde_json::from_str(&world.sagas()[0].1).unwrap();
    assert_eq!(input.get("traceparent"), Some(&Value::Null));
}

#[tokio::test(start_paused = true)]
async fn a_saga_that_exists_already_is_no_error() {
    let (world, inbox) = (World::new(), Inbox::default());
    inbox
        .drive(handler(&world), &[placed(1), placed(1), placed(2)])
        .await;
    assert_eq!(world.sagas().len(), 2);
    let outcomes = inbox.outcomes();
    assert_eq!(outcomes.len(), 3);
    assert!(outcomes.iter().all(|(outcome, _)| outcome == "processed"));
}

#[tokio::test(start_paused = true)]
async fn a_state_machine_that_is_down_is_tried_again() {
    for fault in Fault::FAILURES {
        let (world, inbox) = (World::new(), Inbox::default());
        world.fail(Operation::StartSaga, 0, fault);
        inbox.drive(handler(&world), &[placed(1)]).await;
        assert_eq!(world.sagas().len(), 1, "{fault:?}");
        let outcomes = inbox.outcomes();
        assert_eq!(outcomes[0].0, "retried", "{fault:?}");
        assert_eq!(outcomes[1].0, "processed", "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_whose_saga_cannot_be_started_waits_in_the_dead_letter_queue() {
    let (world, inbox) = (World::new(), Inbox::default());
    for attempt in 0..5 {
        world.fail(Operation::StartSaga, attempt, Fault::ErrorBefore);
    }
    inbox.drive(handler(&world), &[placed(1)]).await;
    let dead = inbox.dead_letters();
    let record = dead[0].record.as_ref().unwrap();
    assert_eq!(
        (record.error_class.as_str(), record.error_name.as_str()),
        ("transient", "SagaUnavailable")
    );
}

#[tokio::test(start_paused = true)]
async fn anything_but_a_placed_order_is_poison() {
    let (world, inbox) = (World::new(), Inbox::default());
    let completed = fixtures::event(fixtures::order_id(1), &Event::OrderCompleted, 5);
    let mut of_another = placed(1);
    of_another["data"]["orderId"] = json!(fixtures::order_id(2).to_string());
    let mut without_items = placed(1);
    without_items["data"]["items"] = json!([]);
    inbox
        .drive(handler(&world), &[completed, of_another, without_items])
        .await;
    assert_eq!(
        inbox.quarantined(),
        ["UnknownType", "EnvelopeInconsistent", "ContractBroken"]
    );
    assert_eq!(world.sagas(), []);
}

#[tokio::test(start_paused = true)]
async fn samples_come_to_what_they_are_named_after() {
    for (sample, sagas, quarantined) in [
        ("order-placed", 1, &[][..]),
        ("batch", 3, &[]),
        ("mixed-batch", 2, &["NotAnEnvelope", "UnknownType"]),
    ] {
        let (world, inbox) = (World::new(), Inbox::default());
        let name = format!("saga-starter/{sample}");
        let returned = inbox.invoke_with_sample(handler(&world), &name).await;
        assert_eq!(returned, [] as [String; 0], "{sample}");
        assert_eq!(world.sagas().len(), sagas, "{sample}");
        assert_eq!(inbox.quarantined(), quarantined, "{sample}");
    }
}
