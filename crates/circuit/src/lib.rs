//! When to stop calling an outside party that is down, and how to begin again.
//!
//! A circuit stands between a consumer's queue and the outside party that the
//! consumer calls. It has two halves:
//!
//! - In each execution environment of the worker a [`LocalBreaker`] counts in
//!   memory how its calls go. No request is made for that. When they go wrong
//!   it opens the circuit with one conditional write, so that one environment wins.
//! - One controller acts on the circuits: it disables the queue's event source
//!   mapping, so that messages wait without using up receives, probes with one
//!   message at a time, and lets the traffic return in steps.
//!
//! ```text
//!            too many failures                    probe succeeded
//!  closed ───────────────────▶ open ──────────────────────────────▶ half-open
//!    ▲                          ▲ └─ probe failed: later ─┘           │   │
//!    │                          └──────── too many failures ──────────┘   │
//!    └───────── concurrency doubled until it is full ─────────────────────┘
//! ```
//!
//! The rules are pure: [`Circuit::after`] gives the next state, [`Circuit::due`]
//! what is to be done, and [`Circuit::wanted`] how the mapping must be. The
//! controller compares the mapping with what is wanted again and again, instead
//! of remembering what it did: so whatever is lost between two actions, the next
//! look makes it good.

mod breaker;
mod circuit;
mod counter;
mod ports;
mod settle;

pub use breaker::{AlwaysClosed, Breaker, Call, LocalBreaker, Probing, Verdict};
pub use circuit::{
    Circuit, Due, HalfOpen, Observation, Open, Pause, ProbeOutcome, Resumed, Settings, State,
    Telling, Wanted,
};
pub use counter::{Cause, Counter, Health, Limits};
pub use ports::{
    CircuitStore, Mapping, Mappings, Meter, Opened, ProbeAnswer, ProbeMessages, Saved, Switch,
    Taken, Trips, Wake,
};
pub use settle::{NotSettled, settle};
