//! Dead letters and their replays, with the real worker, drain and replays.
//!
//! Apart from the protocol of the saga, because nothing here depends on what a message
//! asks for: to process it is one step, which succeeds or fails.

mod process;
mod properties;
mod scenario;
mod words;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use failures::{
    Actor, Change, DeadLetter, Failure, FailureId, Group, GroupId, Letter, Plan, Query, ReplayId,
    Status,
};
use message_worker::FailureRecord;
use stateright::{Model, Property};

use crate::explored::numbered;
use crate::interned::Interned;
use crate::tree::{Next, Place, Tree};
pub use process::Act;
use process::{CONSUMER, Call, DEAD_LETTERS, Processes, Reply, Start, body, plan_of};
pub use scenario::{Letters, Mishaps, Sabotage, quick, sabotaged, thorough};

/// The model.
#[derive(Debug)]
pub struct DeadLetters {
    /// What is explored.
    pub scenario: Letters,
    processes: Tree<Processes>,
    failures: Interned<Failure>,
    groups: Interned<Group>,
    plans: Interned<Plan>,
    records: Interned<FailureRecord>,
    names: Names,
    bodies: Names,
}

/// Texts with their numbers.
#[derive(Debug, Default)]
struct Names(Mutex<Vec<String>>);

impl Names {
    #[allow(clippy::cast_possible_truncation, reason = "there are some tens")]
    fn number(&self, name: &str) -> u8 {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = names.iter().position(|known| known == name);
        let index = known.unwrap_or_else(|| {
            names.push(name.to_owned());
            names.len() - 1
        });
        index as u8
    }

    fn name(&self, number: u8) -> String {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(usize::from(number)).cloned().unwrap_or_default()
    }
}

/// One moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Moment {
    /// Messages in the consumer's queue and its dead-letter queue.
    pub messages: Vec<Message>,
    /// Programs in mid-flight, sorted.
    pub runs: Vec<Run>,
    /// The failure store, by the numbers of its records.
    pub failures: Vec<u16>,
    /// The groups, by their numbers.
    pub groups: Vec<u16>,
    /// The plans, by their numbers.
    pub plans: Vec<u16>,
    /// How many messages were ever sent: the next one's number.
    pub sent: u8,
    /// Ghosts.
    pub seen: Seen,
    /// How much more may go wrong, or be asked for.
    pub left: Mishaps,
}

/// Ghosts: what has happened, as the stores do not tell.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Seen {
    /// Which messages were processed, a bit for each.
    pub processed: u8,
    /// How often each message was given up as a replay.
    pub failed_again: [u8; 4],
    /// The records and replays of which a message was given up.
    pub came_back: Vec<(u8, u8)>,
    /// A dead letter was deleted that no record has.
    pub deleted_unstored: bool,
    /// A message was sent for a replay that does not hold its record.
    pub sent_unclaimed: bool,
    /// A message was sent beside that of another replay.
    pub sent_beside: bool,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Message {
    /// Its number, which is its id.
    pub number: u8,
    /// Which of the messages it is: what it says.
    pub body: u8,
    /// Whether it is in the dead-letter queue.
    pub dead: bool,
    /// Whether a worker has received it.
    pub received: bool,
    /// The numbers of the names of record and replay that it carries.
    pub replayed: Option<(u8, u8)>,
    /// What a worker said when it moved it, by number.
    pub why: Option<u16>,
}

/// A program in mid-flight.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Run {
    /// What it is.
    pub kind: Kind,
    /// How far it has come.
    pub place: Place,
    /// The message that it was begun with.
    pub message: Option<Message>,
    /// The messages that nobody else receives while it has them.
    pub holds: Vec<u8>,
}

/// What a program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The consumer's worker.
    Worker,
    /// A drain.
    Drain,
    /// An operator's replay; the second number tells two processes of one plan apart.
    Operator(u8, u8),
    /// The automatic replay.
    Automatic,
    /// A person.
    Person,
}

/// Something that happens. Numbers of messages, records and runs are places in the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The queue delivers a message.
    Deliver(u8),
    /// The queue's own policy moves a message that came back.
    Redrive(u8),
    /// A drain begins.
    Drain,
    /// An operator makes a plan, or resumes it.
    Operate {
        /// Which operator.
        operator: u8,
        /// Whether the plan is to be made.
        begins: bool,
    },
    /// The automatic replay begins.
    Automatic,
    /// A person changes a record.
    Person(Act, u8),
    /// A program goes one call further.
    Go(u8),
    /// A drain receives a dead letter.
    Receive {
        /// Which drain.
        run: u8,
        /// Which message.
        message: u8,
    },
    /// A program ends.
    End(u8),
    /// A program dies.
    Crash(u8),
    /// The handler fails.
    Fail(u8),
    /// A call gets no answer.
    NoAnswer {
        /// Whose.
        run: u8,
        /// Whether it had its effect.
        landed: bool,
    },
    /// The queue refuses a message.
    NotSent(u8),
}

impl DeadLetters {
    /// A model of a scenario.
    pub fn new(scenario: Letters) -> Self {
        Self {
            scenario,
            processes: Tree::default(),
            failures: Interned::written(),
            groups: Interned::written(),
            plans: Interned::written(),
            records: Interned::written(),
            names: Names::default(),
            bodies: Names::default(),
        }
    }

    fn is(&self, sabotage: Sabotage) -> bool {
        self.scenario.sabotage == Some(sabotage)
    }

    /// The records of the failure store.
    pub fn store<'a>(&'a self, moment: &'a Moment) -> impl Iterator<Item = Arc<Failure>> + 'a {
        let failures = moment.failures.iter();
        failures.map(|number| self.failures.value(*number))
    }

    fn find(&self, moment: &Moment, id: &FailureId) -> Option<(usize, Arc<Failure>)> {
        let mut all = self.store(moment).enumerate();
        all.find(|(_, failure)| failure.id == *id)
    }

    fn group(&self, moment: &Moment, id: &GroupId) -> Option<(usize, Arc<Group>)> {
        let groups = moment.groups.iter();
        let mut groups = groups.map(|number| self.groups.value(*number)).enumerate();
        groups.find(|(_, group)| group.id == *id)
    }

    fn plan(&self, moment: &Moment, id: &ReplayId) -> Option<(usize, Arc<Plan>)> {
        let plans = moment.plans.iter();
        let mut plans = plans.map(|number| self.plans.value(*number)).enumerate();
        plans.find(|(_, plan)| plan.id == *id)
    }

    /// Begins a program.
    fn begin(&self, moment: &mut Moment, kind: Kind, start: &Start, message: Option<Message>) {
        moment.runs.push(Run {
            kind,
            place: self.processes.start(start),
            holds: message.iter().map(|message| message.number).collect(),
            message,
        });
    }

    fn deliver(&self, moment: &mut Moment, index: usize) {
        moment.messages[index].received = true;
        let message = moment.messages[index].clone();
        let start = Start::Worker {
            id: id(message.number),
            body: self.bodies.name(message.body),
            replayed: message
                .replayed
                .map(|(record, replay)| (self.names.name(record), self.names.name(replay))),
        };
        if is_held(moment, message.number) {
            moment.left.overlaps -= 1;
        }
        self.begin(moment, Kind::Worker, &start, Some(message));
    }

    fn operate(&self, moment: &mut Moment, operator: u8, begins: bool) {
        let runs = moment.runs.iter();
        let others = runs.filter(|run| is_of(run, operator)).count();
        if begins {
            moment.left.plans -= 1;
        }
        if others > 0 {
            moment.left.overlaps -= 1;
        }
        let taken = |run: &u8| {
            let mut runs = moment.runs.iter();
            runs.any(|other| other.kind == Kind::Operator(operator, *run))
        };
        let run = (0..8).find(|run| !taken(run)).unwrap_or(8);
        self.end_lease(moment, operator);
        let canaries = self.scenario.canaries;
        let start = Start::Operator {
            operator,
            run,
            canaries,
            begins,
        };
        self.begin(moment, Kind::Operator(operator, run), &start, None);
    }

    /// Whoever carries a plan out has given no sign of life for long enough.
    fn end_lease(&self, moment: &mut Moment, operator: u8) {
        let Some((index, plan)) = self.plan(moment, &plan_of(operator)) else {
            return;
        };
        let mut plan = (*plan).clone();
        if let Some(runner) = &mut plan.progress.runner {
            runner.until = contracts::Timestamp::from_epoch_millis(0);
        }
        moment.plans[index] = self.plans.number(plan);
    }

    fn receive(&self, moment: &mut Moment, run: usize, index: usize) {
        let message = moment.messages[index].clone();
        if is_held(moment, message.number) {
            moment.left.overlaps -= 1;
        }
        moment.runs[run].holds.push(message.number);
        if self.is(Sabotage::DeleteBeforeStore) {
            self.delete(moment, &id(message.number));
        }
        let letters = Reply::Letters(vec![self.letter(&message)]);
        self.hear(moment, run, &letters);
    }

    /// A dead letter as the adapter reads it.
    fn letter(&self, message: &Message) -> DeadLetter {
        let record = message.why.map(|why| (*self.records.value(why)).clone());
        let replayed = message.replayed.map(|(record, replay)| {
            (
                FailureId::new(self.names.name(record)),
                ReplayId::new(self.names.name(replay)),
            )
        });
        DeadLetter {
            message_id: id(message.number),
            receipt_handle: "r".to_owned(),
            queue: DEAD_LETTERS.to_owned(),
            sent_at: 0,
            letter: Letter::new(self.bodies.name(message.body), BTreeMap::new()),
            redriven: record.is_none(),
            record,
            receives: 1,
            replayed,
        }
    }

    fn delete(&self, moment: &mut Moment, message: &str) {
        let in_a_record = self
            .store(moment)
            .any(|failure| failure.dead_letters.iter().any(|known| known == message));
        let before = moment.messages.len();
        moment
            .messages
            .retain(|known| !(known.dead && id(known.number) == message));
        if moment.messages.len() < before && !in_a_record {
            moment.seen.deleted_unstored = true;
        }
    }

    /// A message is given up: from now on it is a dead letter.
    fn note_dead(&self, moment: &mut Moment, message: &Message) {
        if let Some(replayed) = message.replayed {
            moment.seen.failed_again[usize::from(message.body)] += 1;
            if !moment.seen.came_back.contains(&replayed) {
                moment.seen.came_back.push(replayed);
                moment.seen.came_back.sort_unstable();
            }
        }
    }

    fn carry_out(&self, moment: &mut Moment, run: usize, call: &Call) -> Reply {
        match call {
            Call::Get(id) => Reply::Failure(self.find(moment, id).map(|(_, failure)| failure)),
            Call::Find(query) => Reply::Found(self.search(moment, query)),
            Call::Create(new) => done_if(self.create(moment, new)),
            Call::Replace(next) => done_if(self.replace(moment, next)),
            Call::ReplaceAndCreate(both) => {
                let (next, new) = &**both;
                let is_free = self.find(moment, &new.id).is_none();
                done_if(is_free && self.replace(moment, next) && self.create(moment, new))
            }
            Call::GetGroup(id) => Reply::Group(self.group(moment, id).map(|(_, group)| group)),
            Call::PutGroup(next) => done_if(self.put_group(moment, next)),
            Call::GetPlan(id) => Reply::Plan(self.plan(moment, id).map(|(_, plan)| plan)),
            Call::CreatePlan(plan) => {
                moment.plans.push(self.plans.number((**plan).clone()));
                Reply::Done
            }
            Call::PutProgress(next) => done_if(self.put_progress(moment, next)),
            Call::Receive => Reply::Letters(Vec::new()),
            Call::Delete(message) => {
                self.delete(moment, message);
                Reply::Done
            }
            Call::Send { failure, replay } => {
                self.send(moment, failure, replay);
                Reply::Done
            }
            Call::Handle => {
                if let Some(message) = &moment.runs[run].message {
                    moment.seen.processed |= 1 << message.body;
                }
                Reply::Done
            }
            Call::Move(record) => {
                self.move_to_dead_letters(moment, run, record);
                Reply::Done
            }
        }
    }

    fn search(&self, moment: &Moment, query: &Query) -> Vec<Arc<Failure>> {
        let all = self.store(moment);
        all.filter(|failure| query.matches(failure)).collect()
    }

    fn create(&self, moment: &mut Moment, new: &Failure) -> bool {
        if self.find(moment, &new.id).is_some() {
            return false;
        }
        moment.failures.push(self.failures.number(new.clone()));
        true
    }

    fn replace(&self, moment: &mut Moment, next: &Failure) -> bool {
        let Some((index, known)) = self.find(moment, &next.id) else {
            return false;
        };
        let is_claim = next.status == Status::Replaying
            && next.replay.as_ref().is_some_and(|it| it.sent_at.is_none());
        if self.is(Sabotage::SendWithoutClaim) && is_claim {
            return true;
        }
        if known.version + 1 != next.version && !self.is(Sabotage::NoVersionCheck) {
            return false;
        }
        moment.failures[index] = self.failures.number(next.clone());
        true
    }

    fn put_group(&self, moment: &mut Moment, next: &Group) -> bool {
        match self.group(moment, &next.id) {
            None if next.version == 1 => {
                moment.groups.push(self.groups.number(next.clone()));
                true
            }
            Some((index, known)) if known.version + 1 == next.version => {
                moment.groups[index] = self.groups.number(next.clone());
                true
            }
            _ => false,
        }
    }

    fn put_progress(&self, moment: &mut Moment, next: &Plan) -> bool {
        match self.plan(moment, &next.id) {
            Some((index, known)) if known.version + 1 == next.version => {
                moment.plans[index] = self.plans.number(next.clone());
                true
            }
            _ => false,
        }
    }

    fn send(&self, moment: &mut Moment, failure: &FailureId, replay: &ReplayId) {
        let Some((index, record)) = self.find(moment, failure) else {
            moment.seen.sent_unclaimed = true;
            return;
        };
        let replayed = (
            self.names.number(failure.as_str()),
            self.names.number(replay.as_str()),
        );
        self.note_sent(moment, &record, replay, replayed);
        let number = moment.sent;
        moment.sent += 1;
        moment.messages.push(Message {
            number,
            body: self.bodies.number(&record.letter.body),
            dead: false,
            received: false,
            replayed: (!self.is(Sabotage::ForgetAttributes)).then_some(replayed),
            why: None,
        });
        if self.is(Sabotage::ResolveAtSend) {
            let outcome = "sent".to_owned();
            let replay = replay.clone();
            let actor = Actor {
                name: CONSUMER.to_owned(),
                at: record.stored_at,
            };
            if let Ok(next) = record.after(&Change::Acknowledge { replay, outcome }, &actor) {
                moment.failures[index] = self.failures.number(next);
            }
        }
    }

    /// A replay that has seen its own message fail, or be processed, may have sent a
    /// second copy of it.
    fn note_sent(&self, moment: &mut Moment, record: &Failure, replay: &ReplayId, as_: (u8, u8)) {
        let came_back = |it: &(u8, u8)| moment.seen.came_back.contains(it);
        let is_held = record.status == Status::Replaying
            && record.replay.as_ref().is_some_and(|it| it.id == *replay);
        let has_ended = record.status == Status::Resolved || came_back(&as_);
        let mut under_way = moment.messages.iter().filter(|it| !it.dead);
        let beside = under_way.any(|it| {
            let replayed = it.replayed.filter(|it| it.0 == as_.0 && it.1 != as_.1);
            replayed.is_some_and(|other| !came_back(&other))
        });
        moment.seen.sent_unclaimed |= !is_held && !has_ended;
        moment.seen.sent_beside |= beside && !has_ended;
    }

    fn move_to_dead_letters(&self, moment: &mut Moment, run: usize, record: &FailureRecord) {
        let Some(message) = moment.runs[run].message.clone() else {
            return;
        };
        self.note_dead(moment, &message);
        let number = moment.sent;
        moment.sent += 1;
        moment.messages.push(Message {
            number,
            dead: true,
            received: false,
            why: Some(self.records.number(record.clone())),
            ..message
        });
    }

    fn hear(&self, moment: &mut Moment, run: usize, reply: &Reply) {
        let run = &mut moment.runs[run];
        run.place = self.processes.after(run.place, reply);
    }

    fn go(&self, moment: &mut Moment, run: usize) {
        let next = self.processes.next(moment.runs[run].place);
        let Next::Call(call) = &*next else { return };
        let reply = self.carry_out(moment, run, call);
        self.hear(moment, run, &reply);
    }

    /// Lambda deletes a message that its worker acknowledges.
    fn end(&self, moment: &mut Moment, run: usize) {
        let run = moment.runs.remove(run);
        let next = self.processes.next(run.place);
        let acknowledged = matches!(*next, Next::Ended { acknowledged: true });
        if run.kind == Kind::Worker && acknowledged {
            let is_its = |message: &Message| !message.dead && run.holds.contains(&message.number);
            moment.messages.retain(|message| !is_its(message));
        }
    }

    fn apply(&self, moment: &mut Moment, step: Step) {
        match step {
            Step::Deliver(message) => self.deliver(moment, usize::from(message)),
            Step::Redrive(message) => {
                let message = &mut moment.messages[usize::from(message)];
                message.dead = true;
                let message = message.clone();
                self.note_dead(moment, &message);
            }
            Step::Drain => self.begin(moment, Kind::Drain, &Start::Drain, None),
            Step::Operate { operator, begins } => self.operate(moment, operator, begins),
            Step::Automatic => {
                moment.left.automatic = moment.left.automatic.saturating_sub(1);
                self.begin(moment, Kind::Automatic, &Start::Automatic, None);
            }
            Step::Person(act, record) => {
                moment.left.persons -= 1;
                let failure = self.failures.value(moment.failures[usize::from(record)]);
                let start = Start::Person(act, failure.id.as_str().to_owned());
                self.begin(moment, Kind::Person, &start, None);
            }
            Step::Go(run) => self.go(moment, usize::from(run)),
            Step::Receive { run, message } => {
                self.receive(moment, usize::from(run), usize::from(message));
            }
            Step::End(run) => self.end(moment, usize::from(run)),
            Step::Crash(run) => {
                moment.left.crashes -= 1;
                moment.runs.remove(usize::from(run));
            }
            Step::Fail(run) => {
                moment.left.fails -= 1;
                self.hear(moment, usize::from(run), &Reply::Failed);
            }
            Step::NoAnswer { run, landed } => {
                moment.left.lost_answers -= 1;
                let run = usize::from(run);
                let next = self.processes.next(moment.runs[run].place);
                if let (true, Next::Call(call)) = (landed, &*next) {
                    self.carry_out(moment, run, call);
                }
                self.hear(moment, run, &Reply::NoAnswer);
            }
            Step::NotSent(run) => {
                moment.left.lost_answers -= 1;
                self.hear(moment, usize::from(run), &Reply::NotSent);
            }
        }
    }

    /// What happens by itself.
    fn by_itself(&self, moment: &Moment, steps: &mut Vec<Step>) {
        let is_free = moment.runs.len() < self.scenario.at_once;
        let mut dead = false;
        for (index, message) in numbered(&moment.messages) {
            let is_held = is_held(moment, message.number);
            dead |= message.dead && !is_held;
            match (message.dead, message.received) {
                _ if is_held => {}
                (false, true) => steps.push(Step::Redrive(index)),
                (false, false) if is_free => steps.push(Step::Deliver(index)),
                _ => {}
            }
        }
        if dead && is_free && !moment.runs.iter().any(|run| run.kind == Kind::Drain) {
            steps.push(Step::Drain);
        }
        for (index, run) in numbered(&moment.runs) {
            self.run_by_itself(moment, index, run, steps);
        }
        if is_free {
            self.resume(moment, steps);
        }
    }

    fn run_by_itself(&self, moment: &Moment, index: u8, run: &Run, steps: &mut Vec<Step>) {
        match &*self.processes.next(run.place) {
            Next::Ended { .. } => steps.push(Step::End(index)),
            Next::Call(Call::Receive) => {
                let before = steps.len();
                for (message, known) in numbered(&moment.messages) {
                    if known.dead && !is_held(moment, known.number) {
                        steps.push(Step::Receive {
                            run: index,
                            message,
                        });
                    }
                }
                if steps.len() == before {
                    steps.push(Step::Go(index));
                }
            }
            Next::Call(call) if self.is_idle(moment, run, call) => {}
            Next::Call(_) => steps.push(Step::Go(index)),
        }
    }

    /// A replay that waits looks again and again at what has not changed. It is enough
    /// to let it look when it has.
    fn is_idle(&self, moment: &Moment, run: &Run, call: &Call) -> bool {
        let Call::Get(id) = call else { return false };
        let now = Reply::Failure(self.find(moment, id).map(|(_, failure)| failure));
        let waits = matches!(run.kind, Kind::Operator(..));
        let again = self.processes.after(run.place, &now);
        waits
            && self.processes.last_heard(run.place).as_ref() == Some(&now)
            && *self.processes.next(again) == Next::Call(call.clone())
    }

    /// A plan that was left in the middle is resumed, and so is an automatic replay.
    fn resume(&self, moment: &Moment, steps: &mut Vec<Step>) {
        for operator in 0..2 {
            let plan = self.plan(moment, &plan_of(operator));
            let unfinished = plan.is_some_and(|(_, plan)| plan.progress.finished_at.is_none());
            if unfinished && !moment.runs.iter().any(|run| is_of(run, operator)) {
                let begins = false;
                steps.push(Step::Operate { operator, begins });
            }
        }
        let mut store = self.store(moment);
        let nobody = !moment.runs.iter().any(|run| run.kind == Kind::Automatic);
        if nobody && store.any(|failure| properties::is_abandoned(&failure)) {
            steps.push(Step::Automatic);
        }
    }

    /// What goes wrong or is asked for, as often as the scenario allows.
    fn mishaps(&self, moment: &Moment, steps: &mut Vec<Step>) {
        let left = moment.left;
        for (index, run) in numbered(&moment.runs) {
            if left.crashes > 0 {
                steps.push(Step::Crash(index));
            }
            if let Next::Call(call) = &*self.processes.next(run.place) {
                self.call_mishaps(moment, index, call, steps);
            }
        }
        if moment.runs.len() < self.scenario.at_once {
            self.requests(moment, steps);
        }
    }

    fn call_mishaps(&self, moment: &Moment, run: u8, call: &Call, steps: &mut Vec<Step>) {
        let left = moment.left;
        match call {
            Call::Handle if left.fails > 0 => steps.push(Step::Fail(run)),
            Call::Handle => {}
            _ if left.lost_answers > 0 => {
                steps.push(Step::NoAnswer { run, landed: true });
                steps.push(Step::NoAnswer { run, landed: false });
                if matches!(call, Call::Send { .. }) {
                    steps.push(Step::NotSent(run));
                }
            }
            _ => {}
        }
        if *call == Call::Receive && left.overlaps > 0 {
            for (message, known) in numbered(&moment.messages) {
                if known.dead && is_held(moment, known.number) {
                    steps.push(Step::Receive { run, message });
                }
            }
        }
    }

    fn requests(&self, moment: &Moment, steps: &mut Vec<Step>) {
        let left = moment.left;
        if left.overlaps > 0 {
            for (index, message) in numbered(&moment.messages) {
                if !message.dead && is_held(moment, message.number) {
                    steps.push(Step::Deliver(index));
                }
            }
            let drains = moment.runs.iter().any(|run| run.kind == Kind::Drain);
            if drains && moment.messages.iter().any(|message| message.dead) {
                steps.push(Step::Drain);
            }
        }
        for operator in 0..2 {
            let made = self.plan(moment, &plan_of(operator)).is_some();
            let runs = moment.runs.iter().any(|run| is_of(run, operator));
            let begins = !made && !runs && left.plans > 0 && !moment.failures.is_empty();
            let stalls = made && runs && left.overlaps > 0;
            // The first operator comes first: they differ in nothing else.
            let in_turn = operator == 0 || self.plan(moment, &plan_of(0)).is_some();
            if (begins && in_turn) || stalls {
                steps.push(Step::Operate { operator, begins });
            }
        }
        if left.automatic > 0 && !moment.failures.is_empty() {
            steps.push(Step::Automatic);
        }
        if left.persons > 0 {
            for (record, _) in numbered(&moment.failures) {
                let acts = [Act::Archive, Act::Restore, Act::Resolve, Act::Edit];
                steps.extend(acts.map(|act| Step::Person(act, record)));
            }
        }
    }
}

impl Model for DeadLetters {
    type State = Moment;
    type Action = Step;

    fn init_states(&self) -> Vec<Moment> {
        let message = |number| Message {
            number,
            body: self.bodies.number(&body(number)),
            dead: false,
            received: false,
            replayed: None,
            why: None,
        };
        vec![Moment {
            messages: (0..self.scenario.messages).map(message).collect(),
            runs: Vec::new(),
            failures: Vec::new(),
            groups: Vec::new(),
            plans: Vec::new(),
            sent: self.scenario.messages,
            seen: Seen::default(),
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
        next.messages.sort_unstable();
        next.runs.sort_unstable();
        (next != *moment).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}

fn id(number: u8) -> String {
    format!("message-{number}")
}

fn is_held(moment: &Moment, message: u8) -> bool {
    let mut runs = moment.runs.iter();
    runs.any(|run| run.holds.contains(&message))
}

fn is_of(run: &Run, operator: u8) -> bool {
    matches!(run.kind, Kind::Operator(of, _) if of == operator)
}

fn done_if(stored: bool) -> Reply {
    match stored {
        true => Reply::Done,
        false => Reply::Conflict,
    }
}
