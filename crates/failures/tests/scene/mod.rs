//! Dead letters of every kind, and what drains them.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeMap;
use std::time::Duration;

use failures::{
    Change, DeadLetter, Drain, Drained, DrainedQueue, Failure, FailureId, GroupStore, Letter,
    Notices, ReplayId,
};
use idempotency::{Clock, Millis};
use serde_json::json;
use testkit::{VirtualClock, World};

/// The queue of most tests.
pub(crate) const QUEUE: &str = "waybill-test-payment-dlq";

pub(crate) fn queue() -> DrainedQueue {
    DrainedQueue::from_name(QUEUE).unwrap()
}

/// A command of an order of its own.
pub(crate) fn body(name: &str) -> String {
    json!({
        "id": format!("{name}/payment.charge"), "type": "waybill.payment.charge.v1",
        "subject": name, "correlationid": format!("c-{name}"),
    })
    .to_string()
}

/// What lies in the queue with nothing that explains it.
pub(crate) fn bare(name: &str) -> DeadLetter {
    DeadLetter {
        message_id: format!("message-{name}"),
        receipt_handle: String::new(),
        queue: QUEUE.to_owned(),
        sent_at: VirtualClock::START.get(),
        receives: 0,
        letter: Letter::new(body(name), BTreeMap::new()),
        record: None,
        redriven: false,
        replayed: None,
    }
}

/// What a worker gave up on.
pub(crate) fn given_up(name: &str, class: &str, error: &str) -> DeadLetter {
    let record = json!({
        "errorClass": class, "errorName": error, "cause": [error, "connection refused"],
        "consumer": "payment", "bodySha256": "", "attempts": 5,
        "failedAt": "2026-11-21T17:56:10.5Z", "messageId": format!("message-{name}"), "correlationId": "c",
    });
    DeadLetter {
        record: Some(serde_json::from_value(record).unwrap()),
        ..bare(name)
    }
}

/// What failed once more after a replay.
pub(crate) fn failed_again(name: &str, failure: &str) -> DeadLetter {
    let (failure, replay) = (FailureId::new(failure), ReplayId::new("r-1"));
    DeadLetter {
        message_id: format!("again-{name}"),
        replayed: Some((failure, replay)),
        ..given_up(name, "transient", "ProviderUnavailable")
    }
}

pub(crate) fn drain_of(world: &World) -> Drain<World, World, World, VirtualClock> {
    Drain::new(world.clone(), world.clone(), world.clone(), world.clock())
}

pub(crate) fn notices_of(world: &World) -> Notices<World, World, World, VirtualClock> {
    let parts = (world.clone(), world.clone(), world.clone());
    Notices::new(parts.0, parts.1, parts.2, world.clock(), "waybill-test")
}

pub(crate) fn in_a_minute(world: &World) -> Millis {
    world.clock().now().plus(Duration::from_secs(60))
}

/// Drains the queue and tells people, as the function does.
pub(crate) async fn drain(world: &World) -> Drained {
    let drained = drain_of(world).drain(&queue(), in_a_minute(world)).await;
    // Whoever could not be told is told by the next.
    let _told = notices_of(world).tell_due(in_a_minute(world)).await;
    drained
}

pub(crate) fn failure(world: &World, id: &str) -> Failure {
    let found = world.failure(&FailureId::new(id));
    found.unwrap_or_else(|| panic!("there is no failure {id}"))
}

/// Changes a record as whoever may change it.
pub(crate) async fn change(world: &World, id: &str, change: Change) {
    use failures::FailureStore;
    let name = match change {
        Change::Acknowledge { .. } => "payment",
        _ => "ada",
    };
    let actor = failures::Actor {
        name: name.to_owned(),
        at: contracts::Timestamp::from_epoch_millis(world.clock().now().get()),
    };
    let next = failure(world, id).after(&change, &actor).unwrap();
    assert!(world.replace(&next).await.unwrap());
}

/// Claims a record for a replay and says that it was sent.
pub(crate) async fn send_again(world: &World, id: &str) {
    let replay = ReplayId::new("r-1");
    let claim = Change::Claim {
        replay: replay.clone(),
        destination: "payment".to_owned(),
        automatic: false,
        again: false,
    };
    change(world, id, claim).await;
    change(world, id, Change::Sent { replay }).await;
}

pub(crate) async fn groups(world: &World) -> Vec<failures::Group> {
    world.groups().await.unwrap()
}
