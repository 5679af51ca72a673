//! Orders whose event was lost on its way to the saga.

use waybill_tests::{Environment, Order, QUICKLY, StockLevel, unique, wait_until};

#[tokio::test]
async fn an_order_whose_event_was_lost_gets_its_saga_from_the_sweep_once() {
    let environment = Environment::connect().await;
    let sku = unique("MUG");
    environment.seed(&sku, StockLevel::new(5, 0, 0)).await;
    // The provider fails for a while, so that the saga still runs at the second sweep.
    let order = Order::of(&sku).paid_by("sandbox_flaky_3");
    let id = order.id();
    environment.store_without_event(&order).await;
    assert_eq!(environment.saga_status(&id).await, None, "order {id}");

    environment.sweep().await;
    let what = format!("the saga of {id} runs");
    wait_until(&what, QUICKLY, async || {
        environment
            .saga_status(&id)
            .await
            .ok_or_else(|| "no saga".to_owned())
    })
    .await;
    environment.sweep().await;

    let view = environment.ended(&id).await;
    assert_eq!(view.status, "completed", "order {id}: {:?}", view.events);
    let ledger = environment.ledger(&id).await;
    let kinds: Vec<_> = ledger.iter().map(|effect| effect.kind.as_str()).collect();
    assert_eq!(kinds, ["capture", "shipment"], "the ledger of {id}");
}
