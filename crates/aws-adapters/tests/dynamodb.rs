//! The journal against the emulator: which of several reasons a refused transaction gives.

#![allow(
    clippy::unwrap_used,
    reason = "a panic in a test is its failure report"
)]

#[allow(dead_code, reason = "shared with other tests, which use more of it")]
mod emulator;

use aws_adapters::DynamoJournal;
use aws_sdk_dynamodb::types::AttributeValue;
use contracts::{StoredEvent, Timestamp};
use domain::stock::Movement;
use domain::{
    CustomerId, EventKind, IdempotencyKey, ItemQuantity, OrderId, OrderStatus, Quantity, Sku,
};
use idempotency::{
    Begin, Claim, Fingerprint, Key, Millis, OnAbandoned, OwnerToken, ResultJson, Seconds, Started,
    Store, StoreError,
};
use ports::{CommitError, OrderChange, Reserve, StepJournal, StockJournal, StockMove};

use emulator::{Emulator, with_emulator};

const NOW: Millis = Millis::new(1_795_283_775_859);

/// The journal on tables of its own, with an order in this state and this many pieces.
struct Scene {
    emulator: Emulator,
    journal: DynamoJournal,
    orders: String,
    stock: String,
}

impl Scene {
    async fn new(emulator: &Emulator, status: OrderStatus, pieces: u32) -> Self {
        let records = emulator.table("records", &["id"], &[]).await;
        let orders = emulator.table("orders", &["orderId"], &[]).await;
        let stock = emulator.table("stock", &["sku"], &[]).await;
        let client = emulator.dynamodb.clone();
        let scene = Self {
            emulator: emulator.clone(),
            journal: DynamoJournal::new(client, &records, orders.clone(), Some(stock.clone()))
                .with_calls(emulator.calls.clone()),
            orders,
            stock,
        };
        let status = AttributeValue::S(status.as_str().to_owned());
        let id = AttributeValue::S(order().to_string());
        scene
            .put(&scene.orders, [("orderId", id), ("status", status)])
            .await;
        let sku = AttributeValue::S(sku().as_str().to_owned());
        let pieces = AttributeValue::N(pieces.to_string());
        scene
            .put(&scene.stock, [("sku", sku), ("available", pieces)])
            .await;
        scene
    }

    async fn put(&self, table: &str, item: [(&str, AttributeValue); 2]) {
        let mut put = self.emulator.dynamodb.put_item().table_name(table);
        for (name, value) in item {
            put = put.item(name, value);
        }
        put.send().await.unwrap();
    }

    /// A claim that another attempt has taken over by now.
    async fn lost_claim(&self) -> Started {
        let Begin::Start(started) = self.journal.begin(&claim(NOW)).await.unwrap() else {
            panic!("the record is new");
        };
        let later = claim(started.lease_until);
        let taken_over = self.journal.begin(&later).await.unwrap();
        assert!(matches!(taken_over, Begin::Start(_)), "{taken_over:?}");
        started
    }

    /// How many pieces are reserved, and how many events the order has.
    async fn changed(&self) -> (usize, usize) {
        let count = |table: &str, attribute: &str| {
            let scan = self.emulator.dynamodb.scan().table_name(table);
            let scan = scan.filter_expression("attribute_exists(#name)");
            scan.expression_attribute_names("#name", attribute).send()
        };
        let reserved = count(&self.stock, "reserved").await.unwrap();
        let events = count(&self.orders, "timeline").await.unwrap();
        (reserved.items().len(), events.items().len())
    }
}

fn order() -> OrderId {
    let customer = CustomerId::new("cus_42").unwrap();
    OrderId::derive(&customer, &IdempotencyKey::new("key").unwrap())
}

fn sku() -> Sku {
    Sku::new("MUG-RED").unwrap()
}

fn claim(now: Millis) -> Claim {
    Claim {
        key: Key::new("order/step").unwrap(),
        fingerprint: Fingerprint::of("payload"),
        owner: OwnerToken::random(),
        now,
        lease_until: Millis::new(now.get() + 20_000),
        expires_at: Seconds::new(now.get() / 1000 + 86_400),
        on_abandoned: OnAbandoned::Retry,
    }
}

fn result() -> ResultJson {
    ResultJson::encode(&"reserved").unwrap()
}

/// One piece is reserved.
fn reserves() -> OrderChange {
    OrderChange {
        order: order(),
        event: StoredEvent {
            kind: EventKind::StockReserved,
            json: "{}".to_owned(),
        },
        at: Timestamp::from_epoch_millis(NOW.get()),
        stock: Some(StockMove {
            movement: Movement::Reserve,
            items: vec![ItemQuantity {
                sku: sku(),
                quantity: Quantity::new(1).unwrap(),
            }],
        }),
    }
}

/// Whoever takes a lost claim for an ended order undoes what another has just done.
#[tokio::test]
async fn a_lost_claim_counts_before_an_order_that_has_ended_and_pieces_that_are_gone() {
    with_emulator(async |emulator| {
        let scene = Scene::new(&emulator, OrderStatus::Failed, 0).await;
        let lost = scene.lost_claim().await;
        let refused = scene
            .journal
            .commit(&lost, &result(), Some(&reserves()))
            .await;
        let is_superseded = matches!(refused, Err(CommitError::Store(StoreError::Superseded(_))));
        assert!(is_superseded, "{refused:?}");
        assert_eq!(scene.changed().await, (0, 0));
    })
    .await;
}

#[tokio::test]
async fn what_was_done_before_counts_before_an_order_that_has_ended_and_pieces_that_are_gone() {
    with_emulator(async |emulator| {
        let scene = Scene::new(&emulator, OrderStatus::Accepted, 1).await;
        let reserve = async || {
            let (claim, result, change) = (claim(NOW), result(), reserves());
            let reserved = scene.journal.commit_at_once(&claim, &result, &change);
            reserved.await.unwrap()
        };
        assert_eq!(reserve().await, Reserve::Done);
        let id = AttributeValue::S(order().to_string());
        let ended = AttributeValue::S(OrderStatus::Completed.as_str().to_owned());
        scene
            .put(&scene.orders, [("orderId", id), ("status", ended)])
            .await;
        let again = reserve().await;
        let is_known = matches!(again, Reserve::Known(Begin::AlreadyCompleted { .. }));
        assert!(is_known, "{again:?}");
    })
    .await;
}

#[tokio::test]
async fn an_order_that_has_ended_counts_before_pieces_that_are_gone() {
    with_emulator(async |emulator| {
        let scene = Scene::new(&emulator, OrderStatus::NeedsAttention, 0).await;
        let (claim, change) = (claim(NOW), reserves());
        let refused = scene
            .journal
            .commit_at_once(&claim, &result(), &change)
            .await;
        assert_eq!(refused.unwrap(), Reserve::OrderEnded);
        assert_eq!(scene.changed().await, (0, 0));
    })
    .await;
}

#[tokio::test]
async fn pieces_that_are_gone_are_named() {
    with_emulator(async |emulator| {
        let scene = Scene::new(&emulator, OrderStatus::Paid, 0).await;
        let (claim, change) = (claim(NOW), reserves());
        let refused = scene
            .journal
            .commit_at_once(&claim, &result(), &change)
            .await;
        assert_eq!(refused.unwrap(), Reserve::Short(vec![sku()]));
        assert_eq!(scene.changed().await, (0, 0));
    })
    .await;
}
