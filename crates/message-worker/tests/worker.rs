//! What the worker does with a batch, told by an in-memory queue and a paused clock.

#![allow(
    clippy::unwrap_used,
    reason = "in a test, and in what helps it, a panic is the failure report"
)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_lambda_events::event::sqs::SqsEvent;
use message_worker::memory::MemoryQueue;
use message_worker::{
    Attribute, Backoff, BatchSummary, Class, Classify, Config, Delivery, Description, Destination,
    Failure, FailureRecord, Handler, Jitter, KNOWN_POISON, Observer, Operation, Outcome,
    PoisonMemory, Queue, QueueError, RecordContext, RecordReport, Route, Worker,
};
use tokio::time::{Instant, sleep};

const INVOCATION: Duration = Duration::from_secs(30);
const VISIBILITY: Duration = Duration::from_secs(180);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const REDRIVE_AFTER: u32 = 8;

/// Does what the body says.
#[derive(Default)]
struct Scripted {
    handled: Mutex<Vec<String>>,
    decoded: Mutex<Vec<String>>,
    contexts: Mutex<Vec<RecordContext>>,
    poisoned: Mutex<Vec<String>>,
    running: AtomicUsize,
    most_running: AtomicUsize,
}

impl Scripted {
    fn decoded(&self) -> Vec<String> {
        self.decoded.lock().unwrap().clone()
    }

    fn handled(&self) -> Vec<String> {
        self.handled.lock().unwrap().clone()
    }
}

impl Handler for Scripted {
    type Message = String;
    type Output = ();
    type Error = Failure;

    fn decode(&self, delivery: &Delivery) -> Result<String, Failure> {
        self.decoded
            .lock()
            .unwrap()
            .push(delivery.body().to_owned());
        match delivery.body() {
            "garbage" => Err(Failure::poison("NotJson").caused_by("expected a value")),
            "panic-decoding" => panic!("decoder"),
            "no-schema-yet" => Err(Failure::transient("NoSchema")),
            body => Ok(body.to_owned()),
        }
    }

    async fn handle(&self, message: String, context: &RecordContext) -> Result<(), Failure> {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_running.fetch_max(running, Ordering::SeqCst);
        self.handled.lock().unwrap().push(message.clone());
        self.contexts.lock().unwrap().push(context.clone());
        sleep(Duration::from_millis(100)).await;
        let result = match message.as_str() {
            "transient" => Err(Failure::transient("Throttled").caused_by("slow down")),
            "ambiguous" => Err(Failure::ambiguous("TimedOut")),
            "business" => Err(Failure::business("Declined")),
            "poison" => Err(Failure::poison("BadContract")),
            "poison-hook-panics" => Err(Failure::poison("BadContract")),
            "deferred" => Err(Failure::deferred("ClaimHeld", Some(Duration::from_secs(7)))),
            "deferred-somehow" => Err(Failure::deferred("ClaimHeld", None)),
            "deferred-fresh" => Err(Failure::deferred_fresh("CircuitOpen", Some(MINUTE))),
            "panic" => panic!("boom"),
            "slow" => {
                sleep(HOUR).await;
                Ok(())
            }
            "third-time" if context.attempt() < 3 => Err(Failure::transient("Throttled")),
            _ => Ok(()),
        };
        self.running.fetch_sub(1, Ordering::SeqCst);
        result
    }

    async fn poisoned(&self, delivery: &Delivery, error: &dyn Classify) {
        assert_ne!(delivery.body(), "poison-hook-panics");
        let note = format!("{}: {}", delivery.body(), error.name());
        self.poisoned.lock().unwrap().push(note);
    }

    fn describe(&self, delivery: &Delivery) -> Description {
        assert_ne!(delivery.body(), "panic-describing");
        Description {
            correlation_id: Some(format!("c-{}", delivery.body())),
            schema: Some("greeting.v1".to_owned()),
            schema_hash: Some("5c4e".to_owned()),
        }
    }
}

/// Remembers every report.
#[derive(Clone, Default)]
struct Log {
    records: Arc<Mutex<Vec<Entry>>>,
    batches: Arc<Mutex<Vec<BatchSummary>>>,
}

#[derive(Clone, Debug)]
struct Entry {
    message_id: String,
    correlation_id: Option<String>,
    outcome: Outcome,
    class: Option<Class>,
    name: Option<String>,
    cause: Vec<String>,
    queue_error: Option<Operation>,
}

impl Log {
    fn entries(&self) -> Vec<Entry> {
        self.records.lock().unwrap().clone()
    }

    #[track_caller]
    fn only(&self) -> Entry {
        let entries = self.entries();
        assert_eq!(entries.len(), 1, "{entries:?}");
        entries[0].clone()
    }
}

impl Observer for Log {
    fn record_finished(&self, report: &RecordReport<'_>) {
        self.records.lock().unwrap().push(Entry {
            message_id: report.message_id.to_owned(),
            correlation_id: report.correlation_id.map(str::to_owned),
            outcome: report.outcome,
            class: report.class,
            name: report.error_name.map(str::to_owned),
            cause: report.cause.to_vec(),
            queue_error: report.queue_error.map(|error| error.operation()),
        });
    }

    fn batch_finished(&self, summary: &BatchSummary) {
        self.batches.lock().unwrap().push(*summary);
    }
}

struct Bench {
    queue: MemoryQueue,
    log: Log,
    worker: Worker<MemoryQueue, Scripted, Log>,
}

impl Bench {
    fn new(bodies: &[&str]) -> Self {
        let queue = MemoryQueue::new(VISIBILITY, REDRIVE_AFTER);
        bodies.iter().for_each(|body| {
            queue.send(*body);
        });
        Self::on(queue, |_| {})
    }

    fn on(queue: MemoryQueue, configure: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new("greeter");
        configure(&mut config);
        let log = Log::default();
        let worker = Worker::new(config, queue.clone(), Scripted::default())
            .with_observer(log.clone())
            .with_jitter(Jitter::seeded(1))
            .with_clock(|| SystemTime::UNIX_EPOCH + Duration::from_secs(86_400));
        Self { queue, log, worker }
    }

    /// Runs one batch and returns the ids that go back to the queue.
    async fn run_once(&self) -> Vec<String> {
        self.run_for(INVOCATION).await
    }

    async fn run_for(&self, invocation: Duration) -> Vec<String> {
        let event = self.queue.receive(10);
        let deadline = Instant::now() + invocation;
        let response = self.worker.run(event.clone(), deadline).await.unwrap();
        self.queue.settle(&event, &response);
        let failures = response.batch_item_failures.into_iter();
        let mut returned: Vec<_> = failures.map(|failure| failure.item_identifier).collect();
        returned.sort();
        returned
    }

    async fn drive(&self) -> usize {
        self.queue.drive(&self.worker, INVOCATION, 10 * HOUR).await
    }
}

#[tokio::test(start_paused = true)]
async fn what_succeeds_is_acknowledged() {
    let bench = Bench::new(&["a", "b"]);
    assert!(bench.run_once().await.is_empty());
    assert!(bench.queue.waiting().is_empty());
    assert_eq!(bench.worker.handler().handled(), ["a", "b"]);
    let summary = bench.log.batches.lock().unwrap()[0];
    assert_eq!((summary.records, summary.acknowledged), (2, 2));
    assert_eq!((summary.returned, summary.untouched), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn one_bad_record_never_fails_its_neighbours() {
    let bench = Bench::new(&[
        "a",
        "garbage",
        "panic",
        "panic-decoding",
        "slow",
        "transient",
        "poison-hook-panics",
        "b",
    ]);
    let returned = bench.run_once().await;
    assert_eq!(
        returned,
        ["message-3", "message-4", "message-5", "message-6"]
    );
    let waiting = bench.queue.waiting();
    assert_eq!(waiting, ["panic", "panic-decoding", "slow", "transient"]);
    assert_eq!(bench.queue.quarantined().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_batch_takes_about_as_long_as_its_slowest_record() {
    let bench = Bench::new(&["x"; 10]);
    let started = Instant::now();
    bench.run_once().await;
    assert!(started.elapsed() < Duration::from_millis(150));
    assert_eq!(
        bench.worker.handler().most_running.load(Ordering::SeqCst),
        10
    );
}

#[tokio::test(start_paused = true)]
async fn no_more_records_run_at_a_time_than_configured() {
    let bench = Bench::new(&["x"; 10]);
    let bench = Bench::on(bench.queue, |config| {
        config.concurrency = 3.try_into().unwrap();
    });
    assert!(bench.run_once().await.is_empty());
    let handler = bench.worker.handler();
    assert_eq!(handler.most_running.load(Ordering::SeqCst), 3);
    assert_eq!(handler.handled().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_transient_error_is_retried_after_a_backoff_until_it_works() {
    let bench = Bench::new(&["third-time"]);
    assert_eq!(bench.drive().await, 3);
    assert!(bench.queue.waiting().is_empty());
    let backoff = Backoff::default();
    let jitter = Jitter::seeded(1);
    let expected = [1, 2].map(|count| Outcome::Retried {
        delay: backoff.delay(count, &jitter),
    });
    let outcomes: Vec<_> = bench.log.entries().iter().map(|e| e.outcome).collect();
    assert_eq!(outcomes[..2], expected);
    assert_eq!(outcomes[2], Outcome::Processed);
}

#[tokio::test(start_paused = true)]
async fn the_last_attempt_knows_that_it_is_the_last() {
    let bench = Bench::new(&["transient"]);
    bench.drive().await;
    let contexts = bench.worker.handler().contexts.lock().unwrap();
    let attempts: Vec<_> = contexts.iter().map(RecordContext::attempt).collect();
    let last: Vec<_> = contexts
        .iter()
        .map(RecordContext::is_last_attempt)
        .collect();
    assert_eq!(attempts, [1, 2, 3, 4, 5]);
    assert_eq!(last, [false, false, false, false, true]);
}

#[tokio::test(start_paused = true)]
async fn used_up_retries_end_in_the_dead_letter_queue_with_the_reason() {
    let bench = Bench::new(&["transient"]);
    assert_eq!(bench.drive().await, 5);
    assert!(bench.queue.waiting().is_empty());
    let parked = bench.queue.dead_letters().remove(0);
    assert_eq!(parked.body, "transient");
    let record = serde_json::to_value(parked.record.unwrap()).unwrap();
    let expected = serde_json::json!({
        "errorClass": "transient",
        "errorName": "Throttled",
        "cause": ["Throttled", "slow down"],
        "consumer": "greeter",
        "sourceQueue": "arn:aws:sqs:eu-central-1:000000000000:memory",
        "schema": "greeting.v1",
        "schemaHash": "5c4e",
        "bodySha256": "c9315b735a289b9add6f2410e08e9bb26b58c832e1cd91693b6850d788267171",
        "attempts": 5,
        "firstSeen": "1970-01-01T00:00:00Z",
        "failedAt": "1970-01-02T00:00:00Z",
        "correlationId": "c-transient",
        "messageId": "message-1",
    });
    assert_eq!(record, expected);
}

#[tokio::test(start_paused = true)]
async fn an_ambiguous_error_and_a_panic_are_retried_and_dead_lettered_too() {
    let bench = Bench::new(&["ambiguous", "panic", "slow"]);
    bench.drive().await;
    let mut names: Vec<_> = bench
        .queue
        .dead_letters()
        .into_iter()
        .map(|parked| parked.record.unwrap())
        .map(|record| (record.error_class, record.error_name))
        .collect();
    names.sort();
    let expected = [
        ("ambiguous", "DeadlineExceeded"),
        ("ambiguous", "TimedOut"),
        ("transient", "Panic"),
    ];
    assert_eq!(
        names,
        expected.map(|(class, name)| (class.to_owned(), name.to_owned()))
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_reported_with_its_text() {
    let bench = Bench::new(&["panic"]);
    bench.run_once().await;
    let entry = bench.log.only();
    assert_eq!(entry.class, Some(Class::Transient));
    assert_eq!(entry.name.as_deref(), Some("Panic"));
    assert_eq!(entry.cause, ["Panic", "boom"]);
}

#[tokio::test(start_paused = true)]
async fn poison_is_quarantined_at_once_and_the_hook_told() {
    let bench = Bench::new(&["garbage", "poison"]);
    assert!(bench.run_once().await.is_empty());
    assert!(bench.queue.dead_letters().is_empty());
    let mut bodies: Vec<_> = bench.queue.quarantined();
    bodies.sort_by(|a, b| a.body.cmp(&b.body));
    assert_eq!(bodies[0].body, "garbage");
    let record = bodies[0].record.clone().unwrap();
    assert_eq!(record.cause, ["NotJson", "expected a value"]);
    assert_eq!(record.correlation_id.as_deref(), Some("c-garbage"));
    let mut told = bench.worker.handler().poisoned.lock().unwrap().clone();
    told.sort();
    assert_eq!(told, ["garbage: NotJson", "poison: BadContract"]);
}

#[tokio::test(start_paused = true)]
async fn the_hook_waits_until_the_poison_is_in_quarantine() {
    let bench = Bench::new(&["poison"]);
    bench.queue.break_operation(Operation::Quarantine);
    assert_eq!(bench.run_once().await, ["message-1"]);
    assert!(bench.worker.handler().poisoned.lock().unwrap().is_empty());
    bench.queue.repair_operation(Operation::Quarantine);
    bench.drive().await;
    assert_eq!(bench.worker.handler().poisoned.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_business_error_is_the_end_of_the_message() {
    let bench = Bench::new(&["business"]);
    assert!(bench.run_once().await.is_empty());
    assert!(bench.queue.waiting().is_empty());
    let entry = bench.log.only();
    assert_eq!(entry.outcome, Outcome::Refused);
    assert_eq!(entry.name.as_deref(), Some("Declined"));
}

#[tokio::test(start_paused = true)]
async fn a_deferred_message_waits_as_long_as_asked_or_as_the_backoff_says() {
    let bench = Bench::new(&["deferred", "deferred-somehow"]);
    assert_eq!(bench.run_once().await, ["message-1", "message-2"]);
    let entries = bench.log.entries();
    let delay = Duration::from_secs(7);
    assert_eq!(entries[0].outcome, Outcome::Deferred { delay });
    let backoff = entries[1].outcome.delay().unwrap();
    assert!(backoff <= Backoff::default().ceiling(1));
}

#[tokio::test(start_paused = true)]
async fn being_deferred_never_dead_letters() {
    let bench = Bench::new(&["deferred"]);
    assert!(bench.drive().await > 1000);
    assert_eq!(bench.queue.waiting(), ["deferred"]);
    assert!(bench.queue.dead_letters().is_empty());
    let copies = bench.log.entries();
    let resent = copies.iter().filter(|entry| {
        let delay = Duration::from_secs(7);
        entry.outcome == Outcome::Resent { delay }
    });
    assert!(resent.count() > 200);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_deferred_fresh_is_replaced_by_a_copy_at_once() {
    let attributes = BTreeMap::from([("kind".to_owned(), Attribute::text("greeting"))]);
    let queue = MemoryQueue::new(VISIBILITY, REDRIVE_AFTER);
    queue.send_with("deferred-fresh", None, attributes.clone());
    let bench = Bench::on(queue, |_| {});
    assert!(bench.run_once().await.is_empty());
    let entry = bench.log.only();
    assert_eq!(entry.outcome, Outcome::Resent { delay: MINUTE });
    assert_eq!(entry.class.unwrap().as_str(), "deferred");
    assert!(bench.queue.receive(10).records.is_empty(), "it waits");
    tokio::time::advance(MINUTE).await;
    let copy = bench.queue.receive(10).records.remove(0);
    assert_eq!(copy.message_id.as_deref(), Some("message-2"));
    assert_eq!(copy.attributes["ApproximateReceiveCount"], "1");
    let copy = Delivery::parse(0, copy).unwrap();
    assert_eq!(copy.attributes(), &attributes);
}

#[tokio::test(start_paused = true)]
async fn where_the_copy_cannot_be_sent_the_message_goes_back() {
    let bench = Bench::new(&["deferred-fresh"]);
    bench.queue.break_operation(Operation::Resend);
    assert_eq!(bench.run_once().await, ["message-1"]);
    assert_eq!(bench.log.only().outcome, Outcome::Stranded);
    assert_eq!(bench.queue.waiting(), ["deferred-fresh"]);
}

#[tokio::test(start_paused = true)]
async fn in_a_fifo_group_order_comes_first_and_a_copy_is_made_on_the_last_receive_only() {
    let queue = MemoryQueue::fifo(VISIBILITY, REDRIVE_AFTER);
    for body in ["deferred-fresh", "a"] {
        queue.send_with(body, Some("red"), Default::default());
    }
    let bench = Bench::on(queue, |_| {});
    for _ in 0..4 {
        assert_eq!(bench.run_once().await, ["message-1", "message-2"]);
        tokio::time::advance(VISIBILITY).await;
    }
    assert_eq!(bench.worker.handler().handled(), ["deferred-fresh"; 4]);
    assert!(bench.run_once().await.is_empty());
    assert_eq!(bench.queue.waiting(), ["deferred-fresh"]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_moved_goes_back_and_is_left_to_the_redrive_policy() {
    let bench = Bench::new(&["transient"]);
    bench.queue.break_operation(Operation::DeadLetter);
    bench.drive().await;
    let stranded: Vec<_> = bench.log.entries().split_off(4);
    assert_eq!(stranded.len(), 4);
    for entry in stranded {
        assert_eq!(entry.outcome, Outcome::Stranded);
        assert_eq!(entry.queue_error, Some(Operation::DeadLetter));
    }
    let parked = bench.queue.dead_letters().remove(0);
    assert_eq!((parked.body.as_str(), parked.record), ("transient", None));
}

#[tokio::test(start_paused = true)]
async fn a_failing_delay_is_observed_and_changes_nothing() {
    let bench = Bench::new(&["transient"]);
    bench.queue.break_operation(Operation::Delay);
    assert_eq!(bench.run_once().await, ["message-1"]);
    let entry = bench.log.only();
    assert!(matches!(entry.outcome, Outcome::Retried { .. }));
    assert_eq!(entry.queue_error, Some(Operation::Delay));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_begun_when_the_deadline_is_near() {
    #[track_caller]
    fn check(bench: &Bench, returned: &[String]) {
        assert_eq!(returned, ["message-1", "message-2"]);
        assert!(bench.worker.handler().handled().is_empty());
        let untouched = bench.log.batches.lock().unwrap()[0].untouched;
        assert_eq!(untouched, 2);
    }
    for invocation in [
        Duration::ZERO,
        Duration::from_secs(1),
        Duration::from_secs(3),
    ] {
        let bench = Bench::new(&["a", "b"]);
        check(&bench, &bench.run_for(invocation).await);
    }
}

#[tokio::test(start_paused = true)]
async fn records_that_wait_for_their_turn_too_long_are_returned_untouched() {
    let queue = Bench::new(&["slow", "a", "b"]).queue;
    let bench = Bench::on(queue, |config| config.concurrency = 1.try_into().unwrap());
    assert_eq!(
        bench.run_once().await,
        ["message-1", "message-2", "message-3"]
    );
    assert_eq!(bench.worker.handler().handled(), ["slow"]);
    let outcomes: Vec<_> = bench.log.entries().iter().map(|e| e.outcome).collect();
    assert_eq!(outcomes[1..], [Outcome::Unclaimed, Outcome::Unclaimed]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_stopped_before_the_invocation_ends() {
    let bench = Bench::new(&["slow"]);
    let started = Instant::now();
    assert_eq!(bench.run_once().await, ["message-1"]);
    assert_eq!(started.elapsed(), INVOCATION - Duration::from_secs(1));
    let entry = bench.log.only();
    assert_eq!(entry.class, Some(Class::Ambiguous));
    assert_eq!(entry.name.as_deref(), Some("DeadlineExceeded"));
}

#[tokio::test(start_paused = true)]
async fn the_context_tells_the_time_that_is_left() {
    let bench = Bench::new(&["a"]);
    bench.run_once().await;
    let context = bench.worker.handler().contexts.lock().unwrap()[0].clone();
    assert_eq!(context.message_id(), "message-1");
    let since = Duration::from_millis(100);
    assert_eq!(
        context.remaining(),
        INVOCATION - Duration::from_secs(1) - since
    );
    tokio::time::advance(HOUR).await;
    assert_eq!(context.remaining(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_context_has_the_attributes_of_the_delivery() {
    let kind = Attribute::text("greeting");
    let blob = Attribute::Binary {
        data_type: "Binary".to_owned(),
        value: vec![1],
    };
    let attributes = BTreeMap::from([("kind".to_owned(), kind), ("blob".to_owned(), blob)]);
    let queue = MemoryQueue::new(VISIBILITY, REDRIVE_AFTER);
    queue.send_with("a", None, attributes.clone());
    let bench = Bench::on(queue, |_| {});
    bench.run_once().await;
    let context = bench.worker.handler().contexts.lock().unwrap()[0].clone();
    assert_eq!(context.attributes(), &attributes);
    let texts = ["kind", "blob", "absent"].map(|name| context.attribute(name));
    assert_eq!(texts, [Some("greeting"), None, None]);
}

#[tokio::test(start_paused = true)]
async fn each_class_goes_where_its_route_leads() {
    #[track_caller]
    fn check(bench: &Bench, body: &str, outcome: &str) {
        let outcomes = bench.log.entries();
        let last = outcomes
            .iter()
            .rev()
            .find(|entry| entry.correlation_id.as_deref() == Some(&format!("c-{body}")));
        assert_eq!(last.unwrap().outcome.as_str(), outcome, "{body}");
    }
    let bodies = ["transient", "ambiguous", "business", "garbage", "panic"];
    let bench = Bench::on(Bench::new(&bodies).queue, |config| {
        config.routes.transient = Route::Move(Destination::DeadLetter);
        config.routes.ambiguous = Route::Retry {
            then: Destination::Quarantine,
        };
        config.routes.business = Route::Move(Destination::DeadLetter);
        config.routes.poison = Route::Done;
    });
    assert_eq!(bench.run_once().await, ["message-2"]);
    check(&bench, "transient", "dead-lettered");
    check(&bench, "ambiguous", "retried");
    check(&bench, "business", "dead-lettered");
    check(&bench, "garbage", "refused");
    check(&bench, "panic", "dead-lettered");
    bench.drive().await;
    check(&bench, "ambiguous", "quarantined");
    let quarantined = bench.queue.quarantined().remove(0).record.unwrap();
    assert_eq!(quarantined.error_class, "ambiguous");
    assert_eq!(quarantined.attempts, 5);
    let told = bench.worker.handler().poisoned.lock().unwrap().clone();
    assert_eq!(told, ["garbage: NotJson"], "the hook is for poison alone");
}

/// Remembers poison for a minute.
fn with_memory(queue: MemoryQueue) -> Bench {
    Bench::on(queue, |config| {
        let mut memory = PoisonMemory::default();
        memory.time_to_live = MINUTE;
        config.poison_memory = Some(memory);
    })
}

#[tokio::test(start_paused = true)]
async fn a_body_that_was_refused_before_is_quarantined_without_decoding_and_the_hook_told() {
    let bench = with_memory(Bench::new(&["garbage"]).queue);
    bench.run_once().await;
    bench.queue.send("garbage");
    bench.queue.send("a");
    assert!(bench.run_once().await.is_empty());
    assert_eq!(bench.worker.handler().decoded(), ["garbage", "a"]);
    let parked = bench.queue.quarantined().into_iter();
    let records: Vec<_> = parked.map(|parked| parked.record.unwrap()).collect();
    let [first, again] = &records[..] else {
        panic!("both are in quarantine");
    };
    assert_eq!(
        (&*first.error_name, first.original_error_name.as_deref()),
        ("NotJson", None)
    );
    assert_eq!(again.error_class, "poison");
    assert_eq!(again.error_name, KNOWN_POISON);
    assert_eq!(again.original_error_name.as_deref(), Some("NotJson"));
    assert_eq!(again.cause, first.cause);
    assert_eq!(
        (first.group_name(), again.group_name()),
        ("NotJson", "NotJson")
    );
    assert_eq!(again.message_id, "message-2");
    let told = bench.worker.handler().poisoned.lock().unwrap().clone();
    assert_eq!(told, ["garbage: NotJson", "garbage: KnownPoison"]);
}

#[tokio::test(start_paused = true)]
async fn poison_is_decoded_again_once_it_is_forgotten_and_always_without_a_memory() {
    let bench = with_memory(Bench::new(&["garbage"]).queue);
    bench.run_once().await;
    tokio::time::advance(MINUTE).await;
    bench.queue.send("garbage");
    bench.run_once().await;
    assert_eq!(bench.worker.handler().decoded(), ["garbage"; 2]);

    let bench = Bench::new(&["garbage"; 2]);
    bench.run_once().await;
    assert_eq!(bench.worker.handler().decoded(), ["garbage"; 2]);
}

#[tokio::test(start_paused = true)]
async fn where_poison_is_retried_it_is_decoded_each_time() {
    let bench = Bench::on(Bench::new(&["garbage"]).queue, |config| {
        config.poison_memory = Some(PoisonMemory::default());
        let then = Destination::Quarantine;
        config.routes.poison = Route::Retry { then };
    });
    assert_eq!(bench.drive().await, 5);
    assert_eq!(bench.worker.handler().decoded(), ["garbage"; 5]);
    let record = bench.queue.quarantined().remove(0).record.unwrap();
    assert_eq!((&*record.error_name, record.attempts), ("NotJson", 5));
}

#[tokio::test(start_paused = true)]
async fn what_the_handling_calls_poison_and_what_fails_otherwise_is_not_remembered() {
    for body in [
        "poison",
        "panic-decoding",
        "no-schema-yet",
        "transient",
        "a",
    ] {
        let bench = with_memory(Bench::new(&[body]).queue);
        bench.run_once().await;
        bench.queue.send(body);
        bench.run_once().await;
        assert_eq!(bench.worker.handler().decoded(), [body; 2]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fifo_group_stops_at_the_first_failure_and_other_groups_go_on() {
    let queue = MemoryQueue::fifo(VISIBILITY, REDRIVE_AFTER);
    for (group, body) in [
        ("red", "a1"),
        ("red", "third-time"),
        ("blue", "b1"),
        ("red", "a3"),
        ("blue", "b2"),
    ] {
        queue.send_with(body, Some(group), Default::default());
    }
    let bench = Bench::on(queue, |_| {});
    assert_eq!(bench.run_once().await, ["message-2", "message-4"]);
    let mut handled = bench.worker.handler().handled();
    handled.sort();
    assert_eq!(handled, ["a1", "b1", "b2", "third-time"]);
    let entries = bench.log.entries();
    let blocked = entries.iter().find(|e| e.message_id == "message-4");
    assert_eq!(blocked.unwrap().outcome, Outcome::Blocked);
    bench.drive().await;
    assert_eq!(
        bench.worker.handler().handled().last().unwrap(),
        "a3",
        "the message behind the failed one comes last"
    );
}

#[tokio::test(start_paused = true)]
async fn a_fifo_group_goes_on_after_a_message_that_is_quarantined() {
    let queue = MemoryQueue::fifo(VISIBILITY, REDRIVE_AFTER);
    for body in ["garbage", "a"] {
        queue.send_with(body, Some("red"), Default::default());
    }
    let bench = Bench::on(queue, |_| {});
    assert!(bench.run_once().await.is_empty());
    assert_eq!(bench.worker.handler().handled(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn groups_of_a_standard_queue_do_not_wait_for_each_other() {
    let queue = MemoryQueue::new(VISIBILITY, REDRIVE_AFTER);
    for body in ["transient", "a"] {
        queue.send_with(body, Some("tenant"), Default::default());
    }
    let bench = Bench::on(queue, |_| {});
    assert_eq!(bench.run_once().await, ["message-1"]);
    assert_eq!(bench.worker.handler().handled(), ["transient", "a"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_with_a_nameless_record_is_refused_before_anything_is_handled() {
    let bench = Bench::new(&["a"]);
    let mut event: SqsEvent = bench.queue.receive(10);
    let mut nameless = event.records[0].clone();
    nameless.message_id = Some(String::new());
    event.records.push(nameless);
    let error = bench
        .worker
        .run(event, Instant::now() + INVOCATION)
        .await
        .unwrap_err();
    assert_eq!((error.index, error.missing), (1, "message id"));
    assert!(bench.worker.handler().handled().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_describing_costs_only_the_description() {
    let bench = Bench::new(&["panic-describing"]);
    assert!(bench.run_once().await.is_empty());
    let entry = bench.log.only();
    assert_eq!(entry.outcome, Outcome::Processed);
    assert_eq!(entry.correlation_id, None);
}

#[tokio::test(start_paused = true)]
async fn a_panicking_observer_changes_nothing() {
    struct Broken;
    impl Observer for Broken {
        fn record_started(&self, _: &Delivery) {
            panic!("started");
        }
        fn record_finished(&self, _: &RecordReport<'_>) {
            panic!("finished");
        }
        fn batch_finished(&self, _: &BatchSummary) {
            panic!("batch");
        }
    }
    let bench = Bench::new(&["a", "transient"]);
    let worker = bench.worker.with_observer(Broken);
    let event = bench.queue.receive(10);
    let response = worker.run(event, Instant::now() + INVOCATION).await;
    let failures = response.unwrap().batch_item_failures;
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].item_identifier, "message-2");
}

#[tokio::test]
async fn a_run_can_be_sent_between_threads() {
    fn assert_send<T: Send>(_: T) {}
    let bench = Bench::new(&[]);
    assert_send(bench.worker.run(SqsEvent::default(), Instant::now()));
}

/// Counts the requests and answers each with success.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Counting {
    async fn count(&self) -> Result<(), QueueError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

impl Queue for &Counting {
    async fn delay(&self, _: &str, _: Duration) -> Result<(), QueueError> {
        self.count().await
    }
    async fn resend(&self, _: &Delivery, _: Duration) -> Result<(), QueueError> {
        self.count().await
    }
    async fn dead_letter(&self, _: &Delivery, _: &FailureRecord) -> Result<(), QueueError> {
        self.count().await
    }
    async fn quarantine(&self, _: &Delivery, _: &FailureRecord) -> Result<(), QueueError> {
        self.count().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_costs_at_most_one_request_and_none_where_nothing_went_wrong() {
    async fn check(body: &str, max_receives: u32, invocation: Duration, requests: usize) {
        let queue = Counting::default();
        let mut config = Config::new("greeter");
        config.max_receives = max_receives.try_into().unwrap();
        let worker = Worker::new(config, &queue, Scripted::default()).with_observer(());
        let event = Bench::new(&[body]).queue.receive(10);
        let deadline = Instant::now() + invocation;
        worker.run(event, deadline).await.unwrap();
        assert_eq!(queue.0.load(Ordering::SeqCst), requests, "{body}");
    }
    check("a", 5, INVOCATION, 0).await;
    check("business", 5, INVOCATION, 0).await;
    check("transient", 5, Duration::from_secs(1), 0).await;
    check("transient", 5, INVOCATION, 1).await;
    check("deferred", 5, INVOCATION, 1).await;
    check("deferred-fresh", 5, INVOCATION, 1).await;
    check("deferred", 1, INVOCATION, 1).await;
    check("transient", 1, INVOCATION, 1).await;
    check("garbage", 5, INVOCATION, 1).await;
}

/// A queue whose every operation panics or never ends.
struct Treacherous {
    hangs: bool,
}

impl Treacherous {
    async fn betray(&self) -> Result<(), QueueError> {
        assert!(self.hangs, "the adapter panics");
        std::future::pending().await
    }
}

impl Queue for Treacherous {
    async fn delay(&self, _: &str, _: Duration) -> Result<(), QueueError> {
        self.betray().await
    }
    async fn resend(&self, _: &Delivery, _: Duration) -> Result<(), QueueError> {
        self.betray().await
    }
    async fn dead_letter(&self, _: &Delivery, _: &FailureRecord) -> Result<(), QueueError> {
        self.betray().await
    }
    async fn quarantine(&self, _: &Delivery, _: &FailureRecord) -> Result<(), QueueError> {
        self.betray().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_panics_or_hangs_costs_its_own_record_only_and_never_the_deadline() {
    for hangs in [false, true] {
        let bench = Bench::new(&["a", "garbage", "transient", "b"]);
        let queue = Treacherous { hangs };
        let worker = Worker::new(Config::new("greeter"), queue, Scripted::default())
            .with_observer((bench.log.clone(), ()));
        let deadline = Instant::now() + INVOCATION;
        let response = worker.run(bench.queue.receive(10), deadline).await.unwrap();
        assert!(Instant::now() < deadline);
        let failures = response.batch_item_failures.into_iter();
        let mut returned: Vec<_> = failures.map(|failure| failure.item_identifier).collect();
        returned.sort();
        assert_eq!(returned, ["message-2", "message-3"]);
        assert_eq!(bench.log.entries().len(), 4, "each record is reported once");
    }
}
