//! What all actors of one run share: the world, the chance, the queues and the story.

use std::collections::BTreeMap;
use std::fmt::Arguments;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::OrderId;
use fastrand::Rng;
use futures_util::FutureExt;
use idempotency::{Clock, Millis};
use testkit::{VirtualClock, World};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::checks::Checks;
use crate::circuits::Circuits;
use crate::machines::Machines;
use crate::mishaps::{Mishap, Mix};
use crate::queues::Queues;
use crate::story::Story;

/// An invariant that does not hold.
#[derive(Debug, Clone)]
pub struct Violation {
    /// In the words of `ARCHITECTURE.md`.
    pub invariant: String,
    /// Of which order, where it is one.
    pub order: Option<OrderId>,
    /// What was seen.
    pub seen: String,
}

/// One run. Clones are the same run.
#[derive(Clone)]
pub(crate) struct Sim(Arc<Shared>);

struct Shared {
    world: World,
    state: Mutex<State>,
    /// Raised when something arrives: a queue's name, or `stream`.
    arrivals: Mutex<BTreeMap<String, Arc<Arrivals>>>,
    violated: Notify,
}

/// What changes during a run.
pub(crate) struct State {
    pub(crate) random: Rng,
    pub(crate) mix: Mix,
    /// From now on nothing goes wrong any more.
    pub(crate) is_calm: bool,
    pub(crate) story: Story,
    pub(crate) queues: Queues,
    pub(crate) checks: Checks,
    pub(crate) machines: Machines,
    pub(crate) circuits: Circuits,
    /// Until when an outside party serves nobody.
    pub(crate) down_until: BTreeMap<&'static str, Millis>,
    environments: u64,
    violation: Option<Violation>,
}

impl Sim {
    pub(crate) fn new(random: Rng, mix: Mix, story: Story) -> Self {
        Self(Arc::new(Shared {
            world: World::new(),
            state: Mutex::new(State {
                random,
                mix,
                is_calm: false,
                story,
                queues: Queues::default(),
                checks: Checks::default(),
                machines: Machines::default(),
                circuits: Circuits::default(),
                down_until: BTreeMap::new(),
                environments: 0,
                violation: None,
            }),
            arrivals: Mutex::default(),
            violated: Notify::new(),
        }))
    }

    pub(crate) fn world(&self) -> &World {
        &self.0.world
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Millis {
        self.0.world.clock().now()
    }

    /// Milliseconds since the beginning.
    pub(crate) fn elapsed(&self) -> u64 {
        self.now().get() - VirtualClock::START.get()
    }

    pub(crate) fn tell(&self, actor: &str, what: Arguments<'_>) {
        let at = self.elapsed();
        self.state().story.tell(at, actor, what);
    }

    pub(crate) fn count(&self, what: impl Into<String>) {
        self.state().story.count(what);
    }

    /// Whether this mishap happens here and now.
    pub(crate) fn draw(&self, mishap: Mishap) -> bool {
        self.state().draw(mishap)
    }

    /// Some time up to this.
    pub(crate) fn up_to(&self, longest: Duration) -> Duration {
        self.state().up_to(longest)
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.state().is_calm
    }

    /// Runs something beside everything else. Its panic is a violation.
    pub(crate) fn spawn(&self, what: impl Future<Output = ()> + 'static) {
        let sim = self.clone();
        tokio::task::spawn_local(async move {
            if let Err(panic) = AssertUnwindSafe(what).catch_unwind().await {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|it| (*it).to_owned()));
                sim.violate(Violation {
                    invariant: "nothing panics outside a message's handling".to_owned(),
                    order: None,
                    seen: text.unwrap_or_default(),
                });
            }
        });
    }

    /// Ends the run. The first violation counts.
    pub(crate) fn violate(&self, violation: Violation) {
        self.tell(
            "CHECK",
            format_args!("VIOLATED: {} ({})", violation.invariant, violation.seen),
        );
        self.state().violation.get_or_insert(violation);
        self.0.violated.notify_one();
    }

    pub(crate) async fn violated(&self) {
        self.0.violated.notified().await;
    }

    pub(crate) fn violation(&self) -> Option<Violation> {
        self.state().violation.clone()
    }

    /// Looks at what the last call changed.
    pub(crate) fn check(&self) {
        let (found, is_new) = self.state().checks.look(self.world());
        if is_new {
            self.arrived("stream");
        }
        if let Some(violation) = found {
            self.violate(violation);
        }
    }

    /// Lets those know who wait for something to arrive there.
    pub(crate) fn arrived(&self, place: &str) {
        let arrivals = self.arrivals(place);
        arrivals.count.fetch_add(1, Ordering::Relaxed);
        arrivals.notify.notify_waiters();
    }

    /// Hears of what arrives there from now on.
    pub(crate) fn listen(&self, place: &str) -> Listener {
        Listener {
            arrivals: self.arrivals(place),
            heard: 0,
        }
    }

    fn arrivals(&self, place: &str) -> Arc<Arrivals> {
        let arrivals = self.0.arrivals.lock();
        let mut arrivals = arrivals.unwrap_or_else(PoisonError::into_inner);
        Arc::clone(arrivals.entry(place.to_owned()).or_default())
    }

    /// A new execution environment of a function.
    pub(crate) fn environment(&self, function: &str) -> Environment {
        let has_wrong_clock = self.draw(Mishap::WrongClock);
        let mut state = self.state();
        state.environments += 1;
        let skew = match has_wrong_clock {
            true => state.random.i64(-60_000..60_000),
            false => 0,
        };
        Environment {
            name: format!("{function}#{}", state.environments).into(),
            clock: EnvironmentClock {
                clock: self.world().clock(),
                skew,
            },
            lost: Arc::default(),
        }
    }
}

impl State {
    pub(crate) fn draw(&mut self, mishap: Mishap) -> bool {
        let rate = self.mix.rate(mishap);
        let happens = !self.is_calm && rate > 0.0 && self.random.f64() < rate;
        if happens {
            self.story.count(format!("mishap: {mishap:?}"));
        }
        happens
    }

    pub(crate) fn up_to(&mut self, longest: Duration) -> Duration {
        let longest = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.random.u64(0..=longest))
    }
}

/// An execution environment of a function.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    pub(crate) name: Arc<str>,
    pub(crate) clock: EnvironmentClock,
    /// Told when the environment is lost.
    pub(crate) lost: Arc<Notify>,
}

/// The clock of an environment, which may be wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EnvironmentClock {
    clock: VirtualClock,
    /// In milliseconds.
    skew: i64,
}

impl Clock for EnvironmentClock {
    fn now(&self) -> Millis {
        Millis::new(self.clock.now().get().saturating_add_signed(self.skew))
    }
}

/// What arrives at a place. (Tokio's `watch` wakes those who wait in an order that it
/// draws itself.)
#[derive(Debug, Default)]
struct Arrivals {
    count: AtomicU64,
    notify: Notify,
}

/// Waits for what arrives at a place.
#[derive(Debug)]
pub(crate) struct Listener {
    arrivals: Arc<Arrivals>,
    heard: u64,
}

impl Listener {
    /// What has arrived by now is known.
    pub(crate) fn hear(&mut self) {
        self.heard = self.arrivals.count.load(Ordering::Relaxed);
    }

    /// Waits until a moment, or until something arrives that was not heard of.
    pub(crate) async fn until(&mut self, at: Option<Instant>) {
        let arrival = self.arrivals.notify.notified();
        if self.arrivals.count.load(Ordering::Relaxed) != self.heard {
            return;
        }
        let moment = async {
            match at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = arrival => {}
            () = moment => {}
        }
    }
}
