//! What must hold of intake.

use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use aws_lambda_events::event::dynamodb::Event as StreamEvent;
use contracts::EventMessage;
use outbox_relay::{Failures, Relay};
use ports::{Bus, Delivery, Unavailable};
use serde_json::{Value, json};
use stateright::Property;

use super::{Answer, Intake, Moment};
use crate::explored::{Part, all_hold};

/// What intake promises.
pub const INTAKE: &str = "An idempotency key makes one order, with the same answer to each repetition, and a 202 means that the order is stored.";

const INTAKE_PARTS: &[Part<Intake>] = &[
    ("a 202 means that its order is stored", |model, moment| {
        accepted(model, moment).all(|(_, answer)| is_stored(model, moment, &answer))
    }),
    (
        "an order is stored together with the event that it was placed",
        |model, moment| moment.item.is_none_or(|item| is_published(model, item)),
    ),
    ("a stored order is never replaced", |model, moment| {
        let pair = moment.item.zip(moment.first);
        pair.is_none_or(|(item, first)| is_same_order(&model.item(item), &model.item(first)))
    }),
    ("each 202 under a key is the same answer", |model, moment| {
        let mut answers = accepted(model, moment).map(|(_, answer)| answer.body);
        let first = answers.next();
        answers.all(|answer| Some(&answer) == first.as_ref())
    }),
    (
        "another order under a used key is refused, and its own is not",
        |model, moment| {
            let mut told = moment.told.iter();
            told.all(|(client, answer)| is_told_right(model, moment, *client, *answer))
        },
    ),
];

/// What must always hold, and what must be possible for it to mean something.
pub(super) fn all() -> Vec<Property<Intake>> {
    vec![
        Property::always(INTAKE, |model, moment| {
            all_hold(INTAKE_PARTS, model, moment)
        }),
        Property::sometimes("a client is told that its order is accepted", |model, moment| {
            accepted(model, moment).next().is_some()
        }),
    ]
}

/// The parts of a property.
pub(super) fn parts(words: &str) -> &'static [Part<Intake>] {
    if words == INTAKE { INTAKE_PARTS } else { &[] }
}

fn accepted<'a>(
    model: &'a Intake,
    moment: &'a Moment,
) -> impl Iterator<Item = (u8, Answer)> + 'a {
    let told = moment.told.iter();
    let answers = told.map(|(client, answer)| (*client, model.answer(*answer)));
    answers.filter(|(_, answer)| answer.status == 202)
}

fn is_stored(model: &Intake, moment: &Moment, answer: &Answer) -> bool {
    let Some(item) = moment.item.map(|item| model.item(item)) else {
        return false;
    };
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let total = body["total"]["amount"].to_string();
    body["orderId"] == item["orderId"]["S"] && item["totalAmount"]["N"] == total
}

fn is_same_order(item: &Value, first: &Value) -> bool {
    let alike = |name: &str| item[name] == first[name];
    ["orderId", "order", "requestFingerprint", "correlationId"]
        .into_iter()
        .all(alike)
}

/// Nobody is told anything else than that the order is accepted, that the key is used
/// for another, or to try again.
fn is_told_right(model: &Intake, moment: &Moment, client: u8, answer: u16) -> bool {
    let wanted = model.scenario.orders[usize::from(client)];
    let stored = moment.first.map(|first| quantity(&model.item(first)));
    let is_own = stored == Some(u64::from(wanted) + 1);
    match model.answer(answer).status {
        202 => is_own,
        422 => stored.is_some() && !is_own,
        status => status == super::UNAVAILABLE,
    }
}

/// The two orders differ in how many pieces they want.
fn quantity(item: &Value) -> u64 {
    let order = item["order"]["S"].as_str().unwrap_or_default();
    let order: Value = serde_json::from_str(order).unwrap_or_default();
    order["items"][0]["quantity"].as_u64().unwrap_or_default()
}

/// Whether the real relay publishes, of the change that brings this item, that just this
/// order was placed.
fn is_published(model: &Intake, number: u16) -> bool {
    let item = model.item(number);
    let published = publish(&item);
    let Some(first) = published.first() else {
        return false;
    };
    let Ok(message) = EventMessage::parse(first) else {
        return false;
    };
    let Ok(placed) = message.placed_order() else {
        return false;
    };
    let stored = item["order"]["S"].as_str().unwrap_or_default();
    item["orderId"]["S"] == message.envelope.order.to_string()
        && contracts::write_order(&placed) == stored
}

/// A bus that takes everything.
#[derive(Debug, Default)]
struct Taken(Mutex<Vec<String>>);

impl Bus for &Taken {
    const BATCH: usize = 10;
    const BATCH_BYTES: usize = 256 * 1024;

    async fn publish(&self, messages: &[&str]) -> Result<Vec<Delivery>, Unavailable> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.extend(messages.iter().map(|message| (*message).to_owned()));
        Ok(messages.iter().map(|_| Delivery::Published).collect())
    }
}

/// What the real relay publishes of the stream's record of an item that is new.
#[allow(
    clippy::expect_used,
    reason = "a record that does not parse is a defect of the model"
)]
fn publish(item: &Value) -> Vec<String> {
    let change = json!({
        "Keys": { "orderId": item["orderId"] }, "NewImage": item,
        "SequenceNumber": "1", "SizeBytes": 1, "StreamViewType": "NEW_AND_OLD_IMAGES",
    });
    let event = json!({ "Records": [{
        "awsRegion": "eu-central-1", "eventID": "e", "eventName": "INSERT", "dynamodb": change,
    }]});
    let event: StreamEvent = serde_json::from_value(event).expect("the event is one of DynamoDB");
    let taken = Taken::default();
    let relay = Relay::new(&taken, Failures::BySequence);
    // What it could not read is not published, and that is noticed.
    let relaying = pin!(relay.relay(&event));
    let mut context = Context::from_waker(Waker::noop());
    let Poll::Ready(_) = relaying.poll(&mut context) else {
        panic!("a bus that takes everything keeps nobody waiting");
    };
    let mut published = taken.0.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::take(&mut *published)
}
