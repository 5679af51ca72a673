//! Two deliveries at once: who waits, who takes over, and whose outcome counts.

use std::time::Duration;

use contracts::saga;
use message_worker::{Class, Classify};
use saga_step::{LEASE, PROVIDER_TIME_LIMIT, StepError};
use serde_json::Value;
use testkit::{Fault, Operation};
use tokio::time::sleep;

use crate::bench::{Bench, Pair, Progress};

/// Longer than any lease.
const LONG: Duration = LEASE.saturating_mul(2);

/// When the lease of a delivery at the beginning has ended.
async fn after_the_lease() {
    sleep(LEASE).await;
}

#[tokio::test(start_paused = true)]
async fn of_two_deliveries_at_once_one_waits_and_there_is_one_effect() {
    for pair in Pair::ALL {
        let bench = Bench::new(pair);
        bench
            .drive(&[bench.action("first"), bench.action("second")])
            .await;
        bench.check(Progress::Done);
        bench.check_nothing_parked();
        assert_eq!(bench.answer_to("first"), bench.answer_to("second"));
        let waited = bench.inbox.had("deferred", "ClaimHeld");
        // The stock's commit is its claim, so that there is nothing to wait for.
        assert_eq!(waited, pair != Pair::Stock, "{bench}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_undos_at_once_one_waits_and_there_is_one_effect() {
    for pair in Pair::ALL {
        let bench = Bench::new(pair);
        bench.drive(&[bench.action("action")]).await;
        bench
            .drive(&[bench.undo("first"), bench.undo("second")])
            .await;
        bench.check(Progress::Undone);
        bench.check_nothing_parked();
        assert_eq!(bench.answer_to("first"), bench.answer_to("second"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_action_and_its_undo_at_once_end_with_nothing_done() {
    for pair in Pair::ALL {
        let bench = Bench::new(pair);
        bench
            .drive(&[bench.action("action"), bench.undo("undo")])
            .await;
        bench.check_nothing_parked();
        bench.check_success("undo");
        bench.check_mugs_untouched();
        let effects = bench.world.effects(bench.order);
        assert!(effects.is_empty() || effects == pair.effects(), "{bench}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_holds_no_claim_is_told_how_long_to_wait() {
    for pair in Pair::CLAIMED {
        let bench = Bench::new(pair);
        bench.world.fail(Operation::Commit, 0, Fault::Delay(LONG));
        let (first, second) = (bench.action("first"), bench.undo("undo"));
        let early = async {
            sleep(Duration::from_secs(5)).await;
            bench.deliver(&second).await.unwrap_err()
        };
        let (_, error) = tokio::join!(bench.deliver(&first), early);
        let wait = LEASE.saturating_sub(Duration::from_secs(5));
        assert_eq!(
            error.class(),
            Class::Deferred {
                delay: Some(wait),
                fresh: false
            }
        );
        assert_eq!(error.name(), "ClaimHeld");
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_was_taken_over_commits_nothing() {
    for pair in Pair::CLAIMED {
        let bench = Bench::new(pair);
        bench.world.fail(Operation::Commit, 0, Fault::Delay(LONG));
        let (first, second) = (bench.action("first"), bench.action("second"));
        let taking_over = async {
            after_the_lease().await;
            bench.deliver(&second).await
        };
        let (overtaken, done) = tokio::join!(bench.deliver(&first), taking_over);
        done.unwrap();
        assert!(matches!(overtaken, Err(StepError::Superseded)), "{bench}");
        bench.check(Progress::Done);
        bench.check_success("second");
        assert_eq!(bench.world.answers().len(), 1, "{bench}");

        bench.deliver(&first).await.unwrap();
        bench.check(Progress::Done);
        assert_eq!(bench.answer_to("first"), bench.answer_to("second"));
    }
}

/// The first one wants to commit when the second one has the claim and has not
/// yet committed.
async fn check_overtaken(bench: &Bench, commit: Operation, first: Value, second: Value) {
    for number in 0..2 {
        bench.world.fail(commit, number, Fault::Delay(LONG));
    }
    let taking_over = async {
        after_the_lease().await;
        bench.deliver(&second).await
    };
    let (overtaken, done) = tokio::join!(bench.deliver(&first), taking_over);
    assert!(matches!(overtaken, Err(StepError::Superseded)), "{bench}");
    done.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_was_overtaken_commits_nothing_also_while_the_new_owner_is_at_work() {
    for pair in Pair::CLAIMED {
        let bench = Bench::new(pair);
        let [first, second] = ["first", "second"].map(|token| bench.action(token));
        check_overtaken(&bench, Operation::Commit, first, second).await;
        bench.check(Progress::Done);
        let [first, second] = ["first-undo", "second-undo"].map(|token| bench.undo(token));
        check_overtaken(&bench, Operation::CommitUndo, first, second).await;
        bench.check(Progress::Undone);
    }
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_was_taken_over_commits_nothing() {
    for pair in Pair::CLAIMED {
        let bench = Bench::new(pair);
        bench.deliver(&bench.action("action")).await.unwrap();
        bench
            .world
            .fail(Operation::CommitUndo, 0, Fault::Delay(LONG));
        let (first, second) = (bench.undo("first"), bench.undo("second"));
        let taking_over = async {
            after_the_lease().await;
            bench.deliver(&second).await
        };
        let (overtaken, done) = tokio::join!(bench.deliver(&first), taking_over);
        done.unwrap();
        assert!(matches!(overtaken, Err(StepError::Superseded)), "{bench}");
        bench.check(Progress::Undone);
    }
}

#[tokio::test(start_paused = true)]
async fn an_action_that_its_undo_overtook_commits_nothing() {
    for pair in Pair::CLAIMED {
        let bench = Bench::new(pair);
        bench.world.fail(Operation::Commit, 0, Fault::Delay(LONG));
        let (action, undo) = (bench.action("action"), bench.undo("undo"));
        let overtaking = async {
            after_the_lease().await;
            bench.deliver(&undo).await
        };
        let (overtaken, done) = tokio::join!(bench.deliver(&action), overtaking);
        done.unwrap();
        assert!(matches!(overtaken, Err(StepError::Superseded)), "{bench}");
        assert_eq!(bench.world.effects(bench.order), pair.effects(), "{bench}");
        assert_eq!(bench.events(), pair.events()[1..], "{bench}");
        bench.check_mugs_untouched();

        bench.deliver(&action).await.unwrap();
        bench.check_failure("action", saga::ALREADY_UNDONE);
        assert_eq!(bench.world.effects(bench.order), pair.effects(), "{bench}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reservation_that_comes_second_answers_what_the_first_one_recorded() {
    let bench = Bench::new(Pair::Stock);
    bench
        .world
        .fail(Operation::CommitAtOnce, 0, Fault::Delay(LONG));
    let (slow, quick) = (bench.action("slow"), bench.action("quick"));
    let (first, second) = tokio::join!(bench.deliver(&slow), bench.deliver(&quick));
    first.unwrap();
    second.unwrap();
    bench.check(Progress::Done);
    assert_eq!(bench.answer_to("slow"), bench.answer_to("quick"));
}

#[tokio::test(start_paused = true)]
async fn a_reservation_that_comes_between_the_look_and_the_tombstone_is_released() {
    let bench = Bench::new(Pair::Stock);
    bench.world.fail(Operation::Bury, 0, Fault::Delay(LONG));
    let (undo, action) = (bench.undo("undo"), bench.action("action"));
    let between = async {
        sleep(Duration::from_secs(1)).await;
        bench.deliver(&action).await
    };
    let (refused, done) = tokio::join!(bench.deliver(&undo), between);
    done.unwrap();
    assert_eq!(refused.unwrap_err().class(), Class::Transient);
    bench.check(Progress::Done);
    bench.deliver(&undo).await.unwrap();
    bench.check(Progress::Undone);
    bench.check_success("undo");
}

#[tokio::test(start_paused = true)]
async fn an_outside_party_that_takes_too_long_may_still_be_at_it_so_that_nobody_overtakes_it() {
    for (pair, effect) in [
        (Pair::Payment, Operation::Charge),
        (Pair::Shipping, Operation::Ship),
    ] {
        let bench = Bench::new(pair);
        bench.world.fail(effect, 0, Fault::SilenceAfter);
        let (action, undo) = (bench.action("action"), bench.undo("undo"));
        let asked_at = tokio::time::Instant::now();
        let error = bench.deliver(&action).await.unwrap_err();
        assert_eq!(error.class(), Class::Ambiguous);
        assert_eq!(asked_at.elapsed(), PROVIDER_TIME_LIMIT);

        for body in [&action, &undo] {
            let error = bench.deliver(body).await.unwrap_err();
            assert_eq!(error.name(), "ClaimHeld", "{bench}");
        }
        sleep(LEASE - PROVIDER_TIME_LIMIT).await;
        bench.deliver(&undo).await.unwrap();
        assert_eq!(bench.world.effects(bench.order), pair.effects(), "{bench}");
        bench.deliver(&action).await.unwrap();
        bench.check_failure("action", saga::ALREADY_UNDONE);
        assert_eq!(bench.world.effects(bench.order), pair.effects(), "{bench}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outside_party_that_certainly_did_nothing_can_be_asked_again_at_once() {
    for (pair, action, undo) in [
        (Pair::Payment, Operation::Charge, Operation::Refund),
        (Pair::Shipping, Operation::Ship, Operation::Cancel),
    ] {
        let bench = Bench::new(pair);
        for (operation, body) in [(action, bench.action("action")), (undo, bench.undo("undo"))] {
            bench.world.fail(operation, 0, Fault::ErrorBefore);
            let error = bench.deliver(&body).await.unwrap_err();
            assert_eq!(error.class(), Class::Transient);
            bench.deliver(&body).await.unwrap();
        }
        bench.check(Progress::Undone);
    }
}

#[tokio::test(start_paused = true)]
async fn without_time_left_nothing_is_begun() {
    for pair in Pair::ALL {
        let bench = Bench::new(pair);
        let action = bench.action("t");
        let late = bench.deliver_within(Duration::ZERO, &action).await;
        let error = late.unwrap_err();
        assert_eq!(
            error.class(),
            Class::Deferred {
                delay: None,
                fresh: false
            }
        );
        assert_eq!(bench.world.calls(), [], "{bench}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_the_end_of_the_invocation_would_cut_off_is_not_begun() {
    for pair in Pair::CLAIMED {
        let bench = Bench::new(pair);
        let too_short = PROVIDER_TIME_LIMIT - Duration::from_millis(1);
        let action = bench.action("t");
        let late = bench.deliver_within(too_short, &action).await;
        let error = late.unwrap_err();
        assert_eq!(
            error.class(),
            Class::Deferred {
                delay: None,
                fresh: false
            }
        );
        bench.check(Progress::Untouched);
        let on_time = bench.deliver_within(PROVIDER_TIME_LIMIT, &action).await;
        on_time.unwrap();
        bench.check(Progress::Done);
    }
}
