//! The circuit breaker: the real controller on circuits, mappings and queues in memory.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use aws_adapters::answer_probe;
use circuit::{
    Cause, Circuit, CircuitStore, LocalBreaker, Mapping, Mappings, Meter, Observation, Opened,
    Pause, ProbeAnswer, ProbeMessages, Resumed, Saved, Settings, State, Switch, Taken, Trips, Wake,
    Wanted,
};
use circuit_control::{Consumer, Controller, Watch};
use domain::Step;
use idempotency::Millis;
use message_worker::Handler;
use payment_worker::Payments;
use ports::Unavailable;
use saga_step::{ClaimedSteps, StepHandler};
use shipping_worker::Shipments;
use tokio::time::{Instant, sleep};

use crate::bus;
use crate::functions::{invoke, worker};
use crate::ports::Ports;
use crate::queues::{self, Message};
use crate::sim::{Environment, EnvironmentClock, Sim, Violation};
use crate::template::DEPLOYED;

/// The consumers that call an outside party.
pub(crate) const GUARDED: [&str; 2] = ["payment", "shipping"];

/// As the template names the controller's time limit.
const CONTROL_TIME: Duration = Duration::from_secs(120);

/// As the adapter hides the message of a probe.
const PROBE_HIDDEN: Duration = Duration::from_secs(90);

/// As the template has the stream repeat what failed.
const STREAM_ATTEMPTS: usize = 4;

/// A mapping takes up to so long to change.
const SLOWEST_CHANGE: Duration = Duration::from_secs(60);

const PAUSE: &str = "a pause of a consumer is begun and ended by a person only";

/// The circuits' table, and the mappings.
#[derive(Debug, Default)]
pub(crate) struct Circuits {
    stored: BTreeMap<String, Circuit>,
    lines: BTreeMap<String, Line>,
}

/// A mapping, and until when its last change is on its way.
#[derive(Debug, Clone, Copy)]
struct Line {
    mapping: Mapping,
    changing_until: Millis,
}

impl Circuits {
    pub(crate) fn circuit(&self, consumer: &str) -> Circuit {
        let stored = self.stored.get(consumer).cloned();
        stored.unwrap_or_else(|| Circuit::new(consumer))
    }

    fn put(&mut self, circuit: Circuit) {
        let version = circuit.version + 1;
        let consumer = circuit.consumer.clone();
        self.stored.insert(consumer, Circuit { version, ..circuit });
    }

    fn line(&self, consumer: &str) -> Line {
        let whole = Line {
            mapping: Mapping {
                switch: Switch::Enabled,
                concurrency: Some(DEPLOYED.concurrency),
            },
            changing_until: Millis::EPOCH,
        };
        self.lines.get(consumer).copied().unwrap_or(whole)
    }

    fn look(&self, consumer: &str, now: Millis) -> Mapping {
        let line = self.line(consumer);
        match line.changing_until > now {
            true => Mapping {
                switch: Switch::Changing,
                ..line.mapping
            },
            false => line.mapping,
        }
    }

    /// Whether messages pass. While a mapping changes they still may.
    pub(crate) fn passes(&self, consumer: &str, now: Millis) -> bool {
        self.look(consumer, now).switch != Switch::Disabled
    }

    /// `None` where all messages pass and nothing is left to do.
    pub(crate) fn hindrance(&self, consumer: &str, now: Millis) -> Option<String> {
        let circuit = self.circuit(consumer);
        let mapping = self.look(consumer, now);
        let is_whole = mapping == self.line(consumer).mapping
            && mapping.switch == Switch::Enabled
            && mapping.concurrency == Some(DEPLOYED.concurrency);
        let is_well = circuit.is_at_rest() && circuit.pause.is_none() && is_whole;
        (!is_well).then(|| format!("the circuit of {consumer}: {circuit:?}, {mapping:?}"))
    }
}

/// The breaker of one environment of a worker.
pub(crate) type Guard = Arc<LocalBreaker<Ports, EnvironmentClock>>;

/// As `aws_adapters::worker_breaker` puts it together.
pub(crate) fn guard(ports: &Ports) -> Guard {
    let clock = ports.environment.clock;
    let interval = DEPLOYED.probe_interval;
    Arc::new(LocalBreaker::new(
        ports.consumer,
        ports.clone(),
        clock,
        interval,
    ))
}

/// As the payment worker's `main.rs` puts it together.
pub(crate) fn payment(ports: Ports, guard: Guard) -> impl Handler<Output: Display> {
    let clock = ports.environment.clock;
    let steps = ClaimedSteps::new(ports.clone(), Payments::new(ports.clone(), clock), clock);
    StepHandler::new(Step::Charge, steps.guarded_by(guard), ports)
}

/// As the shipping worker's `main.rs` puts it together.
pub(crate) fn shipping(ports: Ports, guard: Guard) -> impl Handler<Output: Display> {
    let clock = ports.environment.clock;
    let steps = ClaimedSteps::new(ports.clone(), Shipments::new(ports.clone(), clock), clock);
    StepHandler::new(Step::Ship, steps.guarded_by(guard), ports)
}

/// The controller: the schedule and the table's stream.
pub(crate) fn deploy(sim: &Sim) {
    sim.spawn(schedule(sim.clone()));
    sim.spawn(stream(sim.clone()));
}

async fn schedule(sim: Sim) {
    loop {
        sleep(Duration::from_secs(60)).await;
        let now = sim.now();
        let hinders = |it: &str| sim.state().circuits.hindrance(it, now).is_some();
        // A look at circuits that are all closed changes nothing, and most are in the weeks
        // that a thousand seeds last.
        if GUARDED.into_iter().any(hinders) {
            sim.spawn(watch(sim.clone()));
        }
    }
}

async fn watch(sim: Sim) {
    let environment = sim.environment("circuit-control");
    let controller = controller(&sim, &environment);
    let tick = DEPLOYED.probe_interval.min(DEPLOYED.ramp_interval) / 4;
    let work = Box::pin(controller.watch(Watch::every(tick)));
    let watched = invoke(&sim, &environment, CONTROL_TIME, work).await;
    if !matches!(watched, Some(Ok(()))) {
        sim.count("circuit-control: a watch fails");
    }
}

async fn stream(sim: Sim) {
    let mut arrivals = sim.listen("circuits");
    loop {
        arrivals.until(None).await;
        arrivals.hear();
        sleep(sim.up_to(Duration::from_millis(500))).await;
        for _ in 0..STREAM_ATTEMPTS {
            let environment = sim.environment("circuit-control");
            let controller = controller(&sim, &environment);
            let work = Box::pin(controller.hear());
            let heard = invoke(&sim, &environment, CONTROL_TIME, work).await;
            if matches!(heard, Some(Ok(()))) {
                break;
            }
        }
    }
}

type Controls = Controller<Ports, Ports, Ports, Ports, Ports, Ports, EnvironmentClock>;

/// As its `main.rs` puts it together, for the consumers that have a circuit.
fn controller(sim: &Sim, environment: &Environment) -> Controls {
    let ports = Ports {
        sim: sim.clone(),
        environment: environment.clone(),
        consumer: "payment",
    };
    let consumers = GUARDED.map(|name| Consumer {
        name: name.to_owned(),
        concurrency: DEPLOYED.concurrency,
    });
    let all = circuit_control::Ports {
        circuits: ports.clone(),
        mappings: ports.clone(),
        messages: ports.clone(),
        people: ports.clone(),
        wake: ports.clone(),
        meter: ports,
    };
    Controller::new(consumers.to_vec(), settings(), all, environment.clock)
}

fn settings() -> Settings {
    Settings::new(DEPLOYED.probe_interval, DEPLOYED.ramp_interval)
}

impl Ports {
    /// Writes a person's order to stop, or to go on, as the command does.
    pub(crate) async fn hold(&self, consumer: &str, is_held: bool) -> Result<(), Unavailable> {
        let (sim, name) = (self.sim.clone(), consumer.to_owned());
        let effect = async move {
            let now = sim.now();
            let by = "operator".to_owned();
            let mut circuit = sim.state().circuits.circuit(&name);
            match is_held {
                true => {
                    circuit.pause = Some(Pause {
                        at: now,
                        by,
                        why: String::new(),
                    });
                }
                // The command's write asks for a pause.
                false if circuit.pause.is_none() => return Ok(()),
                false => {
                    circuit.pause = None;
                    circuit.resumed = Some(Resumed { at: now, by });
                }
            }
            sim.state().circuits.put(circuit);
            sim.arrived("circuits");
            Ok(())
        };
        let what = if is_held { "pause" } else { "resume" };
        self.call(what, consumer, effect).await
    }
}

impl Trips for Ports {
    async fn open(&self, consumer: &str, _: &Cause, now: Millis) -> Result<Opened, Unavailable> {
        let (sim, name) = (self.sim.clone(), consumer.to_owned());
        let effect = async move {
            let circuit = sim.state().circuits.circuit(&name);
            let tripped = Observation::Tripped("too many failures");
            let Some(next) = circuit.after(&tripped, now, &settings()) else {
                return Ok(Opened::Before);
            };
            sim.state().circuits.put(next);
            sim.arrived("circuits");
            Ok(Opened::Now)
        };
        self.call("open-circuit", consumer, effect).await
    }
}

impl CircuitStore for Ports {
    async fn load(&self, consumer: &str) -> Result<Circuit, Unavailable> {
        let (sim, name) = (self.sim.clone(), consumer.to_owned());
        let effect = async move { Ok(sim.state().circuits.circuit(&name)) };
        self.call("load-circuit", consumer, effect).await
    }

    async fn save(&self, circuit: &Circuit) -> Result<Saved, Unavailable> {
        let (sim, it) = (self.sim.clone(), circuit.clone());
        let effect = async move {
            let stored = sim.state().circuits.circuit(&it.consumer);
            if stored.version != it.version {
                return Ok(Saved::Conflict);
            }
            if stored.pause != it.pause {
                let seen = format!("{} had {:?}", it.consumer, stored.pause);
                sim.violate(Violation {
                    invariant: PAUSE.to_owned(),
                    order: None,
                    seen,
                });
            }
            sim.state().circuits.put(it);
            Ok(Saved::Yes)
        };
        self.call("save-circuit", &circuit.consumer, effect).await
    }
}

impl Mappings for Ports {
    async fn look(&self, consumer: &str) -> Result<Mapping, Unavailable> {
        let (sim, name) = (self.sim.clone(), consumer.to_owned());
        let effect = async move { Ok(sim.state().circuits.look(&name, sim.now())) };
        self.call("look-at-mapping", consumer, effect).await
    }

    async fn set(&self, consumer: &str, wanted: Wanted) -> Result<(), Unavailable> {
        let (sim, name) = (self.sim.clone(), consumer.to_owned());
        let effect = async move { set(&sim, &name, wanted) };
        self.call("set-mapping", consumer, effect).await
    }
}

/// A mapping that is being changed takes no other change.
fn set(sim: &Sim, consumer: &str, wanted: Wanted) -> Result<(), Unavailable> {
    let now = sim.now();
    let changing_until = now.plus(sim.up_to(SLOWEST_CHANGE));
    let mut state = sim.state();
    let Line {
        mapping,
        changing_until: before,
    } = state.circuits.line(consumer);
    if before > now {
        return Err(Unavailable::new("Lambda", "the mapping is being changed"));
    }
    let mapping = match wanted {
        Wanted::Disabled => Mapping {
            switch: Switch::Disabled,
            ..mapping
        },
        Wanted::Enabled(concurrency) => Mapping {
            switch: Switch::Enabled,
            concurrency: Some(concurrency),
        },
    };
    let line = Line {
        mapping,
        changing_until,
    };
    state.circuits.lines.insert(consumer.to_owned(), line);
    Ok(())
}

impl ProbeMessages for Ports {
    type Message = Message;

    async fn take(&self, consumer: &str) -> Result<Taken<Message>, Unavailable> {
        let (sim, name) = (self.sim.clone(), consumer.to_owned());
        let effect = async move {
            let received = crate::functions::receive_one(&sim, &name, PROBE_HIDDEN);
            let is_empty = !sim.state().queues.depths().contains_key(name.as_str());
            Ok(match received {
                Some(message) => Taken::Message(message),
                None if is_empty => Taken::Nothing,
                None => Taken::Waiting,
            })
        };
        self.call("take-for-a-probe", consumer, effect).await
    }

    async fn hand_over(
        &self,
        consumer: &str,
        message: &Message,
    ) -> Result<ProbeAnswer, Unavailable> {
        let (sim, it) = (self.sim.clone(), message.clone());
        let is_payment = consumer == "payment";
        let effect = Box::pin(async move {
            match is_payment {
                true => probe(&sim, "payment", it, payment).await,
                false => probe(&sim, "shipping", it, shipping).await,
            }
        });
        self.call("hand-over", format!("{} to {consumer}", message.id), effect)
            .await
    }

    async fn copy(&self, consumer: &str, message: &Message) -> Result<(), Unavailable> {
        let (sim, name, it) = (self.sim.clone(), consumer.to_owned(), message.clone());
        let effect = async move {
            bus::send(&sim, &name, &it.body, it.attributes, Duration::ZERO);
            Ok(())
        };
        self.call("copy", &message.id, effect).await
    }

    async fn delete(&self, consumer: &str, message: &Message) -> Result<(), Unavailable> {
        let (sim, name, it) = (self.sim.clone(), consumer.to_owned(), message.clone());
        let effect = async move {
            bus::acknowledge(&sim, &name, &it);
            Ok(())
        };
        self.call("delete", &message.id, effect).await
    }
}

/// An environment of the worker gets the message, as if received for the first time.
async fn probe<H: Handler<Output: Display>>(
    sim: &Sim,
    consumer: &'static str,
    message: Message,
    make: impl Fn(Ports, Guard) -> H + Send + Sync,
) -> Result<ProbeAnswer, Unavailable> {
    let environment = sim.environment(consumer);
    let guard = guard(&Ports {
        sim: sim.clone(),
        environment: environment.clone(),
        consumer,
    });
    let worker = worker(sim, consumer, &environment, &|ports| {
        make(ports, Arc::clone(&guard))
    });
    let first = Message {
        receives: 1,
        ..message
    };
    let limit = DEPLOYED.function_time;
    let record = queues::event(consumer, &[first]).records.remove(0);
    let work = answer_probe(&worker, &guard, record, Instant::now() + limit);
    let answered = invoke(sim, &environment, limit, Box::pin(work)).await;
    let failed = || Unavailable::new("Lambda", "the function failed");
    answered.and_then(Result::ok).ok_or_else(failed)
}

impl Wake for Ports {
    async fn wake(&self) -> Result<(), Unavailable> {
        let sim = self.sim.clone();
        let effect = async move {
            sim.spawn(watch(sim.clone()));
            Ok(())
        };
        self.call("wake", "circuit-control", effect).await
    }
}

impl Meter for Ports {
    fn happened(&self, _consumer: &str, name: &'static str) {
        self.sim.count(format!("circuit-control: {name}"));
    }

    fn hindered(&self, _consumer: &str, _seconds: u64) {}
}

/// Where a circuit stands, in a word.
pub(crate) fn told(circuit: &Circuit) -> &'static str {
    match circuit.state {
        State::Closed => "closed",
        State::Open(_) => "open",
        State::HalfOpen(_) => "half-open",
    }
}
