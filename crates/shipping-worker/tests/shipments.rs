//! What hand-overs and cancellations write, and what the samples come to. The
//! protocol itself is tested in `saga-step`.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is the failure report of a test"
)]

use domain::stock::StockLevel;
use domain::{OrderId, OrderStatus, Step};
use message_worker::Handler;
use ports::Answer;
use saga_step::{ClaimedSteps, StepHandler};
use serde_json::{Value, json};
use shipping_worker::Shipments;
use testkit::{EffectKind, Inbox, World, fixtures};

fn handler(world: &World) -> impl Handler + use<> {
    let clock = world.clock();
    let effects = Shipments::new(world.clone(), clock);
    let steps = ClaimedSteps::new(world.clone(), effects, clock);
    StepHandler::new(Step::Ship, steps, world.clone())
}

/// A world in which the pieces of one order are held.
fn world() -> World {
    let world = World::new();
    for (article, reserved) in [("MUG-RED", 2), ("STICKER", 1)] {
        let level = StockLevel {
            reserved,
            ..StockLevel::default()
        };
        world.put_stock(&fixtures::sku(article), level);
    }
    world
}

#[tokio::test(start_paused = true)]
async fn the_events_say_what_went_out_and_what_was_called_off() {
    let (world, inbox, order) = (world(), Inbox::default(), fixtures::order_id(1));
    for step in [Step::Ship, Step::CancelShipment] {
        let command = fixtures::command(order, step, step.as_str());
        inbox.drive(handler(&world), &[command]).await;
    }
    assert_eq!(world.status(order), Some(OrderStatus::Shipped));
    let data: Vec<Value> = world
        .timeline(order)
        .iter()
        .map(|event| serde_json::from_str::<Value>(&event.json).unwrap()["data"].take())
        .collect();
    let (id, reference) = (order.to_string(), format!("sh_{order}"));
    let items = json!([{ "sku": "MUG-RED", "quantity": 2 }, { "sku": "STICKER", "quantity": 1 }]);
    assert_eq!(
        data,
        [
            json!({ "orderId": id, "reference": reference, "items": items }),
            json!({ "orderId": id, "reference": reference }),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn neither_events_nor_answers_carry_the_address() {
    let (world, inbox, order) = (world(), Inbox::default(), fixtures::order_id(1));
    let command = fixtures::command(order, Step::Ship, "token");
    inbox.drive(handler(&world), &[command]).await;
    let told = format!("{:?} {:?}", world.timeline(order), world.answers());
    for secret in ["Ada", "Invalidenstra", "10115"] {
        assert!(!told.contains(secret), "{secret} is in {told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shipment_of_which_one_article_is_not_held_moves_none_and_is_called_off() {
    let (world, inbox, order) = (world(), Inbox::default(), fixtures::order_id(1));
    let none = StockLevel::default();
    world.put_stock(&fixtures::sku("STICKER"), none);
    let command = fixtures::command(order, Step::Ship, "token");
    inbox.drive(handler(&world), &[command]).await;
    let refused = Answer::Failure {
        error: contracts::saga::SHIPMENT_REFUSED,
        cause: "The pieces are not reserved.".to_owned(),
    };
    assert_eq!(world.answers(), [("token".to_owned(), refused)]);
    assert_eq!(
        world.effects(order),
        [EffectKind::Shipment, EffectKind::ShipmentCancelled]
    );
    let mugs = world.stock(&fixtures::sku("MUG-RED"));
    assert_eq!((mugs.reserved, mugs.shipped), (2, 0));
    assert_eq!(world.timeline(order), []);
}

#[tokio::test(start_paused = true)]
async fn samples_come_to_what_they_are_named_after() {
    let order: OrderId = "5520e7e7-394c-5ddd-8cf1-6d92723ea28e".parse().unwrap();
    for (sample, effects, quarantined) in [
        ("create", &[EffectKind::Shipment][..], &[][..]),
        ("create-refused-by-sandbox", &[], &[]),
        ("cancel", &[], &[]),
        (
            "mixed-batch",
            &[EffectKind::Shipment],
            &["NotAnEnvelope", "UnknownType"],
        ),
    ] {
        let (world, inbox) = (world(), Inbox::default());
        let name = format!("shipping-worker/{sample}");
        let returned = inbox.invoke_with_sample(handler(&world), &name).await;
        assert_eq!(returned, [] as [String; 0], "{sample}");
        assert_eq!(world.effects(order), effects, "{sample}");
        assert_eq!(inbox.quarantined(), quarantined, "{sample}");
    }
}
