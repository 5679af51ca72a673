//! A queue in memory that behaves like SQS and drives a worker, for tests.
//!
//! It keeps time by tokio's clock: with that clock paused, hours of backoff
//! pass in no time.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use tokio::time::{Instant, sleep, sleep_until};

use crate::delivery::{Attribute, Delivery};
use crate::failure_record::FailureRecord;
use crate::handler::Handler;
use crate::observe::Observer;
use crate::queue::{Operation, Queue, QueueError};
use crate::worker::Worker;

/// An invocation takes time, or a message that is deferred without a delay
/// would go round for ever while a paused clock stands still.
const SHORTEST_INVOCATION: Duration = Duration::from_millis(1);

/// The queue with its dead-letter and quarantine queues. Clones share them.
#[derive(Clone, Debug)]
pub struct MemoryQueue {
    state: Arc<Mutex<State>>,
}

/// A message in the dead-letter or quarantine queue.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parked {
    /// The body, as it was sent.
    pub body: String,
    /// Its own attributes, as they were sent.
    pub attributes: BTreeMap<String, Attribute>,
    /// Why it is here; `None` where the redrive policy moved it.
    pub record: Option<FailureRecord>,
}

#[derive(Debug)]
struct State {
    arn: &'static str,
    created: Instant,
    visibility_timeout: Duration,
    redrive_after: u32,
    sent: u64,
    messages: Vec<Message>,
    dead: Vec<Parked>,
    quarantine: Vec<Parked>,
    broken: HashSet<Operation>,
}

#[derive(Debug)]
struct Message {
    id: String,
    body: String,
    attributes: BTreeMap<String, Attribute>,
    group: Option<String>,
    sent_at: Instant,
    visible_at: Instant,
    receive_count: u32,
    first_received_at: Option<Instant>,
}

impl MemoryQueue {
    /// A standard queue. A message received more than `redrive_after` times
    /// is dead-lettered without a record, as a redrive policy does it.
    #[must_use]
    pub fn new(visibility_timeout: Duration, redrive_after: u32) -> Self {
        Self::with_arn(
            "arn:aws:sqs:eu-central-1:000000000000:memory",
            visibility_timeout,
            redrive_after,
        )
    }

    /// A FIFO queue.
    #[must_use]
    pub fn fifo(visibility_timeout: Duration, redrive_after: u32) -> Self {
        Self::with_arn(
            "arn:aws:sqs:eu-central-1:000000000000:memory.fifo",
            visibility_timeout,
            redrive_after,
        )
    }

    fn with_arn(arn: &'static str, visibility_timeout: Duration, redrive_after: u32) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                arn,
                created: Instant::now(),
                visibility_timeout,
                redrive_after,
                sent: 0,
                messages: Vec::new(),
                dead: Vec::new(),
                quarantine: Vec::new(),
                broken: HashSet::new(),
            })),
        }
    }

    /// Sends a message and returns its id.
    pub fn send(&self, body: impl Into<String>) -> String {
        self.send_with(body, None, BTreeMap::new())
    }

    /// Sends a message of a group, with attributes, and returns its id.
    pub fn send_with(
        &self,
        body: impl Into<String>,
        group: Option<&str>,
        attributes: BTreeMap<String, Attribute>,
    ) -> String {
        let group = group.map(str::to_owned);
        self.lock()
            .push(body.into(), group, attributes, Duration::ZERO)
    }

    /// Receives up to `limit` visible messages as the event Lambda would get.
    #[must_use]
    pub fn receive(&self, limit: usize) -> SqsEvent {
        self.lock().receive(limit)
    }

    /// Deletes what the response acknowledges. As on Lambda, an empty or
    /// unknown identifier in it returns the whole batch.
    pub fn settle(&self, event: &SqsEvent, response: &SqsBatchResponse) {
        let delivered: HashSet<&str> = event
            .records
            .iter()
            .filter_map(|record| record.message_id.as_deref())
            .collect();
        let returned: HashSet<&str> = response
            .batch_item_failures
            .iter()
            .map(|failure| failure.item_identifier.as_str())
            .collect();
        if returned.is_subset(&delivered) {
            self.lock().messages.retain(|message| {
                let id = message.id.as_str();
                !delivered.contains(id) || returned.contains(id)
            });
        }
    }

    /// Invokes the worker with batches of up to ten until the queue is empty
    /// or `patience` is over, and returns the number of invocations. Each may
    /// take as long as `invocation`.
    pub async fn drive<H: Handler, O: Observer>(
        &self,
        worker: &Worker<Self, H, O>,
        invocation: Duration,
        patience: Duration,
    ) -> usize {
        let give_up = Instant::now() + patience;
        let mut invocations = 0;
        while let Some(next) = self.next_visible().filter(|next| *next < give_up) {
            sleep_until(next).await;
            let event = self.receive(10);
            if event.records.is_empty() {
                continue;
            }
            invocations += 1;
            let deadline = Instant::now() + invocation;
            sleep(SHORTEST_INVOCATION).await;
            if let Ok(response) = worker.run(event.clone(), deadline).await {
                self.settle(&event, &response);
            }
        }
        invocations
    }

    /// The bodies still in the queue, visible or not.
    #[must_use]
    pub fn waiting(&self) -> Vec<String> {
        let state = self.lock();
        let bodies = state.messages.iter().map(|message| message.body.clone());
        bodies.collect()
    }

    /// What is in the dead-letter queue.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<Parked> {
        self.lock().dead.clone()
    }

    /// What is in the quarantine queue.
    #[must_use]
    pub fn quarantined(&self) -> Vec<Parked> {
        self.lock().quarantine.clone()
    }

    /// Makes an operation fail from now on.
    pub fn break_operation(&self, operation: Operation) {
        self.lock().broken.insert(operation);
    }

    /// Makes an operation work again.
    pub fn repair_operation(&self, operation: Operation) {
        self.lock().broken.remove(&operation);
    }

    /// When the next message can be received; in a FIFO queue at the earliest.
    fn next_visible(&self) -> Option<Instant> {
        let state = self.lock();
        let groups = state.blocked_groups();
        let visible = state.messages.iter().map(|message| {
            let group = message.group.as_ref().and_then(|group| groups.get(group));
            group.map_or(message.visible_at, |until| message.visible_at.max(*until))
        });
        visible.min()
    }

    fn working(&self, operation: Operation) -> Result<MutexGuard<'_, State>, QueueError> {
        let state = self.lock();
        if state.broken.contains(&operation) {
            return Err(QueueError::new(operation, "broken by the test"));
        }
        Ok(state)
    }

    /// A panic in a test's handler must not hide what the test is about.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue for MemoryQueue {
    async fn delay(&self, receipt_handle: &str, delay: Duration) -> Result<(), QueueError> {
        let mut state = self.working(Operation::Delay)?;
        let message = state
            .messages
            .iter_mut()
            .find(|message| message.receipt_handle() == receipt_handle)
            .ok_or_else(|| QueueError::new(Operation::Delay, "the receipt handle is stale"))?;
        message.visible_at = Instant::now() + delay;
        Ok(())
    }

    async fn resend(&self, delivery: &Delivery, delay: Duration) -> Result<(), QueueError> {
        let mut state = self.working(Operation::Resend)?;
        let group = delivery.group_id().map(str::to_owned);
        let attributes = delivery.attributes().clone();
        state.push(delivery.body().to_owned(), group, attributes, delay);
        Ok(())
    }

    async fn dead_letter(
        &self,
        delivery: &Delivery,
        record: &FailureRecord,
    ) -> Result<(), QueueError> {
        let mut state = self.working(Operation::DeadLetter)?;
        state.dead.push(Parked::of(delivery, record));
        Ok(())
    }

    async fn quarantine(
        &self,
        delivery: &Delivery,
        record: &FailureRecord,
    ) -> Result<(), QueueError> {
        let mut state = self.working(Operation::Quarantine)?;
        state.quarantine.push(Parked::of(delivery, record));
        Ok(())
    }
}

impl Parked {
    fn of(delivery: &Delivery, record: &FailureRecord) -> Self {
        Self {
            body: delivery.body().to_owned(),
            attributes: delivery.attributes().clone(),
            record: Some(record.clone()),
        }
    }

    fn redriven(message: Message) -> Self {
        Self {
            body: message.body,
            attributes: message.attributes,
            record: None,
        }
    }
}

impl State {
    fn push(
        &mut self,
        body: String,
        group: Option<String>,
        attributes: BTreeMap<String, Attribute>,
        delay: Duration,
    ) -> String {
        self.sent += 1;
        let now = Instant::now();
        // SQS has no delay for a single message of a FIFO queue.
        let delay = if self.is_fifo() {
            Duration::ZERO
        } else {
            delay
        };
        let message = Message {
            id: format!("message-{}", self.sent),
            body,
            attributes,
            group,
            sent_at: now,
            visible_at: now + delay,
            receive_count: 0,
            first_received_at: None,
        };
        let id = message.id.clone();
        self.messages.push(message);
        id
    }

    fn receive(&mut self, limit: usize) -> SqsEvent {
        let now = Instant::now();
        let blocked = self.blocked_groups();
        let is_free = |message: &Message| {
            let group = message.group.as_ref().and_then(|group| blocked.get(group));
            group.is_none_or(|until| *until <= now) && message.visible_at <= now
        };
        self.redrive(is_free);
        let mut event = SqsEvent::default();
        let (arn, created) = (self.arn, self.created);
        for message in self.messages.iter_mut().filter(|m| is_free(m)).take(limit) {
            message.receive_count += 1;
            message.first_received_at.get_or_insert(now);
            message.visible_at = now + self.visibility_timeout;
            event.records.push(message.to_record(arn, created));
        }
        event
    }

    /// Moves what was received too often, as SQS does on the next receive.
    fn redrive(&mut self, is_free: impl Fn(&Message) -> bool) {
        let limit = self.redrive_after;
        let too_often = |message: &mut Message| message.receive_count >= limit && is_free(message);
        let moved = self.messages.extract_if(.., too_often);
        self.dead.extend(moved.map(Parked::redriven));
    }

    /// The groups that wait for a message of theirs, and until when. A
    /// standard queue has groups for fairness only.
    fn blocked_groups(&self) -> BTreeMap<String, Instant> {
        let mut blocked = BTreeMap::new();
        if !self.is_fifo() {
            return blocked;
        }
        for message in &self.messages {
            if let Some(group) = &message.group {
                let until = blocked.entry(group.clone()).or_insert(message.visible_at);
                *until = message.visible_at.max(*until);
            }
        }
        blocked
    }

    fn is_fifo(&self) -> bool {
        self.arn.ends_with(".fifo")
    }
}

impl Message {
    /// A new handle for each receive, so that an old one is recognised.
    fn receipt_handle(&self) -> String {
        format!("{}#{}", self.id, self.receive_count)
    }

    /// Stamps count from the epoch, which is when the queue was created.
    fn to_record(&self, arn: &str, created: Instant) -> SqsMessage {
        let stamp = |at: Instant| at.duration_since(created).as_millis().to_string();
        let mut record = SqsMessage::default();
        record.message_id = Some(self.id.clone());
        record.receipt_handle = Some(self.receipt_handle());
        record.body = Some(self.body.clone());
        record.event_source_arn = Some(arn.to_owned());
        let mut put = |name: &str, value| record.attributes.insert(name.to_owned(), value);
        put("ApproximateReceiveCount", self.receive_count.to_string());
        put("SentTimestamp", stamp(self.sent_at));
        if let Some(at) = self.first_received_at {
            put("ApproximateFirstReceiveTimestamp", stamp(at));
        }
        if let Some(group) = &self.group {
            put("MessageGroupId", group.clone());
        }
        let attributes = self.attributes.iter();
        record.message_attributes = attributes
            .map(|(name, value)| (name.clone(), value.into()))
            .collect();
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VISIBILITY: Duration = Duration::from_secs(60);

    fn bodies(event: &SqsEvent) -> Vec<&str> {
        let records = event.records.iter();
        records.filter_map(|r| r.body.as_deref()).collect()
    }

    fn returning(ids: &[&str]) -> SqsBatchResponse {
        let mut response = SqsBatchResponse::default();
        response.set_failures(ids.iter().copied());
        response
    }

    #[tokio::test(start_paused = true)]
    async fn a_received_message_is_invisible_for_a_while_and_then_counts_on() {
        let queue = MemoryQueue::new(VISIBILITY, 5);
        queue.send("a");
        assert_eq!(bodies(&queue.receive(10)), ["a"]);
        assert!(queue.receive(10).records.is_empty());
        tokio::time::advance(VISIBILITY).await;
        let again = queue.receive(10);
        assert_eq!(again.records[0].attributes["ApproximateReceiveCount"], "2");
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_is_not_returned_is_deleted() {
        let queue = MemoryQueue::new(VISIBILITY, 5);
        for body in ["a", "b"] {
            queue.send(body);
        }
        let event = queue.receive(10);
        queue.settle(&event, &returning(&["message-2"]));
        assert_eq!(queue.waiting(), ["b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_empty_or_unknown_identifier_returns_the_whole_batch() {
        for identifier in ["", "unknown"] {
            let queue = MemoryQueue::new(VISIBILITY, 5);
            queue.send("a");
            let event = queue.receive(10);
            queue.settle(&event, &returning(&[identifier]));
            assert_eq!(queue.waiting(), ["a"]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stale_receipt_handle_is_refused() {
        let queue = MemoryQueue::new(VISIBILITY, 5);
        queue.send("a");
        let event = queue.receive(10);
        let stale = event.records[0].receipt_handle.as_deref().unwrap();
        tokio::time::advance(VISIBILITY).await;
        let _ = queue.receive(10);
        assert!(queue.delay(stale, Duration::ZERO).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_fifo_group_waits_for_its_messages_in_flight() {
        let queue = MemoryQueue::fifo(VISIBILITY, 5);
        for (group, body) in [("red", "a"), ("red", "b"), ("blue", "c")] {
            queue.send_with(body, Some(group), BTreeMap::new());
        }
        assert_eq!(bodies(&queue.receive(1)), ["a"]);
        assert_eq!(bodies(&queue.receive(10)), ["c"]);
    }
}
