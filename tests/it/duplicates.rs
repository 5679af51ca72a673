//! The same message delivered twice to each of the six consumers: the effect of one delivery.

use waybill_tests::invariants::{Accounts, Asked};
use waybill_tests::{CONSUMERS, Environment, Order, QUICKLY, StockLevel, Tap, unique};

/// The messages of an order that a consumer gets.
fn is_for(consumer: &str, name: &str) -> bool {
    match consumer {
        "Saga" => name == "order.placed",
        "Payment" => ["payment.charge", "payment.refund"].contains(&name),
        "Stock" => ["stock.reserve", "stock.release"].contains(&name),
        "Shipping" => ["shipment.create", "shipment.cancel"].contains(&name),
        "Notify" => ["order.completed", "order.failed"].contains(&name),
        _ => true,
    }
}

/// Delivers the messages of an ended order to a consumer twice more, and compares everything.
async fn check(consumer: &str, order: fn(&str) -> Order) {
    let environment = Environment::connect().await;
    let sku = unique("MUG");
    environment.seed(&sku, StockLevel::new(5, 0, 0)).await;
    let order = order(&sku);
    let id = order.id();
    let mut tap = Tap::on_order(&environment, &id).await;
    let mut people = Tap::on_notifications(&environment).await;
    environment.accept(&order).await;
    let before = environment.ended(&id).await;
    tap.next(before.events.last().unwrap()).await;
    people
        .until(&format!("people are told of order {id}"), QUICKLY, |tap| {
            told(tap, &id) == 1
        })
        .await;
    for consumer in CONSUMERS {
        environment.dealt_with(consumer, &id).await;
    }
    let (ledger, stock, trail) = (
        environment.ledger(&id).await,
        environment.stock(&sku).await,
        environment.audit(&id).await.len(),
    );

    let bodies: Vec<_> = tap
        .captured()
        .iter()
        .filter(|captured| is_for(consumer, &captured.name()))
        .map(|captured| captured.body.clone())
        .collect();
    assert!(
        !bodies.is_empty(),
        "{consumer} had no message of order {id}"
    );
    let heard = tap.captured().len();
    for body in bodies.iter().chain(&bodies) {
        environment.put(environment.queue(consumer), body).await;
    }
    for consumer in CONSUMERS {
        environment.dealt_with(consumer, &id).await;
    }

    let after = environment.order(&id).await;
    assert_eq!(after.document, before.document, "{consumer}: the order");
    assert_eq!(
        environment.ledger(&id).await,
        ledger,
        "{consumer}: the ledger"
    );
    assert_eq!(
        environment.stock(&sku).await,
        stock,
        "{consumer}: the stock"
    );
    assert_eq!(
        environment.audit(&id).await.len(),
        trail,
        "{consumer}: the audit trail"
    );
    tap.listen().await;
    assert_eq!(
        tap.captured().len(),
        heard,
        "{consumer}: nothing more was published"
    );
    people.listen().await;
    assert_eq!(told(&people, &id), 1, "{consumer}: people were told once");
    tap.close().await;
    people.close().await;
    let extra_deliveries = 2 * bodies.len();
    let asked = Asked {
        orders: vec![order],
        stock: vec![(sku, 5)],
        extra_deliveries,
        ..Asked::default()
    };
    Accounts::open(&environment, asked).await.check();
}

fn told(tap: &Tap<'_>, order: &str) -> usize {
    tap.notices()
        .iter()
        .filter(|notice| notice.text.contains(order))
        .count()
}

#[tokio::test]
async fn an_order_placed_twice_over_starts_one_saga() {
    check("Saga", Order::of).await;
}

#[tokio::test]
async fn a_charge_and_a_refund_delivered_again_move_no_money() {
    check("Payment", |sku| Order::of(sku).pieces(6)).await;
}

#[tokio::test]
async fn a_reservation_and_a_release_delivered_again_move_no_stock() {
    check("Stock", |sku| Order::of(sku).shipped_to("00000")).await;
}

#[tokio::test]
async fn a_shipment_delivered_again_ships_nothing() {
    check("Shipping", Order::of).await;
}

#[tokio::test]
async fn a_message_delivered_again_is_audited_once() {
    check("Audit", Order::of).await;
}

#[tokio::test]
async fn an_end_delivered_again_is_told_to_people_once() {
    check("Notify", Order::of).await;
}
