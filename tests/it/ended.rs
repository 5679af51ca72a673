//! Actions that come when their order has ended: taken back, and the order stays ended.

use serde_json::json;
use waybill_tests::{
    Environment, Order, QUICKLY, Request, StockLevel, Tap, messages, unique, wait_until,
};

/// A failed order on a shelf of this sku.
async fn failed_order(environment: &Environment, sku: &str, shelf: StockLevel) -> String {
    environment.seed(sku, shelf).await;
    let order = Order::of(sku).paid_by("pm_card_chargeDeclined");
    environment.accept(&order).await;
    let view = environment.ended(&order.id()).await;
    assert_eq!(view.status, "failed");
    order.id()
}

async fn kinds(environment: &Environment, order: &str) -> Vec<String> {
    let effects = environment.ledger(order).await;
    effects.into_iter().map(|effect| effect.kind).collect()
}

#[tokio::test]
async fn no_stock_is_held_for_an_order_that_has_failed() {
    let environment = Environment::connect().await;
    let (sku, shelf) = (unique("MUG"), StockLevel::new(5, 0, 0));
    let order = failed_order(&environment, &sku, shelf).await;

    let command = messages::command(&order, "stock.reserve", messages::reserve(&sku, 2));
    environment
        .put(environment.queue("Stock"), &command.to_string())
        .await;
    environment.dealt_with("Stock", &order).await;

    assert_eq!(environment.stock(&sku).await, shelf, "the shelf of {order}");
    let view = environment.order(&order).await;
    assert_eq!(view.status, "failed", "order {order}");
    assert!(
        !view.events.iter().any(|event| event == "stock.reserved"),
        "{:?}",
        view.events
    );
}

#[tokio::test]
async fn a_shipment_for_an_order_that_has_failed_is_called_off() {
    let environment = Environment::connect().await;
    let (sku, shelf) = (unique("MUG"), StockLevel::new(3, 2, 0));
    let order = failed_order(&environment, &sku, shelf).await;

    let command = messages::command(&order, "shipment.create", messages::ship(&sku, 2));
    environment
        .put(environment.queue("Shipping"), &command.to_string())
        .await;
    environment.dealt_with("Shipping", &order).await;

    assert_eq!(
        kinds(&environment, &order).await,
        ["shipment", "shipment-cancelled"]
    );
    assert_eq!(environment.stock(&sku).await, shelf, "the shelf of {order}");
    assert_eq!(
        environment.order(&order).await.status,
        "failed",
        "order {order}"
    );
}

#[tokio::test]
async fn a_charge_that_succeeds_after_its_saga_was_stopped_is_refunded() {
    let environment = Environment::connect().await;
    let sku = unique("MUG");
    environment.seed(&sku, StockLevel::new(5, 0, 0)).await;
    // The provider fails long enough for somebody to stop the saga.
    let order = Order::of(&sku).paid_by("sandbox_flaky_4");
    let id = order.id();
    let mut tap = Tap::on_order(&environment, &id).await;
    environment.accept(&order).await;
    tap.next("payment.charge").await;
    environment.stop_saga(&id).await;
    tap.next("order.needs-attention").await;

    let what = format!("the charge of {id} is refunded");
    wait_until(&what, QUICKLY, || async {
        let kinds = kinds(&environment, &id).await;
        if kinds == ["capture", "refund"] {
            Ok(())
        } else {
            Err(format!("{kinds:?}"))
        }
    })
    .await;
    environment.dealt_with("Payment", &id).await;

    let view = environment.order(&id).await;
    assert_eq!(
        view.status, "needs-attention",
        "order {id}: {:?}",
        view.events
    );
    tap.close().await;
}

/// The saga of an order that was never placed, begun by hand.
async fn check_unplaced(method: &str) {
    let environment = Environment::connect().await;
    let sku = unique("MUG");
    environment.seed(&sku, StockLevel::new(5, 0, 0)).await;
    let order = Order::of(&sku).paid_by(method);
    let id = order.id();
    let input = json!({
        "orderId": id,
        "correlationId": unique("test"),
        "causationId": format!("{id}/order.placed"),
        "traceparent": null,
        "order": order.body(),
        "total": { "amount": order.total(), "currency": "EUR" }
    });
    environment.start_saga(&id, &input).await;

    let (status, error) = environment.saga_end(&id).await;

    assert_eq!(status, "FAILED", "the saga of {id}, paid by {method}");
    assert_eq!(error.as_deref(), Some("Waybill.UnknownOrder"), "{id}");
    let answer = environment
        .send(&Request::get(format!("/orders/{id}")))
        .await;
    assert_eq!(answer.status, 404, "{id}: {}", answer.text());
}

#[tokio::test]
async fn a_saga_of_an_order_that_nobody_placed_does_not_look_completed() {
    check_unplaced("pm_card_visa").await;
}

#[tokio::test]
async fn a_saga_of_an_order_that_nobody_placed_does_not_look_undone() {
    check_unplaced("pm_card_chargeDeclined").await;
}

/// A saga that a person began with too little in its input, and stopped.
#[tokio::test]
async fn an_order_is_rescued_and_told_of_whatever_input_its_saga_had() {
    let environment = Environment::connect().await;
    let sku = unique("MUG");
    environment.seed(&sku, StockLevel::new(5, 0, 0)).await;
    for odd in [
        json!({}),
        json!({ "correlationId": 7, "causationId": 7, "traceparent": {} }),
    ] {
        // The provider fails long enough for somebody to interfere.
        let order = Order::of(&sku).paid_by("sandbox_flaky_4");
        let id = order.id();
        let mut tap = Tap::on_order(&environment, &id).await;
        environment.accept(&order).await;
        tap.next("payment.charge").await;

        let mut input = odd.clone();
        input["orderId"] = json!(id);
        environment.rescue(&input).await;

        // Only an event that can be read is published.
        let event = tap.next("order.needs-attention").await;
        let correlation = &event.message["correlationid"];
        assert!(
            correlation == &json!(id) || correlation == "7",
            "{id}: {correlation}"
        );
        let kinds_at_rest = [vec!["capture", "refund"], vec![]];
        wait_until(&format!("{id} is paid back"), QUICKLY, async || {
            let kinds = kinds(&environment, &id).await;
            let is_over = environment.saga_status(&id).await.as_deref() != Some("RUNNING");
            let rests = is_over && kinds_at_rest.iter().any(|it| kinds == *it);
            rests.then_some(()).ok_or(format!("{kinds:?}"))
        })
        .await;
        environment.dealt_with("Payment", &id).await;
        tap.close().await;
    }
}
