//! The record of a replayed message: resolved by the worker that processed it, and by nothing before.

use std::collections::BTreeMap;

use aws_adapters::SqsReplayQueues;
use failures::{
    Actor, Change, Failure, FailureId, FailureStore, Letter, ReplayId, ReplayQueues, Status,
};
use serde_json::{Value, json};
use uuid::Uuid;
use waybill_tests::{CONSUMERS, Environment, QUICKLY, StockLevel, messages, unique, wait_until};

/// A message whose record a replay has claimed.
struct Claimed<'a> {
    environment: &'a Environment,
    consumer: &'static str,
    record: Failure,
    replay: ReplayId,
}

impl<'a> Claimed<'a> {
    /// Makes the record. The message itself is nowhere yet.
    async fn new(environment: &'a Environment, consumer: &'static str, body: &Value) -> Self {
        let replay = ReplayId::new(unique("replay"));
        let waiting = record(&consumer.to_lowercase(), body);
        let claim = Change::Claim {
            replay: replay.clone(),
            destination: waiting.consumer.clone(),
            automatic: false,
            again: false,
        };
        let actor = Actor {
            name: "ada".to_owned(),
            at: waiting.stored_at,
        };
        let record = waiting.after(&claim, &actor).unwrap();
        assert!(environment.failure_store().create(&record).await.unwrap());
        Self {
            environment,
            consumer,
            record,
            replay,
        }
    }

    /// Sends the message, as a replay does.
    async fn send(&self) {
        let url = self.environment.queue(self.consumer).to_owned();
        let urls = BTreeMap::from([(self.record.consumer.clone(), url)]);
        let Failure {
            id,
            letter,
            consumer,
            ..
        } = &self.record;
        SqsReplayQueues::new(self.environment.sqs.clone(), urls)
            .send(consumer, letter, id, &self.replay)
            .await
            .unwrap();
    }

    async fn now(&self) -> Failure {
        self.environment.failure(&self.record.id).await.unwrap()
    }

    /// Waits until the record says that the message is done, and gives what it says became of it.
    async fn outcome(&self) -> String {
        let what = format!("{} says that its message is done", self.consumer);
        let resolved = wait_until(&what, QUICKLY, async || {
            let now = self.now().await;
            match now.status {
                Status::Resolved => Ok(now),
                _ => Err(format!("{now:?}")),
            }
        });
        let resolution = resolved.await.resolution.unwrap();
        assert_eq!(resolution.by, self.record.consumer);
        resolution.outcome
    }
}

fn record(consumer: &str, body: &Value) -> Failure {
    let at = "2026-01-01T00:00:00.000Z";
    let id = Uuid::new_v4().to_string();
    serde_json::from_value(json!({
        "id": id, "version": 0, "status": "waiting", "consumer": consumer,
        "group": format!("{consumer}.Test.00000000"),
        "letter": Letter::new(body.to_string(), BTreeMap::new()),
        "trouble": {
            "class": "business", "name": "Test", "failedAt": at, "messageId": id,
            "foundIn": format!("{consumer}-dlq"),
        },
        "orderId": body["subject"], "storedAt": at, "failed": 1, "deadLetters": [id], "history": [],
    }))
    .unwrap()
}

#[tokio::test]
async fn a_replayed_charge_is_resolved_when_its_worker_has_processed_it_and_not_before() {
    let environment = Environment::connect().await;
    let order = Uuid::new_v4().to_string();
    let charge = messages::charge(100, "pm_card_visa");
    let charge = messages::command(&order, "payment.charge", charge);
    let claimed = Claimed::new(&environment, "Payment", &charge).await;
    assert_eq!(claimed.now().await.status, Status::Replaying);
    assert_eq!(environment.ledger(&order).await, []);

    claimed.send().await;
    let outcome = claimed.outcome().await;
    assert_eq!(outcome, "done; no answer was asked for");
    assert_eq!(environment.ledger(&order).await.len(), 1);
    let actions: Vec<_> = claimed.now().await.history;
    let actions: Vec<_> = actions.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["claimed", "resolved"]);
    environment.forget(&order).await;
    environment.forget_failures(&order).await;
}

/// One message for each consumer, and what its record says when it is done.
fn expectations(order: &str, sku: &str) -> Vec<(&'static str, Value, &'static str)> {
    let event = |name, data| messages::event(order, name, 1, data);
    let command = |name, data| messages::command(order, name, data);
    let done = "done; no answer was asked for";
    let charge = command("payment.charge", messages::charge(100, "pm_card_visa"));
    let reserve = command("stock.reserve", messages::reserve(sku, 1));
    let ship = command("shipment.create", messages::ship(sku, 1));
    let completed = || event("order.completed", messages::nothing_more());
    vec![
        (
            "Saga",
            event("order.placed", placed(sku)),
            "the saga was started",
        ),
        ("Payment", charge, done),
        ("Stock", reserve, done),
        ("Shipping", ship, done),
        ("Audit", completed(), "recorded"),
        ("Notify", completed(), "people were told"),
    ]
}

/// The data of an order whose card is declined, so that its saga is short.
fn placed(sku: &str) -> Value {
    json!({
        "customerId": unique("customer"), "currency": "EUR",
        "items": [{ "sku": sku, "quantity": 1, "unitPrice": 100 }],
        "total": { "amount": 100, "currency": "EUR" },
        "payment": { "method": "pm_card_chargeDeclined" },
        "shipTo": {
            "name": "Ada Example", "line1": "Musterstrasse 1", "city": "Berlin",
            "postalCode": "10115", "country": "DE"
        }
    })
}

#[tokio::test]
async fn each_consumer_says_what_became_of_a_replayed_message() {
    let environment = Environment::connect().await;
    let sku = unique("MUG");
    environment.seed(&sku, StockLevel::new(5, 2, 0)).await;
    let mut checked = Vec::new();
    for consumer in CONSUMERS {
        // Each of an order of its own, so that none finds what another one did.
        let order = Uuid::new_v4().to_string();
        let expectations = expectations(&order, &sku).into_iter();
        for (_, body, expected) in expectations.filter(|it| it.0 == consumer) {
            let claimed = Claimed::new(&environment, consumer, &body).await;
            claimed.send().await;
            assert_eq!(claimed.outcome().await, expected, "{consumer}");
            checked.push(consumer);
        }
        environment.forget_failures(&order).await;
        environment.forget(&order).await;
    }
    assert_eq!(checked, CONSUMERS);
}

#[tokio::test]
async fn a_late_action_is_refused_and_its_record_says_so() {
    let environment = Environment::connect().await;
    let order = Uuid::new_v4().to_string();
    let refund = messages::command(&order, "payment.refund", messages::nothing_more());
    let undone = Claimed::new(&environment, "Payment", &refund).await;
    undone.send().await;
    assert_eq!(undone.outcome().await, "done; no answer was asked for");

    let charge = messages::charge(100, "pm_card_visa");
    let mut charge = messages::command(&order, "payment.charge", charge);
    // Of a saga that has ended.
    charge["tasktoken"] = json!("nobody-waits-at-this-token");
    let late = Claimed::new(&environment, "Payment", &charge).await;
    late.send().await;
    let expected = "refused: Waybill.AlreadyUndone; nobody waited for the answer";
    assert_eq!(late.outcome().await, expected);
    assert_eq!(environment.ledger(&order).await, []);
    environment.forget(&order).await;
    environment.forget_failures(&order).await;
}

#[tokio::test]
async fn a_replayed_message_that_fails_again_leads_back_to_its_record() {
    let environment = Environment::connect().await;
    let order = Uuid::new_v4().to_string();
    let unknown = messages::command(&order, "payment.unheard-of", messages::nothing_more());
    let claimed = Claimed::new(&environment, "Payment", &unknown).await;
    claimed.send().await;
    let again = wait_until("the record waits again", QUICKLY, async || {
        environment.drain(&json!({ "drain": "all" })).await;
        let now = claimed.now().await;
        match now.status {
            Status::Waiting => Ok(now),
            _ => Err(format!("{now:?}")),
        }
    })
    .await;
    assert_eq!(again.failed, 2);
    assert_eq!(again.id, claimed.record.id);
    assert_eq!(again.trouble.class, "poison");
    assert!(again.trouble.found_in.ends_with("-quarantine"));
    assert_ne!(again.group, claimed.record.group);
    // What it carried on its way is not the sender's.
    assert_eq!(again.letter, claimed.record.letter);
    let others = environment.failures_about(&order).await;
    let ids: Vec<&FailureId> = others.iter().map(|failure| &failure.id).collect();
    assert_eq!(ids, [&claimed.record.id]);
    environment.forget_failures(&order).await;
}
