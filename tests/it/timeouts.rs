//! Steps that get no answer in time: dead letters, alarms, and the undo that follows.

use serde_json::Value;
use waybill_tests::invariants::{Accounts, Asked};
use waybill_tests::{
    Effect, Environment, Order, QUICKLY, QueuedMessage, SLOWLY, StockLevel, Tap, unique, wait_until,
};

/// What a worker says of a message that it gave up on.
fn check_metadata(dead: &QueuedMessage, consumer: &str, order: &str) {
    let failure = dead.failure();
    let body: Value = serde_json::from_str(&dead.body).unwrap();
    assert_eq!(failure["errorClass"], "transient", "{failure}");
    assert_eq!(failure["errorName"], "ProviderFailed", "{failure}");
    assert_eq!(failure["consumer"], consumer, "{failure}");
    assert_eq!(failure["attempts"], 5, "{failure}");
    assert_eq!(failure["correlationId"], body["correlationid"], "{failure}");
    for stamp in [
        "firstSeen",
        "failedAt",
        "bodySha256",
        "messageId",
        "schema",
        "schemaHash",
    ] {
        assert!(failure[stamp].is_string(), "{stamp}: {failure}");
    }
    assert!(
        failure["cause"]
            .as_array()
            .is_some_and(|cause| !cause.is_empty()),
        "{failure}"
    );
    assert_eq!(body["subject"], order, "the body is unchanged");
    for (short, value) in [
        ("errorName", &failure["errorName"]),
        ("consumer", &failure["consumer"]),
    ] {
        assert_eq!(
            dead.attributes.get(short).map(String::as_str),
            value.as_str()
        );
    }
}

#[tokio::test]
async fn a_payment_that_never_answers_ends_in_the_failure_store_and_people_hear_of_its_group() {
    let environment = Environment::connect().await;
    let sku = unique("MUG");
    environment.seed(&sku, StockLevel::new(5, 0, 0)).await;
    let order = Order::of(&sku).paid_by("sandbox_unavailable");
    let id = order.id();
    environment.accept(&order).await;

    let dead = environment.arrived(environment.dlq("Payment"), &id).await;
    check_metadata(&dead, "payment", &id);
    let failure = environment.stored(&id).await;
    environment.told_of(&failure.group).await;

    let view = environment.ended_within(&id, SLOWLY).await;
    assert_eq!(
        (view.status.as_str(), view.reason.as_str()),
        ("failed", "payment-timed-out")
    );
    assert_eq!(view.events, ["order.placed", "order.failed"]);
    assert_eq!(environment.ledger(&id).await, [], "nothing was captured");

    replayed_too_late(&environment, "Payment", &dead, &id).await;
    assert_eq!(
        environment.ledger(&id).await,
        [],
        "the late charge was barred"
    );
    environment.remove(environment.dlq("Payment"), &id).await;
}

#[tokio::test]
async fn an_order_whose_saga_is_stopped_is_handed_to_people() {
    let environment = Environment::connect().await;
    let sku = unique("MUG");
    environment.seed(&sku, StockLevel::new(5, 0, 0)).await;
    // Its shipment is never answered, so that there is time to stop it.
    let order = Order::of(&sku).shipped_to("00001");
    let id = order.id();
    let mut tap = Tap::on_order(&environment, &id).await;
    let mut people = Tap::on_notifications(&environment).await;
    environment.accept(&order).await;
    tap.next("shipment.create").await;
    environment.stop_saga(&id).await;

    let view = environment.ended(&id).await;
    assert_eq!(
        (view.status.as_str(), view.reason.as_str()),
        ("needs-attention", "saga-died")
    );
    tap.next("order.needs-attention").await;
    people
        .until(&format!("people are told of order {id}"), QUICKLY, |tap| {
            tap.notices().iter().any(|notice| notice.text.contains(&id))
        })
        .await;
    tap.close().await;
    people.close().await;
    environment.arrived(environment.dlq("Shipping"), &id).await;
    environment.remove(environment.dlq("Shipping"), &id).await;
}

/// A dead letter that comes back after its step was undone is refused, without an error.
async fn replayed_too_late(
    environment: &Environment,
    consumer: &str,
    dead: &QueuedMessage,
    order: &str,
) {
    environment.remove(environment.dlq(consumer), order).await;
    environment
        .put(environment.queue(consumer), &dead.body)
        .await;
    environment.dealt_with(consumer, order).await;
}

#[tokio::test]
async fn a_shipment_that_never_answers_is_cancelled_released_and_refunded() {
    let environment = Environment::connect().await;
    let sku = unique("MUG");
    environment.seed(&sku, StockLevel::new(5, 0, 0)).await;
    let order = Order::of(&sku).shipped_to("00001");
    let id = order.id();
    let mut tap = Tap::on_order(&environment, &id).await;
    environment.accept(&order).await;

    let dead = environment.arrived(environment.dlq("Shipping"), &id).await;
    check_metadata(&dead, "shipping", &id);
    let view = environment.ended_within(&id, SLOWLY).await;
    assert_eq!(
        (view.status.as_str(), view.reason.as_str()),
        ("failed", "shipment-timed-out")
    );
    let events = [
        "order.placed",
        "payment.captured",
        "stock.reserved",
        "stock.released",
        "payment.refunded",
        "order.failed",
    ];
    assert_eq!(view.events, events);
    tap.next("order.failed").await;
    for undo in ["shipment.cancel", "stock.release", "payment.refund"] {
        assert_eq!(tap.named(undo).len(), 1, "{undo} of order {id}");
    }
    tap.close().await;

    replayed_too_late(&environment, "Shipping", &dead, &id).await;
    let effect = |kind: &str| Effect {
        kind: kind.to_owned(),
        amount: order.total(),
    };
    assert_eq!(
        environment.ledger(&id).await,
        [effect("capture"), effect("refund")]
    );
    assert_eq!(environment.stock(&sku).await, StockLevel::new(5, 0, 0));
    wait_until(
        &format!("the end of order {id} is audited"),
        QUICKLY,
        async || {
            let seen = environment
                .audit(&id)
                .await
                .iter()
                .filter(|it| it.sequence.is_some())
                .count();
            if seen == events.len() {
                Ok(())
            } else {
                Err(format!("{seen} events"))
            }
        },
    )
    .await;
    let asked = Asked {
        orders: vec![order],
        stock: vec![(sku, 5)],
        ..Asked::default()
    };
    Accounts::open(&environment, asked).await.check();
}
