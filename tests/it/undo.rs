//! Undo before action, action after undo, undo twice: for each of the three pairs.
//!
//! The commands go straight onto the workers' queues, for orders that nobody
//! placed, as a replay from a dead letter queue would bring them.

use serde_json::Value;
use uuid::Uuid;
use waybill_tests::{Effect, Environment, QUICKLY, StockLevel, messages, unique, wait_until};

/// An action and its undo.
struct Pair {
    consumer: &'static str,
    action: &'static str,
    undo: &'static str,
    data: fn(&str) -> Value,
    /// The stock before, with the pieces that a shipment takes already held.
    stock: StockLevel,
    /// What the action makes of it.
    acted: StockLevel,
    /// The ledger after the action and after its undo; stock has none.
    ledger: &'static [&'static str],
    /// The events of action and undo.
    events: [&'static str; 2],
}

const CHARGE: Pair = Pair {
    consumer: "Payment",
    action: "payment.charge",
    undo: "payment.refund",
    data: |_| messages::charge(2500, "pm_card_visa"),
    stock: StockLevel::new(5, 0, 0),
    acted: StockLevel::new(5, 0, 0),
    ledger: &["capture", "refund"],
    events: ["payment.captured", "payment.refunded"],
};

const RESERVE: Pair = Pair {
    consumer: "Stock",
    action: "stock.reserve",
    undo: "stock.release",
    data: |sku| messages::reserve(sku, 2),
    stock: StockLevel::new(5, 0, 0),
    acted: StockLevel::new(3, 2, 0),
    ledger: &[],
    events: ["stock.reserved", "stock.released"],
};

const SHIP: Pair = Pair {
    consumer: "Shipping",
    action: "shipment.create",
    undo: "shipment.cancel",
    data: |sku| messages::ship(sku, 2),
    stock: StockLevel::new(3, 2, 0),
    acted: StockLevel::new(3, 0, 2),
    ledger: &["shipment", "shipment-cancelled"],
    events: ["shipment.created", "shipment.cancelled"],
};

/// One order of a pair's own.
struct Scene {
    environment: Environment,
    pair: Pair,
    order: String,
    sku: String,
}

impl Scene {
    async fn set(pair: Pair) -> Self {
        let environment = Environment::connect().await;
        let sku = unique("MUG");
        environment.seed(&sku, pair.stock).await;
        Self {
            environment,
            pair,
            order: Uuid::new_v4().to_string(),
            sku,
        }
    }

    /// Sends the action or its undo and waits until the worker is through with it.
    async fn send(&self, name: &str) {
        let is_action = name == self.pair.action;
        let data = if is_action {
            (self.pair.data)(&self.sku)
        } else {
            messages::nothing_more()
        };
        let command = messages::command(&self.order, name, data);
        self.environment
            .put(
                self.environment.queue(self.pair.consumer),
                &command.to_string(),
            )
            .await;
        self.environment
            .dealt_with(self.pair.consumer, &self.order)
            .await;
    }

    async fn check(&self, when: &str, ledger: &[&str], stock: StockLevel, events: &[&str]) {
        let order = &self.order;
        let kinds: Vec<_> = self
            .environment
            .ledger(order)
            .await
            .into_iter()
            .map(|Effect { kind, .. }| kind)
            .collect();
        assert_eq!(kinds, ledger, "{when}: the ledger of {order}");
        assert_eq!(
            self.environment.stock(&self.sku).await,
            stock,
            "{when}: the stock of {order}"
        );
        assert_eq!(
            self.environment.outbox(order).await,
            events,
            "{when}: the events of {order}"
        );
    }

    async fn end(self) {
        self.environment.forget(&self.order).await;
    }
}

/// The undo comes first: it succeeds, and the action never has an effect.
async fn check_undo_first(pair: Pair) {
    let scene = Scene::set(pair).await;
    let (action, undo, stock) = (scene.pair.action, scene.pair.undo, scene.pair.stock);
    scene.send(undo).await;
    scene.check("after an empty undo", &[], stock, &[]).await;
    scene.send(action).await;
    scene.check("after the late action", &[], stock, &[]).await;
    scene.send(undo).await;
    scene.send(action).await;
    scene.check("after both once more", &[], stock, &[]).await;
    assert_eq!(
        scene
            .environment
            .step_state(&scene.order, action)
            .await
            .as_deref(),
        Some("undone")
    );
    scene.end().await;
}

/// The action and its undo, each as often as it likes: one effect and one undo.
async fn check_undo_twice(pair: Pair) {
    let scene = Scene::set(pair).await;
    let Pair {
        action,
        undo,
        stock,
        acted,
        ledger,
        events,
        ..
    } = scene.pair;
    let effect = &ledger[..ledger.len() / 2];
    scene.send(action).await;
    scene
        .check("after the action", effect, acted, &events[..1])
        .await;
    scene.send(action).await;
    scene
        .check("after the action twice", effect, acted, &events[..1])
        .await;
    scene.send(undo).await;
    scene.check("after the undo", ledger, stock, &events).await;
    scene.send(undo).await;
    scene
        .check("after the undo twice", ledger, stock, &events)
        .await;
    scene.send(action).await;
    scene
        .check("after the action came late", ledger, stock, &events)
        .await;
    scene.end().await;
}

#[tokio::test]
async fn a_refund_before_its_charge_succeeds_and_bars_the_charge() {
    check_undo_first(CHARGE).await;
}

#[tokio::test]
async fn a_release_before_its_reservation_succeeds_and_bars_the_reservation() {
    check_undo_first(RESERVE).await;
}

#[tokio::test]
async fn a_cancellation_before_its_shipment_succeeds_and_bars_the_shipment() {
    check_undo_first(SHIP).await;
}

#[tokio::test]
async fn a_charge_and_its_refund_take_effect_once_however_often_they_come() {
    check_undo_twice(CHARGE).await;
}

#[tokio::test]
async fn a_reservation_and_its_release_take_effect_once_however_often_they_come() {
    check_undo_twice(RESERVE).await;
}

#[tokio::test]
async fn a_shipment_and_its_cancellation_take_effect_once_however_often_they_come() {
    check_undo_twice(SHIP).await;
}

#[tokio::test]
async fn the_same_command_with_other_data_is_refused_and_changes_nothing() {
    let scene = Scene::set(CHARGE).await;
    let (environment, order) = (&scene.environment, &scene.order);
    scene.send("payment.charge").await;
    let dearer = messages::command(
        order,
        "payment.charge",
        messages::charge(9900, "pm_card_visa"),
    );
    environment
        .put(environment.queue("Payment"), &dearer.to_string())
        .await;
    let kept = environment.arrived(environment.quarantine(), order).await;
    assert_eq!(kept.failure()["errorName"], "PayloadChanged");
    environment.remove(environment.quarantine(), order).await;
    assert_eq!(
        environment.ledger(order).await,
        [Effect {
            kind: "capture".to_owned(),
            amount: 2500
        }]
    );
    scene.end().await;
}

#[tokio::test]
async fn the_events_of_commands_sent_by_hand_are_published_like_any_other() {
    let scene = Scene::set(CHARGE).await;
    scene.send("payment.charge").await;
    wait_until("payment.captured is audited", QUICKLY, async || {
        let trail = scene.environment.audit(&scene.order).await;
        let found = trail.iter().find(|entry| entry.name == "payment.captured");
        found
            .map(|entry| assert_eq!(entry.sequence, Some(1)))
            .ok_or(format!("{trail:?}"))
    })
    .await;
    scene.end().await;
}
