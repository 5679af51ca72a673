//! Messages that must never be carried out, and messages that were given up.

use contracts::saga;
use domain::{Money, Step};
use serde_json::{Value, json};
use testkit::{Fault, Inbox, Operation, fixtures};

use crate::bench::{Bench, Pair, Progress};

/// The message is in quarantine under this error, and did nothing.
#[track_caller]
fn check_quarantined(bench: &Bench, error: &str) {
    assert_eq!(bench.inbox.quarantined(), [error], "{bench}");
    assert_eq!(bench.inbox.dead_letters(), [], "{bench}");
}

#[tokio::test(start_paused = true)]
async fn poison_with_a_readable_token_is_answered_at_once() {
    for pair in Pair::ALL {
        let bench = Bench::new(pair);
        let mut body = bench.action("token");
        body["data"] = json!({ "orderId": bench.order.to_string(), "amount": 0 });
        bench.drive(&[body]).await;
        check_quarantined(&bench, "ContractBroken");
        bench.check_failure("token", saga::BAD_MESSAGE);
        bench.check(Progress::Untouched);
    }
}

#[tokio::test(start_paused = true)]
async fn poison_without_a_token_is_answered_to_nobody() {
    for garbage in [json!({ "hello": "world" }), json!("text"), Value::Null] {
        let bench = Bench::new(Pair::Payment);
        bench.drive(&[garbage]).await;
        check_quarantined(&bench, "NotAnEnvelope");
        assert_eq!(bench.world.calls(), [], "{bench}");
    }
}

#[tokio::test(start_paused = true)]
async fn poison_is_safe_in_quarantine_also_where_the_saga_cannot_be_told() {
    let bench = Bench::new(Pair::Payment);
    bench.world.fail(Operation::Answer, 0, Fault::ErrorBefore);
    let mut body = bench.action("token");
    body["type"] = json!("waybill.payment.charge.v2");
    bench.drive(&[body]).await;
    check_quarantined(&bench, "UnknownVersion");
}

#[tokio::test(start_paused = true)]
async fn a_command_of_another_worker_is_poison_on_this_queue() {
    let mut strangers = 0;
    for pair in Pair::ALL {
        for step in Step::ALL
            .into_iter()
            .filter(|s| s.action() != pair.action())
        {
            let bench = Bench::new(pair);
            bench
                .drive(&[fixtures::command(bench.order, step, "token")])
                .await;
            check_quarantined(&bench, "UnknownType");
            assert_eq!(
                bench.world.calls(),
                [],
                "its own worker answers it; {bench}"
            );
            strangers += 1;
        }
    }
    assert_eq!(strangers, 12);
}

#[tokio::test(start_paused = true)]
async fn an_event_is_poison_on_a_queue_of_commands() {
    let bench = Bench::new(Pair::Stock);
    let placed = contracts::Event::OrderPlaced(fixtures::new_order());
    bench
        .drive(&[fixtures::event(bench.order, &placed, 1)])
        .await;
    check_quarantined(&bench, "UnknownType");
}

#[tokio::test(start_paused = true)]
async fn the_same_id_with_other_data_is_poison() {
    for pair in Pair::ALL {
        let bench = Bench::new(pair);
        bench.drive(&[bench.action("first")]).await;
        bench.drive(&[bench.changed_action("forged")]).await;
        check_quarantined(&bench, "PayloadChanged");
        bench.check_failure("forged", saga::BAD_MESSAGE);
        bench.check_success("first");
        bench.check(Progress::Done);
    }
}

#[tokio::test(start_paused = true)]
async fn an_undo_with_other_data_is_poison() {
    for pair in Pair::ALL {
        let bench = Bench::new(pair);
        bench.drive(&[bench.action("action")]).await;
        bench.drive(&[bench.undo("undo")]).await;
        let mut changed = bench.undo("forged");
        changed["data"]["note"] = json!("other");
        bench.drive(&[changed]).await;
        check_quarantined(&bench, "PayloadChanged");
        bench.check(Progress::Undone);
    }
}

#[tokio::test(start_paused = true)]
async fn another_time_token_or_trace_is_still_the_same_command() {
    for pair in Pair::ALL {
        let bench = Bench::new(pair);
        bench.drive(&[bench.action("first")]).await;
        let mut again = bench.action("again");
        again["time"] = json!("2026-11-22T00:00:00.000Z");
        again["traceparent"] = json!("00-5759e988bd862e3fe1be46a994272794-53995c3f42cd8ad8-01");
        bench.drive(&[again]).await;
        bench.check_nothing_parked();
        bench.check(Progress::Done);
        bench.check_success("again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_given_up_is_not_answered_so_that_it_can_still_be_replayed() {
    for (pair, effect) in [
        (Pair::Payment, Operation::Charge),
        (Pair::Stock, Operation::CommitAtOnce),
        (Pair::Shipping, Operation::Ship),
    ] {
        let mut bench = Bench::new(pair);
        bench.inbox = Inbox::new(3.try_into().unwrap());
        for attempt in 0..3 {
            bench.world.fail(effect, attempt, Fault::ErrorBefore);
        }
        bench.drive(&[bench.action("token")]).await;
        let dead = bench.inbox.dead_letters();
        assert_eq!(dead.len(), 1, "{bench}");
        let record = dead[0].record.as_ref().unwrap();
        assert_eq!(
            (record.attempts, record.error_class.as_str()),
            (3, "transient")
        );
        assert_eq!(bench.world.answers(), [], "{bench}");
        bench.check(Progress::Untouched);

        let replayed: Value = serde_json::from_str(&dead[0].body).unwrap();
        bench.drive(&[replayed]).await;
        bench.check(Progress::Done);
        bench.check_success("token");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_comes_after_the_saga_gave_up_and_undid_has_no_effect() {
    for pair in Pair::ALL {
        let bench = Bench::new(pair);
        bench.drive(&[bench.undo("undo")]).await;
        bench.world.time_out("token");
        bench.drive(&[bench.action("token")]).await;
        bench.check(Progress::Untouched);
        bench.check_nothing_parked();
    }
}

#[tokio::test(start_paused = true)]
async fn a_flaky_provider_charges_once_in_the_end() {
    for method in ["sandbox_flaky_3", "sandbox_ambiguous"] {
        let bench = Bench::new(Pair::Payment);
        let mut body = bench.action("token");
        body["data"]["method"] = json!(method);
        bench.drive(&[body]).await;
        bench.check(Progress::Done);
        bench.check_nothing_parked();
        bench.check_success("token");
        let money = bench.world.ledger()[0]
            .money
            .map(|Money { amount, .. }| amount);
        assert_eq!(money, Some(2500));
    }
}
