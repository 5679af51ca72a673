//! One moment of everything: orders, sagas, records, outside parties, messages, workers.

use std::sync::{PoisonError, RwLock};

use domain::stock::StockLevel;
use domain::{EventKind, OrderStatus, Step};
use idempotency::record::State as RecordState;
use idempotency::{Millis, OwnerToken, Record};

use crate::saga::StateId;
use crate::tree::Place;

/// One moment of everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// The orders.
    pub orders: Vec<Order>,
    /// Available, reserved and shipped pieces of the article.
    pub stock: [u8; 3],
    /// Messages that nobody works on, sorted.
    pub messages: Vec<Message>,
    /// Workers in mid-flight, sorted.
    pub runs: Vec<Run>,
    /// How much more may go wrong.
    pub left: Faults,
}

/// One order, and all that belongs to it alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Order {
    /// Where it stands.
    pub status: OrderStatus,
    /// Its saga.
    pub saga: Saga,
    /// A write of the order's end that was sent, and that the saga has given up on.
    pub late_end: Option<StateId>,
    /// The records of its steps, by the number of their key.
    pub records: Vec<(u8, StoredRecord)>,
    /// The payment provider's books.
    pub payment: Party,
    /// The warehouse's books.
    pub warehouse: Party,
    /// Ghost: which events are in its timeline, a bit for each.
    pub events: u16,
    /// Ghost: an event that is in its timeline more than once.
    pub event_twice: bool,
    /// Ghost: how often an end was written.
    pub ends: u8,
    /// Ghost: how often its pieces were reserved, released, shipped and put back.
    pub moves: [u8; 4],
    /// Ghost: the steps whose command a queue has accepted, a bit for each.
    pub accepted: u8,
    /// Ghost: the steps whose command was processed, a bit for each.
    pub processed: u8,
}

/// Where the saga of an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Saga {
    /// The order is stored; its event is on the way.
    NotStarted,
    /// In this state.
    In(StateId),
    /// Ended without a word: the rescue machine will look.
    Died,
    /// Ended.
    Over,
}

/// The record of a step as the table holds it. The owner stands apart: it is the
/// label of a run, or 0 for one that is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoredRecord {
    /// The record, by its number in [`Records`].
    pub shape: u16,
    /// Who holds it, or held it last.
    pub owner: u8,
}

/// What an outside party has in its books about one order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Party {
    /// What became of each idempotency key of an action, by the key's number.
    pub keys: Vec<(u8, Fate)>,
    /// How often the effect happened: captures, or shipments.
    pub done: u8,
    /// How often it was taken back: refunds, or cancellations, each by its key.
    pub undone: Vec<u8>,
    /// Requests that nobody waits for any more, and that it has yet to read; sorted.
    pub in_flight: Vec<Request>,
}

/// What became of an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fate {
    /// The effect happened.
    Done,
    /// It was refused.
    Refused,
    /// It was called off before it came.
    Barred,
}

/// A request to an outside party; keys by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Request {
    /// The action.
    Act {
        /// Its key.
        key: u8,
    },
    /// The undo.
    CallOff {
        /// Its key.
        key: u8,
        /// The action's key.
        of: u8,
    },
}

/// A command, in a queue or in a dead-letter queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Message {
    /// Where it is.
    pub dead: bool,
    /// The order.
    pub order: u8,
    /// What is asked for.
    pub step: Step,
    /// Whether the saga still waits for the answer to this message's token.
    pub awaited: bool,
    /// How often it was received.
    pub receives: u8,
}

/// A worker in mid-flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Run {
    /// The delivery it works on.
    pub message: Message,
    /// How far it has come.
    pub place: Place,
    /// Only where the answer goes out before the commit: it has gone.
    pub answered: bool,
    /// Only where a message is deleted before it is moved: it is deleted.
    pub deleted: bool,
    /// The owner of its claims.
    pub label: u8,
}

/// How often each thing may go wrong, all orders together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Faults {
    /// Workers that die between two calls, or while the outside party works.
    pub crashes: u8,
    /// Messages that are delivered a second time, also while the first worker runs.
    pub duplicates: u8,
    /// Calls of tables, queues and the state machine without an answer, with or without effect.
    pub lost_answers: u8,
    /// Calls of an outside party that fail, or whose answer is lost, at once or late.
    pub party_faults: u8,
    /// Orders that the outside party refuses.
    pub refusals: u8,
    /// Messages that are sent again from a dead-letter queue.
    pub replays: u8,
    /// Sagas that die outside every catch, or run out of their week.
    pub saga_deaths: u8,
    /// Steps whose time limit passes.
    pub time_outs: u8,
}

impl Order {
    /// An order that was just accepted.
    pub fn accepted() -> Self {
        Self {
            status: OrderStatus::Accepted,
            saga: Saga::NotStarted,
            late_end: None,
            records: Vec::new(),
            payment: Party::default(),
            warehouse: Party::default(),
            events: 0,
            event_twice: false,
            ends: 0,
            moves: [0; 4],
            accepted: 0,
            processed: 0,
        }
    }

    /// Whether an event is in its timeline.
    pub fn has(&self, event: EventKind) -> bool {
        self.events & bit(event) != 0
    }

    /// Puts an event into its timeline.
    pub fn append(&mut self, event: EventKind) {
        self.event_twice |= self.has(event);
        self.events |= bit(event);
        self.status = domain::evolve(event).unwrap_or(self.status);
    }
}

fn bit(event: EventKind) -> u16 {
    1 << event as u16
}

/// The bit of a step in a set of steps.
pub fn step_bit(step: Step) -> u8 {
    1 << step as u8
}

impl State {
    /// The stock as the domain has it.
    pub fn level(&self) -> StockLevel {
        let [available, reserved, shipped] = self.stock.map(u64::from);
        StockLevel {
            available,
            reserved,
            shipped,
        }
    }

    /// Puts the stock back.
    #[allow(clippy::cast_possible_truncation, reason = "a model has a few pieces")]
    pub fn set_level(&mut self, level: StockLevel) {
        self.stock = [
            level.available as u8,
            level.reserved as u8,
            level.shipped as u8,
        ];
    }

    /// Sorts what has no order, and names the runs by their places, so that states
    /// that differ only in names are one. Owners that are no more become 0.
    pub fn tidy(&mut self) {
        self.messages.sort_unstable();
        self.runs.sort_unstable();
        let mut names = [0_u8; 16];
        for (index, run) in self.runs.iter_mut().enumerate() {
            #[allow(clippy::cast_possible_truncation, reason = "there are a few runs")]
            let name = index as u8 + 1;
            names[usize::from(run.label)] = name;
            run.label = name;
        }
        for order in &mut self.orders {
            for (_, record) in &mut order.records {
                record.owner = names[usize::from(record.owner)];
            }
            order.records.sort_unstable();
            for party in [&mut order.payment, &mut order.warehouse] {
                party.keys.sort_unstable();
                party.in_flight.sort_unstable();
            }
        }
    }

    /// A label that no run has.
    pub fn free_label(&self) -> u8 {
        let taken = |label: &u8| self.runs.iter().any(|run| run.label == *label);
        (1..16).find(|label| !taken(label)).unwrap_or(15)
    }
}

/// All records that were ever stored, without their owners, each with a number.
#[derive(Debug, Default)]
pub struct Records(RwLock<Vec<Record>>);

impl Records {
    /// The record as the pure functions take it.
    pub fn load(&self, stored: StoredRecord) -> Record {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut record = all[usize::from(stored.shape)].clone();
        *owner(&mut record) = token(stored.owner);
        record
    }

    /// The record as a state holds it.
    #[allow(clippy::cast_possible_truncation, reason = "there are some hundreds")]
    pub fn store(&self, mut record: Record, label: u8) -> StoredRecord {
        *owner(&mut record) = token(0);
        let find = |all: &[Record]| all.iter().position(|known| *known == record);
        let known = find(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        let shape = known.unwrap_or_else(|| {
            let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
            find(&all).unwrap_or_else(|| {
                all.push(record.clone());
                all.len() - 1
            })
        });
        StoredRecord {
            shape: shape as u16,
            owner: label,
        }
    }
}

/// The owner token of a label.
pub fn token(label: u8) -> OwnerToken {
    OwnerToken::from_u128(u128::from(label))
}

/// The label of the owner that a record has.
pub fn label(record: &Record) -> u8 {
    (0..16)
        .find(|label| token(*label) == record.owner())
        .unwrap_or(0)
}

/// The owner of a record.
pub fn owner(record: &mut Record) -> &mut OwnerToken {
    match &mut record.state {
        RecordState::Started { owner, .. }
        | RecordState::Completed { owner, .. }
        | RecordState::Undoing { owner, .. }
        | RecordState::Undone { owner, .. } => owner,
    }
}

/// When the claim on a record may be taken over, if there is one.
pub fn lease(record: &mut Record) -> Option<&mut Millis> {
    match &mut record.state {
        RecordState::Started { lease_until, .. } | RecordState::Undoing { lease_until, .. } => {
            Some(lease_until)
        }
        RecordState::Completed { .. } | RecordState::Undone { .. } => None,
    }
}
