//! Checks a scenario, and says what was found.

use std::time::{Duration, Instant};

use idempotency::{Begin, BeginUndo};
use ports::Answered;
use stateright::{Checker, Expectation, Model};

use crate::calls::Reply;
use crate::{Protocol, Scenario, tell};

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// How many different states were visited.
    pub states: usize,
    /// How often a state was reached, by whatever way.
    pub visits: usize,
    /// The length of the longest way that was gone; with one thread, of the longest
    /// of the shortest ways.
    pub depth: usize,
    /// How long it took.
    pub time: Duration,
    /// In how many places workers were seen, each after its own list of answers.
    pub places: usize,
    /// Each invariant that does not hold, with a way to break it: a shortest one, if
    /// there was one thread.
    pub broken: Vec<(&'static str, String)>,
    /// What must be possible, and was not seen.
    pub unseen: Vec<&'static str>,
    /// Which of the answers that only a race or a mishap leads to workers have heard.
    pub heard: Vec<Special>,
}

/// Visits every state that can be reached, the near ones first.
pub fn check(scenario: Scenario, threads: usize) -> Report {
    let started = Instant::now();
    let model = Protocol::new(scenario);
    let checker = model.checker().threads(threads).spawn_bfs().join();
    let model = checker.model();
    let found = checker.discoveries();
    let mut broken = Vec::new();
    let mut unseen = Vec::new();
    for property in model.properties() {
        let path = found.get(property.name);
        match (property.expectation, path) {
            (Expectation::Sometimes, None) => unseen.push(property.name),
            (Expectation::Always, Some(path)) => {
                broken.push((property.name, tell(model, path.clone())));
            }
            _ => {}
        }
    }
    Report {
        states: checker.unique_state_count(),
        visits: checker.state_count(),
        depth: checker.max_depth(),
        time: started.elapsed(),
        places: model.workers.places(),
        broken,
        unseen,
        heard: Special::ALL
            .into_iter()
            .filter(|special| model.workers.heard(|reply| special.is(reply)))
            .collect(),
    }
}

/// An answer that only a race or a mishap leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// Another attempt has taken over.
    Superseded,
    /// The order has ended.
    OrderEnded,
    /// The action comes after its undo.
    Undone,
    /// It was done before.
    AlreadyCompleted,
    /// It was undone before.
    AlreadyUndone,
    /// Somebody else is at it.
    InProgress,
    /// The undo of an action of which nobody knows the outcome.
    Unknown,
    /// The last piece is gone.
    Short,
    /// Nobody waits for the answer.
    Stale,
}

impl Special {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Superseded,
        Self::OrderEnded,
        Self::Undone,
        Self::AlreadyCompleted,
        Self::AlreadyUndone,
        Self::InProgress,
        Self::Unknown,
        Self::Short,
        Self::Stale,
    ];

    fn is(self, reply: &Reply) -> bool {
        match reply {
            Reply::Superseded => self == Self::Superseded,
            Reply::OrderEnded => self == Self::OrderEnded,
            Reply::Short(_) => self == Self::Short,
            Reply::Answered(Answered::Stale) => self == Self::Stale,
            Reply::Begin(begin) | Reply::Known(begin) => match begin {
                Begin::Undone => self == Self::Undone,
                Begin::AlreadyCompleted { .. } => self == Self::AlreadyCompleted,
                Begin::InProgress { .. } => self == Self::InProgress,
                _ => false,
            },
            Reply::BeginUndo(begin) | Reply::KnownUndo(begin) => match begin {
                BeginUndo::AlreadyUndone { .. } => self == Self::AlreadyUndone,
                BeginUndo::InProgress { .. } => self == Self::InProgress,
                BeginUndo::Start(started) => {
                    self == Self::Unknown && started.action == idempotency::ActionOutcome::Unknown
                }
                _ => false,
            },
            _ => false,
        }
    }
}
