//! Messages to people.

use std::future::Future;

use crate::Unavailable;

/// A message that a person reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// One line; up to 100 ASCII characters arrive.
    pub subject: String,
    /// What happened and what to do; no personal data.
    pub text: String,
    /// What programs may filter on: a stable kind such as `order-failed`.
    pub kind: &'static str,
}

/// Tells people.
pub trait People: Send + Sync {
    /// Sends a notice.
    fn tell(&self, notice: &Notice) -> impl Future<Output = Result<(), Unavailable>> + Send;
}
