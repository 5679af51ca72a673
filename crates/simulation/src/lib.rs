//! A deterministic simulation of the whole of Waybill: the real functions, simulated
//! time, and every fault from a seed.
//!
//! See `README.md` of this crate for what runs in it as it is, and what stands in for AWS.

#![allow(
    clippy::large_futures,
    reason = "a whole system awaits here, once for each actor; nothing is short of stack"
)]

mod bus;
mod checks;
mod circuits;
mod customers;
mod functions;
mod machines;
mod mishaps;
mod operators;
mod ports;
mod queues;
mod run;
mod sim;
mod story;
mod template;
mod told;

pub mod by_hand;
pub mod coverage;
pub mod many;

pub use machines::Machine;
pub use mishaps::Mishap;
pub use run::{Outcome, Settings, run, trace};
pub use sim::Violation;
