//! Publishes the events of orders: DynamoDB stream to bus.
//!
//! An order's item is its outbox: what a stream record's new timeline has
//! beyond the old one has just happened. An event's place in the timeline is
//! its sequence number.
//!
//! Order is kept for each order: an event is not published before the ones in
//! front of it are confirmed. What is not confirmed is reported by sequence
//! number, and Lambda sends the batch again from there; an event may so be
//! published twice, and is never left out.
//!
//! An event that cannot be read makes its lane of the stream wait for
//! [`PATIENCE`]. Then its order is reported to people and held: nothing more of
//! it is published until its timeline can be read, and other orders go on.

mod outbox;
mod plan;

use std::time::Duration;

use aws_lambda_events::event::dynamodb::{Event, EventRecord, StreamRecord};
use aws_lambda_events::event::streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse};
use idempotency::{Clock, Millis};
use message_worker::cause_chain;
use ports::{Bus, Delivery, HeldOrder, HeldOrders};

pub use outbox::{Outbox, Outgoing, Unreadable, UnreadableOutbox, outgoing};
pub use plan::plan;

/// How old the record of an unreadable event becomes before its order is held:
/// time to take back a release that cannot read what another wrote, with
/// nothing to mend afterwards. An alarm rings after five minutes.
pub const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// Publishes stream records.
#[derive(Debug)]
pub struct Relay<B, H, C> {
    bus: B,
    held: H,
    clock: C,
    failures: Failures,
}

/// How Lambda learns that a part of a batch must come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failures {
    /// By the sequence number of the first record that failed. AWS sends the
    /// batch again from there.
    BySequence,
    /// By an error, for a stream poller that does not read such a report and
    /// would go on as if all had been published. The whole batch comes again.
    ByError,
}

impl Failures {
    /// What the poller understands: another endpoint than AWS's own is an emulator's.
    pub fn understood_at(endpoint: Option<&str>) -> Self {
        match endpoint {
            Some(_) => Self::ByError,
            None => Self::BySequence,
        }
    }
}

/// A part of the batch was not published, and comes again.
#[derive(Debug, thiserror::Error)]
#[error("not all events of the batch were published")]
pub struct NotAllPublished;

impl<B: Bus, H: HeldOrders, C: Clock> Relay<B, H, C> {
    /// Publishes to this bus, and reports here whose events it cannot read.
    pub fn new(bus: B, held: H, clock: C, failures: Failures) -> Self {
        Self {
            bus,
            held,
            clock,
            failures,
        }
    }

    /// Publishes a batch, and says from where on it must come again.
    ///
    /// # Errors
    /// [`NotAllPublished`], where failures are told by an error.
    pub async fn relay(&self, event: &Event) -> Result<DynamoDbEventResponse, NotAllPublished> {
        let response = self.publish_records(event).await;
        let failed = !response.batch_item_failures.is_empty();
        if failed && self.failures == Failures::ByError {
            return Err(NotAllPublished);
        }
        Ok(response)
    }

    async fn publish_records(&self, event: &Event) -> DynamoDbEventResponse {
        let (outboxes, waiting) = self.read_until_waiting(&event.records);
        let events: Vec<(usize, &Outgoing)> = outboxes
            .iter()
            .enumerate()
            .flat_map(|(record, outbox)| outbox.events.iter().map(move |event| (record, event)))
            .collect();
        let failed = self.publish(&events).await.or(waiting);
        let done = failed.unwrap_or(outboxes.len());
        let not_reported = self.hold(&outboxes[..done]).await;
        let failed = not_reported.or(failed);
        respond(failed.map(|record| event.records[record].change.sequence_number.clone()))
    }

    /// Reads records up to the first that must wait. It is reported, so that
    /// Lambda splits the batch and tries it alone.
    fn read_until_waiting(&self, records: &[EventRecord]) -> (Vec<Outbox>, Option<usize>) {
        let mut outboxes = Vec::with_capacity(records.len());
        for (index, record) in records.iter().enumerate() {
            let outbox = outgoing(&record.change);
            if let Some(unreadable) = &outbox.unreadable {
                log_unreadable(&record.change, unreadable);
                if unreadable.is_new && self.is_young(&record.change) {
                    return (outboxes, Some(index));
                }
            }
            outboxes.push(outbox);
        }
        (outboxes, None)
    }

    /// Whether waiting may still help. A record that does not say when it was made is young.
    fn is_young(&self, change: &StreamRecord) -> bool {
        let made = change.approximate_creation_date_time.timestamp_millis();
        match u64::try_from(made) {
            Ok(made) if made > 0 => self.clock.now().since(Millis::new(made)) < PATIENCE,
            _ => true,
        }
    }

    /// Reports the orders whose newest event is not readable; gives the first
    /// record whose order nobody will hear of.
    async fn hold(&self, outboxes: &[Outbox]) -> Option<usize> {
        for (record, outbox) in outboxes.iter().enumerate() {
            let Some(unreadable) = outbox.unreadable.as_ref().filter(|it| it.is_new) else {
                continue;
            };
            let order = HeldOrder {
                order_id: unreadable.order_id.clone(),
                from: unreadable.from,
                cause: cause_chain(&unreadable.error).join(": "),
            };
            let order_id = &order.order_id;
            if let Err(error) = self.held.report(&order).await {
                let cause = cause_chain(&error).join(": ");
                tracing::error!(
                    order_id,
                    cause,
                    error_name = "HeldOrderNotReported",
                    "tried again with its record"
                );
                return Some(record);
            }
            tracing::error!(
                order_id,
                from = order.from,
                error_name = "OrderHeld",
                "nothing more of the order is published until its timeline can be read"
            );
        }
        None
    }

    /// Publishes batch after batch; gives the first record whose events are not all confirmed.
    async fn publish(&self, events: &[(usize, &Outgoing)]) -> Option<usize> {
        let bodies: Vec<&Outgoing> = events.iter().map(|(_, event)| *event).collect();
        let mut batches = plan(&bodies, B::BATCH, B::BATCH_BYTES).into_iter();
        while let Some(batch) = batches.next() {
            let failed = self.publish_batch(&batch, &bodies).await;
            if !failed.is_empty() {
                // Behind a failure nothing more is published, so that no event overtakes another.
                let unpublished = failed.into_iter().chain(batches.flatten());
                return unpublished.map(|index| events[index].0).min();
            }
        }
        None
    }

    /// Publishes one batch; gives the events that are not confirmed.
    async fn publish_batch(&self, batch: &[usize], events: &[&Outgoing]) -> Vec<usize> {
        let messages: Vec<&str> = batch
            .iter()
            .map(|index| events[*index].body.as_str())
            .collect();
        match self.bus.publish(&messages).await {
            Ok(deliveries) => batch
                .iter()
                .zip(deliveries)
                .filter_map(|(index, delivery)| match delivery {
                    Delivery::Published => None,
                    Delivery::Failed { code } => {
                        let order_id = &events[*index].order_id;
                        tracing::error!(
                            order_id,
                            code,
                            error_name = "EventNotPublished",
                            "not published"
                        );
                        Some(*index)
                    }
                })
                .collect(),
            Err(error) => {
                let cause = cause_chain(&error).join(": ");
                tracing::error!(
                    cause,
                    error_name = "BusUnavailable",
                    "nothing of the batch is confirmed"
                );
                batch.to_vec()
            }
        }
    }
}

fn log_unreadable(change: &StreamRecord, unreadable: &Unreadable) {
    tracing::error!(
        record = change.sequence_number.as_deref(),
        order_id = unreadable.order_id,
        from = unreadable.from,
        cause = cause_chain(&unreadable.error).join(": "),
        error_name = "OutboxUnreadable",
        "an event and those behind it wait"
    );
}

/// An empty response means success. A failure without a sequence number fails
/// the whole batch, which Lambda then sends again: nothing is lost either way.
fn respond(failed: Option<Option<String>>) -> DynamoDbEventResponse {
    let mut response = DynamoDbEventResponse::default();
    if let Some(sequence) = failed {
        let mut failure = DynamoDbBatchItemFailure::default();
        failure.item_identifier = Some(sequence.unwrap_or_default());
        response.batch_item_failures.push(failure);
    }
    response
}

#[cfg(test)]
mod tests;
