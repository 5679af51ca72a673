//! Operators: they replay what failed and finish what needs attention, at any time, late,
//! twice, and two at once.

use std::time::Duration;

use circuit::settle;
use contracts::Timestamp;
use domain::{OrderId, OrderStatus, Step};
use failures::replay::{
    Drains, Event, Finish, Replayer, Run, Settings, Watcher, Wish, freeze, select,
};
use failures::{Actor, Change, Drain, Failure, FailureStore, PlanStore, Query, ReplayId, Status};
use idempotency::Clock;
use idempotency::record::State;
use ports::Unavailable;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::circuits::GUARDED;
use crate::functions::{drained_queues, invoke};
use crate::machines::{self, Machine};
use crate::mishaps::Mishap;
use crate::ports::Ports;
use crate::sim::{Environment, Sim};
use crate::template::{CONSUMERS, DEPLOYED};

/// A person does not sit there for longer.
const SHIFT: Duration = Duration::from_secs(1800);

/// While things go wrong: something now and then.
pub(crate) async fn work(sim: Sim) {
    while !sim.is_calm() {
        let longest = sim.state().mix.operators_every * 2;
        sleep(sim.up_to(longest)).await;
        if sim.draw(Mishap::Garbage) {
            throw_garbage(&sim);
        }
        let what = sim.state().random.u8(0..10);
        match what {
            0..=3 => sim.spawn(replay(sim.clone(), false)),
            4 => {
                // Two at once, for the same failures.
                sim.spawn(replay(sim.clone(), false));
                sim.spawn(replay(sim.clone(), false));
            }
            5 => sim.spawn(replay_one(sim.clone())),
            6 => sim.spawn(resume_plan(sim.clone())),
            7 => sim.spawn(pause(sim.clone())),
            _ => resume_orders(&sim),
        }
    }
}

/// When all is calm: everything that is open, until nothing is.
pub(crate) async fn finish(sim: Sim) {
    loop {
        sleep(Duration::from_secs(1200)).await;
        replay(sim.clone(), true).await;
        put_garbage_aside(&sim).await;
        for consumer in GUARDED {
            hold(&sim, consumer, false).await;
        }
        resume_orders(&sim);
    }
}

struct Operator {
    ports: Ports,
}

impl Operator {
    fn new(sim: &Sim) -> Self {
        let environment = sim.environment("operator");
        Self {
            ports: Ports {
                sim: sim.clone(),
                environment,
                consumer: "saga",
            },
        }
    }

    fn environment(&self) -> &Environment {
        &self.ports.environment
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_epoch_millis(self.environment().clock.now().get())
    }

    /// Freezes a plan of what fits the wish.
    async fn plan(&self, wish: &Wish) -> Result<Option<ReplayId>, Unavailable> {
        let reads = |_: &str, _: Option<&str>| true;
        let selection = select(&self.ports, wish, reads).await?;
        if selection.chosen.is_empty() {
            return Ok(None);
        }
        let name = &self.environment().name;
        let id = ReplayId::new(format!("plan-of-{name}"));
        let canaries = [0, 1, 1, 2][self.ports.sim.state().random.usize(..4)];
        let settings = Settings {
            canaries,
            rate: 10,
            why: String::new(),
        };
        let plan = freeze(&selection, wish, settings, id.clone(), name, self.now());
        self.ports.create_plan(&plan).await?;
        Ok(Some(id))
    }

    /// Carries a plan out.
    async fn run(&self, plan: &ReplayId, wait: bool) {
        let ports = &self.ports;
        let clock = self.environment().clock;
        let replayer = Replayer {
            store: ports,
            plans: ports,
            queues: ports,
            clock: &clock,
            drains: self,
        };
        let run = Run {
            id: self.environment().name.to_string(),
            by: self.environment().name.to_string(),
            wait,
            deadline: Some(Instant::now() + SHIFT / 2),
        };
        let ended = replayer.run(plan, &run, self).await;
        let how = match ended {
            Ok((Finish::Complete, ..)) => "complete".to_owned(),
            Ok((finish, ..)) => format!("{finish:?}"),
            Err(error) => match error {
                failures::replay::ReplayError::Running { .. } => "another runs it".to_owned(),
                failures::replay::ReplayError::TakenOver => "another took it over".to_owned(),
                other => other.to_string(),
            },
        };
        ports.sim.count(format!("replay ends: {how}"));
        ports.sim.tell(
            &self.environment().name,
            format_args!("replay {plan} ends: {how}"),
        );
    }

    async fn in_a_shift(&self, work: impl Future<Output = ()>) {
        let _lost = invoke(&self.ports.sim, self.environment(), SHIFT, work).await;
    }
}

impl Drains for Operator {
    async fn drain(&self) -> Result<(), Unavailable> {
        let (ports, clock) = (&self.ports, self.environment().clock);
        let drain = Drain::new(ports.clone(), ports.clone(), ports.clone(), clock);
        for queue in drained_queues() {
            drain
                .drain(&queue, clock.now().plus(Duration::from_secs(60)))
                .await;
        }
        Ok(())
    }
}

impl Watcher for Operator {
    fn saw(&self, event: &Event<'_>) {
        let what = match event {
            Event::Sent(_) => "a message is sent",
            Event::Skipped(..) => "a message is skipped",
            Event::Processed(..) => "a message is processed",
            Event::FailedAgain(..) => "a message failed again",
            Event::Cleared(_) => "a group is cleared by its canaries",
            Event::Aborted(_) => "a group is aborted by a canary",
            Event::Trouble(_) => "a call is in trouble",
            Event::Waiting(_) => return,
        };
        self.ports.sim.count(format!("replay: {what}"));
    }
}

/// Replays what waits, and where asked to also what nobody has confirmed.
async fn replay(sim: Sim, everything: bool) {
    let operator = Operator::new(&sim);
    let again = everything || sim.state().random.u8(0..4) == 0;
    let consumer = sim.state().random.usize(..CONSUMERS.len() * 2);
    let consumer = CONSUMERS.get(consumer).filter(|_| !everything);
    let query = Query {
        consumer: consumer.map(|it| (*it).to_owned()),
        ..Query::default()
    };
    let wish = Wish {
        query,
        again,
        ..Wish::default()
    };
    let wait = everything || sim.state().random.bool();
    let work = async {
        if let Ok(Some(plan)) = operator.plan(&wish).await {
            operator.run(&plan, wait).await;
        }
    };
    operator.in_a_shift(Box::pin(work)).await;
}

/// Stops a consumer for a while.
async fn pause(sim: Sim) {
    let consumer = GUARDED[sim.state().random.usize(..GUARDED.len())];
    hold(&sim, consumer, true).await;
    sleep(sim.up_to(SHIFT / 2)).await;
    hold(&sim, consumer, false).await;
}

/// What `waybill queues pause` and `resume` do: the order is written, and the mapping
/// made as it is wanted then.
async fn hold(sim: &Sim, consumer: &str, is_held: bool) {
    let operator = Operator::new(sim);
    let ports = &operator.ports;
    let work = async {
        if ports.hold(consumer, is_held).await.is_ok() && is_held {
            sim.count("operator: a consumer is paused");
        }
        // What a person cannot do, the controller does within a minute.
        let settled = settle(ports, ports, consumer, DEPLOYED.concurrency).await;
        if settled.is_err() {
            sim.count("operator: a mapping is left to the controller");
        }
    };
    operator.in_a_shift(Box::pin(work)).await;
}

/// Replays one failure, also in the middle of another's replay of many.
async fn replay_one(sim: Sim) {
    let failures = sim.world().failures();
    let open: Vec<_> = failures
        .iter()
        .filter(|failure| failure.status.is_open())
        .collect();
    let Some(one) = sim.state().random.choice(&open).map(|one| one.id.clone()) else {
        return;
    };
    let operator = Operator::new(&sim);
    let query = Query {
        ids: vec![one],
        ..Query::default()
    };
    let again = sim.state().random.bool();
    let wish = Wish {
        query,
        again,
        ..Wish::default()
    };
    let work = async {
        if let Ok(Some(plan)) = operator.plan(&wish).await {
            sim.count("operator: a single failure is replayed");
            operator.run(&plan, true).await;
        }
    };
    operator.in_a_shift(Box::pin(work)).await;
}

/// Goes on with somebody's plan.
async fn resume_plan(sim: Sim) {
    let operator = Operator::new(&sim);
    let work = async {
        let Ok(plans) = operator.ports.plans().await else {
            return;
        };
        let unfinished = plans
            .iter()
            .filter(|plan| plan.progress.finished_at.is_none());
        let unfinished: Vec<_> = unfinished.map(|plan| plan.id.clone()).collect();
        let chosen = sim.state().random.choice(&unfinished).cloned();
        if let Some(plan) = chosen {
            sim.count("operator: a plan is resumed");
            operator.run(&plan, true).await;
        }
    };
    operator.in_a_shift(Box::pin(work)).await;
}

/// What `waybill saga resume` does, for every order that needs attention.
fn resume_orders(sim: &Sim) {
    for order in sim.world().orders() {
        if sim.world().status(order) == Some(OrderStatus::NeedsAttention) {
            resume(sim, order);
        }
    }
}

fn resume(sim: &Sim, order: OrderId) {
    let is_done = |step: Step| {
        let record = sim.world().record(&format!("{order}/{step}"));
        record.is_some_and(|record| matches!(record.state, State::Completed { .. }))
    };
    let has_everything = [Step::Charge, Step::Reserve, Step::Ship]
        .into_iter()
        .all(is_done);
    // The command asks for a word where an undo was sent before; a person may say either.
    let is_completed = has_everything && sim.state().random.u8(0..4) > 0;
    let mode = if is_completed { "complete" } else { "undo" };
    let reason = sim.world().reason(order);
    let input = json!({
        "orderId": order.to_string(), "correlationId": "req-resume",
        "causationId": format!("{order}/order.needs-attention"), "traceparent": null,
        "mode": mode, "by": "operator", "why": "",
        "reason": { "code": reason.as_ref().map(|it| &it.code), "message": reason.as_ref().map(|it| &it.message) },
    });
    let mut number = sim.world().recoveries(order) + 1;
    loop {
        let name = format!("{order}-{number}");
        let known = sim.state().machines.execution(Machine::Recovery, &name);
        match known {
            None => {
                sim.count(format!("operator: an order is resumed ({mode})"));
                machines::start(sim, Machine::Recovery, name, order, input);
                return;
            }
            // Joined.
            Some(None) => return,
            // It died, and has used up its name.
            Some(Some(_)) => number += 1,
        }
    }
}

fn throw_garbage(sim: &Sim) {
    let (consumer, number) = {
        let mut state = sim.state();
        (
            CONSUMERS[state.random.usize(..CONSUMERS.len())],
            state.random.u32(..),
        )
    };
    let body = format!("no message of ours {number}");
    crate::bus::send(
        sim,
        consumer,
        &body.into(),
        std::collections::BTreeMap::new(),
        Duration::ZERO,
    );
}

/// A person sees that it can never be read.
async fn put_garbage_aside(sim: &Sim) {
    let operator = Operator::new(sim);
    let is_garbage = |it: &&Failure| {
        it.status == Status::Waiting && it.letter.body.starts_with("no message of ours")
    };
    let failures = sim.world().failures();
    for failure in failures.iter().filter(is_garbage) {
        let change = Change::Archive {
            why: "garbage".to_owned(),
            keep: SHIFT,
        };
        let actor = Actor {
            name: "operator".to_owned(),
            at: operator.now(),
        };
        if let Ok(next) = failure.after(&change, &actor)
            && matches!(operator.ports.replace(&next).await, Ok(true))
        {
            sim.count("operator: garbage is put aside");
        }
    }
}
