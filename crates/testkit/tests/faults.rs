//! The faults do what their names say, at every operation of every port.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is the failure report of a test"
)]

use std::time::Duration;

use contracts::{Event, TaskToken};
use domain::stock::{Movement, StockLevel};
use domain::{ItemQuantity, PaymentMethod, Quantity};
use failures::{
    DeadLetter, DeadLetterQueues, FailureStore, Group, GroupStore, Plan, PlanStore, Query,
    ReplayId, ReplayQueues,
};
use idempotency::{
    Begin, BeginUndo, Claim, Fingerprint, Key, Lease, OwnerToken, ResultJson, Started, Store,
    UndoStarted,
};
use ports::{
    Acceptance, Answer, AuditEntry, AuditTrail, Bus, CancelRequest, ChargeRequest, Completions,
    DeadLetters, Notice, OrderChange, OrderReader, OrderStore, PaymentProvider, People,
    RefundRequest, Sagas, ShipRequest, StepJournal, StockJournal, StockMove, TaskAnswers,
    Warehouse,
};
use serde_json::json;
use testkit::fixtures::failure;
use testkit::{Fault, Operation, VirtualClock, World, fixtures};
use tokio::time::timeout;

/// Calls that only look leave everything as it was.
const LOOKS: [Operation; 10] = [
    Operation::Completion,
    Operation::FindOrder,
    Operation::GetRecord,
    Operation::LookInto,
    Operation::GetFailure,
    Operation::FindFailures,
    Operation::GetGroup,
    Operation::ListGroups,
    Operation::GetPlan,
    Operation::ListPlans,
];

fn claim(name: &str) -> Claim {
    let now = VirtualClock::START;
    let lease = Lease::until_deadline(now, now.plus(Duration::from_secs(30))).unwrap();
    let key = Key::new(name).unwrap();
    let claim = Claim::new(key, Fingerprint::of("x"), lease, Duration::from_secs(3600));
    Claim {
        owner: OwnerToken::from_u128(1),
        ..claim
    }
}

fn result() -> ResultJson {
    ResultJson::encode(&"done").unwrap()
}

fn change() -> OrderChange {
    let order = fixtures::order_id(1);
    let items = vec![ItemQuantity {
        sku: fixtures::sku("MUG-RED"),
        quantity: Quantity::new(2).unwrap(),
    }];
    let at = fixtures::timestamp(VirtualClock::START);
    let event = Event::StockReserved(items.clone()).store(order, &fixtures::lineage(), "/x", at);
    let movement = Movement::Reserve;
    OrderChange {
        order,
        event,
        at,
        stock: Some(StockMove { movement, items }),
    }
}

async fn started(world: &World, name: &str) -> Started {
    match world.begin(&claim(name)).await.unwrap() {
        Begin::Start(started) => started,
        other => panic!("{other:?}"),
    }
}

async fn undo_started(world: &World, name: &str) -> UndoStarted {
    match world.begin_undo(&claim(name)).await.unwrap() {
        BeginUndo::Start(started) => started,
        other => panic!("{other:?}"),
    }
}

fn group() -> Group {
    let failure = failure("stored");
    serde_json::from_value(json!({
        "id": failure.group,
        "version": 1,
        "consumer": "payment",
        "errorName": failure.trouble.name,
        "cause": "connection refused",
        "lastFailureAt": failure.trouble.failed_at,
    }))
    .unwrap()
}

fn plan(id: &str) -> Plan {
    serde_json::from_value(json!({
        "id": id,
        "version": 1,
        "by": "ada",
        "cutOff": failure("stored").trouble.failed_at,
        "query": {},
        "canaries": 1,
        "rate": 10,
        "progress": { "planned": 0 },
    }))
    .unwrap()
}

fn dead_letter() -> DeadLetter {
    DeadLetter {
        message_id: "m".to_owned(),
        receipt_handle: "receipt".to_owned(),
        queue: "dlq".to_owned(),
        sent_at: 0,
        letter: failure("stored").letter,
        record: None,
        receives: 0,
        redriven: true,
        replayed: None,
    }
}

/// A world in which every operation has something to do.
async fn prepared() -> (World, Started, UndoStarted) {
    let world = World::new();
    let level = StockLevel {
        available: 5,
        ..StockLevel::default()
    };
    world.put_stock(&fixtures::sku("MUG-RED"), level);
    let to_undo = claim("completed");
    world
        .commit_at_once(&to_undo, &result(), &change())
        .await
        .unwrap();
    let order = fixtures::order_id(1);
    for key in ["to-refund", "to-cancel"] {
        let method = PaymentMethod::new("pm_card_visa").unwrap();
        let money = fixtures::new_order().total();
        let request = ChargeRequest {
            key,
            order,
            money,
            method: &method,
        };
        world.charge(&request).await.unwrap();
    }
    let action = started(&world, "started").await;
    let undo = undo_started(&world, "undoing").await;
    assert!(world.create(&failure("stored")).await.unwrap());
    world.create_plan(&plan("stored")).await.unwrap();
    world.put_dead_letter(dead_letter());
    (world, action, undo)
}

/// Calls one operation and says whether it succeeded.
async fn call(world: &World, operation: Operation, action: &Started, undo: &UndoStarted) -> bool {
    let order = fixtures::order_id(1);
    let new = fixtures::new_order();
    let at = fixtures::timestamp(VirtualClock::START);
    let (result, change) = (result(), change());
    match operation {
        Operation::Completion => world.completion(order).await.is_ok(),
        Operation::AcceptOrder => {
            let id = fixtures::order_id(2);
            let lineage = fixtures::lineage();
            let placed = Event::OrderPlaced(new.clone()).store(id, &lineage, "/x", at);
            let acceptance = Acceptance {
                id,
                fingerprint: contracts::fingerprint(&new),
                order: new,
                correlation: lineage.correlation,
                trace: lineage.trace,
                placed,
                at,
            };
            world.accept(&acceptance).await.is_ok()
        }
        Operation::FindOrder => OrderReader::find(world, order).await.is_ok(),
        Operation::Begin => world.begin(&claim("new")).await.is_ok(),
        Operation::Complete => world.complete(action, &result).await.is_ok(),
        Operation::Release => world.release(action).await.is_ok(),
        Operation::BeginUndo => world.begin_undo(&claim("new")).await.is_ok(),
        Operation::CompleteUndo => world.complete_undo(undo, &result).await.is_ok(),
        Operation::ReleaseUndo => world.release_undo(undo).await.is_ok(),
        Operation::GetRecord => Store::get(world, &action.key).await.is_ok(),
        Operation::Commit => world.commit(action, &result, Some(&change)).await.is_ok(),
        Operation::CommitUndo => world.commit_undo(undo, &result, None).await.is_ok(),
        Operation::CommitAtOnce => world
            .commit_at_once(&claim("new"), &result, &change)
            .await
            .is_ok(),
        Operation::UndoAtOnce => world
            .undo_at_once(&claim("completed"), &result, None)
            .await
            .is_ok(),
        Operation::Bury => world.bury(&claim("new"), &result).await.is_ok(),
        Operation::Charge => {
            let request = ChargeRequest {
                key: "new",
                order,
                money: new.total(),
                method: new.payment_method(),
            };
            world.charge(&request).await.is_ok()
        }
        Operation::Refund => {
            let request = RefundRequest {
                key: "refund",
                charge_key: "to-refund",
                order,
            };
            world.refund(&request).await.is_ok()
        }
        Operation::Ship => {
            let request = ShipRequest {
                key: "new",
                order,
                items: &[],
                ship_to: new.ship_to(),
            };
            world.ship(&request).await.is_ok()
        }
        Operation::Cancel => {
            let request = CancelRequest {
                key: "cancel",
                ship_key: "to-cancel",
                order,
            };
            world.cancel(&request).await.is_ok()
        }
        Operation::Answer => {
            let token = TaskToken::new("token".to_owned());
            let answer = Answer::Success("{}".to_owned());
            world.answer(&token, &answer).await.is_ok()
        }
        Operation::Publish => world.publish(&["message"]).await.is_ok(),
        Operation::StartSaga => world.start(order, "{}").await.is_ok(),
        Operation::AppendAudit => {
            let entry = AuditEntry {
                order_id: order.to_string(),
                message_id: "m".to_owned(),
                message_type: "t".to_owned(),
                time: at.to_string(),
                source: "/x".to_owned(),
                correlation_id: "c".to_owned(),
                causation_id: None,
                sequence: None,
                body: "{}".to_owned(),
                expires_at: 0,
                recorded_at: at.to_string(),
            };
            AuditTrail::append(world, &entry).await.is_ok()
        }
        Operation::TellPeople => {
            let notice = Notice {
                subject: "s".to_owned(),
                text: "t".to_owned(),
                kind: "k",
            };
            world.tell(&notice).await.is_ok()
        }
        Operation::LookInto => world.look_into("queue").await.is_ok(),
        of_failures => call_failures(world, of_failures).await,
    }
}

/// The same for the failure store and its queues.
async fn call_failures(world: &World, operation: Operation) -> bool {
    let stored = failure("stored");
    let next = failures::Failure {
        version: 2,
        ..stored.clone()
    };
    match operation {
        Operation::GetFailure => FailureStore::get(world, &stored.id).await.is_ok(),
        Operation::CreateFailure => world.create(&failure("new")).await.is_ok(),
        Operation::ReplaceFailure => world.replace(&next).await.is_ok(),
        Operation::ReplaceAndCreateFailure => {
            let new = failure("new");
            world.replace_and_create(&next, &new).await.is_ok()
        }
        Operation::FindFailures => {
            let everything = Query::default();
            FailureStore::find(world, &everything, None).await.is_ok()
        }
        Operation::GetGroup => world.get_group(&stored.group).await.is_ok(),
        Operation::PutGroup => world.put_group(&group()).await.is_ok(),
        Operation::ListGroups => world.groups().await.is_ok(),
        Operation::CreatePlan => world.create_plan(&plan("new")).await.is_ok(),
        Operation::GetPlan => world.get_plan(&plan("stored").id).await.is_ok(),
        Operation::PutProgress => {
            let version = 2;
            let next = Plan {
                version,
                ..plan("stored")
            };
            world.put_progress(&next).await.is_ok()
        }
        Operation::ListPlans => world.plans().await.is_ok(),
        Operation::ReceiveDeadLetters => world.receive("dlq").await.is_ok(),
        Operation::DeleteDeadLetter => world.delete(&dead_letter()).await.is_ok(),
        Operation::SendReplay => {
            let replay = ReplayId::new("r1");
            let sent = world.send("payment", &stored.letter, &stored.id, &replay);
            sent.await.is_ok()
        }
        other => panic!("{other:?} is no operation of the failure store"),
    }
}

/// What a call came to, and the world after it. `None` where it never answered.
async fn after(operation: Operation, fault: Option<Fault>) -> (World, Option<bool>) {
    let (world, action, undo) = prepared().await;
    if let Some(fault) = fault {
        world.fail_call(world.calls().len(), fault);
    }
    let calling = call(&world, operation, &action, &undo);
    let succeeded = timeout(Duration::from_secs(60), calling).await.ok();
    assert_eq!(world.calls().last(), Some(&operation));
    (world, succeeded)
}

#[tokio::test(start_paused = true)]
async fn every_operation_fails_before_or_after_its_effect_as_told() {
    for operation in Operation::ALL {
        let (before, _, _) = prepared().await;
        let (done, succeeded) = after(operation, None).await;
        assert_eq!(succeeded, Some(true), "{operation:?}");
        let only_looks = LOOKS.contains(&operation);
        assert_eq!(done.is_same_as(&before), only_looks, "{operation:?}");

        for (fault, expected, answer) in [
            (Fault::ErrorBefore, &before, Some(false)),
            (Fault::ErrorAfter, &done, Some(false)),
            (Fault::SilenceBefore, &before, None),
            (Fault::SilenceAfter, &done, None),
            (Fault::Delay(Duration::from_secs(5)), &done, Some(true)),
        ] {
            let (world, succeeded) = after(operation, Some(fault)).await;
            assert_eq!(succeeded, answer, "{operation:?} {fault:?}");
            assert!(world.is_same_as(expected), "{operation:?} {fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_hits_the_call_of_an_operation_that_it_names_and_no_other() {
    let world = World::new();
    world.fail(Operation::Publish, 1, Fault::ErrorBefore);
    let mut succeeded = Vec::new();
    for _ in 0..3 {
        world.look_into("queue").await.unwrap();
        succeeded.push(world.publish(&["message"]).await.is_ok());
    }
    assert_eq!(succeeded, [true, false, true]);
    assert_eq!(world.published().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_commit_is_all_or_nothing() {
    let (world, action, _) = prepared().await;
    let untouched = prepared().await.0;
    let mut too_many = change();
    let mut sticker = too_many.stock.clone().unwrap().items[0].clone();
    sticker.sku = fixtures::sku("UNKNOWN");
    let moved = too_many.stock.as_mut().unwrap();
    moved.items.push(sticker);

    let refused = world.commit(&action, &result(), Some(&too_many)).await;
    assert!(matches!(
        refused,
        Err(ports::CommitError::Short(skus)) if skus == [fixtures::sku("UNKNOWN")]
    ));
    assert!(world.is_same_as(&untouched));

    world
        .commit(&action, &result(), Some(&change()))
        .await
        .unwrap();
    assert!(
        world
            .commit(&action, &result(), Some(&change()))
            .await
            .is_err()
    );
    assert_eq!(world.stock(&fixtures::sku("MUG-RED")).reserved, 4);
    assert_eq!(world.events(fixtures::order_id(1)).len(), 2);
}
