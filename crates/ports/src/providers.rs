//! The outside parties: who takes payments, and who ships.

use std::error::Error;
use std::future::Future;

use domain::payment::{Charge, Refund};
use domain::shipment::{Cancellation, Shipment};
use domain::{Address, ItemQuantity, Money, OrderId, PaymentMethod};

/// An outside party gave no answer that settles the matter.
///
/// A refusal (declined, cannot be shipped) is an answer, not an error. An adapter
/// MUST tell the four apart: whether the call may be repeated or undone at once
/// follows from the effect it may have had, and whether the circuit opens, so that
/// nobody calls for a while, follows from what it says of other calls.
///
/// | variant | effect of the call | other calls | examples |
/// |---|---|---|---|
/// | `Unavailable` | none | fail as well | refused connection, 429, 503 |
/// | `TimedOut` | unknown | probably fail as well | no answer within the time limit |
/// | `OutcomeUnknown` | unknown | unknown | the connection broke after sending |
/// | `Failed` | none | are served | a 500 or a lock that concerns this request alone |
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The call certainly had no effect, and nobody is served: refused connection,
    /// throttled, 503. Counts against the outside party.
    #[error("the provider is unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// No answer came in time. The call may have had its effect. Counts against
    /// the outside party.
    #[error("the provider did not answer in time")]
    TimedOut(#[source] Box<dyn Error + Send + Sync>),
    /// The call may have had its effect: the connection broke after sending.
    #[error("the provider's answer was lost")]
    OutcomeUnknown(#[source] Box<dyn Error + Send + Sync>),
    /// The call certainly had no effect, and may have one later. The outside party
    /// answered, so others are served.
    #[error("the provider failed this request")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
}

impl ProviderError {
    /// Whether the call may have had its effect, or may still have it.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self, Self::TimedOut(_) | Self::OutcomeUnknown(_))
    }
}

/// Asks to capture a payment.
#[derive(Debug, Clone)]
pub struct ChargeRequest<'a> {
    /// The provider's idempotency key: the command's id, the same on every retry.
    pub key: &'a str,
    /// The order.
    pub order: OrderId,
    /// How much.
    pub money: Money,
    /// By which means.
    pub method: &'a PaymentMethod,
}

/// Asks to give back whatever was captured.
#[derive(Debug, Clone)]
pub struct RefundRequest<'a> {
    /// The provider's idempotency key of the refund.
    pub key: &'a str,
    /// The key under which the charge was asked for.
    pub charge_key: &'a str,
    /// The order.
    pub order: OrderId,
}

/// Takes payments and gives them back.
///
/// Keys do not name the deployment: the same customer and `Idempotency-Key` give the
/// same order id in each. Two deployments, or one that was made anew, MUST NOT share
/// an account at the provider, unless the adapter puts a name of its own before each key.
pub trait PaymentProvider: Send + Sync {
    /// Captures a payment. MUST have one effect however often a key is sent, and MUST
    /// remember a refusal under its key too: a request that was overtaken by its
    /// repetition must not capture what the repetition refused.
    fn charge(
        &self,
        request: &ChargeRequest<'_>,
    ) -> impl Future<Output = Result<Charge, ProviderError>> + Send;

    /// Gives back what was captured under the charge's key, or says that nothing was.
    /// MUST have one effect however often a key is sent, and MUST bar the charge's
    /// key: a charge that arrives later under it captures nothing. Keys MUST be
    /// remembered for as long as a command can be repeated, which is 60 days.
    fn refund(
        &self,
        request: &RefundRequest<'_>,
    ) -> impl Future<Output = Result<Refund, ProviderError>> + Send;
}

/// Asks to ship.
#[derive(Debug, Clone)]
pub struct ShipRequest<'a> {
    /// The warehouse's idempotency key: the command's id.
    pub key: &'a str,
    /// The order.
    pub order: OrderId,
    /// What to ship.
    pub items: &'a [ItemQuantity],
    /// Where to.
    pub ship_to: &'a Address,
}

/// Asks to call off whatever was taken on.
#[derive(Debug, Clone)]
pub struct CancelRequest<'a> {
    /// The warehouse's idempotency key of the cancellation.
    pub key: &'a str,
    /// The key under which the shipment was asked for.
    pub ship_key: &'a str,
    /// The order.
    pub order: OrderId,
}

/// Ships and calls shipments off. As with payments, deployments MUST NOT share an account.
pub trait Warehouse: Send + Sync {
    /// Takes a shipment on. MUST have one effect however often a key is sent, and MUST
    /// remember a refusal under its key too.
    fn ship(
        &self,
        request: &ShipRequest<'_>,
    ) -> impl Future<Output = Result<Shipment, ProviderError>> + Send;

    /// Calls off what was taken on under the shipment's key, or says that nothing was.
    /// MUST have one effect however often a key is sent, and MUST bar the shipment's
    /// key: it is refused from then on. Keys MUST be remembered for 60 days.
    fn cancel(
        &self,
        request: &CancelRequest<'_>,
    ) -> impl Future<Output = Result<Cancellation, ProviderError>> + Send;
}
