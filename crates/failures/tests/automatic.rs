//! Automatic replay: one first, then the rest, never beyond its bounds.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is the failure report of a test"
)]
#![allow(clippy::large_futures, reason = "a test's future is awaited once")]

mod scene;

use std::collections::BTreeMap;
use std::time::Duration;

use contracts::Timestamp;
use failures::{
    AutomaticReplay, Change, CircuitStates, Failure, FailureId, KEYS_ARE_KNOWN, Limits, Replay,
    ReplayId, Resolution, Status, due,
};
use idempotency::Clock;
use ports::Unavailable;
use proptest::prelude::*;
use scene::{change, drain, failure, given_up, in_a_minute};
use testkit::{Fault, Operation, VirtualClock, World};
use tokio::time::{advance, timeout};

const MINUTE: Duration = Duration::from_secs(60);

/// The first backoff and a bit.
const WAITED: Duration = Duration::from_secs(5 * 60 + 1);

#[derive(Debug, Clone, Default)]
struct Circuits {
    open: Vec<&'static str>,
}

impl CircuitStates for Circuits {
    async fn is_closed(&self, consumer: &str) -> Result<bool, Unavailable> {
        Ok(!self.open.contains(&consumer))
    }
}

type Automatic = AutomaticReplay<World, World, World, Circuits, VirtualClock>;

fn automatic(world: &World, open: &[&'static str]) -> Automatic {
    AutomaticReplay::new(
        (world.clone(), world.clone()),
        world.clone(),
        Circuits {
            open: open.to_vec(),
        },
        world.clock(),
        ["payment".to_owned()],
        Limits::default(),
    )
}

/// One run, as the schedule starts it; the number of messages that it sent.
async fn run(world: &World) -> usize {
    run_with(world, &automatic(world, &[])).await
}

async fn run_with(world: &World, automatic: &Automatic) -> usize {
    let until = in_a_minute(world);
    let survey = automatic.survey(until).await.unwrap();
    automatic.run(survey, until).await.unwrap().sent
}

/// A store with so many transient failures of one group.
async fn world(failures: usize) -> World {
    let world = World::new();
    for number in 0..failures {
        world.put_dead_letter(given_up(&format!("{number:03}"), "transient", "Down"));
    }
    drain(&world).await;
    world
}

/// The worker processes all that was sent and not confirmed.
async fn process_all(world: &World) {
    for failure in world.failures() {
        if failure.status == Status::Replaying {
            let replay = failure.replay.clone().unwrap().id;
            let outcome = "done".to_owned();
            change(
                world,
                failure.id.as_str(),
                Change::Acknowledge { replay, outcome },
            )
            .await;
        }
    }
}

fn count(world: &World, status: Status) -> usize {
    let all = world.failures();
    all.iter()
        .filter(|failure| failure.status == status)
        .count()
}

#[tokio::test(start_paused = true)]
async fn one_goes_first_and_the_rest_follows_in_portions_once_it_was_processed() {
    let world = world(60).await;
    assert_eq!(run(&world).await, 0, "not before the backoff is over");
    advance(WAITED).await;
    assert_eq!(run(&world).await, 1, "the canary");
    assert_eq!(run(&world).await, 0, "it is under way");
    process_all(&world).await;
    assert_eq!(run(&world).await, 25);
    assert_eq!(run(&world).await, 0, "they are under way");
    process_all(&world).await;
    assert_eq!(run(&world).await, 25);
    process_all(&world).await;
    assert_eq!(run(&world).await, 9);
    process_all(&world).await;
    assert_eq!(count(&world, Status::Resolved), 60);
    let mut sent: Vec<_> = world.replayed().into_iter().map(|it| it.failure).collect();
    sent.sort();
    sent.dedup();
    assert_eq!(sent.len(), 60, "each was sent once");
    for replayed in world.replayed() {
        assert_eq!(replayed.consumer, "payment");
        assert!(replayed.replay.as_str().starts_with("automatic-"));
    }
}

/// The canary died again and was drained.
async fn fail_again(world: &World) {
    let replaying = world.failures();
    let replaying = replaying.iter().filter(|it| it.status == Status::Replaying);
    for (number, failure) in replaying.enumerate() {
        let name = failure.order_id.clone().unwrap();
        let mut letter = scene::failed_again(&name, failure.id.as_str());
        letter.replayed = Some((failure.id.clone(), failure.replay.clone().unwrap().id));
        letter.message_id = format!("again-{}-{number}-{}", failure.failed, name);
        letter.record = given_up(&name, "transient", "Down").record;
        world.put_dead_letter(letter);
    }
    drain(world).await;
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_fails_again_keeps_the_rest_and_waits_longer_each_time() {
    let world = world(1).await;
    let mut waits = Vec::new();
    for _ in 0..3 {
        let begun = world.clock().now();
        while run(&world).await == 0 {
            advance(MINUTE).await;
        }
        waits.push(world.clock().now().since(begun).as_secs() / 60);
        fail_again(&world).await;
    }
    assert_eq!(waits, [5, 10, 20]);
    advance(Duration::from_secs(24 * 60 * 60)).await;
    assert_eq!(run(&world).await, 0, "now it is for a person");
    let failure = failure(&world, "message-000");
    assert_eq!((failure.failed, failure.automatic_replays), (4, 3));
}

#[tokio::test(start_paused = true)]
async fn when_those_that_followed_fail_again_one_goes_first_once_more() {
    let world = world(40).await;
    advance(WAITED).await;
    run(&world).await;
    process_all(&world).await;
    assert_eq!(run(&world).await, 25);
    fail_again(&world).await;
    assert_eq!(
        run(&world).await,
        1,
        "the success is older than the failures"
    );
}

#[tokio::test(start_paused = true)]
async fn a_success_that_failures_follow_is_no_proof_any_more() {
    let world = world(40).await;
    advance(WAITED).await;
    run(&world).await;
    process_all(&world).await;
    run(&world).await;
    let last = world.replayed().pop().unwrap();
    let (replay, outcome) = (last.replay, "done".to_owned());
    let done = Change::Acknowledge { replay, outcome };
    change(&world, last.failure.as_str(), done).await;
    advance(MINUTE).await;
    fail_again(&world).await;
    assert_eq!(run(&world).await, 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_to_a_consumer_whose_circuit_is_not_closed() {
    let world = world(3).await;
    advance(WAITED).await;
    assert_eq!(run_with(&world, &automatic(&world, &["payment"])).await, 0);
    assert_eq!(count(&world, Status::Waiting), 3);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_on_half_a_survey() {
    let world = world(1).await;
    advance(WAITED).await;
    let automatic = automatic(&world, &[]);
    let until = in_a_minute(&world);
    let mut survey = automatic.survey(until).await.unwrap();
    survey.complete = false;
    assert_eq!(automatic.run(survey, until).await.unwrap().sent, 0);
    assert_eq!(run(&world).await, 1);
}

#[tokio::test(start_paused = true)]
async fn only_transient_failures_of_known_consumers_are_replayed() {
    let world = World::new();
    for class in ["ambiguous", "business", "poison", "deferred"] {
        world.put_dead_letter(given_up(class, class, "Down"));
    }
    world.put_dead_letter(scene::bare("unexplained"));
    drain(&world).await;
    world.put_dead_letter(given_up("fine", "transient", "Down"));
    drain(&world).await;
    advance(WAITED).await;
    let mut elsewhere = AutomaticReplay::new(
        (world.clone(), world.clone()),
        world.clone(),
        Circuits::default(),
        world.clock(),
        ["stock".to_owned()],
        Limits::default(),
    );
    assert_eq!(run_with(&world, &elsewhere).await, 0);
    elsewhere = automatic(&world, &[]);
    assert_eq!(run_with(&world, &elsewhere).await, 1);
    assert_eq!(world.replayed()[0].failure, FailureId::new("message-fine"));
}

#[tokio::test(start_paused = true)]
async fn two_runs_at_once_send_one_canary() {
    let world = world(10).await;
    advance(WAITED).await;
    let (one, two) = tokio::join!(run(&world), run(&world));
    assert_eq!(one + two, 1);
    assert_eq!(world.replayed().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn wherever_a_run_is_killed_a_later_one_goes_on_with_the_same_replay() {
    let calls = {
        let world = world(3).await;
        advance(WAITED).await;
        let before = world.calls().len();
        assert_eq!(run(&world).await, 1);
        before..world.calls().len()
    };
    assert!(calls.len() >= 6, "{calls:?}");
    for call in calls {
        for fault in [Fault::SilenceBefore, Fault::SilenceAfter] {
            let at = format!("call {call}, {fault:?}");
            let world = world(3).await;
            advance(WAITED).await;
            world.fail_call(call, fault);
            let _killed = timeout(Duration::from_secs(20), run(&world)).await;
            advance(Limits::default().unsent).await;
            run(&world).await;
            let replayed = world.replayed();
            let first = &replayed[0];
            assert!(replayed.len() <= 2, "{at}: {replayed:?}");
            assert!(replayed.iter().all(|it| it == first), "{at}: {replayed:?}");
            assert_eq!(count(&world, Status::Replaying), 1, "{at}");
            process_all(&world).await;
            assert_eq!(run(&world).await, 2, "{at}: the rest follows");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_sent_does_not_keep_the_others() {
    let world = world(10).await;
    advance(WAITED).await;
    run(&world).await;
    process_all(&world).await;
    world.fail(Operation::SendReplay, 3, Fault::ErrorBefore);
    assert_eq!(run(&world).await, 8);
    process_sent(&world).await;
    advance(Limits::default().unsent).await;
    assert_eq!(run(&world).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_always_refused_waits_for_a_person_and_keeps_no_other() {
    let world = world(3).await;
    let refused = FailureId::new("message-000");
    world.refuse_replay(&refused);
    advance(WAITED).await;
    let automatic = automatic(&world, &[]);
    let survey = automatic.survey(in_a_minute(&world)).await.unwrap();
    let ran = automatic.run(survey, in_a_minute(&world)).await.unwrap();
    assert_eq!((ran.sent, ran.not_sent), (0, 1));
    let back = failure(&world, "message-000");
    assert_eq!((back.status, back.automatic_replays), (Status::Waiting, 1));
    let story = back.history.last().unwrap();
    assert_eq!(story.action, "given-back");
    assert!(story.detail.contains("refuses this message"), "{story:?}");
    assert_eq!(run(&world).await, 1, "the next one goes first");
    for _ in 0..12 {
        process_sent(&world).await;
        advance(10 * MINUTE).await;
        run(&world).await;
    }
    assert_eq!(count(&world, Status::Resolved), 2);
    let back = failure(&world, "message-000");
    assert_eq!((back.status, back.automatic_replays), (Status::Waiting, 3));
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_can_never_be_sent_is_taken_up_a_few_times_and_keeps_no_other() {
    let world = world(2).await;
    advance(WAITED).await;
    for number in 0..3 {
        world.fail(Operation::SendReplay, number, Fault::ErrorBefore);
        assert_eq!(run(&world).await, 0);
        advance(Limits::default().unsent).await;
    }
    let stuck = failure(&world, "message-000");
    assert_eq!(
        (stuck.status, stuck.automatic_replays),
        (Status::Replaying, 3)
    );
    assert_eq!(run(&world).await, 1, "the other goes");
    assert_eq!(world.replayed()[0].failure, FailureId::new("message-001"));
}

#[test]
fn one_of_each_group_goes_before_the_second_of_any() {
    let mut all = Vec::new();
    for number in 0..40 {
        let mut failure = template();
        failure.id = FailureId::new(format!("f-{number:02}"));
        failure.stored_at = at(100);
        failure.group = failures::GroupId::new(if number < 39 { "a" } else { "b" });
        all.push(failure);
    }
    let canary = &mut all[0];
    canary.status = Status::Resolved;
    canary.replay = Some(Replay {
        id: ReplayId::new("r"),
        by: "automatic-replay".to_owned(),
        automatic: true,
        claimed_at: at(10),
        sent_at: Some(at(10)),
        may_be_sent: false,
        destination: "payment".to_owned(),
    });
    canary.resolution = Some(Resolution {
        at: at(9),
        by: "payment".to_owned(),
        outcome: "done".to_owned(),
    });
    let limits = Limits::default();
    let chosen = due(&all, Timestamp::from_epoch_millis(NOW), &limits);
    assert_eq!(chosen.len(), limits.per_run);
    assert_eq!(chosen[1], FailureId::new("f-39"), "{chosen:?}");
}

async fn process_sent(world: &World) {
    for failure in world.failures() {
        let replay = failure.replay.clone();
        let sent = replay.filter(|replay| replay.sent_at.is_some());
        if let (Status::Replaying, Some(replay)) = (failure.status, sent) {
            let (replay, outcome) = (replay.id, "done".to_owned());
            change(
                world,
                failure.id.as_str(),
                Change::Acknowledge { replay, outcome },
            )
            .await;
        }
    }
}

// The pure rule.

const NOW: u64 = 1_795_283_775_859;

fn at(minutes_ago: u64) -> Timestamp {
    Timestamp::from_epoch_millis(NOW - minutes_ago * 60_000)
}

/// A failure of a group of four, anywhere in its life.
fn any_failure() -> impl Strategy<Value = Failure> {
    let status = prop::sample::select(vec![
        Status::Waiting,
        Status::Waiting,
        Status::Waiting,
        Status::Replaying,
        Status::Resolved,
        Status::Archived,
        Status::Edited,
    ]);
    let class = prop::sample::select(vec!["transient", "transient", "transient", "business"]);
    let claim = (any::<bool>(), any::<bool>(), 0..120_u64);
    (
        0..4_u8,
        status,
        class,
        0..120_u64,
        0..5_u32,
        claim,
        0..120_u64,
    )
        .prop_map(
            |(
                group,
                status,
                class,
                stored,
                replays,
                (is_automatic, is_sent, claimed),
                resolved,
            )| {
                let mut failure = template();
                failure.group = failures::GroupId::new(format!("payment.Down.{group}"));
                failure.status = status;
                failure.trouble.class = class.to_owned();
                failure.stored_at = at(stored);
                failure.automatic_replays = replays;
                failure.replay = (replays > 0 || status == Status::Replaying).then(|| Replay {
                    id: ReplayId::new("r"),
                    by: "somebody".to_owned(),
                    automatic: is_automatic,
                    claimed_at: at(claimed),
                    sent_at: is_sent.then(|| at(claimed)),
                    may_be_sent: false,
                    destination: "payment".to_owned(),
                });
                failure.resolution = (status == Status::Resolved).then(|| Resolution {
                    at: at(resolved),
                    by: "payment".to_owned(),
                    outcome: "done".to_owned(),
                });
                failure
            },
        )
}

fn template() -> Failure {
    let record = serde_json::json!({
        "id": "f", "version": 1, "status": "waiting", "consumer": "payment", "group": "g",
        "letter": { "body": "", "bodySha256": "" },
        "trouble": { "class": "transient", "name": "Down", "failedAt": at(0), "foundIn": "q", "messageId": "f" },
        "storedAt": at(0), "failed": 1, "deadLetters": ["f"], "history": [],
    });
    serde_json::from_value(record).unwrap()
}

fn by_group<'a>(failures: &'a [Failure], ids: &[FailureId]) -> BTreeMap<&'a str, Vec<&'a Failure>> {
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for failure in failures.iter().filter(|failure| ids.contains(&failure.id)) {
        groups
            .entry(failure.group.as_str())
            .or_default()
            .push(failure);
    }
    groups
}

proptest! {
    #[test]
    fn what_is_due_is_bounded_and_nobody_elses(mut all in prop::collection::vec(any_failure(), 0..80)) {
        for (number, failure) in all.iter_mut().enumerate() {
            failure.id = FailureId::new(format!("f-{number}"));
        }
        let limits = Limits::default();
        let chosen = due(&all, Timestamp::from_epoch_millis(NOW), &limits);
        prop_assert!(chosen.len() <= limits.per_run);
        for (group, members) in by_group(&all, &chosen) {
            let of_group = || all.iter().filter(|it| it.group.as_str() == group);
            let automatic = |it: &&Failure| it.replay.as_ref().is_some_and(|replay| replay.automatic);
            let waiting = members.iter().filter(|it| it.status == Status::Waiting).count();
            for failure in &members {
                match failure.status {
                    Status::Waiting => {
                        prop_assert_eq!(failure.trouble.class.as_str(), "transient");
                        prop_assert!(failure.automatic_replays < limits.replays);
                        let wait = 5 * 60_000 * 2_u64.pow(failure.automatic_replays);
                        prop_assert!(failure.stored_at.epoch_millis() + wait <= NOW);
                    }
                    Status::Replaying => {
                        let claim = failure.replay.as_ref().unwrap();
                        prop_assert!(claim.automatic && claim.sent_at.is_none());
                        prop_assert!(claim.claimed_at <= at(5));
                        prop_assert!(failure.automatic_replays < limits.replays);
                    }
                    other => prop_assert!(false, "{other} is not open"),
                }
            }
            let has_success = of_group().filter(automatic).any(|it| {
                it.resolution.as_ref().is_some_and(|resolution| resolution.at > at(60))
            });
            if !has_success {
                prop_assert!(waiting <= 1, "{} canaries of {}", waiting, group);
            }
            let is_under_way = of_group().filter(automatic).any(|it| {
                let claim = it.replay.as_ref().unwrap();
                let is_abandoned = claim.sent_at.is_none() && claim.claimed_at <= at(5);
                it.status == Status::Replaying && claim.claimed_at > at(60) && !is_abandoned
            });
            if is_under_way {
                prop_assert_eq!(waiting, 0);
            }
        }
    }

    #[test]
    fn a_group_that_may_be_replayed_is_never_forgotten(replays in 0..3_u32, waited in 0..200_u64) {
        let mut failure = template();
        failure.automatic_replays = replays;
        failure.stored_at = at(waited);
        let chosen = due(&[failure], Timestamp::from_epoch_millis(NOW), &Limits::default());
        prop_assert_eq!(chosen.len(), usize::from(waited >= 5 * 2_u64.pow(replays)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_outside_party_may_have_forgotten_is_for_a_person() {
    let world = world(1).await;
    advance(KEYS_ARE_KNOWN + MINUTE).await;
    assert_eq!(run(&world).await, 0);
}

#[tokio::test(start_paused = true)]
async fn an_edited_copy_waits_for_the_person_who_edited_it() {
    let mut failure = world(1).await.failures().remove(0);
    let later = Timestamp::from_epoch_millis(failure.stored_at.epoch_millis() + 3_600_000);
    let is_due = |failure: &Failure| due(std::slice::from_ref(failure), later, &Limits::default());
    assert_eq!(is_due(&failure), [failure.id.clone()]);
    failure.edit_of = Some(FailureId::new("the-original"));
    assert_eq!(is_due(&failure), []);
}
