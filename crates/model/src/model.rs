//! What can happen, and what it leads to.

use std::sync::{Mutex, PoisonError};

use domain::payment::{Charge, Refund};
use domain::shipment::{Cancellation, Shipment};
use domain::{Currency, ItemQuantity, Money, Quantity, Sku, Step};
use idempotency::{Fingerprint, Key, Millis};
use ports::{Answer, Answered};
use stateright::{Model, Property};

use crate::calls::{Call, Reply};
use crate::explored::numbered;
use crate::party::Said;
use crate::properties;
use crate::saga::{Definition, EndWrite, Kind, StateId};
use crate::scenario::{PartyRules, Sabotage, Scenario};
use crate::state::{Message, Order, Party, Records, Request, Run, Saga, State, lease, step_bit};
use crate::store::end_event;
use crate::worker::{MAX_RECEIVES, NOW, Next, SKU, Start, Workers};

/// The model.
#[derive(Debug)]
pub struct Protocol {
    /// What is explored.
    pub scenario: Scenario,
    /// The deployed saga.
    pub saga: Definition,
    /// The real workers.
    pub workers: Workers,
    pub(crate) records: Records,
    numbers: Mutex<Vec<String>>,
    pub(crate) any_key: Key,
    pub(crate) any_fingerprint: Fingerprint,
}

/// Something that happens. Numbers of orders, messages and runs are places in the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The order's event, or the sweep, starts the saga.
    StartSaga(u8),
    /// A queue delivers a message to a worker.
    Deliver(u8),
    /// A worker goes one call further.
    Go(u8),
    /// The outside party answers a worker's call with a refusal.
    Refuse(u8),
    /// A worker has ended; Lambda deletes its message.
    End(u8),
    /// A worker dies; its message comes back.
    Crash(u8),
    /// A worker dies while its request is on the way to the outside party.
    CrashWhileAsking(u8),
    /// A worker's call gets no answer.
    NoAnswer {
        /// Whose.
        run: u8,
        /// Whether the call had its effect.
        landed: bool,
    },
    /// The outside party fails a worker's request.
    PartyFails(u8),
    /// The outside party does not answer a worker in time.
    PartySilent {
        /// Whose request.
        run: u8,
        /// Whether the request is still on the way; otherwise it is lost.
        on_its_way: bool,
    },
    /// A request that nobody waits for reaches the outside party.
    Arrives {
        /// The order.
        order: u8,
        /// To the warehouse, not the payment provider.
        warehouse: bool,
        /// The request.
        request: Request,
        /// Whether it is refused.
        refused: bool,
    },
    /// A lease runs out.
    LeaseEnds {
        /// The order.
        order: u8,
        /// The number of the record's key.
        key: u8,
    },
    /// A queue keeps a second copy of a message.
    Duplicate(u8),
    /// The message that a worker works on becomes visible again.
    VisibilityEnds(u8),
    /// A dead letter is sent to its queue again.
    Replay(u8),
    /// The time limit of a step passes.
    TimeOut(u8),
    /// The saga publishes its command again, since it did not hear of the first.
    PublishAgain(u8),
    /// The saga writes the order's end.
    WriteEnd(u8),
    /// The saga does not hear of its write.
    WriteEndLost {
        /// The order.
        order: u8,
        /// Whether the write is on its way; otherwise it is lost.
        on_its_way: bool,
        /// Whether the saga gives up, as after all its retries.
        gives_up: bool,
    },
    /// A write of the order's end that the saga has given up on takes place.
    LateEnd(u8),
    /// The saga dies outside every catch.
    SagaDies(u8),
    /// The rescue machine looks at the order of a saga that died.
    Rescue(u8),
}

impl Protocol {
    /// A model of the deployed saga and the real workers.
    #[allow(clippy::expect_used, reason = "constants that fit")]
    pub fn new(scenario: Scenario) -> Self {
        Self {
            scenario,
            saga: Definition::deployed(),
            workers: Workers::default(),
            records: Records::default(),
            numbers: Mutex::default(),
            any_key: Key::new("any").expect("a key"),
            any_fingerprint: Fingerprint::of("any"),
        }
    }

    pub(crate) fn is(&self, sabotage: Sabotage) -> bool {
        self.scenario.sabotage == Some(sabotage)
    }

    /// A small number for a key.
    pub(crate) fn number(&self, key: &str) -> u8 {
        let mut keys = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = keys.iter().position(|known| known == key);
        let index = known.unwrap_or_else(|| {
            keys.push(key.to_owned());
            keys.len() - 1
        });
        #[allow(clippy::cast_possible_truncation, reason = "there are some tens")]
        let number = index as u8;
        number
    }

    /// The key that a number stands for.
    pub fn key(&self, number: u8) -> String {
        let keys = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        keys.get(usize::from(number)).cloned().unwrap_or_default()
    }

    /// What happens by itself: nothing has to go wrong for it.
    pub(crate) fn by_itself(&self, state: &State, actions: &mut Vec<Action>) {
        for (index, message) in numbered(&state.messages) {
            let repeated = index > 0 && state.messages[usize::from(index) - 1] == *message;
            if !message.dead && !repeated && state.runs.len() < self.scenario.workers {
                actions.push(Action::Deliver(index));
            }
        }
        for (index, run) in numbered(&state.runs) {
            actions.push(match *self.workers.next(run.place) {
                Next::Call(_) => Action::Go(index),
                Next::Ended { .. } => Action::End(index),
            });
            actions.extend(self.lease_end(state, run));
        }
        for (index, order) in numbered(&state.orders) {
            self.order_progress(state, index, order, actions);
        }
    }

    fn order_progress(&self, state: &State, index: u8, order: &Order, actions: &mut Vec<Action>) {
        match order.saga {
            Saga::NotStarted => actions.push(Action::StartSaga(index)),
            Saga::In(at) => match self.saga.state(at).kind {
                Kind::Ask(step) if is_unanswerable(state, index, step) => {
                    actions.push(Action::TimeOut(index));
                }
                Kind::End(_) => actions.push(Action::WriteEnd(index)),
                _ => {}
            },
            Saga::Died => actions.push(Action::Rescue(index)),
            Saga::Over => {}
        }
        if order.late_end.is_some() {
            actions.push(Action::LateEnd(index));
        }
        for (warehouse, party) in [(false, &order.payment), (true, &order.warehouse)] {
            for request in &party.in_flight {
                actions.push(Action::Arrives {
                    order: index,
                    warehouse,
                    request: *request,
                    refused: false,
                });
            }
        }
    }

    /// A lease that runs out changes nothing but what the next claim is told. So it
    /// is enough to let it run out when a worker is about to claim.
    fn lease_end(&self, state: &State, run: &Run) -> Option<Action> {
        let Next::Call(Call::Begin(claim) | Call::BeginUndo(claim)) =
            &*self.workers.next(run.place)
        else {
            return None;
        };
        let key = self.number(claim.key.as_str());
        let order = run.message.order;
        let records = &state.orders[usize::from(order)].records;
        let (_, stored) = records.iter().find(|(known, _)| *known == key)?;
        let held = lease(&mut self.records.load(*stored)).is_some_and(|until| *until > NOW);
        let outlived = self.scenario.party == PartyRules::Prompt && stored.owner != 0;
        (held && !outlived).then_some(Action::LeaseEnds { order, key })
    }

    /// What goes wrong, as often as the scenario allows.
    fn mishaps(&self, state: &State, actions: &mut Vec<Action>) {
        let left = state.left;
        for (index, message) in numbered(&state.messages) {
            if index > 0 && state.messages[usize::from(index) - 1] == *message {
                continue;
            }
            if message.dead && left.replays > 0 {
                actions.push(Action::Replay(index));
            }
            if !message.dead && left.duplicates > 0 {
                actions.push(Action::Duplicate(index));
            }
        }
        for (index, run) in numbered(&state.runs) {
            if left.duplicates > 0 && !run.deleted {
                actions.push(Action::VisibilityEnds(index));
            }
            if left.crashes > 0 {
                actions.push(Action::Crash(index));
            }
            if let Next::Call(call) = &*self.workers.next(run.place) {
                self.call_mishaps(state, index, run, call, actions);
            }
        }
        for (index, order) in numbered(&state.orders) {
            self.order_mishaps(state, index, order, actions);
        }
    }

    fn call_mishaps(
        &self,
        state: &State,
        index: u8,
        run: &Run,
        call: &Call,
        actions: &mut Vec<Action>,
    ) {
        let left = state.left;
        let Some(request) = self.request(run, call) else {
            // Without a delay a message comes back all the same.
            if left.lost_answers > 0 && *call != Call::Delay {
                actions.push(Action::NoAnswer {
                    run: index,
                    landed: true,
                });
                actions.push(Action::NoAnswer {
                    run: index,
                    landed: false,
                });
            }
            return;
        };
        let party = party(
            &state.orders[usize::from(run.message.order)],
            run.message.step,
        );
        if left.refusals > 0 && party.decides(request, self.scenario.party) {
            actions.push(Action::Refuse(index));
        }
        if left.party_faults > 0 {
            actions.push(Action::PartyFails(index));
            actions.push(Action::PartySilent {
                run: index,
                on_its_way: true,
            });
            actions.push(Action::PartySilent {
                run: index,
                on_its_way: false,
            });
        }
        if left.crashes > 0 && left.party_faults > 0 {
            actions.push(Action::CrashWhileAsking(index));
        }
    }

    fn order_mishaps(&self, state: &State, index: u8, order: &Order, actions: &mut Vec<Action>) {
        let left = state.left;
        for (warehouse, party) in [(false, &order.payment), (true, &order.warehouse)] {
            for request in &party.in_flight {
                if left.refusals > 0 && party.decides(*request, self.scenario.party) {
                    actions.push(Action::Arrives {
                        order: index,
                        warehouse,
                        request: *request,
                        refused: true,
                    });
                }
            }
        }
        let Saga::In(at) = order.saga else { return };
        match self.saga.state(at).kind {
            Kind::Ask(step) => {
                if left.time_outs > 0 && !is_unanswerable(state, index, step) {
                    actions.push(Action::TimeOut(index));
                }
                if left.lost_answers > 0 {
                    actions.push(Action::PublishAgain(index));
                }
            }
            Kind::End(_) if left.lost_answers > 0 && order.late_end.is_none() => {
                for (on_its_way, gives_up) in [(true, true), (true, false), (false, true)] {
                    actions.push(Action::WriteEndLost {
                        order: index,
                        on_its_way,
                        gives_up,
                    });
                }
            }
            _ => {}
        }
        if left.saga_deaths > 0 {
            actions.push(Action::SagaDies(index));
        }
    }

    /// The request that a call sends to the outside party.
    fn request(&self, run: &Run, call: &Call) -> Option<Request> {
        let number = |key: &str| match self.is(Sabotage::KeyPerDelivery) {
            true => self.number(&format!("{key}/{}", run.message.receives)),
            false => self.number(key),
        };
        match call {
            Call::Act { key } => Some(Request::Act { key: number(key) }),
            Call::CallOff { key, of } => Some(Request::CallOff {
                key: number(key),
                of: number(of),
            }),
            _ => None,
        }
    }

    /// A worker's call takes place and is answered.
    fn go(&self, state: &mut State, index: usize, refuse: bool) {
        let run = state.runs[index];
        let next = self.workers.next(run.place);
        let Next::Call(call) = &*next else { return };
        if self.is(Sabotage::AnswerBeforeCommit) && self.answers_early(state, index, call) {
            return;
        }
        if self.is(Sabotage::DeleteBeforeMove) && *call == Call::DeadLetter && !run.deleted {
            state.runs[index].deleted = true;
            return;
        }
        let reply = self.carry_out(state, index, call, refuse);
        self.hear(state, index, &reply);
    }

    fn carry_out(&self, state: &mut State, index: usize, call: &Call, refuse: bool) -> Reply {
        let run = state.runs[index];
        if let Some(reply) = self.store_call(state, &run, call) {
            return reply;
        }
        let order = usize::from(run.message.order);
        if let Some(request) = self.request(&run, call) {
            let party = party_mut(&mut state.orders[order], run.message.step);
            return say(
                party.serve(request, refuse, self.scenario.party),
                run.message.step,
            );
        }
        match call {
            Call::Answer(answer) => {
                state.orders[order].processed |= step_bit(run.message.step);
                Reply::Answered(self.tell(state, index, answer))
            }
            Call::Resend => {
                state.messages.push(Message {
                    receives: 0,
                    ..run.message
                });
                Reply::Done
            }
            Call::DeadLetter | Call::Quarantine => {
                let dead = Message {
                    receives: 0,
                    dead: true,
                    ..run.message
                };
                state.messages.push(dead);
                Reply::Done
            }
            _ => Reply::Done,
        }
    }

    /// A worker hears an answer, and goes on to its next call. A delay is a
    /// courtesy, and an end without deletion is as good as a crash: both go by at once.
    fn hear(&self, state: &mut State, index: usize, reply: &Reply) {
        let run = &mut state.runs[index];
        run.place = self.workers.after(run.place, reply);
        loop {
            match *self.workers.next(run.place) {
                Next::Call(Call::Delay) => {
                    run.place = self.workers.after(run.place, &Reply::Done);
                }
                Next::Ended {
                    acknowledged: false,
                } => return self.come_back(state, index),
                _ => return,
            }
        }
    }

    /// The message of a worker that ended or died goes back to its queue, or to the
    /// dead-letter queue where the queue's own policy says so.
    fn come_back(&self, state: &mut State, index: usize) {
        let run = state.runs.remove(index);
        if !run.deleted {
            let dead = run.message.receives >= MAX_RECEIVES;
            let receives = if dead { 0 } else { run.message.receives };
            state.messages.push(Message {
                dead,
                receives,
                ..run.message
            });
        }
    }

    /// Sabotage: what the worker would answer after its commit, it answers before.
    fn answers_early(&self, state: &mut State, index: usize, call: &Call) -> bool {
        let commits = matches!(
            call,
            Call::Commit(..) | Call::CommitUndo(..) | Call::CommitAtOnce(..)
        );
        let run = state.runs[index];
        if !commits || run.answered {
            return false;
        }
        let committed = self.workers.after(run.place, &Reply::Done);
        let Next::Call(Call::Answer(answer)) = &*self.workers.next(committed) else {
            return false;
        };
        self.tell(state, index, answer);
        state.runs[index].answered = true;
        true
    }

    /// The saga gets an answer, if it still waits for this one.
    fn tell(&self, state: &mut State, index: usize, answer: &Answer) -> Answered {
        let message = state.runs[index].message;
        let order = message.order;
        let Saga::In(at) = state.orders[usize::from(order)].saga else {
            return Answered::Stale;
        };
        if !message.awaited || self.saga.state(at).kind != Kind::Ask(message.step) {
            return Answered::Stale;
        }
        match answer {
            Answer::Success(_) => self.enter(state, order, self.saga.state(at).next),
            Answer::Failure { error, .. } => self.catch(state, order, error),
        }
        Answered::Delivered
    }

    fn catch(&self, state: &mut State, order: u8, error: &str) {
        let Saga::In(at) = state.orders[usize::from(order)].saga else {
            return;
        };
        match self.saga.state(at).caught(error) {
            Some(next) => self.enter(state, order, Some(next)),
            None => self.leave(state, order, Saga::Died),
        }
    }

    /// The saga enters a state: a command is on its way at once.
    fn enter(&self, state: &mut State, order: u8, next: Option<StateId>) {
        let Some(next) = next else {
            return self.leave(state, order, Saga::Over);
        };
        match self.saga.state(next).kind {
            Kind::Succeed => self.leave(state, order, Saga::Over),
            Kind::Fail => self.leave(state, order, Saga::Died),
            Kind::End(_) => self.leave(state, order, Saga::In(next)),
            Kind::Ask(step) => {
                self.leave(state, order, Saga::In(next));
                self.publish(state, order, step);
            }
        }
    }

    fn publish(&self, state: &mut State, order: u8, step: Step) {
        state.orders[usize::from(order)].accepted |= step_bit(step);
        state.messages.push(Message {
            dead: false,
            order,
            step,
            awaited: true,
            receives: 0,
        });
    }

    /// The saga leaves its state: nobody waits for the answers to it any more.
    fn leave(&self, state: &mut State, order: u8, saga: Saga) {
        state.orders[usize::from(order)].saga = saga;
        let messages = state.messages.iter_mut();
        let running = state.runs.iter_mut().map(|run| &mut run.message);
        for message in messages
            .chain(running)
            .filter(|message| message.order == order)
        {
            message.awaited = false;
        }
    }

    /// An order's end is written, unless there is one.
    fn write_end(&self, order: &mut Order, write: EndWrite) -> bool {
        let refused = write.conditional && order.status.is_final();
        if refused && !self.is(Sabotage::UnconditionalEnd) {
            return false;
        }
        order.append(end_event(write.status));
        order.ends += 1;
        true
    }

    fn end_in_saga(&self, state: &mut State, order: u8) {
        let Saga::In(at) = state.orders[usize::from(order)].saga else {
            return;
        };
        let Kind::End(write) = self.saga.state(at).kind else {
            return;
        };
        if self.write_end(&mut state.orders[usize::from(order)], write) {
            self.enter(state, order, self.saga.state(at).next);
        } else {
            self.catch(state, order, "DynamoDB.ConditionalCheckFailedException");
        }
    }

    /// A claim whose outcome is unknown stays; the sabotages let it go.
    fn let_go(&self, state: &mut State, run: Run) {
        let order = &mut state.orders[usize::from(run.message.order)];
        for (_, stored) in &mut order.records {
            if stored.owner == run.label && self.is(Sabotage::ReleaseUnknown) {
                let mut record = self.records.load(*stored);
                if let Some(until) = lease(&mut record) {
                    *until = Millis::EPOCH;
                }
                *stored = self.records.store(record, stored.owner);
            }
        }
        if self.is(Sabotage::ForgetUnknown) && !run.message.step.is_undo() {
            order
                .records
                .retain(|(_, stored)| stored.owner != run.label);
        }
    }

    fn apply(&self, state: &mut State, action: Action) {
        match action {
            Action::StartSaga(order) => self.enter(state, order, Some(self.saga.first)),
            Action::Deliver(message) => {
                let mut message = state.messages.remove(usize::from(message));
                message.receives += 1;
                let start = Start {
                    order: message.order,
                    step: message.step,
                    last: message.receives >= MAX_RECEIVES,
                };
                state.runs.push(Run {
                    message,
                    place: self.workers.start(&start),
                    answered: false,
                    deleted: false,
                    label: state.free_label(),
                });
            }
            Action::Go(run) => self.go(state, usize::from(run), false),
            Action::Refuse(run) => {
                spend(&mut state.left.refusals);
                self.go(state, usize::from(run), true);
            }
            Action::End(run) => {
                state.runs.remove(usize::from(run));
            }
            Action::Crash(run) => {
                spend(&mut state.left.crashes);
                self.come_back(state, usize::from(run));
            }
            Action::CrashWhileAsking(run) => {
                spend(&mut state.left.crashes);
                spend(&mut state.left.party_faults);
                self.send(state, usize::from(run));
                self.come_back(state, usize::from(run));
            }
            Action::NoAnswer { run, landed } => {
                spend(&mut state.left.lost_answers);
                let run = usize::from(run);
                let next = self.workers.next(state.runs[run].place);
                if let (true, Next::Call(call)) = (landed, &*next) {
                    self.carry_out(state, run, call, false);
                }
                self.hear(state, run, &Reply::NoAnswer);
            }
            Action::PartyFails(run) => {
                spend(&mut state.left.party_faults);
                self.hear(state, usize::from(run), &Reply::PartyFailed);
            }
            Action::PartySilent { run, on_its_way } => {
                spend(&mut state.left.party_faults);
                let run = usize::from(run);
                if on_its_way {
                    self.send(state, run);
                }
                self.let_go(state, state.runs[run]);
                self.hear(state, run, &Reply::PartyTimedOut);
            }
            Action::Duplicate(message) => {
                spend(&mut state.left.duplicates);
                state.messages.push(state.messages[usize::from(message)]);
            }
            Action::VisibilityEnds(run) => {
                spend(&mut state.left.duplicates);
                state.messages.push(state.runs[usize::from(run)].message);
            }
            Action::Replay(message) => {
                spend(&mut state.left.replays);
                let message = &mut state.messages[usize::from(message)];
                message.dead = false;
                message.receives = 0;
            }
            _ => self.apply_to_order(state, action),
        }
    }

    fn apply_to_order(&self, state: &mut State, action: Action) {
        match action {
            Action::Arrives {
                order,
                warehouse,
                request,
                refused,
            } => {
                if refused {
                    spend(&mut state.left.refusals);
                }
                let order = &mut state.orders[usize::from(order)];
                let party = if warehouse {
                    &mut order.warehouse
                } else {
                    &mut order.payment
                };
                let mut waiting = party.in_flight.iter();
                if let Some(index) = waiting.position(|waiting| *waiting == request) {
                    party.in_flight.remove(index);
                }
                party.serve(request, refused, self.scenario.party);
            }
            Action::LeaseEnds { order, key } => self.lease_ends(state, order, key),
            Action::TimeOut(order) => {
                if let Saga::In(at) = state.orders[usize::from(order)].saga
                    && let Kind::Ask(step) = self.saga.state(at).kind
                    && !is_unanswerable(state, order, step)
                {
                    spend(&mut state.left.time_outs);
                }
                self.catch(state, order, "States.Timeout");
            }
            Action::PublishAgain(order) => {
                spend(&mut state.left.lost_answers);
                if let Saga::In(at) = state.orders[usize::from(order)].saga
                    && let Kind::Ask(step) = self.saga.state(at).kind
                {
                    self.leave(state, order, Saga::In(at));
                    self.publish(state, order, step);
                }
            }
            Action::WriteEnd(order) => self.end_in_saga(state, order),
            Action::WriteEndLost {
                order,
                on_its_way,
                gives_up,
            } => {
                spend(&mut state.left.lost_answers);
                if let (true, Saga::In(at)) = (on_its_way, state.orders[usize::from(order)].saga) {
                    state.orders[usize::from(order)].late_end = Some(at);
                }
                if gives_up {
                    self.catch(state, order, "States.Timeout");
                }
            }
            Action::LateEnd(order) => {
                let order = &mut state.orders[usize::from(order)];
                if let Some(at) = order.late_end.take()
                    && let Kind::End(write) = self.saga.state(at).kind
                {
                    self.write_end(order, write);
                }
            }
            Action::SagaDies(order) => {
                spend(&mut state.left.saga_deaths);
                self.leave(state, order, Saga::Died);
            }
            Action::Rescue(order) => {
                self.write_end(&mut state.orders[usize::from(order)], self.saga.rescue);
                self.leave(state, order, Saga::Over);
            }
            _ => {}
        }
    }

    /// A worker's request is on its way.
    fn send(&self, state: &mut State, index: usize) {
        let run = state.runs[index];
        if let Next::Call(call) = &*self.workers.next(run.place)
            && let Some(request) = self.request(&run, call)
        {
            let order = &mut state.orders[usize::from(run.message.order)];
            party_mut(order, run.message.step).in_flight.push(request);
        }
    }

    fn lease_ends(&self, state: &mut State, order: u8, key: u8) {
        let order = &mut state.orders[usize::from(order)];
        for (known, stored) in &mut order.records {
            if *known == key {
                let mut record = self.records.load(*stored);
                if let Some(until) = lease(&mut record) {
                    *until = NOW;
                }
                *stored = self.records.store(record, stored.owner);
            }
        }
        if self.scenario.party == PartyRules::Prompt {
            let step = if self.key(key).ends_with(Step::Ship.as_str()) {
                Step::Ship
            } else {
                Step::Charge
            };
            party_mut(order, step).in_flight.clear();
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            orders: vec![Order::accepted(); usize::from(self.scenario.orders)],
            stock: [self.scenario.pieces, 0, 0],
            messages: Vec::new(),
            runs: Vec::new(),
            left: self.scenario.faults,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.by_itself(state, actions);
        self.mishaps(state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        self.apply(&mut next, action);
        next.tidy();
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}

/// Whether the saga can wait for ever: no delivery of its command is left.
fn is_unanswerable(state: &State, order: u8, step: Step) -> bool {
    let running = state.runs.iter().map(|run| &run.message);
    let mut alive = state.messages.iter().chain(running);
    !alive.any(|message| {
        message.order == order && message.step == step && message.awaited && !message.dead
    })
}

/// Counts down, unless there is no limit.
fn spend(left: &mut u8) {
    if *left != Scenario::ALWAYS {
        *left = left.saturating_sub(1);
    }
}

fn party(order: &Order, step: Step) -> &Party {
    match step.action() {
        Step::Ship => &order.warehouse,
        _ => &order.payment,
    }
}

fn party_mut(order: &mut Order, step: Step) -> &mut Party {
    match step.action() {
        Step::Ship => &mut order.warehouse,
        _ => &mut order.payment,
    }
}

/// What an outside party says, in the words of the port.
#[allow(clippy::expect_used, reason = "constants that fit")]
fn say(said: Said, step: Step) -> Reply {
    let money = Money {
        amount: 1250,
        currency: Currency::new("EUR").expect("a currency"),
    };
    let item = ItemQuantity {
        sku: Sku::new(SKU).expect("an article"),
        quantity: Quantity::new(1).expect("a quantity"),
    };
    let reference = "ref".to_owned();
    let (code, message) = ("refused".to_owned(), "Refused.".to_owned());
    match (step.action(), said) {
        (Step::Ship, Said::Done) => Reply::Shipment(Shipment::Created {
            reference,
            items: vec![item],
        }),
        (Step::Ship, Said::Refused) => Reply::Shipment(Shipment::Refused { code, message }),
        (Step::Ship, Said::TakenBack) => Reply::Cancellation(Cancellation::Cancelled { reference }),
        (Step::Ship, Said::Nothing) => Reply::Cancellation(Cancellation::NothingToCancel),
        (_, Said::Done) => Reply::Charge(Charge::Captured { money, reference }),
        (_, Said::Refused) => Reply::Charge(Charge::Declined { code, message }),
        (_, Said::TakenBack) => Reply::Refund(Refund::Refunded { money, reference }),
        (_, Said::Nothing) => Reply::Refund(Refund::NothingToRefund),
    }
}
