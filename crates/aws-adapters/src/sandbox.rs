//! Outside parties for trying things out: they behave by what the order says.
//!
//! Each keeps a ledger of what really happened, one item for each effect and
//! never updated, so that anyone can count. The ledger's key holds the
//! idempotency key that the effect was asked for under: as with a real
//! provider, the same key never has a second effect, and another key would.

mod ledger;
mod outage;
mod payments;
mod warehouse;

pub use ledger::Ledger;
pub use outage::{Attempt, Item, Outage, attempt_prefix, outage_key};
pub use payments::SandboxPayments;
pub use warehouse::SandboxWarehouse;

/// What a sandbox says where a real provider would be down.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the sandbox behaves as the order asks: {0}")]
struct Simulated(&'static str);
