//! Customers: they place orders over HTTP, and repeat themselves.

use std::time::Duration;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use aws_lambda_events::encodings::Body;
use domain::{OrderId, Sku, stock::StockLevel};
use order_api::{Access, OrderApi};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::checks::{ONE_EFFECT, PROMISED};
use crate::functions::invoke;
use crate::ports::Ports;
use crate::sim::{Sim, Violation};
use crate::template::DEPLOYED;

const REQUEST: &str = include_str!("../../../events/order-api/post-order.json");

/// The articles.
const SKUS: [&str; 3] = ["MUG-RED", "POSTER-A2", "STICKER"];

/// Orders come within this time.
const OPENING_TIME: Duration = Duration::from_secs(600);

/// What the sandbox treats in a special way: payment method and postal code.
const SPECIAL: [(&str, &str); 9] = [
    ("pm_card_chargeDeclined", "10115"),
    ("pm_card_chargeDeclinedInsufficientFunds", "10115"),
    ("sandbox_flaky_2", "10115"),
    ("sandbox_flaky_5", "10115"),
    ("sandbox_flaky_7", "10115"),
    ("sandbox_unavailable", "10115"),
    ("sandbox_ambiguous", "10115"),
    ("pm_card_visa", "00000"),
    ("pm_card_visa", "00001"),
];

/// Fills the shelves and lets the customers in.
#[allow(clippy::expect_used, reason = "constants that fit")]
pub(crate) fn open(sim: &Sim) {
    let pieces = sim.state().mix.pieces;
    for sku in SKUS {
        let sku = Sku::new(sku).expect("an article");
        let level = StockLevel {
            available: pieces,
            reserved: 0,
            shipped: 0,
        };
        sim.world().put_stock(&sku, level);
        sim.state().checks.pieces.insert(sku, pieces);
    }
    let orders = sim.state().mix.orders;
    for number in 0..orders {
        sim.spawn(customer(sim.clone(), number));
    }
}

/// Repeats a request until it is answered, and sometimes after that.
async fn customer(sim: Sim, number: usize) {
    sleep(sim.up_to(OPENING_TIME)).await;
    let key = format!("checkout-{number}");
    let order = order(&sim);
    let mut repeats = sim.state().random.u8(0..4);
    let mut answered = None;
    loop {
        if let Some(id) = place(&sim, &key, &order).await {
            let before = *answered.get_or_insert(id);
            if before != id {
                violate(&sim, ONE_EFFECT, Some(id), "one key has two orders");
            }
            if sim.state().random.u8(0..4) == 0 {
                place_another(&sim, &key, &order).await;
            }
            if repeats == 0 {
                return;
            }
            repeats -= 1;
        }
        sleep(sim.up_to(Duration::from_secs(120))).await;
    }
}

fn order(sim: &Sim) -> Value {
    let mut state = sim.state();
    let is_special = state.random.f64() < state.mix.special;
    let (method, postal_code) = match is_special {
        true => SPECIAL[state.random.usize(..SPECIAL.len())],
        false => ("pm_card_visa", "10115"),
    };
    let first = state.random.usize(..SKUS.len());
    let lines = state.random.usize(1..=2);
    let items: Vec<_> = (0..lines)
        .map(|line| {
            let sku = SKUS[(first + line) % SKUS.len()];
            json!({ "sku": sku, "quantity": state.random.u64(1..=3), "unitPrice": 1250 })
        })
        .collect();
    json!({
        "customerId": "cus_42", "currency": "EUR", "items": items,
        "payment": { "method": method },
        "shipTo": { "name": "Ada Lovelace", "line1": "Street 1", "city": "Berlin",
                    "postalCode": postal_code, "country": "DE" },
    })
}

/// Sends an order and gives its id once it is accepted.
async fn place(sim: &Sim, key: &str, order: &Value) -> Option<OrderId> {
    let answer = post(sim, key, order).await?;
    match answer.status_code {
        202 => {
            let id = accepted(&answer)?;
            sim.count("api: accepted");
            sim.state().checks.promised.insert(id);
            if !sim.world().orders().contains(&id) {
                violate(
                    sim,
                    PROMISED,
                    Some(id),
                    "it was answered with 202 and is not stored",
                );
            }
            Some(id)
        }
        // Somebody else's content came first, and this customer gives up: as it is a
        // test's customer, it asks again as the one who was first.
        422 => None,
        503 => {
            sim.count("api: unavailable");
            None
        }
        status => {
            violate(sim, PROMISED, None, &format!("the API answered {status}"));
            None
        }
    }
}

/// The same key with another content is refused.
async fn place_another(sim: &Sim, key: &str, order: &Value) {
    let mut other = order.clone();
    other["items"][0]["quantity"] = json!(9);
    match post(sim, key, &other)
        .await
        .map(|answer| answer.status_code)
    {
        Some(422) => sim.count("api: the key was used for another order"),
        None | Some(503) => {}
        Some(status) => {
            violate(
                sim,
                ONE_EFFECT,
                None,
                &format!("another order under a used key: {status}"),
            );
        }
    }
}

fn violate(sim: &Sim, invariant: &str, order: Option<OrderId>, seen: &str) {
    let (invariant, seen) = (invariant.to_owned(), seen.to_owned());
    sim.violate(Violation {
        invariant,
        order,
        seen,
    });
}

async fn post(sim: &Sim, key: &str, order: &Value) -> Option<ApiGatewayV2httpResponse> {
    let environment = sim.environment("order-api");
    let ports = Ports {
        sim: sim.clone(),
        environment: environment.clone(),
        consumer: "saga",
    };
    let api = OrderApi::new(ports, environment.clock, Access::Iam);
    let request = request(key, order);
    let answer = invoke(sim, &environment, DEPLOYED.api_time, api.handle(&request)).await;
    let status = answer.as_ref().map_or(0, |answer| answer.status_code);
    sim.tell("customer", format_args!("POST {key}: {status}"));
    answer
}

#[allow(
    clippy::expect_used,
    reason = "a sample that does not fit simulates nothing"
)]
fn request(key: &str, order: &Value) -> ApiGatewayV2httpRequest {
    let mut request: Value = serde_json::from_str(REQUEST).expect("the sample is JSON");
    request["headers"]["idempotency-key"] = json!(key);
    request["body"] = json!(order.to_string());
    serde_json::from_value(request).expect("the sample is a request")
}

fn accepted(answer: &ApiGatewayV2httpResponse) -> Option<OrderId> {
    let Some(Body::Text(body)) = &answer.body else {
        return None;
    };
    let body: Value = serde_json::from_str(body).ok()?;
    body["orderId"].as_str()?.parse().ok()
}
