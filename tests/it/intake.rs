//! `POST /orders` and `GET /orders/{id}`: what is taken, what is refused and in which words.

use serde_json::{Value, json};
use waybill_tests::{Answer, Environment, Order, Request, StockLevel, unique};

/// An order that costs no worker any time: its card is declined.
fn order() -> Order {
    Order::of(&unique("MUG")).paid_by("pm_card_chargeDeclined")
}

/// What every refusal has, whatever was wrong.
#[track_caller]
fn check_problem(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let content_type = answer.header("content-type").unwrap_or_default();
    assert!(
        content_type.starts_with("application/problem+json"),
        "{content_type}"
    );
    let problem = answer.json();
    assert_eq!(problem["status"], status, "{problem}");
    for member in ["type", "title"] {
        assert!(
            problem[member]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{member}: {problem}"
        );
    }
    for internal in [
        "dynamodb",
        "panicked",
        "serde",
        "aws_sdk",
        ".rs:",
        "ResourceNotFound",
    ] {
        assert!(
            !answer.text().contains(internal),
            "{internal} leaks: {problem}"
        );
    }
}

fn pointers(answer: &Answer) -> Vec<String> {
    let problem = answer.json();
    let faults = problem["errors"].as_array().cloned().unwrap_or_default();
    for fault in &faults {
        assert!(
            fault["detail"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{problem}"
        );
    }
    let mut pointers: Vec<_> = faults
        .iter()
        .filter_map(|fault| fault["pointer"].as_str().map(str::to_owned))
        .collect();
    pointers.sort();
    pointers
}

/// Sends a body that must be refused.
async fn check_refused(body: impl Into<Vec<u8>>, status: u16, faults: &[&str]) {
    let environment = Environment::connect().await;
    let request = Request::post("/orders", body)
        .header("content-type", "application/json")
        .header("idempotency-key", unique("key"));
    let answer = environment.send(&request).await;
    check_problem(&answer, status);
    assert_eq!(pointers(&answer), faults, "{}", answer.text());
}

#[tokio::test]
async fn an_accepted_order_is_answered_with_where_to_find_it() {
    let environment = Environment::connect().await;
    let order = order();
    let answer = environment.place(&order).await;
    let id = order.id();
    assert_eq!(answer.status, 202, "{}", answer.text());
    let document = answer.json();
    assert_eq!(document["orderId"], id);
    assert_eq!(document["status"], "accepted");
    assert!(
        document["correlationId"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    );
    assert_eq!(
        document["total"],
        json!({ "amount": 2500, "currency": "EUR" })
    );
    assert_eq!(document["links"]["self"], format!("/orders/{id}"));
    assert_eq!(
        answer.header("location"),
        Some(format!("/orders/{id}").as_str())
    );
    assert!(
        answer
            .header("content-type")
            .is_some_and(|text| text.starts_with("application/json"))
    );
    assert_eq!(
        answer.header("idempotency-replayed"),
        None,
        "it is no replay"
    );

    let shown = environment.order(&id).await.document;
    assert_eq!(shown["total"], document["total"]);
    assert_eq!(shown["correlationId"], document["correlationId"]);
    assert_eq!(shown["timeline"][0]["type"], "waybill.order.placed.v1");
    assert!(shown["timeline"][0]["time"].is_string());
    assert!(
        !shown.to_string().contains("Ada Example"),
        "a name is nobody's business: {shown}"
    );
}

#[tokio::test]
async fn the_same_key_and_content_get_the_same_answer_marked_as_a_replay() {
    let environment = Environment::connect().await;
    let order = order();
    let first = environment.place(&order).await;
    environment.ended(&order.id()).await;
    let again = environment.place(&order).await;
    assert_eq!((again.status, again.json()), (202, first.json()));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
}

#[tokio::test]
async fn the_same_content_laid_out_otherwise_is_a_replay_too() {
    let environment = Environment::connect().await;
    let order = order();
    environment.accept(&order).await;
    let mut laid_out = order.request();
    laid_out.body = serde_json::to_vec_pretty(&order.body).unwrap();
    let again = environment.send(&laid_out).await;
    assert_eq!(
        (again.status, again.header("idempotency-replayed")),
        (202, Some("true"))
    );
}

#[tokio::test]
async fn the_same_key_sent_many_times_at_once_makes_one_order() {
    let environment = Environment::connect().await;
    let sku = unique("MUG");
    environment.seed(&sku, StockLevel::new(5, 0, 0)).await;
    let order = Order::of(&sku);
    let answers = futures_util::future::join_all((0..8).map(|_| environment.place(&order))).await;
    let fresh = answers
        .iter()
        .filter(|answer| answer.header("idempotency-replayed").is_none());
    assert_eq!(fresh.count(), 1, "one is new, the others are replays");
    for answer in &answers {
        assert_eq!((answer.status, answer.json()), (202, answers[0].json()));
    }
    assert_eq!(environment.ended(&order.id()).await.status, "completed");
    assert_eq!(environment.stock(&sku).await, StockLevel::new(3, 0, 2));
}

#[tokio::test]
async fn the_same_key_with_other_content_is_refused() {
    let environment = Environment::connect().await;
    let order = order();
    environment.accept(&order).await;
    let answer = environment.place(&order.clone().pieces(3)).await;
    check_problem(&answer, 422);
    assert_eq!(answer.header("idempotency-replayed"), None);
}

#[tokio::test]
async fn the_same_key_of_another_customer_is_another_order() {
    let environment = Environment::connect().await;
    let first = order();
    let mut second = first.clone();
    second.body["customerId"] = json!(unique("customer"));
    assert_ne!(
        environment.accept(&first).await,
        environment.accept(&second).await
    );
}

#[tokio::test]
async fn an_order_needs_a_key_of_at_most_255_characters() {
    let environment = Environment::connect().await;
    let mut keyless = order().request();
    keyless
        .headers
        .retain(|(name, _)| name != "idempotency-key");
    check_problem(&environment.send(&keyless).await, 400);

    let keyed = |key: String| Order { key, ..order() }.request();
    check_problem(&environment.send(&keyed("k".repeat(256))).await, 400);
    assert_eq!(
        environment
            .send(&keyed(unique(&"k".repeat(242))))
            .await
            .status,
        202
    );
}

#[tokio::test]
async fn a_body_that_is_no_json_is_refused() {
    for body in ["", "{", "[1,", "{\"a\":1}}", "\u{0}"] {
        check_refused(body, 400, &[]).await;
    }
}

#[tokio::test]
async fn a_key_that_stands_twice_is_refused_because_nobody_knows_which_was_meant() {
    let twice = order()
        .body
        .to_string()
        .replacen('{', "{\"currency\":\"USD\",", 1);
    check_refused(twice, 400, &[]).await;
}

#[tokio::test]
async fn json_of_another_shape_is_refused() {
    for body in ["[]", "null", "7", "\"order\""] {
        check_refused(body, 422, &[""]).await;
    }
}

#[tokio::test]
async fn every_fault_of_an_order_is_named_with_its_place() {
    let mut body = order().body;
    body["currency"] = json!("euro");
    body["items"][0]["quantity"] = json!(0);
    body["items"][0]["unitPrice"] = json!(12.5);
    body["shipTo"]["country"] = Value::Null;
    body["payment"] = json!({});
    let faults = [
        "/currency",
        "/items/0/quantity",
        "/items/0/unitPrice",
        "/payment/method",
        "/shipTo/country",
    ];
    check_refused(body.to_string(), 422, &faults).await;
}

#[tokio::test]
async fn an_unknown_field_is_refused_so_that_a_typing_error_is_not_lost() {
    let mut body = order().body;
    body["cupon"] = json!("SAVE10");
    body["items"][0]["colour/shade"] = json!("red");
    check_refused(body.to_string(), 422, &["/cupon", "/items/0/colour~1shade"]).await;
}

#[tokio::test]
async fn an_order_without_items_is_refused() {
    let mut body = order().body;
    body["items"] = json!([]);
    check_refused(body.to_string(), 422, &["/items"]).await;
}

#[tokio::test]
async fn a_body_over_64_kib_is_refused_whatever_is_in_it() {
    let padded = format!("{}{}", order().body, " ".repeat(64 * 1024));
    check_refused(padded, 413, &[]).await;
}

#[tokio::test]
async fn a_body_that_does_not_say_that_it_is_json_is_refused() {
    let environment = Environment::connect().await;
    let typed = |content_type: Option<&str>| {
        let mut request = order().request();
        request.headers.retain(|(name, _)| name != "content-type");
        request
            .headers
            .extend(content_type.map(|it| ("content-type".to_owned(), it.to_owned())));
        request
    };
    for content_type in [Some("text/plain"), Some("application/xml"), None] {
        check_problem(&environment.send(&typed(content_type)).await, 415);
    }
    let with_charset = typed(Some("application/json; charset=utf-8"));
    assert_eq!(environment.send(&with_charset).await.status, 202);
}

#[tokio::test]
async fn an_order_that_nobody_placed_is_not_found() {
    let environment = Environment::connect().await;
    for id in [order().id().as_str(), "nonsense"] {
        let answer = environment
            .send(&Request::get(format!("/orders/{id}")))
            .await;
        check_problem(&answer, 404);
    }
}

#[tokio::test]
async fn a_request_that_is_not_signed_is_refused() {
    let environment = Environment::connect().await;
    let order = order();
    let placing = environment.send(&order.request().unsigned()).await;
    let reading = environment
        .send(&Request::get(format!("/orders/{}", order.id())).unsigned())
        .await;
    assert_eq!(
        (placing.status, reading.status),
        (403, 403),
        "{}",
        placing.text()
    );
    let answer = environment
        .send(&Request::get(format!("/orders/{}", order.id())))
        .await;
    assert_eq!(answer.status, 404, "and it has had no effect");
}
