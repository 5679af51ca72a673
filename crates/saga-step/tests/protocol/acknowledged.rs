//! What the failure record of a replayed command says became of it.

use std::collections::BTreeMap;

use contracts::saga;
use failures::{
    Actor, Change, FAILURE_ID, Failure, FailureStore, Letter, REPLAY_ID, ReplayId, Status,
};
use message_worker::Attribute;
use serde_json::Value;
use testkit::{VirtualClock, fixtures};

use crate::bench::{Bench, Pair, Progress};

/// A record of this command, which a replay has claimed.
fn claimed(body: &Value) -> Failure {
    let at = fixtures::timestamp(VirtualClock::START);
    let waiting = Failure {
        letter: Letter::new(body.to_string(), BTreeMap::new()),
        ..fixtures::failure("f-1")
    };
    let claim = Change::Claim {
        replay: ReplayId::new("r1"),
        destination: "worker".to_owned(),
        automatic: false,
        again: false,
    };
    let name = "ada".to_owned();
    waiting.after(&claim, &Actor { name, at }).unwrap()
}

/// Replays a command, and gives what its record says then.
async fn outcome_of_replay(bench: &Bench, body: &Value) -> String {
    let record = claimed(body);
    assert!(bench.world.create(&record).await.unwrap());
    let names = [(FAILURE_ID, "f-1"), (REPLAY_ID, "r1")];
    let names = names.map(|(name, id)| (name.to_owned(), Attribute::text(id)));
    bench.deliver_replayed(body, names.into()).await;
    let stored = bench.world.failure(&record.id).unwrap();
    assert_eq!(stored.status, Status::Resolved, "{bench}");
    stored.resolution.unwrap().outcome
}

#[tokio::test(start_paused = true)]
async fn a_replayed_command_that_still_counts_is_done_and_told() {
    for pair in Pair::ALL {
        let bench = Bench::new(pair);
        let outcome = outcome_of_replay(&bench, &bench.action("token")).await;
        assert_eq!(outcome, "done; the saga was told");
        bench.check(Progress::Done);
    }
}

#[tokio::test(start_paused = true)]
async fn a_replayed_action_whose_step_was_undone_is_refused_and_its_record_says_so() {
    for pair in Pair::ALL {
        let bench = Bench::new(pair);
        bench.deliver(&bench.undo("undo")).await.unwrap();
        bench.world.time_out("late");
        let outcome = outcome_of_replay(&bench, &bench.action("late")).await;
        let refused = saga::ALREADY_UNDONE;
        let expected = format!("refused: {refused}; nobody waited for the answer");
        assert_eq!(outcome, expected);
        bench.check(Progress::Untouched);
    }
}

#[tokio::test(start_paused = true)]
async fn a_replayed_action_of_an_order_that_has_ended_is_refused_and_its_record_says_so() {
    for pair in Pair::ALL {
        let bench = Bench::new(pair);
        bench.end_order();
        bench.world.time_out("late");
        let outcome = outcome_of_replay(&bench, &bench.action("late")).await;
        assert!(outcome.starts_with("refused: Waybill."), "{outcome}");
        assert!(
            outcome.ends_with("nobody waited for the answer"),
            "{outcome}"
        );
        bench.check_mugs_untouched();
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_that_was_done_before_is_told_again_and_its_record_is_resolved() {
    for pair in Pair::ALL {
        let bench = Bench::new(pair);
        bench.deliver(&bench.action("first")).await.unwrap();
        let outcome = outcome_of_replay(&bench, &bench.action("second")).await;
        assert_eq!(outcome, "done; the saga was told");
        bench.check(Progress::Done);
    }
}
