//! Replays, on ports in memory, with operators at once, kills and errors at every call.

#![allow(clippy::large_futures, reason = "a test's future is awaited once")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is the failure report of a test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use contracts::Timestamp;
use failures::replay::{
    Event, Finish, NoDrain, ReplayError, Replayer, Run, Selection, Settings, Watcher, Wish, freeze,
    select,
};
use failures::{
    Actor, Change, EntryState, Failure, FailureId, FailureStore, Letter, Plan, PlanStore, Query,
    ReplayId, Status, Trouble, group_of,
};
use idempotency::Clock;
use proptest::prelude::*;
use testkit::{Fault, Operation, World, fixtures};
use tokio::time::{sleep, timeout};

/// Longer than a run with no fault takes, and than a lease.
const LONG: Duration = Duration::from_secs(600);

#[derive(Default)]
struct Seen(Mutex<Vec<String>>);

impl Watcher for Seen {
    fn saw(&self, event: &Event<'_>) {
        let text = match event {
            Event::Sent(entry) => format!("sent {}", entry.failure),
            Event::Skipped(entry, why) => format!("skipped {}: {why}", entry.failure),
            Event::Processed(entry, _) => format!("processed {}", entry.failure),
            Event::FailedAgain(entry, _) => format!("failed {}", entry.failure),
            Event::Cleared(_) => "cleared".to_owned(),
            Event::Aborted(_) => "aborted".to_owned(),
            Event::Waiting(_) | Event::Trouble(_) => return,
        };
        self.0.lock().unwrap().push(text);
    }
}

fn now(world: &World) -> Timestamp {
    Timestamp::from_epoch_millis(world.clock().now().get())
}

/// A failure of a group of its own choosing.
fn failure(id: &str, group: &str) -> Failure {
    let trouble = Trouble {
        name: group.to_owned(),
        ..fixtures::trouble(id)
    };
    Failure {
        group: group_of("payment", &trouble),
        trouble,
        ..fixtures::failure(id)
    }
}

async fn world(failures: &[Failure]) -> World {
    let world = World::new();
    for failure in failures {
        assert!(world.create(failure).await.unwrap());
    }
    world
}

/// So many failures of one group.
async fn world_of(count: usize) -> World {
    let ids: Vec<_> = (0..count).map(|number| format!("f-{number:02}")).collect();
    let failures: Vec<_> = ids.iter().map(|id| failure(id, "Down")).collect();
    world(&failures).await
}

fn reads(consumer: &str, message_type: Option<&str>) -> bool {
    consumer == "payment" && message_type == Some("waybill.payment.charge.v1")
}

async fn look(world: &World, wish: &Wish) -> Selection {
    select(world, wish, reads).await.unwrap()
}

async fn planned(world: &World, id: &str, canaries: usize) -> ReplayId {
    planned_as(world, id, canaries, &Wish::default()).await
}

async fn planned_as(world: &World, id: &str, canaries: usize, wish: &Wish) -> ReplayId {
    let settings = Settings {
        canaries,
        rate: 100,
        why: "it is mended".to_owned(),
    };
    let id = ReplayId::new(id);
    let plan = freeze(
        &look(world, wish).await,
        wish,
        settings,
        id.clone(),
        "ada",
        now(world),
    );
    world.create_plan(&plan).await.unwrap();
    id
}

/// One process at a plan, at most for a long time.
async fn run(
    world: &World,
    plan: &ReplayId,
    process: &str,
    watcher: &impl Watcher,
) -> Option<Result<(Finish, Plan, Vec<EntryState>), ReplayError>> {
    let clock = world.clock();
    let replayer = Replayer {
        store: world,
        plans: world,
        queues: world,
        clock: &clock,
        drains: &NoDrain,
    };
    let run = Run {
        id: process.to_owned(),
        by: process.to_owned(),
        wait: true,
        deadline: None,
    };
    timeout(LONG, replayer.run(plan, &run, watcher)).await.ok()
}

/// A worker: processes what is sent, or gives it up. Its calls may meet a fault as well.
async fn work(world: &World, fails: impl Fn(&FailureId) -> bool) {
    let mut done = 0;
    loop {
        for (number, message) in world.replayed().into_iter().enumerate().skip(done) {
            let change = match fails(&message.failure) {
                true => Change::FailAgain {
                    replay: message.replay.clone(),
                    trouble: Box::new(Trouble {
                        message_id: format!("dead-{number}"),
                        ..failure(message.failure.as_str(), "Down").trouble
                    }),
                },
                false => Change::Acknowledge {
                    replay: message.replay.clone(),
                    outcome: "done".to_owned(),
                },
            };
            while !changed(world, &message.failure, &change).await {
                sleep(Duration::from_millis(50)).await;
            }
            done = number + 1;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// A change that is refused has nothing left to do: a duplicate was faster.
async fn changed(world: &World, id: &FailureId, change: &Change) -> bool {
    let actor = Actor {
        name: "payment".to_owned(),
        at: now(world),
    };
    let attempt = async {
        let before = world.get(id).await.ok()??;
        match before.after(change, &actor) {
            Ok(next) => world.replace(&next).await.ok(),
            Err(_) => Some(true),
        }
    };
    timeout(Duration::from_secs(5), attempt)
        .await
        .ok()
        .flatten()
        == Some(true)
}

/// Does the work while something else runs.
async fn with_worker<T>(
    world: &World,
    fails: impl Fn(&FailureId) -> bool,
    other: impl Future<Output = T>,
) -> T {
    tokio::select! {
        ended = other => ended,
        () = work(world, fails) => unreachable!("a worker never ends"),
    }
}

/// How often each failure was sent.
fn sent(world: &World) -> BTreeMap<String, usize> {
    let mut sent = BTreeMap::new();
    for message in world.replayed() {
        *sent.entry(message.failure.to_string()).or_default() += 1;
    }
    sent
}

fn statuses(world: &World) -> BTreeSet<Status> {
    world
        .failures()
        .iter()
        .map(|failure| failure.status)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn the_canary_is_processed_before_the_rest_of_its_group_is_sent() {
    let world = world_of(4).await;
    let plan = planned(&world, "r-1", 1).await;
    let seen = Seen::default();
    let ended = with_worker(&world, |_| false, run(&world, &plan, "ada", &seen)).await;
    let (finish, plan, states) = ended.unwrap().unwrap();
    assert_eq!(finish, Finish::Complete);
    assert!(
        states
            .iter()
            .all(|state| *state == EntryState::Processed("done".to_owned()))
    );
    assert!(plan.progress.finished_at.is_some() && plan.progress.runner.is_none());
    let seen = seen.0.into_inner().unwrap();
    assert_eq!(seen[..3], ["sent f-00", "processed f-00", "cleared"]);
    assert_eq!(sent(&world).into_values().collect::<Vec<_>>(), [1, 1, 1, 1]);
    let record = world.failure(&FailureId::new("f-00")).unwrap();
    let actions: Vec<_> = record
        .history
        .iter()
        .map(|entry| entry.action.as_str())
        .collect();
    assert_eq!(
        actions[actions.len() - 3..],
        ["claimed", "sent", "resolved"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_fails_again_stops_its_group_and_no_other() {
    let failures = [
        failure("a-1", "Bad"),
        failure("a-2", "Bad"),
        failure("a-3", "Bad"),
        failure("b-1", "Good"),
        failure("b-2", "Good"),
    ];
    let world = world(&failures).await;
    let plan = planned(&world, "r-1", 1).await;
    let bad = |id: &FailureId| id.as_str().starts_with('a');
    let ended = with_worker(&world, bad, run(&world, &plan, "ada", &Seen::default())).await;
    let (finish, plan, states) = ended.unwrap().unwrap();
    assert_eq!(finish, Finish::Complete);
    assert_eq!(plan.progress.aborted, [failures[0].group.clone()]);
    let sent = sent(&world);
    let of_bad = sent.keys().filter(|id| id.starts_with('a')).count();
    assert_eq!((sent.len(), of_bad), (3, 1), "{sent:?}");
    let failed = |state: &&EntryState| matches!(state, EntryState::FailedAgain(_));
    assert_eq!(states.iter().filter(failed).count(), 1);
    // Also a later run leaves the rest alone.
    let again = with_worker(&world, bad, run(&world, &plan.id, "bob", &Seen::default())).await;
    again.unwrap().unwrap();
    assert_eq!(world.replayed().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_plan_does_not_change_with_what_fails_later() {
    let world = world_of(2).await;
    let plan = planned(&world, "r-1", 1).await;
    world.create(&failure("late", "Down")).await.unwrap();
    let ended = with_worker(
        &world,
        |_| false,
        run(&world, &plan, "ada", &Seen::default()),
    )
    .await;
    ended.unwrap().unwrap();
    assert_eq!(sent(&world).keys().collect::<Vec<_>>(), ["f-00", "f-01"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_as_it_was_planned_is_not_sent() {
    let world = world_of(3).await;
    let plan = planned(&world, "r-1", 0).await;
    let actor = Actor {
        name: "eve".to_owned(),
        at: now(&world),
    };
    let mut other_body = world.failure(&FailureId::new("f-00")).unwrap();
    other_body.letter = Letter::new("{}".to_owned(), BTreeMap::new());
    other_body.version += 1;
    assert!(world.replace(&other_body).await.unwrap());
    let archived = world.failure(&FailureId::new("f-01")).unwrap().after(
        &Change::Archive {
            why: "old".to_owned(),
            keep: LONG,
        },
        &actor,
    );
    assert!(world.replace(&archived.unwrap()).await.unwrap());
    let ended = with_worker(
        &world,
        |_| false,
        run(&world, &plan, "ada", &Seen::default()),
    )
    .await;
    let (_, _, states) = ended.unwrap().unwrap();
    let skipped = |state: &&EntryState| matches!(state, EntryState::Skipped(_));
    assert_eq!(states.iter().filter(skipped).count(), 2);
    assert_eq!(sent(&world).keys().collect::<Vec<_>>(), ["f-02"]);
}

#[tokio::test(start_paused = true)]
async fn what_failed_again_in_another_replay_since_it_was_planned_is_not_sent() {
    let world = world_of(1).await;
    let planned_first = planned(&world, "r-1", 0).await;
    let quicker = planned(&world, "r-2", 0).await;
    let watcher = Seen::default();
    let ended = with_worker(&world, |_| true, run(&world, &quicker, "eve", &watcher)).await;
    let (_, _, states) = ended.unwrap().unwrap();
    assert!(matches!(states[..], [EntryState::FailedAgain(_)]));
    let ended = run(&world, &planned_first, "ada", &watcher).await;
    let (_, _, states) = ended.unwrap().unwrap();
    assert!(matches!(states[..], [EntryState::Skipped(_)]));
    assert_eq!(sent(&world).values().collect::<Vec<_>>(), [&1]);
}

#[tokio::test(start_paused = true)]
async fn a_plan_is_carried_out_by_one_process_at_a_time() {
    let world = world_of(5).await;
    let plan = planned(&world, "r-1", 1).await;
    let (ada, bob) = (Seen::default(), Seen::default());
    let both = async {
        tokio::join!(
            run(&world, &plan, "ada", &ada),
            run(&world, &plan, "bob", &bob)
        )
    };
    let (ada, bob) = with_worker(&world, |_| false, both).await;
    let refused = [ada.unwrap(), bob.unwrap()]
        .into_iter()
        .filter(|ended| matches!(ended, Err(ReplayError::Running { .. })))
        .count();
    assert_eq!(refused, 1);
    assert!(sent(&world).into_values().all(|times| times == 1));
    assert_eq!(statuses(&world), BTreeSet::from([Status::Resolved]));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_confirmed_is_taken_over_only_where_that_is_asked_for() {
    let world = world_of(1).await;
    let lost = planned(&world, "r-1", 0).await;
    // The worker never gets it.
    timeout(
        Duration::from_secs(5),
        run(&world, &lost, "ada", &Seen::default()),
    )
    .await
    .unwrap_err();
    assert_eq!(look(&world, &Wish::default()).await.skipped.len(), 1);
    let again = Wish {
        again: true,
        ..Wish::default()
    };
    // Both saw the same; the second finds that the first took it.
    let first = planned_as(&world, "r-2", 0, &again).await;
    let second = planned_as(&world, "r-3", 0, &again).await;
    let (ada, bob) = (Seen::default(), Seen::default());
    let both = async {
        tokio::join!(
            run(&world, &first, "ada", &ada),
            run(&world, &second, "bob", &bob)
        )
    };
    // The worker has no time for what was sent before.
    let by_a_late_worker = async {
        sleep(Duration::from_secs(10)).await;
        work(&world, |_| false).await;
    };
    tokio::select! {
        _ = both => {}
        () = by_a_late_worker => unreachable!("a worker never ends"),
    }
    assert_eq!(world.replayed().len(), 2, "the lost one, and one more");
    assert_eq!(statuses(&world), BTreeSet::from([Status::Resolved]));
}

#[tokio::test(start_paused = true)]
async fn a_consumer_gets_only_what_it_reads_unless_it_is_forced() {
    let mut junk = failure("junk", "Junk");
    junk.consumer = "unknown".to_owned();
    junk.message_type = None;
    let world = world(&[junk, failure("f-1", "Down")]).await;
    let ids = |selection: Selection| -> Vec<String> {
        let chosen = selection.chosen.iter();
        chosen
            .map(|choice| choice.entry.failure.to_string())
            .collect()
    };
    let to = |destination: &str, force: bool| Wish {
        destination: Some(destination.to_owned()),
        force,
        ..Wish::default()
    };
    assert_eq!(ids(look(&world, &Wish::default()).await), ["f-1"]);
    assert_eq!(ids(look(&world, &to("payment", false)).await), ["f-1"]);
    assert!(ids(look(&world, &to("stock", false)).await).is_empty());
    assert_eq!(ids(look(&world, &to("stock", true)).await).len(), 2);
    let named = Wish {
        query: Query {
            ids: vec![FailureId::new("junk")],
            ..Query::default()
        },
        ..Wish::default()
    };
    let skipped = look(&world, &named).await.skipped;
    assert!(skipped[0].why.contains("--to"), "{skipped:?}");
}

/// Kills the process at one call, and resumes the plan as often as it takes. The worker
/// begins at once, or only after the plan was resumed. Gives how often it was resumed.
async fn killed_at(call: usize, fault: Fault, worker_waits: bool) -> (World, usize) {
    let world = world_of(3).await;
    let plan = planned(&world, "r-1", 1).await;
    world.fail_call(world.calls().len() + call, fault);
    let awake = tokio::sync::Notify::new();
    let resumed = async {
        for attempt in 0..10 {
            let process = format!("process-{attempt}");
            let late = async {
                sleep(Duration::from_secs(5)).await;
                if attempt > 0 {
                    awake.notify_one();
                }
            };
            let seen = Seen::default();
            match tokio::join!(run(&world, &plan, &process, &seen), late).0 {
                Some(Ok((Finish::Complete, ..))) => return attempt,
                Some(Ok((finish, ..))) => panic!("{finish:?}"),
                // Killed, or told to come again.
                None | Some(Err(_)) => sleep(Duration::from_secs(13)).await,
            }
        }
        panic!("the plan never ended: call {call}, {fault:?}");
    };
    let working = async {
        if worker_waits {
            awake.notified().await;
        }
        work(&world, |_| false).await;
    };
    let attempts = tokio::select! {
        attempts = resumed => attempts,
        () = working => unreachable!("a worker never ends"),
    };
    (world, attempts)
}

/// Beyond the last call of a run without faults nothing goes wrong any more.
const CALLS: usize = 60;

#[tokio::test(start_paused = true)]
async fn what_is_so_old_that_its_key_may_be_forgotten_is_sent_by_force_only() {
    let world = world(&[failure("f-1", "Down")]).await;
    let stored_at = failure("f-1", "Down").stored_at.epoch_millis();
    let chosen = async |oldest: u64, force: bool| {
        let wish = Wish {
            oldest: Some(Timestamp::from_epoch_millis(oldest)),
            force,
            ..Wish::default()
        };
        let found = select(&world, &wish, |_, _| true).await.unwrap();
        found.chosen.len()
    };
    assert_eq!(chosen(stored_at, false).await, 1);
    assert_eq!(chosen(stored_at + 1, false).await, 0);
    assert_eq!(chosen(stored_at + 1, true).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_dies_at_any_call_is_resumed_to_its_end() {
    let mut died = 0;
    for fault in Fault::FAILURES {
        for call in 0..CALLS {
            let (world, attempts) = killed_at(call, fault, false).await;
            let case = format!("call {call}, {fault:?}");
            assert_eq!(
                statuses(&world),
                BTreeSet::from([Status::Resolved]),
                "{case}"
            );
            // The worker confirms also what nobody wrote down as sent.
            let sent = sent(&world);
            assert!(sent.values().all(|times| *times == 1), "{case}: {sent:?}");
            assert_eq!(sent.len(), 3, "{case}");
            assert!(
                call < CALLS - 1 || attempts == 0,
                "{case}: there are more calls"
            );
            died += attempts.min(1);
        }
    }
    assert!(died > 20, "only {died} faults met the run");
}

#[tokio::test(start_paused = true)]
async fn only_the_message_at_which_it_died_may_go_out_twice() {
    let mut sent_twice = 0;
    for fault in Fault::FAILURES {
        for call in 0..CALLS {
            let (world, _) = killed_at(call, fault, true).await;
            let case = format!("call {call}, {fault:?}");
            assert_eq!(
                statuses(&world),
                BTreeSet::from([Status::Resolved]),
                "{case}"
            );
            assert_eq!(sent(&world).len(), 3, "{case}");
            let extra = world.replayed().len() - 3;
            assert!(extra <= 1, "{case}: {:?}", sent(&world));
            sent_twice += extra;
        }
    }
    assert!(
        sent_twice > 0,
        "no fault met the moment between sending and writing it down"
    );
}

#[tokio::test(start_paused = true)]
async fn a_message_that_was_not_sent_is_not_given_up_silently() {
    let world = world_of(1).await;
    let plan = planned(&world, "r-1", 1).await;
    for number in 0..3 {
        world.fail(Operation::SendReplay, number, Fault::ErrorBefore);
    }
    let ended = run(&world, &plan, "ada", &Seen::default()).await.unwrap();
    assert!(matches!(ended, Err(ReplayError::Unavailable(_))));
    assert!(world.replayed().is_empty());
    let seen = Seen::default();
    let resumed = with_worker(&world, |_| false, run(&world, &plan, "ada-2", &seen));
    assert_eq!(resumed.await.unwrap().unwrap().0, Finish::Complete);
    assert_eq!(world.replayed().len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A batch by one operator, a batch by another and a single message by a third, in
    /// any order of their calls.
    #[test]
    fn operators_at_once_never_send_a_message_twice(
        delays in prop::collection::vec((0_usize..150, 1_u64..4000), 0..25),
        single in 0_usize..4,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let world = world_of(4).await;
            let one = Wish {
                query: Query { ids: vec![FailureId::new(format!("f-{single:02}"))], ..Query::default() },
                ..Wish::default()
            };
            let first = planned(&world, "r-1", 1).await;
            let second = planned(&world, "r-2", 1).await;
            let third = planned_as(&world, "r-3", 1, &one).await;
            let begun = world.calls().len();
            for (call, millis) in delays {
                world.fail_call(begun + call, Fault::Delay(Duration::from_millis(millis)));
            }
            let (ada, bob, eve) = (Seen::default(), Seen::default(), Seen::default());
            let all = async {
                tokio::join!(
                    run(&world, &first, "ada", &ada),
                    run(&world, &second, "bob", &bob),
                    run(&world, &third, "eve", &eve),
                )
            };
            with_worker(&world, |_| false, all).await;
            let sent = sent(&world);
            assert!(sent.values().all(|times| *times == 1), "{sent:?}");
            assert_eq!(sent.len(), 4);
            assert_eq!(statuses(&world), BTreeSet::from([Status::Resolved]));
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_copy_of_an_earlier_replay_does_not_fail_the_plan_that_has_the_message_now() {
    let world = world_of(1).await;
    let id = FailureId::new("f-00");
    let (first, later) = (ReplayId::new("p-1"), ReplayId::new("p-2"));
    let died = |replay: &ReplayId, message: &str| Change::FailAgain {
        replay: replay.clone(),
        trouble: Box::new(fixtures::trouble(message)),
    };
    let claimed = |replay: &ReplayId| Change::Claim {
        replay: replay.clone(),
        destination: "payment".to_owned(),
        automatic: false,
        again: false,
    };
    let read = async |plan: &ReplayId| {
        let plan = world.get_plan(plan).await.unwrap().unwrap();
        let failure = world.failure(&id);
        failures::replay::state_of(&plan, &plan.entries[0], failure.as_ref())
    };
    planned(&world, "p-1", 0).await;
    assert!(changed(&world, &id, &claimed(&first)).await);
    assert!(changed(&world, &id, &died(&first, "d-1")).await);
    planned(&world, "p-2", 0).await;
    assert!(changed(&world, &id, &claimed(&later)).await);
    let replay = later.clone();
    assert!(changed(&world, &id, &Change::Sent { replay }).await);
    assert!(changed(&world, &id, &died(&first, "d-2")).await);
    assert_eq!(world.failure(&id).unwrap().failed, 3);
    assert_eq!(read(&later).await, EntryState::Sent);
    assert!(matches!(read(&first).await, EntryState::FailedAgain(_)));
    assert!(changed(&world, &id, &died(&later, "d-3")).await);
    assert!(matches!(read(&later).await, EntryState::FailedAgain(_)));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_the_queue_refuses_waits_again_with_the_reason_and_the_plan_can_go_on() {
    let world = world_of(2).await;
    let id = FailureId::new("f-00");
    world.refuse_replay(&id);
    let plan = planned(&world, "p-1", 0).await;
    let seen = Seen::default();
    let ran = with_worker(&world, |_| false, run(&world, &plan, "one", &seen)).await;
    assert!(matches!(ran, Some(Err(ReplayError::Unavailable(_)))));
    let back = world.failure(&id).unwrap();
    assert_eq!(back.status, Status::Waiting);
    let story = back.history.last().unwrap();
    assert_eq!(story.action, "given-back");
    assert!(story.detail.contains("refuses this message"), "{story:?}");
    world.accept_replay(&id);
    let ran = with_worker(&world, |_| false, run(&world, &plan, "two", &seen)).await;
    assert!(matches!(ran, Some(Ok((Finish::Complete, ..)))));
    assert_eq!(world.failure(&id).unwrap().status, Status::Resolved);
    assert_eq!(sent(&world).len(), 2);
}
