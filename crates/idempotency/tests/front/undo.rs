//! `Idempotency::undo`.

use idempotency::{ActionOutcome, Millis, Outcome, RunError, UndoStarted};

use crate::bench::{DEADLINE, MailServerDown, Runner, Sent, key, runner, send};

/// Undoes with an answer, and says what there was to undo.
async fn undo(
    runner: &Runner,
    deadline: Millis,
    answer: Result<u32, MailServerDown>,
) -> (Sent, Option<ActionOutcome>) {
    let mut action = None;
    let undo = |started: UndoStarted| {
        action = Some(started.action);
        async { answer }
    };
    let undone = runner.undo(key(), &"good bye", deadline, undo).await;
    (undone, action)
}

#[tokio::test(start_paused = true)]
async fn an_undo_learns_what_was_done_and_happens_once() {
    let runner = runner();
    send(&runner, DEADLINE, 1).await.unwrap();
    let (undone, action) = undo(&runner, DEADLINE, Ok(2)).await;
    assert_eq!(undone.unwrap(), Outcome::Ran(2));
    let Some(ActionOutcome::Completed { result }) = action else {
        panic!("{action:?}");
    };
    assert_eq!(result.decode::<u32>().unwrap(), 1);
    let (again, action) = undo(&runner, DEADLINE, Ok(3)).await;
    assert_eq!((again.unwrap(), action), (Outcome::Replayed(2), None));
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_comes_after_its_undo_is_refused() {
    let runner = runner();
    let (undone, action) = undo(&runner, DEADLINE, Ok(2)).await;
    assert_eq!(undone.unwrap(), Outcome::Ran(2));
    assert_eq!(action, Some(ActionOutcome::NeverRan));
    let late = send(&runner, DEADLINE, 1).await;
    assert!(matches!(late, Err(RunError::Undone)), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_failed_is_given_back_and_runs_again() {
    let runner = runner();
    let (failed, _) = undo(&runner, DEADLINE, Err(MailServerDown)).await;
    assert!(matches!(failed, Err(RunError::Work(_))), "{failed:?}");
    let (undone, _) = undo(&runner, DEADLINE, Ok(2)).await;
    assert_eq!(undone.unwrap(), Outcome::Ran(2));
}

#[tokio::test(start_paused = true)]
async fn an_undo_with_another_payload_is_refused() {
    let runner = runner();
    undo(&runner, DEADLINE, Ok(2)).await.0.unwrap();
    let work = |_| async { Ok::<u32, MailServerDown>(3) };
    let other = runner.undo(key(), &"other", DEADLINE, work).await;
    assert!(
        matches!(other, Err(RunError::FingerprintMismatch)),
        "{other:?}"
    );
}

#[cfg(feature = "tokio")]
#[tokio::test(start_paused = true)]
async fn an_undo_waits_for_the_operation_that_is_under_way() {
    use crate::bench::{at, seconds};

    let runner = runner().with_wait(idempotency::Wait::at_most(seconds(5)));
    let slow = |_| async {
        tokio::time::sleep(seconds(2)).await;
        Ok::<u32, MailServerDown>(1)
    };
    let (sent, (undone, action)) = tokio::join!(
        runner.run(key(), &"hello", DEADLINE, slow),
        undo(&runner, at(20_000), Ok(2)),
    );
    assert_eq!(sent.unwrap(), Outcome::Ran(1));
    assert_eq!(undone.unwrap(), Outcome::Ran(2));
    assert!(
        matches!(action, Some(ActionOutcome::Completed { .. })),
        "{action:?}"
    );
}
