//! Work that is longer than its lease.

use std::sync::Arc;
use std::time::Duration;

use idempotency::{
    BeginUndo, Claim, Clock, Fingerprint, Lease, LeaseLost, Millis, Outcome, Renewal, RunError,
    Started, Store, StoreError, keep_alive,
};
use tokio::time::{Instant, sleep, timeout};

use crate::bench::{MailServerDown, Runner, Sent, TokioClock, at, key, runner, seconds, send};

/// A deadline that no renewal meets by chance.
const RENEWAL: Renewal = Renewal {
    lease: Duration::from_secs(3),
    deadline: Millis::new(1_060_500),
};

/// Work that takes a time, and shows by its hold on `alive` whether it goes on.
async fn work_for(time: Duration, alive: Arc<()>) -> Result<u32, MailServerDown> {
    sleep(time).await;
    drop(alive);
    Ok(1)
}

async fn run_for(runner: &Runner, time: Duration, alive: &Arc<()>) -> Sent {
    let work = |_| work_for(time, Arc::clone(alive));
    runner.run_renewing(key(), &"hello", RENEWAL, work).await
}

#[tokio::test(start_paused = true)]
async fn long_work_holds_its_claim_by_renewing_it() {
    let runner = runner();
    let alive = Arc::default();
    let other = async {
        sleep(Duration::from_millis(9_500)).await;
        send(&runner, at(20_000), 2).await
    };
    let (done, other) = tokio::join!(run_for(&runner, seconds(10), &alive), other);
    assert_eq!(done.unwrap(), Outcome::Ran(1));
    let Err(RunError::InProgress { until }) = other else {
        panic!("{other:?}");
    };
    assert!((at(10_000)..=at(12_500)).contains(&until), "{until:?}");
    assert_eq!(
        send(&runner, at(20_000), 2).await.unwrap(),
        Outcome::Replayed(1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_renewal_costs_a_request_for_each_third_of_the_lease() {
    let runner = runner();
    run_for(&runner, Duration::from_millis(5_500), &Arc::default())
        .await
        .unwrap();
    let begin_and_complete = 2;
    assert_eq!(runner.store().requests(), begin_and_complete + 5);
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_others_wait_for_the_rest_of_one_lease() {
    let runner = runner();
    let alive = Arc::default();
    let crash = timeout(seconds(10), run_for(&runner, seconds(50), &alive));
    assert!(crash.await.is_err());
    let Err(RunError::InProgress { until }) = send(&runner, at(20_000), 2).await else {
        panic!("nobody holds the claim");
    };
    assert!(until <= at(13_000), "{until:?}");
    sleep(seconds(3)).await;
    assert_eq!(send(&runner, at(20_000), 2).await.unwrap(), Outcome::Ran(2));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_once_is_made_up_for_by_the_next() {
    let runner = runner();
    runner.store().fail_renewals(1);
    let done = run_for(&runner, seconds(10), &Arc::default()).await;
    assert_eq!(done.unwrap(), Outcome::Ran(1));
}

#[tokio::test(start_paused = true)]
async fn work_whose_claim_cannot_be_renewed_is_stopped_before_another_may_begin() {
    let runner = runner();
    runner.store().fail_renewals(usize::MAX);
    let alive = Arc::default();
    let begun = Instant::now();
    let lost = run_for(&runner, seconds(10), &alive).await;
    assert!(
        matches!(
            lost,
            Err(RunError::LeaseLost(LeaseLost::Store(
                StoreError::Unavailable(_)
            )))
        ),
        "{lost:?}"
    );
    assert_eq!(Arc::strong_count(&alive), 1, "the work goes on");
    assert!(begun.elapsed() <= Duration::from_millis(3_001));
    let taken_over = send(&runner, at(20_000), 2).await;
    assert_eq!(taken_over.unwrap(), Outcome::Ran(2));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_does_not_prolong_the_lease() {
    let runner = runner();
    runner.store().hang_renewals();
    let begun = Instant::now();
    let lost = run_for(&runner, seconds(10), &Arc::default()).await;
    assert!(matches!(lost, Err(RunError::LeaseLost(_))), "{lost:?}");
    assert!(begun.elapsed() <= Duration::from_millis(3_001));
}

#[tokio::test(start_paused = true)]
async fn work_whose_claim_was_given_back_is_stopped() {
    let runner = runner();
    let alive: Arc<()> = Arc::default();
    let work = |started: Started| {
        let (runner, alive) = (&runner, Arc::clone(&alive));
        async move {
            runner.store().release(&started).await.unwrap();
            work_for(seconds(10), alive).await
        }
    };
    let lost = runner.run_renewing(key(), &"hello", RENEWAL, work).await;
    assert!(
        matches!(
            lost,
            Err(RunError::LeaseLost(LeaseLost::Store(
                StoreError::Superseded(_)
            )))
        ),
        "{lost:?}"
    );
    assert_eq!(Arc::strong_count(&alive), 1, "the work goes on");
}

#[tokio::test(start_paused = true)]
async fn no_claim_is_held_beyond_the_deadline() {
    let runner = runner();
    let alive = Arc::default();
    let begun = Instant::now();
    let lost = run_for(&runner, seconds(100), &alive).await;
    assert!(
        matches!(lost, Err(RunError::LeaseLost(LeaseLost::Deadline))),
        "{lost:?}"
    );
    assert_eq!(Arc::strong_count(&alive), 1, "the work goes on");
    assert!(begun.elapsed() <= Duration::from_millis(60_501));
    let taken_over = send(&runner, at(70_000), 2).await;
    assert_eq!(taken_over.unwrap(), Outcome::Ran(2));
}

#[tokio::test(start_paused = true)]
async fn long_work_that_was_done_before_is_not_done_again() {
    let runner = runner();
    send(&runner, at(20_000), 7).await.unwrap();
    let again = run_for(&runner, seconds(10), &Arc::default()).await;
    assert_eq!(again.unwrap(), Outcome::Replayed(7));
}

#[tokio::test(start_paused = true)]
async fn an_undo_is_held_in_the_same_way() {
    let (store, clock) = (crate::bench::Watched::default(), TokioClock::start());
    let claim = || {
        let lease = Lease::until_deadline(clock.now(), clock.now().plus(seconds(3))).unwrap();
        Claim::new(key(), Fingerprint::of("good bye"), lease, seconds(3_600))
    };
    let BeginUndo::Start(started) = store.begin_undo(&claim()).await.unwrap() else {
        panic!("it is undone already");
    };
    let other = async {
        sleep(Duration::from_millis(9_500)).await;
        store.begin_undo(&claim()).await.unwrap()
    };
    let undo = keep_alive(&store, &clock, &started, RENEWAL, sleep(seconds(10)));
    let (undone, other) = tokio::join!(undo, other);
    undone.unwrap();
    assert!(matches!(other, BeginUndo::InProgress { .. }), "{other:?}");
}

#[tokio::test]
async fn a_renewing_run_can_be_spawned() {
    let runner = runner();
    let run = async move {
        let work = |_| async { Ok::<u32, MailServerDown>(1) };
        runner.run_renewing(key(), &"hello", RENEWAL, work).await
    };
    assert_eq!(tokio::spawn(run).await.unwrap().unwrap(), Outcome::Ran(1));
}
