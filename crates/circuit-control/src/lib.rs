//! Acts on the circuits between the queues and their consumers.
//!
//! The controller looks at each circuit and at its event source mapping, does
//! what is due, and makes the mapping as the circuit wants it. It remembers
//! nothing between two looks. So nothing is lost where it is killed between a
//! decision and its action, and controllers that overlap do no harm: each change
//! of a circuit is conditional on what was seen, and only who made the change acts on it.

mod controller;
mod invocation;
mod notice;
mod probe;

pub use controller::{Consumer, Controller, Ports, Unfinished, Watch};
pub use invocation::Invocation;
