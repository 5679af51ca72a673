//! The circuit breaker on AWS.

#[cfg(feature = "lambda")]
mod functions;
#[cfg(feature = "lambda")]
mod mappings;
#[cfg(feature = "lambda")]
mod probes;
mod table;
mod worker;

#[cfg(feature = "lambda")]
pub use functions::LambdaWake;
#[cfg(feature = "lambda")]
pub use mappings::LambdaMappings;
#[cfg(feature = "lambda")]
pub use probes::{ProbeLine, SqsProbes};
pub use table::{DynamoCircuits, DynamoTrips};
pub use worker::{WorkerBreaker, answer_probe, serve_guarded_queue, worker_breaker};
