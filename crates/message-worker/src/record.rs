//! One record on its way through the worker.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, timeout_at};
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::class::{Class, Classify, Failure, cause_chain};
use crate::delivery::Delivery;
use crate::failure_record::FailureRecord;
use crate::handler::{Description, Handler, RecordContext};
use crate::known_poison::KnownPoison;
use crate::observe::{Observer, RecordReport};
use crate::outcome::Outcome;
use crate::queue::{Operation, Queue, QueueError};
use crate::routes::{Destination, Route};
use crate::worker::{Config, Worker};

/// The instants that divide what is left of an invocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// No record is begun from here on.
    claim: Instant,
    /// Handlers are stopped here.
    handling: Instant,
    /// Operations on the queue are given up here.
    routing: Instant,
}

impl Limits {
    pub(crate) fn new(config: &Config, deadline: Instant) -> Self {
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

/// One record, the limits of its time, and what can be told about it.
pub(crate) struct Record<'a, Q, H, O> {
    worker: &'a Worker<Q, H, O>,
    delivery: &'a Delivery,
    description: Description,
    limits: Limits,
    last_attempt: bool,
    span: Span,
}

/// Why a record was not processed: the handler's error, or the worker's own.
enum Trouble<E> {
    Handler(E),
    Worker(Failure),
    KnownPoison(KnownPoison),
}

impl<E: Classify> Trouble<E> {
    fn as_classify(&self) -> &dyn Classify {
        match self {
            Self::Handler(error) => error,
            Self::Worker(failure) => failure,
            Self::KnownPoison(known) => known,
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
    pub(crate) fn new(worker: &'a Worker<Q, H, O>, delivery: &'a Delivery, limits: Limits) -> Self {
        // A description is a courtesy: failing to give one fails nothing.
        let describe = AssertUnwindSafe(|| worker.handler.describe(delivery));
        let description = catch_unwind(describe).unwrap_or_default();
        Self {
            span: span(worker, delivery, &description),
            worker,
            delivery,
            description,
            limits,
            last_attempt: delivery.receive_count() >= worker.config.max_receives.get(),
        }
    }

    /// Handles the record and routes it, or returns it untouched.
    pub(crate) async fn run(&self, blocked: bool) -> Outcome {
        let started = Instant::now();
        let running = self.process_safely(blocked).instrument(self.span.clone());
        let (routed, trouble) = running.await;
        let reporting = || self.report(&routed, trouble.as_ref(), started.elapsed());
        self.span.in_scope(reporting);
        routed.outcome
    }

    async fn process_safely(&self, blocked: bool) -> (Routed, Option<Trouble<H::Error>>) {
        // The handler's own panics are caught closer to it. This keeps one in
        // an error's methods or in the queue's adapter from taking the
        // neighbours along.
        AssertUnwindSafe(self.process(blocked))
            .catch_unwind()
            .await
            .unwrap_or_else(|panic| (Outcome::Stranded.into(), Some(panicked(&*panic))))
    }

    async fn process(&self, blocked: bool) -> (Routed, Option<Trouble<H::Error>>) {
        if blocked {
            return (Outcome::Blocked.into(), None);
        }
        if Instant::now() >= self.limits.claim {
            return (Outcome::Unclaimed.into(), None);
        }
        self.worker
            .observe(|observer| observer.record_started(self.delivery));
        let attempted = match self.known_poison() {
            Some(known) => Err(Trouble::KnownPoison(known)),
            None => self.attempt().await,
        };
        match attempted {
            Ok(()) => (Outcome::Processed.into(), None),
            // Boxed, since it is rare, and larger than all else of a record.
            Err(trouble) => (Box::pin(self.route(&trouble)).await, Some(trouble)),
        }
    }

    fn known_poison(&self) -> Option<KnownPoison> {
        let known = self.worker.known_poison.as_ref()?;
        Some(known.recall(self.delivery.body())?.again())
    }

    /// Decodes and handles the message within its time.
    async fn attempt(&self) -> Result<(), Trouble<H::Error>> {
        let context = RecordContext {
            message_id: self.delivery.message_id().to_owned(),
            attempt: self.delivery.receive_count(),
            last_attempt: self.last_attempt,
            deadline: self.limits.handling,
            attributes: self.delivery.shared_attributes(),
        };
        let handler = &self.worker.handler;
        // Boxed, because a handler's future can be large and deeply nested: without
        // it, the types of a real handler exceed what the compiler looks into.
        let handling = Box::pin(async {
            let message = self.decode()?;
            handler.handle(message, &context).await.map(drop)
        });
        let caught = AssertUnwindSafe(handling).catch_unwind();
        match timeout_at(self.limits.handling, caught).await {
            Ok(Ok(result)) => result.map_err(Trouble::Handler),
            Ok(Err(panic)) => Err(panicked(&*panic)),
            Err(elapsed) => Err(Trouble::Worker(
                Failure::ambiguous("DeadlineExceeded").caused_by(elapsed),
            )),
        }
    }

    fn decode(&self) -> Result<H::Message, H::Error> {
        let decoded = self.worker.handler.decode(self.delivery);
        if let Err(error) = &decoded
            && error.class() == Class::Poison
            && let Some(known) = &self.worker.known_poison
        {
            known.remember(self.delivery.body(), error);
        }
        decoded
    }

    async fn route(&self, trouble: &Trouble<H::Error>) -> Routed {
        let class = trouble.as_classify().class();
        if let Class::Deferred { delay, fresh } = class {
            let delay = delay.unwrap_or_else(|| self.backoff());
            return self.defer(delay, fresh).await;
        }
        let routed = match self.worker.config.routes.of(class) {
            Some(Route::Done) => Outcome::Refused.into(),
            Some(Route::Move(to)) => self.move_to(to, trouble).await,
            Some(Route::Retry { then }) if self.last_attempt => self.move_to(then, trouble).await,
            Some(Route::Retry { .. }) | None => self.retry().await,
        };
        // The message is brought to safety first and then mourned: if it stays
        // behind, the hook is called when it comes again.
        if class == Class::Poison && routed.outcome.is_acknowledged() {
            self.tell_poisoned(trouble.as_classify()).await;
        }
        routed
    }

    async fn retry(&self) -> Routed {
        let delay = self.backoff();
        self.delayed(Outcome::Retried { delay }, delay).await
    }

    async fn move_to(&self, destination: Destination, trouble: &Trouble<H::Error>) -> Routed {
        let (queue, delivery) = (&self.worker.queue, self.delivery);
        let record = self.failure_record(trouble);
        match destination {
            Destination::DeadLetter => {
                let moving = queue.dead_letter(delivery, &record);
                self.moved(Operation::DeadLetter, Outcome::DeadLettered, moving)
                    .await
            }
            Destination::Quarantine => {
                let moving = queue.quarantine(delivery, &record);
                self.moved(Operation::Quarantine, Outcome::Quarantined, moving)
                    .await
            }
        }
    }

    async fn tell_poisoned(&self, error: &dyn Classify) {
        let hook = self.worker.handler.poisoned(self.delivery, error);
        let caught = AssertUnwindSafe(hook).catch_unwind();
        if !matches!(timeout_at(self.limits.handling, caught).await, Ok(Ok(()))) {
            tracing::warn!("the hook for poisoned messages panicked or ran out of time");
        }
    }

    /// Being received again and again uses up the receives that the redrive
    /// policy allows, so the last one makes a fresh copy in any case.
    async fn defer(&self, delay: Duration, fresh: bool) -> Routed {
        // A copy goes to the end of its FIFO group, and the group overtakes it.
        let keeps_order = self.delivery.ordering_group().is_some();
        if self.last_attempt || (fresh && !keeps_order) {
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

    fn failure_record(&self, trouble: &Trouble<H::Error>) -> FailureRecord {
        let record = FailureRecord::new(
            &self.worker.config.consumer,
            self.delivery,
            &self.description,
            trouble.as_classify(),
            (self.worker.clock)(),
        );
        match trouble {
            Trouble::KnownPoison(known) => record.known_as(known),
            _ => record,
        }
    }

    fn report(&self, routed: &Routed, trouble: Option<&Trouble<H::Error>>, duration: Duration) {
        self.worker.observe(|observer| {
            let error = trouble.map(Trouble::as_classify);
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
            observer.record_finished(&report);
            self.complete_span(&report);
        });
    }

    /// Last, so that the lines of the log do not say it twice.
    fn complete_span(&self, report: &RecordReport<'_>) {
        self.span.record("outcome", report.outcome.as_str());
        if let (Some(class), Some(name)) = (report.class, report.error_name) {
            self.span.record("error_class", class.as_str());
            self.span.record("error_name", name);
        }
    }
}

/// What is known only at the end is filled in there.
fn span<Q, H, O>(worker: &Worker<Q, H, O>, delivery: &Delivery, description: &Description) -> Span {
    tracing::info_span!(
        "record",
        consumer = worker.config.consumer,
        message_id = delivery.message_id(),
        correlation_id = description.correlation_id,
        attempt = delivery.receive_count(),
        outcome = Empty,
        error_class = Empty,
        error_name = Empty,
    )
}

/// A panic says nothing about the message, so it is worth another try.
fn panicked<E>(panic: &(dyn Any + Send)) -> Trouble<E> {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a text");
    Trouble::Worker(Failure::transient("Panic").caused_by(text))
}
