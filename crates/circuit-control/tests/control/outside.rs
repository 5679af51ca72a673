//! Everything outside the controller, in memory, with a fault at any call.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use circuit::{
    Circuit, CircuitStore, Mapping, Mappings, Meter, Observation, Pause, ProbeAnswer,
    ProbeMessages, Saved, Settings, State, Switch, Taken, Verdict, Wake, Wanted,
};
use circuit_control::{Consumer, Controller, Ports};
use idempotency::{Clock, Millis};
use ports::{Notice, People, Unavailable};
use testkit::World;
use tokio::task::yield_now;

/// The concurrency of a closed circuit.
pub(crate) const FULL: u32 = 10;
pub(crate) const CONSUMER: &str = "payment";

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An error, and no effect.
    Before,
    /// The effect, and an error.
    After,
    /// The controller is killed before the effect.
    KilledBefore,
    /// The controller is killed after it.
    KilledAfter,
}

impl Fault {
    pub(crate) const ALL: [Self; 4] = [
        Self::Before,
        Self::After,
        Self::KilledBefore,
        Self::KilledAfter,
    ];
}

/// A message of the queue: how often it was received, and till when nobody sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Queued {
    pub(crate) id: u32,
    pub(crate) receives: u32,
    pub(crate) invisible_until: Millis,
}

#[derive(Debug)]
pub(crate) struct Everything {
    pub(crate) circuit: Circuit,
    pub(crate) mapping: Mapping,
    pub(crate) queue: Vec<Queued>,
    pub(crate) processed: Vec<u32>,
    pub(crate) serves: bool,
    /// The probes that are with the worker now, and the most there ever were.
    pub(crate) probes: (u32, u32),
    pub(crate) probes_made: u32,
    pub(crate) notices: Vec<Notice>,
    pub(crate) wakes: u32,
    pub(crate) hindered: Vec<u64>,
    pub(crate) happened: Vec<&'static str>,
    /// The largest concurrency that was set while the circuit was not closed.
    pub(crate) mappings_set: Vec<Wanted>,
    /// Somebody's order to stop that comes just before the next change of the mapping.
    pub(crate) pause_before_set: Option<Pause>,
    calls: usize,
    faults: BTreeMap<usize, Fault>,
}

#[derive(Clone)]
pub(crate) struct Outside {
    pub(crate) world: World,
    state: Arc<Mutex<Everything>>,
}

impl Outside {
    /// All is well, and nothing waits. Call it inside a runtime.
    pub(crate) fn new() -> Self {
        let state = Everything {
            circuit: Circuit::new(CONSUMER),
            mapping: Mapping {
                switch: Switch::Enabled,
                concurrency: Some(FULL),
            },
            queue: Vec::new(),
            processed: Vec::new(),
            serves: true,
            probes: (0, 0),
            probes_made: 0,
            notices: Vec::new(),
            wakes: 0,
            hindered: Vec::new(),
            happened: Vec::new(),
            mappings_set: Vec::new(),
            pause_before_set: None,
            calls: 0,
            faults: BTreeMap::new(),
        };
        Self {
            world: World::new(),
            state: Arc::new(Mutex::new(state)),
        }
    }

    pub(crate) fn get(&self) -> MutexGuard<'_, Everything> {
        self.state.lock().unwrap()
    }

    pub(crate) fn now(&self) -> Millis {
        self.world.clock().now()
    }

    /// A worker opens the circuit.
    pub(crate) fn trip(&self) {
        let now = self.now();
        let mut state = self.get();
        let tripped = Observation::Tripped("5 failed attempts");
        if let Some(next) = state.circuit.after(&tripped, now, &settings()) {
            state.circuit = Circuit {
                version: next.version + 1,
                ..next
            };
        }
    }

    /// Messages arrive.
    pub(crate) fn send(&self, count: u32) {
        let mut state = self.get();
        for id in 0..count {
            state.queue.push(Queued {
                id,
                receives: 0,
                invisible_until: Millis::EPOCH,
            });
        }
    }

    /// The nth call from now on goes wrong.
    pub(crate) fn fail(&self, number: usize, fault: Fault) {
        let mut state = self.get();
        let number = state.calls + number;
        state.faults.insert(number, fault);
    }

    pub(crate) fn calls(&self) -> usize {
        self.get().calls
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.get().circuit.is_at_rest()
    }

    /// Whether the mapping is enabled in full.
    pub(crate) fn lets_all_through(&self) -> bool {
        let mapping = self.get().mapping;
        mapping.switch == Switch::Enabled && mapping.concurrency == Some(FULL)
    }

    pub(crate) fn controller(
        &self,
    ) -> Controller<Self, Self, Self, Self, Self, Self, testkit::VirtualClock> {
        let consumer = Consumer {
            name: CONSUMER.to_owned(),
            concurrency: FULL,
        };
        let ports = Ports {
            circuits: self.clone(),
            mappings: self.clone(),
            messages: self.clone(),
            people: self.clone(),
            wake: self.clone(),
            meter: self.clone(),
        };
        Controller::new(vec![consumer], settings(), ports, self.world.clock())
    }

    async fn call<T>(
        &self,
        effect: impl FnOnce(&mut Everything) -> T + Send,
    ) -> Result<T, Unavailable> {
        yield_now().await;
        let fault = {
            let mut state = self.get();
            let number = state.calls;
            state.calls += 1;
            state.faults.remove(&number)
        };
        let failed = || Unavailable::new("test", "injected");
        match fault {
            None => Ok(effect(&mut self.get())),
            Some(Fault::Before) => Err(failed()),
            Some(Fault::After) => {
                effect(&mut self.get());
                Err(failed())
            }
            Some(Fault::KilledBefore) => pending().await,
            Some(Fault::KilledAfter) => {
                effect(&mut self.get());
                pending().await
            }
        }
    }
}

pub(crate) fn settings() -> Settings {
    Settings::new(Duration::from_secs(30), Duration::from_secs(60))
}

impl CircuitStore for Outside {
    async fn load(&self, _: &str) -> Result<Circuit, Unavailable> {
        self.call(|state| state.circuit.clone()).await
    }

    async fn save(&self, circuit: &Circuit) -> Result<Saved, Unavailable> {
        self.call(|state| {
            if state.circuit.version != circuit.version {
                return Saved::Conflict;
            }
            state.circuit = Circuit {
                version: circuit.version + 1,
                ..circuit.clone()
            };
            Saved::Yes
        })
        .await
    }
}

impl Mappings for Outside {
    async fn look(&self, _: &str) -> Result<Mapping, Unavailable> {
        self.call(|state| state.mapping).await
    }

    async fn set(&self, _: &str, wanted: Wanted) -> Result<(), Unavailable> {
        self.call(|state| {
            if let Some(pause) = state.pause_before_set.take() {
                state.circuit.pause = Some(pause);
                state.circuit.version += 1;
            }
            state.mappings_set.push(wanted);
            match wanted {
                Wanted::Disabled => state.mapping.switch = Switch::Disabled,
                Wanted::Enabled(concurrency) => {
                    state.mapping = Mapping {
                        switch: Switch::Enabled,
                        concurrency: Some(concurrency),
                    };
                }
            }
        })
        .await
    }
}

impl ProbeMessages for Outside {
    type Message = Queued;

    async fn take(&self, _: &str) -> Result<Taken<Queued>, Unavailable> {
        let now = self.now();
        self.call(move |state| {
            let free = |queued: &&mut Queued| queued.invisible_until <= now;
            let Some(queued) = state.queue.iter_mut().find(free) else {
                return match state.queue.is_empty() {
                    true => Taken::Nothing,
                    false => Taken::Waiting,
                };
            };
            queued.receives += 1;
            queued.invisible_until = now.plus(Duration::from_secs(90));
            Taken::Message(queued.clone())
        })
        .await
    }

    /// The worker takes five seconds.
    async fn hand_over(&self, _: &str, message: &Queued) -> Result<ProbeAnswer, Unavailable> {
        {
            let mut state = self.get();
            state.probes_made += 1;
            state.probes.0 += 1;
            state.probes.1 = state.probes.1.max(state.probes.0);
            assert_eq!(
                state.mapping.switch,
                Switch::Disabled,
                "messages pass beside the probe"
            );
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        self.get().probes.0 -= 1;
        let id = message.id;
        self.call(move |state| {
            if state.serves {
                state.processed.push(id);
            }
            ProbeAnswer {
                acknowledged: state.serves,
                verdict: match state.serves {
                    true => Verdict::Healthy,
                    false => Verdict::Unhealthy,
                },
            }
        })
        .await
    }

    async fn copy(&self, _: &str, message: &Queued) -> Result<(), Unavailable> {
        let copy = Queued {
            receives: 0,
            invisible_until: Millis::EPOCH,
            ..message.clone()
        };
        self.call(move |state| state.queue.push(copy)).await
    }

    async fn delete(&self, _: &str, message: &Queued) -> Result<(), Unavailable> {
        self.call(|state| {
            let original = state.queue.iter().position(|queued| queued == message);
            original.map(|index| state.queue.remove(index));
        })
        .await
    }
}

impl People for Outside {
    async fn tell(&self, notice: &Notice) -> Result<(), Unavailable> {
        let notice = notice.clone();
        self.call(move |state| state.notices.push(notice)).await
    }
}

impl Wake for Outside {
    async fn wake(&self) -> Result<(), Unavailable> {
        self.call(|state| state.wakes += 1).await
    }
}

impl Meter for Outside {
    fn happened(&self, _: &str, name: &'static str) {
        self.get().happened.push(name);
    }

    fn hindered(&self, _: &str, seconds: u64) {
        self.get().hindered.push(seconds);
    }
}

/// Where a circuit stands, in a word.
pub(crate) fn name(state: &State) -> &'static str {
    match state {
        State::Closed => "closed",
        State::Open(_) => "open",
        State::HalfOpen(_) => "half-open",
    }
}
