//! Orders that cannot be fulfilled: refused, and undone to the last piece.

use waybill_tests::invariants::{Accounts, Asked};
use waybill_tests::{Effect, Environment, Order, QUICKLY, StockLevel, Tap, unique, wait_until};

/// One kind of failure and everything that must come of it.
struct Case {
    order: fn(&str) -> Order,
    reason: &'static str,
    events: &'static [&'static str],
    effects: &'static [(&'static str, u64)],
    undone_by: &'static [&'static str],
}

/// Places the order of a case on a shelf of five pieces.
async fn check(case: Case) {
    let environment = Environment::connect().await;
    let sku = unique("MUG");
    environment.seed(&sku, StockLevel::new(5, 0, 0)).await;
    let order = (case.order)(&sku);
    let id = order.id();
    let mut tap = Tap::on_order(&environment, &id).await;

    environment.accept(&order).await;
    let view = environment.ended(&id).await;

    assert_eq!(
        (view.status.as_str(), view.reason.as_str()),
        ("failed", case.reason)
    );
    assert!(
        view.document["reason"]["message"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    );
    assert_eq!(view.events, case.events);
    let effects: Vec<_> = case
        .effects
        .iter()
        .map(|(kind, amount)| Effect {
            kind: (*kind).to_owned(),
            amount: *amount,
        })
        .collect();
    assert_eq!(environment.ledger(&id).await, effects);
    assert_eq!(
        environment.stock(&sku).await,
        StockLevel::new(5, 0, 0),
        "all is back"
    );

    tap.next("order.failed").await;
    let undone: Vec<_> = tap
        .captured()
        .iter()
        .map(|captured| captured.name())
        .collect();
    let undone: Vec<_> = undone
        .iter()
        .filter(|name| UNDOS.contains(&name.as_str()))
        .collect();
    assert_eq!(
        undone, case.undone_by,
        "the undos of order {id}, in their order"
    );
    tap.close().await;
    audited(&environment, &id, case.events.len()).await;

    let asked = Asked {
        orders: vec![order],
        stock: vec![(sku, 5)],
        ..Asked::default()
    };
    Accounts::open(&environment, asked).await.check();
}

const UNDOS: [&str; 3] = ["shipment.cancel", "stock.release", "payment.refund"];

async fn audited(environment: &Environment, id: &str, events: usize) {
    wait_until(
        &format!("the events of order {id} are audited"),
        QUICKLY,
        async || {
            let trail = environment.audit(id).await;
            let seen = trail
                .iter()
                .filter(|entry| entry.sequence.is_some())
                .count();
            if seen == events {
                Ok(())
            } else {
                Err(format!("{seen} of {events}"))
            }
        },
    )
    .await;
}

#[tokio::test]
async fn a_declined_card_fails_the_order_and_nothing_has_to_be_undone() {
    check(Case {
        order: |sku| Order::of(sku).paid_by("pm_card_chargeDeclined"),
        reason: "payment-declined",
        events: &["order.placed", "payment.declined", "order.failed"],
        effects: &[],
        undone_by: &[],
    })
    .await;
}

#[tokio::test]
async fn insufficient_funds_fail_the_order_like_any_decline() {
    check(Case {
        order: |sku| Order::of(sku).paid_by("pm_card_chargeDeclinedInsufficientFunds"),
        reason: "payment-declined",
        events: &["order.placed", "payment.declined", "order.failed"],
        effects: &[],
        undone_by: &[],
    })
    .await;
}

#[tokio::test]
async fn an_order_for_more_than_there_is_is_refunded() {
    check(Case {
        order: |sku| Order::of(sku).pieces(6),
        reason: "out-of-stock",
        events: &[
            "order.placed",
            "payment.captured",
            "stock.rejected",
            "payment.refunded",
            "order.failed",
        ],
        effects: &[("capture", 7500), ("refund", 7500)],
        undone_by: &["payment.refund"],
    })
    .await;
}

#[tokio::test]
async fn an_article_that_nobody_knows_is_out_of_stock_and_no_other_line_is_kept() {
    check(Case {
        order: |sku| Order::of(sku).and(&unique("NOWHERE"), 1, 100),
        reason: "out-of-stock",
        events: &[
            "order.placed",
            "payment.captured",
            "stock.rejected",
            "payment.refunded",
            "order.failed",
        ],
        effects: &[("capture", 2600), ("refund", 2600)],
        undone_by: &["payment.refund"],
    })
    .await;
}

#[tokio::test]
async fn an_address_that_the_warehouse_refuses_releases_the_stock_and_refunds() {
    check(Case {
        order: |sku| Order::of(sku).shipped_to("00000"),
        reason: "shipment-refused",
        events: &[
            "order.placed",
            "payment.captured",
            "stock.reserved",
            "stock.released",
            "payment.refunded",
            "order.failed",
        ],
        effects: &[("capture", 2500), ("refund", 2500)],
        undone_by: &["stock.release", "payment.refund"],
    })
    .await;
}
