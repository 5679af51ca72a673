//! In-memory ports, fault injection and fixtures for tests and simulation.
//!
//! A [`World`] is everything outside the functions: tables, providers, bus,
//! state machine, people. It implements every port, each operation as one
//! atomic step, and follows the same rules as the adapters, because both decide
//! with the pure functions of `domain` and `idempotency`.
//!
//! It is deterministic: it has no randomness, and no time but tokio's, which a
//! test pauses ([`VirtualClock`]). Each operation yields once before its effect,
//! so that operations of several tasks interleave.

mod clock;
mod failures;
mod faults;
pub mod fixtures;
mod inbox;
mod journal;
mod orders;
mod providers;
mod recorders;
mod world;

pub use self::failures::Replayed;
pub use clock::VirtualClock;
pub use faults::{Fault, Injected, Operation};
pub use inbox::{Handled, INVOCATION, Inbox};
pub use orders::{OrderChanged, OrderCondition, OrderWrite, Recovery};
pub use providers::{Effect, EffectKind};
pub use world::World;
