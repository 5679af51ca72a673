//! Runs a batch, record by record.

use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, SystemTime};

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use crate::backoff::{Backoff, Jitter};
use crate::delivery::{Delivery, InvalidRecord};
use crate::handler::Handler;
use crate::known_poison::{PoisonCache, PoisonMemory};
use crate::observe::{BatchSummary, Observer, TracingObserver};
use crate::outcome::Outcome;
use crate::queue::Queue;
use crate::record::{Limits, Record};
use crate::routes::{Route, Routes};

/// How a worker treats its messages. Begin with [`Config::new`] and change what differs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The name of the consumer, for logs and metadata.
    pub consumer: String,
    /// How many records are handled at the same time.
    pub concurrency: NonZeroUsize,
    /// On this receive a retryable message is dead-lettered. The queue's
    /// redrive policy allows at least as many, being the backstop for crashes.
    pub max_receives: NonZeroU32,
    /// How long a message waits between receives.
    pub backoff: Backoff,
    /// No record is begun when less time than this is left. A function whose
    /// time limit is no longer than this never begins one.
    pub deadline_margin: Duration,
    /// Handlers are stopped when only this much time is left: the worker needs
    /// it to move messages and to answer Lambda. Never more than the margin.
    pub wind_down: Duration,
    /// Which class of error leads where.
    pub routes: Routes,
    /// Whether bodies that did not decode are remembered, and how many. `None`,
    /// the default, decodes every message, and so does a route that retries poison.
    pub poison_memory: Option<PoisonMemory>,
}

impl Config {
    /// Ten records at a time, five receives, no record begun in the last
    /// three seconds, handlers stopped one second before the end.
    pub fn new(consumer: impl Into<String>) -> Self {
        Self {
            consumer: consumer.into(),
            concurrency: NonZeroUsize::MIN.saturating_add(9),
            max_receives: NonZeroU32::MIN.saturating_add(4),
            backoff: Backoff::default(),
            deadline_margin: Duration::from_secs(3),
            wind_down: Duration::from_secs(1),
            routes: Routes::default(),
            poison_memory: None,
        }
    }
}

/// The deadline of an invocation, which Lambda gives as a time of day, on the
/// clock that the worker uses. One that has passed leaves no time.
///
/// ```
/// # use std::time::{Duration, SystemTime};
/// # use tokio::time::Instant;
/// let soon = message_worker::deadline_from(SystemTime::now() + Duration::from_secs(5));
/// assert!(soon > Instant::now() + Duration::from_secs(4));
/// assert!(message_worker::deadline_from(SystemTime::UNIX_EPOCH) <= Instant::now());
/// ```
#[must_use]
pub fn deadline_from(deadline: SystemTime) -> Instant {
    let remaining = deadline.duration_since(SystemTime::now());
    Instant::now() + remaining.unwrap_or_default()
}

/// Runs the batches of one consumer.
#[derive(Debug)]
pub struct Worker<Q, H, O = TracingObserver> {
    pub(crate) config: Config,
    pub(crate) queue: Q,
    pub(crate) handler: H,
    observer: O,
    pub(crate) jitter: Jitter,
    pub(crate) known_poison: Option<PoisonCache>,
    pub(crate) clock: fn() -> SystemTime,
}

impl<Q: Queue, H: Handler> Worker<Q, H> {
    /// A worker that reports to `tracing`.
    pub fn new(config: Config, queue: Q, handler: H) -> Self {
        Self {
            known_poison: poison_cache(&config),
            config,
            queue,
            handler,
            observer: TracingObserver,
            jitter: Jitter::default(),
            clock: SystemTime::now,
        }
    }
}

/// Where poison is retried, it is to be decoded again each time.
fn poison_cache(config: &Config) -> Option<PoisonCache> {
    let retries = matches!(config.routes.poison, Route::Retry { .. });
    let memory = config.poison_memory.filter(|_| !retries);
    memory.map(PoisonCache::new)
}

impl<Q: Queue, H: Handler, O: Observer> Worker<Q, H, O> {
    /// Reports to another observer.
    pub fn with_observer<P: Observer>(self, observer: P) -> Worker<Q, H, P> {
        Worker {
            config: self.config,
            queue: self.queue,
            handler: self.handler,
            observer,
            jitter: self.jitter,
            known_poison: self.known_poison,
            clock: self.clock,
        }
    }

    /// Draws the backoff's delays from another source.
    #[must_use]
    pub fn with_jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// Stamps failure records by another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: fn() -> SystemTime) -> Self {
        self.clock = clock;
        self
    }

    /// The handler, for instance for a test to look into.
    pub fn handler(&self) -> &H {
        &self.handler
    }

    /// Handles every record of the batch and names those that Lambda must
    /// return to the queue.
    ///
    /// # Errors
    ///
    /// [`InvalidRecord`] where a record lacks the id to report it by. Nothing
    /// has been handled then; let the invocation fail, and the batch returns.
    pub async fn run(
        &self,
        event: SqsEvent,
        deadline: Instant,
    ) -> Result<SqsBatchResponse, InvalidRecord> {
        let started = Instant::now();
        let deliveries = parse(event)?;
        let limits = Limits::new(&self.config, deadline);
        let finished = self.run_lanes(into_lanes(deliveries), limits).await;
        let summary = summarize(&finished, started.elapsed());
        self.observe(|observer| observer.batch_finished(&summary));
        let mut response = SqsBatchResponse::default();
        response.set_failures(finished.into_iter().filter_map(Finished::returned));
        Ok(response)
    }

    /// Runs as many lanes at a time as the configuration allows.
    async fn run_lanes(&self, lanes: Vec<Vec<Delivery>>, limits: Limits) -> Vec<Finished> {
        let mut waiting = lanes.into_iter().map(|lane| self.run_lane(lane, limits));
        let mut running = FuturesUnordered::new();
        running.extend(waiting.by_ref().take(self.config.concurrency.get()));
        let mut finished = Vec::new();
        while let Some(lane) = running.next().await {
            finished.extend(lane);
            running.extend(waiting.next());
        }
        finished
    }

    /// Runs the records of one lane one after the other. Once a record goes
    /// back to the queue, those behind it must follow untouched, or they would
    /// overtake it.
    async fn run_lane(&self, lane: Vec<Delivery>, limits: Limits) -> Vec<Finished> {
        let mut finished = Vec::with_capacity(lane.len());
        let mut blocked = false;
        for delivery in lane {
            let record = Record::new(self, &delivery, limits);
            let outcome = record.run(blocked).await;
            blocked |= !outcome.is_acknowledged();
            finished.push(Finished {
                message_id: delivery.message_id().to_owned(),
                outcome,
            });
        }
        finished
    }

    /// Calls the observer. A panic in it must not change what becomes of a message.
    pub(crate) fn observe(&self, tell: impl FnOnce(&O)) {
        if catch_unwind(AssertUnwindSafe(|| tell(&self.observer))).is_err() {
            tracing::error!("the observer panicked");
        }
    }
}

/// A record and what became of it.
struct Finished {
    message_id: String,
    outcome: Outcome,
}

impl Finished {
    fn returned(self) -> Option<String> {
        (!self.outcome.is_acknowledged()).then_some(self.message_id)
    }
}

/// All records are parsed before any is handled, so that an event which cannot
/// be answered record by record is refused whole.
fn parse(event: SqsEvent) -> Result<Vec<Delivery>, InvalidRecord> {
    let records = event.records.into_iter().enumerate();
    records
        .map(|(index, record)| Delivery::parse(index, record))
        .collect()
}

/// A lane holds the messages of one FIFO group in their order, or one message
/// that needs no order.
fn into_lanes(deliveries: Vec<Delivery>) -> Vec<Vec<Delivery>> {
    let mut lanes: Vec<Vec<Delivery>> = Vec::new();
    let mut lane_of_group: HashMap<String, usize> = HashMap::new();
    for delivery in deliveries {
        let lane = match delivery.ordering_group() {
            Some(group) => *lane_of_group.entry(group.to_owned()).or_insert(lanes.len()),
            None => lanes.len(),
        };
        match lanes.get_mut(lane) {
            Some(lane) => lane.push(delivery),
            None => lanes.push(vec![delivery]),
        }
    }
    lanes
}

fn summarize(finished: &[Finished], duration: Duration) -> BatchSummary {
    let count = |which: fn(Outcome) -> bool| {
        finished
            .iter()
            .filter(|record| which(record.outcome))
            .count()
    };
    let acknowledged = count(Outcome::is_acknowledged);
    BatchSummary {
        records: finished.len(),
        acknowledged,
        returned: finished.len() - acknowledged,
        untouched: count(Outcome::is_untouched),
        duration,
    }
}
