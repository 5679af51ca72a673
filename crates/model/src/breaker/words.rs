//! A path in words.

use circuit::{Circuit, State};

use super::process::Call;
use super::{Breaking, Kind, Moment, Run, Step, properties};
use crate::explored::{Explored, Part};
use crate::tree::Next;
use crate::worker::NOW;

impl Explored for Breaking {
    fn parts(&self, words: &str) -> &'static [Part<Self>] {
        properties::parts(words)
    }

    fn progress(&self, moment: &Moment, steps: &mut Vec<Step>) {
        self.by_itself(moment, steps);
    }

    fn is_at_rest(&self, moment: &Moment) -> bool {
        properties::is_at_rest(self, moment)
    }

    fn say(&self, moment: &Moment, step: Step) -> String {
        let run = |index: u8| who(&moment.runs[usize::from(index)]);
        let call = |index: u8| self.call(&moment.runs[usize::from(index)]);
        let message = |index: u8| moment.messages[usize::from(index)].number;
        match step {
            Step::Tick => "time passes".to_owned(),
            Step::Look => "the schedule has a controller look".to_owned(),
            Step::Hear => "the stream tells a controller".to_owned(),
            Step::Deliver(index, memory) => {
                let number = message(index);
                format!("the mapping hands message {number} to a worker that has seen {memory:?}")
            }
            Step::Redrive(index) => format!("the queue's policy moves message {}", message(index)),
            Step::Changed => "the change of the mapping is done".to_owned(),
            Step::Recover => "the outside party serves again".to_owned(),
            Step::Go(index) => format!("{} {}", run(index), call(index)),
            Step::HandOver(index, memory) => {
                format!("{} {} that has seen {memory:?}", run(index), call(index))
            }
            Step::End(index) => format!("{} ends", run(index)),
            Step::Fail => "OUTAGE: the outside party is down".to_owned(),
            Step::TimeOut(index) => format!("TIME-OUT: {} {}", run(index), call(index)),
            Step::Crash(index) => format!("CRASH: {} dies before it {}", run(index), call(index)),
            Step::NoAnswer { run: index, landed } => {
                let effect = if landed { "takes effect" } else { "is lost" };
                format!("LOST ANSWER: {} {}; it {effect}", run(index), call(index))
            }
            Step::Order(act) => format!("a person: {act:?}"),
            Step::ByHand => "a person changes the mapping by hand".to_owned(),
        }
    }

    fn describe(&self, moment: &Moment) -> Vec<String> {
        let circuit = told(&self.circuit(moment));
        let mapping = moment.mapping;
        let lines = [
            circuit,
            format!("mapping: {mapping:?}, changing {}", moment.changing),
            format!("messages: {:?}, dead {}", moment.messages, moment.dead),
            format!("{:?}", moment.seen),
        ];
        lines.map(|line| format!("      => {line}")).to_vec()
    }
}

impl Breaking {
    fn call(&self, run: &Run) -> String {
        let next = self.processes.next(run.place);
        let Next::Call(call) = &*next else {
            return "ends".to_owned();
        };
        match call {
            Call::Load => "reads the circuit".to_owned(),
            Call::Save(next) => format!("stores the {}", told(next)),
            Call::Trip => "opens the circuit".to_owned(),
            Call::Pause => "writes the pause".to_owned(),
            Call::Resume => "ends the pause".to_owned(),
            Call::Look => "looks at the mapping".to_owned(),
            Call::Set(wanted) => format!("makes the mapping {wanted:?}"),
            Call::Take => "takes a message".to_owned(),
            Call::HandOver(message) => format!("hands message {message} to a worker"),
            Call::Copy(message) => format!("sends a copy of message {message}"),
            Call::Delete(message) => format!("deletes message {message}"),
            Call::Ask => "asks the outside party".to_owned(),
            Call::Resend => "puts a fresh copy of its message into the queue".to_owned(),
            Call::Delay => "lets its message wait".to_owned(),
            Call::DeadLetter => "moves its message to the dead letters".to_owned(),
            Call::Report(answer) => format!("says of the probe: {answer:?}"),
        }
    }
}

fn who(run: &Run) -> &'static str {
    match run.kind {
        Kind::Controller => "the controller",
        Kind::Person => "the person's command",
        Kind::Worker => "the worker",
        Kind::Probed => "the probed worker",
    }
}

/// A circuit in a line, with what is due, in seconds from now.
fn told(circuit: &Circuit) -> String {
    let seconds = |moment: idempotency::Millis| moment.since(NOW).as_secs();
    let state = match &circuit.state {
        State::Closed => "closed".to_owned(),
        State::Open(open) => format!(
            "open ({} failed, {} untested, next probe in {} s, one under way until {:?} s)",
            open.failed_probes,
            open.untested_probes,
            seconds(open.next_probe_at),
            open.probe_until.map(seconds)
        ),
        State::HalfOpen(half) => {
            let (concurrency, raise_at) = (half.concurrency, seconds(half.raise_at));
            format!("half-open ({concurrency}, more in {raise_at} s)")
        }
    };
    let paused = if circuit.pause.is_some() {
        ", paused"
    } else {
        ""
    };
    let told = if circuit.told_at.is_some() {
        ", people know"
    } else {
        ""
    };
    format!("circuit: {state}{paused}{told}")
}
