//! The worker's half: a breaker, and a runtime that takes probes beside batches.

use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use circuit::{LocalBreaker, ProbeAnswer, Probing};
use idempotency::SystemClock;
use lambda_runtime::{LambdaEvent, service_fn};
use message_worker::{Handler, Observer, Queue, Worker, deadline_from};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::DynamoTrips;
use crate::clients::Clients;
use crate::environment::{Environment, EnvironmentError};
use crate::runtime::plausible;

/// The breaker of a worker, shared by its steps and its runtime.
pub type WorkerBreaker = Arc<LocalBreaker<DynamoTrips, SystemClock>>;

/// The breaker of a consumer, as the environment sets it up.
///
/// # Errors
/// [`EnvironmentError`] names a variable that is missing or wrong.
pub fn worker_breaker(
    consumer: &str,
    environment: Environment,
    clients: &Clients,
) -> Result<WorkerBreaker, EnvironmentError> {
    let interval = Duration::from_secs(environment.number("PROBE_INTERVAL_SECONDS")?);
    let table = environment.text("CIRCUITS_TABLE")?;
    let trips = DynamoTrips::new(clients.dynamodb(), table, interval);
    // By the time of the first probe, the mapping is disabled.
    let breaker = LocalBreaker::new(consumer, trips, SystemClock, interval);
    Ok(Arc::new(breaker))
}

/// What the function is invoked with: a batch by its queue, or one message by the controller.
#[derive(Debug, Deserialize)]
struct Invocation {
    #[serde(rename = "Records", default)]
    records: Vec<SqsMessage>,
    probe: Option<SqsMessage>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Response {
    Batch(SqsBatchResponse),
    Probe(ProbeAnswer),
}

/// Serves batches and probes until Lambda ends the environment.
///
/// # Errors
/// Where the runtime's interface cannot be reached.
pub async fn serve_guarded_queue<Q: Queue, H: Handler, O: Observer, B: Probing>(
    worker: Worker<Q, H, O>,
    breaker: B,
) -> Result<(), lambda_runtime::Error> {
    let (worker, breaker) = (&worker, &breaker);
    let serve = move |event: LambdaEvent<Invocation>| async move {
        let deadline = deadline_from(plausible(event.context.deadline()));
        answer(worker, breaker, event.payload, deadline)
            .await
            .map_err(lambda_runtime::Error::from)
    };
    lambda_runtime::run(service_fn(serve)).await
}

async fn answer<Q: Queue, H: Handler, O: Observer>(
    worker: &Worker<Q, H, O>,
    breaker: &impl Probing,
    invocation: Invocation,
    deadline: Instant,
) -> Result<Response, message_worker::InvalidRecord> {
    let Some(message) = invocation.probe else {
        let batch = batch_of(invocation.records);
        return worker.run(batch, deadline).await.map(Response::Batch);
    };
    answer_probe(worker, breaker, message, deadline)
        .await
        .map(Response::Probe)
}

/// Has a worker handle one message of a probe, and says what its calls showed.
///
/// # Errors
/// [`message_worker::InvalidRecord`] where the message has no id.
pub async fn answer_probe<Q: Queue, H: Handler, O: Observer>(
    worker: &Worker<Q, H, O>,
    breaker: &impl Probing,
    message: SqsMessage,
    deadline: Instant,
) -> Result<ProbeAnswer, message_worker::InvalidRecord> {
    breaker.begin_probe();
    let handled = worker.run(batch_of(vec![message]), deadline).await;
    // Also where the record was refused: the breaker must not stay in a probe.
    let verdict = breaker.end_probe();
    let acknowledged = handled?.batch_item_failures.is_empty();
    Ok(ProbeAnswer {
        acknowledged,
        verdict,
    })
}

fn batch_of(records: Vec<SqsMessage>) -> SqsEvent {
    let mut batch = SqsEvent::default();
    batch.records = records;
    batch
}
