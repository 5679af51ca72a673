//! A record is resolved when, and only when, a worker has processed its message.

#![allow(
    clippy::unwrap_used,
    reason = "a panic in a test is its failure report"
)]

mod common;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::actor;
use failures::{
    Acknowledging, Change, FAILURE_ID, FailureId, FailureStore, REPLAY_ID, ReplayId, Status,
};
use message_worker::memory::MemoryQueue;
use message_worker::{Attribute, Config, Delivery, Failure, Handler, RecordContext, Worker};
use testkit::fixtures::failure;
use testkit::{Fault, Operation, VirtualClock, World};

const INVOCATION: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);
const MAX_RECEIVES: u32 = 5;

type Answer = fn() -> Result<&'static str, Failure>;

/// Answers as told, and counts.
#[derive(Debug, Clone)]
struct Scripted {
    answer: Answer,
    handled: Arc<AtomicUsize>,
}

impl Handler for Scripted {
    type Message = ();
    type Output = &'static str;
    type Error = Failure;

    fn decode(&self, delivery: &Delivery) -> Result<(), Failure> {
        match delivery.body() {
            "poison" => Err(Failure::poison("Unreadable")),
            _ => Ok(()),
        }
    }

    async fn handle(&self, (): (), _: &RecordContext) -> Result<&'static str, Failure> {
        self.handled.fetch_add(1, Ordering::SeqCst);
        (self.answer)()
    }
}

/// A store with one failure that replay `r1` has claimed, and a queue with its message.
struct Bench {
    world: World,
    queue: MemoryQueue,
    handled: Arc<AtomicUsize>,
    stores_built: Arc<Mutex<usize>>,
}

impl Bench {
    async fn new(body: &str, attributes: &[(&str, &str)]) -> Self {
        let world = World::new();
        let claim = Change::Claim {
            replay: ReplayId::new("r1"),
            destination: "payment".to_owned(),
            automatic: false,
            again: false,
        };
        let waiting = failure("f-1");
        assert!(world.create(&waiting).await.unwrap());
        let claimed = waiting.after(&claim, &actor()).unwrap();
        assert!(world.replace(&claimed).await.unwrap());
        let queue = MemoryQueue::new(Duration::from_secs(180), 1000);
        let attributes = attributes.iter();
        let attributes = attributes.map(|(n, v)| ((*n).to_owned(), Attribute::text(*v)));
        queue.send_with(body, None, attributes.collect());
        Self {
            world,
            queue,
            handled: Arc::default(),
            stores_built: Arc::default(),
        }
    }

    async fn replayed(body: &str) -> Self {
        Self::new(body, &[(FAILURE_ID, "f-1"), (REPLAY_ID, "r1")]).await
    }

    fn worker(
        &self,
        answer: Answer,
    ) -> Worker<MemoryQueue, Acknowledging<Scripted, World, VirtualClock>> {
        let handler = Scripted {
            answer,
            handled: self.handled.clone(),
        };
        let (world, built) = (self.world.clone(), self.stores_built.clone());
        let store = move || {
            *built.lock().unwrap() += 1;
            world
        };
        let handler = Acknowledging::new(handler, "payment", store, self.world.clock());
        let mut config = Config::new("payment");
        config.max_receives = NonZeroU32::new(MAX_RECEIVES).unwrap();
        Worker::new(config, self.queue.clone(), handler)
    }

    async fn drive(&self, answer: Answer) {
        let worker = self.worker(answer);
        self.queue.drive(&worker, INVOCATION, PATIENCE).await;
        assert_eq!(self.queue.waiting(), [""; 0]);
    }

    fn stored(&self) -> failures::Failure {
        self.world.failure(&FailureId::new("f-1")).unwrap()
    }

    fn store_calls(&self) -> usize {
        // Two prepared the record.
        self.world.calls().len() - 2
    }
}

#[tokio::test(start_paused = true)]
async fn a_replayed_message_that_was_processed_resolves_its_record() {
    let bench = Bench::replayed("body").await;
    bench.drive(|| Ok("done; the saga was told")).await;
    let stored = bench.stored();
    assert_eq!(stored.status, Status::Resolved);
    let resolution = stored.resolution.unwrap();
    assert_eq!(resolution.by, "payment");
    assert_eq!(resolution.outcome, "done; the saga was told");
    assert_eq!(bench.store_calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_ordinary_message_costs_no_request_and_builds_no_store() {
    for attributes in [
        &[][..],
        &[("own", "x")],
        &[(FAILURE_ID, "f-1")],
        &[(REPLAY_ID, "r1")],
    ] {
        let bench = Bench::new("body", attributes).await;
        bench.drive(|| Ok("done")).await;
        assert_eq!(bench.handled.load(Ordering::SeqCst), 1);
        assert_eq!(*bench.stores_built.lock().unwrap(), 0);
        assert_eq!(bench.store_calls(), 0);
        assert_eq!(bench.stored().status, Status::Replaying);
    }
}

#[tokio::test(start_paused = true)]
async fn a_business_error_ends_the_message_and_so_its_record() {
    let bench = Bench::replayed("body").await;
    bench.drive(|| Err(Failure::business("OutOfStock"))).await;
    let resolution = bench.stored().resolution.unwrap();
    assert_eq!(resolution.outcome, "refused: OutOfStock");
    assert_eq!(bench.queue.dead_letters(), []);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_fails_again_keeps_its_names_and_its_record_waits_for_the_drain() {
    let names = |attributes: &BTreeMap<String, Attribute>| {
        let value = |name: &str| attributes[name].as_text().unwrap().to_owned();
        [value(FAILURE_ID), value(REPLAY_ID)]
    };
    let bench = Bench::replayed("body").await;
    bench.drive(|| Err(Failure::transient("Throttled"))).await;
    let dead = bench.queue.dead_letters();
    assert_eq!(dead[0].record.as_ref().unwrap().error_name, "Throttled");
    assert_eq!(names(&dead[0].attributes), ["f-1", "r1"]);
    assert_eq!(bench.stored().status, Status::Replaying);
    assert_eq!(bench.store_calls(), 0);

    let bench = Bench::replayed("poison").await;
    bench.drive(|| Ok("done")).await;
    let quarantined = bench.queue.quarantined();
    assert_eq!(names(&quarantined[0].attributes), ["f-1", "r1"]);
    assert_eq!(bench.stored().status, Status::Replaying);
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_record_cannot_be_resolved_now_comes_again_until_it_is() {
    for operation in [Operation::GetFailure, Operation::ReplaceFailure] {
        for fault in Fault::FAILURES {
            let bench = Bench::replayed("body").await;
            // The first call of either is the worker's; one replacement prepared the record.
            let number = usize::from(operation == Operation::ReplaceFailure);
            bench.world.fail(operation, number, fault);
            bench.drive(|| Ok("done")).await;
            let stored = bench.stored();
            assert_eq!(stored.status, Status::Resolved, "{operation:?} {fault:?}");
            assert_eq!(
                bench.handled.load(Ordering::SeqCst),
                2,
                "{operation:?} {fault:?}"
            );
            assert_eq!(bench.queue.dead_letters(), []);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_record_can_never_be_resolved_is_dead_lettered_with_that_reason() {
    let bench = Bench::replayed("body").await;
    for number in 0..usize::try_from(MAX_RECEIVES).unwrap() {
        bench
            .world
            .fail(Operation::GetFailure, number, Fault::ErrorBefore);
    }
    bench.drive(|| Ok("done")).await;
    let dead = bench.queue.dead_letters();
    let record = dead[0].record.as_ref().unwrap();
    assert_eq!(record.error_name, "FailureStoreUnavailable");
    assert_eq!(record.error_class, "transient");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_changes_under_the_workers_hands_is_read_again() {
    let bench = Bench::replayed("body").await;
    let slow = Fault::Delay(Duration::from_secs(5));
    bench.world.fail(Operation::ReplaceFailure, 1, slow);
    let operator = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let note = Change::Note {
            text: "is anybody at it?".to_owned(),
        };
        let noted = bench.stored().after(&note, &actor()).unwrap();
        assert!(bench.world.replace(&noted).await.unwrap());
    };
    tokio::join!(bench.drive(|| Ok("done")), operator);
    let stored = bench.stored();
    assert_eq!(stored.status, Status::Resolved);
    assert_eq!(stored.note.as_deref(), Some("is anybody at it?"));
    assert_eq!(bench.handled.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_of_a_resolved_message_and_one_without_a_record_are_done_quietly() {
    let bench = Bench::replayed("body").await;
    bench.drive(|| Ok("first")).await;
    let names = [(FAILURE_ID, "f-1"), (REPLAY_ID, "r1")];
    let names = names.map(|(name, id)| (name.to_owned(), Attribute::text(id)));
    bench.queue.send_with("body", None, names.into());
    bench.drive(|| Ok("second")).await;
    assert_eq!(bench.stored().resolution.unwrap().outcome, "first");
    assert_eq!(bench.queue.dead_letters(), []);

    let unknown = [(FAILURE_ID, "f-9"), (REPLAY_ID, "r1")];
    let bench = Bench::new("body", &unknown).await;
    bench.drive(|| Ok("done")).await;
    assert_eq!(bench.queue.dead_letters(), []);
    assert_eq!(bench.world.failures().len(), 1);
}
