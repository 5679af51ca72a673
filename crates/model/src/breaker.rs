//! The circuit breaker, with the real controller and the real worker.
//!
//! Apart from the protocol of the saga, because nothing here depends on what a message
//! asks for beside whether the outside party serves.

mod process;
mod properties;
mod scenario;
mod time;
mod words;

use std::sync::Arc;

use circuit::{Circuit, Mapping, Observation, ProbeAnswer, State, Switch, Taken, Telling, Wanted};
use stateright::{Model, Property};

use crate::explored::numbered;
use crate::interned::Interned;
use crate::tree::{Next, Place, Tree};
use crate::worker::{MAX_RECEIVES, NOW};
pub use process::{Act, Memory, StepRecord};
use process::{CONSUMER, Call, Handled, Heard, Processes, Reply, Start};
pub use properties::CIRCUIT;
pub use scenario::{Breaker, Mishaps, Sabotage, endless, quick, sabotaged, thorough};
use time::{FULL, after_a_tick, at_age, from_age, pause, plain, resumed, settings};

/// The model.
#[derive(Debug)]
pub struct Breaking {
    /// What is explored.
    pub scenario: Breaker,
    processes: Tree<Processes>,
    circuits: Interned<Circuit>,
}

/// One moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Moment {
    /// The circuit in its table, by its number.
    circuit: u16,
    /// The mapping between the queue and the worker, as it is wanted last.
    pub mapping: Mapping,
    /// Whether that is on its way still. Until then messages may pass.
    pub changing: bool,
    /// Whether the outside party serves.
    pub serves: bool,
    /// Messages in the queue, by their numbers.
    pub messages: Vec<Message>,
    /// Which messages were given up and are dead letters, a bit for each.
    pub dead: u8,
    /// Programs in mid-flight, sorted.
    pub runs: Vec<Run>,
    /// Ghosts.
    pub seen: Seen,
    /// How much more may go wrong, or be asked for.
    pub left: Mishaps,
}

/// Ghosts: what has happened, as nothing of it tells.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Seen {
    /// Which messages were processed, a bit for each.
    pub processed: u8,
    /// Whether a person has said last that nothing is to pass.
    pub paused: bool,
    /// Whether the controller has not been told of the last change of the circuit.
    pub news: bool,
    /// Whether the mapping was seen through since whatever could put it wrong.
    pub settled: bool,
    /// A probe was begun during a pause.
    pub probed_in_pause: bool,
    /// A circuit let more through than the next step of its ramp.
    pub jumped: bool,
}

/// A message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Message {
    /// Names this copy of it.
    pub number: u8,
    /// Which of the messages it is.
    pub body: u8,
    /// How often it was received.
    pub receives: u8,
}

/// A program in mid-flight.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Run {
    /// What it is.
    pub kind: Kind,
    /// How far it has come.
    pub place: Place,
    /// For how many ticks it has run.
    pub age: u8,
    /// How many circuits it has read: the version of the last.
    version: u8,
    /// Whether that one is still what is stored.
    is_newest: bool,
    /// Whether it has seen the mapping, or made it, as nothing can have changed it since
    /// but others that still run.
    vouches: bool,
    /// The message that nobody else receives while it has it.
    pub message: Option<Message>,
}

/// What a program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A controller.
    Controller,
    /// A person's command.
    Person,
    /// A worker with a message of its queue.
    Worker,
    /// A worker with the message of a probe.
    Probed,
}

/// Something that happens. Numbers of messages and runs are places in the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Time passes.
    Tick,
    /// The schedule has the controller look.
    Look,
    /// The stream tells the controller.
    Hear,
    /// The mapping hands a message to a worker with this memory.
    Deliver(u8, Memory),
    /// The queue's own policy moves a message.
    Redrive(u8),
    /// The mapping's change is done.
    Changed,
    /// The outside party serves again.
    Recover,
    /// A program goes one call further.
    Go(u8),
    /// A controller hands its message to a worker with this memory.
    HandOver(u8, Memory),
    /// A program ends.
    End(u8),
    /// The outside party goes down.
    Fail,
    /// The outside party gives no answer in time.
    TimeOut(u8),
    /// A program dies.
    Crash(u8),
    /// A call gets no answer.
    NoAnswer {
        /// Whose.
        run: u8,
        /// Whether it had its effect.
        landed: bool,
    },
    /// A person gives an order.
    Order(Act),
    /// A person disables the mapping by hand, or enables it.
    ByHand,
}

impl Breaking {
    /// A model of a scenario.
    pub fn new(scenario: Breaker) -> Self {
        Self {
            scenario,
            processes: Tree::default(),
            circuits: Interned::hashed(),
        }
    }

    fn is(&self, sabotage: Sabotage) -> bool {
        self.scenario.sabotage == Some(sabotage)
    }

    /// In how many places programs were seen, and how many circuits.
    pub fn seen(&self) -> (usize, usize) {
        (self.processes.places(), self.circuits.count())
    }

    /// The circuit as it is stored.
    pub fn circuit(&self, moment: &Moment) -> Arc<Circuit> {
        self.circuits.value(moment.circuit)
    }

    /// Stores a circuit: whoever has read it before no longer has the newest.
    fn store(&self, moment: &mut Moment, next: Circuit) {
        moment.circuit = self.circuits.number(plain(next));
        moment.seen.settled = false;
        for run in &mut moment.runs {
            run.is_newest = false;
        }
    }

    fn begin(&self, moment: &mut Moment, kind: Kind, start: Start, message: Option<Message>) {
        moment.runs.push(Run {
            kind,
            place: self.processes.start(&start),
            age: 0,
            version: 0,
            is_newest: false,
            vouches: false,
            message,
        });
    }

    fn handled(&self, moment: &Moment, message: Message, receive: u8, memory: Memory) -> Handled {
        let is_done = moment.seen.processed & (1 << message.body) != 0;
        Handled {
            body: message.body,
            receive,
            step: match is_done {
                true => StepRecord::Done,
                false => self.scenario.records,
            },
            memory,
        }
    }

    fn deliver(&self, moment: &mut Moment, index: usize, memory: Memory) {
        moment.messages[index].receives += 1;
        let message = moment.messages[index];
        let handled = self.handled(moment, message, message.receives, memory);
        let start = Start::Deliver(handled);
        self.begin(moment, Kind::Worker, start, Some(message));
    }

    /// As if it were received for the first time. The controller waits.
    fn hand_over(&self, moment: &mut Moment, run: usize, memory: Memory) {
        if let Some(message) = moment.runs[run].message {
            let handled = self.handled(moment, message, 1, memory);
            self.begin(moment, Kind::Probed, Start::Probe(handled), Some(message));
        }
    }

    fn hear(&self, moment: &mut Moment, run: usize, reply: Reply) {
        let run = &mut moment.runs[run];
        let age = run.age;
        run.place = self.processes.after(run.place, &Heard { reply, age });
    }

    fn go(&self, moment: &mut Moment, run: usize) {
        let next = self.processes.next(moment.runs[run].place);
        let Next::Call(call) = &*next else { return };
        let reply = self.carry_out(moment, run, call);
        match call {
            // With that the probe is over for the worker.
            Call::Report(_) => drop(moment.runs.remove(run)),
            _ => self.hear(moment, run, reply),
        }
    }

    fn carry_out(&self, moment: &mut Moment, run: usize, call: &Call) -> Reply {
        match call {
            Call::Load => self.load(moment, run),
            Call::Save(next) => self.save(moment, run, next),
            Call::Trip => self.trip(moment),
            Call::Pause => self.pause(moment),
            Call::Resume => self.resume(moment),
            Call::Look => look(moment, run),
            Call::Set(wanted) => self.set(moment, *wanted),
            Call::Take => take(moment, run),
            Call::Copy(_) | Call::Resend => self.copy(moment, run),
            Call::Delete(number) => {
                delete(moment, *number);
                moment.runs[run].message = None;
                Reply::Done
            }
            Call::Ask => ask(moment, run),
            Call::DeadLetter => {
                if let Some(message) = moment.runs[run].message {
                    moment.dead |= 1 << message.body;
                }
                Reply::Done
            }
            Call::Delay => Reply::Done,
            Call::HandOver(_) => Reply::NoAnswer,
            Call::Report(answer) => self.report(moment, run, *answer),
        }
    }

    fn load(&self, moment: &mut Moment, run: usize) -> Reply {
        let stored = self.circuit(moment);
        let run = &mut moment.runs[run];
        run.version += u8::from(!run.is_newest);
        run.is_newest = true;
        let mut read = at_age(&stored, run.age);
        read.version = u64::from(run.version);
        Reply::Circuit(Box::new(read))
    }

    /// Only over what was read, as the adapter's condition demands.
    fn save(&self, moment: &mut Moment, run: usize, next: &Circuit) -> Reply {
        let it = &moment.runs[run];
        let is_newest = it.is_newest && next.version == u64::from(it.version);
        if !is_newest && !self.is(Sabotage::NoVersionCheck) {
            return Reply::Conflict;
        }
        let mut next = from_age(next.clone(), it.age);
        if it.kind == Kind::Person {
            moment.seen.paused = next.pause.is_some();
            moment.seen.news = self.scenario.has_stream;
        } else {
            self.note_saved(moment, &next);
        }
        if self.is(Sabotage::PauseForgotten) {
            next.pause = None;
        }
        self.store(moment, next);
        Reply::Done
    }

    /// What a controller may not do.
    fn note_saved(&self, moment: &mut Moment, next: &Circuit) {
        let before = self.circuit(moment);
        let claim = |circuit: &Circuit| match &circuit.state {
            State::Open(open) => open.probe_until,
            _ => None,
        };
        let begins = claim(next).is_some_and(|until| until > NOW) && claim(next) != claim(&before);
        moment.seen.probed_in_pause |= begins && before.pause.is_some();
        moment.seen.jumped |= passing(next) > next_step(&before);
    }

    /// As [`Observation::Tripped`] in one write, without a look.
    fn trip(&self, moment: &mut Moment) -> Reply {
        let tripped = Observation::Tripped("");
        match self.circuit(moment).after(&tripped, NOW, &settings()) {
            None => Reply::Conflict,
            Some(next) => {
                self.store(moment, next);
                moment.seen.news = self.scenario.has_stream;
                Reply::Done
            }
        }
    }

    fn pause(&self, moment: &mut Moment) -> Reply {
        let next = Circuit {
            pause: Some(pause()),
            ..(*self.circuit(moment)).clone()
        };
        moment.seen.paused = true;
        moment.seen.news = self.scenario.has_stream;
        self.store(moment, next);
        Reply::Done
    }

    fn resume(&self, moment: &mut Moment) -> Reply {
        let before = self.circuit(moment);
        if before.pause.is_some() {
            let next = Circuit {
                pause: None,
                resumed: Some(resumed(NOW)),
                ..(*before).clone()
            };
            moment.seen.paused = false;
            moment.seen.news = self.scenario.has_stream;
            self.store(moment, next);
        }
        Reply::Done
    }

    /// A mapping that is being changed takes no other change.
    fn set(&self, moment: &mut Moment, wanted: Wanted) -> Reply {
        if moment.changing {
            return Reply::NoAnswer;
        }
        if !self.is(Sabotage::DeafMapping) {
            moment.mapping = with(moment.mapping, wanted);
            moment.changing = self.scenario.slow_mapping;
        }
        Reply::Done
    }

    fn copy(&self, moment: &mut Moment, run: usize) -> Reply {
        let Some(message) = moment.runs[run].message else {
            return Reply::NoAnswer;
        };
        let is_free = |number: &u8| {
            let mut messages = moment.messages.iter();
            let mut runs = moment.runs.iter().filter_map(|run| run.message);
            messages.all(|it| it.number != *number) && runs.all(|it| it.number != *number)
        };
        if let Some(number) = (0..u8::MAX).find(is_free) {
            let receives = 0;
            moment.messages.push(Message {
                number,
                receives,
                ..message
            });
        }
        Reply::Done
    }

    /// The controller that waits for this probe hears of it, if it still does.
    fn report(&self, moment: &mut Moment, run: usize, answer: ProbeAnswer) -> Reply {
        if self.is(Sabotage::DeleteBeforeCopy)
            && let Some(message) = moment.runs[run].message
        {
            delete(moment, message.number);
        }
        self.end_hand_over(moment, run, &Reply::Probed(answer));
        Reply::Done
    }

    fn end_hand_over(&self, moment: &mut Moment, probed: usize, reply: &Reply) {
        let message = moment.runs[probed].message;
        let waits = |run: &Run| run.message == message && self.hands_over(run);
        if let Some(controller) = moment.runs.iter().position(waits) {
            self.hear(moment, controller, reply.clone());
        }
    }

    fn hands_over(&self, run: &Run) -> bool {
        matches!(
            &*self.processes.next(run.place),
            Next::Call(Call::HandOver(_))
        )
    }

    /// Lambda deletes a message that its worker acknowledges.
    fn end(&self, moment: &mut Moment, run: usize) {
        let run = moment.runs.remove(run);
        let next = self.processes.next(run.place);
        let is_done = matches!(*next, Next::Ended { acknowledged: true });
        match run.kind {
            Kind::Worker if is_done => {
                if let Some(message) = run.message {
                    delete(moment, message.number);
                }
            }
            Kind::Worker | Kind::Probed => {}
            Kind::Controller | Kind::Person if is_done && run.is_newest && run.vouches => {
                moment.seen.settled = true;
            }
            // A mapping that it changed, or found in the middle of a change, is left to
            // the next look.
            Kind::Controller | Kind::Person => unsettle(moment),
        }
    }

    fn die(&self, moment: &mut Moment, run: usize) {
        if moment.runs[run].kind == Kind::Probed {
            self.end_hand_over(moment, run, &Reply::NoAnswer);
        }
        moment.runs.remove(run);
        unsettle(moment);
    }

    fn apply(&self, moment: &mut Moment, step: Step) {
        match step {
            Step::Tick => self.tick(moment),
            Step::Look => self.begin(moment, Kind::Controller, Start::Look, None),
            Step::Hear => {
                moment.seen.news = false;
                self.begin(moment, Kind::Controller, Start::Hear, None);
            }
            Step::Deliver(message, memory) => self.deliver(moment, usize::from(message), memory),
            Step::Redrive(message) => {
                let message = moment.messages.remove(usize::from(message));
                moment.dead |= 1 << message.body;
            }
            Step::Changed => moment.changing = false,
            Step::Recover => moment.serves = true,
            Step::Go(run) => self.go(moment, usize::from(run)),
            Step::HandOver(run, memory) => self.hand_over(moment, usize::from(run), memory),
            Step::End(run) => self.end(moment, usize::from(run)),
            Step::Fail => {
                moment.left.outages -= 1;
                moment.serves = false;
            }
            Step::TimeOut(run) => {
                moment.left.timeouts -= 1;
                self.hear(moment, usize::from(run), Reply::TimedOut);
            }
            Step::Crash(run) => {
                moment.left.crashes -= 1;
                self.die(moment, usize::from(run));
            }
            Step::NoAnswer { run, landed } => self.lose_answer(moment, usize::from(run), landed),
            Step::Order(act) => {
                moment.left.persons -= 1;
                self.begin(moment, Kind::Person, Start::Person(act), None);
            }
            Step::ByHand => {
                moment.left.by_hand -= 1;
                let switch = match moment.mapping.switch {
                    Switch::Enabled => Switch::Disabled,
                    _ => Switch::Enabled,
                };
                moment.mapping.switch = switch;
                unsettle(moment);
            }
        }
    }

    fn tick(&self, moment: &mut Moment) {
        let circuit = (*self.circuit(moment)).clone();
        let endless = self.is(Sabotage::EndlessProbe);
        let mut later = after_a_tick(circuit.clone());
        if let (true, State::Open(before), State::Open(open)) =
            (endless, &circuit.state, &mut later.state)
        {
            open.probe_until = before.probe_until;
        }
        moment.circuit = self.circuits.number(later);
        for run in &mut moment.runs {
            run.age += u8::from(matches!(run.kind, Kind::Controller | Kind::Person));
        }
    }

    fn lose_answer(&self, moment: &mut Moment, run: usize, landed: bool) {
        moment.left.lost_answers -= 1;
        unsettle(moment);
        let next = self.processes.next(moment.runs[run].place);
        if let (true, Next::Call(call)) = (landed, &*next) {
            self.carry_out(moment, run, call);
        }
        self.hear(moment, run, Reply::NoAnswer);
    }

    /// What happens by itself.
    fn by_itself(&self, moment: &Moment, steps: &mut Vec<Step>) {
        for (index, run) in numbered(&moment.runs) {
            self.run_by_itself(moment, index, run, steps);
        }
        let controllers = of_kind(moment, Kind::Controller);
        if controllers < self.scenario.controllers {
            steps.push(Step::Look);
        }
        let ages = |run: &Run| matches!(run.kind, Kind::Controller | Kind::Person);
        let is_young = |run: &Run| !ages(run) || run.age < self.scenario.longest;
        if moment.runs.iter().all(is_young) {
            steps.push(Step::Tick);
        }
        if moment.changing {
            steps.push(Step::Changed);
        }
        if !moment.serves {
            steps.push(Step::Recover);
        }
        self.queue_by_itself(moment, steps);
    }

    fn run_by_itself(&self, moment: &Moment, index: u8, run: &Run, steps: &mut Vec<Step>) {
        match &*self.processes.next(run.place) {
            Next::Ended { .. } => steps.push(Step::End(index)),
            Next::Call(Call::HandOver(_)) => {
                let is_theirs =
                    |other: &Run| other.kind == Kind::Probed && other.message == run.message;
                if !moment.runs.iter().any(is_theirs) {
                    let hand_over = |memory| Step::HandOver(index, memory);
                    steps.extend(self.memories(moment).map(hand_over));
                }
            }
            Next::Call(_) => steps.push(Step::Go(index)),
        }
    }

    fn queue_by_itself(&self, moment: &Moment, steps: &mut Vec<Step>) {
        let passes = moment.mapping.switch == Switch::Enabled || moment.changing;
        let is_free = of_kind(moment, Kind::Worker) < self.scenario.workers;
        for (index, message) in numbered(&moment.messages) {
            if is_held(moment, message.number) {
                continue;
            }
            if message.receives >= MAX_RECEIVES {
                steps.push(Step::Redrive(index));
            } else if passes && is_free {
                let memories = self.memories(moment);
                steps.extend(memories.map(|memory| Step::Deliver(index, memory)));
            }
        }
    }

    /// Nobody has tripped before the outside party was down.
    fn memories(&self, moment: &Moment) -> impl Iterator<Item = Memory> + use<> {
        let was_down = self.scenario.is_open || moment.left.outages < self.scenario.mishaps.outages;
        let memories = self.scenario.memories.iter().copied();
        memories.filter(move |memory| was_down || *memory != Memory::Tripped)
    }

    /// What goes wrong or is asked for, as often as the scenario allows.
    fn mishaps(&self, moment: &Moment, steps: &mut Vec<Step>) {
        let left = moment.left;
        if moment.seen.news && of_kind(moment, Kind::Controller) < self.scenario.controllers {
            steps.push(Step::Hear);
        }
        if left.outages > 0 && moment.serves {
            steps.push(Step::Fail);
        }
        if left.by_hand > 0 && !moment.changing {
            steps.push(Step::ByHand);
        }
        if left.persons > 0 && of_kind(moment, Kind::Person) == 0 {
            steps.extend([Act::Pause, Act::Resume, Act::Force].map(Step::Order));
        }
        for (index, run) in numbered(&moment.runs) {
            self.run_mishaps(moment, index, run, steps);
        }
    }

    fn run_mishaps(&self, moment: &Moment, run: u8, it: &Run, steps: &mut Vec<Step>) {
        let left = moment.left;
        if left.crashes > 0 {
            steps.push(Step::Crash(run));
        }
        let Next::Call(call) = &*self.processes.next(it.place) else {
            return;
        };
        if left.timeouts > 0 && *call == Call::Ask && !moment.serves {
            steps.push(Step::TimeOut(run));
        }
        if left.lost_answers > 0 && !matches!(call, Call::Report(_)) {
            steps.push(Step::NoAnswer { run, landed: true });
            steps.push(Step::NoAnswer { run, landed: false });
        }
    }
}

impl Model for Breaking {
    type State = Moment;
    type Action = Step;

    fn init_states(&self) -> Vec<Moment> {
        let message = |number| Message {
            number,
            body: number,
            receives: 0,
        };
        let (circuit, wanted) = match self.scenario.is_open {
            true => (open(), Wanted::Disabled),
            false => (Circuit::new(CONSUMER), Wanted::Enabled(FULL)),
        };
        let mapping = Mapping {
            switch: Switch::Enabled,
            concurrency: Some(FULL),
        };
        vec![Moment {
            circuit: self.circuits.number(plain(circuit)),
            mapping: with(mapping, wanted),
            changing: false,
            serves: !self.scenario.is_open,
            messages: (0..self.scenario.messages).map(message).collect(),
            dead: 0,
            runs: Vec::new(),
            seen: Seen {
                settled: true,
                ..Seen::default()
            },
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

/// An open circuit of which people know.
fn open() -> Circuit {
    let closed = Circuit::new(CONSUMER);
    let opened = closed.after(&Observation::Tripped(""), NOW, &settings());
    let told = Observation::Told(Telling::Opened);
    let opened = opened.unwrap_or(closed);
    opened.after(&told, NOW, &settings()).unwrap_or(opened)
}

fn look(moment: &mut Moment, run: usize) -> Reply {
    moment.runs[run].vouches = !moment.changing;
    let switch = match moment.changing {
        true => Switch::Changing,
        false => moment.mapping.switch,
    };
    Reply::Mapping(Mapping {
        switch,
        ..moment.mapping
    })
}

fn with(mapping: Mapping, wanted: Wanted) -> Mapping {
    match wanted {
        Wanted::Disabled => Mapping {
            switch: Switch::Disabled,
            ..mapping
        },
        Wanted::Enabled(concurrency) => Mapping {
            switch: Switch::Enabled,
            concurrency: Some(concurrency),
        },
    }
}

fn take(moment: &mut Moment, run: usize) -> Reply {
    let is_free =
        |message: &Message| message.receives < MAX_RECEIVES && !is_held(moment, message.number);
    let Some(index) = moment.messages.iter().position(is_free) else {
        return Reply::Taken(match moment.messages.is_empty() {
            true => Taken::Nothing,
            false => Taken::Waiting,
        });
    };
    let message = &mut moment.messages[index];
    message.receives += 1;
    moment.runs[run].message = Some(*message);
    Reply::Taken(Taken::Message(message.number))
}

fn ask(moment: &mut Moment, run: usize) -> Reply {
    if !moment.serves {
        return Reply::Down;
    }
    if let Some(message) = moment.runs[run].message {
        moment.seen.processed |= 1 << message.body;
    }
    Reply::Done
}

/// Something may have put the mapping wrong, and nobody makes it good before looking again.
fn unsettle(moment: &mut Moment) {
    moment.seen.settled = false;
    for run in &mut moment.runs {
        run.vouches = false;
    }
}

fn delete(moment: &mut Moment, number: u8) {
    moment.messages.retain(|message| message.number != number);
}

fn is_held(moment: &Moment, number: u8) -> bool {
    let mut held = moment.runs.iter().filter_map(|run| run.message);
    held.any(|message| message.number == number)
}

fn of_kind(moment: &Moment, kind: Kind) -> usize {
    moment.runs.iter().filter(|run| run.kind == kind).count()
}

/// How many invocations at a time a circuit lets through, if it is not paused.
fn passing(circuit: &Circuit) -> u32 {
    match &circuit.state {
        State::Closed => FULL,
        State::Open(_) => 0,
        State::HalfOpen(half) => half.concurrency,
    }
}

/// How many it may let through after one more step of its recovery.
fn next_step(circuit: &Circuit) -> u32 {
    match &circuit.state {
        State::Closed => FULL,
        State::Open(_) => circuit::Settings::LEAST_CONCURRENCY,
        State::HalfOpen(half) if half.concurrency * 2 >= FULL => FULL.max(half.concurrency),
        State::HalfOpen(half) => half.concurrency * 2,
    }
}
