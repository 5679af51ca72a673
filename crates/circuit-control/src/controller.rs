//! The controller.

use std::time::Duration;

use circuit::{
    Circuit, CircuitStore, Due, Mappings, Meter, NotSettled, Observation, ProbeMessages,
    ProbeOutcome, Saved, Settings, State, Telling, Wake, settle,
};
use idempotency::{Clock, Millis};
use message_worker::cause_chain;
use ports::{People, Unavailable};
use tokio::time::{Instant, sleep};

use crate::{notice, probe};

/// A consumer whose mapping is looked after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// Its name, such as `payment`.
    pub name: String,
    /// The concurrency of its mapping when all is well.
    pub concurrency: u32,
}

/// What the controller acts through.
#[derive(Debug)]
pub struct Ports<S, M, P, N, W, G> {
    /// The circuits.
    pub circuits: S,
    /// The mappings.
    pub mappings: M,
    /// The messages to probe with.
    pub messages: P,
    /// Who is told.
    pub people: N,
    /// Starts another invocation.
    pub wake: W,
    /// Where changes and times are reported.
    pub meter: G,
}

/// How long the controller watches over circuits that are not closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watch {
    /// The pause between two looks.
    pub tick: Duration,
    /// When the next scheduled invocation is about to take over.
    pub length: Duration,
}

impl Watch {
    /// A watch of nearly a minute, since one begins every minute, with a look
    /// every so often: at least one in five seconds, at most two in one.
    pub fn every(tick: Duration) -> Self {
        Self {
            tick: tick.clamp(Duration::from_millis(500), Duration::from_secs(5)),
            length: Duration::from_secs(55),
        }
    }
}

/// Acts on circuits.
#[derive(Debug)]
pub struct Controller<S, M, P, N, W, G, C> {
    consumers: Vec<Consumer>,
    settings: Settings,
    ports: Ports<S, M, P, N, W, G>,
    clock: C,
}

/// Something could not be looked at or done. The next look tries it again.
#[derive(Debug, thiserror::Error)]
#[error("not all circuits were looked after: {}", .0.join(", "))]
pub struct Unfinished(
    /// The consumers.
    pub Vec<String>,
);

/// Which mappings are looked at. Lambda does not take many such requests, so in
/// between only those are that may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mapped {
    Always,
    WhereRestless,
}

/// What happens to circuits, in logs and metrics.
const HALF_OPEN: &str = "CircuitHalfOpen";
const RAISED: &str = "CircuitRaised";
const CLOSED: &str = "CircuitClosed";
const PROBE_FAILED: &str = "ProbeFailed";

/// A circuit changed under our hands so often that we give up until the next look.
const MOST_CONFLICTS: usize = 5;

impl<S, M, P, N, W, G, C> Controller<S, M, P, N, W, G, C>
where
    S: CircuitStore,
    M: Mappings,
    P: ProbeMessages,
    N: People,
    W: Wake,
    G: Meter,
    C: Clock,
{
    /// Looks after these consumers, at this pace.
    pub fn new(
        consumers: Vec<Consumer>,
        settings: Settings,
        ports: Ports<S, M, P, N, W, G>,
        clock: C,
    ) -> Self {
        Self {
            consumers,
            settings,
            ports,
            clock,
        }
    }

    /// Answers the stream: makes the mappings as the circuits want them, at
    /// once, and starts an invocation that watches. The stream's lane must not
    /// be held up by probes.
    ///
    /// # Errors
    /// [`Unfinished`]; the stream then brings the news again.
    pub async fn hear(&self) -> Result<(), Unfinished> {
        let mut unfinished = Vec::new();
        let mut is_restless = false;
        for consumer in &self.consumers {
            match self.reconcile(consumer).await {
                Ok(circuit) => is_restless |= !circuit.is_at_rest(),
                Err(error) => unfinished.push(not_done(consumer, &error)),
            }
        }
        if is_restless && let Err(error) = self.ports.wake.wake().await {
            // The schedule begins to watch within a minute.
            let cause = cause_chain(&error).join(": ");
            tracing::warn!(cause, error_name = "WatchNotStarted", "nobody watches yet");
        }
        done_or(unfinished)
    }

    /// Answers the schedule: looks after all circuits once and, while one of
    /// them is not closed, again and again until the watch is over.
    ///
    /// # Errors
    /// [`Unfinished`] where the last look failed.
    pub async fn watch(&self, watch: Watch) -> Result<(), Unfinished> {
        let end = Instant::now() + watch.length;
        self.report().await;
        let mut looked = self.look_after_all().await;
        loop {
            let is_at_rest = matches!(looked, Ok(true));
            if is_at_rest || Instant::now() + watch.tick >= end {
                return looked.map(|_| ());
            }
            sleep(watch.tick).await;
            looked = self.look_after_those(Mapped::WhereRestless).await;
        }
    }

    /// Looks after all circuits and mappings once, and says whether all are at rest.
    ///
    /// # Errors
    /// [`Unfinished`] names those that could not be looked after.
    pub async fn look_after_all(&self) -> Result<bool, Unfinished> {
        self.look_after_those(Mapped::Always).await
    }

    async fn look_after_those(&self, mapped: Mapped) -> Result<bool, Unfinished> {
        let mut unfinished = Vec::new();
        let mut is_at_rest = true;
        for consumer in &self.consumers {
            match self.look_after(consumer, mapped).await {
                Ok(circuit) => is_at_rest &= circuit.is_at_rest(),
                Err(error) => unfinished.push(not_done(consumer, &error)),
            }
        }
        done_or(unfinished).map(|()| is_at_rest)
    }

    /// First what the circuit wants of the mapping, so that nothing is probed
    /// while messages still pass; then what is due; then the mapping again.
    async fn look_after(
        &self,
        consumer: &Consumer,
        mapped: Mapped,
    ) -> Result<Circuit, Unavailable> {
        if mapped == Mapped::WhereRestless {
            let circuit = self.ports.circuits.load(&consumer.name).await?;
            if circuit.is_at_rest() {
                return Ok(circuit);
            }
        }
        let circuit = self.reconcile(consumer).await?;
        match circuit.due(self.clock.now(), &self.settings) {
            None => return Ok(circuit),
            Some(Due::Tell(telling)) => self.tell(consumer, &circuit, telling).await?,
            Some(Due::Probe) => self.probe(consumer, &circuit).await?,
            Some(Due::Raise) => self.raise(consumer, &circuit).await?,
        }
        self.reconcile(consumer).await
    }

    /// Makes the mapping as the circuit wants it, and gives the circuit.
    async fn reconcile(&self, consumer: &Consumer) -> Result<Circuit, Unavailable> {
        let name = consumer.name.as_str();
        let Ports {
            circuits, mappings, ..
        } = &self.ports;
        let settled = settle(circuits, mappings, name, consumer.concurrency).await;
        settled.map_err(|error| match error {
            NotSettled::Unread(error) => error,
            NotSettled::Restless => Unavailable::new("DynamoDB", error),
            NotSettled::Unchanged(error) => {
                let cause = cause_chain(&error).join(": ");
                self.ports.meter.happened(name, "MappingUpdateFailed");
                tracing::error!(
                    consumer = name,
                    cause,
                    error_name = "MappingUpdateFailed",
                    "the mapping could not be changed"
                );
                error
            }
        })
    }

    /// People are told by whoever writes first that they will be.
    async fn tell(
        &self,
        consumer: &Consumer,
        circuit: &Circuit,
        telling: Telling,
    ) -> Result<(), Unavailable> {
        let now = self.clock.now();
        let Some(claimed) = self.claim(circuit, &Observation::TellingBegun, now).await? else {
            return Ok(());
        };
        self.ports
            .people
            .tell(&notice::of(&claimed, telling, now))
            .await?;
        let told = Observation::Told(telling);
        self.apply(&consumer.name, &told).await?;
        Ok(())
    }

    /// One probe at a time: it is made by whoever writes first that it will be.
    async fn probe(&self, consumer: &Consumer, circuit: &Circuit) -> Result<(), Unavailable> {
        let name = consumer.name.as_str();
        let now = self.clock.now();
        let claimed = self.claim(circuit, &Observation::ProbeBegun, now).await?;
        if claimed.is_none() {
            return Ok(());
        }
        // A probe that could not be made says nothing, and the next one is due later.
        let outcome = probe::run(&self.ports.messages, name).await;
        let outcome = outcome.unwrap_or_else(|error| {
            let cause = cause_chain(&error).join(": ");
            tracing::error!(
                consumer = name,
                cause,
                error_name = "ProbeNotMade",
                "no probe"
            );
            ProbeOutcome::Untested
        });
        let after = self.apply(name, &Observation::Probed(outcome)).await?;
        self.report_probe(name, outcome, after.as_ref());
        Ok(())
    }

    fn report_probe(&self, consumer: &str, outcome: ProbeOutcome, after: Option<&Circuit>) {
        match after.map(|circuit| &circuit.state) {
            Some(State::HalfOpen(_)) => {
                self.ports.meter.happened(consumer, HALF_OPEN);
                tracing::info!(consumer, ?outcome, change = HALF_OPEN, "some messages pass");
            }
            Some(State::Open(open)) => {
                self.ports.meter.happened(consumer, PROBE_FAILED);
                let (failed, untested) = (open.failed_probes, open.untested_probes);
                tracing::warn!(
                    consumer,
                    ?outcome,
                    failed,
                    untested,
                    error_name = PROBE_FAILED,
                    "the circuit stays open"
                );
            }
            _ => tracing::info!(
                consumer,
                ?outcome,
                "the circuit has changed during the probe"
            ),
        }
    }

    async fn raise(&self, consumer: &Consumer, circuit: &Circuit) -> Result<(), Unavailable> {
        let raised = Observation::Raised(consumer.concurrency);
        let after = self.claim(circuit, &raised, self.clock.now()).await?;
        let name = consumer.name.as_str();
        match after.map(|circuit| circuit.state) {
            Some(State::Closed) => {
                self.ports.meter.happened(name, CLOSED);
                tracing::info!(consumer = name, change = CLOSED, "all messages pass");
            }
            Some(State::HalfOpen(half)) => {
                let concurrency = half.concurrency;
                tracing::info!(
                    consumer = name,
                    change = RAISED,
                    concurrency,
                    "more messages pass"
                );
            }
            _ => {}
        }
        Ok(())
    }

    /// Changes a circuit if it is still as it was seen. `None` where somebody was faster.
    async fn claim(
        &self,
        seen: &Circuit,
        observation: &Observation<'_>,
        now: Millis,
    ) -> Result<Option<Circuit>, Unavailable> {
        let Some(next) = seen.after(observation, now, &self.settings) else {
            return Ok(None);
        };
        let saved = self.ports.circuits.save(&next).await?;
        Ok((saved == Saved::Yes).then_some(next))
    }

    /// Applies what has happened to the circuit as it is now, whatever came in between.
    async fn apply(
        &self,
        consumer: &str,
        observation: &Observation<'_>,
    ) -> Result<Option<Circuit>, Unavailable> {
        for _ in 0..MOST_CONFLICTS {
            let circuit = self.ports.circuits.load(consumer).await?;
            let Some(next) = circuit.after(observation, self.clock.now(), &self.settings) else {
                return Ok(None);
            };
            if self.ports.circuits.save(&next).await? == Saved::Yes {
                return Ok(Some(next));
            }
        }
        Err(Unavailable::new(
            "DynamoDB",
            "the circuit changes all the time",
        ))
    }

    /// Reports how long each consumer has been hindered. An alarm watches that.
    async fn report(&self) {
        for consumer in &self.consumers {
            let loaded = self.ports.circuits.load(&consumer.name).await;
            let Ok(Some(since)) = loaded.map(|circuit| circuit.hindered_since()) else {
                continue;
            };
            let seconds = self.clock.now().since(since).as_secs();
            self.ports.meter.hindered(&consumer.name, seconds);
        }
    }
}

fn not_done(consumer: &Consumer, error: &Unavailable) -> String {
    let cause = cause_chain(error).join(": ");
    tracing::error!(
        consumer = consumer.name,
        cause,
        error_name = "CircuitNotLookedAfter",
        "a circuit could not be looked after"
    );
    consumer.name.clone()
}

fn done_or(unfinished: Vec<String>) -> Result<(), Unfinished> {
    if unfinished.is_empty() {
        Ok(())
    } else {
        Err(Unfinished(unfinished))
    }
}
