//! Orders that need attention: listed, explained, and finished from the command line.

use serde_json::Value;
use waybill_tests::invariants::{Accounts, Asked};
use waybill_tests::{
    Captured, Effect, Environment, Order, QUICKLY, Ran, StockLevel, Tap, unique, wait_until,
};

/// An order that needs attention, on a shelf of five pieces of its own.
struct Stuck {
    order: Order,
    sku: String,
}

impl Stuck {
    fn id(&self) -> String {
        self.order.id()
    }

    /// Paid and reserved; the warehouse is down, and somebody stops the saga.
    async fn by_a_stopped_saga(environment: &Environment) -> Self {
        let sku = unique("MUG");
        environment.seed(&sku, StockLevel::new(5, 0, 0)).await;
        let order = Order::of(&sku).shipped_to("00001");
        let id = order.id();
        let mut tap = Tap::on_order(environment, &id).await;
        environment.accept(&order).await;
        tap.next("shipment.create").await;
        environment.stop_saga(&id).await;
        tap.next("order.needs-attention").await;
        tap.close().await;
        Self { order, sku }
    }

    /// Everything is undone and on record, and the invariants hold.
    async fn is_undone(&self, environment: &Environment) {
        let id = self.id();
        let effect = |kind: &str| Effect {
            kind: kind.to_owned(),
            amount: 2500,
        };
        assert_eq!(
            environment.ledger(&id).await,
            [effect("capture"), effect("refund")],
            "the ledger of {id}"
        );
        let level = environment.stock(&self.sku).await;
        assert_eq!(level, StockLevel::new(5, 0, 0), "the shelf of {id}");
        let view = environment.order(&id).await;
        assert_eq!(
            (view.status.as_str(), view.reason.as_str()),
            ("failed", "undone-later"),
            "order {id}"
        );
        assert_eq!(view.events.last().map(String::as_str), Some("order.failed"));
        audited(environment, &id, view.events.len()).await;
        let asked = Asked {
            orders: vec![self.order.clone()],
            stock: vec![(self.sku.clone(), 5)],
            ..Asked::default()
        };
        Accounts::open(environment, asked).await.check();
    }
}

async fn audited(environment: &Environment, id: &str, events: usize) {
    wait_until(
        &format!("all events of {id} are audited"),
        QUICKLY,
        async || {
            let trail = environment.audit(id).await;
            let found = trail
                .iter()
                .filter(|entry| entry.sequence.is_some())
                .count();
            (found == events)
                .then_some(())
                .ok_or(format!("{found} of {events}"))
        },
    )
    .await;
}

#[track_caller]
fn succeeded(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.json()
}

/// The values of a field in a list of objects.
fn each<'a>(list: &'a Value, field: &str) -> Vec<&'a str> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(|it| it[field].as_str()).collect()
}

fn token(command: &Captured) -> &str {
    command.message["tasktoken"].as_str().unwrap()
}

#[tokio::test]
async fn an_order_whose_saga_was_stopped_is_listed_explained_and_undone() {
    let environment = Environment::connect().await;
    let mut people = Tap::on_notifications(&environment).await;
    let stuck = Stuck::by_a_stopped_saga(&environment).await;
    let id = stuck.id();

    let listed = succeeded(&environment.waybill(&["saga", "list"]).await);
    let orders = listed["orders"].as_array().unwrap();
    let listed = orders.iter().find(|order| order["orderId"] == *id).unwrap();
    assert_eq!(listed["reason"]["code"], "saga-died");
    assert_eq!(listed["captured"]["amount"], 2500);
    assert!(listed["since"].as_str().is_some_and(|it| !it.is_empty()));

    let explained = succeeded(&environment.waybill(&["saga", "explain", &id]).await);
    assert_eq!(explained["cure"], "undo", "{explained}");
    assert_eq!(explained["saga"]["status"], "ABORTED");
    let missing = each(&explained["missing"], "undo");
    for undo in ["stock.release", "payment.refund"] {
        assert!(missing.contains(&undo), "{explained}");
    }
    let next = explained["next"].as_array().unwrap().last().unwrap();
    assert!(
        next.as_str()
            .unwrap()
            .contains(&format!("waybill saga resume {id}")),
        "{next}"
    );
    let text = environment
        .waybill_text(&["saga", "explain", &id])
        .await
        .stdout;
    assert!(text.contains("captured 2500 EUR"), "{text}");

    let dry = succeeded(&environment.waybill(&["saga", "resume", &id]).await);
    assert_eq!(dry["done"], false);
    assert_eq!(environment.order(&id).await.status, "needs-attention");

    let resume = [
        "saga",
        "resume",
        &id,
        "--yes",
        "--why",
        "the warehouse is up",
    ];
    let resumed = succeeded(&environment.waybill(&resume).await);
    assert_eq!(resumed["status"], "failed");
    assert_eq!(resumed["began"], true);
    stuck.is_undone(&environment).await;

    let explained = succeeded(&environment.waybill(&["saga", "explain", &id]).await);
    let attempt = &explained["attempts"][0];
    assert_eq!(attempt["why"], "the warehouse is up");
    assert_eq!(attempt["outcome"], "failed");
    assert!(
        attempt["by"]
            .as_str()
            .is_some_and(|by| by.contains("arn:aws"))
    );

    let again = environment.waybill(&["saga", "resume", &id, "--yes"]).await;
    assert_eq!(again.code, 3, "{again:?}");

    // Told once that it needs attention, and once that it failed.
    let told = |tap: &Tap<'_>, ending: &str| {
        let subject = format!("Order {id} {ending}");
        tap.notices()
            .iter()
            .filter(|it| it.subject == subject)
            .count()
    };
    people
        .until(&format!("people are told of {id}"), QUICKLY, |tap| {
            told(tap, "needs attention") == 1 && told(tap, "failed") == 1
        })
        .await;
    people.close().await;
}

#[tokio::test]
async fn two_people_who_resume_an_order_at_once_start_one_attempt() {
    let environment = Environment::connect().await;
    let stuck = Stuck::by_a_stopped_saga(&environment).await;
    let id = stuck.id();

    let resume = ["saga", "resume", &id, "--yes", "--why", "both of us"];
    let (one, other) = tokio::join!(environment.waybill(&resume), environment.waybill(&resume));
    let began = |ran: &Ran| match ran.code {
        0 => ran.json()["began"] == true,
        // It came when all was over.
        3 => false,
        _ => panic!("{ran:?}"),
    };
    assert_eq!(
        [began(&one), began(&other)]
            .iter()
            .filter(|it| **it)
            .count(),
        1,
        "{one:?} {other:?}"
    );
    let explained = succeeded(&environment.waybill(&["saga", "explain", &id]).await);
    assert_eq!(
        explained["attempts"].as_array().map(Vec::len),
        Some(1),
        "{explained}"
    );
    stuck.is_undone(&environment).await;
}

#[tokio::test]
async fn an_undo_that_fails_again_leaves_the_order_waiting_with_what_is_missing_now() {
    let environment = Environment::connect().await;
    let sku = unique("MUG");
    environment.seed(&sku, StockLevel::new(5, 0, 0)).await;
    let stuck = Stuck {
        order: Order::of(&sku).shipped_to("00001"),
        sku,
    };
    let id = stuck.id();
    let mut tap = Tap::on_order(&environment, &id).await;
    environment.accept(&stuck.order).await;

    // The provider forgets the payment, the shipment fails, and then so does the refund.
    let ship = tap.next("shipment.create").await;
    let lost = environment.lose_capture(&id).await;
    environment
        .fail_task(token(&ship), "Waybill.BadMessage")
        .await;
    let refund = tap.next("payment.refund").await;
    environment
        .fail_task(token(&refund), "Waybill.BadMessage")
        .await;
    tap.next("order.needs-attention").await;
    let explained = succeeded(&environment.waybill(&["saga", "explain", &id]).await);
    assert_eq!(explained["reason"]["code"], "refund-failed");
    assert_eq!(
        each(&explained["missing"], "undo"),
        ["payment.refund"],
        "{explained}"
    );

    // Nothing was mended: the attempt ends where it began.
    let resume = ["saga", "resume", &id, "--yes", "--why", "try"];
    let attempt = async {
        let what = format!("the refund of {id} is asked for again");
        tap.until(&what, QUICKLY, |tap| tap.named("payment.refund").len() == 2)
            .await;
        let again = tap.named("payment.refund")[1].clone();
        environment
            .fail_task(token(&again), "Waybill.BadMessage")
            .await;
    };
    let (in_vain, ()) = tokio::join!(environment.waybill(&resume), attempt);
    assert_eq!(in_vain.code, 5, "{in_vain:?}");
    let in_vain = in_vain.json();
    assert_eq!(in_vain["status"], "needs-attention");
    assert_eq!(in_vain["reason"]["code"], "refund-failed");
    let view = environment.order(&id).await;
    let attention = view
        .events
        .iter()
        .filter(|it| *it == "order.needs-attention");
    assert_eq!(attention.count(), 1, "{:?}", view.events);

    // Mended: the next attempt succeeds, and its number is the next.
    environment.find_capture(&lost).await;
    let resumed = succeeded(&environment.waybill(&resume).await);
    assert_eq!(resumed["status"], "failed");
    assert_eq!(resumed["attempt"], format!("{id}-2"));
    stuck.is_undone(&environment).await;
    tap.close().await;
    finish_failures(&environment, &id).await;
}

#[tokio::test]
async fn an_attempt_that_died_is_passed_over_by_the_next() {
    let environment = Environment::connect().await;
    let stuck = Stuck::by_a_stopped_saga(&environment).await;
    let id = stuck.id();
    let lost = environment.lose_capture(&id).await;
    let mut tap = Tap::on_order(&environment, &id).await;

    // The refund finds no capture and is tried again and again: the attempt waits for it.
    let resume = ["saga", "resume", &id, "--yes", "--why", "try"];
    let begun = environment
        .waybill(&[&resume[..], &["--no-wait"]].concat())
        .await;
    assert_eq!(succeeded(&begun)["attempt"], format!("{id}-1"));
    tap.next("payment.refund").await;
    let explained = succeeded(&environment.waybill(&["saga", "explain", &id]).await);
    assert_eq!(explained["cure"], "under-way", "{explained}");
    environment.stop_recovery(&format!("{id}-1")).await;
    environment.find_capture(&lost).await;

    let resumed = succeeded(&environment.waybill(&resume).await);
    assert_eq!(resumed["attempt"], format!("{id}-2"), "{resumed}");
    assert_eq!(resumed["status"], "failed");
    stuck.is_undone(&environment).await;
    tap.close().await;
    finish_failures(&environment, &id).await;
}

/// What the test let fail is processed, or replayed until it is.
async fn finish_failures(environment: &Environment, id: &str) {
    wait_until(
        &format!("no message of {id} is left"),
        QUICKLY,
        async || {
            let replay = [
                "failures", "replay", "--order", id, "--yes", "--why", "mended",
            ];
            environment.waybill(&["failures", "drain"]).await;
            environment.waybill(&replay).await;
            let trace = environment.waybill(&["order", "trace", id]).await;
            let trace = succeeded(&trace);
            let open = environment
                .waybill(&["failures", "list", "--order", id])
                .await;
            let open = succeeded(&open)["failures"].as_array().map_or(0, Vec::len);
            let left = each(&trace["deadLetters"], "queue").len();
            let queued = environment
                .holding(environment.queue("Payment"), id)
                .await
                .len();
            (open + left + queued == 0).then_some(()).ok_or(format!(
                "{open} failures, {left} dead letters, {queued} queued"
            ))
        },
    )
    .await;
}

#[tokio::test]
async fn an_order_that_lacks_its_end_alone_is_completed_and_nothing_is_undone() {
    let environment = Environment::connect().await;
    let sku = unique("MUG");
    environment.seed(&sku, StockLevel::new(5, 0, 0)).await;
    let order = Order::of(&sku);
    let id = order.id();
    environment.accept(&order).await;
    assert_eq!(environment.ended(&id).await.status, "completed");
    environment.take_back_completion(&id).await;

    let explained = succeeded(&environment.waybill(&["saga", "explain", &id]).await);
    assert_eq!(explained["cure"], "complete", "{explained}");
    let resume = ["saga", "resume", &id, "--yes", "--why", "the table is back"];
    let resumed = succeeded(&environment.waybill(&resume).await);
    assert_eq!(
        (&resumed["mode"], &resumed["status"]),
        (&"complete".into(), &"completed".into())
    );

    let view = environment.order(&id).await;
    assert_eq!(view.status, "completed");
    assert_eq!(view.document["reason"], Value::Null);
    assert_eq!(
        view.events.last().map(String::as_str),
        Some("order.completed")
    );
    let kinds: Vec<_> = environment
        .ledger(&id)
        .await
        .into_iter()
        .map(|it| it.kind)
        .collect();
    assert_eq!(kinds, ["capture", "shipment"]);
    assert_eq!(environment.stock(&sku).await, StockLevel::new(3, 0, 2));
}

#[tokio::test]
async fn an_order_that_needs_no_attention_is_not_resumed() {
    let environment = Environment::connect().await;
    let order = Order::of(&unique("MUG")).paid_by("pm_card_chargeDeclined");
    environment.accept(&order).await;
    let id = order.id();
    environment.ended(&id).await;
    let refused = environment.waybill(&["saga", "resume", &id, "--yes"]).await;
    assert_eq!(refused.code, 3, "{refused:?}");
    let unknown = uuid::Uuid::new_v4().to_string();
    let unknown = environment.waybill(&["saga", "explain", &unknown]).await;
    assert_eq!(unknown.code, 4, "{unknown:?}");
}
