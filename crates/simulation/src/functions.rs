//! The functions, put together as their `main.rs` does it, and Lambda around them.

use std::cell::Cell;
use std::fmt::Display;
use std::num::NonZeroU32;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use audit_recorder::AuditRecorder;
use aws_lambda_events::event::dynamodb::Event as StreamEvent;
use dlq_alarm::{DlqAlarm, Request};
use domain::{OrderId, Step};
use failures::{Acknowledging, AutomaticReplay, Drain, DrainedQueue, Limits, Notices};
use fastrand::Rng;
use idempotency::{Clock, Millis};
use message_worker::{
    Backoff, Config, Handler, Jitter, Observer, Outcome, PoisonMemory, RecordReport, Worker,
};
use notifier::Notifier;
use outbox_relay::{Failures, Relay};
use saga_starter::SagaStarter;
use saga_step::StepHandler;
use serde_json::{Value, json};
use stock_worker::Stock;
use testkit::{OrderChanged, VirtualClock};
use tokio::time::{Instant, sleep};

use crate::bus;
use crate::circuits;
use crate::mishaps::Mishap;
use crate::ports::Ports;
use crate::queues;
use crate::sim::{Environment, Sim};
use crate::template::{CONSUMERS, DEPLOYED};

/// How many environments of a consumer run at a time.
const ENVIRONMENTS: usize = 2;

/// How often it is looked whether a mapping that is disabled lets messages through again.
const LOOK_AT_MAPPING: Duration = Duration::from_secs(5);

/// Records of one order stay in one lane.
const LANES: usize = 4;

/// As the template names the function's time limit.
const DRAIN_TIME: Duration = Duration::from_secs(120);
const DRAIN_RESERVE: Duration = Duration::from_secs(20);

/// Everything that runs by itself.
pub(crate) fn deploy(sim: &Sim) {
    ORIGIN.set(Some(Instant::now()));
    for _ in 0..ENVIRONMENTS {
        consume(sim, "saga", SagaStarter::new);
        consume(sim, "payment", |ports| {
            let guard = circuits::guard(&ports);
            circuits::payment(ports, guard)
        });
        consume(sim, "stock", |ports| {
            let steps = Stock::new(ports.clone(), ports.environment.clock);
            StepHandler::new(Step::Reserve, steps, ports)
        });
        consume(sim, "shipping", |ports| {
            let guard = circuits::guard(&ports);
            circuits::shipping(ports, guard)
        });
        consume(sim, "audit", |ports| {
            let clock = ports.environment.clock;
            AuditRecorder::new(ports, clock, Duration::from_secs(365 * 24 * 3600))
        });
        consume(sim, "notify", |ports| {
            let clock = ports.environment.clock;
            Notifier::new(ports.clone(), ports, clock)
        });
    }
    for lane in 0..LANES {
        sim.spawn(relay(sim.clone(), lane));
    }
    sim.spawn(drain_on_schedule(sim.clone()));
    circuits::deploy(sim);
}

/// One invocation; `None` where the environment is lost, or the time is over.
pub(crate) async fn invoke<T>(
    sim: &Sim,
    environment: &Environment,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let lost = tokio::select! {
        biased;
        done = work => return Some(done),
        () = environment.lost.notified() => "an environment is lost",
        () = sleep(limit) => "an invocation runs out of time",
    };
    sim.tell(&environment.name, format_args!("{lost}"));
    sim.count(format!("lambda: {lost}"));
    None
}

pub(crate) type Consumer<H> =
    Worker<Ports, Acknowledging<H, Ports, crate::sim::EnvironmentClock>, Watch>;

/// Lambda takes batches out of a consumer's queue and hands them to its function.
fn consume<H>(sim: &Sim, consumer: &'static str, make: impl Fn(Ports) -> H + Send + Sync + 'static)
where
    H: Handler<Output: Display> + 'static,
{
    let sim = sim.clone();
    sim.clone().spawn(async move {
        let mut arrivals = sim.listen(consumer);
        let mut living: Option<(Environment, Consumer<H>)> = None;
        loop {
            arrivals.hear();
            let next = sim.state().queues.next_visible(consumer);
            if next.is_none_or(|next| next > sim.now()) {
                let at = next.map(|next| Instant::now() + next.since(sim.now()));
                arrivals.until(at).await;
            }
            sleep(sim.up_to(Duration::from_millis(200))).await;
            if !sim.state().circuits.passes(consumer, sim.now()) {
                sleep(LOOK_AT_MAPPING).await;
                continue;
            }
            let batch = receive(&sim, consumer);
            if batch.is_empty() {
                continue;
            }
            let (environment, worker) = living.take().unwrap_or_else(|| {
                let environment = sim.environment(consumer);
                let worker = worker(&sim, consumer, &environment, &make);
                (environment, worker)
            });
            let ids: Vec<_> = batch.iter().map(|message| message.id.as_str()).collect();
            sim.tell(&environment.name, format_args!("gets {}", ids.join(" ")));
            let limit = DEPLOYED.function_time;
            let work = worker.run(queues::event(consumer, &batch), Instant::now() + limit);
            let Some(response) = invoke(&sim, &environment, limit, work).await else {
                continue;
            };
            living = Some((environment, worker));
            let returned = response.map(|response| response.batch_item_failures);
            for message in &batch {
                let comes_back = returned.as_ref().map_or(true, |returned| {
                    returned
                        .iter()
                        .any(|failure| failure.item_identifier == message.id)
                });
                if !comes_back {
                    bus::acknowledge(&sim, consumer, message);
                }
            }
        }
    });
}

/// A batch for the mapping.
fn receive(sim: &Sim, consumer: &str) -> Vec<queues::Message> {
    let is_lost = sim.draw(Mishap::VisibilityLost);
    let hidden = move |random: &mut Rng| match is_lost {
        true => Duration::from_millis(random.u64(0..5000)),
        false => DEPLOYED.visibility,
    };
    let most = sim.state().random.usize(1..=10);
    receive_some(sim, consumer, most, hidden)
}

/// One message for a probe.
pub(crate) fn receive_one(sim: &Sim, consumer: &str, hidden: Duration) -> Option<queues::Message> {
    receive_some(sim, consumer, 1, |_| hidden).pop()
}

fn receive_some(
    sim: &Sim,
    consumer: &str,
    most: usize,
    hidden: impl Fn(&mut Rng) -> Duration,
) -> Vec<queues::Message> {
    let now = sim.now();
    let dead = format!("{consumer}-dlq");
    let mut guard = sim.state();
    let state = &mut *guard;
    let moved = state
        .queues
        .redrive(consumer, &dead, DEPLOYED.most_receives, now);
    if !moved.is_empty() {
        let ids = moved.join(" ");
        state
            .story
            .count("queue: its own policy moves a message to the dead letters");
        state.story.tell(
            sim.elapsed(),
            "queue",
            format_args!("{consumer} moves {ids} to {dead}"),
        );
    }
    let received = state
        .queues
        .receive(consumer, most, now, hidden, &mut state.random);
    drop(guard);
    if !moved.is_empty() {
        sim.arrived(&dead);
    }
    received
}

/// As `aws_adapters::queue_worker` puts it together.
pub(crate) fn worker<H: Handler<Output: Display>>(
    sim: &Sim,
    consumer: &'static str,
    environment: &Environment,
    make: &impl Fn(Ports) -> H,
) -> Consumer<H> {
    let ports = Ports {
        sim: sim.clone(),
        environment: environment.clone(),
        consumer,
    };
    let mut config = Config::new(consumer);
    config.max_receives = NonZeroU32::new(DEPLOYED.most_receives).unwrap_or(NonZeroU32::MIN);
    config.backoff = Backoff {
        base: DEPLOYED.backoff_base,
        cap: DEPLOYED.backoff_cap,
    };
    config.poison_memory = Some(PoisonMemory::default());
    let store = ports.clone();
    let handler = make(ports.clone());
    let handler = Acknowledging::new(handler, consumer, move || store, environment.clock);
    let seed = sim.state().random.u64(..);
    let watch = Watch {
        sim: sim.clone(),
        actor: environment.name.to_string(),
    };
    Worker::new(config, ports, handler)
        .with_jitter(Jitter::seeded(seed))
        .with_clock(time_of_day)
        .with_observer(watch)
}

thread_local! {
    /// When the run of this thread began. A worker's clock is a plain function.
    static ORIGIN: Cell<Option<Instant>> = const { Cell::new(None) };
}

fn time_of_day() -> SystemTime {
    let elapsed = ORIGIN
        .get()
        .map_or(Duration::ZERO, |origin| origin.elapsed());
    UNIX_EPOCH + Duration::from_millis(VirtualClock::START.get()) + elapsed
}

/// Writes down what a worker says became of each message.
pub(crate) struct Watch {
    sim: Sim,
    actor: String,
}

impl Observer for Watch {
    fn record_finished(&self, report: &RecordReport<'_>) {
        let (outcome, error) = (
            report.outcome.as_str(),
            report.error_name.unwrap_or("no error"),
        );
        let told = format!("{outcome} ({error})");
        let (id, attempt) = (report.message_id, report.attempt);
        self.sim
            .tell(&self.actor, format_args!("{id}, receive {attempt}: {told}"));
        self.sim.count(format!("worker: {told}"));
        if matches!(report.outcome, Outcome::Processed | Outcome::Refused) {
            let mut state = self.sim.state();
            if let Some(body) = state.queues.body(id) {
                state.checks.processed(report.consumer, &body);
            }
        }
    }
}

/// The stream gives a lane its records, in order, until they are published.
async fn relay(sim: Sim, lane: usize) {
    let mut arrivals = sim.listen("stream");
    let mut next = 0;
    let mut waiting: Vec<(usize, OrderChanged)> = Vec::new();
    let mut living: Option<Environment> = None;
    loop {
        arrivals.hear();
        let changes = sim.world().changes_from(next);
        let numbered = changes
            .into_iter()
            .enumerate()
            .map(|(index, change)| (next + index, change));
        let numbered: Vec<_> = numbered.collect();
        next += numbered.len();
        waiting.extend(
            numbered
                .into_iter()
                .filter(|(_, change)| lane_of(change.order) == lane),
        );
        if waiting.is_empty() {
            arrivals.until(None).await;
            continue;
        }
        sleep(sim.up_to(Duration::from_millis(500))).await;
        let most = sim.state().random.usize(1..=100).min(waiting.len());
        let environment = living.take().unwrap_or_else(|| sim.environment("relay"));
        let ports = Ports {
            sim: sim.clone(),
            environment: environment.clone(),
            consumer: "saga",
        };
        let clock = environment.clock;
        let relay = Relay::new(ports.clone(), ports, clock, Failures::BySequence);
        let event = stream_event(&sim, &waiting[..most]);
        let done = invoke(
            &sim,
            &environment,
            DEPLOYED.function_time,
            relay.relay(&event),
        )
        .await;
        let Some(Ok(response)) = done else {
            continue;
        };
        living = Some(environment);
        let failed = response.batch_item_failures.first();
        let failed = failed.and_then(|failure| failure.item_identifier.as_deref()?.parse().ok());
        let published = match failed {
            Some(failed) => waiting
                .iter()
                .take_while(|(number, _)| *number < failed)
                .count(),
            None => most,
        };
        if failed.is_some() {
            sim.count("relay: a part of a batch comes again");
            sleep(Duration::from_secs(1)).await;
        }
        if !sim.draw(Mishap::StreamRepeated) {
            waiting.drain(..published);
        }
    }
}

fn lane_of(order: OrderId) -> usize {
    order.to_string().bytes().map(usize::from).sum::<usize>() % LANES
}

#[allow(
    clippy::expect_used,
    reason = "an event that does not parse is a defect of the simulation"
)]
fn stream_event(sim: &Sim, changes: &[(usize, OrderChanged)]) -> StreamEvent {
    let records: Vec<Value> = changes
        .iter()
        .map(|(number, change)| record(sim, *number, change))
        .collect();
    serde_json::from_value(json!({ "Records": records })).expect("the event is one of DynamoDB")
}

fn record(sim: &Sim, number: usize, change: &OrderChanged) -> Value {
    let timeline = sim.world().timeline(change.order);
    let order = change.order.to_string();
    let image = |length: usize| {
        let entries = timeline
            .iter()
            .take(length)
            .map(|event| json!({ "S": event.json }));
        json!({ "orderId": { "S": order }, "timeline": { "L": entries.collect::<Vec<_>>() } })
    };
    let mut changed = json!({
        "Keys": { "orderId": { "S": order } },
        "NewImage": image(change.after),
        "SequenceNumber": number.to_string(), "SizeBytes": 1,
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    });
    if change.before > 0 {
        changed["OldImage"] = image(change.before);
    }
    json!({ "awsRegion": "eu-central-1", "eventID": "e", "eventName": "MODIFY", "dynamodb": changed })
}

/// The queues that are drained.
pub(crate) fn drained_queues() -> Vec<DrainedQueue> {
    let of = |consumer: &&str| {
        [
            format!("{consumer}-dlq"),
            format!("{consumer}-delivery-dlq"),
        ]
    };
    let names = CONSUMERS
        .iter()
        .flat_map(of)
        .chain(["quarantine".to_owned()]);
    let queue = |name: String| {
        let known = DrainedQueue::from_name(&format!("waybill-{name}"))?;
        Some(DrainedQueue {
            address: name,
            ..known
        })
    };
    names.filter_map(queue).collect()
}

/// The schedule, and now and then an alarm, which comes at any time.
async fn drain_on_schedule(sim: Sim) {
    loop {
        let early = sim.state().random.u8(0..4) == 0;
        let wait = match early {
            true => sim.up_to(DEPLOYED.drain_every),
            false => DEPLOYED.drain_every,
        };
        sleep(wait).await;
        drain(&sim).await;
    }
}

/// One run of `dlq-alarm`.
async fn drain(sim: &Sim) {
    let environment = sim.environment("dlq-alarm");
    let ports = Ports {
        sim: sim.clone(),
        environment: environment.clone(),
        consumer: "saga",
    };
    let clock = environment.clock;
    let consumers: Vec<_> = CONSUMERS.iter().map(|it| (*it).to_owned()).collect();
    let limits = Limits {
        backoff: DEPLOYED.automatic_replay_after,
        ..Limits::default()
    };
    let automatic = AutomaticReplay::new(
        (ports.clone(), ports.clone()),
        ports.clone(),
        ports.clone(),
        clock,
        consumers.clone(),
        limits,
    );
    let function = DlqAlarm {
        queues: drained_queues(),
        drain: Drain::new(ports.clone(), ports.clone(), ports.clone(), clock),
        notices: Notices::new(
            ports.clone(),
            ports.clone(),
            ports.clone(),
            clock,
            "waybill",
        ),
        automatic: Some(automatic),
        looks: ports.clone(),
        people: ports.clone(),
        clock,
        consumers,
    };
    let Ok(request) = Request::parse(json!({ "drain": "all", "automaticReplay": true })) else {
        return;
    };
    let until: Millis = clock.now().plus(DRAIN_TIME - DRAIN_RESERVE);
    let work = Box::pin(function.handle(&request, until));
    if let Some(Ok(answer)) = invoke(sim, &environment, DRAIN_TIME, work).await {
        let stored: usize = answer.queues.values().map(|drained| drained.stored).sum();
        let again: usize = answer
            .queues
            .values()
            .map(|drained| drained.failed_again)
            .sum();
        for (what, times) in [
            ("drain: a message is stored", stored),
            ("drain: a replay failed again", again),
            ("drain: people are told of a group", answer.told),
            (
                "drain: a failure is replayed by itself",
                answer.automatic_replays,
            ),
        ] {
            if times > 0 {
                sim.count(what);
            }
        }
    }
}
