//! `Idempotency::run`.

use std::convert::Infallible;
use std::time::Duration;

use idempotency::{
    Clock, Fingerprint, Idempotency, InvalidResult, ManualClock, MemoryStore, OnAbandoned, Outcome,
    ResultJson, RunError, Store,
};

use crate::bench::{DEADLINE, MailServerDown, NOW, key};

struct Bench {
    clock: ManualClock,
    store: MemoryStore,
    runner: Idempotency<MemoryStore, ManualClock>,
}

fn bench() -> Bench {
    let clock = ManualClock::at(NOW);
    let store = MemoryStore::default();
    let runner = Idempotency::new(store.clone()).with_clock(clock.clone());
    Bench {
        clock,
        store,
        runner,
    }
}

impl Bench {
    async fn send(
        &self,
        payload: &str,
        answer: Result<u32, MailServerDown>,
    ) -> Result<Outcome<u32>, RunError<MailServerDown>> {
        self.runner
            .run(key(), &payload, DEADLINE, |_| async { answer })
            .await
    }

    /// An attempt that claims the operation and is never heard of again.
    async fn vanish(&self) {
        let lost = self.runner.run(key(), &"hello", DEADLINE, |_| {
            std::future::pending::<Result<u32, Infallible>>()
        });
        assert!(
            tokio::time::timeout(Duration::from_millis(1), lost)
                .await
                .is_err()
        );
    }
}

#[tokio::test]
async fn the_second_of_two_equal_runs_gets_the_result_of_the_first() {
    let bench = bench();
    assert_eq!(bench.send("hello", Ok(1)).await.unwrap(), Outcome::Ran(1));
    assert_eq!(
        bench.send("hello", Ok(2)).await.unwrap(),
        Outcome::Replayed(1)
    );
}

#[tokio::test]
async fn another_payload_under_the_same_key_is_refused() {
    let bench = bench();
    bench.send("hello", Ok(1)).await.unwrap();
    let answer = bench.send("good bye", Ok(2)).await;
    assert!(
        matches!(answer, Err(RunError::FingerprintMismatch)),
        "{answer:?}"
    );
}

#[tokio::test]
async fn failed_work_is_given_back_and_runs_again_at_once() {
    let bench = bench();
    let answer = bench.send("hello", Err(MailServerDown)).await;
    assert!(
        matches!(answer, Err(RunError::Work(MailServerDown))),
        "{answer:?}"
    );
    assert_eq!(bench.send("hello", Ok(2)).await.unwrap(), Outcome::Ran(2));
}

#[tokio::test]
async fn work_that_vanished_is_in_progress_until_its_deadline_and_then_runs_again() {
    let bench = bench();
    bench.vanish().await;
    let answer = bench.send("hello", Ok(2)).await;
    assert!(
        matches!(answer, Err(RunError::InProgress { until: DEADLINE })),
        "{answer:?}"
    );
    bench.clock.advance(Duration::from_secs(30));
    let late = bench.send("hello", Ok(2)).await;
    assert!(matches!(late, Err(RunError::NoTimeLeft(_))), "{late:?}");
    let deadline = bench.clock.now().plus(Duration::from_secs(30));
    let takeover =
        |started: idempotency::Started| async move { Ok::<_, Infallible>(started.takeover) };
    let answer = bench
        .runner
        .run(key(), &"hello", deadline, takeover)
        .await
        .unwrap();
    assert_eq!(answer, Outcome::Ran(true));
}

#[tokio::test]
async fn work_that_vanished_is_left_to_a_person_if_so_chosen() {
    let bench = bench();
    bench.vanish().await;
    bench.clock.advance(Duration::from_secs(30));
    let deadline = bench.clock.now().plus(Duration::from_secs(30));
    let careful = bench.runner.clone().with_on_abandoned(OnAbandoned::Block);
    let work = |_| async { Ok::<_, Infallible>(2) };
    let answer = careful.run(key(), &"hello", deadline, work).await;
    assert!(matches!(answer, Err(RunError::Abandoned)), "{answer:?}");
}

#[tokio::test]
async fn a_record_is_forgotten_after_its_retention() {
    let bench = bench();
    let retention = Duration::from_secs(60);
    let runner = bench.runner.clone().with_retention(retention);
    let work = |value| async move { Ok::<_, Infallible>(value) };
    let first = runner
        .run(key(), &"hello", DEADLINE, |_| work(1))
        .await
        .unwrap();
    bench.clock.advance(retention);
    let deadline = bench.clock.now().plus(Duration::from_secs(30));
    let second = runner
        .run(key(), &"hello", deadline, |_| work(2))
        .await
        .unwrap();
    assert_eq!((first, second), (Outcome::Ran(1), Outcome::Ran(2)));
}

#[tokio::test]
async fn a_result_too_large_to_store_is_an_error_and_keeps_the_claim() {
    let bench = bench();
    let huge = |_| async { Ok::<_, Infallible>("x".repeat(ResultJson::DEFAULT_LIMIT)) };
    let answer = bench.runner.run(key(), &"hello", DEADLINE, huge).await;
    assert!(
        matches!(
            answer,
            Err(RunError::Result(InvalidResult::TooLarge { .. }))
        ),
        "{answer:?}"
    );
    let again = bench.send("hello", Ok(2)).await;
    assert!(
        matches!(again, Err(RunError::InProgress { .. })),
        "{again:?}"
    );
}

#[tokio::test]
async fn the_limit_for_results_can_be_chosen() {
    let runner = bench().runner.with_result_limit(5);
    let work = |text: &'static str| async move { Ok::<_, Infallible>(text.to_owned()) };
    let short = runner.run(key(), &"hello", DEADLINE, |_| work("abc")).await;
    assert_eq!(short.unwrap().into_inner(), "abc");
    let other = idempotency::Key::new("other").unwrap();
    let long = runner
        .run(other, &"hello", DEADLINE, |_| work("abcd"))
        .await;
    let error = std::error::Error::source(&long.unwrap_err())
        .unwrap()
        .to_string();
    assert_eq!(error, "the result has 6 bytes, more than the limit of 5");
}

#[tokio::test]
async fn work_that_failed_waits_for_a_person_if_so_chosen() {
    let bench = bench();
    let careful = bench.runner.clone().with_on_abandoned(OnAbandoned::Block);
    let fails = |_| async { Err::<u32, _>(MailServerDown) };
    let answer = careful.run(key(), &"hello", DEADLINE, fails).await;
    assert!(matches!(answer, Err(RunError::Work(_))), "{answer:?}");
    let answer = careful.run(key(), &"hello", DEADLINE, fails).await;
    assert!(
        matches!(answer, Err(RunError::InProgress { until: DEADLINE })),
        "{answer:?}"
    );
    bench.clock.advance(Duration::from_secs(30));
    let deadline = bench.clock.now().plus(Duration::from_secs(30));
    let answer = careful.run(key(), &"hello", deadline, fails).await;
    assert!(matches!(answer, Err(RunError::Abandoned)), "{answer:?}");
}

#[tokio::test]
async fn work_that_knows_that_nothing_happened_gives_the_claim_back_itself() {
    let bench = bench();
    let careful = bench.runner.clone().with_on_abandoned(OnAbandoned::Block);
    let store = bench.store.clone();
    let refused = |started: idempotency::Started| async move {
        store.release(&started).await.unwrap();
        Err::<u32, _>(MailServerDown)
    };
    careful
        .run(key(), &"hello", DEADLINE, refused)
        .await
        .unwrap_err();
    let works = |_| async { Ok::<_, Infallible>(2) };
    let answer = careful.run(key(), &"hello", DEADLINE, works).await;
    assert_eq!(answer.unwrap(), Outcome::Ran(2));
}

#[tokio::test]
async fn an_operation_that_was_undone_does_not_run() {
    let bench = bench();
    let lease = idempotency::Lease::until_deadline(NOW, DEADLINE).unwrap();
    let retention = Duration::from_secs(60);
    let undo = idempotency::Claim::new(key(), Fingerprint::of("undo"), lease, retention);
    bench.store.begin_undo(&undo).await.unwrap();
    let answer = bench.send("hello", Ok(1)).await;
    assert!(matches!(answer, Err(RunError::Undone)), "{answer:?}");
}

#[tokio::test]
async fn a_run_can_be_spawned() {
    let bench = bench();
    let run = async move { bench.send("hello", Ok(1)).await.unwrap().into_inner() };
    assert_eq!(tokio::spawn(run).await.unwrap(), 1);
}
