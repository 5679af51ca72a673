//! Accepts orders and shows them: `POST /orders` and `GET /orders/{orderId}`.
//!
//! One conditional put is at once the idempotency check, the durable acceptance
//! and the outbox entry. Nothing is acknowledged before it has succeeded.

mod api;
mod problem;
mod request;
mod response;

pub use api::{Access, OrderApi};
pub use problem::Problem;
