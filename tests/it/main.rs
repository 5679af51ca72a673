//! The tests of the whole: on the deployed template, with its permissions enforced.
//!
//! Run them with `make e2e`. Each test has orders, customers and articles of its
//! own, so they run side by side, and removes what it put where others look.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is the failure report of a test"
)]
#![allow(clippy::large_futures, reason = "a test's future is awaited once")]

mod acknowledgement;
mod code;
mod completion;
mod drain;
mod duplicates;
mod ended;
mod failures;
mod hostile_store;
mod intake;
mod notices;
mod operator_edit;
mod operator_replay;
mod operator_rights;
mod operator_scene;
mod operator_store;
mod operator_writes;
mod permissions;
mod poison;
mod proxy;
mod queues;
mod recovery;
mod relay;
mod roles;
mod runbook;
mod security_page;
mod state_machine;
mod sweep;
mod template;
mod timeouts;
mod trace;
mod undo;
mod wiring;
