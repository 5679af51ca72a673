//! Runs real code one call of a port at a time.
//!
//! A program is deterministic: what it does next follows from its start and from
//! what its ports have answered so far. So a program in mid-flight is stored as the
//! list of these answers. To take it one call further, the whole of it runs again
//! from the start with the answers that are known, up to the first call that has
//! none. Each list is run once; then it is remembered, and a state of a model holds
//! only its number.

use std::collections::{HashMap, VecDeque};
use std::fmt::Debug;
use std::future::{Future, pending};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};

use tokio::sync::Notify;

/// A program, or several of a kind.
pub trait Program: Debug {
    /// What it begins with.
    type Start: Debug + Clone + Eq + Hash;
    /// What it asks of its ports.
    type Call: Debug;
    /// What they answer.
    type Reply: Debug + Clone + PartialEq;

    /// Runs it with these ports to its end, and says whether Lambda deletes the message
    /// that it was given, if it was given one.
    fn run(
        start: &Self::Start,
        ports: Script<Self::Call, Self::Reply>,
    ) -> impl Future<Output = bool>;
}

/// What a program does next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next<C> {
    /// It calls a port, and waits.
    Call(C),
    /// It has ended.
    Ended {
        /// Whether Lambda deletes the message.
        acknowledged: bool,
    },
}

/// A program in mid-flight: a place in a [`Tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place(u32);

/// All that programs were seen to do, as a tree of answers.
#[derive(Debug)]
pub struct Tree<P: Program>(RwLock<Nodes<P>>);

#[derive(Debug)]
struct Nodes<P: Program> {
    roots: HashMap<P::Start, Place>,
    all: Vec<Node<P>>,
}

#[derive(Debug)]
struct Node<P: Program> {
    start: Option<P::Start>,
    answers: Vec<P::Reply>,
    next: Arc<Next<P::Call>>,
    children: Vec<(P::Reply, Place)>,
}

impl<P: Program> Default for Tree<P> {
    /// Nothing was seen yet. The first place is the one where all are done.
    fn default() -> Self {
        let acknowledged = true;
        let done = Node {
            start: None,
            answers: Vec::new(),
            next: Arc::new(Next::Ended { acknowledged }),
            children: Vec::new(),
        };
        Self(RwLock::new(Nodes {
            roots: HashMap::new(),
            all: vec![done],
        }))
    }
}

impl<P: Program> Tree<P> {
    /// A program that has just begun.
    pub fn start(&self, start: &P::Start) -> Place {
        if let Some(known) = self.read(|nodes| nodes.roots.get(start).copied()) {
            return known;
        }
        let next = play::<P>(start, &[]);
        let mut nodes = self.write();
        if let Some(known) = nodes.roots.get(start) {
            return *known;
        }
        let place = nodes.add(start, Vec::new(), next);
        nodes.roots.insert(start.clone(), place);
        place
    }

    /// What a program does next.
    pub fn next(&self, at: Place) -> Arc<Next<P::Call>> {
        self.read(|nodes| Arc::clone(&nodes.at(at).next))
    }

    /// The program after an answer.
    pub fn after(&self, at: Place, reply: &P::Reply) -> Place {
        if let Some(known) = self.read(|nodes| nodes.at(at).after(reply)) {
            return known;
        }
        let (start, mut answers) = self.read(|nodes| {
            let node = nodes.at(at);
            (node.start.clone(), node.answers.clone())
        });
        let Some(start) = start else { return at };
        answers.push(reply.clone());
        let next = play::<P>(&start, &answers);
        let mut nodes = self.write();
        // Another thread may have been faster.
        if let Some(known) = nodes.at(at).after(reply) {
            return known;
        }
        let place = nodes.add(&start, answers, next);
        nodes.all[at.0 as usize]
            .children
            .push((reply.clone(), place));
        place
    }

    /// The answer that a program has heard last.
    pub fn last_heard(&self, at: Place) -> Option<P::Reply> {
        self.read(|nodes| nodes.at(at).answers.last().cloned())
    }

    /// In how many places programs were seen.
    pub fn places(&self) -> usize {
        self.read(|nodes| nodes.all.len())
    }

    /// Whether a program was ever answered so.
    pub fn heard(&self, wanted: impl Fn(&P::Reply) -> bool) -> bool {
        self.read(|nodes| {
            let mut answers = nodes.all.iter().flat_map(|node| &node.children);
            answers.any(|(reply, _)| wanted(reply))
        })
    }

    fn read<T>(&self, look: impl FnOnce(&Nodes<P>) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self) -> RwLockWriteGuard<'_, Nodes<P>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: Program> Nodes<P> {
    fn at(&self, place: Place) -> &Node<P> {
        &self.all[place.0 as usize]
    }

    /// Programs that have ended well are all in the first place.
    #[allow(clippy::cast_possible_truncation, reason = "there are some thousands")]
    fn add(&mut self, start: &P::Start, answers: Vec<P::Reply>, next: Next<P::Call>) -> Place {
        if matches!(next, Next::Ended { acknowledged: true }) {
            return Place(0);
        }
        self.all.push(Node {
            start: Some(start.clone()),
            answers,
            next: Arc::new(next),
            children: Vec::new(),
        });
        Place(self.all.len() as u32 - 1)
    }
}

impl<P: Program> Node<P> {
    fn after(&self, reply: &P::Reply) -> Option<Place> {
        let child = self.children.iter().find(|(known, _)| known == reply);
        child.map(|(_, place)| *place)
    }
}

/// Runs a program with the answers that are known, up to the first call without one.
/// Where it waits for a time to pass, that passes at once.
#[allow(
    clippy::expect_used,
    reason = "a model without a runtime checks nothing"
)]
fn play<P: Program>(start: &P::Start, answers: &[P::Reply]) -> Next<P::Call> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O can be built");
    runtime.block_on(async {
        let script = Script::new(answers);
        tokio::select! {
            biased;
            acknowledged = P::run(start, script.clone()) => Next::Ended { acknowledged },
            call = script.first_unanswered() => Next::Call(call),
        }
    })
}

/// The answers of all ports of a program, in the order of its calls.
///
/// Of calls that are made side by side the first is answered first, and what follows
/// from it comes before the second.
#[derive(Debug)]
pub struct Script<C, R>(Arc<Inner<C, R>>);

#[derive(Debug)]
struct Inner<C, R> {
    answers: Mutex<VecDeque<R>>,
    unanswered: Mutex<Option<C>>,
    asked: Notify,
}

impl<C, R> Clone for Script<C, R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C, R: Clone> Script<C, R> {
    fn new(answers: &[R]) -> Self {
        Self(Arc::new(Inner {
            answers: Mutex::new(answers.iter().cloned().collect()),
            unanswered: Mutex::new(None),
            asked: Notify::new(),
        }))
    }

    /// Makes a call. Without an answer to it, it never ends.
    pub async fn ask(&self, call: C) -> R {
        let answer = lock(&self.0.answers).pop_front();
        if let Some(answer) = answer {
            return answer;
        }
        lock(&self.0.unanswered).get_or_insert(call);
        self.0.asked.notify_one();
        pending().await
    }

    async fn first_unanswered(&self) -> C {
        loop {
            self.0.asked.notified().await;
            if let Some(call) = lock(&self.0.unanswered).take() {
                return call;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
