//! People are told of each ending once.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is the failure report of a test"
)]

use contracts::{Event, Reason};
use message_worker::Handler;
use notifier::Notifier;
use serde_json::{Value, json};
use testkit::{Fault, Inbox, Operation, World, fixtures};

fn handler(world: &World) -> impl Handler + use<> {
    Notifier::new(world.clone(), world.clone(), world.clock())
}

fn reason() -> Reason {
    Reason {
        code: "out-of-stock".to_owned(),
        message: "not enough pieces in stock".to_owned(),
    }
}

fn failed() -> Value {
    fixtures::event(fixtures::order_id(1), &Event::OrderFailed(reason()), 5)
}

#[tokio::test(start_paused = true)]
async fn people_are_told_of_each_ending() {
    for (event, kind) in [
        (Event::OrderCompleted, "order-completed"),
        (Event::OrderFailed(reason()), "order-failed"),
        (
            Event::OrderNeedsAttention(reason()),
            "order-needs-attention",
        ),
    ] {
        let (world, inbox) = (World::new(), Inbox::default());
        let order = fixtures::order_id(1);
        inbox
            .drive(handler(&world), &[fixtures::event(order, &event, 5)])
            .await;
        let notices = world.notices();
        assert_eq!(notices.len(), 1, "{kind}");
        assert_eq!(notices[0].kind, kind);
        assert!(notices[0].subject.contains(&order.to_string()));
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_delivered_again_and_again_tells_people_once() {
    let (world, inbox) = (World::new(), Inbox::default());
    for _ in 0..3 {
        inbox
            .drive(handler(&world), &[failed(), failed(), failed()])
            .await;
    }
    assert_eq!(world.notices().len(), 1);
    assert!(inbox.had("deferred", "ClaimHeld"));
}

#[tokio::test(start_paused = true)]
async fn two_endings_of_one_order_are_two_notices() {
    let (world, inbox, order) = (World::new(), Inbox::default(), fixtures::order_id(1));
    let needs_attention = Event::OrderNeedsAttention(reason());
    let events = [failed(), fixtures::event(order, &needs_attention, 6)];
    inbox.drive(handler(&world), &events).await;
    assert_eq!(world.notices().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failure_at_any_call_leaves_people_told() {
    let smooth = World::new();
    Inbox::default().drive(handler(&smooth), &[failed()]).await;
    let calls = [Operation::Begin, Operation::TellPeople, Operation::Complete];
    assert_eq!(smooth.calls(), calls);

    for operation in calls {
        for fault in Fault::FAILURES {
            let (world, inbox) = (World::new(), Inbox::default());
            world.fail(operation, 0, fault);
            inbox.drive(handler(&world), &[failed(), failed()]).await;
            let told = world.notices().len();
            // Who told people and could not note it down must tell them again:
            // the topic takes no idempotency key.
            let unnoted = match operation {
                Operation::TellPeople => [Fault::ErrorAfter, Fault::SilenceAfter].contains(&fault),
                Operation::Complete => [Fault::ErrorBefore, Fault::SilenceBefore].contains(&fault),
                _ => false,
            };
            let expected = if unnoted { 2 } else { 1 };
            assert_eq!(told, expected, "{operation:?} {fault:?}");
            assert_eq!(inbox.dead_letters(), [], "{operation:?} {fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn people_that_cannot_be_told_leave_the_message_in_the_dead_letter_queue() {
    let (world, inbox) = (World::new(), Inbox::default());
    for attempt in 0..5 {
        world.fail(Operation::TellPeople, attempt, Fault::ErrorBefore);
    }
    inbox.drive(handler(&world), &[failed()]).await;
    let dead = inbox.dead_letters();
    assert_eq!(dead.len(), 1);
    let record = dead[0].record.as_ref().unwrap();
    assert_eq!(record.error_name, "PeopleUnavailable");

    let replayed: Value = serde_json::from_str(&dead[0].body).unwrap();
    inbox.drive(handler(&world), &[replayed]).await;
    assert_eq!(world.notices().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_same_event_with_another_reason_is_poison() {
    let (world, inbox) = (World::new(), Inbox::default());
    inbox.drive(handler(&world), &[failed()]).await;
    let mut forged = failed();
    forged["data"]["reason"]["message"] = json!("something else");
    inbox.drive(handler(&world), &[forged]).await;
    assert_eq!(inbox.quarantined(), ["PayloadChanged"]);
    assert_eq!(world.notices().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn events_that_end_nothing_are_poison_here() {
    let (world, inbox) = (World::new(), Inbox::default());
    let placed = Event::OrderPlaced(fixtures::new_order());
    let placed = fixtures::event(fixtures::order_id(1), &placed, 1);
    let mut unexplained = failed();
    unexplained["data"]
        .as_object_mut()
        .unwrap()
        .remove("reason");
    inbox.drive(handler(&world), &[placed, unexplained]).await;
    assert_eq!(inbox.quarantined(), ["UnknownType", "ContractBroken"]);
    assert_eq!(world.notices(), []);
}

#[tokio::test(start_paused = true)]
async fn samples_come_to_what_they_are_named_after() {
    for (sample, kinds, quarantined) in [
        ("order-completed", &["order-completed"][..], &[][..]),
        ("order-failed", &["order-failed"], &[]),
        ("order-needs-attention", &["order-needs-attention"], &[]),
        (
            "mixed-batch",
            &["order-completed", "order-failed"],
            &["NotAnEnvelope", "UnknownType"],
        ),
    ] {
        let (world, inbox) = (World::new(), Inbox::default());
        let name = format!("notifier/{sample}");
        let returned = inbox.invoke_with_sample(handler(&world), &name).await;
        assert_eq!(returned, [] as [String; 0], "{sample}");
        let mut told: Vec<_> = world.notices().iter().map(|notice| notice.kind).collect();
        told.sort_unstable();
        assert_eq!(told, kinds, "{sample}");
        assert_eq!(inbox.quarantined(), quarantined, "{sample}");
    }
}
