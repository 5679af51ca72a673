//! A path in words.

use super::process::{Call, OPERATORS, plan_of};
use super::{DeadLetters, Kind, Message, Moment, Run, Step, properties};
use crate::explored::{Explored, Part};
use crate::tree::Next;

impl Explored for DeadLetters {
    fn parts(&self, words: &str) -> &'static [Part<Self>] {
        properties::parts(words)
    }

    fn progress(&self, moment: &Moment, steps: &mut Vec<Step>) {
        self.by_itself(moment, steps);
    }

    fn say(&self, moment: &Moment, step: Step) -> String {
        let run = |index: u8| who(&moment.runs[usize::from(index)]);
        let call = |index: u8| self.call(&moment.runs[usize::from(index)]);
        let message = |index: u8| name(&moment.messages[usize::from(index)]);
        match step {
            Step::Deliver(index) => format!("the queue delivers {}", message(index)),
            Step::Redrive(index) => format!("the queue's policy moves {}", message(index)),
            Step::Drain => "a drain begins".to_owned(),
            Step::Operate { operator, begins } => {
                let what = if begins { "makes" } else { "resumes" };
                let who = OPERATORS[usize::from(operator)];
                format!("{who} {what} {}", plan_of(operator))
            }
            Step::Automatic => "the automatic replay begins".to_owned(),
            Step::Person(act, record) => {
                let number = moment.failures[usize::from(record)];
                format!("a person: {act:?} of {}", self.failures.value(number).id)
            }
            Step::Go(index) => format!("{} {}", run(index), call(index)),
            Step::Receive {
                run: index,
                message: at,
            } => {
                format!("{} receives {}", run(index), message(at))
            }
            Step::End(index) => format!("{} ends", run(index)),
            Step::Crash(index) => format!("CRASH: {} dies before it {}", run(index), call(index)),
            Step::Fail(index) => format!("FAULT: {} fails", run(index)),
            Step::NoAnswer { run: index, landed } => {
                let effect = if landed { "takes effect" } else { "is lost" };
                format!("LOST ANSWER: {} {}; it {effect}", run(index), call(index))
            }
            Step::NotSent(index) => format!("REFUSED: {} {}", run(index), call(index)),
        }
    }

    fn describe(&self, moment: &Moment) -> Vec<String> {
        let messages = moment.messages.iter().map(name);
        let store = self.store(moment).map(|failure| {
            let replay = failure.replay.as_ref().map(|replay| replay.id.as_str());
            let (id, status, failed) = (&failure.id, failure.status, failure.failed);
            format!("record {id}: {status}, failed {failed}, replay {replay:?}")
        });
        let lines = messages.chain(store).map(|line| format!("      => {line}"));
        lines
            .chain([format!("      => {:?}", moment.seen)])
            .collect()
    }
}

impl DeadLetters {
    fn call(&self, run: &Run) -> String {
        let next = self.processes.next(run.place);
        let Next::Call(call) = &*next else {
            return "ends".to_owned();
        };
        match call {
            Call::Handle => "does what the message asks for".to_owned(),
            Call::Move(_) => "moves the message to the dead letters".to_owned(),
            Call::Get(id) => format!("reads {id}"),
            Call::Find(_) => "searches the store".to_owned(),
            Call::Create(new) => format!("creates {}", new.id),
            Call::Replace(next) => format!(
                "stores version {} of {}: {}",
                next.version, next.id, next.status
            ),
            Call::ReplaceAndCreate(both) => {
                format!("creates {} in place of {}", both.1.id, both.0.id)
            }
            Call::GetGroup(_) => "reads the group".to_owned(),
            Call::PutGroup(_) => "stores the group".to_owned(),
            Call::CreatePlan(_) => "stores its plan".to_owned(),
            Call::GetPlan(_) => "reads its plan".to_owned(),
            Call::PutProgress(_) => "stores where its plan stands".to_owned(),
            Call::Receive => "finds no dead letter".to_owned(),
            Call::Delete(message) => format!("deletes {message}"),
            Call::Send { failure, .. } => format!("sends the message of {failure}"),
        }
    }
}

fn who(run: &Run) -> String {
    match run.kind {
        Kind::Worker => "the worker".to_owned(),
        Kind::Drain => "the drain".to_owned(),
        Kind::Operator(operator, run) => {
            format!("{} (process {run})", OPERATORS[usize::from(operator)])
        }
        Kind::Automatic => "the automatic replay".to_owned(),
        Kind::Person => "the person".to_owned(),
    }
}

fn name(message: &Message) -> String {
    let queue = if message.dead {
        "dead letter"
    } else {
        "message"
    };
    let replayed = if message.replayed.is_some() {
        ", a replay"
    } else {
        ""
    };
    format!("{queue} {}{replayed}", message.number)
}
