//! Bad input for everything that faces outside.
//!
//! Each [`Target`](targets::Target) is a parser with the function around it, everything
//! outside that in memory. It is fed the files of its corpus and what [`mutation`] makes
//! of them, and says what must hold whatever comes in: no panic, a bounded answer, a
//! clear refusal, and nothing done for what was refused.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a check reports its failure"
)]

pub mod corpus;
pub mod logs;
pub mod mutation;
pub mod run;
pub mod targets;
