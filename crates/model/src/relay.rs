//! The publication of events: stream, relay and bus, with the real relay.
//!
//! Apart from the rest, because nothing there depends on when an event is
//! published: the relay reads the stream alone and writes to the bus alone.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::{Context, Poll, Waker};

use aws_lambda_events::event::dynamodb::Event as StreamEvent;
use domain::EventKind;
use idempotency::{Clock, Millis};
use outbox_relay::{Failures, PATIENCE, Relay};
use ports::{Bus, Delivery, HeldOrder, HeldOrders, Unavailable};
use serde_json::{Value, json};
use stateright::{Model, Property};

use crate::explored::invariants::EVENTS;
use crate::explored::{Explored, Part, all_hold};
use crate::worker::order_id;

/// What the stream holds: each change of an order, with the length of its
/// timeline before and after.
const STREAM: [(u8, usize, usize); 7] = [
    (0, 0, 1),
    (1, 0, 1),
    (0, 1, 2),
    // A change that brings no event.
    (0, 2, 2),
    // One that brings two.
    (0, 2, 4),
    (1, 1, 2),
    (0, 4, 5),
];

/// The events of an order, as far as the stream goes.
const TIMELINE: [EventKind; 5] = [
    EventKind::OrderPlaced,
    EventKind::PaymentCaptured,
    EventKind::StockReserved,
    EventKind::ShipmentCreated,
    EventKind::OrderCompleted,
];

/// The model of the publication.
#[derive(Debug)]
pub struct Publication {
    /// How the relay tells of what it could not publish.
    pub failures: Failures,
    /// How much may go wrong.
    pub mishaps: u8,
    /// The event of an order, by its sequence number, that cannot be read.
    pub unreadable: Option<(u8, usize)>,
    /// Broken on purpose: the relay is told that all was published.
    pub lying_bus: bool,
    /// What the relay was seen to do, from which record on and with which answers.
    seen: RwLock<HashMap<(u8, bool, Run), Arc<Next>>>,
}

/// One moment of the publication.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Moment {
    /// Records in front of this one do not come again.
    pub checkpoint: u8,
    /// The relay at work.
    pub run: Option<Run>,
    /// The records are so old that the relay waits no longer for what it cannot read.
    pub old: bool,
    /// For each order: whether people were told that it is held.
    pub held: [bool; 2],
    /// For each order: the sequence numbers that were published, a bit for each.
    pub published: [u8; 2],
    /// An event was published before one in front of it.
    pub overtaken: bool,
    /// An event went out, or an order was held, with another number than its place.
    pub misnumbered: bool,
    /// How much more may go wrong.
    pub left: u8,
}

/// The relay at work on records of the stream, with the answers of the bus so far.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Run {
    /// Behind the last record of the batch.
    pub to: u8,
    /// What the bus answered: a bit for each message that it took, or no answer.
    pub answers: Vec<Option<u8>>,
}

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Time passes.
    Age,
    /// Lambda invokes the relay with the records up to this one.
    Invoke(u8),
    /// The bus takes these messages of a request, a bit for each, and says so. A report
    /// is one message.
    Take(u8),
    /// The bus takes all messages, and its answer is lost.
    TakeSilently,
    /// The bus takes none, and does not answer.
    Refuse,
    /// The relay dies; the batch comes again.
    Crash,
    /// The relay has ended.
    End,
}

/// What the relay does next.
#[derive(Debug)]
enum Next {
    /// It asks this.
    Ask(Asked),
    /// It has ended, and these records, by their place in the batch, come again.
    Ended(Result<Option<usize>, ()>),
}

/// A request of the relay.
#[derive(Debug)]
enum Asked {
    /// Publish these messages.
    Publish(Vec<Value>),
    /// Tell people of this order.
    Report(HeldOrder),
}

impl Asked {
    fn messages(&self) -> usize {
        match self {
            Self::Publish(messages) => messages.len(),
            Self::Report(_) => 1,
        }
    }
}

impl Publication {
    /// A model with so many mishaps.
    pub fn new(failures: Failures, mishaps: u8) -> Self {
        Self {
            failures,
            mishaps,
            unreadable: None,
            lying_bus: false,
            seen: RwLock::default(),
        }
    }

    /// The same, with an event that cannot be read: the third of order 0, which comes
    /// with another behind it, so that later changes of the order come upon it too.
    pub fn unreadable(failures: Failures, mishaps: u8) -> Self {
        Self {
            unreadable: Some((0, 3)),
            ..Self::new(failures, mishaps)
        }
    }

    /// The relay at each place is run once.
    fn next(&self, moment: &Moment, run: &Run) -> Arc<Next> {
        let at = (moment.checkpoint, moment.old, run.clone());
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = seen.get(&at) {
            return Arc::clone(known);
        }
        drop(seen);
        let next = Arc::new(self.run(moment, run));
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        seen.insert(at, Arc::clone(&next));
        next
    }

    fn run(&self, moment: &Moment, run: &Run) -> Next {
        let batch = &STREAM[usize::from(moment.checkpoint)..usize::from(run.to)];
        let bus = Script {
            answers: &run.answers,
            asked: Mutex::default(),
        };
        let clock = RecordsAre { old: moment.old };
        let relay = Relay::new(&bus, &bus, clock, self.failures);
        let event = self.stream_event(batch);
        let polled = {
            let relaying = pin!(relay.relay(&event));
            relaying.poll(&mut Context::from_waker(Waker::noop()))
        };
        match polled {
            Poll::Pending => Next::Ask(bus.unanswered()),
            Poll::Ready(Err(_)) => Next::Ended(Err(())),
            Poll::Ready(Ok(response)) => {
                let failed = response.batch_item_failures.first();
                let place =
                    failed.and_then(|failure| failure.item_identifier.as_deref()?.parse().ok());
                Next::Ended(Ok(place))
            }
        }
    }
}

impl Model for Publication {
    type State = Moment;
    type Action = Step;

    fn init_states(&self) -> Vec<Moment> {
        vec![Moment {
            checkpoint: 0,
            run: None,
            old: false,
            held: [false; 2],
            published: [0; 2],
            overtaken: false,
            misnumbered: false,
            left: self.mishaps,
        }]
    }

    fn actions(&self, moment: &Moment, steps: &mut Vec<Step>) {
        let Some(run) = &moment.run else {
            steps.extend((moment.checkpoint..END).map(|last| Step::Invoke(last + 1)));
            if self.unreadable.is_some() && !moment.old {
                steps.push(Step::Age);
            }
            return;
        };
        let messages = match &*self.next(moment, run) {
            Next::Ended(_) => {
                steps.push(Step::End);
                0
            }
            Next::Ask(asked) => asked.messages(),
        };
        let all = (1_u8 << messages) - 1;
        if messages > 0 {
            steps.push(Step::Take(all));
        }
        if moment.left > 0 {
            steps.push(Step::Crash);
            if messages > 0 {
                steps.extend((0..all).map(Step::Take));
                steps.extend([Step::TakeSilently, Step::Refuse]);
            }
        }
    }

    fn next_state(&self, moment: &Moment, step: Step) -> Option<Moment> {
        let mut next = moment.clone();
        match step {
            Step::Age => next.old = true,
            Step::Invoke(to) => {
                next.run = Some(Run {
                    to,
                    answers: Vec::new(),
                });
            }
            Step::Crash => {
                next.run = None;
                next.left -= 1;
            }
            Step::End => {
                let run = next.run.take()?;
                if let Next::Ended(Ok(failed)) = &*self.next(moment, &run) {
                    let failed = failed.and_then(|place| u8::try_from(place).ok());
                    next.checkpoint = failed.unwrap_or(run.to);
                }
            }
            Step::Take(_) | Step::TakeSilently | Step::Refuse => self.answer(&mut next, step)?,
        }
        Some(next)
    }

    /// The invariant, and each part of it by itself: several break at once.
    fn properties(&self) -> Vec<Property<Self>> {
        let parts = EVENTS_PARTS.iter();
        let mut all: Vec<_> = parts
            .map(|(part, holds)| Property::always(part, *holds))
            .collect();
        all.push(Property::always(EVENTS, |model, moment| {
            all_hold(EVENTS_PARTS, model, moment)
        }));
        all.push(Property::sometimes(
            "everything is published",
            |_, moment: &Moment| moment.checkpoint == END,
        ));
        all
    }
}

const EVENTS_PARTS: &[Part<Publication>] = &[
    (
        "each event of an order that can be read is published at least once",
        |model, moment| moment.checkpoint < END || moment.published == model.readable(),
    ),
    (
        "people are told of an order with an event that cannot be read, and of no other",
        |model, moment| {
            let unreadable = model.unreadable.map(|(order, _)| order);
            let told = [0, 1].map(|order| unreadable == Some(order));
            (moment.checkpoint == END && moment.held == told) || moment.checkpoint < END
        },
    ),
    ("an order's events are published in order", |_, moment| {
        !moment.overtaken
    }),
    ("each event carries its sequence number", |_, moment| {
        !moment.misnumbered
    }),
];

impl Explored for Publication {
    fn parts(&self, words: &str) -> &'static [Part<Self>] {
        match words {
            EVENTS => EVENTS_PARTS,
            _ => &[],
        }
    }

    /// A bus that serves, and a relay that lives.
    fn progress(&self, moment: &Moment, steps: &mut Vec<Step>) {
        let left = 0;
        let calm = Moment {
            left,
            ..moment.clone()
        };
        self.actions(&calm, steps);
    }

    fn is_at_rest(&self, moment: &Moment) -> bool {
        moment.checkpoint == END && moment.run.is_none()
    }

    fn say(&self, moment: &Moment, step: Step) -> String {
        format!("behind record {}: {step:?}", moment.checkpoint)
    }

    fn describe(&self, moment: &Moment) -> Vec<String> {
        vec![format!("      => {moment:?}")]
    }
}

/// Behind the last record.
#[allow(clippy::cast_possible_truncation, reason = "there are seven")]
const END: u8 = STREAM.len() as u8;

impl Publication {
    /// For each order: the sequence numbers in front of what cannot be read.
    fn readable(&self) -> [u8; 2] {
        let mut all = [0b1_1111, 0b11];
        if let Some((order, place)) = self.unreadable {
            all[usize::from(order)] &= (1 << (place - 1)) - 1;
        }
        all
    }

    fn answer(&self, moment: &mut Moment, step: Step) -> Option<()> {
        let run = moment.run.clone()?;
        let next = self.next(moment, &run);
        let Next::Ask(asked) = &*next else {
            return None;
        };
        let all = (1_u8 << asked.messages()) - 1;
        let (taken, mut answer) = match step {
            Step::Take(taken) => (taken, Some(taken)),
            Step::TakeSilently => (all, None),
            _ => (0, None),
        };
        if self.lying_bus {
            answer = Some(all);
        }
        if step != Step::Take(all) {
            moment.left -= 1;
        }
        match asked {
            Asked::Publish(messages) => {
                for (index, message) in messages.iter().enumerate() {
                    if taken & (1 << index) != 0 {
                        note(moment, message);
                    }
                }
            }
            Asked::Report(order) if taken == all => self.note_held(moment, order),
            Asked::Report(_) => {}
        }
        moment.run.as_mut()?.answers.push(answer);
        Some(())
    }

    /// Notes that people were told.
    fn note_held(&self, moment: &mut Moment, held: &HeldOrder) {
        let order = (0_u8..2).find(|order| held.order_id == order_id(*order).to_string());
        match order {
            Some(order) => {
                moment.held[usize::from(order)] = true;
                moment.misnumbered |= self.unreadable != Some((order, held.from));
            }
            None => moment.misnumbered = true,
        }
    }

    /// Records as the stream delivers them; the sequence number is the place in the batch.
    fn stream_event(&self, batch: &[(u8, usize, usize)]) -> StreamEvent {
        let records = batch
            .iter()
            .enumerate()
            .map(|(place, (order, before, after))| {
                json!({
                    "eventID": place.to_string(),
                    "eventName": "MODIFY",
                    "awsRegion": "eu-central-1",
                    "dynamodb": {
                        "SequenceNumber": place.to_string(),
                        "Keys": { "orderId": { "S": order_id(*order).to_string() } },
                        "OldImage": self.image(*order, *before),
                        "NewImage": self.image(*order, *after),
                        "SizeBytes": 1,
                        "ApproximateCreationDateTime": MADE_AT,
                    },
                })
            });
        let event = json!({ "Records": records.collect::<Vec<_>>() });
        serde_json::from_value(event).unwrap_or_else(|error| panic!("no stream event: {error}"))
    }

    fn image(&self, order: u8, length: usize) -> Value {
        if length == 0 {
            return json!({});
        }
        let entries = TIMELINE
            .iter()
            .take(length)
            .enumerate()
            .map(|(index, kind)| match self.unreadable {
                Some(broken) if broken == (order, index + 1) => json!({ "S": "{" }),
                _ => json!({ "S": entry(order, *kind) }),
            });
        json!({ "timeline": { "L": entries.collect::<Vec<_>>() } })
    }
}

/// Notes that a message is out.
fn note(moment: &mut Moment, message: &Value) {
    let order = (0_u8..2).find(|order| message["subject"] == order_id(*order).to_string());
    let sequence = message["sequence"]
        .as_u64()
        .and_then(|number| usize::try_from(number).ok());
    let place = sequence.and_then(|number| number.checked_sub(1));
    let (Some(order), Some(place)) = (order, place) else {
        moment.misnumbered = true;
        return;
    };
    let kind = TIMELINE.get(place).map(|kind| format!("waybill.{kind}.v1"));
    moment.misnumbered |= message["type"].as_str() != kind.as_deref();
    let published = &mut moment.published[usize::from(order)];
    let before = (1_u8 << place) - 1;
    moment.overtaken |= *published & before != before;
    *published |= 1 << place;
}

/// When all records were made, in seconds since 1970.
const MADE_AT: u64 = 1_795_283_775;

/// The relay's clock.
#[derive(Debug, Clone, Copy)]
struct RecordsAre {
    old: bool,
}

impl Clock for RecordsAre {
    fn now(&self) -> Millis {
        let made = Millis::new(MADE_AT * 1000);
        if self.old { made.plus(PATIENCE) } else { made }
    }
}

/// The bus, and who hears of held orders, as the relay sees them: answers from a list.
#[derive(Debug)]
struct Script<'a> {
    answers: &'a [Option<u8>],
    /// The requests so far.
    asked: Mutex<Vec<Asked>>,
}

impl Script<'_> {
    fn unanswered(self) -> Asked {
        let asked = self
            .asked
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let last = asked.into_iter().next_back();
        last.unwrap_or_else(|| panic!("the relay waits for nothing that it asked"))
    }

    /// `None` where the answer gets lost.
    async fn ask(&self, asked: Asked) -> Option<u8> {
        let number = {
            let mut all = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            all.push(asked);
            all.len()
        };
        match self.answers.get(number - 1) {
            None => std::future::pending().await,
            Some(answer) => *answer,
        }
    }
}

const LOST: &str = "the model lets the answer get lost";

impl Bus for &Script<'_> {
    /// Small, so that a batch of the stream takes several requests.
    const BATCH: usize = 2;
    const BATCH_BYTES: usize = 1 << 18;

    async fn publish(&self, messages: &[&str]) -> Result<Vec<Delivery>, Unavailable> {
        let read = |message: &&str| serde_json::from_str(message).unwrap_or_default();
        let asked = Asked::Publish(messages.iter().map(read).collect());
        match self.ask(asked).await {
            None => Err(Unavailable::new("model", LOST)),
            Some(taken) => Ok((0..messages.len())
                .map(|index| match taken & (1 << index) {
                    0 => Delivery::Failed {
                        code: "InternalError".to_owned(),
                    },
                    _ => Delivery::Published,
                })
                .collect()),
        }
    }
}

impl HeldOrders for &Script<'_> {
    async fn report(&self, order: &HeldOrder) -> Result<(), Unavailable> {
        match self.ask(Asked::Report(order.clone())).await {
            Some(1) => Ok(()),
            _ => Err(Unavailable::new("model", LOST)),
        }
    }
}

fn entry(order: u8, kind: EventKind) -> String {
    let order = order_id(order);
    json!({
        "specversion": "1.0",
        "id": format!("{order}/{kind}"),
        "source": "/waybill/model",
        "type": format!("waybill.{kind}.v1"),
        "subject": order.to_string(),
        "time": "2026-11-21T17:56:15.859Z",
        "datacontenttype": "application/json",
        "correlationid": "req-1",
        "data": { "orderId": order.to_string() },
    })
    .to_string()
}
