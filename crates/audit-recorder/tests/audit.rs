//! Every message is recorded once, without what must not be recorded.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is the failure report of a test"
)]

use std::time::Duration;

use audit_recorder::AuditRecorder;
use contracts::Event;
use domain::Step;
use message_worker::Handler;
use serde_json::{Value, json};
use testkit::{Fault, Inbox, Operation, World, fixtures};

const DAY: u64 = 24 * 60 * 60;
const RETENTION: Duration = Duration::from_secs(400 * DAY);

fn handler(world: &World) -> impl Handler + use<> {
    AuditRecorder::new(world.clone(), world.clock(), RETENTION)
}

fn placed() -> Value {
    let event = Event::OrderPlaced(fixtures::new_order());
    fixtures::event(fixtures::order_id(1), &event, 1)
}

#[tokio::test(start_paused = true)]
async fn an_entry_says_what_when_by_whom_and_why() {
    let (world, inbox, order) = (World::new(), Inbox::default(), fixtures::order_id(1));
    let charge = fixtures::command(order, Step::Charge, "SECRET");
    for message in [placed(), charge] {
        inbox.drive(handler(&world), &[message]).await;
    }
    let trail = world.trail();
    let [event, command] = trail.as_slice() else {
        panic!("{trail:?}")
    };
    assert_eq!(event.order_id, order.to_string());
    assert_eq!(event.message_type, "waybill.order.placed.v1");
    assert_eq!((event.sequence, command.sequence), (Some(1), None));
    assert_eq!(event.correlation_id, "req-2026-11-21-0001");
    assert_eq!(command.message_id, format!("{order}/payment.charge"));
    assert_eq!(command.source, "/waybill/order-saga");
    assert_eq!(command.causation_id, Some(format!("{order}/order.placed")));
    assert_eq!(event.time, "2026-11-21T17:56:15.859Z");
    assert_eq!(event.expires_at, 1_795_283_775 + 400 * DAY);
}

#[tokio::test(start_paused = true)]
async fn a_message_delivered_again_is_one_entry() {
    let (world, inbox) = (World::new(), Inbox::default());
    for _ in 0..2 {
        inbox.drive(handler(&world), &[placed(), placed()]).await;
    }
    assert_eq!(world.trail().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_the_saga_sends_again_is_another_entry() {
    let (world, inbox, order) = (World::new(), Inbox::default(), fixtures::order_id(1));
    let first = fixtures::command(order, Step::Charge, "token");
    let mut second = first.clone();
    second["time"] = json!("2026-11-21T18:00:00.000Z");
    inbox.drive(handler(&world), &[first, second]).await;
    assert_eq!(world.trail().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failure_before_or_after_the_effect_leaves_one_entry() {
    for fault in Fault::FAILURES {
        let (world, inbox) = (World::new(), Inbox::default());
        world.fail(Operation::AppendAudit, 0, fault);
        inbox.drive(handler(&world), &[placed()]).await;
        assert_eq!(world.trail().len(), 1, "{fault:?}");
        assert_eq!(inbox.outcomes()[0].0, "retried", "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_entry_holds_a_token_a_name_or_an_address() {
    for sample in [
        "command-with-task-token",
        "personal-data",
        "whole-order",
        "event",
        "mixed-batch",
    ] {
        let (world, inbox) = (World::new(), Inbox::default());
        let name = format!("audit-recorder/{sample}");
        let returned = inbox.invoke_with_sample(handler(&world), &name).await;
        assert_eq!(returned, [] as [String; 0], "{sample}");
        let trail = world.trail();
        assert!(!trail.is_empty(), "{sample}");
        let recorded = format!("{trail:?}");
        for secret in ["EXAMPLE", "tasktoken", "Ada", "Invalidenstra", "10115"] {
            assert!(!recorded.contains(secret), "{secret} is in {sample}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_a_message_of_this_system_is_poison() {
    let (world, inbox) = (World::new(), Inbox::default());
    let mut unknown = placed();
    unknown["type"] = json!("waybill.order.placed.v2");
    inbox
        .drive(handler(&world), &[unknown, json!({ "hello": "world" })])
        .await;
    assert_eq!(inbox.quarantined(), ["UnknownType", "NotAnEnvelope"]);
    assert_eq!(world.trail(), []);
}
