//! An alarm that rings is one notice, whatever else fails.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is the failure report of a test"
)]

use aws_lambda_events::event::sns::SnsEvent;
use dlq_alarm::DlqAlarm;
use ports::{Notice, QueueReport, Sample};
use testkit::{Fault, Operation, World, fixtures};

const QUEUE: &str = "waybill-PaymentDlq-EXAMPLE";

fn sample(name: &str) -> SnsEvent {
    serde_json::from_str(&fixtures::sample(&format!("dlq-alarm/{name}"))).unwrap()
}

/// A world in whose dead-letter queue three messages wait.
fn world() -> World {
    let world = World::new();
    let report = QueueReport {
        depth: 3,
        oldest_sent_at: None,
        samples: vec![Sample {
            correlation_id: Some("req-2026-11-21-0001".to_owned()),
            error_name: Some("ProviderUnavailable".to_owned()),
            message_type: Some("waybill.payment.charge.v1".to_owned()),
        }],
    };
    world.put_queue(QUEUE, report);
    world
}

/// Handles an event, and says whether it succeeded.
async fn handle(world: &World, event: &SnsEvent) -> bool {
    let handler = DlqAlarm::new(world.clone(), world.clone(), world.clock());
    handler.handle(event).await.is_ok()
}

#[track_caller]
fn only(world: &World) -> Notice {
    let notices = world.notices();
    assert_eq!(notices.len(), 1, "{notices:?}");
    notices[0].clone()
}

#[tokio::test(start_paused = true)]
async fn an_alarm_that_rings_is_one_notice_about_its_queue() {
    let world = world();
    assert!(handle(&world, &sample("alarm")).await);
    let notice = only(&world);
    assert_eq!(notice.subject, format!("3 message(s) wait in {QUEUE}"));
    assert_eq!(notice.kind, "dead-letters");
    assert!(notice.text.contains("req-2026-11-21-0001"));
    assert!(notice.text.contains("ProviderUnavailable"));
}

#[tokio::test(start_paused = true)]
async fn an_alarm_that_is_over_tells_nobody() {
    let world = world();
    assert!(handle(&world, &sample("ok")).await);
    assert_eq!(world.notices(), []);
}

#[tokio::test(start_paused = true)]
async fn an_alarm_on_a_queue_that_is_gone_is_still_a_notice() {
    for name in ["alarm", "alarm-quarantine"] {
        let world = World::new();
        assert!(handle(&world, &sample(name)).await);
        let notice = only(&world);
        assert!(notice.subject.starts_with("ALARM waybill-"), "{notice:?}");
        assert!(notice.text.contains("Threshold Crossed"), "{notice:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn dimensions_in_upper_case_name_the_queue_as_well() {
    let mut event = sample("alarm");
    let message = &mut event.records[0].sns.message;
    *message = message
        .replace("\"name\":", "\"Name\":")
        .replace("\"value\":", "\"Value\":");
    let world = world();
    assert!(handle(&world, &event).await);
    assert_eq!(only(&world).kind, "dead-letters");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_no_alarm_is_still_a_notice() {
    let mut event = sample("alarm");
    event.records[0].sns.message = "hello".to_owned();
    let world = world();
    assert!(handle(&world, &event).await);
    assert_eq!(only(&world).subject, "An alarm could not be read");
}

#[tokio::test(start_paused = true)]
async fn every_alarm_of_an_event_is_passed_on() {
    let mut event = sample("alarm");
    event.records.extend(sample("ok").records);
    event.records.extend(sample("alarm-quarantine").records);
    let world = world();
    assert!(handle(&world, &event).await);
    assert_eq!(world.notices().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_alarm_on_a_queue_that_cannot_be_read_is_still_a_notice() {
    let world = world();
    world.fail(Operation::LookInto, 0, Fault::ErrorBefore);
    assert!(handle(&world, &sample("alarm")).await);
    assert!(only(&world).subject.starts_with("ALARM waybill-"));
}

#[tokio::test(start_paused = true)]
async fn an_alarm_that_could_not_be_passed_on_fails_the_invocation_and_comes_again() {
    let world = world();
    world.fail(Operation::TellPeople, 0, Fault::ErrorBefore);
    assert!(!handle(&world, &sample("alarm")).await);
    assert_eq!(world.notices(), []);
    assert!(handle(&world, &sample("alarm")).await);
    only(&world);
}
