//! The parsers that face outside, each with its function around it.

mod api;
mod edits;
mod events;
mod executions;
mod messages;
mod stored;

use std::future::Future;

/// What became of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is what it should be.
    Accepted,
    /// It was told that it is not.
    Refused,
}

/// A parser and what must hold of it.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder in the corpus.
    pub name: &'static str,
    /// What to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Feeds it one input, and panics where something does not hold.
    pub check: fn(&[u8]) -> Verdict,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    api::REQUEST,
    api::BODY,
    messages::BODY,
    messages::BATCH,
    events::STREAM,
    events::ALARM,
    events::CIRCUIT,
    edits::EDIT,
    edits::SHOWN,
    stored::RESULT,
    executions::SAGA,
    executions::RESCUE,
    executions::RECOVERY,
];

/// The longest refusal that a person can read.
const LONGEST_REFUSAL: usize = 4096;

/// A refusal says something, and not at any length.
#[track_caller]
fn check_refusal(why: &str) {
    assert!(!why.is_empty(), "refused without a reason");
    assert!(
        why.len() <= LONGEST_REFUSAL,
        "{} bytes of reason",
        why.len()
    );
}

/// Runs to its end, with time that passes only where nothing else can happen.
fn in_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(work)
}
