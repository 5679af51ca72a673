//! The protocol of Waybill in a model checker: every order of what can happen is
//! explored, and in each the *deployed* code decides.
//!
//! See `README.md` of this crate for the model in one page: what runs in it as it
//! is, what stands in for AWS, what is exhaustive and what is bounded.

#![allow(
    clippy::panic,
    reason = "a model that does not understand what it models must not go on"
)]

pub mod breaker;
pub mod calls;
pub mod explored;
pub mod intake;
mod interned;
pub mod letters;
mod model;
mod party;
mod properties;
pub mod relay;
pub mod report;
pub mod rest;
pub mod saga;
pub mod scenario;
pub mod state;
mod store;
pub mod tree;
mod words;
pub mod worker;

pub use model::{Action, Protocol};
pub use scenario::{PartyRules, Sabotage, Scenario};
