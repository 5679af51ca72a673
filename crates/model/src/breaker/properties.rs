//! What must hold of the circuit breaker.

use circuit::{State, Switch};
use stateright::Property;

use super::process::{Call, StepRecord};
use super::time::{FULL, PROBE_LIMIT};
use super::{Breaking, Kind, Moment, Run, with};
use crate::explored::invariants::MESSAGES;
use crate::explored::{Part, all_hold};
use crate::tree::Next;
use crate::worker::NOW;

/// What the circuit breaker promises.
pub const CIRCUIT: &str = "A circuit lets through what its state allows, is probed once at a time, keeps a person's pause, and closes in steps.";

const MESSAGES_PARTS: &[Part<Breaking>] = &[(
    "no message is lost by a pause, a probe or an open circuit",
    |model, moment| (0..model.scenario.messages).all(|body| is_kept(moment, body)),
)];

const CIRCUIT_PARTS: &[Part<Breaking>] = &[
    ("one probe at a time", |model, moment| {
        let runs = moment.runs.iter();
        runs.filter(|run| is_probing(model, run)).count() <= 1
    }),
    (
        "once it was looked after, a mapping lets through what its circuit wants",
        |model, moment| {
            let is_quiet = moment.seen.settled && is_nobody_at_it(moment) && !moment.changing;
            !is_quiet || is_as_wanted(model, moment)
        },
    ),
    (
        "a pause is begun and ended by a person only",
        |model, moment| model.circuit(moment).pause.is_some() == moment.seen.paused,
    ),
    ("no probe begins during a pause", |_, moment| {
        !moment.seen.probed_in_pause
    }),
    (
        "a circuit lets more through one step at a time",
        |_, moment| !moment.seen.jumped,
    ),
];

/// What must always hold, and what must be possible for it to mean something.
pub(super) fn all() -> Vec<Property<Breaking>> {
    vec![
        Property::always(MESSAGES, |model, moment| {
            all_hold(MESSAGES_PARTS, model, moment)
        }),
        Property::always(CIRCUIT, |model, moment| {
            all_hold(CIRCUIT_PARTS, model, moment)
        }),
        Property::sometimes(
            "a circuit is opened, and closed in the end",
            |model, moment| {
                let circuit = model.circuit(moment);
                circuit.state == State::Closed && circuit.told_at.is_some()
            },
        ),
        Property::sometimes("a mapping is disabled", |_, moment: &Moment| {
            moment.mapping.switch == Switch::Disabled
        }),
    ]
}

/// The parts of a property.
pub(super) fn parts(words: &str) -> &'static [Part<Breaking>] {
    match words {
        MESSAGES => MESSAGES_PARTS,
        CIRCUIT => CIRCUIT_PARTS,
        _ => &[],
    }
}

fn is_kept(moment: &Moment, body: u8) -> bool {
    let bit = 1 << body;
    let is_gone = moment.seen.processed & bit == 0 && moment.dead & bit == 0;
    !is_gone || moment.messages.iter().any(|message| message.body == body)
}

/// Between the claim and the end of a probe, while the claim lasts.
fn is_probing(model: &Breaking, run: &Run) -> bool {
    let next = model.processes.next(run.place);
    let Next::Call(call) = &*next else {
        return false;
    };
    let is_at_it = matches!(
        call,
        Call::Take | Call::HandOver(_) | Call::Copy(_) | Call::Delete(_)
    );
    is_at_it && run.kind == Kind::Controller && run.age < PROBE_LIMIT
}

fn is_nobody_at_it(moment: &Moment) -> bool {
    let mut runs = moment.runs.iter();
    !runs.any(|run| matches!(run.kind, Kind::Controller | Kind::Person))
}

fn is_as_wanted(model: &Breaking, moment: &Moment) -> bool {
    let wanted = model.circuit(moment).wanted(FULL);
    with(moment.mapping, wanted) == moment.mapping
}

/// Nothing more happens by itself that changes anything: either all is well, or a
/// person has said that nothing is to pass.
pub(super) fn is_at_rest(model: &Breaking, moment: &Moment) -> bool {
    let circuit = model.circuit(moment);
    let far = NOW.plus(std::time::Duration::from_secs(24 * 3600));
    let is_quiet = moment.runs.is_empty() && !moment.changing && moment.serves;
    let has_nothing_due = circuit.due(far, &super::settings()).is_none();
    let is_stuck = model.scenario.records == StepRecord::Claimed || model.scenario.workers == 0;
    let is_done = moment.messages.is_empty() || is_stuck;
    is_quiet
        && has_nothing_due
        && is_as_wanted(model, moment)
        && (circuit.pause.is_some() || (circuit.is_at_rest() && is_done))
}
