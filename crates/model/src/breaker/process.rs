//! The real programs around a circuit: its controller, the worker, and a person.

use std::fmt;
use std::num::{NonZeroU8, NonZeroU32};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use aws_adapters::answer_probe;
use aws_lambda_events::event::sqs::{SqsEvent, SqsMessage};
use circuit::{
    Breaker, Cause, Circuit, CircuitStore, Health, Limits, LocalBreaker, Mapping, Mappings, Meter,
    Opened, ProbeAnswer, ProbeMessages, Saved, Taken, Trips, Wake, Wanted, settle,
};
use circuit_control::{Consumer, Controller};
use domain::payment::{Charge, Refund};
use domain::{Currency, Money, OrderId, Step};
use idempotency::record::{decide_begin, decide_begin_undo};
use idempotency::{
    Begin, BeginUndo, Claim, Clock, Key, Millis, Record, ResultJson, Started, Store, StoreError,
    UndoStarted,
};
use message_worker::{
    Config, Delivery, FailureRecord, Handler, Operation, Queue, QueueError, Worker,
};
use payment_worker::Payments;
use ports::{
    Answer, Answered, ChargeRequest, CommitError, Completion, Completions, Notice, OrderChange,
    PaymentProvider, People, ProviderError, RefundRequest, StepJournal, TaskAnswers, Unavailable,
};
use saga_step::{ClaimedSteps, StepHandler};
use serde_json::json;
use tokio::time::Instant;

use super::time::{FULL, TICK, moment, resumed, settings};
use crate::tree::{Program, Script};
use crate::worker::{MAX_RECEIVES, command};

/// Whose circuit it is.
pub(super) const CONSUMER: &str = "payment";

/// What begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Start {
    /// The schedule has the controller look after the circuit.
    Look,
    /// The stream tells the controller that the circuit was changed.
    Hear,
    /// A person gives an order.
    Person(Act),
    /// The queue's mapping hands a message to the worker.
    Deliver(Handled),
    /// The controller hands it a message to probe with.
    Probe(Handled),
}

/// A message as it reaches a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Handled {
    /// Which of the messages it is: what it says.
    pub(super) body: u8,
    /// Which receive it is, from 1.
    pub(super) receive: u8,
    /// What the record of its step says.
    pub(super) step: StepRecord,
    /// What the worker's environment has seen before.
    pub(super) memory: Memory,
}

/// What a step's record says when its message comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StepRecord {
    /// Nothing.
    New,
    /// It was carried out.
    Done,
    /// Another has claimed it, and does not let go.
    Claimed,
}

/// What an environment of the worker has seen before: every memory that makes a
/// difference to the next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Memory {
    /// Nothing.
    Nothing,
    /// Failures; the next one is too many.
    Failures,
    /// It has tripped, and holds messages back.
    Tripped,
}

/// What a person orders, each as the command `waybill queues` does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Act {
    /// That nothing passes.
    Pause,
    /// That the circuit decides again.
    Resume,
    /// That everything passes, whatever the circuit says.
    Force,
}

/// A call of a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call {
    /// Reads the circuit.
    Load,
    /// Stores the circuit.
    Save(Box<Circuit>),
    /// Opens the circuit.
    Trip,
    /// Writes a person's pause.
    Pause,
    /// Ends a pause.
    Resume,
    /// Looks at the mapping.
    Look,
    /// Changes the mapping.
    Set(Wanted),
    /// Takes a message to probe with.
    Take,
    /// Hands it to the worker.
    HandOver(u8),
    /// Sends a copy of it.
    Copy(u8),
    /// Deletes it.
    Delete(u8),
    /// The worker asks the outside party.
    Ask,
    /// The worker puts a fresh copy of its message into the queue.
    Resend,
    /// The worker lets its message wait.
    Delay,
    /// The worker moves its message to the dead-letter queue.
    DeadLetter,
    /// The worker says what a probe showed.
    Report(ProbeAnswer),
}

/// The answer to a [`Call`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// Done.
    Done,
    /// Somebody else changed it in the meantime.
    Conflict,
    /// To [`Call::Load`].
    Circuit(Box<Circuit>),
    /// To [`Call::Look`].
    Mapping(Mapping),
    /// To [`Call::Take`].
    Taken(Taken<u8>),
    /// To [`Call::HandOver`].
    Probed(ProbeAnswer),
    /// The outside party is down.
    Down,
    /// The outside party gave no answer in time.
    TimedOut,
    /// No answer; the call may have had its effect.
    NoAnswer,
}

/// A reply, and how old the program is by then, in ticks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) reply: Reply,
    pub(super) age: u8,
}

/// The programs.
#[derive(Debug)]
pub(super) struct Processes;

impl Program for Processes {
    type Start = Start;
    type Call = Call;
    type Reply = Heard;

    /// Says whether all was done, and of a worker whether Lambda deletes the message.
    async fn run(start: &Start, script: Script<Call, Heard>) -> bool {
        let ports = Ports::new(script);
        match *start {
            Start::Look => controller(&ports).look_after_all().await.is_ok(),
            Start::Hear => controller(&ports).hear().await.is_ok(),
            Start::Person(act) => order(act, &ports).await,
            Start::Deliver(handled) => deliver(handled, &ports).await,
            Start::Probe(handled) => {
                probe(handled, &ports).await;
                true
            }
        }
    }
}

type AllPorts = circuit_control::Ports<Ports, Ports, Ports, Ports, Ports, Ports>;

/// The controller as its function puts it together.
fn controller(ports: &Ports) -> Controller<Ports, Ports, Ports, Ports, Ports, Ports, Ports> {
    let consumer = Consumer {
        name: CONSUMER.to_owned(),
        concurrency: FULL,
    };
    let all = AllPorts {
        circuits: ports.clone(),
        mappings: ports.clone(),
        messages: ports.clone(),
        people: ports.clone(),
        wake: ports.clone(),
        meter: ports.clone(),
    };
    Controller::new(vec![consumer], settings(), all, ports.clone())
}

/// As the command does it: writes it down, and then makes the mapping as it is wanted.
async fn order(act: Act, ports: &Ports) -> bool {
    let written = match act {
        Act::Pause => ports.ask(Call::Pause).await == Reply::Done,
        Act::Resume => ports.ask(Call::Resume).await == Reply::Done,
        Act::Force => force(ports).await,
    };
    written && settle(ports, ports, CONSUMER, FULL).await.is_ok()
}

async fn force(ports: &Ports) -> bool {
    let Ok(seen) = ports.load(CONSUMER).await else {
        return false;
    };
    let saved = ports.save(&seen.forced(resumed(ports.now()))).await;
    matches!(saved, Ok(Saved::Yes))
}

type Guard = Arc<LocalBreaker<Ports, Ports>>;

/// The worker as its function puts it together.
fn worker(ports: &Ports, guard: &Guard) -> Worker<Ports, impl Handler> {
    let steps = ClaimedSteps::new(
        ports.clone(),
        Payments::new(ports.clone(), ports.clone()),
        ports.clone(),
    );
    let steps = steps.guarded_by(Arc::clone(guard));
    let handler = StepHandler::new(Step::Charge, steps, ports.clone());
    let mut config = Config::new(CONSUMER);
    config.max_receives = NonZeroU8::new(MAX_RECEIVES).map_or(NonZeroU32::MIN, NonZeroU32::from);
    Worker::new(config, ports.clone(), handler).with_clock(|| UNIX_EPOCH)
}

/// A breaker whose environment has seen so much. What it writes down meanwhile was
/// written before.
async fn guard(memory: Memory, ports: &Ports) -> Guard {
    let trips = ports.clone();
    let guard = LocalBreaker::new(CONSUMER, trips, ports.clone(), settings().probe_interval);
    let failures = match memory {
        Memory::Nothing => 0,
        Memory::Failures => Limits::default().failures - 1,
        Memory::Tripped => Limits::default().failures,
    };
    ports.is_past.store(true, Ordering::Relaxed);
    for number in 0..failures {
        let call = circuit::Call {
            message: &format!("before-{number}"),
            attempt: 1,
        };
        guard.record(call, Health::Unhealthy).await;
    }
    ports.is_past.store(false, Ordering::Relaxed);
    Arc::new(guard)
}

async fn deliver(handled: Handled, ports: &Ports) -> bool {
    let ports = &ports.of(handled);
    let guard = guard(handled.memory, ports).await;
    let mut batch = SqsEvent::default();
    batch.records = vec![record(handled)];
    let response = worker(ports, &guard).run(batch, deadline()).await;
    response.is_ok_and(|response| response.batch_item_failures.is_empty())
}

async fn probe(handled: Handled, ports: &Ports) {
    let ports = &ports.of(handled);
    let guard = guard(handled.memory, ports).await;
    let worker = worker(ports, &guard);
    // A worker that fails as a whole is a crash, which the model has.
    if let Ok(answer) = answer_probe(&worker, &guard, record(handled), deadline()).await {
        ports.ask(Call::Report(answer)).await;
    }
}

fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

#[allow(
    clippy::expect_used,
    reason = "a record that does not parse is a defect of the model"
)]
fn record(handled: Handled) -> SqsMessage {
    let record = json!({
        "messageId": format!("message-{}", handled.body),
        "receiptHandle": "r",
        "body": command(handled.body, Step::Charge).to_string(),
        "attributes": { "ApproximateReceiveCount": handled.receive.to_string() },
        "messageAttributes": {},
    });
    serde_json::from_value(record).expect("the record is one of SQS")
}

/// All ports, with answers from a list.
#[derive(Clone)]
struct Ports {
    script: Script<Call, Heard>,
    age: Arc<AtomicU8>,
    /// Whether what happens now has happened before the program began.
    is_past: Arc<AtomicBool>,
    step: StepRecord,
}

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
    fn new(script: Script<Call, Heard>) -> Self {
        Self {
            script,
            age: Arc::default(),
            is_past: Arc::default(),
            step: StepRecord::New,
        }
    }

    fn of(&self, handled: Handled) -> Self {
        Self {
            step: handled.step,
            ..self.clone()
        }
    }

    async fn ask(&self, call: Call) -> Reply {
        let heard = self.script.ask(call).await;
        self.age.store(heard.age, Ordering::Relaxed);
        heard.reply
    }

    async fn done(&self, call: Call) -> Result<(), Unavailable> {
        match self.ask(call).await {
            Reply::Done => Ok(()),
            _ => Err(unavailable()),
        }
    }

    async fn route(&self, call: Call, operation: Operation) -> Result<(), QueueError> {
        let routed = self.done(call).await;
        routed.map_err(|_| QueueError::new(operation, NO_ANSWER))
    }
}

/// What time it was when the last answer came.
impl Clock for Ports {
    fn now(&self) -> Millis {
        moment(self.age.load(Ordering::Relaxed))
    }
}

impl CircuitStore for Ports {
    async fn load(&self, _consumer: &str) -> Result<Circuit, Unavailable> {
        match self.ask(Call::Load).await {
            Reply::Circuit(circuit) => Ok(*circuit),
            _ => Err(unavailable()),
        }
    }

    async fn save(&self, circuit: &Circuit) -> Result<Saved, Unavailable> {
        match self.ask(Call::Save(Box::new(circuit.clone()))).await {
            Reply::Done => Ok(Saved::Yes),
            Reply::Conflict => Ok(Saved::Conflict),
            _ => Err(unavailable()),
        }
    }
}

impl Trips for Ports {
    async fn open(&self, _: &str, _: &Cause, _: Millis) -> Result<Opened, Unavailable> {
        if self.is_past.load(Ordering::Relaxed) {
            return Ok(Opened::Before);
        }
        match self.ask(Call::Trip).await {
            Reply::Done => Ok(Opened::Now),
            Reply::Conflict => Ok(Opened::Before),
            _ => Err(unavailable()),
        }
    }
}

impl Mappings for Ports {
    async fn look(&self, _consumer: &str) -> Result<Mapping, Unavailable> {
        match self.ask(Call::Look).await {
            Reply::Mapping(mapping) => Ok(mapping),
            _ => Err(unavailable()),
        }
    }

    async fn set(&self, _consumer: &str, wanted: Wanted) -> Result<(), Unavailable> {
        self.done(Call::Set(wanted)).await
    }
}

impl ProbeMessages for Ports {
    type Message = u8;

    async fn take(&self, _consumer: &str) -> Result<Taken<u8>, Unavailable> {
        match self.ask(Call::Take).await {
            Reply::Taken(taken) => Ok(taken),
            _ => Err(unavailable()),
        }
    }

    async fn hand_over(&self, _consumer: &str, message: &u8) -> Result<ProbeAnswer, Unavailable> {
        match self.ask(Call::HandOver(*message)).await {
            Reply::Probed(answer) => Ok(answer),
            _ => Err(unavailable()),
        }
    }

    async fn copy(&self, _consumer: &str, message: &u8) -> Result<(), Unavailable> {
        self.done(Call::Copy(*message)).await
    }

    async fn delete(&self, _consumer: &str, message: &u8) -> Result<(), Unavailable> {
        self.done(Call::Delete(*message)).await
    }
}

/// That people could not be told is as if the controller had died.
impl People for Ports {
    async fn tell(&self, _notice: &Notice) -> Result<(), Unavailable> {
        Ok(())
    }
}

/// The schedule has the controller look at any time.
impl Wake for Ports {
    async fn wake(&self) -> Result<(), Unavailable> {
        Ok(())
    }
}

impl Meter for Ports {
    fn happened(&self, _consumer: &str, _name: &'static str) {}

    fn hindered(&self, _consumer: &str, _seconds: u64) {}
}

impl PaymentProvider for Ports {
    async fn charge(&self, request: &ChargeRequest<'_>) -> Result<Charge, ProviderError> {
        match self.ask(Call::Ask).await {
            Reply::Done => Ok(Charge::Captured {
                money: request.money,
                reference: "r".to_owned(),
            }),
            Reply::Down => Err(ProviderError::Unavailable("it is down".into())),
            Reply::TimedOut => Err(ProviderError::TimedOut("it says nothing".into())),
            _ => Err(ProviderError::OutcomeUnknown(NO_ANSWER.into())),
        }
    }

    /// All messages of this model are charges.
    async fn refund(&self, _request: &RefundRequest<'_>) -> Result<Refund, ProviderError> {
        Err(ProviderError::Failed("nothing is refunded here".into()))
    }
}

/// The step's record is not what is explored here: it says what the message begins with.
impl Store for Ports {
    async fn begin(&self, claim: &Claim) -> Result<Begin, StoreError> {
        Ok(match self.step {
            StepRecord::New => decide_begin(None, claim),
            StepRecord::Done => Begin::AlreadyCompleted {
                result: result()?,
                expires_at: claim.expires_at,
            },
            StepRecord::Claimed => Begin::InProgress {
                until: claim.now.plus(TICK),
            },
        })
    }

    async fn complete(&self, _: &Started, _: &ResultJson) -> Result<(), StoreError> {
        Ok(())
    }

    async fn release(&self, _: &Started) -> Result<(), StoreError> {
        Ok(())
    }

    async fn begin_undo(&self, claim: &Claim) -> Result<BeginUndo, StoreError> {
        Ok(decide_begin_undo(None, claim))
    }

    async fn complete_undo(&self, _: &UndoStarted, _: &ResultJson) -> Result<(), StoreError> {
        Ok(())
    }

    async fn release_undo(&self, _: &UndoStarted) -> Result<(), StoreError> {
        Ok(())
    }

    async fn get(&self, _: &Key) -> Result<Option<Record>, StoreError> {
        Ok(None)
    }
}

/// The result of a charge that was carried out before.
fn result() -> Result<ResultJson, StoreError> {
    let currency = Currency::new("EUR").map_err(|error| StoreError::Invalid(Box::new(error)))?;
    let charge = Charge::Captured {
        money: Money {
            amount: 1250,
            currency,
        },
        reference: "r".to_owned(),
    };
    let json = contracts::charge::write(&charge);
    ResultJson::from_json(json).map_err(|error| StoreError::Invalid(Box::new(error)))
}

impl Completions for Ports {
    async fn completion(&self, _order: OrderId) -> Result<Completion, StoreError> {
        Ok(Completion::Open)
    }
}

impl StepJournal for Ports {
    async fn commit(
        &self,
        _started: &Started,
        _result: &ResultJson,
        _change: Option<&OrderChange>,
    ) -> Result<(), CommitError> {
        Ok(())
    }

    async fn commit_undo(
        &self,
        _started: &UndoStarted,
        _result: &ResultJson,
        _change: Option<&OrderChange>,
    ) -> Result<(), CommitError> {
        Ok(())
    }
}

impl TaskAnswers for Ports {
    async fn answer(
        &self,
        _token: &contracts::TaskToken,
        _answer: &Answer,
    ) -> Result<Answered, Unavailable> {
        Ok(Answered::Delivered)
    }
}

impl Queue for Ports {
    async fn delay(&self, _receipt_handle: &str, _delay: Duration) -> Result<(), QueueError> {
        self.route(Call::Delay, Operation::Delay).await
    }

    async fn resend(&self, _delivery: &Delivery, _delay: Duration) -> Result<(), QueueError> {
        self.route(Call::Resend, Operation::Resend).await
    }

    async fn dead_letter(
        &self,
        _delivery: &Delivery,
        _record: &FailureRecord,
    ) -> Result<(), QueueError> {
        self.route(Call::DeadLetter, Operation::DeadLetter).await
    }

    async fn quarantine(
        &self,
        _delivery: &Delivery,
        _record: &FailureRecord,
    ) -> Result<(), QueueError> {
        self.route(Call::DeadLetter, Operation::Quarantine).await
    }
}
