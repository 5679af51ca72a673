//! The cache of completed results within one process.

use std::num::NonZeroUsize;
use std::time::Duration;

use idempotency::{Idempotency, Outcome, RunError};
use tokio::time::sleep;

use crate::bench::{
    DEADLINE, MailServerDown, Runner, TokioClock, at, key, runner, seconds, send, vanish,
};

const MAX_AGE: Duration = Duration::from_secs(10);

fn caching(runner: Runner) -> Runner {
    runner.with_local_cache(NonZeroUsize::new(8).unwrap(), MAX_AGE)
}

/// Two processes on one store, the first of which caches.
fn two_processes() -> (Runner, Runner) {
    let other = runner();
    let here = Idempotency::new(other.store().clone()).with_clock(TokioClock::start());
    (caching(here), other)
}

async fn undo(runner: &Runner) {
    let undo = |_| async { Ok::<u32, MailServerDown>(0) };
    runner.undo(key(), &"undo", DEADLINE, undo).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_of_what_ran_here_costs_no_request() {
    let here = caching(runner());
    assert_eq!(send(&here, DEADLINE, 1).await.unwrap(), Outcome::Ran(1));
    assert_eq!(here.store().requests(), 2);
    let clone = here.clone();
    assert_eq!(
        send(&clone, DEADLINE, 2).await.unwrap(),
        Outcome::Replayed(1)
    );
    assert_eq!(here.store().requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_second_duplicate_of_what_ran_elsewhere_costs_no_request() {
    let (here, other) = two_processes();
    send(&other, DEADLINE, 1).await.unwrap();
    here.store().requests();
    for expected in [1, 0] {
        assert_eq!(
            send(&here, DEADLINE, 2).await.unwrap(),
            Outcome::Replayed(1)
        );
        assert_eq!(here.store().requests(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_cache_each_duplicate_asks_the_store() {
    let here = runner();
    send(&here, DEADLINE, 1).await.unwrap();
    here.store().requests();
    send(&here, DEADLINE, 2).await.unwrap();
    assert_eq!(here.store().requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_never_cached() {
    let here = caching(runner());
    vanish(&here, at(5_000)).await;
    for _ in 0..2 {
        let answer = send(&here, DEADLINE, 2).await;
        assert!(
            matches!(answer, Err(RunError::InProgress { .. })),
            "{answer:?}"
        );
    }
    sleep(seconds(5)).await;
    assert_eq!(send(&here, DEADLINE, 2).await.unwrap(), Outcome::Ran(2));
}

#[tokio::test(start_paused = true)]
async fn failed_work_is_not_cached() {
    let here = caching(runner());
    let fails = |_| async { Err::<u32, _>(MailServerDown) };
    let failed = here.run(key(), &"hello", DEADLINE, fails).await;
    assert!(matches!(failed, Err(RunError::Work(_))), "{failed:?}");
    assert_eq!(send(&here, DEADLINE, 2).await.unwrap(), Outcome::Ran(2));
}

#[tokio::test(start_paused = true)]
async fn another_payload_is_refused_by_the_cache_too() {
    let here = caching(runner());
    send(&here, DEADLINE, 1).await.unwrap();
    here.store().requests();
    let work = |_| async { Ok::<u32, MailServerDown>(2) };
    let answer = here.run(key(), &"good bye", DEADLINE, work).await;
    assert!(
        matches!(answer, Err(RunError::FingerprintMismatch)),
        "{answer:?}"
    );
    assert_eq!(here.store().requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_cached_result_ends_with_its_record_wherever_it_ran() {
    for ran_here in [true, false] {
        let (here, other) = two_processes();
        let retention = seconds(8);
        let first = if ran_here { &here } else { &other };
        let first = first.clone().with_retention(retention);
        send(&first, at(5_000), 1).await.unwrap();
        sleep(retention / 2).await;
        assert_eq!(
            send(&here, DEADLINE, 2).await.unwrap(),
            Outcome::Replayed(1)
        );
        sleep(retention / 2).await;
        assert_eq!(send(&here, DEADLINE, 3).await.unwrap(), Outcome::Ran(3));
    }
}

#[tokio::test(start_paused = true)]
async fn an_undo_through_the_same_cache_is_seen_at_once() {
    let here = caching(runner());
    send(&here, DEADLINE, 1).await.unwrap();
    undo(&here.clone()).await;
    let late = send(&here, DEADLINE, 2).await;
    assert!(matches!(late, Err(RunError::Undone)), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn an_undo_elsewhere_is_seen_after_the_greatest_age() {
    let (here, other) = two_processes();
    send(&here, DEADLINE, 1).await.unwrap();
    undo(&other).await;
    assert_eq!(
        send(&here, DEADLINE, 2).await.unwrap(),
        Outcome::Replayed(1)
    );
    sleep(MAX_AGE).await;
    let late = send(&here, DEADLINE, 2).await;
    assert!(matches!(late, Err(RunError::Undone)), "{late:?}");
}
