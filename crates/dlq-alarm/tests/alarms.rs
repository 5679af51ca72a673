//! An alarm that rings is never silence: its queue is drained, or people hear of it.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is the failure report of a test"
)]

mod function;

use aws_lambda_events::event::sns::SnsEvent;
use dlq_alarm::{Incomplete, Request};
use function::{QUEUE, handle, put};
use ports::{Notice, QueueReport, Sample};
use testkit::{Fault, Operation, World, fixtures};

/// The queue of the sample `alarm-relay`, which is not drained.
const RELAY: &str = "waybill-relay-failures";

fn sample(name: &str) -> SnsEvent {
    serde_json::from_str(&fixtures::sample(&format!("dlq-alarm/{name}"))).unwrap()
}

async fn ring(world: &World, event: &SnsEvent) -> Result<dlq_alarm::Answer, Incomplete> {
    handle(world, &Request::Alarms(event.clone())).await
}

#[track_caller]
fn only(world: &World) -> Notice {
    let notices = world.notices();
    assert_eq!(notices.len(), 1, "{notices:?}");
    notices[0].clone()
}

#[tokio::test(start_paused = true)]
async fn an_alarm_on_a_drained_queue_empties_it_and_people_hear_of_the_group() {
    let world = World::new();
    put(&world, QUEUE, "a");
    put(&world, QUEUE, "b");
    put(&world, "waybill-stock-dlq", "c");
    let answer = ring(&world, &sample("alarm")).await.unwrap();
    assert_eq!(answer.queues[QUEUE].stored, 2);
    assert_eq!(answer.told, 1);
    assert_eq!(
        world.failures().len(),
        2,
        "the other queue is for another alarm"
    );
    let notice = only(&world);
    assert_eq!(notice.kind, "dead-letters");
    assert!(notice.subject.starts_with("2 message(s) of payment"));
}

#[tokio::test(start_paused = true)]
async fn an_alarm_on_a_queue_that_a_schedule_has_emptied_tells_nobody_again() {
    let world = World::new();
    put(&world, QUEUE, "a");
    ring(&world, &sample("alarm")).await.unwrap();
    ring(&world, &sample("alarm")).await.unwrap();
    only(&world);
}

#[tokio::test(start_paused = true)]
async fn an_alarm_on_another_queue_is_one_notice_with_what_is_in_it() {
    let world = World::new();
    let report = QueueReport {
        depth: 3,
        oldest_sent_at: None,
        samples: vec![Sample {
            correlation_id: Some("req-2026-11-21-0001".to_owned()),
            error_name: Some("StreamRecordExpired".to_owned()),
            message_type: None,
        }],
    };
    world.put_queue(RELAY, report);
    ring(&world, &sample("alarm-relay")).await.unwrap();
    let notice = only(&world);
    assert_eq!(notice.subject, format!("3 message(s) wait in {RELAY}"));
    assert!(notice.text.contains("req-2026-11-21-0001"));
    assert!(notice.text.contains("docs/operations.md"));
}

#[tokio::test(start_paused = true)]
async fn an_alarm_that_is_over_tells_nobody() {
    let world = World::new();
    ring(&world, &sample("ok")).await.unwrap();
    assert_eq!(world.notices(), []);
}

#[tokio::test(start_paused = true)]
async fn an_alarm_on_a_queue_that_is_gone_is_still_a_notice() {
    let world = World::new();
    ring(&world, &sample("alarm-relay")).await.unwrap();
    let notice = only(&world);
    assert!(notice.subject.starts_with("ALARM waybill-"), "{notice:?}");
    assert!(notice.text.contains("Threshold Crossed"), "{notice:?}");
}

#[tokio::test(start_paused = true)]
async fn an_alarm_whose_queue_cannot_be_drained_is_still_a_notice() {
    let world = World::new();
    put(&world, QUEUE, "a");
    world.fail(Operation::ReceiveDeadLetters, 0, Fault::ErrorBefore);
    world.fail(Operation::LookInto, 0, Fault::ErrorBefore);
    ring(&world, &sample("alarm")).await.unwrap();
    assert!(only(&world).subject.starts_with("ALARM waybill-"));
}

#[tokio::test(start_paused = true)]
async fn messages_that_could_not_be_stored_are_a_notice_about_their_queue() {
    let world = World::new();
    put(&world, QUEUE, "a");
    let report = QueueReport {
        depth: 1,
        oldest_sent_at: None,
        samples: Vec::new(),
    };
    world.put_queue(QUEUE, report);
    world.fail(Operation::CreateFailure, 0, Fault::ErrorBefore);
    ring(&world, &sample("alarm")).await.unwrap();
    let notice = only(&world);
    assert_eq!(notice.subject, format!("1 message(s) wait in {QUEUE}"));
    assert!(notice.text.contains("FailureNotStored"), "{}", notice.text);
}

#[tokio::test(start_paused = true)]
async fn dimensions_in_upper_case_name_the_queue_as_well() {
    let mut event = sample("alarm");
    let message = &mut event.records[0].sns.message;
    *message = message
        .replace("\"name\":", "\"Name\":")
        .replace("\"value\":", "\"Value\":");
    let world = World::new();
    put(&world, QUEUE, "a");
    assert_eq!(ring(&world, &event).await.unwrap().queues.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_no_alarm_is_still_a_notice() {
    let mut event = sample("alarm");
    event.records[0].sns.message = "hello".to_owned();
    let world = World::new();
    ring(&world, &event).await.unwrap();
    assert_eq!(only(&world).subject, "An alarm could not be read");
}

#[tokio::test(start_paused = true)]
async fn every_alarm_of_an_event_is_answered() {
    let mut event = sample("alarm");
    event.records.extend(sample("ok").records);
    event.records.extend(sample("alarm-quarantine").records);
    event.records.extend(sample("alarm-relay").records);
    let world = World::new();
    put(&world, QUEUE, "a");
    put(&world, "waybill-quarantine", "b");
    let answer = ring(&world, &event).await.unwrap();
    assert_eq!(answer.queues.len(), 2);
    // Both messages are of one group.
    assert_eq!(world.notices().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn people_who_could_not_be_told_fail_the_invocation_and_are_told_when_it_comes_again() {
    let world = World::new();
    put(&world, QUEUE, "a");
    world.fail(Operation::TellPeople, 0, Fault::ErrorBefore);
    let error = ring(&world, &sample("alarm")).await.unwrap_err();
    assert!(matches!(error, Incomplete::NotTold(_)), "{error:?}");
    assert_eq!(world.notices(), []);
    // As long as Lambda waits before it tries again.
    tokio::time::advance(std::time::Duration::from_secs(60)).await;
    ring(&world, &sample("alarm")).await.unwrap();
    only(&world);

    let world = World::new();
    world.fail(Operation::TellPeople, 0, Fault::ErrorBefore);
    let error = ring(&world, &sample("alarm-relay")).await.unwrap_err();
    assert!(matches!(error, Incomplete::NotPassedOn(_)), "{error:?}");
}
