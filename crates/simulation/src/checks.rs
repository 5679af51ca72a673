//! The invariants of `ARCHITECTURE.md`.
//!
//! What can be seen to be wrong at once is looked at after each call; the rest when
//! everything is at rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use contracts::{Envelope, EventMessage};
use domain::stock::StockLevel;
use domain::{EventKind, NewOrder, OrderId, OrderStatus, Sku};
use testkit::{EffectKind, World};

use crate::sim::Violation;

pub(crate) const ONE_END: &str = "every accepted order reaches exactly one of completed, failed and fully undone, needs attention";
pub(crate) const ONE_PAYMENT: &str =
    "a payment is captured at most once per order; captured and not completed means refunded";
pub(crate) const STOCK: &str =
    "stock never goes below zero; what is reserved is shipped or released, once";
pub(crate) const EVENTS: &str = "each event of an order is published at least once, an order's \
                                 events in order, and each carries its sequence number";
pub(crate) const KEPT: &str = "every message ever accepted by a queue is processed, waiting, or in \
                               a dead-letter queue, quarantine or the failure store";
pub(crate) const ONE_EFFECT: &str =
    "the same message delivered n times has the effect of one delivery";
pub(crate) const PROMISED: &str = "an order that was answered with 202 is never lost";

/// What is remembered to check by.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    effects_seen: usize,
    changes_seen: usize,
    effects: BTreeMap<(OrderId, EffectKind), u32>,
    ends: BTreeMap<OrderId, OrderStatus>,
    /// The highest sequence number that was published.
    published: BTreeMap<OrderId, u32>,
    /// What the consumers' queues accepted, and whether it was processed.
    accepted: BTreeMap<(String, Arc<str>), bool>,
    /// The pieces that there are of each article, wherever they are.
    pub(crate) pieces: BTreeMap<Sku, u64>,
    /// What customers were told is accepted.
    pub(crate) promised: BTreeSet<OrderId>,
}

fn violation(invariant: &str, order: OrderId, seen: String) -> Violation {
    Violation {
        invariant: invariant.to_owned(),
        order: Some(order),
        seen,
    }
}

impl Checks {
    /// Looks at what is new in the world: what is wrong, and whether an order changed.
    pub(crate) fn look(&mut self, world: &World) -> (Option<Violation>, bool) {
        for effect in world.effects_from(self.effects_seen) {
            self.effects_seen += 1;
            let count = self.effects.entry((effect.order, effect.kind)).or_default();
            *count += 1;
            if *count > 1 {
                let seen = format!("{:?} for the {count}th time", effect.kind);
                return (Some(violation(ONE_PAYMENT, effect.order, seen)), false);
            }
        }
        let changes = world.changes_from(self.changes_seen);
        self.changes_seen += changes.len();
        let broken = changes
            .iter()
            .find_map(|change| self.end(change.order, change.status));
        let broken = broken.or_else(|| {
            if changes.is_empty() {
                None
            } else {
                self.stock(world)
            }
        });
        (broken, !changes.is_empty())
    }

    /// An order that has ended stays as it is, but for one that needed attention.
    fn end(&mut self, order: OrderId, status: Option<OrderStatus>) -> Option<Violation> {
        let status = status?;
        let before = self.ends.get(&order).copied();
        if status.is_final() {
            self.ends.insert(order, status);
        }
        let before = before.filter(|before| {
            *before != status && !(*before == OrderStatus::NeedsAttention && status.is_final())
        })?;
        let seen = format!("it was {before:?} and is {status:?}");
        Some(violation(ONE_END, order, seen))
    }

    fn stock(&self, world: &World) -> Option<Violation> {
        let stocks = world.stocks();
        let total = |level: &StockLevel| level.available + level.reserved + level.shipped;
        let (sku, level) = stocks
            .iter()
            .find(|(sku, level)| self.pieces.get(*sku) != Some(&total(level)))?;
        Some(Violation {
            invariant: STOCK.to_owned(),
            order: None,
            seen: format!("{sku:?}: {level:?} of {:?}", self.pieces.get(sku)),
        })
    }

    /// The bus has a message.
    pub(crate) fn published(&mut self, message: &Envelope) -> Option<Violation> {
        if message.task_token.is_some() {
            return None;
        }
        let (order, id) = (message.order, &message.id);
        let Some(sequence) = message.sequence else {
            return Some(violation(
                EVENTS,
                order,
                format!("{id} has no sequence number"),
            ));
        };
        let before = self.published.entry(order).or_default();
        if sequence > *before + 1 {
            let seen = format!("{id}, number {sequence}, overtakes number {}", *before + 1);
            return Some(violation(EVENTS, order, seen));
        }
        *before = sequence.max(*before);
        None
    }

    pub(crate) fn accepted(&mut self, consumer: &str, body: &Arc<str>) {
        let key = (consumer.to_owned(), Arc::clone(body));
        self.accepted.entry(key).or_default();
    }

    /// A worker says that it is done with a message.
    pub(crate) fn processed(&mut self, consumer: &str, body: &Arc<str>) {
        let key = (consumer.to_owned(), Arc::clone(body));
        self.accepted.insert(key, true);
    }

    pub(crate) fn was_processed(&self, consumer: &str, body: &Arc<str>) -> bool {
        let key = (consumer.to_owned(), Arc::clone(body));
        self.accepted.get(&key).copied().unwrap_or_default()
    }

    /// What is wrong where nothing moves any more.
    pub(crate) fn at_rest(&self, world: &World) -> Option<Violation> {
        let orders = world.orders();
        let missing = self.promised.iter().find(|order| !orders.contains(order));
        let missing =
            missing.map(|order| violation(PROMISED, *order, "there is no such order".to_owned()));
        missing
            .or_else(|| self.orders(world, &orders))
            .or_else(|| self.stock_at_rest(world))
            .or_else(|| self.messages())
    }

    /// What is wrong with these orders where each must have its end.
    pub(crate) fn orders(&self, world: &World, orders: &[OrderId]) -> Option<Violation> {
        let trail = Trail::of(world);
        let mut broken = orders
            .iter()
            .map(|order| self.order(world, *order, trail.of_order(*order)));
        broken.find_map(|broken| broken)
    }

    /// What is wrong with what was told of an order, whether it has ended or not.
    pub(crate) fn told(&self, world: &World, order: OrderId) -> Option<Violation> {
        let audited = Trail::of(world);
        let count = world.events(order).len();
        self.events(order, count, audited.of_order(order))
    }

    fn order(&self, world: &World, order: OrderId, audited: &BTreeSet<u32>) -> Option<Violation> {
        let events = world.events(order);
        let count = |kind| {
            self.effects
                .get(&(order, kind))
                .copied()
                .unwrap_or_default()
        };
        let [captures, refunds, shipments, cancellations] = [
            EffectKind::Capture,
            EffectKind::Refund,
            EffectKind::Shipment,
            EffectKind::ShipmentCancelled,
        ]
        .map(count);
        let seen = format!(
            "{:?}; captured {captures}, refunded {refunds}, shipped {shipments}, cancelled \
             {cancellations}; {events:?}",
            world.status(order)
        );
        let happened = |kind| events.contains(&kind);
        match world.status(order) {
            Some(OrderStatus::Completed) => {
                let steps = [
                    EventKind::PaymentCaptured,
                    EventKind::StockReserved,
                    EventKind::ShipmentCreated,
                ];
                if (captures, refunds) != (1, 0) {
                    return Some(violation(ONE_PAYMENT, order, seen));
                }
                if (shipments, cancellations) != (1, 0) || !steps.into_iter().all(happened) {
                    return Some(violation(ONE_END, order, seen));
                }
            }
            Some(OrderStatus::Failed) => {
                if captures != refunds {
                    return Some(violation(ONE_PAYMENT, order, seen));
                }
                let is_released =
                    happened(EventKind::StockReserved) == happened(EventKind::StockReleased);
                if shipments != cancellations || !is_released {
                    return Some(violation(ONE_END, order, seen));
                }
            }
            _ => return Some(violation(ONE_END, order, seen)),
        }
        once_each(order, &events).or_else(|| self.events(order, events.len(), audited))
    }

    fn events(&self, order: OrderId, count: usize, audited: &BTreeSet<u32>) -> Option<Violation> {
        let published = self.published.get(&order).copied().unwrap_or_default();
        if published as usize != count {
            let seen = format!("{published} of {count} events were published");
            return Some(violation(EVENTS, order, seen));
        }
        let all: BTreeSet<_> = (1..=published).collect();
        (*audited != all).then(|| {
            let seen = format!("of events 1 to {published} the audit trail has {audited:?}");
            violation(KEPT, order, seen)
        })
    }

    /// Nothing is held, and what completed orders asked for has gone out, no more and no less.
    fn stock_at_rest(&self, world: &World) -> Option<Violation> {
        let stocks = world.stocks();
        let gone = pieces_of_completed(world);
        let is_right = |sku: &Sku, level: &StockLevel| {
            level.reserved == 0 && level.shipped == gone.get(sku).copied().unwrap_or_default()
        };
        let (sku, level) = stocks.iter().find(|(sku, level)| !is_right(sku, level))?;
        Some(Violation {
            invariant: STOCK.to_owned(),
            order: None,
            seen: format!(
                "{sku:?} at rest: {level:?}, completed orders have {:?}",
                gone.get(sku)
            ),
        })
    }

    /// Everything that is one of our messages was processed in the end.
    fn messages(&self) -> Option<Violation> {
        let mut open = self
            .accepted
            .iter()
            .filter(|(_, is_processed)| !**is_processed);
        let ((consumer, body), _) = open.find(|((_, body), _)| Envelope::parse(body).is_ok())?;
        let told = contracts::peek(body);
        Some(Violation {
            invariant: KEPT.to_owned(),
            order: told.subject.and_then(|order| order.parse().ok()),
            seen: format!(
                "{} was never processed by {consumer}",
                told.id.unwrap_or_default()
            ),
        })
    }
}

/// How many pieces of each article the completed orders asked for.
fn pieces_of_completed(world: &World) -> BTreeMap<Sku, u64> {
    let mut pieces = BTreeMap::new();
    let mut orders = world.orders();
    orders.retain(|order| world.status(*order) == Some(OrderStatus::Completed));
    for order in orders {
        let timeline = world.timeline(order);
        let first = timeline
            .first()
            .map(|event| EventMessage::parse(&event.json));
        let placed = first.and_then(|event| event.ok()?.placed_order().ok());
        for item in placed.iter().flat_map(NewOrder::items) {
            *pieces.entry(item.sku.clone()).or_default() += u64::from(item.quantity.get());
        }
    }
    pieces
}

/// Which events of each order the audit trail has.
struct Trail(BTreeMap<String, BTreeSet<u32>>);

impl Trail {
    fn of(world: &World) -> Self {
        let mut audited: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
        for entry in world.trail() {
            let of_order = audited.entry(entry.order_id).or_default();
            of_order.extend(entry.sequence);
        }
        Self(audited)
    }

    fn of_order(&self, order: OrderId) -> &BTreeSet<u32> {
        static NONE: BTreeSet<u32> = BTreeSet::new();
        self.0.get(&order.to_string()).unwrap_or(&NONE)
    }
}

/// No step's event and no end is in a timeline twice.
fn once_each(order: OrderId, events: &[EventKind]) -> Option<Violation> {
    let again = events
        .iter()
        .enumerate()
        .find(|(index, kind)| events[..*index].contains(kind));
    again.map(|(_, kind)| violation(ONE_EFFECT, order, format!("{kind} twice in {events:?}")))
}
