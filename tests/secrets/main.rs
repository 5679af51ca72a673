//! What nobody may read: addresses, credentials and task tokens, outside of the
//! few places that need them.
//!
//! The test sends orders of its own with words that are found nowhere else, has them
//! succeed, fail and become dead letters, and then reads everything that the
//! deployment has written: of its own orders and of all that ran before. So
//! `make e2e` runs it last.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is the failure report of a test"
)]
#![allow(clippy::large_futures, reason = "a test's future is awaited once")]

mod written;

use serde_json::{Value, json};
use uuid::Uuid;
use waybill_tests::{
    Environment, Order, QUICKLY, SLOWLY, StockLevel, Tap, messages, unique, wait_until,
};
use written::Written;

/// Words that stand for what is secret, and are found nowhere else.
struct Secrets {
    name: String,
    street: String,
    city: String,
    credential: String,
    /// An address in a field that is none: a mask cannot know it, but no error may quote it.
    misplaced: String,
    /// The tokens that the sagas really gave out.
    task_tokens: Vec<String>,
}

impl Secrets {
    fn new() -> Self {
        let word = || unique("Secret");
        Self {
            name: word(),
            street: word(),
            city: word(),
            credential: word(),
            misplaced: word(),
            task_tokens: Vec::new(),
        }
    }

    fn address(&self) -> Value {
        json!({
            "name": self.name, "line1": self.street, "city": self.city,
            "postalCode": "10115", "country": "DE"
        })
    }

    fn order(&self, sku: &str) -> Order {
        let mut order = Order::of(sku);
        order.body["shipTo"] = self.address();
        order
    }

    fn words(&self) -> Vec<&str> {
        let own = [&self.name, &self.street, &self.city, &self.credential];
        own.into_iter()
            .chain(&self.task_tokens)
            .map(String::as_str)
            .collect()
    }
}

/// An order of each kind, to its end. Gives the ids.
async fn orders_of_every_kind(environment: &Environment, secrets: &Secrets) -> Vec<String> {
    let sku = unique("SECRET");
    environment.seed(&sku, StockLevel::new(100, 0, 0)).await;
    let order = || secrets.order(&sku);
    let mut ids = Vec::new();
    for order in [
        order(),
        order().paid_by("pm_card_chargeDeclined"),
        order().paid_by("sandbox_flaky_1"),
        order().paid_by("sandbox_ambiguous"),
        order().shipped_to("00000"),
        order().pieces(1000),
    ] {
        ids.push(environment.accept(&order).await);
    }
    for id in &ids {
        environment.ended_within(id, SLOWLY).await;
    }
    ids
}

/// Requests that the API refuses, with what must not be told again.
async fn refused_requests(environment: &Environment, secrets: &Secrets) {
    let mut invalid = secrets.order("MUG-RED");
    invalid.body["shipTo"]["country"] = json!(secrets.city);
    invalid.body["shipTo"]["phone"] = json!(secrets.name);
    let answer = environment.place(&invalid).await;
    assert_eq!(answer.status, 422, "{}", answer.text());
    let cut = secrets.order("MUG-RED").body.to_string();
    let mut broken = invalid.request();
    broken.body = cut.as_bytes()[..cut.len() - 5].to_vec();
    let answer = environment.send(&broken).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    let stranger = invalid.request().header("cookie", &secrets.credential);
    environment.send(&stranger).await;
}

/// A shipment that its worker cannot read, with an address and a token. Gives its failure's id.
async fn poisoned_shipment(environment: &Environment, secrets: &Secrets) -> String {
    let order = Uuid::new_v4().to_string();
    let mut shipment = messages::command(&order, "shipment.create", messages::ship("MUG", 1));
    shipment["data"]["shipTo"] = secrets.address();
    shipment["data"]["items"] = json!(secrets.misplaced);
    shipment["tasktoken"] = json!(secrets.credential);
    environment
        .put(environment.queue("Shipping"), &shipment.to_string())
        .await;
    environment.drain(&json!({ "drain": ["quarantine"] })).await;
    wait_until(
        "the shipment is in the failure store",
        QUICKLY,
        async || {
            environment.drain(&json!({ "drain": ["quarantine"] })).await;
            let found = environment.failures_about(&order).await;
            let found = found.first().map(|failure| failure.id.to_string());
            found.ok_or_else(|| "it is not there".to_owned())
        },
    )
    .await
}

/// What an operator does to a failure; gives all that the command printed.
async fn operated(environment: &Environment, id: &str) -> Vec<(String, String)> {
    let patch = r#"[{"op":"replace","path":"/data/items","value":[{"sku":"MUG","quantity":1}]}]"#;
    let edit = ["edit", id, "--patch", patch, "--yes", "--why", "a list"];
    let mut shown = Vec::new();
    for arguments in [
        &["show", id][..],
        &["list", "--limit", "1000", "--status", "all"],
        &["groups"],
        &["export", id],
        &["export", id, "--format", "csv"],
        &["note", id, "asked the shipper"],
        &edit,
        &["show", id],
    ] {
        let all: Vec<_> = std::iter::once("failures")
            .chain(arguments.iter().copied())
            .collect();
        let as_json = environment.waybill(&all).await;
        assert_eq!(as_json.code, 0, "{as_json:?}");
        let as_text = environment.waybill_text(&all[..2.min(all.len())]).await;
        let said = [
            as_json.stdout,
            as_json.stderr,
            as_text.stdout,
            as_text.stderr,
        ]
        .join("\n");
        shown.push((format!("waybill {}", all[..2].join(" ")), said));
    }
    shown
}

/// The tokens that were on the bus.
fn tokens(tap: &Tap<'_>) -> Vec<String> {
    let token = |message: &Value| message["tasktoken"].as_str().map(str::to_owned);
    tap.captured()
        .iter()
        .filter_map(|it| token(&it.message))
        .collect()
}

#[track_caller]
fn nothing_is_found(written: &Written, words: &[&str]) {
    let found = written.search(words);
    assert!(found.is_empty(), "{found:#?}");
}

#[tokio::test]
async fn no_log_notice_or_record_shows_what_it_must_not() {
    let environment = Environment::connect().await;
    let mut secrets = Secrets::new();
    let mut bus = Tap::on_bus(&environment, None).await;
    let mut people = Tap::on_notifications(&environment).await;

    let orders = orders_of_every_kind(&environment, &secrets).await;
    refused_requests(&environment, &secrets).await;
    let poisoned = poisoned_shipment(&environment, &secrets).await;
    bus.listen().await;
    people.listen().await;
    secrets.task_tokens = tokens(&bus);
    assert!(
        secrets.task_tokens.len() >= 6,
        "the sagas gave out no tokens"
    );

    let mut written = Written::of(&environment).await;
    written.add("what people were told", &format!("{:?}", people.notices()));
    let mut words = secrets.words();
    words.push(&secrets.misplaced);
    nothing_is_found(&written, &words);
    let mut shown = Written::default();
    for (command, said) in operated(&environment, &poisoned).await {
        shown.add(&command, &said);
    }
    nothing_is_found(&shown, &secrets.words());

    // It searches where things are, and would have found them.
    assert!(
        written.names(&orders[0]).contains(&"the logs of order-api"),
        "{:?}",
        written.names(&orders[0])
    );
    assert!(written.names(&orders[0]).contains(&"AuditTable"));
    written.add("a planted line", &format!("to {}", secrets.task_tokens[0]));
    assert_eq!(written.search(&secrets.words()).len(), 1);

    // The address is where it has to be, and in a failure's message alone.
    let kept = environment.failures_about(&secrets.street).await;
    assert!(
        kept.iter()
            .any(|failure| failure.letter.body.contains(&secrets.credential))
    );
    environment.forget_failures(&secrets.street).await;
    for id in &orders {
        environment.forget(id).await;
    }
    people.close().await;
    bus.close().await;
}
