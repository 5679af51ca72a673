//! The short way, `Idempotency`, over the store in memory.

#![allow(
    clippy::unwrap_used,
    reason = "a panic in a test is its failure report"
)]

mod abandoned;
mod bench;
#[cfg(feature = "cache")]
mod cache;
#[cfg(feature = "tokio")]
mod renew;
mod run;
mod undo;
#[cfg(feature = "tokio")]
mod wait;
