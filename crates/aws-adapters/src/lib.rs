//! The ports on AWS, and what every function needs to start.
//!
//! Configuration comes from environment variables only, and is read once.
//! Clients are built without looking up files or instance metadata: a Lambda
//! function has its region and credentials in its environment, and each
//! look-up that is not made is cold start saved.

mod bus;
mod calls;
mod circuit;
mod clients;
mod dead_letters;
mod dynamodb;
mod environment;
mod failures;
mod held;
mod metrics;
mod people;
mod runtime;
mod sagas;
pub mod sandbox;
mod tasks;
mod telemetry;

pub use self::circuit::{
    DynamoCircuits, DynamoTrips, WorkerBreaker, answer_probe, serve_guarded_queue, worker_breaker,
};
#[cfg(feature = "lambda")]
pub use self::circuit::{LambdaMappings, LambdaWake, ProbeLine, SqsProbes};
pub use self::failures::{
    DynamoFailures, DynamoGroups, DynamoPlans, SqsDeadLetterQueues, SqsReplayQueues,
};
pub use bus::SnsBus;
pub use calls::{BoxedCall, Call, Called, DynamoCalls, Operation, RulesOfEndpoint, retry_budget};
pub use clients::Clients;
pub use dead_letters::SqsDeadLetters;
pub use dynamodb::{DynamoAudit, DynamoJournal, DynamoOrders};
pub use environment::{Environment, EnvironmentError};
pub use held::SqsHeldOrders;
pub use metrics::{CircuitMetrics, count, metrics};
pub use people::SnsPeople;
pub use runtime::{DEAD_LETTER_BYTES, QueueWorker, queue_worker, serve_queue};
pub use sagas::StepFunctionsSagas;
pub use tasks::StepFunctionsTasks;
pub use telemetry::init_logs;
