//! Whether everything comes to rest: the liveness half of "eventually".
//!
//! Step by step exploration of the whole graph, with its edges. From every state
//! that can be reached, also by way of mishaps, a state of rest must be reachable
//! *without* any further mishap. So no state is a trap, and no cycle is without an
//! exit; as whatever can go on happening does happen at some time (each queue
//! delivers, each worker runs), every path comes to rest.

use std::collections::HashMap;

use stateright::Model;

use crate::explored::Explored;

/// What was explored.
#[derive(Debug)]
pub struct Rest<M: Explored> {
    /// How many states.
    pub states: usize,
    /// How many of them are at rest.
    pub at_rest: usize,
    /// A state from which rest cannot be reached, and the way to it.
    pub trap: Option<Path<M>>,
}

/// A way through the states: each with what happens in it.
pub type Path<M> = Vec<(<M as Model>::State, <M as Model>::Action)>;

/// Explores all states, and looks for one from which rest is out of reach.
pub fn explore<M: Explored>(model: &M) -> Rest<M> {
    let graph = Graph::explore(model);
    let reaches_rest = graph.reaching_rest(model);
    Rest {
        states: graph.states.len(),
        at_rest: graph.at_rest(model).count(),
        trap: reaches_rest
            .iter()
            .position(|reaches| !reaches)
            .map(|index| graph.path_to(index)),
    }
}

struct Graph<M: Explored> {
    states: Vec<M::State>,
    numbers: HashMap<M::State, u32>,
    /// How each state was first reached.
    parents: Vec<Option<(u32, M::Action)>>,
    /// Edges that need no mishap, backwards.
    back: Vec<Vec<u32>>,
}

impl<M: Explored> Graph<M> {
    fn explore(model: &M) -> Self {
        let mut graph = Self {
            states: Vec::new(),
            numbers: HashMap::new(),
            parents: Vec::new(),
            back: Vec::new(),
        };
        for state in model.init_states() {
            graph.number(state, None);
        }
        let mut at = 0;
        while at < graph.states.len() {
            graph.expand(model, at);
            at += 1;
        }
        graph
    }

    #[allow(clippy::cast_possible_truncation, reason = "there are some millions")]
    fn expand(&mut self, model: &M, at: usize) {
        let state = self.states[at].clone();
        let (mut progress, mut all) = (Vec::new(), Vec::new());
        model.progress(&state, &mut progress);
        model.actions(&state, &mut all);
        for (index, action) in all.into_iter().enumerate() {
            if let Some(next) = model.next_state(&state, action) {
                let next = self.number(next, Some((at as u32, action)));
                if index < progress.len() {
                    self.back[next as usize].push(at as u32);
                }
            }
        }
    }

    #[allow(clippy::cast_possible_truncation, reason = "there are some millions")]
    fn number(&mut self, state: M::State, parent: Option<(u32, M::Action)>) -> u32 {
        if let Some(number) = self.numbers.get(&state) {
            return *number;
        }
        let number = self.states.len() as u32;
        self.states.push(state.clone());
        self.numbers.insert(state, number);
        self.parents.push(parent);
        self.back.push(Vec::new());
        number
    }

    fn at_rest<'a>(&'a self, model: &'a M) -> impl Iterator<Item = usize> + 'a {
        let states = self.states.iter().enumerate();
        states
            .filter(|(_, state)| model.is_at_rest(state))
            .map(|(index, _)| index)
    }

    fn reaching_rest(&self, model: &M) -> Vec<bool> {
        let mut reaches = vec![false; self.states.len()];
        let mut waiting: Vec<usize> = self.at_rest(model).collect();
        while let Some(index) = waiting.pop() {
            if !std::mem::replace(&mut reaches[index], true) {
                waiting.extend(self.back[index].iter().map(|before| *before as usize));
            }
        }
        reaches
    }

    fn path_to(&self, mut index: usize) -> Path<M> {
        let mut path = Vec::new();
        while let Some((before, action)) = self.parents[index] {
            index = before as usize;
            path.push((self.states[index].clone(), action));
        }
        path.reverse();
        path
    }
}
