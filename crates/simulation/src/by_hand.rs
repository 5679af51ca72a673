//! An execution that a person starts beside everything else, with whatever input.

use std::time::Duration;

use domain::{OrderId, OrderStatus};
use fastrand::Rng;
use serde_json::Value;
use tokio::time::sleep;

use crate::machines::{self, Machine};
use crate::mishaps::{Mishap, Mix};
use crate::run::{in_simulated_time, until_violated};
use crate::sim::{Sim, Violation};
use crate::story::Story;
use crate::{customers, functions};

/// The order that a customer places: its id follows from the customer and the key.
pub const PLACED: &str = "54e64bd5-e7df-5c85-94d0-ff47f76a1a29";

/// An execution's own name; not that of the order.
const NAME: &str = "by-hand";

/// When it is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// As soon as there is an order.
    AtOnce,
    /// When the order has ended, or needs attention because its saga was stopped.
    Later,
}

/// What became of it.
#[derive(Debug)]
pub struct Ended {
    /// Of the execution; none where it did not end.
    pub status: Option<&'static str>,
    /// Of the order that was placed.
    pub order: Option<OrderStatus>,
    /// What does not hold.
    pub violation: Option<Violation>,
    /// What happened to it and to the order, for a person.
    pub story: String,
}

/// A customer places [`PLACED`], and a person starts an execution with this input. Where it
/// is a recovery, the order's own saga was stopped before.
pub fn start(machine: Machine, input: &Value, when: When) -> Ended {
    let always: &[Mishap] = match machine {
        Machine::Recovery => &[Mishap::SagaStopped],
        Machine::Saga | Machine::Rescue => &[],
    };
    in_simulated_time(async || {
        let random = Rng::with_seed(0);
        let sim = Sim::new(random, Mix::one_order(always), Story::new(true));
        until_violated(&sim, beside_an_order(&sim, machine, input, when)).await;
        let order = sim.world().orders().first().copied();
        let violation = sim.violation();
        let names = [PLACED, NAME, "CHECK"].map(str::to_owned).into();
        let state = sim.state();
        Ended {
            status: state.machines.execution(machine, NAME).flatten(),
            order: order.and_then(|order| sim.world().status(order)),
            violation,
            story: state.story.lines_about(&names).join("\n"),
        }
    })
}

async fn beside_an_order(sim: &Sim, machine: Machine, input: &Value, when: When) {
    functions::deploy(sim);
    customers::open(sim);
    let order = placed(sim).await;
    if when == When::Later {
        sleep(Duration::from_secs(3600)).await;
        sim.state().is_calm = true;
    }
    let meant = input["orderId"].as_str().and_then(|id| id.parse().ok());
    let name = NAME.to_owned();
    machines::start(sim, machine, name, meant.unwrap_or(order), input.clone());
    while !sim.state().machines.running().is_empty() {
        sleep(Duration::from_secs(60)).await;
    }
    // What is on its way arrives, and a saga that failed is looked after.
    sleep(Duration::from_secs(3600)).await;
    let status = sim.world().status(order);
    let found = match status {
        Some(OrderStatus::Completed | OrderStatus::Failed) => {
            sim.state().checks.orders(sim.world(), &[order])
        }
        _ => sim.state().checks.told(sim.world(), order),
    };
    found.into_iter().for_each(|it| sim.violate(it));
}

async fn placed(sim: &Sim) -> OrderId {
    let mut arrivals = sim.listen("stream");
    loop {
        arrivals.hear();
        if let [order] = sim.world().orders()[..] {
            return order;
        }
        arrivals.until(None).await;
    }
}
