//! The real programs around dead letters: worker, drain, replays, and a person.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use aws_lambda_events::event::sqs::SqsEvent;
use contracts::Timestamp;
use failures::replay::{Event, NoDrain, ReplayError, Replayer, Run, Settings, Watcher, Wish};
use failures::replay::{freeze, select};
use failures::{
    Acknowledging, Actor, AutomaticReplay, Change, CircuitStates, DeadLetter, DeadLetterQueues,
    Drain, DrainedQueue, Failure, FailureId, FailureStore, Group, GroupId, GroupStore, Letter,
    Limits, Page, Plan, PlanStore, Query, ReplayId, ReplayQueues, SendError, edit,
};
use idempotency::Millis;
use message_worker::{
    Class, Classify, Config, Delivery, FailureRecord, Handler, Operation, Queue, QueueError,
    RecordContext, Worker,
};
use ports::Unavailable;
use serde_json::json;
use tokio::time::Instant;

use crate::tree::{Program, Script};
use crate::worker::{NOW, Still, command};

/// Whose messages these are.
pub(super) const CONSUMER: &str = "payment";

/// The queue that is drained.
pub(super) const DEAD_LETTERS: &str = "waybill-payment-dlq";

/// The plans that operators make, and their names.
pub(super) const OPERATORS: [&str; 2] = ["ada", "bob"];

/// How often a message is replayed by itself.
pub(super) const AUTOMATIC_REPLAYS: u32 = 2;

/// What begins.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Start {
    /// The worker gets a message, for the last time.
    Worker {
        /// The message's id.
        id: String,
        /// What it says.
        body: String,
        /// The record and the replay that its attributes name.
        replayed: Option<(String, String)>,
    },
    /// A drain of the dead-letter queue.
    Drain,
    /// An operator's replay of all that waits.
    Operator {
        /// Which operator.
        operator: u8,
        /// Names the process.
        run: u8,
        /// How many canaries the plan has.
        canaries: u8,
        /// Whether the plan is still to be made. If not, it is resumed.
        begins: bool,
    },
    /// A run of the automatic replay.
    Automatic,
    /// A person changes a record.
    Person(Act, String),
}

/// What a person does with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Act {
    /// Puts it aside.
    Archive,
    /// Lets it wait again.
    Restore,
    /// Says that it is done.
    Resolve,
    /// Mends the message.
    Edit,
}

/// A call of a port.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Call {
    /// The worker does what the message asks for.
    Handle,
    /// The worker moves the message to the dead-letter queue.
    Move(Box<FailureRecord>),
    /// Reads a record.
    Get(FailureId),
    /// Searches the records.
    Find(Box<Query>),
    /// Stores a new record.
    Create(Box<Failure>),
    /// Stores the next version of a record.
    Replace(Box<Failure>),
    /// Both at once.
    ReplaceAndCreate(Box<(Failure, Failure)>),
    /// Reads a group.
    GetGroup(GroupId),
    /// Stores the next version of a group.
    PutGroup(Box<Group>),
    /// Stores a new plan.
    CreatePlan(Box<Plan>),
    /// Reads a plan.
    GetPlan(ReplayId),
    /// Stores where a plan stands.
    PutProgress(Box<Plan>),
    /// Receives dead letters.
    Receive,
    /// Deletes the dead letter of this id.
    Delete(String),
    /// Sends a message once more.
    Send {
        /// Its record.
        failure: FailureId,
        /// For which replay.
        replay: ReplayId,
    },
}

/// The answer to a [`Call`].
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reply {
    /// Done.
    Done,
    /// A store: another version is there, so nothing was written.
    Conflict,
    /// The handler failed, and it passes.
    Failed,
    /// The queue did certainly not take the message.
    NotSent,
    /// No answer; the call may have had its effect.
    NoAnswer,
    /// To [`Call::Get`].
    Failure(Option<Arc<Failure>>),
    /// To [`Call::Find`].
    Found(Vec<Arc<Failure>>),
    /// To [`Call::GetGroup`].
    Group(Option<Arc<Group>>),
    /// To [`Call::GetPlan`].
    Plan(Option<Arc<Plan>>),
    /// To [`Call::Receive`].
    Letters(Vec<DeadLetter>),
}

/// The programs.
#[derive(Debug)]
pub(super) struct Processes;

impl Program for Processes {
    type Start = Start;
    type Call = Call;
    type Reply = Reply;

    async fn run(start: &Start, script: Script<Call, Reply>) -> bool {
        let ports = Ports(script);
        match start {
            Start::Worker { id, body, replayed } => {
                return work(id, body, replayed.as_ref(), ports).await;
            }
            Start::Drain => drain(ports).await,
            Start::Operator {
                operator,
                run,
                canaries,
                begins,
            } => {
                // What is not done is left to the next run of the plan.
                let _resumable = operate(*operator, *run, *canaries, *begins, &ports).await;
            }
            Start::Automatic => {
                // What is not done is left to the next run.
                let _repeated = replay_automatically(ports).await;
            }
            Start::Person(act, id) => {
                // A person who sees an error looks again.
                let _seen = act_on(*act, &FailureId::new(id.as_str()), &ports).await;
            }
        }
        true
    }
}

/// The body of one of the messages.
pub(super) fn body(number: u8) -> String {
    command(number, domain::Step::Charge).to_string()
}

/// The plan of an operator.
pub(super) fn plan_of(operator: u8) -> ReplayId {
    ReplayId::new(format!("replay-of-{}", name(operator)))
}

fn name(operator: u8) -> &'static str {
    OPERATORS[usize::from(operator) % OPERATORS.len()]
}

fn now() -> Timestamp {
    Timestamp::from_epoch_millis(NOW.get())
}

#[allow(
    clippy::expect_used,
    reason = "an event that does not parse is a defect of the model"
)]
async fn work(id: &str, body: &str, replayed: Option<&(String, String)>, ports: Ports) -> bool {
    let mut config = Config::new(CONSUMER);
    config.max_receives = NonZeroU32::MIN;
    let store = ports.clone();
    let handler = Acknowledging::new(Charging(ports.clone()), CONSUMER, || store, Still);
    let worker = Worker::new(config, ports, handler).with_clock(|| UNIX_EPOCH);
    let mut record = json!({
        "messageId": id,
        "receiptHandle": "r",
        "body": body,
        "attributes": { "ApproximateReceiveCount": "1" },
        "messageAttributes": {},
    });
    if let Some((failure, replay)) = replayed {
        let text = |value: &str| json!({ "dataType": "String", "stringValue": value });
        record["messageAttributes"] = json!({
            failures::FAILURE_ID: text(failure),
            failures::REPLAY_ID: text(replay),
        });
    }
    let event: SqsEvent =
        serde_json::from_value(json!({ "Records": [record] })).expect("the event is one of SQS");
    let deadline = Instant::now() + Duration::from_secs(3600);
    let response = worker.run(event, deadline).await;
    let response = response.expect("the record has its ids");
    response.batch_item_failures.is_empty()
}

async fn drain(ports: Ports) {
    let queue = DrainedQueue::from_name(DEAD_LETTERS);
    let drain = Drain::new(ports.clone(), ports.clone(), ports, Still);
    if let Some(queue) = queue {
        drain.drain(&queue, Millis::new(u64::MAX)).await;
    }
}

/// As the command does it: looks, freezes, stores the plan, carries it out.
async fn operate(
    operator: u8,
    run: u8,
    canaries: u8,
    begins: bool,
    ports: &Ports,
) -> Result<(), ReplayError> {
    let (id, by) = (plan_of(operator), name(operator));
    if begins {
        let wish = Wish::default();
        let selection = select(ports, &wish, |_, _| true).await?;
        if selection.chosen.is_empty() {
            return Ok(());
        }
        let settings = Settings {
            canaries: usize::from(canaries),
            rate: 1000,
            why: String::new(),
        };
        let plan = freeze(&selection, &wish, settings, id.clone(), by, now());
        ports.create_plan(&plan).await?;
    }
    let replayer = Replayer {
        store: ports,
        plans: ports,
        queues: ports,
        clock: &Still,
        drains: &NoDrain,
    };
    let run = Run {
        id: format!("run-{run}"),
        by: by.to_owned(),
        wait: false,
        deadline: None,
    };
    replayer.run(&id, &run, &Blind).await.map(|_| ())
}

/// Every wait of the limits is over at once: so nothing is kept apart by time alone.
async fn replay_automatically(ports: Ports) -> Result<(), Unavailable> {
    let limits = Limits {
        replays: AUTOMATIC_REPLAYS,
        backoff: Duration::ZERO,
        in_flight: Duration::ZERO,
        unsent: Duration::ZERO,
        ..Limits::default()
    };
    let stores = (ports.clone(), ports.clone());
    let consumers = BTreeSet::from([CONSUMER.to_owned()]);
    let replay = AutomaticReplay::new(stores, ports, AllWell, Still, consumers, limits);
    let until = Millis::new(u64::MAX);
    let survey = replay.survey(until).await?;
    replay.run(survey, until).await.map(|_| ())
}

/// As the command does it: reads, decides, and stores over what was read.
async fn act_on(act: Act, id: &FailureId, ports: &Ports) -> Result<(), Unavailable> {
    let Some(failure) = FailureStore::get(ports, id).await? else {
        return Ok(());
    };
    let actor = Actor {
        name: "carol".to_owned(),
        at: now(),
    };
    let why = || "so it was decided".to_owned();
    let change = match act {
        Act::Archive => Change::Archive {
            why: why(),
            keep: Duration::from_secs(1),
        },
        Act::Restore => Change::Restore,
        Act::Resolve => Change::Resolve { why: why() },
        Act::Edit => return mend(&failure, &actor, ports).await,
    };
    if let Ok(next) = failure.after(&change, &actor) {
        ports.replace(&next).await?;
    }
    Ok(())
}

async fn mend(failure: &Failure, actor: &Actor, ports: &Ports) -> Result<(), Unavailable> {
    let mended = edit::editable(failure).replace("1250", "1251");
    let copy = FailureId::new(format!("mended-{}", failure.id));
    if let Ok(edit) = edit::edit(failure, &mended, copy, "the amount", actor) {
        ports.replace_and_create(&edit.original, &edit.copy).await?;
    }
    Ok(())
}

/// Sees nothing, and never stops.
struct Blind;

impl Watcher for Blind {
    fn saw(&self, _event: &Event<'_>) {}
}

struct AllWell;

impl CircuitStates for AllWell {
    async fn is_closed(&self, _consumer: &str) -> Result<bool, Unavailable> {
        Ok(true)
    }
}

/// The worker's handler: what it does is one call.
struct Charging(Ports);

#[derive(Debug, thiserror::Error)]
#[error("the outside party did not serve")]
struct NotServed;

impl Classify for NotServed {
    fn class(&self) -> Class {
        Class::Transient
    }

    fn name(&self) -> &str {
        "NotServed"
    }
}

impl Handler for Charging {
    type Message = ();
    type Output = &'static str;
    type Error = NotServed;

    fn decode(&self, _delivery: &Delivery) -> Result<(), NotServed> {
        Ok(())
    }

    async fn handle(&self, (): (), _context: &RecordContext) -> Result<&'static str, NotServed> {
        match self.0.0.ask(Call::Handle).await {
            Reply::Done => Ok("done"),
            _ => Err(NotServed),
        }
    }
}

/// All ports, with answers from a list.
#[derive(Clone)]
struct Ports(Script<Call, Reply>);

impl fmt::Debug for Ports {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Ports")
    }
}

const NO_ANSWER: &str = "the model lets the answer get lost";

fn unavailable() -> Unavailable {
    Unavailable::new("model", NO_ANSWER)
}

impl Ports {
    /// A conditional write: whether it took place.
    async fn write(&self, call: Call) -> Result<bool, Unavailable> {
        match self.0.ask(call).await {
            Reply::Done => Ok(true),
            Reply::Conflict => Ok(false),
            _ => Err(unavailable()),
        }
    }
}

fn owned<T: Clone>(known: Arc<T>) -> T {
    Arc::unwrap_or_clone(known)
}

impl FailureStore for Ports {
    async fn get(&self, id: &FailureId) -> Result<Option<Failure>, Unavailable> {
        match self.0.ask(Call::Get(id.clone())).await {
            Reply::Failure(failure) => Ok(failure.map(owned)),
            _ => Err(unavailable()),
        }
    }

    async fn create(&self, failure: &Failure) -> Result<bool, Unavailable> {
        self.write(Call::Create(Box::new(failure.clone()))).await
    }

    async fn replace(&self, next: &Failure) -> Result<bool, Unavailable> {
        self.write(Call::Replace(Box::new(next.clone()))).await
    }

    async fn replace_and_create(&self, next: &Failure, new: &Failure) -> Result<bool, Unavailable> {
        let both = Box::new((next.clone(), new.clone()));
        self.write(Call::ReplaceAndCreate(both)).await
    }

    async fn find(&self, query: &Query, _from: Option<&str>) -> Result<Page<Failure>, Unavailable> {
        match self.0.ask(Call::Find(Box::new(query.clone()))).await {
            Reply::Found(found) => Ok(Page {
                items: found.into_iter().map(owned).collect(),
                next: None,
            }),
            _ => Err(unavailable()),
        }
    }
}

impl GroupStore for Ports {
    async fn get_group(&self, id: &GroupId) -> Result<Option<Group>, Unavailable> {
        match self.0.ask(Call::GetGroup(id.clone())).await {
            Reply::Group(group) => Ok(group.map(owned)),
            _ => Err(unavailable()),
        }
    }

    async fn put_group(&self, next: &Group) -> Result<bool, Unavailable> {
        self.write(Call::PutGroup(Box::new(next.clone()))).await
    }

    /// Nothing in the model tells people.
    async fn groups(&self) -> Result<Vec<Group>, Unavailable> {
        Err(unavailable())
    }
}

impl PlanStore for Ports {
    async fn create_plan(&self, plan: &Plan) -> Result<(), Unavailable> {
        match self.write(Call::CreatePlan(Box::new(plan.clone()))).await {
            Ok(true) => Ok(()),
            _ => Err(unavailable()),
        }
    }

    async fn get_plan(&self, id: &ReplayId) -> Result<Option<Plan>, Unavailable> {
        match self.0.ask(Call::GetPlan(id.clone())).await {
            Reply::Plan(plan) => Ok(plan.map(owned)),
            _ => Err(unavailable()),
        }
    }

    async fn put_progress(&self, next: &Plan) -> Result<bool, Unavailable> {
        self.write(Call::PutProgress(Box::new(next.clone()))).await
    }

    /// Nothing in the model lists plans.
    async fn plans(&self) -> Result<Vec<Plan>, Unavailable> {
        Err(unavailable())
    }
}

impl DeadLetterQueues for Ports {
    async fn receive(&self, _queue: &str) -> Result<Vec<DeadLetter>, Unavailable> {
        match self.0.ask(Call::Receive).await {
            Reply::Letters(letters) => Ok(letters),
            _ => Err(unavailable()),
        }
    }

    async fn delete(&self, letter: &DeadLetter) -> Result<(), Unavailable> {
        match self.0.ask(Call::Delete(letter.message_id.clone())).await {
            Reply::Done => Ok(()),
            _ => Err(unavailable()),
        }
    }
}

impl ReplayQueues for Ports {
    async fn send(
        &self,
        _consumer: &str,
        _letter: &Letter,
        failure: &FailureId,
        replay: &ReplayId,
    ) -> Result<(), SendError> {
        let call = Call::Send {
            failure: failure.clone(),
            replay: replay.clone(),
        };
        match self.0.ask(call).await {
            Reply::Done => Ok(()),
            Reply::NotSent => Err(SendError::Refused(unavailable())),
            _ => Err(SendError::Unknown(unavailable())),
        }
    }
}

/// Of a worker at its last receive, whose handler knows transient errors alone, the
/// model needs one of these.
impl Queue for Ports {
    async fn delay(&self, _receipt_handle: &str, _delay: Duration) -> Result<(), QueueError> {
        Err(QueueError::new(Operation::Delay, NO_ANSWER))
    }

    async fn resend(&self, _delivery: &Delivery, _delay: Duration) -> Result<(), QueueError> {
        Err(QueueError::new(Operation::Resend, NO_ANSWER))
    }

    async fn dead_letter(
        &self,
        _delivery: &Delivery,
        record: &FailureRecord,
    ) -> Result<(), QueueError> {
        match self.0.ask(Call::Move(Box::new(record.clone()))).await {
            Reply::Done => Ok(()),
            _ => Err(QueueError::new(Operation::DeadLetter, NO_ANSWER)),
        }
    }

    async fn quarantine(
        &self,
        _delivery: &Delivery,
        _record: &FailureRecord,
    ) -> Result<(), QueueError> {
        Err(QueueError::new(Operation::Quarantine, NO_ANSWER))
    }
}
