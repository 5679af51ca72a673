//! The protocol of a saga step, held against all three pairs of action and undo:
//! charge and refund, reserve and release, ship and cancel.
//!
//! Time stands still but for waiting, so that hours of leases and backoff pass in no time.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is the failure report of a test"
)]

mod acknowledged;
mod at_once;
mod bench;
mod circuit;
mod crashes;
mod poison;
mod repeats;
