//! Replays: a plan is made from a look at the store, frozen, and carried out.
//!
//! ```text
//! select ─▶ freeze ─▶ run ──▶ canaries of each group ─▶ the rest, at a rate ─▶ wait
//!                      ▲              │
//!        resume ───────┘              └─ one failed again: the rest of its group is not sent
//! ```
//!
//! What became of each message is in its failure record and nowhere else, so a run that
//! was killed goes on exactly where it was. A message is sent only by who claimed its
//! record, by compare-and-swap on the version that was read.

mod engine;
mod select;
mod state;

pub use engine::{Drains, Event, Finish, NoDrain, ReplayError, Replayer, Run, Watcher};
pub use select::{Choice, Selection, Settings, Skip, Wish, freeze, select};
pub use state::{state_of, tally};
