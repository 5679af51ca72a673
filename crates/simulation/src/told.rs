//! Answers of ports in a few words, for the story. Never with a token, and never with
//! anything that is drawn by the operating system.

use std::borrow::Cow;

use circuit::{Circuit, Mapping, Opened, ProbeAnswer, Saved, Taken};
use domain::payment::{Charge, Refund};
use domain::shipment::{Cancellation, Shipment};
use failures::{DeadLetter, Failure, Group, Page, Plan, SendError};
use idempotency::record::State;
use idempotency::{ActionOutcome, Begin, BeginUndo, Record, StoreError};
use message_worker::{QueueError, cause_chain};
use ports::{
    Accepted, Answered, CommitError, Completion, Delivery, OrderRecord, ProviderError, QueueReport,
    Reserve, SagaStart, Unavailable,
};

use crate::queues::Message;

/// Says in a few words what it is.
pub(crate) trait Told {
    fn told(&self) -> Cow<'static, str>;
}

macro_rules! told {
    ($type:ty, $value:ident => $words:expr) => {
        impl Told for $type {
            fn told(&self) -> Cow<'static, str> {
                let $value = self;
                Cow::from($words)
            }
        }
    };
}

told!(Saved, it => match it {
    Saved::Yes => "saved",
    Saved::Conflict => "conflict",
});
told!(Opened, it => match it {
    Opened::Now => "opened",
    Opened::Before => "open before",
});
told!(Circuit, it => crate::circuits::told(it));
told!(Mapping, it => format!("{:?}", it.switch));
told!(Taken<Message>, it => match it {
    Taken::Message(message) => format!("received {}", message.id),
    Taken::Waiting => "waiting".to_owned(),
    Taken::Nothing => "nothing".to_owned(),
});
told!(ProbeAnswer, it => format!("{:?}", it.verdict));
told!((), _done => "done");
told!(bool, it => if *it { "yes" } else { "no" });
told!(Begin, it => match it {
    Begin::Start(_) => "start",
    Begin::AlreadyCompleted { .. } => "already completed",
    Begin::Undone => "undone",
    Begin::InProgress { .. } => "in progress",
    Begin::FingerprintMismatch => "other payload",
    Begin::Abandoned => "abandoned",
});
told!(BeginUndo, it => match it {
    BeginUndo::Start(started) => match started.action {
        ActionOutcome::NeverRan => "start, the action never ran",
        ActionOutcome::Completed { .. } => "start, the action was completed",
        ActionOutcome::Unknown => "start, the action's outcome is unknown",
    },
    BeginUndo::AlreadyUndone { .. } => "already undone",
    BeginUndo::InProgress { .. } => "in progress",
    BeginUndo::FingerprintMismatch => "other payload",
    BeginUndo::Abandoned => "abandoned",
});
told!(Option<BeginUndo>, it => it.as_ref().map_or(Cow::from("done"), Told::told));
told!(Reserve, it => match it {
    Reserve::Done => Cow::from("done"),
    Reserve::Short(_) => Cow::from("short"),
    Reserve::OrderEnded => Cow::from("order ended"),
    Reserve::Known(begin) => Cow::from(format!("known: {}", begin.told())),
});
told!(Completion, it => match it {
    Completion::Open => "open",
    Completion::UnderWay => "under way",
    Completion::Completed => "completed",
});
told!(Option<Record>, it => match it.as_ref().map(|record| &record.state) {
    None => "none",
    Some(State::Started { .. }) => "started",
    Some(State::Completed { .. }) => "completed",
    Some(State::Undoing { .. }) => "undoing",
    Some(State::Undone { .. }) => "undone",
});
told!(Charge, it => match it {
    Charge::Captured { .. } => "captured",
    Charge::Declined { .. } => "declined",
});
told!(Refund, it => match it {
    Refund::Refunded { .. } => "refunded",
    Refund::NothingToRefund => "nothing to refund",
});
told!(Shipment, it => match it {
    Shipment::Created { .. } => "created",
    Shipment::Refused { .. } => "refused",
});
told!(Cancellation, it => match it {
    Cancellation::Cancelled { .. } => "cancelled",
    Cancellation::NothingToCancel => "nothing to cancel",
});
told!(Answered, it => match it {
    Answered::Delivered => "delivered",
    Answered::Stale => "stale",
});
told!(SagaStart, it => match it {
    SagaStart::Started => "started",
    SagaStart::AlreadyExists => "exists already",
});
told!(Accepted, it => match it {
    Accepted::New => "new",
    Accepted::Known(_) => "known",
});
told!(Vec<Delivery>, it => {
    let is_taken = |it: &Delivery| matches!(it, Delivery::Published);
    if it.iter().all(is_taken) { "published" } else { "published in part" }
});
told!(Option<OrderRecord>, it => found(it.is_some()));
told!(Option<Failure>, it => found(it.is_some()));
told!(Option<Group>, it => found(it.is_some()));
told!(Option<Plan>, it => found(it.is_some()));
told!(Option<QueueReport>, it => found(it.is_some()));
told!(Page<Failure>, it => format!("{} found", it.items.len()));
told!(Vec<Group>, it => format!("{} found", it.len()));
told!(Vec<Plan>, it => format!("{} found", it.len()));
told!(Vec<DeadLetter>, it => {
    let ids: Vec<_> = it.iter().map(|letter| letter.message_id.as_str()).collect();
    format!("received {}", ids.join(" "))
});

fn found(is_found: bool) -> &'static str {
    if is_found { "found" } else { "none" }
}

/// The errors that a port returns where a call went wrong on the way.
pub(crate) trait Lost: std::error::Error + Send + Sync + Sized + 'static {
    /// The request did not get there.
    fn request() -> Self;
    /// The answer did not get back.
    fn answer() -> Self;

    fn words(&self) -> String {
        cause_chain(self).join(": ")
    }
}

const REQUEST: &str = "the request got lost";
const ANSWER: &str = "the answer got lost";

impl Lost for Unavailable {
    fn request() -> Self {
        Self::new("simulation", REQUEST)
    }

    fn answer() -> Self {
        Self::new("simulation", ANSWER)
    }
}

impl Lost for StoreError {
    fn request() -> Self {
        Self::Unavailable(REQUEST.into())
    }

    fn answer() -> Self {
        Self::Unavailable(ANSWER.into())
    }
}

impl Lost for CommitError {
    fn request() -> Self {
        Self::Store(Lost::request())
    }

    fn answer() -> Self {
        Self::Store(Lost::answer())
    }
}

impl Lost for ProviderError {
    fn request() -> Self {
        Self::Unavailable(REQUEST.into())
    }

    fn answer() -> Self {
        Self::OutcomeUnknown(ANSWER.into())
    }
}

impl Lost for SendError {
    fn request() -> Self {
        Self::Refused(Lost::request())
    }

    fn answer() -> Self {
        Self::Unknown(Lost::answer())
    }
}

impl Lost for QueueError {
    fn request() -> Self {
        Self::new(message_worker::Operation::Delay, REQUEST)
    }

    fn answer() -> Self {
        Self::new(message_worker::Operation::Delay, ANSWER)
    }
}
