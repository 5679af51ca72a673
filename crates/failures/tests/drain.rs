//! The drain: nothing is deleted before it is stored, wherever the drain is killed.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is the failure report of a test"
)]
#![allow(clippy::large_futures, reason = "a test's future is awaited once")]

mod scene;

use std::collections::BTreeMap;
use std::time::Duration;

use failures::{
    Change, DELIVERY_FAILED, DeadLetter, Drained, DrainedQueue, Letter, RECEIVES_EXHAUSTED, Status,
    UNEXPLAINED, Value,
};
use idempotency::Clock;
use scene::{
    bare, change, drain, drain_of, failed_again, failure, given_up, groups, in_a_minute,
    notices_of, queue, send_again,
};
use testkit::{Fault, Operation, World};
use tokio::time::{advance, timeout};

/// Longer than a message stays hidden, and than somebody is about to tell people.
const LATER: Duration = Duration::from_secs(61);

/// A record that is being replayed, and dead letters of every kind: in three groups.
async fn world() -> World {
    let world = World::new();
    world.put_dead_letter(given_up("old", "transient", "ProviderUnavailable"));
    drain(&world).await;
    send_again(&world, "message-old").await;
    advance(Duration::from_secs(1)).await;

    world.put_dead_letter(failed_again("old", "message-old"));
    world.put_dead_letter(given_up("one", "transient", "ProviderUnavailable"));
    world.put_dead_letter(given_up("two", "ambiguous", "TimedOut"));
    world.put_dead_letter(DeadLetter {
        redriven: true,
        ..bare("three")
    });
    world
}

/// Every message is in the store, once, and in the queue no longer; people know.
async fn check_accounted_for(world: &World, at: &str) {
    assert!(world.dead_letters(scene::QUEUE).is_empty(), "{at}");
    let stored: Vec<_> = world.failures();
    let ids: Vec<_> = stored.iter().map(|failure| failure.id.as_str()).collect();
    let expected = ["message-old", "message-one", "message-three", "message-two"];
    assert_eq!(ids, expected, "{at}");
    for failure in &stored {
        assert_eq!(failure.status, Status::Waiting, "{at}: {}", failure.id);
    }
    let old = failure(world, "message-old");
    assert_eq!((old.failed, old.dead_letters.len()), (2, 2), "{at}");
    for group in groups(world).await {
        // The group of the old one was told before, and has an open failure of that time.
        let is_old = group.error_name == "ProviderUnavailable";
        let is_told = group.told_of == Some(group.last_failure_at);
        assert!(is_told || is_old, "{at}: people do not know of {group:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn wherever_the_drain_is_killed_the_next_one_accounts_for_every_message() {
    let calls = {
        let world = world().await;
        let before = world.calls().len();
        drain(&world).await;
        let after = world.calls().len();
        check_accounted_for(&world, "without a fault").await;
        before..after
    };
    assert!(calls.len() > 20, "{calls:?}");
    for call in calls {
        for fault in Fault::FAILURES {
            let at = format!("call {call}, {fault:?}");
            let world = world().await;
            let told_before = world.notices().len();
            world.fail_call(call, fault);
            // Where it hangs, its time runs out: it is dropped in the middle.
            let _killed = timeout(Duration::from_secs(20), drain(&world)).await;
            for failure in world.failures() {
                assert!(failure.version > 0, "{at}");
            }
            advance(LATER).await;
            drain(&world).await;
            check_accounted_for(&world, &at).await;
            let notices = world.notices().len() - told_before;
            assert!((2..=3).contains(&notices), "{at}: {notices} notices");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn at_no_moment_is_a_message_neither_in_the_queue_nor_in_the_store() {
    let calls = {
        let world = world().await;
        let before = world.calls().len();
        drain(&world).await;
        before..world.calls().len()
    };
    for call in calls {
        let world = world().await;
        world.fail_call(call, Fault::SilenceAfter);
        let _killed = timeout(Duration::from_secs(20), drain(&world)).await;
        let queued = world.dead_letters(scene::QUEUE);
        for id in ["message-one", "message-two", "message-three", "again-old"] {
            let is_stored = world
                .failures()
                .iter()
                .any(|failure| failure.dead_letters.iter().any(|known| known == id));
            let is_queued = queued.iter().any(|letter| letter.message_id == id);
            assert!(is_stored || is_queued, "{id} is lost at call {call}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_there_is_told_as_far_as_anything_tells_it() {
    #[track_caller]
    fn check(world: &World, id: &str, class: &str, name: &str, consumer: &str) {
        let failure = failure(world, id);
        let told = (
            failure.trouble.class.as_str(),
            failure.trouble.name.as_str(),
        );
        assert_eq!(told, (class, name), "{id}");
        assert_eq!(failure.consumer, consumer, "{id}");
    }
    let world = World::new();
    world.put_dead_letter(given_up("a", "transient", "ProviderUnavailable"));
    world.put_dead_letter(DeadLetter {
        redriven: true,
        ..bare("b")
    });
    world.put_dead_letter(bare("c"));
    drain(&world).await;
    check(
        &world,
        "message-a",
        "transient",
        "ProviderUnavailable",
        "payment",
    );
    check(
        &world,
        "message-b",
        "unknown",
        RECEIVES_EXHAUSTED,
        "payment",
    );
    check(&world, "message-c", "unknown", UNEXPLAINED, "payment");

    let told = failure(&world, "message-a");
    assert_eq!(told.trouble.attempts, 5);
    assert_eq!(
        told.trouble.failed_at.to_string(),
        "2026-11-21T17:56:10.500Z"
    );
    assert_eq!(told.order_id.as_deref(), Some("a"));
    assert_eq!(told.event_id.as_deref(), Some("a/payment.charge"));
    assert_eq!(
        told.message_type.as_deref(),
        Some("waybill.payment.charge.v1")
    );
    assert_eq!(told.correlation_id.as_deref(), Some("c"));
    assert_eq!(
        failure(&world, "message-b").correlation_id.as_deref(),
        Some("c-b")
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_bus_could_not_deliver_says_why_and_is_kept_as_it_was_sent() {
    let world = World::new();
    let queue = DrainedQueue::from_name("waybill-test-stock-delivery-dlq").unwrap();
    let text = |value: &str| Value::Text {
        data_type: "String".to_owned(),
        value: value.to_owned(),
    };
    let attributes = [
        ("ErrorCode", "AccessDenied"),
        ("ErrorMessage", "the queue refused"),
        ("RequestID", "7"),
        ("own", "kept"),
    ];
    let attributes = attributes.map(|(name, value)| (name.to_owned(), text(value)));
    world.put_dead_letter(DeadLetter {
        queue: queue.name.clone(),
        letter: Letter::new(scene::body("a"), attributes.into()),
        ..bare("a")
    });
    drain_of(&world).drain(&queue, in_a_minute(&world)).await;
    let failure = failure(&world, "message-a");
    assert_eq!(failure.consumer, "stock");
    assert_eq!(failure.trouble.name, DELIVERY_FAILED);
    assert_eq!(failure.trouble.cause, ["AccessDenied", "the queue refused"]);
    let kept: Vec<_> = failure.letter.attributes.keys().collect();
    assert_eq!(kept, ["own"]);
}

#[tokio::test(start_paused = true)]
async fn junk_in_quarantine_is_stored_whatever_it_claims_to_be() {
    let world = World::new();
    let queue = DrainedQueue::from_name("waybill-test-quarantine").unwrap();
    let endless = "x".repeat(5_000);
    for (name, body) in [
        ("empty", String::new()),
        (
            "endless",
            format!(r#"{{"subject": "{endless}", "id": "", "type": 7}}"#),
        ),
        ("broken", "{\"subject\": ".to_owned()),
    ] {
        world.put_dead_letter(DeadLetter {
            queue: queue.name.clone(),
            letter: Letter::new(body, BTreeMap::new()),
            ..bare(name)
        });
    }
    let drained = drain_of(&world).drain(&queue, in_a_minute(&world)).await;
    assert_eq!((drained.stored, drained.deleted), (3, 3));
    for failure in world.failures() {
        assert_eq!(failure.consumer, "unknown");
        assert_eq!(failure.order_id, None, "no key of an index");
        assert_eq!(failure.event_id, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_stored_stays_and_the_others_go_on() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        world.put_dead_letter(bare(name));
    }
    world.fail(Operation::CreateFailure, 1, Fault::ErrorBefore);
    let drained = drain(&world).await;
    let expected = Drained {
        stored: 2,
        deleted: 2,
        left: 1,
        emptied: true,
        ..Drained::default()
    };
    assert_eq!(drained, expected);
    assert!(drained.has_failed());
    advance(LATER).await;
    assert_eq!(drain(&world).await.stored, 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_leaves_every_message_where_it_is() {
    let world = World::new();
    for number in 0..60 {
        world.put_dead_letter(bare(&number.to_string()));
        world.fail(Operation::CreateFailure, number, Fault::ErrorBefore);
    }
    let drained = drain(&world).await;
    assert!(
        !drained.emptied && drained.left < 60,
        "it gives up: {drained:?}"
    );
    assert_eq!(world.dead_letters(scene::QUEUE).len(), 60);
    assert!(world.failures().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_fails_again_is_counted_in_its_record_and_waits_in_its_group() {
    let world = world().await;
    let before = failure(&world, "message-old");
    assert_eq!(before.status, Status::Replaying);
    let drained = drain(&world).await;
    assert_eq!((drained.failed_again, drained.stored), (1, 3));
    let after = failure(&world, "message-old");
    assert_eq!((after.status, after.failed), (Status::Waiting, 2));
    assert_eq!(after.group, before.group);
    assert_eq!(after.dead_letters, ["message-old", "again-old"]);
    assert_eq!(after.history.last().unwrap().action, "failed-again");
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_fails_again_while_its_record_changes_is_counted_all_the_same() {
    let world = world().await;
    // The claim and its confirmation were the first two.
    world.fail(
        Operation::ReplaceFailure,
        2,
        Fault::Delay(Duration::from_secs(5)),
    );
    let operator = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let text = "is anybody at it?".to_owned();
        change(&world, "message-old", Change::Note { text }).await;
    };
    let (drained, ()) = tokio::join!(drain(&world), operator);
    assert_eq!(drained.failed_again, 1);
    let after = failure(&world, "message-old");
    assert_eq!((after.status, after.failed), (Status::Waiting, 2));
    assert_eq!(after.note.as_deref(), Some("is anybody at it?"));
}

#[tokio::test(start_paused = true)]
async fn a_replay_whose_record_is_gone_or_is_another_message_gets_a_record_that_says_so() {
    for (failure_id, story) in [("nowhere", "no record"), ("message-old", "another one")] {
        let world = World::new();
        world.put_dead_letter(given_up("old", "transient", "ProviderUnavailable"));
        drain(&world).await;
        world.put_dead_letter(failed_again("other", failure_id));
        let drained = drain(&world).await;
        assert_eq!((drained.stored, drained.deleted), (1, 1));
        let stored = failure(&world, "message-other");
        let told = &stored.history[0].detail;
        assert!(told.contains(story) && told.contains("r-1"), "{told}");
        assert_eq!(failure(&world, "message-old").failed, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn two_drains_at_once_store_each_message_once_and_tell_once() {
    let world = World::new();
    for number in 0..35 {
        world.put_dead_letter(given_up(&number.to_string(), "transient", "Down"));
    }
    let (one, two) = tokio::join!(drain(&world), drain(&world));
    assert_eq!(one.stored + two.stored, 35);
    assert_eq!(world.failures().len(), 35);
    assert_eq!(world.notices().len(), 1, "{:?}", world.notices());
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_when_its_time_is_over_and_says_so() {
    let world = World::new();
    for number in 0..30 {
        world.put_dead_letter(bare(&number.to_string()));
    }
    let until = world.clock().now().plus(Duration::from_secs(5));
    world.fail(
        Operation::ReceiveDeadLetters,
        1,
        Fault::Delay(Duration::from_secs(10)),
    );
    let drained = drain_of(&world).drain(&queue(), until).await;
    assert_eq!((drained.deleted, drained.emptied), (20, false));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_its_worker_moved_twice_is_one_record_named_as_the_worker_knew_it() {
    let world = World::new();
    for id in ["d-1", "d-2"] {
        let moved = DeadLetter {
            message_id: id.to_owned(),
            ..given_up("a", "transient", "Down")
        };
        world.put_dead_letter(moved);
        drain(&world).await;
    }
    assert!(world.dead_letters(scene::QUEUE).is_empty());
    assert_eq!(world.failures().len(), 1);
    let kept = failure(&world, "message-a");
    assert_eq!((kept.failed, kept.status), (1, Status::Waiting));
    assert_eq!(kept.dead_letters, ["d-1", "d-2"]);
    assert_eq!(kept.history.last().unwrap().action, "found-again");
}

#[tokio::test(start_paused = true)]
async fn another_message_that_says_it_had_the_same_id_has_a_record_of_its_own() {
    let world = World::new();
    for (id, name) in [("d-1", "a"), ("d-2", "b")] {
        let moved = DeadLetter {
            message_id: id.to_owned(),
            record: given_up("a", "transient", "Down").record,
            ..bare(name)
        };
        world.put_dead_letter(moved);
        drain(&world).await;
    }
    assert_eq!(failure(&world, "message-a").dead_letters, ["d-1"]);
    assert_eq!(failure(&world, "d-2").dead_letters, ["d-2"]);
}

#[tokio::test(start_paused = true)]
async fn an_id_that_cannot_be_one_names_no_record() {
    for id in [String::new(), "i".repeat(101), "a\u{7}b".to_owned()] {
        let world = World::new();
        let mut moved = given_up("a", "transient", "Down");
        moved.message_id = "d-1".to_owned();
        moved.record.as_mut().unwrap().message_id = id;
        world.put_dead_letter(moved);
        drain(&world).await;
        assert_eq!(failure(&world, "d-1").dead_letters, ["d-1"]);
    }
}

// People.

#[tokio::test(start_paused = true)]
async fn a_notice_tells_of_a_group_with_counts_and_exact_commands() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        world.put_dead_letter(given_up(name, "business", "CardDeclined"));
    }
    drain(&world).await;
    let notices = world.notices();
    assert_eq!(notices.len(), 1, "{notices:?}");
    let notice = &notices[0];
    assert_eq!(notice.kind, "dead-letters");
    assert_eq!(
        notice.subject,
        "3 message(s) of payment failed: CardDeclined"
    );
    let group = &groups(&world).await[0].id;
    for part in [
        "new since the last notice   3".to_owned(),
        "open in all                 3".to_owned(),
        "connection refused".to_owned(),
        "message-a".to_owned(),
        "last failed                 2026-11-21T17:56:10.500Z".to_owned(),
        format!("waybill --stack waybill-test failures replay --group {group}"),
        format!("waybill --stack waybill-test failures list --group {group}"),
    ] {
        assert!(
            notice.text.contains(&part),
            "{part} is not in {}",
            notice.text
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_that_keeps_failing_is_one_notice_an_hour() {
    let world = World::new();
    for minute in 0..130 {
        world.put_dead_letter(given_up(&minute.to_string(), "transient", "Down"));
        drain(&world).await;
        advance(Duration::from_secs(60)).await;
    }
    assert_eq!(
        world.notices().len(),
        3,
        "at once, after 60 and after 120 minutes"
    );
    assert!(world.notices()[1].subject.starts_with("60 message(s)"));
}

#[tokio::test(start_paused = true)]
async fn a_group_that_comes_back_after_it_was_dealt_with_is_a_notice_at_once() {
    let world = World::new();
    world.put_dead_letter(given_up("a", "transient", "Down"));
    drain(&world).await;
    advance(LATER).await;
    let why = "called the provider".to_owned();
    change(&world, "message-a", Change::Resolve { why }).await;
    world.put_dead_letter(given_up("b", "transient", "Down"));
    drain(&world).await;
    assert_eq!(world.notices().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_finds_nothing_new_tells_nobody() {
    let world = World::new();
    world.put_dead_letter(given_up("a", "transient", "Down"));
    drain(&world).await;
    for _ in 0..3 {
        advance(Duration::from_secs(3_600)).await;
        drain(&world).await;
    }
    assert_eq!(world.notices().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_joins_while_people_are_told_is_not_lost_from_sight() {
    let world = World::new();
    world.put_dead_letter(given_up("a", "transient", "Down"));
    drain_of(&world).drain(&queue(), in_a_minute(&world)).await;
    // The notice takes a while, and meanwhile another failure joins the group.
    world.fail(
        Operation::TellPeople,
        0,
        Fault::Delay(Duration::from_secs(5)),
    );
    let notices = notices_of(&world);
    let late = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.put_dead_letter(given_up("b", "transient", "Down"));
        drain_of(&world).drain(&queue(), in_a_minute(&world)).await;
    };
    let (told, ()) = tokio::join!(notices.tell_due(in_a_minute(&world)), late);
    assert_eq!(told.unwrap(), 1);
    let group = &groups(&world).await[0];
    assert!(group.told_of.unwrap() < group.last_failure_at, "{group:?}");
    advance(Duration::from_secs(3_600)).await;
    assert_eq!(notices.tell_due(in_a_minute(&world)).await.unwrap(), 1);
    assert!(
        world.notices()[1]
            .text
            .contains("new since the last notice   1")
    );
}

#[tokio::test(start_paused = true)]
async fn while_one_tells_people_nobody_else_does() {
    let world = World::new();
    world.put_dead_letter(given_up("a", "transient", "Down"));
    drain_of(&world).drain(&queue(), in_a_minute(&world)).await;
    world.fail(
        Operation::TellPeople,
        0,
        Fault::Delay(Duration::from_secs(5)),
    );
    let (one, two) = (notices_of(&world), notices_of(&world));
    let late = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        two.tell_due(in_a_minute(&world)).await
    };
    let (one, two) = tokio::join!(one.tell_due(in_a_minute(&world)), late);
    assert_eq!((one.unwrap(), two.unwrap()), (1, 0));
    assert_eq!(world.notices().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_dies_before_the_group_knows_leaves_that_to_the_next() {
    let world = World::new();
    world.put_dead_letter(given_up("a", "transient", "Down"));
    drain(&world).await;
    let why = "called the provider".to_owned();
    change(&world, "message-a", Change::Resolve { why }).await;
    advance(LATER).await;
    world.put_dead_letter(given_up("b", "transient", "Down"));
    // Three are of the drain above: it joined, and people were told.
    world.fail(Operation::PutGroup, 3, Fault::SilenceBefore);
    let _killed = timeout(Duration::from_secs(20), drain(&world)).await;
    assert_eq!(world.notices().len(), 1);
    assert_eq!(failure(&world, "message-b").status, Status::Waiting);
    advance(LATER).await;
    assert_eq!(drain(&world).await.known, 1);
    assert_eq!(world.notices().len(), 2, "people hear of it");
}
