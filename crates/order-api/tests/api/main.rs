//! The API over orders in memory, and against its published description.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is the failure report of a test"
)]

mod access;
mod client;
mod description;
mod faults;
mod orders;
