//! Intake: requests under one idempotency key, with the real API and its real adapter.
//!
//! Apart from the rest, because an order's way begins where this ends: with the one item
//! that is the order, what its key stands for, and its first event.

mod process;
mod properties;
mod scenario;
mod words;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use stateright::{Model, Property};

use crate::explored::numbered;
use crate::interned::Interned;
use crate::tree::{Next, Place, Tree};
pub use process::Answer;
use process::{Call, Function, Put, Reply, Start};
use properties::Facts;
pub use properties::INTAKE;
pub use scenario::{Mishaps, Requests, Sabotage, expiring, quick, sabotaged, thorough};

/// The model.
#[derive(Debug)]
pub struct Intake {
    /// What is explored.
    pub scenario: Requests,
    functions: Tree<Function>,
    items: Interned<String>,
    puts: Interned<Put>,
    answers: Interned<Answer>,
    facts: Mutex<HashMap<u16, Arc<Facts>>>,
}

/// One moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Moment {
    /// The item of the key's order, by its number.
    item: Option<u16>,
    /// The first item that there was.
    first: Option<u16>,
    /// Requests to the table that are on their way, with nobody waiting.
    late: Vec<u16>,
    /// Invocations in mid-flight, sorted.
    pub runs: Vec<Run>,
    /// What clients were told: the client, and the answer by its number.
    told: Vec<(u8, u16)>,
    /// How much more may go wrong.
    pub left: Mishaps,
}

/// An invocation of the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Run {
    /// Whose request it serves.
    pub client: u8,
    /// How far it has come.
    place: Place,
}

/// Something that happens. Numbers of runs and of late requests are places in the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A client sends its request.
    Send(u8),
    /// An invocation goes one call further.
    Go(u8),
    /// A late request reaches the table.
    Land(u8),
    /// The order goes on: another part of the system writes its end.
    Advance,
    /// An invocation dies.
    Crash(u8),
    /// A call gets no answer.
    NoAnswer(u8, Request),
    /// An answer does not reach its client.
    LoseAnswer(u8),
    /// The item expires, where the model is broken so.
    Expire,
}

/// What became of a request that gets no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// It is lost.
    Lost,
    /// It had its effect.
    Landed,
    /// It is on its way still.
    Late,
}

impl Intake {
    /// A model of a scenario.
    pub fn new(scenario: Requests) -> Self {
        message_worker::emf::silence();
        Self {
            scenario,
            functions: Tree::default(),
            items: Interned::written(),
            puts: Interned::written(),
            answers: Interned::written(),
            facts: Mutex::default(),
        }
    }

    fn is(&self, sabotage: Sabotage) -> bool {
        self.scenario.sabotage == Some(sabotage)
    }

    /// What is to be known of an item. It is found out once.
    fn facts(&self, number: u16) -> Arc<Facts> {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        let found = || Arc::new(Facts::of(&self.items.value(number)));
        Arc::clone(facts.entry(number).or_insert_with(found))
    }

    fn answer(&self, number: u16) -> Arc<Answer> {
        self.answers.value(number)
    }

    fn send(&self, moment: &mut Moment, client: u8) {
        let start = Start {
            client,
            order: self.scenario.orders[usize::from(client)],
        };
        moment.runs.push(Run {
            client,
            place: self.functions.start(&start),
        });
    }

    fn hear(&self, moment: &mut Moment, run: usize, reply: &Reply) {
        let run = &mut moment.runs[run];
        run.place = self.functions.after(run.place, reply);
    }

    fn call(&self, run: Run) -> Arc<Next<Call>> {
        self.functions.next(run.place)
    }

    fn go(&self, moment: &mut Moment, run: usize) {
        match &*self.call(moment.runs[run]) {
            Next::Call(Call::Put(request)) => {
                let reply = self.put(moment, request);
                self.hear(moment, run, &reply);
            }
            Next::Call(Call::Answer(answer)) => {
                let answer = self.answers.number(answer.clone());
                let told = (moment.runs[run].client, answer);
                if !moment.told.contains(&told) {
                    moment.told.push(told);
                }
                moment.runs.remove(run);
            }
            Next::Ended { .. } => drop(moment.runs.remove(run)),
        }
    }

    /// DynamoDB, as far as the API needs it: a put, and the one condition that it knows.
    fn put(&self, moment: &mut Moment, request: &Put) -> Reply {
        let is_conditional = match request.condition.as_deref() {
            Some("attribute_not_exists(orderId)") => true,
            None => false,
            Some(other) => panic!("the model does not know the condition {other}"),
        };
        if let Some(known) = moment.item
            && is_conditional
            && !self.is(Sabotage::Unconditional)
        {
            return Reply::Refused((*self.items.value(known)).clone());
        }
        let number = self.items.number(self.sabotaged(&request.item));
        moment.item = Some(number);
        moment.first.get_or_insert(number);
        Reply::Done
    }

    fn sabotaged(&self, item: &str) -> String {
        let (attribute, value) = match self.scenario.sabotage {
            Some(Sabotage::NoOutbox) => ("timeline", json!({ "L": [] })),
            Some(Sabotage::NoFingerprint) => ("requestFingerprint", json!({ "S": "" })),
            _ => return item.to_owned(),
        };
        let mut item: Value = serde_json::from_str(item).unwrap_or_default();
        item[attribute] = value;
        item.to_string()
    }

    /// The saga completes the order.
    fn advance(&self, moment: &mut Moment) {
        let Some(number) = moment.item else { return };
        let completed = self.facts(number).completed.clone();
        moment.item = Some(self.items.number(completed));
    }

    fn is_completed(&self, number: u16) -> bool {
        self.facts(number).is_completed
    }

    fn lose(&self, moment: &mut Moment, run: usize, request: Request) {
        moment.left.lost_answers -= 1;
        if let Next::Call(Call::Put(put)) = &*self.call(moment.runs[run]) {
            match request {
                Request::Lost => {}
                Request::Landed => drop(self.put(moment, put)),
                Request::Late => moment.late.push(self.puts.number(put.clone())),
            }
        }
        self.hear(moment, run, &Reply::NoAnswer);
    }

    fn apply(&self, moment: &mut Moment, step: Step) {
        match step {
            Step::Send(client) => {
                if self.is_repeat(moment, client) {
                    moment.left.repeats -= 1;
                }
                self.send(moment, client);
            }
            Step::Go(run) => self.go(moment, usize::from(run)),
            Step::Land(late) => {
                let request = moment.late.remove(usize::from(late));
                drop(self.put(moment, &self.puts.value(request)));
            }
            Step::Advance => {
                moment.left.advances -= 1;
                self.advance(moment);
            }
            Step::Crash(run) => {
                moment.left.crashes -= 1;
                moment.runs.remove(usize::from(run));
            }
            Step::NoAnswer(run, request) => self.lose(moment, usize::from(run), request),
            Step::LoseAnswer(run) => {
                moment.left.lost_answers -= 1;
                moment.runs.remove(usize::from(run));
            }
            Step::Expire => moment.item = None,
        }
    }

    /// Whether a client has its answer: one that says to try again is none.
    fn is_answered(&self, moment: &Moment, client: u8) -> bool {
        let mut told = moment.told.iter().filter(|(whose, _)| *whose == client);
        told.any(|(_, answer)| self.answer(*answer).status != UNAVAILABLE)
    }

    /// A client need not send again while its request is under way, or when it was answered.
    fn is_repeat(&self, moment: &Moment, client: u8) -> bool {
        let mut runs = moment.runs.iter();
        runs.any(|run| run.client == client) || self.is_answered(moment, client)
    }

    /// What happens by itself.
    fn by_itself(&self, moment: &Moment, steps: &mut Vec<Step>) {
        for (index, _) in numbered(&moment.runs) {
            steps.push(Step::Go(index));
        }
        for (index, _) in numbered(&moment.late) {
            steps.push(Step::Land(index));
        }
        for (client, _) in numbered(self.scenario.orders) {
            if !self.is_repeat(moment, client) {
                steps.push(Step::Send(client));
            }
        }
    }

    /// What goes wrong, as often as the scenario allows.
    fn mishaps(&self, moment: &Moment, steps: &mut Vec<Step>) {
        let left = moment.left;
        for (client, _) in numbered(self.scenario.orders) {
            if left.repeats > 0 && self.is_repeat(moment, client) {
                steps.push(Step::Send(client));
            }
        }
        if left.advances > 0 && moment.item.is_some_and(|item| !self.is_completed(item)) {
            steps.push(Step::Advance);
        }
        if self.is(Sabotage::Expires) && moment.item.is_some() {
            steps.push(Step::Expire);
        }
        for (index, run) in numbered(&moment.runs) {
            if left.crashes > 0 {
                steps.push(Step::Crash(index));
            }
            if left.lost_answers > 0 {
                let lost = |request| Step::NoAnswer(index, request);
                match &*self.call(*run) {
                    Next::Call(Call::Put(_)) => {
                        let all = [Request::Lost, Request::Landed, Request::Late];
                        steps.extend(all.map(lost));
                    }
                    Next::Call(Call::Answer(_)) => steps.push(Step::LoseAnswer(index)),
                    Next::Ended { .. } => {}
                }
            }
        }
    }
}

/// The status that asks to try again.
const UNAVAILABLE: i64 = 503;

impl Model for Intake {
    type State = Moment;
    type Action = Step;

    fn init_states(&self) -> Vec<Moment> {
        vec![Moment {
            item: None,
            first: None,
            late: Vec::new(),
            runs: Vec::new(),
            told: Vec::new(),
            left: self.scenario.mishaps,
        }]
    }

    fn actions(&self, moment: &Moment, steps: &mut Vec<Step>) {
        self.by_itself(moment, steps);
        self.mishaps(moment, steps);
    }

    fn next_state(&self, moment: &Moment, step: Step) -> Option<Moment> {
        let mut next = moment.clone();
        self.apply(&mut next, step);
        next.late.sort_unstable();
        next.runs.sort_unstable();
        next.told.sort_unstable();
        (next != *moment).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}
