//! A queue worker as a Lambda function.

use std::fmt::Display;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::{Duration, SystemTime};

use aws_lambda_events::event::sqs::SqsEvent;
use failures::Acknowledging;
use idempotency::SystemClock;
use lambda_runtime::{LambdaEvent, service_fn};
use message_worker::emf::EmfObserver;
use message_worker::sqs::{QueueUrls, SqsQueue};
use message_worker::{
    Backoff, Config, Handler, Observer, PoisonMemory, Queue, TracingObserver, Worker, deadline_from,
};

use crate::clients::Clients;
use crate::environment::{Environment, EnvironmentError};
use crate::failures::DynamoFailures;
use crate::metrics::metrics;

/// How large a message may be in a dead-letter queue or in quarantine, with what is told
/// of its failure. The template sets it, so that each fits into one item of the failure store.
pub const DEAD_LETTER_BYTES: usize = 320 * 1024;

/// A worker whose replayed messages resolve their failure records.
pub type QueueWorker<H> =
    Worker<SqsQueue, Acknowledging<H, DynamoFailures, SystemClock>, (TracingObserver, EmfObserver)>;

/// Puts a handler on its queue, with the limits that the environment names.
///
/// # Errors
/// [`EnvironmentError`] names a variable that is missing or wrong.
pub fn queue_worker<H: Handler<Output: Display>>(
    consumer: &str,
    environment: Environment,
    clients: &Clients,
    handler: H,
) -> Result<QueueWorker<H>, EnvironmentError> {
    let urls = QueueUrls {
        own: environment.text("QUEUE_URL")?,
        dead_letter: environment.text("DLQ_URL")?,
        quarantine: environment.text("QUARANTINE_QUEUE_URL")?,
    };
    let mut config = Config::new(consumer);
    config.max_receives = environment.number::<NonZeroU32>("MAX_RECEIVES")?;
    config.concurrency = environment.number::<NonZeroUsize>("CONCURRENCY")?;
    config.backoff = Backoff {
        base: Duration::from_millis(environment.number("BACKOFF_BASE_MILLIS")?),
        cap: Duration::from_secs(environment.number("BACKOFF_CAP_SECONDS")?),
    };
    // Whether a body decodes depends on the body alone.
    config.poison_memory = Some(PoisonMemory::default());
    let queue = SqsQueue::new(clients.sqs(), urls).with_size_limit(DEAD_LETTER_BYTES);
    let (table, clients) = (environment.text("FAILURES_TABLE")?, clients.clone());
    let store = move || DynamoFailures::new(clients.dynamodb(), table);
    let handler = Acknowledging::new(handler, consumer, store, SystemClock);
    let worker = Worker::new(config, queue, handler);
    Ok(worker.with_observer((TracingObserver, EmfObserver::new(metrics(), consumer))))
}

/// Serves batches until Lambda ends the environment.
///
/// # Errors
/// Where the runtime's interface cannot be reached.
pub async fn serve_queue<Q: Queue, H: Handler, O: Observer>(
    worker: Worker<Q, H, O>,
) -> Result<(), lambda_runtime::Error> {
    let worker = &worker;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<SqsEvent>| async move {
        let deadline = deadline_from(plausible(event.context.deadline()));
        worker
            .run(event.payload, deadline)
            .await
            .map_err(lambda_runtime::Error::from)
    }))
    .await
}

/// `cargo lambda watch` gives a deadline a few minutes after 1970. On AWS that
/// cannot be, so that a deadline which has passed still means that no time is left.
pub(crate) fn plausible(deadline: SystemTime) -> SystemTime {
    const YEAR_2020: Duration = Duration::from_secs(1_577_836_800);
    const A_WHILE: Duration = Duration::from_secs(30);
    if deadline < SystemTime::UNIX_EPOCH + YEAR_2020 {
        SystemTime::now() + A_WHILE
    } else {
        deadline
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_deadline_that_no_lambda_can_have_is_replaced() {
        let passed = SystemTime::now() - Duration::from_secs(1);
        assert_eq!(plausible(passed), passed);
        let impossible = SystemTime::UNIX_EPOCH + Duration::from_secs(600);
        assert!(plausible(impossible) > SystemTime::now());
    }
}
