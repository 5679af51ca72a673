//! Orders whose events cannot be read, told to whoever can mend them.

use std::future::Future;

use crate::Unavailable;

/// An order of which no event is published any more, until its timeline is mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldOrder {
    /// The key of its item.
    pub order_id: String,
    /// The sequence number of the first event that waits.
    pub from: usize,
    /// Why that one cannot be read, without its content.
    pub cause: String,
}

/// Keeps what somebody has to mend, where an alarm sees it.
pub trait HeldOrders: Send + Sync {
    /// Reports an order. The same may be reported again.
    fn report(&self, order: &HeldOrder) -> impl Future<Output = Result<(), Unavailable>> + Send;
}
