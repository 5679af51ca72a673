//! Messages that no consumer can process: kept in quarantine with the reason, neighbours unharmed.

use serde_json::{Value, json};
use uuid::Uuid;
use waybill_tests::{
    CONSUMERS, Environment, QUICKLY, QueuedMessage, StockLevel, Tap, messages, unique, wait_until,
};

/// A good message for a consumer, which stands between two bad ones.
fn neighbour(consumer: &str, order: &str, sku: &str) -> Value {
    let event = |name, data| messages::event(order, name, 1, data);
    let command = |name, data| messages::command(order, name, data);
    match consumer {
        "Payment" => command("payment.charge", messages::charge(100, "pm_card_visa")),
        "Stock" => command("stock.reserve", messages::reserve(sku, 2)),
        "Shipping" => command("shipment.create", messages::ship(sku, 2)),
        "Saga" => event("order.placed", placed()),
        _ => event("order.completed", messages::nothing_more()),
    }
}

/// The data of an order whose card is declined, so that its saga is short.
fn placed() -> Value {
    json!({
        "customerId": unique("customer"), "currency": "EUR",
        "items": [{ "sku": "MUG", "quantity": 1, "unitPrice": 100 }],
        "total": { "amount": 100, "currency": "EUR" },
        "payment": { "method": "pm_card_chargeDeclined" },
        "shipTo": {
            "name": "Ada Example", "line1": "Musterstrasse 1", "city": "Berlin",
            "postalCode": "10115", "country": "DE"
        }
    })
}

/// Waits until the good message has had its effect.
async fn processed(
    environment: &Environment,
    people: &mut Tap<'_>,
    consumer: &str,
    order: &str,
    sku: &str,
) {
    if consumer == "Notify" {
        people
            .until(
                &format!("people are told of order {order}"),
                QUICKLY,
                |tap| {
                    tap.notices()
                        .iter()
                        .any(|notice| notice.text.contains(order))
                },
            )
            .await;
        return;
    }
    wait_until(
        &format!("{consumer} processes the message of order {order}"),
        QUICKLY,
        async || {
            let done = match consumer {
                "Payment" | "Shipping" => !environment.ledger(order).await.is_empty(),
                "Stock" => environment.stock(sku).await.reserved == 4,
                "Saga" => environment.saga_status(order).await.is_some(),
                _ => !environment.audit(order).await.is_empty(),
            };
            if done {
                Ok(())
            } else {
                Err("no effect".to_owned())
            }
        },
    )
    .await;
}

/// Puts two bad messages around a good one onto a queue.
async fn check(consumer: &str, name: &str) {
    let environment = Environment::connect().await;
    let mut people = Tap::on_notifications(&environment).await;
    let (order, stranger, sku) = (
        Uuid::new_v4().to_string(),
        Uuid::new_v4().to_string(),
        unique("MUG"),
    );
    environment.seed(&sku, StockLevel::new(3, 2, 0)).await;
    let good = neighbour(consumer, &order, &sku).to_string();
    let marker = unique("malformed");
    let malformed = format!("{{\"note\": \"{marker}\", \"type\": ");
    let unknown = messages::command(&stranger, "payment.steal", messages::nothing_more());
    let unknown_body = unknown.to_string();
    let queue = environment.queue(consumer);
    environment
        .put_together(queue, &[&malformed, &good, &unknown_body])
        .await;

    let kept = environment.arrived(environment.quarantine(), &marker).await;
    check_kept(&kept, name, &malformed, "NotAnEnvelope");
    let kept = environment
        .arrived(environment.quarantine(), &stranger)
        .await;
    check_kept(&kept, name, &unknown_body, "UnknownType");
    assert_eq!(kept.failure()["correlationId"], unknown["correlationid"]);
    processed(&environment, &mut people, consumer, &order, &sku).await;
    for text in [&marker, &stranger, &order] {
        emptied(&environment, consumer, text).await;
    }

    people.close().await;
    environment.remove(environment.quarantine(), &marker).await;
    environment
        .remove(environment.quarantine(), &stranger)
        .await;
    // The saga of a stranger's order runs to its end, which it cannot write: there is no order.
    if consumer == "Saga" {
        wait_until(&format!("the saga of {order} ends"), QUICKLY, async || {
            let status = environment.saga_status(&order).await.unwrap_or_default();
            if status == "RUNNING" {
                Err(status)
            } else {
                Ok(())
            }
        })
        .await;
    }
    environment.forget(&order).await;
}

#[track_caller]
fn check_kept(kept: &QueuedMessage, name: &str, body: &str, error: &str) {
    assert_eq!(kept.body, body, "the body is unchanged");
    let failure = kept.failure();
    assert_eq!(failure["errorName"], error, "{failure}");
    assert_eq!(failure["errorClass"], "poison", "{failure}");
    assert_eq!(failure["consumer"], name, "{failure}");
    assert_eq!(
        failure["attempts"], 1,
        "poison is not tried again: {failure}"
    );
    assert_eq!(
        kept.attributes.get("errorName").map(String::as_str),
        Some(error)
    );
}

/// The queue and its dead letter queue hold nothing of it: it is in one place only.
async fn emptied(environment: &Environment, consumer: &str, text: &str) {
    wait_until(
        &format!("the queue of {consumer} is done with {text}"),
        QUICKLY,
        async || {
            let left = environment.holding(environment.queue(consumer), text).await;
            if left.is_empty() {
                Ok(())
            } else {
                Err(format!("{left:?}"))
            }
        },
    )
    .await;
    assert!(
        environment
            .holding(environment.dlq(consumer), text)
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn the_saga_starter_quarantines_what_it_cannot_read_and_starts_the_neighbour() {
    check("Saga", "saga").await;
}

#[tokio::test]
async fn the_payment_worker_quarantines_what_it_cannot_read_and_charges_the_neighbour() {
    check("Payment", "payment").await;
}

#[tokio::test]
async fn the_stock_worker_quarantines_what_it_cannot_read_and_reserves_for_the_neighbour() {
    check("Stock", "stock").await;
}

#[tokio::test]
async fn the_shipping_worker_quarantines_what_it_cannot_read_and_ships_the_neighbour() {
    check("Shipping", "shipping").await;
}

#[tokio::test]
async fn the_audit_recorder_quarantines_what_it_cannot_read_and_records_the_neighbour() {
    check("Audit", "audit").await;
}

#[tokio::test]
async fn the_notifier_quarantines_what_it_cannot_read_and_tells_of_the_neighbour() {
    check("Notify", "notify").await;
}

#[tokio::test]
async fn whatever_is_put_onto_a_queue_is_kept_as_it_is() {
    let environment = Environment::connect().await;
    for consumer in CONSUMERS {
        let marker = unique("garbage");
        let bodies = [
            format!("\"{marker}\""),
            format!("[\"{marker}\"]"),
            format!("{{\"note\": \"{marker}\"}}"),
            format!("<order>{marker}</order>"),
            format!("\u{feff}{{\"note\": \"{marker}\"}}"),
            format!("{}{marker}", "[".repeat(5_000)),
            format!("{{\"{marker}\": \"{}\"}}", "é".repeat(50_000)),
        ];
        for body in &bodies {
            environment.put(environment.queue(consumer), body).await;
        }
        let what = format!("all garbage on the queue of {consumer} is in quarantine");
        let kept = wait_until(&what, QUICKLY, async || {
            let kept = environment.holding(environment.quarantine(), &marker).await;
            if kept.len() == bodies.len() {
                Ok(kept)
            } else {
                Err(kept.len().to_string())
            }
        })
        .await;
        for message in kept {
            assert!(
                bodies.contains(&message.body),
                "changed: {:.80}",
                message.body
            );
            assert_eq!(
                message.failure()["errorName"],
                "NotAnEnvelope",
                "{:.80}",
                message.body
            );
        }
        environment.remove(environment.quarantine(), &marker).await;
    }
}

#[tokio::test]
async fn a_saga_whose_command_cannot_be_read_is_told_at_once_and_undoes_the_order() {
    let environment = Environment::connect().await;
    let sku = unique("MUG");
    environment.seed(&sku, StockLevel::new(5, 0, 0)).await;
    // The warehouse never answers, so the shipment waits for somebody to spoil its message.
    let order = waybill_tests::Order::of(&sku).shipped_to("00001");
    let id = order.id();
    let mut tap = Tap::on_order(&environment, &id).await;
    environment.accept(&order).await;
    let command = tap.next("shipment.create").await;
    let mut spoilt = command.message.clone();
    spoilt["data"] = json!({ "orderId": id });
    environment
        .put(environment.queue("Shipping"), &spoilt.to_string())
        .await;

    let view = environment.ended(&id).await;
    assert_eq!(
        (view.status.as_str(), view.reason.as_str()),
        ("failed", "shipment-failed")
    );
    assert_eq!(environment.stock(&sku).await, StockLevel::new(5, 0, 0));
    let kept = environment.arrived(environment.quarantine(), &id).await;
    assert_eq!(kept.failure()["errorName"], "ContractBroken");
    tap.close().await;
    environment.remove(environment.quarantine(), &id).await;
    // The undo bars the shipment, so its own message ends without having to die.
    environment.dealt_with("Shipping", &id).await;
}
