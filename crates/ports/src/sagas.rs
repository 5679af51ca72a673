//! The state machine that leads an order through its steps.

use std::future::Future;

use domain::OrderId;

use crate::Unavailable;

/// What came of starting a saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SagaStart {
    /// It runs.
    Started,
    /// It was started before, by this message or an earlier delivery of it.
    AlreadyExists,
}

/// Starts sagas.
pub trait Sagas: Send + Sync {
    /// Starts the saga of an order. MUST start at most one for each order.
    fn start(
        &self,
        order: OrderId,
        input: &str,
    ) -> impl Future<Output = Result<SagaStart, Unavailable>> + Send;
}
