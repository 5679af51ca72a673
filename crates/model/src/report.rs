//! Checks a scenario, and says what was found.

use std::fmt;
use std::time::{Duration, Instant};

use idempotency::{Begin, BeginUndo};
use ports::Answered;
use stateright::{Checker, Expectation, Model};

use crate::calls::Reply;
use crate::explored::Explored;
use crate::{Protocol, Scenario};

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// How many different states were visited.
    pub states: usize,
    /// The length of the longest way that was gone; with one thread, of the longest
    /// of the shortest ways.
    pub depth: usize,
    /// How long it took.
    pub time: Duration,
    /// What does not hold.
    pub broken: Vec<Broken>,
    /// What must be possible, and was not seen.
    pub unseen: Vec<&'static str>,
}

/// Something that does not hold.
#[derive(Debug)]
pub struct Broken {
    /// It, in words.
    pub words: &'static str,
    /// Which parts of it do not hold.
    pub parts: Vec<&'static str>,
    /// A way to break it, a line for each step: a shortest one, if there was one thread.
    pub path: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{}\"", self.words)?;
        match self.parts.as_slice() {
            [] => Ok(()),
            parts => write!(formatter, ", as not \"{}\"", parts.join("\" and \"")),
        }
    }
}

/// Visits every state that can be reached, the near ones first.
pub fn check<M: Checkable>(model: M, threads: usize) -> Report {
    check_and_look(model, threads, |_| ()).0
}

/// The same for the protocol. Also gives which of the answers that only a race or a
/// mishap leads to workers have heard.
pub fn check_protocol(scenario: Scenario, threads: usize) -> (Report, Vec<Special>) {
    check_and_look(Protocol::new(scenario), threads, |model| {
        let all = Special::ALL.into_iter();
        all.filter(|special| model.workers.heard(|reply| special.is(reply)))
            .collect()
    })
}

fn check_and_look<M: Checkable, T>(
    model: M,
    threads: usize,
    look: impl FnOnce(&M) -> T,
) -> (Report, T) {
    let started = Instant::now();
    let checker = model.checker().threads(threads).spawn_bfs().join();
    let model = checker.model();
    let mut found = checker.discoveries();
    let mut broken = Vec::new();
    let mut unseen = Vec::new();
    for property in model.properties() {
        let path = found.remove(property.name);
        match (property.expectation, path) {
            (Expectation::Sometimes, None) => unseen.push(property.name),
            (Expectation::Always, Some(path)) => {
                broken.push(Broken::new(model, property.name, &path.into_vec()));
            }
            _ => {}
        }
    }
    let report = Report {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        time: started.elapsed(),
        broken,
        unseen,
    };
    let seen = look(model);
    (report, seen)
}

/// What the checker takes, with several threads.
pub trait Checkable:
    Explored<State: Send + Sync, Action: Send + Sync> + Send + Sync + 'static
{
}

impl<M: Explored<State: Send + Sync, Action: Send + Sync> + Send + Sync + 'static> Checkable for M {}

impl Broken {
    fn new<M: Explored>(model: &M, words: &'static str, path: &Steps<M>) -> Self {
        let last = path.last().map(|(state, _)| state);
        let parts = model.parts(words).iter();
        let broken = parts.filter(|(_, holds)| last.is_some_and(|state| !holds(model, state)));
        Self {
            words,
            parts: broken.map(|(part, _)| *part).collect(),
            path: tell(model, path),
        }
    }
}

/// A way through the states, to the last in which nothing happens any more.
type Steps<M> = Vec<(<M as Model>::State, Option<<M as Model>::Action>)>;

/// What happens along a path, a line for each step, and how it ends.
fn tell<M: Explored>(model: &M, steps: &Steps<M>) -> String {
    let mut lines = Vec::new();
    for (number, (state, action)) in (1..).zip(steps) {
        match action {
            Some(action) => lines.push(format!("{number:>4}. {}", model.say(state, *action))),
            None => lines.extend(model.describe(state)),
        }
    }
    lines.join("\n")
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
