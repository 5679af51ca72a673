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
    SucceedsTheThirdTime,
    FailsTransiently,
    IsAmbiguous,
    IsRefused,
    IsPoison,
    DoesNotDecode,
    IsDeferred,
    IsDeferredFresh,
    Panics,
    PanicsDecoding,
    Hangs,
}

use Fate::*;

const FATES: [Fate; 12] = [
    Succeeds,
    SucceedsTheThirdTime,
    FailsTransiently,
    IsAmbiguous,
    IsRefused,
    IsPoison,
    DoesNotDecode,
    IsDeferred,
    IsDeferredFresh,
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
    type Output = ();
    type Error = Failure;

    fn decode(&self, delivery: &Delivery) -> Result<String, Failure> {
        match fate_of(delivery.body()) {
            DoesNotDecode => Err(Failure::poison("NotDecodable")),
            PanicsDecoding => panic!("while decoding"),
            _ => Ok(delivery.body().to_owned()),
        }
    }

    async fn handle(&self, body: String, context: &RecordContext) -> Result<(), Failure> {
        sleep(Duration::from_millis(10)).await;
        match fate_of(&body) {
            SucceedsTheThirdTime if context.attempt() < 3 => {
                return Err(Failure::transient("Throttled"));
            }
            FailsTransiently => return Err(Failure::transient("Throttled")),
            IsAmbiguous => return Err(Failure::ambiguous("TimedOut")),
            IsRefused => return Err(Failure::business("Declined")),
            IsPoison => return Err(Failure::poison("BadContract")),
            IsDeferred => return Err(Failure::deferred("ClaimHeld", None)),
            IsDeferredFresh => return Err(Failure::deferred_fresh("CircuitOpen", None)),
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
        SucceedsTheThirdTime if plan.received >= 2 => "processed",
        IsRefused => "refused",
        IsPoison | DoesNotDecode if works(Operation::Quarantine) => "quarantined",
        IsPoison | DoesNotDecode => "stranded",
        IsDeferred if !last => "deferred",
        IsDeferred | IsDeferredFresh if works(Operation::Resend) => "resent",
        IsDeferred | IsDeferredFresh => "stranded",
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
    config.backoff.base = Duration::from_secs(30);
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
            Succeeds | SucceedsTheThirdTime => (false, false, false, true),
            IsRefused => (false, false, false, false),
            IsDeferred | IsDeferredFresh => (true, false, false, false),
            IsPoison | DoesNotDecode => (false, false, true, false),
            _ => (false, true, false, false),
        };
        assert_eq!(places, expected, "{body}");
    }
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn a_fifo_group_is_processed_in_the_order_in_which_it_was_sent(
        // A deferred message that is sent anew leaves its place.
        fates in prop::collection::vec(
            prop::sample::select((0..FATES.len()).filter(|n| keeps_its_place(*n)).collect::<Vec<_>>()),
            1..25,
        ),
        groups in 1..4_usize,
        concurrency in 1..12_usize,
    ) {
        run_paused(drive_in_order(fates, groups, concurrency));
    }
}

fn keeps_its_place(fate: usize) -> bool {
    !matches!(FATES[fate], IsDeferred | IsDeferredFresh)
}

async fn drive_in_order(fates: Vec<usize>, groups: usize, concurrency: usize) {
    let plan = Plan {
        fates,
        concurrency,
        received: 0,
        broken: Vec::new(),
        groups: Some(groups),
        invocation: Duration::from_secs(30),
    };
    let queue = queue_for(&plan);
    let mut config = Config::new("property");
    config.concurrency = concurrency.try_into().unwrap();
    let worker = Worker::new(config, queue.clone(), Fated::default()).with_observer(());
    let patience = Duration::from_secs(24 * 3600);
    queue.drive(&worker, plan.invocation, patience).await;
    assert!(queue.waiting().is_empty());

    let succeeded = worker.handler().succeeded.lock().unwrap();
    let places = succeeded.iter().map(|body| {
        let (position, _) = body.split_once(':').unwrap();
        position.parse::<usize>().unwrap()
    });
    let places: Vec<usize> = places.collect();
    for group in 0..groups {
        let of_group = places.iter().filter(|place| **place % groups == group);
        let of_group: Vec<usize> = of_group.copied().collect();
        assert!(of_group.is_sorted(), "group {group}: {of_group:?}");
    }
    let expected = plan
        .fates
        .iter()
        .filter(|fate| matches!(FATES[**fate], Succeeds | SucceedsTheThirdTime));
    assert_eq!(places.len(), expected.count());
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn what_is_only_ever_deferred_fresh_uses_up_no_receive_and_is_never_dead_lettered(
        messages in 1..15_usize,
        max_receives in 1..6_u32,
        delay in prop::option::of(0..900_u64),
        concurrency in 1..12_usize,
    ) {
        let delay = delay.map(Duration::from_secs);
        run_paused(wait_out_an_outage(messages, max_receives, delay, concurrency));
    }
}

/// Nothing is attempted for three hours; then the messages succeed.
struct Outage {
    over_at: Instant,
    delay: Option<Duration>,
    succeeded: Mutex<BTreeSet<String>>,
    receive_counts: Mutex<BTreeSet<u32>>,
}

impl Handler for Outage {
    type Message = String;
    type Output = ();
    type Error = Failure;

    fn decode(&self, delivery: &Delivery) -> Result<String, Failure> {
        Ok(delivery.body().to_owned())
    }

    async fn handle(&self, body: String, context: &RecordContext) -> Result<(), Failure> {
        let attempt = context.attempt();
        self.receive_counts.lock().unwrap().insert(attempt);
        if Instant::now() < self.over_at {
            return Err(Failure::deferred_fresh("CircuitOpen", self.delay));
        }
        self.succeeded.lock().unwrap().insert(body);
        Ok(())
    }
}

async fn wait_out_an_outage(
    messages: usize,
    max_receives: u32,
    delay: Option<Duration>,
    concurrency: usize,
) {
    let hour = Duration::from_secs(3600);
    // The redrive policy forgives nothing: a second receive is a dead letter.
    let queue = MemoryQueue::new(Duration::from_secs(60), 1);
    let sent: BTreeSet<String> = (0..messages).map(|n| n.to_string()).collect();
    sent.iter().for_each(|body| {
        queue.send(body);
    });
    let mut config = Config::new("property");
    config.concurrency = concurrency.try_into().unwrap();
    config.max_receives = max_receives.try_into().unwrap();
    config.backoff.base = Duration::from_secs(600);
    let handler = Outage {
        over_at: Instant::now() + 3 * hour,
        delay: delay.map(|delay| delay.max(Duration::from_secs(60))),
        succeeded: Mutex::default(),
        receive_counts: Mutex::default(),
    };
    let worker = Worker::new(config, queue.clone(), handler).with_observer(());
    queue
        .drive(&worker, Duration::from_secs(30), 4 * hour)
        .await;
    assert_eq!(*worker.handler().succeeded.lock().unwrap(), sent);
    let counts = worker.handler().receive_counts.lock().unwrap().clone();
    assert_eq!(counts, BTreeSet::from([1]));
    assert!(queue.dead_letters().is_empty() && queue.waiting().is_empty());
}

/// Runs on a paused clock.
fn run_paused(work: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(work);
}
