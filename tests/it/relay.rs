//! The relay fails half-way: what is in the outbox is published later, in order, and none is lost.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use serde_json::{Value, json};
use uuid::Uuid;
use waybill_tests::{Environment, Order, QUICKLY, StockLevel, Tap, unique, wait_until};

/// The policy that a test attaches to the relay's role while it runs.
pub(crate) const DENIAL: &str = "end-to-end-test-denies-the-bus";

#[tokio::test]
async fn events_that_the_relay_cannot_publish_wait_and_come_in_order_once_it_can() {
    let environment = Environment::connect().await;
    let sku = unique("MUG");
    environment.seed(&sku, StockLevel::new(50, 0, 0)).await;
    // Retries of its payment keep it under way while the relay is cut off.
    let half_way = Order::of(&sku).paid_by("sandbox_flaky_2");
    let new: Vec<_> = (0..3).map(|_| Order::of(&sku)).collect();
    let mut tap = Tap::on_order(&environment, &half_way.id()).await;
    environment.accept(&half_way).await;
    tap.next("order.placed").await;

    let role = environment.resources().await["OutboxRelayRole"].clone();
    deny(&environment, &role).await;
    let while_denied = AssertUnwindSafe(cut_off(&environment, &half_way, &new, &mut tap));
    let outcome = while_denied.catch_unwind().await;
    allow(&environment, &role).await;
    outcome.unwrap_or_else(|panic| resume_unwind(panic));

    for order in new.iter().chain([&half_way]) {
        assert_eq!(environment.ended(&order.id()).await.status, "completed");
        published_in_order(&environment, &order.id()).await;
    }
    tap.next("order.completed").await;
    let sequences: Vec<_> = tap
        .captured()
        .iter()
        .filter_map(|it| it.sequence())
        .collect();
    let mut first_heard = sequences.clone();
    first_heard.dedup();
    assert_eq!(first_heard, [1, 2, 3, 4, 5], "heard: {sequences:?}");
    tap.close().await;
}

/// While the relay may not publish: one order's history goes on unheard, new orders wait.
async fn cut_off(environment: &Environment, half_way: &Order, new: &[Order], tap: &mut Tap<'_>) {
    for order in new {
        environment.accept(order).await;
    }
    assert_eq!(environment.ended(&half_way.id()).await.status, "completed");
    tap.listen().await;
    let heard = tap
        .captured()
        .iter()
        .filter(|captured| captured.sequence().is_some())
        .count();
    assert!(heard < 5, "the relay was not cut off");
    for order in new {
        let id = order.id();
        assert_eq!(
            environment.order(&id).await.status,
            "accepted",
            "order {id} waits"
        );
        assert_eq!(
            environment.saga_status(&id).await,
            None,
            "order {id} has no saga yet"
        );
    }
}

/// A stream record cannot be made to grow old, so the function is invoked with one that is.
#[tokio::test]
async fn people_hear_of_an_order_whose_event_stays_unreadable_and_its_record_is_done() {
    let environment = Environment::connect().await;
    let resources = environment.resources().await;
    let function = &resources["OutboxRelayFunction"];
    let queue = &resources["RelayFailuresQueue"];
    let order = Uuid::new_v4().to_string();
    let event = unreadable_since_an_hour(&order);
    // Another test empties the queue, as the runbook says; a report may be made again.
    let what = format!("order {order} is reported as held");
    let report = wait_until(&what, QUICKLY, async || {
        let answer = environment.invoke(function, &event).await;
        assert_eq!(answer, json!({ "batchItemFailures": [] }), "order {order}");
        let found = environment.holding(queue, &order).await;
        let first = found.into_iter().next();
        first.ok_or_else(|| "no message".to_owned())
    })
    .await;
    environment.remove(queue, &order).await;
    let told: Value = serde_json::from_str(&report.body).unwrap();
    assert_eq!(
        told,
        json!({
            "orderId": order, "fromSequence": 1, "errorName": "OrderHeld",
            "cause": "an entry of the timeline is not an event: the body is not a \
                      CloudEvents message: an unexpected end at line 1 column 1",
        })
    );
}

fn unreadable_since_an_hour(order: &str) -> Value {
    let sample = include_str!("../../events/outbox-relay/insert-order-placed.json");
    let mut event: Value = serde_json::from_str(sample).unwrap();
    let change = &mut event["Records"][0]["dynamodb"];
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    change["ApproximateCreationDateTime"] = json!(now.as_secs() - 3600);
    change["Keys"]["orderId"]["S"] = json!(order);
    change["NewImage"]["orderId"]["S"] = json!(order);
    change["NewImage"]["timeline"] = json!({ "L": [{ "S": "{" }] });
    event
}

async fn published_in_order(environment: &Environment, id: &str) {
    wait_until(
        &format!("all events of order {id} are audited"),
        QUICKLY,
        async || {
            let trail = environment.audit(id).await;
            let sequences: Vec<_> = trail.iter().filter_map(|entry| entry.sequence).collect();
            if sequences == [1, 2, 3, 4, 5] {
                Ok(())
            } else {
                Err(format!("{sequences:?}"))
            }
        },
    )
    .await;
}

async fn deny(environment: &Environment, role: &str) {
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [{ "Effect": "Deny", "Action": "sns:Publish*", "Resource": "*" }]
    })
    .to_string();
    let parameters = [
        ("RoleName", role),
        ("PolicyName", DENIAL),
        ("PolicyDocument", policy.as_str()),
    ];
    environment.iam("PutRolePolicy", &parameters).await;
}

async fn allow(environment: &Environment, role: &str) {
    environment
        .iam(
            "DeleteRolePolicy",
            &[("RoleName", role), ("PolicyName", DENIAL)],
        )
        .await;
}
