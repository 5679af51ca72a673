//! The invariants, in their words, as conditions on a state.

use domain::{EventKind, OrderStatus, Step};
use stateright::Property;

use crate::explored::invariants::{DELIVERIES, ENDS, MESSAGES, PAYMENT, STOCK};
use crate::explored::{Part, all_hold};
use crate::model::Protocol;
use crate::state::{Order, Saga, State, step_bit};

const ENDS_PARTS: &[Part<Protocol>] = &[
    ("an order reaches exactly one end", |_, state| {
        state.orders.iter().all(|order| order.ends <= 1)
    }),
    ("every accepted order reaches an end", |model, state| {
        !is_at_rest(model, state) || state.orders.iter().all(|order| order.status.is_final())
    }),
    ("completed means paid and shipped", |_, state| {
        each(state, OrderStatus::Completed, is_fully_done)
    }),
    ("failed means fully undone", |_, state| {
        each(state, OrderStatus::Failed, is_fully_undone)
    }),
];

const PAYMENT_PARTS: &[Part<Protocol>] = &[
    ("a payment is captured at most once", |_, state| {
        state.orders.iter().all(|order| order.payment.done <= 1)
    }),
    (
        "captured and not completed means refunded",
        |model, state| !is_at_rest(model, state) || state.orders.iter().all(is_paid_or_refunded),
    ),
];

const STOCK_PARTS: &[Part<Protocol>] = &[
    (
        "stock never goes below zero, and no piece is made or lost",
        |model, state| {
            let level = state.level();
            level.total() == u64::from(model.scenario.pieces) && level.reserved == held(state)
        },
    ),
    (
        "what is reserved is shipped or released, once",
        |_, state| {
            state.orders.iter().all(|order| {
                let [reserved, released, shipped, put_back] = order.moves;
                released + shipped <= reserved + put_back && put_back <= shipped
            })
        },
    ),
    (
        "at rest only an order that needs attention holds pieces",
        |model, state| {
            let holds =
                |order: &Order| pieces(order) != 0 && order.status != OrderStatus::NeedsAttention;
            !is_at_rest(model, state) || !state.orders.iter().any(holds)
        },
    ),
];

const MESSAGES_PARTS: &[Part<Protocol>] = &[(
    "every message is processed, waiting, or a dead letter",
    |_, state| {
        (0..)
            .zip(&state.orders)
            .all(|(index, order)| none_lost(state, index, order))
    },
)];

const DELIVERIES_PARTS: &[Part<Protocol>] = &[
    (
        "what was done outside is in the order's timeline, or was taken back",
        |model, state| {
            !is_at_rest(model, state)
                || (0..)
                    .zip(&state.orders)
                    .all(|(index, order)| has_dead_letters(state, index) || is_told(order))
        },
    ),
    ("each effect happens once", |_, state| {
        state.orders.iter().all(has_effects_once)
    }),
];

/// The invariants, and what must be possible for them to mean something.
pub(crate) fn all() -> Vec<Property<Protocol>> {
    let mut all = vec![
        Property::always(ENDS, |model, state| all_hold(ENDS_PARTS, model, state)),
        Property::always(PAYMENT, |model, state| {
            all_hold(PAYMENT_PARTS, model, state)
        }),
        Property::always(STOCK, |model, state| all_hold(STOCK_PARTS, model, state)),
        Property::always(MESSAGES, |model, state| {
            all_hold(MESSAGES_PARTS, model, state)
        }),
        Property::always(DELIVERIES, |model, state| {
            all_hold(DELIVERIES_PARTS, model, state)
        }),
    ];
    all.extend(possible());
    all
}

/// The parts of an invariant.
pub(crate) fn parts(words: &str) -> &'static [Part<Protocol>] {
    match words {
        ENDS => ENDS_PARTS,
        PAYMENT => PAYMENT_PARTS,
        STOCK => STOCK_PARTS,
        MESSAGES => MESSAGES_PARTS,
        DELIVERIES => DELIVERIES_PARTS,
        _ => &[],
    }
}

/// What some path must reach, or the model is too narrow for the invariants to say much.
fn possible() -> [Property<Protocol>; 4] {
    [
        Property::sometimes("an order completes", |_, state| {
            any(state, |order| order.status == OrderStatus::Completed)
        }),
        Property::sometimes("a captured order fails and is refunded", |_, state| {
            any(state, |order| {
                order.status == OrderStatus::Failed && !order.payment.undone.is_empty()
            })
        }),
        Property::sometimes("an order needs attention", |_, state| {
            any(state, |order| order.status == OrderStatus::NeedsAttention)
        }),
        Property::sometimes(
            "a command arrives after its order has ended",
            |_, state: &State| {
                state.runs.iter().any(|run| {
                    let order = &state.orders[usize::from(run.message.order)];
                    order.status.is_final()
                })
            },
        ),
    ]
}

/// Whether nothing more happens unless something goes wrong or a person acts.
///
/// Leases that run out change nothing by themselves, so they do not count.
pub(crate) fn is_at_rest(model: &Protocol, state: &State) -> bool {
    let settled = |order: &Order| {
        let silent = match order.saga {
            Saga::Over => true,
            // A saga that waits has a message, or its time limit passes.
            Saga::In(_) | Saga::NotStarted | Saga::Died => false,
        };
        let parties = [&order.payment, &order.warehouse];
        silent && order.late_end.is_none() && parties.iter().all(|party| party.in_flight.is_empty())
    };
    let quiet = state.runs.is_empty() && state.messages.iter().all(|message| message.dead);
    if !quiet {
        return false;
    }
    if state.orders.iter().all(settled) {
        return true;
    }
    // Stuck: nothing can happen, though an order waits.
    let mut actions = Vec::new();
    model.by_itself(state, &mut actions);
    actions.is_empty()
}

fn each(state: &State, status: OrderStatus, holds: fn(&Order) -> bool) -> bool {
    let mut orders = state.orders.iter().filter(|order| order.status == status);
    orders.all(holds)
}

fn any(state: &State, holds: fn(&Order) -> bool) -> bool {
    state.orders.iter().any(holds)
}

fn is_fully_done(order: &Order) -> bool {
    order.payment.done == 1
        && order.payment.undone.is_empty()
        && order.warehouse.done == 1
        && order.warehouse.undone.is_empty()
        && order.moves == [1, 0, 1, 0]
        && order.has(EventKind::PaymentCaptured)
        && order.has(EventKind::StockReserved)
        && order.has(EventKind::ShipmentCreated)
}

fn is_fully_undone(order: &Order) -> bool {
    let all_taken_back =
        |party: &crate::state::Party| usize::from(party.done) == party.undone.len();
    all_taken_back(&order.payment) && all_taken_back(&order.warehouse) && pieces(order) == 0 && {
        let [_, _, shipped, put_back] = order.moves;
        shipped == put_back
    }
}

/// An order that needs attention may be half paid: a person looks.
fn is_paid_or_refunded(order: &Order) -> bool {
    match order.status {
        OrderStatus::Completed | OrderStatus::NeedsAttention => true,
        _ => usize::from(order.payment.done) == order.payment.undone.len(),
    }
}

/// The pieces that an order holds.
fn pieces(order: &Order) -> i8 {
    let [reserved, released, shipped, put_back] = order.moves.map(i8::try_from);
    let sum = || Some(reserved.ok()? - released.ok()? - shipped.ok()? + put_back.ok()?);
    sum().unwrap_or(i8::MAX)
}

fn held(state: &State) -> u64 {
    let held = state.orders.iter().map(pieces);
    held.map(|pieces| u64::try_from(pieces).unwrap_or(u64::MAX / 8))
        .sum()
}

fn none_lost(state: &State, index: u8, order: &Order) -> bool {
    let there = |step: Step| {
        let running = state.runs.iter().map(|run| &run.message);
        let mut all = state.messages.iter().chain(running);
        all.any(|message| message.order == index && message.step == step)
    };
    Step::ALL.into_iter().all(|step| {
        order.accepted & step_bit(step) == 0 || order.processed & step_bit(step) != 0 || there(step)
    })
}

fn has_dead_letters(state: &State, index: u8) -> bool {
    state.messages.iter().any(|message| message.order == index)
}

/// Whether the books of the outside parties and the order's timeline agree.
fn is_told(order: &Order) -> bool {
    let stands = |party: &crate::state::Party| usize::from(party.done) > party.undone.len();
    let told = |done, undone| order.has(done) && !order.has(undone);
    stands(&order.payment) == told(EventKind::PaymentCaptured, EventKind::PaymentRefunded)
        && stands(&order.warehouse)
            == told(EventKind::ShipmentCreated, EventKind::ShipmentCancelled)
}

fn has_effects_once(order: &Order) -> bool {
    let once = |party: &crate::state::Party| party.done <= 1 && party.undone.len() <= 1;
    !order.event_twice
        && once(&order.payment)
        && once(&order.warehouse)
        && order.moves.iter().all(|times| *times <= 1)
}
