//! The harness of the end-to-end tests, which the demo shares.
//!
//! It knows a deployment by what anybody knows of it: the API, the queues, the
//! bus and the stack's outputs. [`Environment`] finds them; [`Order`] builds
//! orders; [`Tap`] listens to a topic; [`invariants`] counts what must hold.
//!
//! A helper that does not find what must be there panics with a message that
//! says which order, which message and what was seen last: in a test that is
//! the failure report.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is the failure report of a test"
)]

mod api;
mod aws;
mod circuits;
mod columns;
pub mod cost;
mod environment;
mod http;
pub mod invariants;
pub mod messages;
mod order;
mod page;
mod program;
pub mod proxy;
mod queues;
mod records;
mod store;
mod tap;
mod twin;
mod wait;

pub use api::{Answer, OrderView};
pub use circuits::{Call, CircuitView, MappingView};
pub use columns::columns;
pub use environment::{CONSUMERS, Environment};
pub use http::Request;
pub use order::{Order, unique};
pub use page::{say, write_between};
pub use program::Ran;
pub use queues::QueuedMessage;
pub use records::{AuditEntry, Effect, LostCapture, StockLevel};
pub use tap::{Captured, Notice, Tap};
pub use twin::Twin;
pub use wait::{QUICKLY, SLOWLY, wait_until};
