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

mod outbox;
mod plan;

use aws_lambda_events::event::dynamodb::{Event, EventRecord};
use aws_lambda_events::event::streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse};
use message_worker::cause_chain;
use ports::{Bus, Delivery};

pub use outbox::{Outgoing, UnreadableOutbox, outgoing};
pub use plan::plan;

/// Publishes stream records.
#[derive(Debug)]
pub struct Relay<B> {
    bus: B,
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

impl<B: Bus> Relay<B> {
    /// Publishes to this bus.
    pub fn new(bus: B, failures: Failures) -> Self {
        Self { bus, failures }
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
        let (readable, unreadable) = read_until_unreadable(&event.records);
        let events: Vec<(usize, &Outgoing)> = readable
            .iter()
            .enumerate()
            .flat_map(|(record, events)| events.iter().map(move |event| (record, event)))
            .collect();
        let failed = self.publish(&events).await.or(unreadable);
        respond(failed.map(|record| event.records[record].change.sequence_number.clone()))
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

/// Reads records up to the first that cannot be read. It is reported, so that
/// Lambda splits the batch, tries it alone, and puts it aside at last.
fn read_until_unreadable(records: &[EventRecord]) -> (Vec<Vec<Outgoing>>, Option<usize>) {
    let mut readable = Vec::with_capacity(records.len());
    for (index, record) in records.iter().enumerate() {
        match outgoing(&record.change) {
            Ok(events) => readable.push(events),
            Err(error) => {
                let cause = cause_chain(&error).join(": ");
                let record = record.change.sequence_number.as_deref();
                tracing::error!(
                    record,
                    cause,
                    error_name = "OutboxUnreadable",
                    "record not readable"
                );
                return (readable, Some(index));
            }
        }
    }
    (readable, None)
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
