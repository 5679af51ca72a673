//! What every model of this crate says of itself.

use std::fmt::Debug;
use std::hash::Hash;

use stateright::Model;

/// The invariants of `ARCHITECTURE.md`, in its words.
pub mod invariants {
    /// How an order ends.
    pub const ENDS: &str = "1. Every accepted order reaches exactly one of completed, failed and fully undone, needs attention.";
    /// No customer is charged twice.
    pub const PAYMENT: &str = "2. A payment is captured at most once per order; captured and not completed means refunded.";
    /// Stock.
    pub const STOCK: &str =
        "3. Stock never goes below zero; what is reserved is shipped or released, once.";
    /// Events.
    pub const EVENTS: &str = "4. Each event of an order is published at least once, an order's events in order, and each carries its sequence number.";
    /// Nothing is lost.
    pub const MESSAGES: &str = "5. Every message ever accepted by a queue is processed, waiting, or in a dead-letter queue, quarantine or the failure store.";
    /// Deliveries.
    pub const DELIVERIES: &str =
        "6. The same message delivered n times has the effect of one delivery.";
    /// All of them.
    pub const ALL: [&str; 6] = [ENDS, PAYMENT, STOCK, EVENTS, MESSAGES, DELIVERIES];
}

/// A part of an invariant, or of what else must hold in every state: in words, and as
/// a condition.
pub type Part<M> = (&'static str, fn(&M, &<M as Model>::State) -> bool);

/// A model that can be explored, and tells about it.
pub trait Explored:
    Model<State: Clone + Eq + Hash + Debug + 'static, Action: Copy + Debug + PartialEq> + 'static
{
    /// The parts of what must always hold, by its words.
    fn parts(&self, words: &str) -> &'static [Part<Self>];

    /// What happens by itself: nothing has to go wrong for it. The actions of a model
    /// begin with these.
    fn progress(&self, state: &Self::State, actions: &mut Vec<Self::Action>);

    /// Whether nothing more happens unless something goes wrong or a person acts.
    fn is_at_rest(&self, state: &Self::State) -> bool {
        let mut actions = Vec::new();
        self.progress(state, &mut actions);
        actions.is_empty()
    }

    /// What happens, in words.
    fn say(&self, state: &Self::State, action: Self::Action) -> String;

    /// How things stand, in words.
    fn describe(&self, state: &Self::State) -> Vec<String>;
}

/// Whether all parts hold.
pub fn all_hold<M: Model>(parts: &[Part<M>], model: &M, state: &M::State) -> bool {
    parts.iter().all(|(_, holds)| holds(model, state))
}

/// The members of a list with the numbers by which actions name them.
pub(crate) fn numbered<T>(all: &[T]) -> impl Iterator<Item = (u8, &T)> {
    (0_u8..).zip(all)
}
