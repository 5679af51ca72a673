//! All lines or none, never below zero, each order once: whatever comes in
//! whatever order. The protocol itself is tested in `saga-step`.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is the failure report of a test"
)]

use std::collections::BTreeMap;

use domain::stock::StockLevel;
use domain::{EventKind, OrderId, OrderStatus, Step};
use message_worker::Handler;
use ports::Answer;
use proptest::prelude::*;
use saga_step::StepHandler;
use serde_json::{Value, json};
use stock_worker::Stock;
use testkit::{Fault, Inbox, World, fixtures};

fn handler(world: &World) -> impl Handler + use<> {
    let steps = Stock::new(world.clone(), world.clock());
    StepHandler::new(Step::Reserve, steps, world.clone())
}

fn available(pieces: u64) -> StockLevel {
    StockLevel {
        available: pieces,
        ..StockLevel::default()
    }
}

fn world(mugs: u64, stickers: u64) -> World {
    let world = World::new();
    world.put_stock(&fixtures::sku("MUG-RED"), available(mugs));
    world.put_stock(&fixtures::sku("STICKER"), available(stickers));
    world
}

fn level(world: &World, article: &str) -> StockLevel {
    world.stock(&fixtures::sku(article))
}

fn reserve(order: OrderId, lines: &[(&str, u32)], token: &str) -> Value {
    let mut command = fixtures::command(order, Step::Reserve, token);
    let lines = lines
        .iter()
        .map(|(sku, quantity)| json!({ "sku": sku, "quantity": quantity }));
    command["data"]["items"] = lines.collect();
    command
}

fn release(order: OrderId, token: &str) -> Value {
    fixtures::command(order, Step::Release, token)
}

#[tokio::test(start_paused = true)]
async fn one_short_article_holds_none_and_all_that_are_short_are_named() {
    let order = fixtures::order_id(1);
    for (lines, short) in [
        (vec![("MUG-RED", 2), ("STICKER", 2)], vec!["STICKER"]),
        (vec![("MUG-RED", 6), ("STICKER", 1)], vec!["MUG-RED"]),
        (
            vec![("MUG-RED", 6), ("STICKER", 2)],
            vec!["MUG-RED", "STICKER"],
        ),
        (vec![("MUG-RED", 1), ("UNHEARD-OF", 1)], vec!["UNHEARD-OF"]),
    ] {
        let (world, inbox) = (world(5, 1), Inbox::default());
        inbox
            .drive(handler(&world), &[reserve(order, &lines, "token")])
            .await;
        let refused = Answer::Failure {
            error: contracts::saga::OUT_OF_STOCK,
            cause: format!("Out of stock: {}", short.join(", ")),
        };
        assert_eq!(world.answers(), [("token".to_owned(), refused)]);
        assert_eq!(level(&world, "MUG-RED"), available(5));
        assert_eq!(level(&world, "STICKER"), available(1));
        assert_eq!(world.events(order), [EventKind::StockRejected]);
        let event: Value = serde_json::from_str(&world.timeline(order)[0].json).unwrap();
        assert_eq!(event["data"]["skus"], json!(short));
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_piece_can_be_had_and_no_more() {
    let (world, inbox) = (world(3, 0), Inbox::default());
    let orders = [1, 2, 3, 4].map(fixtures::order_id);
    let commands = orders.map(|order| reserve(order, &[("MUG-RED", 1)], &order.to_string()));
    inbox.drive(handler(&world), &commands).await;
    let mugs = level(&world, "MUG-RED");
    assert_eq!((mugs.available, mugs.reserved), (0, 3));
    let successes = world.answers().into_iter();
    let successes = successes.filter(|(_, answer)| matches!(answer, Answer::Success(_)));
    assert_eq!(successes.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn lines_of_one_article_are_held_as_one() {
    let (world, inbox) = (world(5, 0), Inbox::default());
    let returned = inbox
        .invoke_with_sample(handler(&world), "stock-worker/reserve-repeated-article")
        .await;
    assert_eq!(returned, [] as [String; 0]);
    let order: OrderId = "5520e7e7-394c-5ddd-8cf1-6d92723ea28e".parse().unwrap();
    assert_eq!(level(&world, "MUG-RED").reserved, 3);
    assert_eq!(world.status(order), Some(OrderStatus::Reserved));
    let event: Value = serde_json::from_str(&world.timeline(order)[0].json).unwrap();
    assert_eq!(
        event["data"]["items"],
        json!([{ "sku": "MUG-RED", "quantity": 3 }])
    );
}

#[tokio::test(start_paused = true)]
async fn lines_of_one_article_are_short_together_though_each_alone_is_not() {
    let (world, inbox, order) = (world(5, 0), Inbox::default(), fixtures::order_id(1));
    let lines = [("MUG-RED", 3), ("MUG-RED", 3)];
    inbox
        .drive(handler(&world), &[reserve(order, &lines, "token")])
        .await;
    assert_eq!(world.events(order), [EventKind::StockRejected]);
    assert_eq!(level(&world, "MUG-RED"), available(5));
}

#[tokio::test(start_paused = true)]
async fn a_release_gives_back_what_was_recorded_to_the_piece() {
    let (world, inbox, order) = (world(5, 5), Inbox::default(), fixtures::order_id(1));
    let lines = [("MUG-RED", 2), ("STICKER", 4)];
    inbox
        .drive(handler(&world), &[reserve(order, &lines, "reserve")])
        .await;
    inbox
        .drive(handler(&world), &[release(order, "release")])
        .await;
    assert_eq!(level(&world, "MUG-RED"), available(5));
    assert_eq!(level(&world, "STICKER"), available(5));
    let timeline = world.timeline(order);
    let items = |index: usize| {
        let event: Value = serde_json::from_str(&timeline[index].json).unwrap();
        event["data"]["items"].clone()
    };
    assert_eq!(items(1), items(0));
}

#[tokio::test(start_paused = true)]
async fn a_bad_record_of_a_batch_does_not_fail_its_neighbours() {
    let (world, inbox) = (world(5, 5), Inbox::default());
    let returned = inbox
        .invoke_with_sample(handler(&world), "stock-worker/mixed-batch")
        .await;
    assert_eq!(returned, [] as [String; 0]);
    assert_eq!(inbox.quarantined(), ["NotAnEnvelope", "UnknownType"]);
    assert_eq!(level(&world, "MUG-RED").reserved, 2);
}

const ORDERS: usize = 4;

/// What the saga may ask of one order, over and over and in any order.
#[derive(Debug, Clone, Copy)]
enum Ask {
    Reserve,
    Release,
}

fn ask() -> impl Strategy<Value = (usize, Ask)> {
    (
        0..ORDERS,
        prop_oneof![Just(Ask::Reserve), Just(Ask::Release)],
    )
}

fn fault() -> impl Strategy<Value = Fault> {
    prop::sample::select(Fault::FAILURES.to_vec())
}

/// What the timelines say is held of the mugs.
fn held(world: &World, wanted: &[u32]) -> u64 {
    let held = wanted.iter().enumerate().map(|(number, quantity)| {
        let events = world.events(fixtures::order_id(number));
        let count = |kind| events.iter().filter(|event| **event == kind).count();
        let (reserved, released) = (
            count(EventKind::StockReserved),
            count(EventKind::StockReleased),
        );
        assert!(reserved <= 1 && released <= reserved, "{events:?}");
        (reserved - released) as u64 * u64::from(*quantity)
    });
    held.sum()
}

async fn check_batches(
    batches: Vec<Vec<(usize, Ask)>>,
    faults: BTreeMap<usize, Fault>,
    wanted: Vec<u32>,
) {
    const MUGS: u64 = 10;
    let (world, inbox) = (world(MUGS, 0), Inbox::new(50.try_into().unwrap()));
    for (call, fault) in faults {
        world.fail_call(call, fault);
    }
    let mut tokens = 0;
    for batch in batches {
        let commands = batch.into_iter().map(|(number, ask)| {
            let order = fixtures::order_id(number);
            let token = tokens.to_string();
            tokens += 1;
            match ask {
                Ask::Reserve => reserve(order, &[("MUG-RED", wanted[number])], &token),
                Ask::Release => release(order, &token),
            }
        });
        let commands: Vec<_> = commands.collect();
        inbox.drive(handler(&world), &commands).await;
        let mugs = level(&world, "MUG-RED");
        assert_eq!(mugs.total(), MUGS);
        assert_eq!(mugs.reserved, held(&world, &wanted));
    }
    assert_eq!(world.answers().len(), tokens);
    assert_eq!(inbox.dead_letters(), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_held_is_what_the_timelines_say_under_any_interleaving(
        batches in prop::collection::vec(prop::collection::vec(ask(), 1..6), 1..5),
        faults in prop::collection::btree_map(0..30_usize, fault(), 0..4),
        wanted in prop::collection::vec(1_u32..6, ORDERS),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(check_batches(batches, faults, wanted));
    }
}
