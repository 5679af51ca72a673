//! The orders: each is also its outbox.

use contracts::{Event, Reason, StoredEvent, Timestamp};
use domain::{EventKind, OrderId, OrderStatus, evolve};
use ports::{
    Acceptance, Accepted, OrderReader, OrderRecord, OrderStore, TimelineEntry, Unavailable,
};
use serde_json::Value;

use crate::faults::Operation;
use crate::fixtures;
use crate::world::{State, World};

/// One item of the table of orders. A command may leave a timeline without an order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct StoredOrder {
    head: Option<OrderRecord>,
    timeline: Vec<StoredEvent>,
    pub(crate) status: Option<OrderStatus>,
    reason: Option<Reason>,
    recovery: Option<Recovery>,
    recoveries: usize,
}

/// A person's attempt to finish an order that needs attention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The name of the execution.
    pub name: String,
    /// `undo` or `complete`.
    pub mode: String,
}

/// What the order's item must be for a state machine's write to take place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderCondition {
    /// The order exists.
    Exists,
    /// Its status is not final.
    NotEnded,
    /// It needs attention.
    NeedsAttention,
    /// The attempt of this name has it.
    RecoveredBy(String),
}

/// What a state machine writes into an order's item.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderWrite {
    /// An event for the timeline; the status follows from it.
    pub event: Option<StoredEvent>,
    /// Why the order stands as it does, where that changes.
    pub reason: Option<Reason>,
    /// An attempt that takes the order.
    pub begins: Option<Recovery>,
    /// Whether the attempt that has the order ends.
    pub ends: bool,
}

/// One change of an order's item, as the table's stream tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderChanged {
    /// The order.
    pub order: OrderId,
    /// How many events its timeline had before.
    pub before: usize,
    /// How many it has after.
    pub after: usize,
    /// Where the order stands after.
    pub status: Option<OrderStatus>,
}

impl StoredOrder {
    /// Whether a person has it completed just now.
    pub(crate) fn is_completing(&self) -> bool {
        let mode = self
            .recovery
            .as_ref()
            .map(|recovery| recovery.mode.as_str());
        mode == Some("complete")
    }

    fn fits(&self, condition: &OrderCondition) -> bool {
        let needs_attention = self.status == Some(OrderStatus::NeedsAttention);
        match condition {
            OrderCondition::Exists => self.head.is_some(),
            OrderCondition::NotEnded => !self.status.is_some_and(OrderStatus::is_final),
            OrderCondition::NeedsAttention => needs_attention,
            OrderCondition::RecoveredBy(name) => {
                let recovery = self.recovery.as_ref();
                recovery.is_some_and(|recovery| recovery.name == *name)
            }
        }
    }

    fn read(&self) -> Option<OrderRecord> {
        let head = self.head.clone()?;
        Some(OrderRecord {
            status: self.status.unwrap_or(head.status),
            timeline: self.timeline.iter().map(entry).collect(),
            reason: self.reason.clone(),
            ..head
        })
    }
}

fn entry(event: &StoredEvent) -> TimelineEntry {
    let message: Value = serde_json::from_str(&event.json).unwrap_or_default();
    let field = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
    TimelineEntry {
        event_type: field("type"),
        time: field("time"),
    }
}

impl State {
    /// Appends an event, and sets the status that follows from it.
    pub(crate) fn append(&mut self, order: OrderId, event: &StoredEvent) {
        let stored = self.orders.entry(order).or_default();
        stored.timeline.push(event.clone());
        stored.status = evolve(event.kind).or(stored.status);
        let after = stored.timeline.len();
        let (before, status) = (after - 1, stored.status);
        self.changes.push(OrderChanged {
            order,
            before,
            after,
            status,
        });
    }

    /// Whether an event would set a status where the status is final.
    pub(crate) fn would_reopen(&self, order: OrderId, event: &StoredEvent) -> bool {
        let status = self.orders.get(&order).and_then(|stored| stored.status);
        status.is_some_and(OrderStatus::is_final) && evolve(event.kind).is_some()
    }
}

impl World {
    /// Announces that the order is about to be completed, as a person's attempt does.
    pub fn announce_completion(&self, order: OrderId) {
        let mut state = self.state();
        let stored = state.orders.entry(order).or_default();
        stored.recovery = Some(Recovery {
            name: String::new(),
            mode: "complete".to_owned(),
        });
    }

    /// Writes into an order's item as a state machine does: all of it if the item is as
    /// all the conditions say, otherwise nothing. Says whether it was written.
    pub fn write_order(
        &self,
        order: OrderId,
        conditions: &[OrderCondition],
        write: &OrderWrite,
    ) -> bool {
        let mut state = self.state();
        let stored = state.orders.entry(order).or_default();
        if !conditions.iter().all(|condition| stored.fits(condition)) {
            return false;
        }
        stored.reason = write.reason.clone().or(stored.reason.take());
        if write.begins.is_some() {
            stored.recovery.clone_from(&write.begins);
        }
        if write.ends {
            stored.recovery = None;
            stored.recoveries += 1;
        }
        if let Some(event) = &write.event {
            state.append(order, event);
        }
        true
    }

    /// How many attempts to finish the order have ended.
    pub fn recoveries(&self, order: OrderId) -> usize {
        let state = self.state();
        state
            .orders
            .get(&order)
            .map_or(0, |stored| stored.recoveries)
    }

    /// Why an order stands as it does.
    pub fn reason(&self, order: OrderId) -> Option<Reason> {
        self.state().orders.get(&order)?.reason.clone()
    }

    /// The orders that were accepted.
    pub fn orders(&self) -> Vec<OrderId> {
        let state = self.state();
        let accepted = state
            .orders
            .iter()
            .filter(|(_, stored)| stored.head.is_some());
        accepted.map(|(id, _)| *id).collect()
    }

    /// The changes of orders' timelines, from the one of this number on.
    pub fn changes_from(&self, number: usize) -> Vec<OrderChanged> {
        let state = self.state();
        let changes = state.changes.get(number..);
        changes.unwrap_or_default().to_vec()
    }

    /// Appends an event as the state machine does at the end of an order.
    pub fn conclude(&self, order: OrderId, event: &Event, at: Timestamp) {
        let stored = event.store(order, &fixtures::lineage(), "/waybill/order-saga", at);
        let mut state = self.state();
        state.append(order, &stored);
        if let Event::OrderFailed(reason) | Event::OrderNeedsAttention(reason) = event {
            state.orders.entry(order).or_default().reason = Some(reason.clone());
        }
    }

    /// What has happened to an order. An event's sequence number is its index plus one.
    pub fn timeline(&self, order: OrderId) -> Vec<StoredEvent> {
        let state = self.state();
        let stored = state.orders.get(&order);
        stored
            .map(|stored| stored.timeline.clone())
            .unwrap_or_default()
    }

    /// The kinds of the events of a timeline.
    pub fn events(&self, order: OrderId) -> Vec<EventKind> {
        let timeline = self.timeline(order);
        timeline.iter().map(|event| event.kind).collect()
    }

    /// Where an order stands.
    pub fn status(&self, order: OrderId) -> Option<OrderStatus> {
        self.state().orders.get(&order)?.status
    }
}

impl OrderStore for World {
    async fn accept(&self, acceptance: &Acceptance) -> Result<Accepted, Unavailable> {
        self.call(Operation::AcceptOrder, |state| {
            if let Some(stored) = state.orders.get(&acceptance.id) {
                let unreadable = || Unavailable::new("testkit", "there is no order in the item");
                return Ok(Accepted::Known(Box::new(
                    stored.read().ok_or_else(unreadable)?,
                )));
            }
            let stored = StoredOrder {
                head: Some(head(acceptance)),
                ..StoredOrder::default()
            };
            state.orders.insert(acceptance.id, stored);
            state.append(acceptance.id, &acceptance.placed);
            Ok(Accepted::New)
        })
        .await
    }
}

impl OrderReader for World {
    async fn find(&self, id: OrderId) -> Result<Option<OrderRecord>, Unavailable> {
        self.call(Operation::FindOrder, |state| {
            Ok(state.orders.get(&id).and_then(StoredOrder::read))
        })
        .await
    }
}

fn head(acceptance: &Acceptance) -> OrderRecord {
    OrderRecord {
        id: acceptance.id,
        customer: acceptance.order.customer().clone(),
        fingerprint: acceptance.fingerprint.clone(),
        total: acceptance.order.total(),
        status: OrderStatus::Accepted,
        correlation: acceptance.correlation.clone(),
        timeline: Vec::new(),
        reason: None,
    }
}
