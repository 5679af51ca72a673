//! A queue with the worker around a handler, as a function has it.

#![allow(
    clippy::unwrap_used,
    reason = "a sample that does not fit fails the test that uses it"
)]

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lambda_events::event::sqs::SqsEvent;
use message_worker::memory::{MemoryQueue, Parked};
use message_worker::{Config, Handler, Jitter, Observer, RecordReport, Worker};
use serde_json::Value;
use tokio::time::Instant;

/// How long an invocation may take.
pub const INVOCATION: Duration = Duration::from_secs(30);

/// As in the template: six invocations.
const VISIBILITY: Duration = Duration::from_secs(180);

/// The queue's own policy is the backstop, and comes after the worker's.
const REDRIVE_AFTER: u32 = 1000;

/// Longer than any backoff goes on.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// A queue in memory, and a log of what the worker did with its messages.
///
/// The handler is passed in for each use: a new one is a new environment of the function.
#[derive(Debug, Clone)]
pub struct Inbox {
    queue: MemoryQueue,
    outcomes: Outcomes,
    max_receives: NonZeroU32,
}

/// What became of a record, and the name of the error if there was one.
pub type Handled = (String, Option<String>);

#[derive(Debug, Clone, Default)]
struct Outcomes(Arc<Mutex<Vec<Handled>>>);

impl Inbox {
    /// An empty queue, whose messages are given up on this receive. Call it inside a runtime.
    pub fn new(max_receives: NonZeroU32) -> Self {
        Self {
            queue: MemoryQueue::new(VISIBILITY, REDRIVE_AFTER),
            outcomes: Outcomes::default(),
            max_receives,
        }
    }

    /// Sends messages, and invokes the function until the queue is empty.
    ///
    /// # Panics
    /// If it does not get empty.
    pub async fn drive<H: Handler>(&self, handler: H, bodies: &[Value]) {
        for body in bodies {
            self.queue.send(body.to_string());
        }
        let worker = self.worker(&self.queue, handler);
        self.queue.drive(&worker, INVOCATION, PATIENCE).await;
        assert_eq!(self.queue.waiting(), Vec::<String>::new());
    }

    /// Invokes the function once with a message that is never received again.
    pub async fn drop_after_one<H: Handler>(&self, handler: H, body: &Value) {
        let lost = MemoryQueue::new(VISIBILITY, REDRIVE_AFTER);
        lost.send(body.to_string());
        let worker = self.worker(&lost, handler);
        let deadline = Instant::now() + INVOCATION;
        worker.run(lost.receive(1), deadline).await.unwrap();
    }

    /// Invokes the function once with an event of the folder `events`, and
    /// gives the ids of the messages that go back to the queue.
    ///
    /// # Panics
    /// If there is no such event, or it is none of a queue.
    pub async fn invoke_with_sample<H: Handler>(&self, handler: H, name: &str) -> Vec<String> {
        let sample = crate::fixtures::sample(name);
        let event: SqsEvent = serde_json::from_str(&sample).unwrap();
        let worker = self.worker(&self.queue, handler);
        let deadline = Instant::now() + INVOCATION;
        let response = worker.run(event, deadline).await.unwrap();
        let returned = response.batch_item_failures.into_iter();
        returned.map(|failure| failure.item_identifier).collect()
    }

    /// What became of each record, in order.
    pub fn outcomes(&self) -> Vec<Handled> {
        let outcomes = self.outcomes.0.lock();
        outcomes.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a record had this outcome under this error.
    pub fn had(&self, outcome: &str, error: &str) -> bool {
        let wanted = (outcome.to_owned(), Some(error.to_owned()));
        self.outcomes().contains(&wanted)
    }

    /// What is in the dead-letter queue.
    pub fn dead_letters(&self) -> Vec<Parked> {
        self.queue.dead_letters()
    }

    /// The errors under which messages are in quarantine.
    pub fn quarantined(&self) -> Vec<String> {
        let names = self.queue.quarantined().into_iter();
        names
            .filter_map(|parked| parked.record)
            .map(|record| record.error_name)
            .collect()
    }

    fn worker<H: Handler>(
        &self,
        queue: &MemoryQueue,
        handler: H,
    ) -> Worker<MemoryQueue, H, Outcomes> {
        let mut config = Config::new("testkit");
        config.max_receives = self.max_receives;
        Worker::new(config, queue.clone(), handler)
            .with_jitter(Jitter::seeded(7))
            .with_observer(self.outcomes.clone())
    }
}

impl Default for Inbox {
    /// Messages are given up on the fifth receive, as in the template.
    fn default() -> Self {
        Self::new(NonZeroU32::MIN.saturating_add(4))
    }
}

impl Observer for Outcomes {
    fn record_finished(&self, report: &RecordReport<'_>) {
        let outcome = report.outcome.as_str().to_owned();
        let error = report.error_name.map(str::to_owned);
        let mut outcomes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        outcomes.push((outcome, error));
    }
}
