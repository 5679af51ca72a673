//! What charges and refunds write, and what the samples come to. The protocol
//! itself is tested in `saga-step`.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is the failure report of a test"
)]

use domain::{EventKind, OrderId, OrderStatus, Step};
use message_worker::Handler;
use payment_worker::Payments;
use ports::Answer;
use saga_step::{ClaimedSteps, StepHandler};
use serde_json::{Value, json};
use testkit::{EffectKind, Inbox, World, fixtures};

fn handler(world: &World) -> impl Handler + use<> {
    let clock = world.clock();
    let effects = Payments::new(world.clone(), clock);
    let steps = ClaimedSteps::new(world.clone(), effects, clock);
    StepHandler::new(Step::Charge, steps, world.clone())
}

fn sample_order() -> OrderId {
    "5520e7e7-394c-5ddd-8cf1-6d92723ea28e".parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_events_say_what_was_taken_and_given_back_and_why() {
    let (world, inbox, order) = (World::new(), Inbox::default(), fixtures::order_id(1));
    for step in [Step::Charge, Step::Refund] {
        let command = fixtures::command(order, step, step.as_str());
        inbox.drive(handler(&world), &[command]).await;
    }
    assert_eq!(world.status(order), Some(OrderStatus::Paid));
    let events: Vec<Value> = world
        .timeline(order)
        .iter()
        .map(|event| serde_json::from_str(&event.json).unwrap())
        .collect();
    let data = |reference: &str| json!({ "orderId": order.to_string(), "amount": 2500, "currency": "EUR", "reference": format!("{reference}_{order}") });
    for (event, name, cause, data) in [
        (&events[0], "payment.captured", "payment.charge", data("ch")),
        (&events[1], "payment.refunded", "payment.refund", data("re")),
    ] {
        assert_eq!(event["id"], format!("{order}/{name}"));
        assert_eq!(event["type"], format!("waybill.{name}.v1"));
        assert_eq!(event["causationid"], format!("{order}/{cause}"));
        assert_eq!(event["correlationid"], "req-2026-11-21-0001");
        assert_eq!(event["source"], "/waybill/payment-worker");
        assert_eq!(event["data"], data);
        assert_eq!(event.get("tasktoken"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_declined_card_gives_the_customer_a_cause_without_internals() {
    for method in [
        "pm_card_chargeDeclined",
        "pm_card_chargeDeclinedInsufficientFunds",
    ] {
        let (world, inbox, order) = (World::new(), Inbox::default(), fixtures::order_id(1));
        let mut command = fixtures::command(order, Step::Charge, "token");
        command["data"]["method"] = json!(method);
        inbox.drive(handler(&world), &[command]).await;
        let declined = Answer::Failure {
            error: contracts::saga::PAYMENT_DECLINED,
            cause: "The card was declined.".to_owned(),
        };
        assert_eq!(world.answers(), [("token".to_owned(), declined)]);
        assert_eq!(world.events(order), [EventKind::PaymentDeclined]);
        assert_eq!(world.status(order), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_record_of_a_batch_does_not_fail_its_neighbours() {
    let (world, inbox) = (World::new(), Inbox::default());
    let returned = inbox
        .invoke_with_sample(handler(&world), "payment-worker/mixed-batch")
        .await;
    assert_eq!(returned, [] as [String; 0]);
    assert_eq!(inbox.quarantined(), ["NotAnEnvelope", "UnknownType"]);
    assert_eq!(world.effects(sample_order()), [EffectKind::Capture]);
}

#[tokio::test(start_paused = true)]
async fn samples_come_to_what_they_are_named_after() {
    for (sample, outcome, error) in [
        ("charge", "processed", None),
        ("refund", "processed", None),
        ("charge-without-task-token", "processed", None),
        ("charge-declined-by-sandbox", "processed", None),
        (
            "charge-ambiguous-in-sandbox",
            "retried",
            Some("ProviderOutcomeUnknown"),
        ),
        (
            "charge-last-receive",
            "dead-lettered",
            Some("ProviderFailed"),
        ),
        ("bad-contract-broken", "quarantined", Some("ContractBroken")),
        ("bad-newer-version", "quarantined", Some("UnknownVersion")),
    ] {
        let (world, inbox) = (World::new(), Inbox::default());
        let name = format!("payment-worker/{sample}");
        inbox.invoke_with_sample(handler(&world), &name).await;
        let expected = (outcome.to_owned(), error.map(str::to_owned));
        assert_eq!(inbox.outcomes(), [expected], "{sample}");
    }
}
