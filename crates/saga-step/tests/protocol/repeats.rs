//! The same command twice, commands in the wrong order, refusals.

use std::time::Duration;

use contracts::saga;
use domain::stock::StockLevel;
use domain::{EventKind, OrderStatus};
use idempotency::{ActionOutcome, State};
use ports::Answer;
use saga_step::StepError;
use serde_json::json;
use testkit::{EffectKind, Fault, Operation, fixtures};

use crate::bench::{Bench, Pair, Progress};

#[tokio::test(start_paused = true)]
async fn an_action_delivered_twice_has_one_effect_and_answers_both_tokens_the_same() {
    for pair in Pair::ALL {
        let bench = Bench::new(pair);
        bench.deliver(&bench.action("first")).await.unwrap();
        bench.deliver(&bench.action("again")).await.unwrap();
        bench.check(Progress::Done);
        bench.check_success("first");
        assert_eq!(
            bench.answer_to("again"),
            bench.answer_to("first"),
            "{bench}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_undo_delivered_twice_has_one_effect_and_answers_both_tokens_the_same() {
    for pair in Pair::ALL {
        let bench = Bench::new(pair);
        bench.deliver(&bench.action("action")).await.unwrap();
        bench.deliver(&bench.undo("first")).await.unwrap();
        bench.deliver(&bench.undo("again")).await.unwrap();
        bench.check(Progress::Undone);
        bench.check_success("first");
        assert_eq!(
            bench.answer_to("again"),
            bench.answer_to("first"),
            "{bench}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_costs_one_request_to_the_store_and_one_answer() {
    for pair in Pair::ALL {
        let bench = Bench::new(pair);
        bench.deliver(&bench.action("first")).await.unwrap();
        let before = bench.world.calls().len();
        bench.deliver(&bench.action("again")).await.unwrap();
        let claim = match pair {
            Pair::Stock => Operation::CommitAtOnce,
            Pair::Payment | Pair::Shipping => Operation::Begin,
        };
        assert_eq!(bench.world.calls()[before..], [claim, Operation::Answer]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_finds_nothing_succeeds_writes_no_event_and_leaves_a_tombstone() {
    for pair in Pair::ALL {
        let bench = Bench::new(pair);
        bench.deliver(&bench.undo("undo")).await.unwrap();
        bench.check(Progress::Untouched);
        let nothing = Answer::Success(json!({ "undone": false }).to_string());
        assert_eq!(bench.answer_to("undo"), nothing, "{bench}");
        let key = format!("{}/{}", bench.order, pair.action());
        let record = bench.world.record(&key).unwrap();
        assert!(
            matches!(
                record.state,
                State::Undone {
                    action: ActionOutcome::NeverRan,
                    ..
                }
            ),
            "{record:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_action_that_comes_after_its_undo_is_refused_and_has_no_effect() {
    for pair in Pair::ALL {
        let bench = Bench::new(pair);
        bench.deliver(&bench.undo("undo")).await.unwrap();
        bench.deliver(&bench.action("late")).await.unwrap();
        bench.deliver(&bench.action("later")).await.unwrap();
        bench.check(Progress::Untouched);
        bench.check_failure("late", saga::ALREADY_UNDONE);
        bench.check_failure("later", saga::ALREADY_UNDONE);
    }
}

#[tokio::test(start_paused = true)]
async fn an_action_that_is_delivered_again_after_its_undo_is_refused() {
    for pair in Pair::ALL {
        let bench = Bench::new(pair);
        bench.deliver(&bench.action("action")).await.unwrap();
        bench.deliver(&bench.undo("undo")).await.unwrap();
        bench.deliver(&bench.action("replayed")).await.unwrap();
        bench.check(Progress::Undone);
        bench.check_failure("replayed", saga::ALREADY_UNDONE);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_the_answer_to_every_duplicate_and_leaves_nothing_to_undo() {
    for (pair, error, events) in [
        (
            Pair::Payment,
            saga::PAYMENT_DECLINED,
            vec![EventKind::PaymentDeclined],
        ),
        (
            Pair::Stock,
            saga::OUT_OF_STOCK,
            vec![EventKind::StockRejected],
        ),
        (Pair::Shipping, saga::SHIPMENT_REFUSED, vec![]),
    ] {
        let bench = Bench::new(pair);
        for token in ["first", "again"] {
            bench.deliver(&bench.refused_action(token)).await.unwrap();
            bench.check_failure(token, error);
        }
        assert_eq!(
            bench.answer_to("again"),
            bench.answer_to("first"),
            "{bench}"
        );
        bench.deliver(&bench.undo("undo")).await.unwrap();
        bench.check_success("undo");
        assert_eq!(bench.world.effects(bench.order), [], "{bench}");
        assert_eq!(bench.events(), events, "{bench}");
        bench.check_mugs_untouched();
        assert!(!bench.world.calls().contains(&Operation::Refund), "{bench}");
        assert!(!bench.world.calls().contains(&Operation::Cancel), "{bench}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_that_was_out_of_stock_stays_so_when_there_is_stock_again() {
    let bench = Bench::new(Pair::Stock);
    bench.deliver(&bench.refused_action("first")).await.unwrap();
    let plenty = StockLevel {
        available: 100,
        ..StockLevel::default()
    };
    bench.world.put_stock(&fixtures::sku("MUG-RED"), plenty);
    bench.deliver(&bench.refused_action("again")).await.unwrap();
    bench.check_failure("again", saga::OUT_OF_STOCK);
    assert_eq!(bench.mugs(), plenty, "{bench}");
}

#[tokio::test(start_paused = true)]
async fn an_undo_of_an_action_whose_outcome_was_never_recorded_asks_the_outside_party() {
    for pair in Pair::CLAIMED {
        let bench = Bench::new(pair);
        bench.world.fail(Operation::Commit, 0, Fault::SilenceBefore);
        bench.invoke_once(&bench.action("action")).await;
        assert_eq!(bench.world.effects(bench.order), pair.effects()[..1]);
        assert_eq!(bench.events(), [], "{bench}");

        bench.deliver(&bench.undo("undo")).await.unwrap();
        assert_eq!(bench.world.effects(bench.order), pair.effects(), "{bench}");
        assert_eq!(bench.events(), pair.events()[1..], "{bench}");
        bench.check_mugs_untouched();
        bench.check_success("undo");
    }
}

#[tokio::test(start_paused = true)]
async fn an_undo_of_an_unknown_outcome_gives_back_exactly_what_was_taken() {
    let bench = Bench::new(Pair::Payment);
    bench.world.fail(Operation::Commit, 0, Fault::SilenceBefore);
    bench.invoke_once(&bench.action("action")).await;
    bench.deliver(&bench.undo("undo")).await.unwrap();
    let moved: Vec<_> = bench.world.ledger();
    let moved: Vec<_> = moved
        .iter()
        .map(|effect| (effect.kind, effect.money.unwrap().to_string()))
        .collect();
    let both = ["2500 EUR"; 2].map(str::to_owned);
    let [captured, refunded] = both;
    assert_eq!(
        moved,
        [
            (EffectKind::Capture, captured),
            (EffectKind::Refund, refunded)
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn an_undo_of_an_unknown_outcome_undoes_nothing_where_nothing_happened() {
    for (pair, effect) in [
        (Pair::Payment, Operation::Charge),
        (Pair::Shipping, Operation::Ship),
    ] {
        let bench = Bench::new(pair);
        bench.world.fail(effect, 0, Fault::SilenceBefore);
        bench.invoke_once(&bench.action("action")).await;
        bench.drive(&[bench.undo("undo")]).await;
        bench.check(Progress::Untouched);
        bench.check_success("undo");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_nobody_waits_at_any_more_is_no_error() {
    for pair in Pair::ALL {
        let bench = Bench::new(pair);
        bench.world.time_out("stale");
        bench.drive(&[bench.action("stale")]).await;
        bench.check(Progress::Done);
        bench.check_nothing_parked();
        assert_eq!(bench.world.answers(), [], "{bench}");
        assert_eq!(bench.inbox.outcomes().len(), 1, "{bench}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_without_a_token_is_carried_out_and_answered_to_nobody() {
    for pair in Pair::ALL {
        let bench = Bench::new(pair);
        let mut body = bench.action("none");
        body.as_object_mut().unwrap().remove("tasktoken");
        bench.deliver(&body).await.unwrap();
        bench.check(Progress::Done);
        assert!(!bench.world.calls().contains(&Operation::Answer), "{bench}");
    }
}

#[tokio::test(start_paused = true)]
async fn pieces_that_are_not_reserved_are_not_shipped_and_the_warehouse_is_called_off() {
    let bench = Bench::new(Pair::Shipping);
    let nothing_held = StockLevel {
        available: 5,
        ..StockLevel::default()
    };
    bench
        .world
        .put_stock(&fixtures::sku("MUG-RED"), nothing_held);
    let stickers = bench.world.stock(&fixtures::sku("STICKER"));
    bench.deliver(&bench.action("first")).await.unwrap();
    bench.deliver(&bench.action("again")).await.unwrap();
    bench.check_failure("first", saga::SHIPMENT_REFUSED);
    assert_eq!(bench.answer_to("again"), bench.answer_to("first"));

    bench.deliver(&bench.undo("undo")).await.unwrap();
    bench.check_success("undo");
    assert_eq!(
        bench.world.effects(bench.order),
        [EffectKind::Shipment, EffectKind::ShipmentCancelled]
    );
    assert_eq!(bench.events(), []);
    assert_eq!(bench.mugs(), nothing_held);
    assert_eq!(bench.world.stock(&fixtures::sku("STICKER")), stickers);
}

#[tokio::test(start_paused = true)]
async fn an_action_whose_order_has_ended_is_taken_back_and_the_order_stays_ended() {
    for (pair, events) in [
        (
            Pair::Payment,
            vec![EventKind::OrderFailed, EventKind::PaymentRefunded],
        ),
        (Pair::Stock, vec![EventKind::OrderFailed]),
        (Pair::Shipping, vec![EventKind::OrderFailed]),
    ] {
        let bench = Bench::new(pair);
        bench.end_order();
        bench.deliver(&bench.action("late")).await.unwrap();
        bench.deliver(&bench.action("later")).await.unwrap();
        bench.check_failure("late", saga::ORDER_ENDED);
        assert_eq!(bench.answer_to("later"), bench.answer_to("late"), "{bench}");
        assert_eq!(bench.world.effects(bench.order), pair.effects(), "{bench}");
        assert_eq!(bench.events(), events, "{bench}");
        assert_eq!(
            bench.world.status(bench.order),
            Some(OrderStatus::Failed),
            "{bench}"
        );
        bench.check_mugs_untouched();
    }
}

#[tokio::test(start_paused = true)]
async fn an_undo_of_what_the_outside_party_has_forgotten_waits_for_a_person() {
    for pair in Pair::CLAIMED {
        let bench = Bench::new(pair);
        bench.deliver(&bench.action("action")).await.unwrap();
        bench.world.forget_effects();
        bench.drive(&[bench.undo("undo")]).await;
        let dead = bench.inbox.dead_letters();
        assert_eq!(dead.len(), 1, "{bench}");
        let record = dead[0].record.as_ref().unwrap();
        assert_eq!(record.error_name, "RecordDamaged");
        assert_eq!(bench.events(), pair.events()[..1], "{bench}");
        assert_eq!(bench.world.answers().len(), 1, "{bench}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_comes_after_its_order_was_completed_is_refused_and_has_no_effect() {
    for pair in Pair::ALL {
        let bench = Bench::new(pair);
        bench.deliver(&bench.action("action")).await.unwrap();
        bench.complete_order();
        let key = format!("{}/{}", bench.order, pair.action());
        let record = bench.world.record(&key);
        bench.deliver(&bench.undo("late")).await.unwrap();
        bench.check_failure("late", saga::ORDER_COMPLETED);
        assert_eq!(bench.world.record(&key), record, "{bench}");
        assert_eq!(
            bench.world.effects(bench.order),
            pair.effects()[..pair.effects().len().min(1)],
            "{bench}"
        );
        assert_eq!(
            bench.events(),
            [pair.events()[0], EventKind::OrderCompleted],
            "{bench}"
        );
        assert_eq!(
            bench.world.status(bench.order),
            Some(OrderStatus::Completed),
            "{bench}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_undo_waits_while_its_order_is_being_completed() {
    for pair in Pair::ALL {
        let bench = Bench::new(pair);
        bench.deliver(&bench.action("action")).await.unwrap();
        bench.world.announce_completion(bench.order);
        let waits = bench.deliver(&bench.undo("undo")).await.unwrap_err();
        assert!(matches!(waits, StepError::Completing { .. }), "{waits:?}");
        bench.check(Progress::Done);
        bench.complete_order();
        bench.deliver(&bench.undo("undo")).await.unwrap();
        bench.check_failure("undo", saga::ORDER_COMPLETED);
    }
}

#[tokio::test(start_paused = true)]
async fn an_undo_whose_order_is_completed_while_it_is_claimed_has_no_effect() {
    for pair in Pair::ALL {
        let bench = Bench::new(pair);
        bench.deliver(&bench.action("action")).await.unwrap();
        let between = match pair {
            Pair::Stock => Operation::GetRecord,
            Pair::Payment | Pair::Shipping => Operation::BeginUndo,
        };
        let pause = Duration::from_secs(1);
        bench.world.fail(between, 0, Fault::Delay(pause));
        let undo = bench.undo("undo");
        let completed = async {
            tokio::time::sleep(pause / 2).await;
            bench.complete_order();
        };
        let (undone, ()) = tokio::join!(bench.deliver(&undo), completed);
        // The stock's transaction is refused; then the order is looked at again.
        if undone.is_err() {
            bench.deliver(&undo).await.unwrap();
        }
        bench.check_failure("undo", saga::ORDER_COMPLETED);
        assert_eq!(
            bench.events(),
            [pair.events()[0], EventKind::OrderCompleted],
            "{bench}"
        );
        assert_eq!(bench.mugs(), pair.mugs_when_done(), "{bench}");
    }
}
