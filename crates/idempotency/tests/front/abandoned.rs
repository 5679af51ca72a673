//! What a person can do about an attempt that vanished.

use idempotency::{Abandoned, OnAbandoned, Outcome, ResultJson, RunError, StoreError};
use tokio::time::sleep;

use crate::bench::{DEADLINE, MailServerDown, Runner, at, key, runner, seconds, send, vanish};

/// An operation that waits for a person since the fifth second, and the time is
/// the tenth.
async fn blocked() -> (Runner, Abandoned) {
    let careful = runner().with_on_abandoned(OnAbandoned::Block);
    vanish(&careful, at(5_000)).await;
    sleep(seconds(10)).await;
    let refused = send(&careful, DEADLINE, 2).await;
    assert!(matches!(refused, Err(RunError::Abandoned)), "{refused:?}");
    let found = find(&careful).await.unwrap();
    (careful, found)
}

async fn find(runner: &Runner) -> Option<Abandoned> {
    let now = at(10_000);
    Abandoned::find(runner.store(), &key(), now).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_operation_says_since_when_it_waits() {
    let (_, abandoned) = blocked().await;
    assert_eq!((abandoned.since(), abandoned.is_undo()), (at(5_000), false));
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_operation_runs_again_once_a_person_says_so() {
    let (careful, abandoned) = blocked().await;
    abandoned.retry(careful.store()).await.unwrap();
    assert_eq!(find(&careful).await, None);
    assert_eq!(send(&careful, DEADLINE, 2).await.unwrap(), Outcome::Ran(2));
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_operation_that_took_effect_is_settled_with_its_result() {
    let (careful, abandoned) = blocked().await;
    let result = ResultJson::encode(&7).unwrap();
    abandoned.settle(careful.store(), &result).await.unwrap();
    assert_eq!(
        send(&careful, DEADLINE, 2).await.unwrap(),
        Outcome::Replayed(7)
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_changed_if_another_attempt_took_over_meanwhile() {
    let (careful, abandoned) = blocked().await;
    let hasty = careful.clone().with_on_abandoned(OnAbandoned::Retry);
    vanish(&hasty, at(20_000)).await;
    let late = abandoned.retry(careful.store()).await;
    assert!(matches!(late, Err(StoreError::Superseded(_))), "{late:?}");
    let result = ResultJson::encode(&7).unwrap();
    let late = abandoned.settle(careful.store(), &result).await;
    assert!(matches!(late, Err(StoreError::Superseded(_))), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_undo_is_found_and_retried_or_settled() {
    for settle in [false, true] {
        let careful = runner().with_on_abandoned(OnAbandoned::Block);
        let fails = |_| async { Err::<u32, _>(MailServerDown) };
        let failed = careful.undo(key(), &"undo", at(5_000), fails).await;
        assert!(matches!(failed, Err(RunError::Work(_))), "{failed:?}");
        let abandoned = find(&careful).await.unwrap();
        assert_eq!((abandoned.since(), abandoned.is_undo()), (at(5_000), true));
        let expected = if settle {
            let result = ResultJson::encode(&7).unwrap();
            abandoned.settle(careful.store(), &result).await.unwrap();
            Outcome::Replayed(7)
        } else {
            abandoned.retry(careful.store()).await.unwrap();
            Outcome::Ran(8)
        };
        let works = |_| async { Ok::<u32, MailServerDown>(8) };
        let undone = careful.undo(key(), &"undo", DEADLINE, works).await;
        assert_eq!(undone.unwrap(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn what_runs_is_done_was_given_back_or_is_forgotten_waits_for_nobody() {
    let running = runner();
    vanish(&running, DEADLINE).await;
    assert_eq!(find(&running).await, None, "running");

    let done = runner();
    send(&done, DEADLINE, 1).await.unwrap();
    assert_eq!(find(&done).await, None, "done");

    let given_back = runner();
    let fails = |_| async { Err::<u32, _>(MailServerDown) };
    let failed = given_back.run(key(), &"hello", DEADLINE, fails).await;
    assert!(matches!(failed, Err(RunError::Work(_))), "{failed:?}");
    assert_eq!(find(&given_back).await, None, "given back");

    let forgotten = runner().with_retention(seconds(5));
    vanish(&forgotten, at(5_000)).await;
    assert_eq!(find(&forgotten).await, None, "forgotten");
    assert_eq!(find(&runner()).await, None, "never begun");
}
