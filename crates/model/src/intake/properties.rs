//! What must hold of intake.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use aws_lambda_events::event::dynamodb::Event as StreamEvent;
use contracts::EventMessage;
use domain::OrderStatus;
use outbox_relay::{Failures, Relay};
use ports::{Bus, Delivery, HeldOrder, HeldOrders, Unavailable};
use serde_json::{Value, json};
use stateright::Property;

use super::{Answer, Intake, Moment};
use crate::explored::{Part, all_hold};
use crate::worker::Still;

/// What intake promises.
pub const INTAKE: &str = "An idempotency key makes one order, with the same answer to each repetition, and a 202 means that the order is stored.";

const INTAKE_PARTS: &[Part<Intake>] = &[
    ("a 202 means that its order is stored", |model, moment| {
        accepted(model, moment).all(|answer| is_stored(model, moment, &answer))
    }),
    (
        "an order is stored together with the event that it was placed",
        |model, moment| {
            moment
                .item
                .is_none_or(|item| model.facts(item).is_published)
        },
    ),
    ("a stored order is never replaced", |model, moment| {
        let pair = moment.item.zip(moment.first);
        pair.is_none_or(|(item, first)| model.facts(item).order == model.facts(first).order)
    }),
    (
        "each 202 under a key is the same answer",
        |model, moment| {
            let mut answers = accepted(model, moment);
            let first = answers.next();
            answers.all(|answer| first.as_ref().is_some_and(|it| it.body == answer.body))
        },
    ),
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
        Property::sometimes(
            "a client is told that its order is accepted",
            |model, moment| accepted(model, moment).next().is_some(),
        ),
    ]
}

/// The parts of a property.
pub(super) fn parts(words: &str) -> &'static [Part<Intake>] {
    if words == INTAKE { INTAKE_PARTS } else { &[] }
}

fn accepted<'a>(model: &'a Intake, moment: &'a Moment) -> impl Iterator<Item = Arc<Answer>> + 'a {
    let answers = moment.told.iter().map(|(_, answer)| model.answer(*answer));
    answers.filter(|answer| answer.status == 202)
}

fn is_stored(model: &Intake, moment: &Moment, answer: &Answer) -> bool {
    let Some(item) = moment.item.map(|item| model.facts(item)) else {
        return false;
    };
    answer.order_id == item.order_id && answer.total == item.total
}

/// Nobody is told anything else than that the order is accepted, that the key is used
/// for another, or to try again.
fn is_told_right(model: &Intake, moment: &Moment, client: u8, answer: u16) -> bool {
    let wanted = model.scenario.orders[usize::from(client)];
    let stored = moment.first.map(|first| model.facts(first).quantity);
    let is_own = stored == Some(u64::from(wanted) + 1);
    match model.answer(answer).status {
        202 => is_own,
        422 => stored.is_some() && !is_own,
        status => status == super::UNAVAILABLE,
    }
}

/// What is to be known of an item.
#[derive(Debug)]
pub(super) struct Facts {
    order_id: String,
    total: String,
    /// All of it that stays as it was accepted.
    order: Vec<Value>,
    /// The two orders differ in how many pieces they want.
    quantity: u64,
    /// Whether the real relay publishes, of the change that brings this item, that just
    /// this order was placed.
    is_published: bool,
    pub(super) is_completed: bool,
    /// The item once the saga has completed the order: another status, and one more event.
    pub(super) completed: String,
}

impl Facts {
    pub(super) fn of(item: &str) -> Self {
        let item: Value = serde_json::from_str(item).unwrap_or_default();
        let text = |name: &str| item[name]["S"].as_str().unwrap_or_default().to_owned();
        let order: Value = serde_json::from_str(&text("order")).unwrap_or_default();
        let kept = ["orderId", "order", "requestFingerprint", "correlationId"];
        let end = OrderStatus::Completed.as_str();
        Self {
            order_id: text("orderId"),
            total: item["totalAmount"]["N"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            order: kept.map(|name| item[name].clone()).to_vec(),
            quantity: order["items"][0]["quantity"].as_u64().unwrap_or_default(),
            is_published: is_published(&item),
            is_completed: text("status") == end,
            completed: completed(item, end),
        }
    }
}

fn completed(mut item: Value, end: &str) -> String {
    item["status"] = json!({ "S": end });
    if let Some(timeline) = item["timeline"]["L"].as_array_mut() {
        timeline.extend(timeline.first().cloned());
    }
    item.to_string()
}

fn is_published(item: &Value) -> bool {
    let published = publish(item);
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

impl HeldOrders for &Taken {
    /// What is held is not published, and that is noticed.
    async fn report(&self, _order: &HeldOrder) -> Result<(), Unavailable> {
        Ok(())
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
    let relay = Relay::new(&taken, &taken, Still, Failures::BySequence);
    // What it could not read is not published, and that is noticed.
    let relaying = pin!(relay.relay(&event));
    let mut context = Context::from_waker(Waker::noop());
    let Poll::Ready(_) = relaying.poll(&mut context) else {
        panic!("a bus that takes everything keeps nobody waiting");
    };
    let mut published = taken.0.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::take(&mut *published)
}
