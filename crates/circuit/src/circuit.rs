//! A circuit and its rules.

use std::time::Duration;

use idempotency::Millis;

/// The circuit of one consumer, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Circuit {
    /// Whose queue it stands before, such as `payment`.
    pub consumer: String,
    /// Counted up by each write; 0 is a circuit that was never written.
    pub version: u64,
    /// Where it stands.
    pub state: State,
    /// Since when it has not been closed. It stays while the circuit goes back
    /// and forth between open and half-open.
    pub opened_at: Option<Millis>,
    /// When people were last told of this opening; absent where they do not know of it.
    pub told_at: Option<Millis>,
    /// Until when somebody is about to tell people, so that not two do.
    pub telling_until: Option<Millis>,
    /// Somebody's wish that nothing be processed, whatever the circuit says.
    pub pause: Option<Pause>,
    /// The end of the last pause.
    pub resumed: Option<Resumed>,
}

/// Where a circuit stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum State {
    /// Everything passes.
    Closed,
    /// Nothing passes but a probe.
    Open(Open),
    /// Some of it passes.
    HalfOpen(HalfOpen),
}

/// An open circuit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Open {
    /// Why it was opened, in words.
    pub cause: String,
    /// How many probes in a row found the outside party down.
    pub failed_probes: u32,
    /// How many probes in a row told nothing.
    pub untested_probes: u32,
    /// When the next probe is due.
    pub next_probe_at: Millis,
    /// Until when a probe is under way.
    pub probe_until: Option<Millis>,
}

/// A circuit that lets the traffic return in steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HalfOpen {
    /// How many invocations at a time.
    pub concurrency: u32,
    /// When that is doubled, if all goes well until then.
    pub raise_at: Millis,
}

/// A person's order to stop.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pause {
    /// When it was given.
    pub at: Millis,
    /// By whom.
    pub by: String,
    /// Why.
    pub why: String,
}

/// A person's order to go on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Resumed {
    /// When it was given.
    pub at: Millis,
    /// By whom.
    pub by: String,
}

/// The pace of a recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// From the opening to the first probe. It doubles with each probe that fails.
    pub probe_interval: Duration,
    /// The longest time between two probes.
    pub longest_probe_interval: Duration,
    /// Longer than any probe takes; then another may be made.
    pub probe_limit: Duration,
    /// After so many probes in a row that told nothing, the traffic itself is the test.
    pub untested_limit: u32,
    /// How long a concurrency is kept before it is doubled.
    pub ramp_interval: Duration,
    /// How often people are reminded of a circuit that stays open.
    pub reminder: Duration,
    /// Longer than telling people takes; then another may try.
    pub telling_limit: Duration,
}

impl Settings {
    /// The smallest concurrency that an event source mapping takes.
    pub const LEAST_CONCURRENCY: u32 = 2;

    /// The pace that follows from the two intervals that people choose.
    pub fn new(probe_interval: Duration, ramp_interval: Duration) -> Self {
        Self {
            probe_interval,
            longest_probe_interval: probe_interval * 4,
            probe_limit: Duration::from_secs(60),
            untested_limit: 5,
            ramp_interval,
            reminder: Duration::from_secs(15 * 60),
            telling_limit: Duration::from_secs(60),
        }
    }
}

/// What a probe showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// The outside party serves.
    Healthy,
    /// It does not.
    Unhealthy,
    /// The message did not get as far as the outside party.
    Untested,
    /// Messages exist, and none can be received at the moment.
    Waiting,
    /// There is no message to probe with.
    Empty,
}

/// What happened to a circuit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation<'a> {
    /// An execution environment has had enough; why, in words.
    Tripped(&'a str),
    /// A controller begins a probe.
    ProbeBegun,
    /// The probe's outcome.
    Probed(ProbeOutcome),
    /// The ramp's interval passed without a trip. The consumer's full concurrency.
    Raised(u32),
    /// A controller begins to tell people.
    TellingBegun,
    /// People have been told this, whatever the circuit has become since.
    Told(Telling),
}

/// What people are to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// The circuit was opened.
    Opened,
    /// It has been open for long.
    StillOpen,
    /// It is closed again.
    Closed,
}

/// What is to be done for a circuit now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Tell people.
    Tell(Telling),
    /// Probe.
    Probe,
    /// Let more through.
    Raise,
}

/// How an event source mapping must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// Nothing passes.
    Disabled,
    /// So many invocations at a time.
    Enabled(u32),
}

impl Circuit {
    /// A circuit that was never written.
    pub fn new(consumer: impl Into<String>) -> Self {
        Self {
            consumer: consumer.into(),
            version: 0,
            state: State::Closed,
            opened_at: None,
            told_at: None,
            telling_until: None,
            pause: None,
            resumed: None,
        }
    }

    /// How the mapping must be, for a consumer of this full concurrency.
    pub fn wanted(&self, full: u32) -> Wanted {
        if self.pause.is_some() {
            return Wanted::Disabled;
        }
        match &self.state {
            State::Closed => Wanted::Enabled(full),
            State::Open(_) => Wanted::Disabled,
            State::HalfOpen(half) => Wanted::Enabled(half.concurrency.min(full)),
        }
    }

    /// What is to be done now. While it is paused nothing is probed and nothing raised.
    pub fn due(&self, now: Millis, settings: &Settings) -> Option<Due> {
        if let Some(telling) = self.telling(now, settings) {
            return Some(Due::Tell(telling));
        }
        if self.pause.is_some() {
            return None;
        }
        match &self.state {
            State::Closed => None,
            State::Open(open) => {
                let is_free = open.probe_until.is_none_or(|until| until <= now);
                (is_free && open.next_probe_at <= now).then_some(Due::Probe)
            }
            State::HalfOpen(half) => (self.raise_at(*half, settings) <= now).then_some(Due::Raise),
        }
    }

    /// While it was paused nothing passed, so that time has shown nothing.
    fn raise_at(&self, half: HalfOpen, settings: &Settings) -> Millis {
        let resumed = self.resumed.as_ref();
        let shown = resumed.map(|resumed| resumed.at.plus(settings.ramp_interval));
        shown.map_or(half.raise_at, |shown| shown.max(half.raise_at))
    }

    fn telling(&self, now: Millis, settings: &Settings) -> Option<Telling> {
        if self.telling_until.is_some_and(|until| now < until) {
            return None;
        }
        match (&self.state, self.told_at) {
            (State::Closed, None) => None,
            (State::Closed, Some(_)) => Some(Telling::Closed),
            (_, None) => Some(Telling::Opened),
            // Who paused it knows that nothing passes.
            (_, Some(_)) if self.pause.is_some() => None,
            (_, Some(told)) => (now.since(told) >= settings.reminder).then_some(Telling::StillOpen),
        }
    }

    /// Whether nothing is left to do until it trips again.
    pub fn is_at_rest(&self) -> bool {
        self.state == State::Closed && self.told_at.is_none()
    }

    /// Since when nothing, or not everything, passes: paused or not closed.
    pub fn hindered_since(&self) -> Option<Millis> {
        let paused = self.pause.as_ref().map(|pause| pause.at);
        match (self.opened_at, paused) {
            (Some(opened), Some(paused)) => Some(opened.min(paused)),
            (opened, paused) => opened.or(paused),
        }
    }

    /// The circuit after something happened, or `None` where that changes nothing.
    #[must_use]
    pub fn after(
        &self,
        observation: &Observation<'_>,
        now: Millis,
        settings: &Settings,
    ) -> Option<Self> {
        match (observation, &self.state) {
            (Observation::Tripped(_), State::Open(_)) => None,
            (Observation::Tripped(cause), _) => Some(self.opened(cause, now, settings)),
            (Observation::ProbeBegun, State::Open(open)) => {
                let probe_until = Some(now.plus(settings.probe_limit));
                let state = State::Open(Open {
                    probe_until,
                    ..open.clone()
                });
                Some(self.with(state))
            }
            (Observation::Probed(outcome), State::Open(open)) => {
                Some(self.with(probed(open, *outcome, now, settings)))
            }
            (Observation::Raised(full), State::HalfOpen(half)) => {
                Some(self.raised(*half, *full, now, settings))
            }
            (Observation::TellingBegun, _) => Some(Self {
                telling_until: Some(now.plus(settings.telling_limit)),
                ..self.clone()
            }),
            // What people know follows from what they were told, not from what is the case
            // now: where the two differ, the next notice is due.
            (Observation::Told(telling), _) => Some(Self {
                told_at: (*telling != Telling::Closed).then_some(now),
                telling_until: None,
                ..self.clone()
            }),
            // It was opened or closed in the meantime.
            (Observation::ProbeBegun | Observation::Probed(_) | Observation::Raised(_), _) => None,
        }
    }

    /// The circuit after a person's order that all messages pass, whatever it has
    /// seen: closed, and not paused. It opens again if it trips again.
    #[must_use]
    pub fn forced(&self, resumed: Resumed) -> Self {
        Self {
            opened_at: None,
            pause: None,
            resumed: Some(resumed),
            ..self.with(State::Closed)
        }
    }

    fn opened(&self, cause: &str, now: Millis, settings: &Settings) -> Self {
        let state = State::Open(Open {
            cause: cause.to_owned(),
            failed_probes: 0,
            untested_probes: 0,
            next_probe_at: now.plus(settings.probe_interval),
            probe_until: None,
        });
        Self {
            opened_at: self.opened_at.or(Some(now)),
            ..self.with(state)
        }
    }

    fn raised(&self, half: HalfOpen, full: u32, now: Millis, settings: &Settings) -> Self {
        let concurrency = half.concurrency.saturating_mul(2);
        if concurrency >= full {
            return Self {
                opened_at: None,
                ..self.with(State::Closed)
            };
        }
        self.with(State::HalfOpen(HalfOpen {
            concurrency,
            raise_at: now.plus(settings.ramp_interval),
        }))
    }

    fn with(&self, state: State) -> Self {
        Self {
            state,
            ..self.clone()
        }
    }
}

fn probed(open: &Open, outcome: ProbeOutcome, now: Millis, settings: &Settings) -> State {
    let half_open = || {
        State::HalfOpen(HalfOpen {
            concurrency: Settings::LEAST_CONCURRENCY,
            raise_at: now.plus(settings.ramp_interval),
        })
    };
    let still_open = |failed_probes: u32, untested_probes: u32| {
        State::Open(Open {
            cause: open.cause.clone(),
            failed_probes,
            untested_probes,
            next_probe_at: now.plus(pause_after(failed_probes, settings)),
            probe_until: None,
        })
    };
    match outcome {
        // With nothing to probe with, the next message that comes is the test.
        ProbeOutcome::Healthy | ProbeOutcome::Empty => half_open(),
        ProbeOutcome::Unhealthy => still_open(open.failed_probes.saturating_add(1), 0),
        ProbeOutcome::Untested | ProbeOutcome::Waiting => {
            let untested = open.untested_probes.saturating_add(1);
            if untested >= settings.untested_limit {
                half_open()
            } else {
                still_open(open.failed_probes, untested)
            }
        }
    }
}

/// Doubled with each probe that failed, up to a limit.
fn pause_after(failed_probes: u32, settings: &Settings) -> Duration {
    let factor = 2_u32.saturating_pow(failed_probes.saturating_sub(1));
    settings
        .probe_interval
        .saturating_mul(factor)
        .min(settings.longest_probe_interval)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Millis = Millis::new(1_800_000_000_000);
    const FULL: u32 = 10;

    fn settings() -> Settings {
        Settings::new(Duration::from_secs(30), Duration::from_secs(60))
    }

    fn after(seconds: u64) -> Millis {
        START.plus(Duration::from_secs(seconds))
    }

    #[track_caller]
    fn next(circuit: &Circuit, observation: &Observation<'_>, seconds: u64) -> Circuit {
        let next = circuit.after(observation, after(seconds), &settings());
        next.unwrap_or_else(|| panic!("{observation:?} changes nothing about {circuit:?}"))
    }

    fn open() -> Circuit {
        next(&Circuit::new("payment"), &Observation::Tripped("down"), 0)
    }

    fn half_open() -> Circuit {
        next(&open(), &Observation::Probed(ProbeOutcome::Healthy), 30)
    }

    #[test]
    fn an_opened_circuit_disables_its_mapping_and_waits_before_it_probes() {
        let open = open();
        assert_eq!(open.wanted(FULL), Wanted::Disabled);
        let told = next(&open, &Observation::Told(Telling::Opened), 1);
        assert_eq!(told.due(after(29), &settings()), None);
        assert_eq!(told.due(after(30), &settings()), Some(Due::Probe));
    }

    #[test]
    fn a_circuit_that_is_open_is_not_opened_again() {
        let again = open().after(&Observation::Tripped("again"), after(9), &settings());
        assert_eq!(again, None);
    }

    #[test]
    fn while_a_probe_is_under_way_none_is_begun() {
        let told = next(&open(), &Observation::Told(Telling::Opened), 1);
        let probing = next(&told, &Observation::ProbeBegun, 30);
        assert_eq!(probing.due(after(89), &settings()), None);
        assert_eq!(probing.due(after(90), &settings()), Some(Due::Probe));
    }

    #[test]
    fn each_failed_probe_doubles_the_wait_up_to_a_limit() {
        let mut circuit = next(&open(), &Observation::Told(Telling::Opened), 0);
        let mut now = 30;
        for wait in [30, 60, 120, 120, 120] {
            circuit = next(&circuit, &Observation::Probed(ProbeOutcome::Unhealthy), now);
            assert_eq!(circuit.due(after(now + wait - 1), &settings()), None);
            assert_eq!(
                circuit.due(after(now + wait), &settings()),
                Some(Due::Probe)
            );
            now += wait;
        }
    }

    #[test]
    fn probes_that_tell_nothing_let_the_traffic_be_the_test_in_the_end() {
        let mut circuit = open();
        for probe in 1..=5 {
            assert_eq!(circuit.wanted(FULL), Wanted::Disabled, "before {probe}");
            let outcome = Observation::Probed(ProbeOutcome::Untested);
            circuit = next(&circuit, &outcome, probe * 30);
        }
        assert_eq!(circuit.wanted(FULL), Wanted::Enabled(2));
    }

    #[test]
    fn the_concurrency_is_doubled_until_it_is_full() {
        let mut circuit = half_open();
        let mut steps = Vec::new();
        let mut now = 30;
        while circuit.state != State::Closed {
            steps.push(circuit.wanted(FULL));
            now += 60;
            circuit = next(&circuit, &Observation::Raised(FULL), now);
        }
        let expected = [2, 4, 8].map(Wanted::Enabled);
        assert_eq!(steps, expected);
        assert_eq!(circuit.wanted(FULL), Wanted::Enabled(FULL));
        assert_eq!(circuit.opened_at, None);
    }

    #[test]
    fn a_half_open_circuit_that_trips_was_open_since_its_first_opening() {
        let again = next(&half_open(), &Observation::Tripped("again"), 45);
        assert_eq!(again.wanted(FULL), Wanted::Disabled);
        assert_eq!(again.opened_at, Some(START));
    }

    #[test]
    fn people_are_told_of_the_opening_reminded_and_told_of_the_end_once_each() {
        let open = open();
        assert_eq!(
            open.due(after(0), &settings()),
            Some(Due::Tell(Telling::Opened))
        );
        let telling = next(&open, &Observation::TellingBegun, 0);
        assert_eq!(telling.due(after(1), &settings()), None);
        let told = next(&telling, &Observation::Told(Telling::Opened), 1);
        assert_eq!(told.due(after(2), &settings()), None);
        let probing = next(&told, &Observation::ProbeBegun, 900);
        assert_eq!(
            probing.due(after(901), &settings()),
            Some(Due::Tell(Telling::StillOpen))
        );
        let mut circuit = next(&told, &Observation::Probed(ProbeOutcome::Healthy), 30);
        circuit = next(&circuit, &Observation::Raised(2), 90);
        assert_eq!(
            circuit.due(after(90), &settings()),
            Some(Due::Tell(Telling::Closed))
        );
        assert!(!circuit.is_at_rest());
        let circuit = next(&circuit, &Observation::Told(Telling::Closed), 91);
        assert!(circuit.is_at_rest());
        assert_eq!(circuit.due(after(10_000), &settings()), None);
    }

    #[test]
    fn a_circuit_that_closes_while_people_are_told_of_its_opening_tells_them_of_the_end() {
        let telling = next(&open(), &Observation::TellingBegun, 0);
        let half = next(&telling, &Observation::Probed(ProbeOutcome::Healthy), 30);
        let closed = next(&half, &Observation::Raised(2), 31);
        let told = next(&closed, &Observation::Told(Telling::Opened), 32);
        assert_eq!(
            told.due(after(33), &settings()),
            Some(Due::Tell(Telling::Closed))
        );
    }

    #[test]
    fn a_circuit_that_opens_while_people_are_told_of_its_end_tells_them_of_the_opening() {
        let told = next(&half_open(), &Observation::Told(Telling::Opened), 31);
        let closed = next(&told, &Observation::Raised(2), 90);
        let telling = next(&closed, &Observation::TellingBegun, 91);
        let again = next(&telling, &Observation::Tripped("again"), 92);
        let told = next(&again, &Observation::Told(Telling::Closed), 93);
        assert_eq!(
            told.due(after(94), &settings()),
            Some(Due::Tell(Telling::Opened))
        );
    }

    fn paused(circuit: Circuit) -> Circuit {
        let pause = Some(Pause {
            at: after(5),
            by: "ada".to_owned(),
            why: "maintenance".to_owned(),
        });
        Circuit { pause, ..circuit }
    }

    fn resumed(seconds: u64) -> Resumed {
        Resumed {
            at: after(seconds),
            by: "ada".to_owned(),
        }
    }

    #[test]
    fn the_time_of_a_pause_does_not_count_towards_the_next_step_of_the_ramp() {
        let told = next(&half_open(), &Observation::Told(Telling::Opened), 31);
        let going_on = Circuit {
            resumed: Some(resumed(300)),
            ..told
        };
        assert_eq!(going_on.due(after(359), &settings()), None);
        assert_eq!(going_on.due(after(360), &settings()), Some(Due::Raise));
    }

    #[test]
    fn people_are_not_reminded_of_an_open_circuit_while_it_is_paused() {
        let told = next(&open(), &Observation::Told(Telling::Opened), 1);
        assert_eq!(paused(told).due(after(10_000), &settings()), None);
    }

    #[test]
    fn a_circuit_that_is_forced_passes_everything_and_people_hear_that_it_is_closed() {
        for circuit in [open(), half_open(), paused(open())] {
            let told = next(&circuit, &Observation::Told(Telling::Opened), 40);
            let forced = told.forced(resumed(50));
            assert_eq!(forced.wanted(FULL), Wanted::Enabled(FULL));
            assert_eq!(forced.hindered_since(), None);
            assert_eq!(
                forced.due(after(51), &settings()),
                Some(Due::Tell(Telling::Closed))
            );
        }
    }

    #[test]
    fn a_paused_circuit_passes_nothing_and_is_not_probed() {
        let pause = Some(Pause {
            at: after(5),
            by: "ada".to_owned(),
            why: "maintenance".to_owned(),
        });
        for mut circuit in [Circuit::new("payment"), open(), half_open()] {
            circuit.pause.clone_from(&pause);
            circuit.told_at = circuit.opened_at.map(|_| after(500));
            assert_eq!(circuit.wanted(FULL), Wanted::Disabled);
            assert_eq!(circuit.due(after(600), &settings()), None);
            assert!(circuit.hindered_since().is_some());
        }
    }

    fn any_state() -> impl Strategy<Value = State> {
        let moment = (0u64..1_000).prop_map(after);
        let open = (
            0u32..40,
            0u32..5,
            moment.clone(),
            proptest::option::of(moment.clone()),
        );
        let open = open.prop_map(
            |(failed_probes, untested_probes, next_probe_at, probe_until)| {
                State::Open(Open {
                    cause: String::new(),
                    failed_probes,
                    untested_probes,
                    next_probe_at,
                    probe_until,
                })
            },
        );
        let half = (2u32..1000, moment).prop_map(|(concurrency, raise_at)| {
            State::HalfOpen(HalfOpen {
                concurrency,
                raise_at,
            })
        });
        prop_oneof![Just(State::Closed), open, half]
    }

    fn any_circuit() -> impl Strategy<Value = Circuit> {
        let moment = proptest::option::of((0u64..1_000).prop_map(after));
        (any_state(), moment.clone(), moment).prop_map(|(state, told_at, telling_until)| Circuit {
            opened_at: (state != State::Closed).then_some(START),
            state,
            told_at,
            telling_until,
            ..Circuit::new("payment")
        })
    }

    proptest! {
        /// From wherever, with an outside party that serves, by waiting alone.
        #[test]
        fn no_circuit_stays_open_before_a_healthy_party(
            circuit in any_circuit(),
            full in 2u32..1000,
            untested in 0usize..8,
        ) {
            let settings = settings();
            let (mut circuit, mut now, mut untested) = (circuit, 1_000, untested);
            while !circuit.is_at_rest() {
                prop_assert!(now < 10_000, "it does not end: {circuit:?}");
                let observation = match circuit.due(after(now), &settings) {
                    None => None,
                    Some(Due::Tell(telling)) => Some(Observation::Told(telling)),
                    Some(Due::Raise) => Some(Observation::Raised(full)),
                    Some(Due::Probe) if untested > 0 => {
                        untested -= 1;
                        Some(Observation::Probed(ProbeOutcome::Waiting))
                    }
                    Some(Due::Probe) => Some(Observation::Probed(ProbeOutcome::Healthy)),
                };
                if let Some(observation) = observation {
                    circuit = next(&circuit, &observation, now);
                }
                now += 5;
            }
            prop_assert_eq!(circuit.wanted(full), Wanted::Enabled(full));
        }

        #[test]
        fn the_mapping_never_gets_more_than_the_ramp_allows(
            circuit in any_circuit(),
            full in 2u32..1000,
        ) {
            let wanted = circuit.wanted(full);
            match &circuit.state {
                State::Closed => prop_assert_eq!(wanted, Wanted::Enabled(full)),
                State::Open(_) => prop_assert_eq!(wanted, Wanted::Disabled),
                State::HalfOpen(half) => {
                    prop_assert_eq!(wanted, Wanted::Enabled(half.concurrency.min(full)));
                }
            }
        }

        /// Only a probe, or its absence of messages, leads out of the open state,
        /// and only to the smallest concurrency.
        #[test]
        fn an_open_circuit_leads_to_the_least_concurrency_alone(
            outcome in prop_oneof![
                Just(ProbeOutcome::Healthy), Just(ProbeOutcome::Unhealthy),
                Just(ProbeOutcome::Untested), Just(ProbeOutcome::Waiting), Just(ProbeOutcome::Empty),
            ],
            circuit in any_circuit(),
        ) {
            if let State::Open(_) = circuit.state {
                let next = next(&circuit, &Observation::Probed(outcome), 2_000);
                let allowed = [Wanted::Disabled, Wanted::Enabled(Settings::LEAST_CONCURRENCY)];
                prop_assert!(allowed.contains(&next.wanted(1000)));
            }
        }
    }
}
