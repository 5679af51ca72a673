//! Whatever a batch brings, every record is accounted for exactly once.

#![allow(
    clippy::unwrap_used,
    reason = "in a test, and in what helps it, a panic is the failure report"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use message_worker::memory::MemoryQueue;
use message_worker::{
    Config, Delivery, Failure, Handler, Observer, Operation, Outcome, RecordContext, RecordReport,
    Worker,
};
use proptest::prelude::*;
use tokio::time::{Instant, sleep};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Succeeds,
    FailsTransiently,
    IsAmbiguous,
    IsRefused,
    IsPoison,
    DoesNotDecode,
    IsDeferred,
    Panics,
    PanicsDecoding,
    Hangs,
}

use Fate::*;

const FATES: [Fate; 10] = [
    Succeeds,
    FailsTransiently,
    IsAmbiguous,
    IsRefused,
    IsPoison,
    DoesNotDecode,
    IsDeferred,
    Panics,
    PanicsDecoding,
    Hangs,
];

/// Bodies are `<position>:<fate>`, so that each is unique.
fn fate_of(body: &str) -> Fate {
    let (_, index) = body.split_once(':').unwrap();
    FATES[index.parse::<usize>().unwrap()]
}

#[derive(Default)]
struct Fated {
    succeeded: Mutex<Vec<String>>,
}

impl Handler for Fated {
    type Message = String;
    type Error = Failure;

    fn decode(&self, delivery: &Delivery) -> Result<String, Failure> {
        match fate_of(delivery.body()) {
            DoesNotDecode => Err(Failure::poison("NotDecodable")),
            PanicsDecoding => panic!("while decoding"),
            _ => Ok(delivery.body().to_owned()),
        }
    }

    async fn handle(&self, body: String, _: &RecordContext) -> Result<(), Failure> {
        sleep(Duration::from_millis(10)).await;
        match fate_of(&body) {
            FailsTransiently => return Err(Failure::transient("Throttled")),
            IsAmbiguous => return Err(Failure::ambiguous("TimedOut")),
            IsRefused => return Err(Failure::business("Declined")),
            IsPoison => return Err(Failure::poison("BadContract")),
            IsDeferred => return Err(Failure::deferred("ClaimHeld", None)),
            Panics => panic!("while handling"),
            Hangs => sleep(Duration::from_secs(3600)).await,
            _ => {}
        }
        self.succeeded.lock().unwrap().push(body);
        Ok(())
    }
}

#[derive(Default)]
struct Outcomes(Mutex<BTreeMap<String, Vec<Outcome>>>);

impl Observer for &Outcomes {
    fn record_finished(&self, report: &RecordReport<'_>) {
        let mut outcomes = self.0.lock().unwrap();
        let of_record = outcomes.entry(report.message_id.to_owned()).or_default();
        of_record.push(report.outcome);
    }
}

/// What one batch is made of, and under which conditions it runs.
#[derive(Clone, Debug)]
struct Plan {
    fates: Vec<usize>,
    concurrency: usize,
    /// How often the batch was received before.
    received: usize,
    broken: Vec<Operation>,
    groups: Option<usize>,
    invocation: Duration,
}

fn plans() -> impl Strategy<Value = Plan> {
    let operations = [
        Operation::Delay,
        Operation::Resend,
        Operation::DeadLetter,
        Operation::Quarantine,
    ];
    (
        prop::collection::vec(0..FATES.len(), 1..=10),
        1..12_usize,
        0..5_usize,
        prop::sample::subsequence(operations.to_vec(), 0..=4),
        prop::option::of(1..4_usize),
        prop::sample::select(vec![0, 2, 5, 30]),
    )
        .prop_map(
            |(fates, concurrency, received, broken, groups, seconds)| Plan {
                fates,
                concurrency,
                received,
                broken,
                groups,
                invocation: Duration::from_secs(seconds),
            },
        )
}

fn queue_for(plan: &Plan) -> MemoryQueue {
    let queue = match plan.groups {
        Some(_) => MemoryQueue::fifo(Duration::from_secs(60), 100),
        None => MemoryQueue::new(Duration::from_secs(60), 100),
    };
    for (position, fate) in plan.fates.iter().enumerate() {
        let group = plan
            .groups
            .map(|groups| format!("group-{}", position % groups));
        let body = format!("{position}:{fate}");
        queue.send_with(body, group.as_deref(), BTreeMap::new());
    }
    queue
}

fn bodies(parked: Vec<message_worker::memory::Parked>) -> BTreeSet<String> {
    parked.into_iter().map(|parked| parked.body).collect()
}

async fn check(plan: Plan) {
    let queue = queue_for(&plan);
    for _ in 0..plan.received {
        let _ = queue.receive(10);
        sleep(Duration::from_secs(60)).await;
    }
    for operation in &plan.broken {
        queue.break_operation(*operation);
    }
    let outcomes = Outcomes::default();
    let mut config = Config::new("property");
    config.concurrency = plan.concurrency.try_into().unwrap();
    let worker = Worker::new(config, queue.clone(), Fated::default()).with_observer(&outcomes);

    let event = queue.receive(10);
    let deadline = Instant::now() + plan.invocation;
    let response = worker.run(event.clone(), deadline).await.unwrap();
    assert!(Instant::now() <= deadline, "the worker answers in time");

    let returned: Vec<&str> = response
        .batch_item_failures
        .iter()
        .map(|failure| failure.item_identifier.as_str())
        .collect();
    let unique: BTreeSet<&str> = returned.iter().copied().collect();
    assert_eq!(returned.len(), unique.len(), "nothing is returned twice");

    let succeeded = worker.handler().succeeded.lock().unwrap().clone();
    let dead = bodies(queue.dead_letters());
    let quarantined = bodies(queue.quarantined());
    let outcomes = outcomes.0.lock().unwrap();
    for record in &event.records {
        let id = record.message_id.as_deref().unwrap();
        let body = record.body.as_deref().unwrap();
        let [outcome] = outcomes[id][..] else {
            panic!("{id} has the outcomes {:?}", outcomes[id]);
        };
        assert_eq!(outcome.is_acknowledged(), !unique.contains(id));
        let copies = queue.waiting().iter().filter(|b| *b == body).count() - 1;
        let places = [
            succeeded.iter().any(|b| b == body),
            outcome == Outcome::Refused && fate_of(body) == IsRefused,
            dead.contains(body),
            quarantined.contains(body),
            copies == 1,
        ];
        let places = places.into_iter().filter(|place| *place).count();
        assert_eq!(places, usize::from(outcome.is_acknowledged()), "{body}");
        if plan.groups.is_none() && plan.concurrency >= plan.fates.len() {
            check_alone(&plan, body, outcome);
        }
    }
}

/// With a place for each record, its outcome depends on its own fate alone.
#[track_caller]
fn check_alone(plan: &Plan, body: &str, outcome: Outcome) {
    let works = |operation| !plan.broken.contains(&operation);
    let last = plan.received >= 4;
    let expected = match fate_of(body) {
        _ if plan.invocation <= Duration::from_secs(3) => "unclaimed",
        Succeeds => "processed",
        IsRefused => "refused",
        IsPoison | DoesNotDecode if works(Operation::Quarantine) => "quarantined",
        IsPoison | DoesNotDecode => "stranded",
        IsDeferred if !last => "deferred",
        IsDeferred if works(Operation::Resend) => "resent",
        IsDeferred => "stranded",
        _ if !last => "retried",
        _ if works(Operation::DeadLetter) => "dead-lettered",
        _ => "stranded",
    };
    assert_eq!(outcome.as_str(), expected, "{body}");
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn every_record_is_accounted_for_exactly_once_and_affects_no_other(plan in plans()) {
        run_paused(check(plan));
    }
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn driven_to_the_end_every_message_is_in_the_one_place_it_belongs(
        fates in prop::collection::vec(0..FATES.len(), 1..25),
        concurrency in 4..12_usize,
    ) {
        run_paused(drive(fates, concurrency));
    }
}

async fn drive(fates: Vec<usize>, concurrency: usize) {
    let queue = MemoryQueue::new(Duration::from_secs(60), 100);
    let sent: Vec<String> = fates
        .iter()
        .enumerate()
        .map(|(position, fate)| format!("{position}:{fate}"))
        .collect();
    sent.iter().for_each(|body| {
        queue.send(body);
    });
    let mut config = Config::new("property");
    config.concurrency = concurrency.try_into().unwrap();
    let worker = Worker::new(config, queue.clone(), Fated::default()).with_observer(());
    let (invocation, patience) = (Duration::from_secs(30), Duration::from_secs(3600));
    queue.drive(&worker, invocation, patience).await;

    let waiting = queue.waiting();
    let dead = bodies(queue.dead_letters());
    let quarantined = bodies(queue.quarantined());
    let succeeded = worker.handler().succeeded.lock().unwrap();
    for body in &sent {
        let places = (
            waiting.contains(body),
            dead.contains(body),
            quarantined.contains(body),
            succeeded.contains(body),
        );
        let expected = match fate_of(body) {
            Succeeds => (false, false, false, true),
            IsRefused => (false, false, false, false),
            IsDeferred => (true, false, false, false),
            IsPoison | DoesNotDecode => (false, false, true, false),
            _ => (false, true, false, false),
        };
        assert_eq!(places, expected, "{body}");
    }
}

/// Runs on a paused clock.
fn run_paused(work: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(work);
}
