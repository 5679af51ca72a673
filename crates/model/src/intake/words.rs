//! A path in words.

use super::{Call, Intake, Moment, Step, properties};
use crate::explored::{Explored, Part};
use crate::tree::Next;

impl Explored for Intake {
    fn parts(&self, words: &str) -> &'static [Part<Self>] {
        properties::parts(words)
    }

    fn progress(&self, moment: &Moment, steps: &mut Vec<Step>) {
        self.by_itself(moment, steps);
    }

    fn say(&self, moment: &Moment, step: Step) -> String {
        let call = |index: u8| {
            let run = moment.runs[usize::from(index)];
            let what = match &*self.call(run) {
                Next::Call(Call::Put(_)) => "asks the table to store the order".to_owned(),
                Next::Call(Call::Answer(answer)) => format!("answers {}", answer.status),
                Next::Ended { .. } => "ends".to_owned(),
            };
            format!("the function, for client {}, {what}", run.client)
        };
        match step {
            Step::Send(client) => {
                let order = self.scenario.orders[usize::from(client)];
                format!("client {client} sends order {order}")
            }
            Step::Go(run) => call(run),
            Step::Land(_) => "a late request reaches the table".to_owned(),
            Step::Advance => "the order goes on, and is completed".to_owned(),
            Step::Crash(run) => format!("CRASH, before {}", call(run)),
            Step::NoAnswer(run, request) => format!("NO ANSWER, {request:?}: {}", call(run)),
            Step::LoseAnswer(run) => format!("LOST ANSWER: {}", call(run)),
            Step::Expire => "the order expires".to_owned(),
        }
    }

    fn describe(&self, moment: &Moment) -> Vec<String> {
        let item = moment.item.map(|item| (*self.items.value(item)).clone());
        let told = moment.told.iter();
        let told = told.map(|(client, answer)| {
            let answer = self.answer(*answer);
            format!("client {client} was told {} {}", answer.status, answer.body)
        });
        let stored = format!("stored: {}", item.unwrap_or_default());
        let lines = [stored].into_iter().chain(told);
        lines.map(|line| format!("      => {line}")).collect()
    }
}
