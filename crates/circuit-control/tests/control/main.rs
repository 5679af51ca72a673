//! The controller on a queue, a mapping and an outside party in memory.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is the failure report of a test"
)]

mod faults;
mod outside;
mod recovery;
