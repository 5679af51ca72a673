//! The relay fails half-way: what is in the outbox is published later, in order, and none is lost.

use std::panic::{AssertUnwindSafe, resume_unwind};

use futures_util::FutureExt;
use serde_json::json;
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
