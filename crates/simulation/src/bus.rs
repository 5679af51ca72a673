//! SNS, and the ways into the queues and out of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use contracts::Envelope;
use failures::{DeadLetter, FailureId, ReplayId, Status};
use message_worker::Attribute;
use ports::Delivery;

use crate::mishaps::Mishap;
use crate::queues::Message;
use crate::sim::{Sim, Violation};
use crate::template::{CONSUMERS, DEPLOYED};

/// What the bus says of each message of a batch.
pub(crate) fn publish_batch(sim: &Sim, bodies: &[Arc<str>]) -> Vec<Delivery> {
    let publish_one = |body: &Arc<str>| match sim.draw(Mishap::PartlyPublished) {
        true => Delivery::Failed {
            code: "Throttled".to_owned(),
        },
        false => {
            publish(sim, body);
            Delivery::Published
        }
    };
    bodies.iter().map(publish_one).collect()
}

/// The bus has a message: it goes to every subscriber.
pub(crate) fn publish(sim: &Sim, body: &Arc<str>) {
    let told = contracts::peek(body);
    let message_type = told.message_type.unwrap_or_default();
    if let Ok(envelope) = Envelope::parse(body) {
        let found = sim.state().checks.published(&envelope);
        found
            .into_iter()
            .for_each(|violation| sim.violate(violation));
    }
    for consumer in DEPLOYED.subscribers(&message_type) {
        hand_over(sim, consumer, body);
        if sim.draw(Mishap::Duplicate) {
            hand_over(sim, consumer, body);
        }
    }
}

fn hand_over(sim: &Sim, consumer: &str, body: &Arc<str>) {
    if sim.draw(Mishap::NotDelivered) {
        let why = [
            ("ErrorCode", "KMS.DisabledException"),
            ("ErrorMessage", "no key"),
        ];
        let why = why.map(|(name, value)| (name.to_owned(), Attribute::text(value)));
        let to = format!("{consumer}-delivery-dlq");
        send(sim, &to, body, BTreeMap::from(why), Duration::ZERO);
        sim.state().checks.accepted(consumer, body);
        return;
    }
    let longest = match sim.draw(Mishap::LateMessage) {
        true => Duration::from_secs(600),
        false => Duration::from_millis(100),
    };
    let delay = sim.up_to(longest);
    send(sim, consumer, body, BTreeMap::new(), delay);
}

/// A queue takes a message: from now on it may not get lost.
pub(crate) fn send(
    sim: &Sim,
    queue: &str,
    body: &Arc<str>,
    attributes: BTreeMap<String, Attribute>,
    delay: Duration,
) {
    let now = sim.now();
    {
        let mut state = sim.state();
        if CONSUMERS.contains(&queue) {
            state.checks.accepted(queue, body);
        }
        let told = contracts::peek(body)
            .id
            .unwrap_or_else(|| "garbage".to_owned());
        let id = state
            .queues
            .send(queue, Arc::clone(body), attributes, now, delay);
        let at = sim.elapsed();
        state
            .story
            .tell(at, "queue", format_args!("{queue} takes {id}: {told}"));
    }
    sim.arrived(queue);
}

/// A message goes back to its consumer: only one whose record is claimed for it.
pub(crate) fn replay(
    sim: &Sim,
    consumer: &str,
    body: &Arc<str>,
    attributes: BTreeMap<String, Attribute>,
) {
    if sim.draw(Mishap::Duplicate) {
        send(sim, consumer, body, attributes.clone(), Duration::ZERO);
    }
    send(sim, consumer, body, attributes, Duration::ZERO);
}

/// Whoever sends a failed message once more must have its record.
pub(crate) fn must_have_claimed(sim: &Sim, id: &FailureId, by: &ReplayId) {
    let Some(failure) = sim.world().failure(id) else {
        return;
    };
    let replay = failure.replay.as_ref();
    let is_claimed = failure.status == Status::Replaying;
    if !is_claimed || replay.is_none_or(|replay| replay.id != *by) {
        sim.violate(Violation {
            invariant:
                "a failed message is sent once more only by the replay that has claimed its record"
                    .to_owned(),
            order: failure.order_id.as_deref().and_then(|id| id.parse().ok()),
            seen: format!("replay {by} sends {id}, which is {}", failure.status),
        });
    }
}

/// Lambda deletes what a worker has acknowledged.
pub(crate) fn acknowledge(sim: &Sim, queue: &str, message: &Message) {
    let comes_again = sim.draw(Mishap::Duplicate);
    let mut guard = sim.state();
    let state = &mut *guard;
    if !comes_again {
        state.queues.delete(queue, message, &mut state.random);
    }
    let [dead, undelivered] = ["dlq", "delivery-dlq"].map(|end| format!("{queue}-{end}"));
    let places = [queue, &dead, &undelivered, "quarantine"];
    let is_kept = state.checks.was_processed(queue, &message.body)
        || state.queues.hold(&places, &message.body)
        || sim.world().keeps_letter(&message.body);
    drop(guard);
    if !is_kept {
        let seen = format!("{} of {queue} is nowhere", message.id);
        sim.violate(lost(&message.body, seen));
    }
}

/// The drain deletes a dead letter: it must be in the store.
pub(crate) fn delete_dead_letter(sim: &Sim, letter: &DeadLetter) {
    sim.state()
        .queues
        .delete_by_handle(&letter.queue, &letter.receipt_handle);
    if !sim.world().keeps_letter(&letter.letter.body) {
        let seen = format!(
            "{} of {} is deleted and not stored",
            letter.message_id, letter.queue
        );
        sim.violate(lost(&letter.letter.body, seen));
    }
}

fn lost(body: &str, seen: String) -> Violation {
    Violation {
        invariant: "every message ever accepted by a queue is processed, waiting, or in a \
                    dead-letter queue, quarantine or the failure store"
            .to_owned(),
        order: contracts::peek(body)
            .subject
            .and_then(|order| order.parse().ok()),
        seen,
    }
}
