//! What happened, told to whoever writes logs and metrics.

use std::time::Duration;

use crate::class::{Class, cause_chain};
use crate::delivery::Delivery;
use crate::outcome::Outcome;
use crate::queue::QueueError;

/// Receives what happens to each record. Called in the middle of the batch, so
/// an observer must not block; a panic in it is swallowed and changes nothing.
pub trait Observer: Send + Sync {
    /// The handling of a record begins.
    fn record_started(&self, delivery: &Delivery) {
        let _ = delivery;
    }

    /// A record has its outcome. Told once for each record of the batch.
    fn record_finished(&self, report: &RecordReport<'_>) {
        let _ = report;
    }

    /// Every record of the batch has its outcome.
    fn batch_finished(&self, summary: &BatchSummary) {
        let _ = summary;
    }
}

/// Observes nothing.
impl Observer for () {}

/// Tells the one and then the other, such as logs and metrics.
impl<A: Observer, B: Observer> Observer for (A, B) {
    fn record_started(&self, delivery: &Delivery) {
        self.0.record_started(delivery);
        self.1.record_started(delivery);
    }

    fn record_finished(&self, report: &RecordReport<'_>) {
        self.0.record_finished(report);
        self.1.record_finished(report);
    }

    fn batch_finished(&self, summary: &BatchSummary) {
        self.0.batch_finished(summary);
        self.1.batch_finished(summary);
    }
}

/// The outcome of one record. It deliberately has no body.
#[derive(Debug)]
#[non_exhaustive]
pub struct RecordReport<'a> {
    /// Who handled it.
    pub consumer: &'a str,
    /// The id SQS gave the message.
    pub message_id: &'a str,
    /// The id of the conversation, where known.
    pub correlation_id: Option<&'a str>,
    /// How often the message was received, this time included.
    pub attempt: u32,
    /// What became of it.
    pub outcome: Outcome,
    /// The class of the error, if there was one.
    pub class: Option<Class>,
    /// The stable name of the error, if there was one.
    pub error_name: Option<&'a str>,
    /// The error and its causes, outermost first.
    pub cause: &'a [String],
    /// How long decoding, handling and routing took.
    pub duration: Duration,
    /// The operation on the queue that failed, if one did.
    pub queue_error: Option<&'a QueueError>,
}

/// The counts of one batch. `acknowledged + returned` is `records`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchSummary {
    /// All records of the batch.
    pub records: usize,
    /// Those that Lambda deletes: processed, refused, or moved elsewhere.
    pub acknowledged: usize,
    /// Those reported as batch item failures.
    pub returned: usize,
    /// Those of the returned that were never handed to the handler.
    pub untouched: usize,
    /// How long the batch took.
    pub duration: Duration,
}

/// Writes one `tracing` event for each record's outcome and one for the batch,
/// with stable field names and never a body.
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingObserver;

/// The level of an event is fixed where it is written, hence a macro.
macro_rules! outcome_event {
    ($level:expr, $report:expr) => {
        tracing::event!(
            $level,
            consumer = $report.consumer,
            message_id = $report.message_id,
            correlation_id = $report.correlation_id,
            attempt = $report.attempt,
            outcome = $report.outcome.as_str(),
            delay_ms = $report.outcome.delay().map(millis),
            error_class = $report.class.map(Class::as_str),
            error_name = $report.error_name,
            cause = joined($report.cause),
            queue_error = $report
                .queue_error
                .and_then(|error| joined(&cause_chain(error))),
            duration_ms = millis($report.duration),
            "record finished"
        )
    };
}

impl Observer for TracingObserver {
    fn record_finished(&self, report: &RecordReport<'_>) {
        match report.outcome {
            Outcome::Processed | Outcome::Refused => {
                outcome_event!(tracing::Level::INFO, report);
            }
            Outcome::DeadLettered | Outcome::Quarantined | Outcome::Stranded => {
                outcome_event!(tracing::Level::ERROR, report);
            }
            _ => outcome_event!(tracing::Level::WARN, report),
        }
    }

    fn batch_finished(&self, summary: &BatchSummary) {
        tracing::info!(
            records = summary.records,
            acknowledged = summary.acknowledged,
            returned = summary.returned,
            untouched = summary.untouched,
            duration_ms = millis(summary.duration),
            "batch finished"
        );
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn joined(cause: &[String]) -> Option<String> {
    (!cause.is_empty()).then(|| cause.join(": "))
}
