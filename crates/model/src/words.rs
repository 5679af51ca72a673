//! A path in words.

use ports::Answer;
use stateright::Model;

use crate::calls::Call;
use crate::explored::{Explored, Part};
use crate::model::{Action, Protocol};
use crate::properties;
use crate::saga::Kind;
use crate::state::{Message, Run, Saga, State, lease};
use crate::worker::{NOW, Next};

impl Explored for Protocol {
    fn parts(&self, words: &str) -> &'static [Part<Self>] {
        properties::parts(words)
    }

    fn progress(&self, state: &State, actions: &mut Vec<Action>) {
        self.by_itself(state, actions);
    }

    fn is_at_rest(&self, state: &State) -> bool {
        properties::is_at_rest(self, state)
    }

    fn say(&self, state: &State, action: Action) -> String {
        say(self, state, action)
    }

    fn describe(&self, state: &State) -> Vec<String> {
        describe(self, state)
    }
}

fn say(model: &Protocol, state: &State, action: Action) -> String {
    let message = |index: u8| name(&state.messages[usize::from(index)]);
    let run = |index: u8| worker(&state.runs[usize::from(index)]);
    let call = |index: u8| next_call(model, &state.runs[usize::from(index)]);
    match action {
        Action::StartSaga(order) => format!("order {order}: its saga starts"),
        Action::Deliver(index) => format!("the queue delivers {}", message(index)),
        Action::Go(index) => go(model, state, index),
        Action::Refuse(index) => format!("{} {}: refused", run(index), call(index)),
        Action::End(index) => format!("{} ends; its message is deleted", run(index)),
        Action::Crash(index) => format!("CRASH: {} dies before it {}", run(index), call(index)),
        Action::CrashWhileAsking(index) => format!(
            "CRASH: {} dies while it {}; the request is on its way",
            run(index),
            call(index)
        ),
        Action::NoAnswer { run: index, landed } => format!(
            "LOST ANSWER: {} {}; it {}",
            run(index),
            call(index),
            if landed {
                "takes effect, but the answer is lost"
            } else {
                "is lost"
            }
        ),
        Action::PartyFails(index) => format!("FAULT: {} {}: failed", run(index), call(index)),
        Action::PartySilent {
            run: index,
            on_its_way,
        } => format!(
            "TIMED OUT: {} {}: no answer; the request is {}",
            run(index),
            call(index),
            if on_its_way {
                "still on its way"
            } else {
                "lost"
            }
        ),
        Action::Arrives {
            order,
            warehouse,
            request,
            refused,
        } => format!(
            "order {order}: LATE REQUEST {request:?} reaches the {}{}",
            if warehouse {
                "warehouse"
            } else {
                "payment provider"
            },
            if refused { ", which refuses" } else { "" }
        ),
        Action::LeaseEnds { order, key } => {
            format!(
                "order {order}: the lease on {} runs out",
                short(&model.key(key))
            )
        }
        Action::Duplicate(index) => format!("DUPLICATE: of {}", message(index)),
        Action::VisibilityEnds(index) => {
            format!("DUPLICATE: the message of {} is visible again", run(index))
        }
        Action::Replay(index) => format!("REPLAY: {} is sent again", message(index)),
        Action::TimeOut(order) => {
            format!("order {order}: TIME LIMIT of {}", at(model, state, order))
        }
        Action::PublishAgain(order) => {
            format!("order {order}: {} publishes AGAIN", at(model, state, order))
        }
        Action::WriteEnd(order) => format!("order {order}: {} writes", at(model, state, order)),
        Action::WriteEndLost {
            order,
            on_its_way,
            gives_up,
        } => format!(
            "order {order}: LOST ANSWER: {} writes; the write is {}; the saga {}",
            at(model, state, order),
            if on_its_way { "on its way" } else { "lost" },
            if gives_up { "gives up" } else { "tries again" }
        ),
        Action::LateEnd(order) => format!("order {order}: the LATE WRITE of its end takes place"),
        Action::SagaDies(order) => format!(
            "order {order}: its saga DIES in {}",
            at(model, state, order)
        ),
        Action::Rescue(order) => format!("order {order}: the rescue machine looks"),
    }
}

fn go(model: &Protocol, state: &State, index: u8) -> String {
    let run = &state.runs[usize::from(index)];
    let said = format!("{} {}", worker(run), next_call(model, run));
    let Some(next) = model.next_state(state, Action::Go(index)) else {
        return said;
    };
    // What the worker does next tells what it was answered.
    let still = next
        .runs
        .iter()
        .find(|other| other.message == run.message && other.place != run.place);
    match still.map(|run| model.workers.next(run.place)) {
        Some(next) => match &*next {
            Next::Call(call) => format!("{said} (then: {})", call_name(call)),
            Next::Ended { .. } => format!("{said} (then: done)"),
        },
        None => said,
    }
}

fn next_call(model: &Protocol, run: &Run) -> String {
    match &*model.workers.next(run.place) {
        Next::Call(call) => call_name(call),
        Next::Ended { .. } => "is done".to_owned(),
    }
}

fn call_name(call: &Call) -> String {
    match call {
        Call::Begin(_) => "claims the action".to_owned(),
        Call::BeginUndo(_) => "claims the undo".to_owned(),
        Call::Release(_) | Call::ReleaseUndo(_) => "gives the claim back".to_owned(),
        Call::Get(_) => "reads the record".to_owned(),
        Call::Commit(_, _, change) | Call::CommitUndo(_, _, change) => match change {
            Some(change) => format!("commits {}", change.event.kind),
            None => "commits a result without an event".to_owned(),
        },
        Call::CommitAtOnce(_, _, change) => format!("claims and commits {}", change.event.kind),
        Call::UndoAtOnce(_, _, change) => match change {
            Some(change) => format!("claims and commits {}", change.event.kind),
            None => "claims and commits an undo of nothing".to_owned(),
        },
        Call::Bury(..) => "leaves a tombstone".to_owned(),
        Call::Act { .. } => "asks the outside party".to_owned(),
        Call::CallOff { .. } => "asks the outside party to take it back".to_owned(),
        Call::Answer(Answer::Success(_)) => "answers the saga: done".to_owned(),
        Call::Answer(Answer::Failure { error, .. }) => format!("answers the saga: {error}"),
        Call::Delay => "lets its message wait".to_owned(),
        Call::Resend => "puts a fresh copy into the queue".to_owned(),
        Call::DeadLetter => "moves its message to the dead-letter queue".to_owned(),
        Call::Quarantine => "moves its message to quarantine".to_owned(),
    }
}

fn worker(run: &Run) -> String {
    let message = &run.message;
    format!(
        "order {}: worker {} ({}, receive {})",
        message.order, run.label, message.step, message.receives
    )
}

fn name(message: &Message) -> String {
    format!(
        "{}{} of order {}{}",
        if message.dead { "dead letter " } else { "" },
        message.step,
        message.order,
        if message.awaited {
            ""
        } else {
            ", which nobody awaits"
        }
    )
}

fn at(model: &Protocol, state: &State, order: u8) -> String {
    match state.orders[usize::from(order)].saga {
        Saga::In(at) => {
            let state = model.saga.state(at);
            match state.kind {
                Kind::End(write) => format!("{} ({})", state.name, write.status),
                _ => state.name.clone(),
            }
        }
        other => format!("{other:?}"),
    }
}

/// How everything stands.
fn describe(model: &Protocol, state: &State) -> Vec<String> {
    let mut lines = vec![format!("      => stock {:?}", state.level())];
    for (index, order) in (0_u8..).zip(&state.orders) {
        lines.push(format!(
            "         order {index}: {}; saga {}; captured {}, refunded {}; shipped {}, cancelled {}; pieces reserved, released, shipped, put back: {:?}",
            order.status,
            at(model, state, index),
            order.payment.done,
            order.payment.undone.len(),
            order.warehouse.done,
            order.warehouse.undone.len(),
            order.moves,
        ));
        for (key, stored) in &order.records {
            let mut record = model.records.load(*stored);
            let held = lease(&mut record).is_some_and(|until| *until > NOW);
            let kind = format!("{:?}", record.state);
            let kind = kind.split([' ', '{']).next().unwrap_or_default();
            lines.push(format!(
                "         record {}: {kind}{}",
                short(&model.key(*key)),
                if held { ", held" } else { "" }
            ));
        }
    }
    lines
}

/// A key without its order id.
fn short(key: &str) -> &str {
    key.split_once('/').map_or(key, |(_, step)| step)
}
