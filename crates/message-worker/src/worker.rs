//! Runs a batch, record by record.

use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, SystemTime};

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use crate::backoff::{Backoff, Jitter};
use crate::class::{Class, Classify, Failure, cause_chain};
use crate::delivery::{Delivery, InvalidRecord};
use crate::handler::{Description, Handler, RecordContext};
use crate::observe::{BatchSummary, Observer, RecordReport, TracingObserver};
use crate::outcome::Outcome;
use crate::queue::{Operation, Queue, QueueError};
use crate::record::FailureRecord;

/// How a worker treats its messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The name of the consumer, for logs and metadata.
    pub consumer: String,
    /// How many records are handled at the same time.
    pub concurrency: NonZeroUsize,
    /// On this receive a retryable message is dead-lettered. The queue's
    /// redrive policy should allow more, being the backstop for crashes.
    pub max_receives: NonZeroU32,
    /// How long a message waits between receives.
    pub backoff: Backoff,
    /// No record is begun when less time than this is left.
    pub deadline_margin: Duration,
    /// Handlers are stopped when only this much time is left: the worker needs
    /// it to move messages and to answer Lambda. Never more than the margin.
    pub wind_down: Duration,
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
    config: Config,
    queue: Q,
    handler: H,
    observer: O,
    jitter: Jitter,
    clock: fn() -> SystemTime,
}

impl<Q: Queue, H: Handler> Worker<Q, H> {
    /// A worker that reports to `tracing`.
    pub fn new(config: Config, queue: Q, handler: H) -> Self {
        Self {
            config,
            queue,
            handler,
            observer: TracingObserver,
            jitter: Jitter::default(),
            clock: SystemTime::now,
        }
    }
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
            let outcome = self.run_record(&delivery, limits, blocked).await;
            blocked |= !outcome.is_acknowledged();
            finished.push(Finished {
                message_id: delivery.message_id().to_owned(),
                outcome,
            });
        }
        finished
    }

    async fn run_record(&self, delivery: &Delivery, limits: Limits, blocked: bool) -> Outcome {
        // The handler's own panics are caught closer to it and classed. This
        // one keeps a panic in an error's methods or in the queue's adapter
        // from taking the neighbours along.
        let record = Record::new(self, delivery, limits);
        let span = record.span();
        AssertUnwindSafe(record.run(blocked))
            .catch_unwind()
            .instrument(span)
            .await
            .unwrap_or_else(|panic| {
                tracing::error!(
                    message_id = delivery.message_id(),
                    cause = panic_text(panic.as_ref()),
                    "panic outside the handler, the message is returned"
                );
                Outcome::Stranded
            })
    }

    /// Calls the observer. A panic in it must not change what becomes of a message.
    fn observe(&self, tell: impl FnOnce(&O)) {
        if catch_unwind(AssertUnwindSafe(|| tell(&self.observer))).is_err() {
            tracing::error!("the observer panicked");
        }
    }
}

/// The instants that divide what is left of an invocation.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// No record is begun from here on.
    claim: Instant,
    /// Handlers are stopped here.
    handling: Instant,
    /// Operations on the queue are given up here.
    routing: Instant,
}

impl Limits {
    fn new(config: &Config, deadline: Instant) -> Self {
        let wind_down = config.wind_down.min(config.deadline_margin);
        Self {
            claim: before(deadline, config.deadline_margin),
            handling: before(deadline, wind_down),
            routing: before(deadline, wind_down / 2),
        }
    }
}

/// An instant that the clock cannot express has passed long ago.
fn before(deadline: Instant, margin: Duration) -> Instant {
    deadline.checked_sub(margin).unwrap_or_else(Instant::now)
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
            Some(group) => *lane_of_group
                .entry(group.to_owned())
                .or_insert(lanes.len()),
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

/// One record on its way through the worker.
struct Record<'a, Q, H, O> {
    worker: &'a Worker<Q, H, O>,
    delivery: &'a Delivery,
    description: Description,
    limits: Limits,
    last_attempt: bool,
}

/// Why a record was not processed: the handler's error, or the worker's own.
enum Trouble<E> {
    Handler(E),
    Worker(Failure),
}

impl<E: Classify> Trouble<E> {
    fn as_classify(&self) -> &dyn Classify {
        match self {
            Self::Handler(error) => error,
            Self::Worker(failure) => failure,
        }
    }
}

/// Where a record was routed to, and what went wrong on the way.
struct Routed {
    outcome: Outcome,
    queue_error: Option<QueueError>,
}

impl From<Outcome> for Routed {
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            queue_error: None,
        }
    }
}

impl<'a, Q: Queue, H: Handler, O: Observer> Record<'a, Q, H, O> {
    fn new(worker: &'a Worker<Q, H, O>, delivery: &'a Delivery, limits: Limits) -> Self {
        // A description is a courtesy: failing to give one fails nothing.
        let describe = AssertUnwindSafe(|| worker.handler.describe(delivery));
        Self {
            worker,
            delivery,
            description: catch_unwind(describe).unwrap_or_default(),
            limits,
            last_attempt: delivery.receive_count() >= worker.config.max_receives.get(),
        }
    }

    fn span(&self) -> tracing::Span {
        tracing::info_span!(
            "record",
            consumer = self.worker.config.consumer,
            message_id = self.delivery.message_id(),
            correlation_id = self.description.correlation_id,
            attempt = self.delivery.receive_count(),
        )
    }

    async fn run(self, blocked: bool) -> Outcome {
        let started = Instant::now();
        if blocked {
            return self.untouched(Outcome::Blocked);
        }
        if started >= self.limits.claim {
            return self.untouched(Outcome::Unclaimed);
        }
        self.worker
            .observe(|observer| observer.record_started(self.delivery));
        let trouble = self.attempt().await.err();
        let routed = match &trouble {
            None => Outcome::Processed.into(),
            Some(trouble) => self.route(trouble).await,
        };
        let error = trouble.as_ref().map(Trouble::as_classify);
        self.report(&routed, error, started.elapsed());
        routed.outcome
    }

    fn untouched(&self, outcome: Outcome) -> Outcome {
        self.report(&outcome.into(), None, Duration::ZERO);
        outcome
    }

    /// Decodes and handles the message within its time.
    async fn attempt(&self) -> Result<(), Trouble<H::Error>> {
        let context = RecordContext {
            message_id: self.delivery.message_id().to_owned(),
            attempt: self.delivery.receive_count(),
            last_attempt: self.last_attempt,
            deadline: self.limits.handling,
        };
        let handler = &self.worker.handler;
        let handling = async {
            let message = handler.decode(self.delivery)?;
            handler.handle(message, &context).await
        };
        let caught = AssertUnwindSafe(handling).catch_unwind();
        match timeout_at(self.limits.handling, caught).await {
            Ok(Ok(result)) => result.map_err(Trouble::Handler),
            Ok(Err(panic)) => Err(Trouble::Worker(
                Failure::transient("Panic").caused_by(panic_text(panic.as_ref())),
            )),
            Err(elapsed) => Err(Trouble::Worker(
                Failure::ambiguous("DeadlineExceeded").caused_by(elapsed),
            )),
        }
    }

    async fn route(&self, trouble: &Trouble<H::Error>) -> Routed {
        let error = trouble.as_classify();
        match error.class() {
            Class::Business => Outcome::Refused.into(),
            Class::Poison => self.quarantine(trouble).await,
            Class::Deferred { delay } => {
                self.defer(delay.unwrap_or_else(|| self.backoff())).await
            }
            Class::Transient | Class::Ambiguous if self.last_attempt => {
                let record = self.failure_record(error);
                let moving = self.worker.queue.dead_letter(self.delivery, &record);
                self.moved(Operation::DeadLetter, Outcome::DeadLettered, moving)
                    .await
            }
            Class::Transient | Class::Ambiguous => {
                let delay = self.backoff();
                self.delayed(Outcome::Retried { delay }, delay).await
            }
        }
    }

    /// The message is brought to safety first and then mourned: if it stays
    /// behind, the hook is called when it comes again.
    async fn quarantine(&self, trouble: &Trouble<H::Error>) -> Routed {
        let record = self.failure_record(trouble.as_classify());
        let moving = self.worker.queue.quarantine(self.delivery, &record);
        let routed = self
            .moved(Operation::Quarantine, Outcome::Quarantined, moving)
            .await;
        if let (Outcome::Quarantined, Trouble::Handler(error)) = (routed.outcome, trouble) {
            self.tell_poisoned(error).await;
        }
        routed
    }

    async fn tell_poisoned(&self, error: &H::Error) {
        let hook = self.worker.handler.poisoned(self.delivery, error);
        let caught = AssertUnwindSafe(hook).catch_unwind();
        if !matches!(
            timeout_at(self.limits.handling, caught).await,
            Ok(Ok(()))
        ) {
            tracing::warn!("the hook for poisoned messages panicked or ran out of time");
        }
    }

    /// Being received again and again uses up the receives that the redrive
    /// policy allows, so the last one makes a fresh copy.
    async fn defer(&self, delay: Duration) -> Routed {
        if self.last_attempt {
            let moving = self.worker.queue.resend(self.delivery, delay);
            self.moved(Operation::Resend, Outcome::Resent { delay }, moving)
                .await
        } else {
            self.delayed(Outcome::Deferred { delay }, delay).await
        }
    }

    /// The delay is a courtesy to the downstream. Where it fails, the message
    /// comes back after the queue's own visibility time.
    async fn delayed(&self, outcome: Outcome, delay: Duration) -> Routed {
        let handle = self.delivery.receipt_handle();
        let delaying = self.worker.queue.delay(handle, delay);
        Routed {
            outcome,
            queue_error: self.in_time(Operation::Delay, delaying).await.err(),
        }
    }

    /// A message is acknowledged only once it is known to be elsewhere.
    async fn moved(
        &self,
        operation: Operation,
        outcome: Outcome,
        moving: impl Future<Output = Result<(), QueueError>>,
    ) -> Routed {
        match self.in_time(operation, moving).await {
            Ok(()) => outcome.into(),
            Err(error) => Routed {
                outcome: Outcome::Stranded,
                queue_error: Some(error),
            },
        }
    }

    async fn in_time(
        &self,
        operation: Operation,
        work: impl Future<Output = Result<(), QueueError>>,
    ) -> Result<(), QueueError> {
        timeout_at(self.limits.routing, work)
            .await
            .unwrap_or_else(|elapsed| Err(QueueError::new(operation, elapsed)))
    }

    fn backoff(&self) -> Duration {
        let attempt = self.delivery.receive_count();
        self.worker
            .config
            .backoff
            .delay(attempt, &self.worker.jitter)
    }

    fn failure_record(&self, error: &dyn Classify) -> FailureRecord {
        FailureRecord::new(
            &self.worker.config.consumer,
            self.delivery,
            &self.description,
            error,
            (self.worker.clock)(),
        )
    }

    fn report(&self, routed: &Routed, error: Option<&dyn Classify>, duration: Duration) {
        let cause = error.map(|error| cause_chain(error)).unwrap_or_default();
        let correlation_id = self.description.correlation_id.as_deref();
        let report = RecordReport {
            consumer: &self.worker.config.consumer,
            message_id: self.delivery.message_id(),
            correlation_id: correlation_id.or_else(|| error?.correlation_id()),
            attempt: self.delivery.receive_count(),
            outcome: routed.outcome,
            class: error.map(Classify::class),
            error_name: error.map(Classify::name),
            cause: &cause,
            duration,
            queue_error: routed.queue_error.as_ref(),
        };
        self.worker
            .observe(|observer| observer.record_finished(&report));
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a text").to_owned()
}
