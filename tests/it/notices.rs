//! What people are told: one notice for each order that ended, and nothing personal in it.

use waybill_tests::{Environment, Notice, Order, QUICKLY, StockLevel, Tap, unique};

async fn check(order: fn(&str) -> Order, words: &[&str]) {
    let environment = Environment::connect().await;
    let sku = unique("MUG");
    environment.seed(&sku, StockLevel::new(5, 0, 0)).await;
    let order = order(&sku);
    let id = order.id();
    let mut people = Tap::on_notifications(&environment).await;
    environment.accept(&order).await;
    environment.ended(&id).await;
    people
        .until(&format!("people are told of order {id}"), QUICKLY, |tap| {
            !about(tap, &id).is_empty()
        })
        .await;
    environment.dealt_with("Notify", &id).await;
    people.listen().await;
    let notices = about(&people, &id);
    assert_eq!(notices.len(), 1, "{notices:?}");
    let Notice { subject, text } = &notices[0];
    for word in words {
        assert!(
            text.contains(word) || subject.contains(word),
            "{word} is not in {notices:?}"
        );
    }
    assert!(
        !text.contains("Ada Example") && !text.contains("Musterstrasse"),
        "{text}"
    );
    people.close().await;
}

fn about(tap: &Tap<'_>, order: &str) -> Vec<Notice> {
    tap.notices()
        .into_iter()
        .filter(|notice| notice.text.contains(order))
        .collect()
}

#[tokio::test]
async fn people_are_told_once_of_a_completed_order() {
    check(Order::of, &["completed"]).await;
}

#[tokio::test]
async fn people_are_told_once_of_a_failed_order_and_why() {
    check(|sku| Order::of(sku).pieces(6), &["failed", "out-of-stock"]).await;
}
