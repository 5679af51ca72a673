//! The bus that carries messages to whoever subscribes.

use std::future::Future;

use crate::Unavailable;

/// What became of one message of a batch.
#[derive(Debug)]
pub enum Delivery {
    /// The bus has it.
    Published,
    /// The bus refused this one, or does not say.
    Failed {
        /// The bus's code for it.
        code: String,
    },
}

/// Publishes messages.
pub trait Bus: Send + Sync {
    /// The most messages in one call.
    const BATCH: usize;

    /// The most bytes in one call, all messages together.
    const BATCH_BYTES: usize;

    /// Publishes up to [`Bus::BATCH`] messages with one request. MUST return one
    /// [`Delivery`] for each message, in their order.
    fn publish(
        &self,
        messages: &[&str],
    ) -> impl Future<Output = Result<Vec<Delivery>, Unavailable>> + Send;
}
