//! Time in the model of the circuit breaker: it always is [`NOW`], and each tick brings
//! everything that is due nearer. So a state does not depend on how long it took.

use std::time::Duration;

use circuit::{Circuit, HalfOpen, Open, Pause, Resumed, Settings, State};
use idempotency::Millis;

use crate::worker::NOW;

/// The unit of time.
pub(super) const TICK: Duration = Duration::from_secs(60);

/// A probe's claim lasts for so many ticks.
pub(super) const PROBE_LIMIT: u8 = 2;

/// The concurrency of a closed circuit: the traffic returns in two steps, 2 and 4.
pub(super) const FULL: u32 = 5;

/// After so many probes in a row that told nothing, the traffic is the test.
const UNTESTED_LIMIT: u32 = 2;

/// The pace of a recovery, in ticks.
pub(super) fn settings() -> Settings {
    Settings {
        longest_probe_interval: TICK * 2,
        probe_limit: TICK * u32::from(PROBE_LIMIT),
        untested_limit: UNTESTED_LIMIT,
        telling_limit: TICK,
        // People are told of the opening and of the end; reminders change nothing else.
        reminder: Duration::from_secs(365 * 24 * 3600),
        ..Settings::new(TICK, TICK)
    }
}

/// The moment at which a program of this age is.
pub(super) fn moment(age: u8) -> Millis {
    NOW.plus(TICK * u32::from(age))
}

/// A circuit as a program of this age reads it.
pub(super) fn at_age(circuit: &Circuit, age: u8) -> Circuit {
    let later = TICK * u32::from(age);
    moved(circuit.clone(), |moment| moment.plus(later))
}

/// A circuit that a program of this age has written, as it is stored.
pub(super) fn from_age(circuit: Circuit, age: u8) -> Circuit {
    let earlier = TICK * u32::from(age);
    plain(moved(circuit, |moment| minus(moment, earlier)))
}

/// A circuit one tick later.
pub(super) fn after_a_tick(circuit: Circuit) -> Circuit {
    plain(moved(circuit, |moment| minus(moment, TICK)))
}

fn minus(moment: Millis, earlier: Duration) -> Millis {
    let earlier = u64::try_from(earlier.as_millis()).unwrap_or(u64::MAX);
    Millis::new(moment.get().saturating_sub(earlier))
}

fn moved(circuit: Circuit, to: impl Fn(Millis) -> Millis) -> Circuit {
    let state = match circuit.state {
        State::Closed => State::Closed,
        State::Open(open) => State::Open(Open {
            next_probe_at: to(open.next_probe_at),
            probe_until: open.probe_until.map(&to),
            ..open
        }),
        State::HalfOpen(half) => State::HalfOpen(HalfOpen {
            raise_at: to(half.raise_at),
            ..half
        }),
    };
    Circuit {
        state,
        telling_until: circuit.telling_until.map(&to),
        resumed: circuit.resumed.map(|resumed| Resumed {
            at: to(resumed.at),
            ..resumed
        }),
        ..circuit
    }
}

/// Without what makes no difference: how long ago something happened or was due, who
/// did it and why, and counts beyond those that the rules tell apart.
pub(super) fn plain(circuit: Circuit) -> Circuit {
    let due = |moment: Millis| moment.max(NOW);
    let state = match circuit.state {
        State::Closed => State::Closed,
        State::Open(open) => State::Open(Open {
            cause: String::new(),
            failed_probes: open.failed_probes.min(2),
            untested_probes: open.untested_probes.min(UNTESTED_LIMIT + 1),
            next_probe_at: due(open.next_probe_at),
            probe_until: open.probe_until.map(due),
        }),
        State::HalfOpen(half) => State::HalfOpen(HalfOpen {
            concurrency: half.concurrency.min(4 * FULL),
            raise_at: due(half.raise_at),
        }),
    };
    let is_half_open = matches!(state, State::HalfOpen(_));
    // A resumption puts the next step of the ramp off, and does nothing else.
    let counts = |resumed: &Resumed| is_half_open && resumed.at.plus(TICK) > NOW;
    Circuit {
        version: 0,
        state,
        opened_at: circuit.opened_at.map(|_| NOW),
        told_at: circuit.told_at.map(|_| NOW),
        telling_until: circuit.telling_until.map(due),
        pause: circuit.pause.map(|_| pause()),
        resumed: circuit.resumed.filter(counts).map(|it| resumed(it.at)),
        ..circuit
    }
}

/// A person's order to stop.
pub(super) fn pause() -> Pause {
    Pause {
        at: NOW,
        by: "ada".to_owned(),
        why: String::new(),
    }
}

/// A person's order to go on.
pub(super) fn resumed(at: Millis) -> Resumed {
    Resumed {
        at,
        by: "ada".to_owned(),
    }
}
