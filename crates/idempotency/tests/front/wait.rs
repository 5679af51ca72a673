//! Waiting for an attempt that is under way elsewhere.

use std::time::Duration;

use idempotency::{Outcome, RunError, Wait};
use tokio::time::{Instant, sleep};

use crate::bench::{DEADLINE, MailServerDown, at, key, runner, seconds, send, vanish};

#[tokio::test(start_paused = true)]
async fn a_duplicate_waits_for_the_attempt_under_way_and_gets_its_result() {
    let patient = runner().with_wait(Wait::at_most(seconds(5)));
    let slow = |_| async {
        sleep(seconds(2)).await;
        Ok::<u32, MailServerDown>(1)
    };
    let (first, second) = tokio::join!(
        patient.run(key(), &"hello", DEADLINE, slow),
        send(&patient, DEADLINE, 2),
    );
    assert_eq!(first.unwrap(), Outcome::Ran(1));
    assert_eq!(second.unwrap(), Outcome::Replayed(1));
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_waits_no_longer_than_chosen_and_asks_seldom() {
    let patient = runner().with_wait(Wait::at_most(seconds(5)));
    vanish(&patient, DEADLINE).await;
    patient.store().requests();
    let begun = Instant::now();
    let answer = send(&patient, DEADLINE, 2).await;
    assert!(
        matches!(answer, Err(RunError::InProgress { until: DEADLINE })),
        "{answer:?}"
    );
    assert!((seconds(3)..=seconds(5)).contains(&begun.elapsed()));
    let looks = patient.store().requests();
    assert!((6..=16).contains(&looks), "{looks} looks");
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_does_not_wait_unless_so_chosen() {
    let hasty = runner();
    vanish(&hasty, DEADLINE).await;
    hasty.store().requests();
    let answer = send(&hasty, DEADLINE, 2).await;
    assert!(
        matches!(answer, Err(RunError::InProgress { .. })),
        "{answer:?}"
    );
    assert_eq!(hasty.store().requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_takes_over_in_the_moment_in_which_the_other_lease_ends() {
    let patient = runner().with_wait(Wait::at_most(seconds(60)));
    let begun = Instant::now();
    vanish(&patient, at(10_000)).await;
    let answer = send(&patient, at(90_000), 2).await;
    assert_eq!(answer.unwrap(), Outcome::Ran(2));
    let late = begun.elapsed().saturating_sub(seconds(10));
    assert!(
        begun.elapsed() >= seconds(10) && late <= Duration::from_millis(2),
        "{late:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_beyond_the_own_deadline() {
    let patient = runner().with_wait(Wait::at_most(seconds(60)));
    vanish(&patient, at(60_000)).await;
    let begun = Instant::now();
    let answer = send(&patient, at(3_000), 2).await;
    assert!(
        matches!(answer, Err(RunError::InProgress { .. })),
        "{answer:?}"
    );
    assert!(begun.elapsed() < seconds(3));
}

#[tokio::test(start_paused = true)]
async fn another_payload_is_refused_without_waiting() {
    let patient = runner().with_wait(Wait::at_most(seconds(60)));
    vanish(&patient, DEADLINE).await;
    let work = |_| async { Ok::<u32, MailServerDown>(2) };
    let answer = patient.run(key(), &"good bye", DEADLINE, work).await;
    assert!(
        matches!(answer, Err(RunError::FingerprintMismatch)),
        "{answer:?}"
    );
}
