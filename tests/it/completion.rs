//! Orders that succeed, however bumpy the way.

use serde_json::json;
use waybill_tests::cost::ON_THE_WAY;
use waybill_tests::invariants::{Accounts, Asked};
use waybill_tests::{
    Captured, Effect, Environment, Order, QUICKLY, StockLevel, Tap, unique, wait_until,
};

const EVENTS: [&str; 5] = [
    "order.placed",
    "payment.captured",
    "stock.reserved",
    "shipment.created",
    "order.completed",
];

const COMMANDS: [&str; 3] = ["payment.charge", "stock.reserve", "shipment.create"];

fn effects(amount: u64) -> [Effect; 2] {
    let effect = |kind: &str, amount| Effect {
        kind: kind.to_owned(),
        amount,
    };
    [effect("capture", amount), effect("shipment", 0)]
}

fn numbered(captured: &[Captured]) -> Vec<(u64, String)> {
    let numbered = captured
        .iter()
        .filter_map(|it| Some((it.sequence()?, it.name())));
    numbered.collect()
}

#[tokio::test]
async fn every_event_of_a_completed_order_is_published_in_order_and_audited_without_tokens() {
    let environment = Environment::connect().await;
    let (mug, plate) = (unique("MUG"), unique("PLATE"));
    environment.seed(&mug, StockLevel::new(5, 0, 0)).await;
    environment.seed(&plate, StockLevel::new(7, 0, 0)).await;
    let order = Order::of(&mug).and(&plate, 3, 400);
    let mut tap = Tap::on_order(&environment, &order.id()).await;

    let id = environment.accept(&order).await;
    let view = environment.ended(&id).await;

    assert_eq!(
        (view.status.as_str(), view.events.as_slice()),
        ("completed", &EVENTS.map(String::from)[..])
    );
    assert_eq!(environment.ledger(&id).await, effects(2 * 1250 + 3 * 400));
    assert_eq!(environment.stock(&mug).await, StockLevel::new(3, 0, 2));
    assert_eq!(environment.stock(&plate).await, StockLevel::new(4, 0, 3));

    let wanted: Vec<_> = (1..).zip(EVENTS.map(String::from)).collect();
    tap.until(&format!("order {id} is published"), QUICKLY, |tap| {
        !tap.named("order.completed").is_empty()
    })
    .await;
    assert_eq!(numbered(tap.captured()), wanted);
    for command in COMMANDS {
        assert_eq!(tap.named(command).len(), 1, "{command} of order {id}");
    }
    audited(&environment, &id, &tap, &wanted).await;
    tap.close().await;

    let stock = vec![(mug, 5), (plate, 7)];
    Accounts::open(
        &environment,
        Asked {
            orders: vec![order],
            stock,
            ..Asked::default()
        },
    )
    .await
    .check();
}

/// The trail holds each message that was on the bus, and nothing that opens a task or names a person.
async fn audited(environment: &Environment, id: &str, tap: &Tap<'_>, wanted: &[(u64, String)]) {
    let messages = EVENTS.len() + COMMANDS.len();
    let trail = wait_until(&format!("order {id} is audited"), QUICKLY, async || {
        let trail = environment.audit(id).await;
        if trail.len() == messages {
            Ok(trail)
        } else {
            Err(format!("{} entries", trail.len()))
        }
    })
    .await;
    let in_trail: Vec<_> = trail
        .iter()
        .filter_map(|entry| Some((entry.sequence?, entry.name.clone())))
        .collect();
    assert_eq!(in_trail, wanted, "the trail of order {id} is in order");
    for captured in tap.captured() {
        let token = captured.message["tasktoken"].as_str();
        assert_eq!(
            token.is_some(),
            captured.sequence().is_none(),
            "commands alone carry a token"
        );
        for entry in &trail {
            assert!(!entry.whole.contains("tasktoken"), "{}", entry.name);
            assert!(
                token.is_none_or(|token| !entry.whole.contains(token)),
                "{}",
                entry.name
            );
            assert!(
                !entry.whole.contains("Ada Example"),
                "{} names a person",
                entry.name
            );
        }
    }
}

#[tokio::test]
async fn an_order_of_fifty_lines_is_fulfilled_as_a_whole() {
    let environment = Environment::connect().await;
    let skus: Vec<_> = (0..domain::MAX_ITEMS).map(|_| unique("PART")).collect();
    for sku in &skus {
        environment.seed(sku, StockLevel::new(4, 0, 0)).await;
    }
    let mut order = Order::of(&skus[0]);
    for sku in &skus[1..] {
        order = order.and(sku, 1, 10);
    }
    let id = environment.accept(&order).await;
    assert_eq!(environment.ended(&id).await.status, "completed");
    assert_eq!(environment.stock(&skus[0]).await, StockLevel::new(2, 0, 2));
    for sku in &skus[1..] {
        assert_eq!(
            environment.stock(sku).await,
            StockLevel::new(3, 0, 1),
            "{sku}"
        );
    }
}

#[tokio::test]
async fn an_article_in_two_lines_is_taken_for_both() {
    let environment = Environment::connect().await;
    let sku = unique("MUG");
    environment.seed(&sku, StockLevel::new(5, 0, 0)).await;
    let order = Order::of(&sku).and(&sku, 3, 100);
    let id = environment.accept(&order).await;
    assert_eq!(environment.ended(&id).await.status, "completed");
    assert_eq!(environment.stock(&sku).await, StockLevel::new(0, 0, 5));
    assert_eq!(environment.ledger(&id).await, effects(2800));
}

#[tokio::test]
async fn text_that_looks_like_code_is_text_on_the_whole_way() {
    let environment = Environment::connect().await;
    let sku = unique("MUG");
    environment.seed(&sku, StockLevel::new(5, 0, 0)).await;
    let mut order = Order::of(&sku);
    order.body["customerId"] = json!(format!("{{%$states.input%}}{}", unique("")));
    order.body["shipTo"]["name"] = json!("Zo\u{eb} \u{1f600} \u{2028} \u{674e}");
    order.body["shipTo"]["line2"] = json!("c/o \"O'Neil\" \\ {% $error('x') %} ${BusTopicArn}");
    let mut tap = Tap::on_order(&environment, &order.id()).await;
    environment.accept(&order).await;
    let command = tap.next("shipment.create").await;
    assert_eq!(command.message["data"]["shipTo"], order.body["shipTo"]);
    assert_eq!(environment.ended(&order.id()).await.status, "completed");
    tap.close().await;
}

#[tokio::test]
async fn the_messages_of_an_order_share_its_correlation_id_and_name_their_cause() {
    let environment = Environment::connect().await;
    let sku = unique("MUG");
    environment.seed(&sku, StockLevel::new(5, 0, 0)).await;
    let order = Order::of(&sku);
    let mut tap = Tap::on_order(&environment, &order.id()).await;
    let answer = environment.place(&order).await.json();
    let id = order.id();
    tap.next("order.completed").await;
    for captured in tap.captured() {
        let message = &captured.message;
        let name = captured.name();
        assert_eq!(message["correlationid"], answer["correlationId"], "{name}");
        assert_eq!(message["id"], format!("{id}/{name}"), "{name}");
        assert_eq!(message["specversion"], "1.0", "{name}");
        assert_eq!(
            message["causationid"].is_string(),
            name != "order.placed",
            "{name}"
        );
    }
    assert_eq!(
        tap.named("payment.captured")[0].message["causationid"],
        format!("{id}/payment.charge")
    );
    tap.close().await;
}

#[tokio::test]
async fn a_payment_that_fails_twice_for_a_moment_heals_by_itself() {
    completes_with_one_charge("sandbox_flaky_2").await;
}

#[tokio::test]
async fn a_charge_whose_answer_is_lost_is_captured_exactly_once() {
    completes_with_one_charge("sandbox_ambiguous").await;
}

async fn completes_with_one_charge(method: &str) {
    let environment = Environment::connect().await;
    let sku = unique("MUG");
    environment.seed(&sku, StockLevel::new(5, 0, 0)).await;
    let order = Order::of(&sku).paid_by(method);
    let id = environment.accept(&order).await;
    let view = environment.ended(&id).await;
    assert_eq!(view.status, "completed", "{method}: {}", view.document);
    assert_eq!(
        environment.ledger(&id).await,
        effects(order.total()),
        "{method}"
    );
    assert_eq!(
        environment.stock(&sku).await,
        StockLevel::new(3, 0, 2),
        "{method}"
    );
    environment.dealt_with("Payment", &id).await;
}

#[tokio::test]
async fn orders_that_want_the_last_pieces_at_once_share_them_without_selling_one_twice() {
    let environment = Environment::connect().await;
    let sku = unique("LAST");
    environment.seed(&sku, StockLevel::new(6, 0, 0)).await;
    let orders: Vec<_> = (0..5).map(|_| Order::of(&sku)).collect();
    for order in &orders {
        environment.accept(order).await;
    }
    let mut completed = 0;
    for order in &orders {
        completed += usize::from(environment.ended(&order.id()).await.status == "completed");
    }
    assert_eq!(
        completed, 3,
        "six pieces are enough for three orders of two"
    );
    published(&environment, &orders).await;
    let stock = vec![(sku, 6)];
    Accounts::open(
        &environment,
        Asked {
            orders,
            stock,
            ..Asked::default()
        },
    )
    .await
    .check();
}

/// Waits until the audit trail has caught up with the orders.
async fn published(environment: &Environment, orders: &[Order]) {
    for order in orders {
        let id = order.id();
        wait_until(
            &format!("order {id} is audited to its end"),
            QUICKLY,
            async || {
                let trail = environment.audit(&id).await;
                let has_end = trail
                    .iter()
                    .any(|entry| entry.name == "order.completed" || entry.name == "order.failed");
                if has_end {
                    Ok(())
                } else {
                    Err(format!("{} entries", trail.len()))
                }
            },
        )
        .await;
    }
}

#[tokio::test]
async fn no_function_logs_a_task_token_or_a_name() {
    let environment = Environment::connect().await;
    let sku = unique("MUG");
    environment.seed(&sku, StockLevel::new(5, 0, 0)).await;
    let name = unique("Person");
    let mut order = Order::of(&sku);
    order.body["shipTo"]["name"] = json!(name);
    let mut tap = Tap::on_order(&environment, &order.id()).await;
    environment.accept(&order).await;
    tap.next("order.completed").await;
    let tokens: Vec<_> = tap
        .captured()
        .iter()
        .filter_map(|it| it.message["tasktoken"].as_str())
        .collect();
    assert_eq!(tokens.len(), COMMANDS.len());
    for function in ON_THE_WAY {
        for secret in tokens.iter().copied().chain([name.as_str()]) {
            let lines = environment.log_lines(function, secret).await;
            assert!(lines.is_empty(), "{function} logs a secret: {lines:?}");
        }
    }
    tap.close().await;
}
