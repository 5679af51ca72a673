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
    /// Whether a person has it completed just now.
    pub(crate) is_completing: bool,
}

impl StoredOrder {
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
        state.orders.entry(order).or_default().is_completing = true;
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
