//! The real workers, as programs that run one call of a port at a time.

use std::num::NonZeroU32;
use std::time::Duration;

use aws_lambda_events::event::sqs::SqsEvent;
use domain::payment::{Charge, Refund};
use domain::shipment::{Cancellation, Shipment};
use domain::{CustomerId, IdempotencyKey, OrderId, Step};
use idempotency::{
    Begin, BeginUndo, Claim, Clock, Key, Millis, Record, ResultJson, Started, Store, StoreError,
    Superseded, UndoStarted,
};
use message_worker::{
    Config, Delivery, FailureRecord, Handler, Operation as QueueOperation, Queue, QueueError,
    Worker,
};
use payment_worker::Payments;
use ports::{
    Answer, Answered, CancelRequest, ChargeRequest, CommitError, Completion, Completions,
    OrderChange, PaymentProvider, ProviderError, RefundRequest, Reserve, ShipRequest, StepJournal,
    StockJournal, TaskAnswers, Unavailable, Warehouse,
};
use saga_step::{ClaimedSteps, StepHandler};
use serde_json::json;
use shipping_worker::Shipments;
use stock_worker::Stock;
use tokio::time::Instant;

use crate::calls::{Call, Reply, THIS_RUN};
use crate::tree::{self, Program, Script, Tree};

/// The moment at which everything happens: no time passes, but leases run out.
pub const NOW: Millis = Millis::new(1_795_283_775_859);

/// The article that the orders share.
pub const SKU: &str = "MUG-RED";

/// On this receive a worker gives a message up.
pub const MAX_RECEIVES: u8 = 2;

/// Of which delivery a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Start {
    /// The order, by its number.
    pub order: u8,
    /// What is asked for.
    pub step: Step,
    /// Whether it is the last receive.
    pub last: bool,
}

/// What a worker does next.
pub type Next = tree::Next<Call>;

/// All that workers were seen to do.
pub type Workers = Tree<Shells>;

/// The batch shells with their handlers, steps and effects.
#[derive(Debug)]
pub struct Shells;

impl Program for Shells {
    type Start = Start;
    type Call = Call;
    type Reply = Reply;

    async fn run(start: &Start, ports: Script<Call, Reply>) -> bool {
        invoke(*start, &Ports(ports)).await
    }
}

/// The workers as their functions put them together.
async fn invoke(start: Start, ports: &Ports) -> bool {
    let ports = ports.clone();
    match start.step.action() {
        Step::Reserve => {
            let steps = Stock::new(ports.clone(), Still);
            deliver(
                start,
                ports.clone(),
                StepHandler::new(Step::Reserve, steps, ports),
            )
            .await
        }
        Step::Ship => {
            let steps =
                ClaimedSteps::new(ports.clone(), Shipments::new(ports.clone(), Still), Still);
            deliver(
                start,
                ports.clone(),
                StepHandler::new(Step::Ship, steps, ports),
            )
            .await
        }
        _ => {
            let steps =
                ClaimedSteps::new(ports.clone(), Payments::new(ports.clone(), Still), Still);
            deliver(
                start,
                ports.clone(),
                StepHandler::new(Step::Charge, steps, ports),
            )
            .await
        }
    }
}

/// A batch of one message; says whether Lambda deletes it.
#[allow(
    clippy::expect_used,
    reason = "an event that does not parse is a defect of the model"
)]
async fn deliver(start: Start, queue: Ports, handler: impl Handler) -> bool {
    let mut config = Config::new("model");
    config.max_receives = NonZeroU32::from(
        std::num::NonZeroU8::new(MAX_RECEIVES).expect("a message is received at least once"),
    );
    let worker = Worker::new(config, queue, handler);
    let record = json!({ "Records": [{
        "messageId": "m",
        "receiptHandle": "r",
        "body": command(start.order, start.step).to_string(),
        "attributes": {
            "ApproximateReceiveCount": (if start.last { MAX_RECEIVES } else { 1 }).to_string(),
        },
    }]});
    let event: SqsEvent = serde_json::from_value(record).expect("the event is one of SQS");
    let deadline = Instant::now() + Duration::from_secs(3600);
    let response = worker
        .run(event, deadline)
        .await
        .expect("the record has its ids");
    response.batch_item_failures.is_empty()
}

/// The id of an order, by its number.
#[allow(clippy::expect_used, reason = "constants that fit")]
pub fn order_id(order: u8) -> OrderId {
    let customer = CustomerId::new("cus_42").expect("a customer");
    let key = IdempotencyKey::new(&format!("order-{order}")).expect("a key");
    OrderId::derive(&customer, &key)
}

/// A command as the state machine sends it: one piece of the article for 12.50 EUR.
pub(crate) fn command(order: u8, step: Step) -> serde_json::Value {
    let order = order_id(order);
    let items = json!([{ "sku": SKU, "quantity": 1 }]);
    let data = match step {
        Step::Charge => json!({
            "orderId": order.to_string(), "amount": 1250, "currency": "EUR", "method": "pm_card_visa",
        }),
        Step::Reserve => json!({ "orderId": order.to_string(), "items": items }),
        Step::Ship => json!({
            "orderId": order.to_string(), "items": items,
            "shipTo": { "name": "Ada", "line1": "Street 1", "city": "Berlin",
                        "postalCode": "10115", "country": "DE" },
        }),
        Step::Refund | Step::Release | Step::CancelShipment => {
            json!({ "orderId": order.to_string() })
        }
    };
    json!({
        "specversion": "1.0",
        "id": format!("{order}/{step}"),
        "source": "/waybill/order-saga",
        "type": format!("waybill.{step}.v1"),
        "subject": order.to_string(),
        "time": "2026-11-21T17:56:15.859Z",
        "datacontenttype": "application/json",
        "correlationid": "req-1",
        "causationid": format!("{order}/order.placed"),
        "tasktoken": "token",
        "data": data,
    })
}

/// A clock that stands still.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Still;

impl Clock for Still {
    fn now(&self) -> Millis {
        NOW
    }
}

/// All ports of a worker, with answers from a list.
#[derive(Debug, Clone)]
struct Ports(Script<Call, Reply>);

impl Ports {
    async fn ask(&self, call: Call) -> Reply {
        self.0.ask(call).await
    }

    async fn write(&self, call: Call) -> Result<(), StoreError> {
        match self.ask(call).await {
            Reply::Done => Ok(()),
            reply => Err(store_error(&reply)),
        }
    }

    async fn commit_claimed(&self, call: Call) -> Result<(), CommitError> {
        match self.ask(call).await {
            Reply::Done => Ok(()),
            Reply::OrderEnded => Err(CommitError::OrderEnded),
            Reply::Short(skus) => Err(CommitError::Short(skus)),
            reply => Err(store_error(&reply).into()),
        }
    }

    async fn undo_or_why_not(&self, call: Call) -> Result<Option<BeginUndo>, StoreError> {
        match self.ask(call).await {
            Reply::Done => Ok(None),
            Reply::KnownUndo(known) => Ok(Some(known)),
            reply => Err(store_error(&reply)),
        }
    }

    async fn route(&self, call: Call, operation: QueueOperation) -> Result<(), QueueError> {
        match self.ask(call).await {
            Reply::Done => Ok(()),
            _ => Err(QueueError::new(operation, NO_ANSWER)),
        }
    }
}

const NO_ANSWER: &str = "the model lets the answer get lost";

fn store_error(reply: &Reply) -> StoreError {
    match reply {
        Reply::Superseded => StoreError::Superseded(Superseded),
        Reply::NoAnswer => StoreError::Unavailable(NO_ANSWER.into()),
        other => StoreError::Invalid(format!("{other:?}").into()),
    }
}

fn party_error(reply: &Reply) -> ProviderError {
    match reply {
        Reply::PartyFailed => ProviderError::Failed(NO_ANSWER.into()),
        _ => ProviderError::TimedOut(NO_ANSWER.into()),
    }
}

/// The claim with a name for its owner that is the same in every run.
fn anonymous(claim: &Claim) -> Claim {
    Claim {
        owner: THIS_RUN,
        ..claim.clone()
    }
}

impl Store for Ports {
    async fn begin(&self, claim: &Claim) -> Result<Begin, StoreError> {
        match self.ask(Call::Begin(anonymous(claim))).await {
            Reply::Begin(begin) => Ok(begin),
            reply => Err(store_error(&reply)),
        }
    }

    async fn complete(&self, started: &Started, result: &ResultJson) -> Result<(), StoreError> {
        self.write(Call::Commit(started.clone(), result.clone(), None))
            .await
    }

    async fn release(&self, started: &Started) -> Result<(), StoreError> {
        self.write(Call::Release(started.clone())).await
    }

    async fn begin_undo(&self, claim: &Claim) -> Result<BeginUndo, StoreError> {
        match self.ask(Call::BeginUndo(anonymous(claim))).await {
            Reply::BeginUndo(begin) => Ok(begin),
            reply => Err(store_error(&reply)),
        }
    }

    async fn complete_undo(
        &self,
        started: &UndoStarted,
        result: &ResultJson,
    ) -> Result<(), StoreError> {
        self.write(Call::CommitUndo(started.clone(), result.clone(), None))
            .await
    }

    async fn release_undo(&self, started: &UndoStarted) -> Result<(), StoreError> {
        self.write(Call::ReleaseUndo(started.clone())).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        match self.ask(Call::Get(key.clone())).await {
            Reply::Record(record) => Ok(record),
            reply => Err(store_error(&reply)),
        }
    }
}

/// The model has no person who completes an order, and its saga sends no undo of one
/// that it completes: there is nothing to explore here.
impl Completions for Ports {
    async fn completion(&self, _order: OrderId) -> Result<Completion, StoreError> {
        Ok(Completion::Open)
    }
}

impl StepJournal for Ports {
    async fn commit(
        &self,
        started: &Started,
        result: &ResultJson,
        change: Option<&OrderChange>,
    ) -> Result<(), CommitError> {
        self.commit_claimed(Call::Commit(
            started.clone(),
            result.clone(),
            change.cloned(),
        ))
        .await
    }

    async fn commit_undo(
        &self,
        started: &UndoStarted,
        result: &ResultJson,
        change: Option<&OrderChange>,
    ) -> Result<(), CommitError> {
        self.commit_claimed(Call::CommitUndo(
            started.clone(),
            result.clone(),
            change.cloned(),
        ))
        .await
    }
}

impl StockJournal for Ports {
    async fn commit_at_once(
        &self,
        claim: &Claim,
        result: &ResultJson,
        change: &OrderChange,
    ) -> Result<Reserve, StoreError> {
        let call = Call::CommitAtOnce(anonymous(claim), result.clone(), change.clone());
        match self.ask(call).await {
            Reply::Done => Ok(Reserve::Done),
            Reply::Short(skus) => Ok(Reserve::Short(skus)),
            Reply::OrderEnded => Ok(Reserve::OrderEnded),
            Reply::Known(begin) => Ok(Reserve::Known(begin)),
            reply => Err(store_error(&reply)),
        }
    }

    async fn undo_at_once(
        &self,
        claim: &Claim,
        result: &ResultJson,
        change: Option<&OrderChange>,
    ) -> Result<Option<BeginUndo>, StoreError> {
        self.undo_or_why_not(Call::UndoAtOnce(
            anonymous(claim),
            result.clone(),
            change.cloned(),
        ))
        .await
    }

    async fn bury(
        &self,
        claim: &Claim,
        result: &ResultJson,
    ) -> Result<Option<BeginUndo>, StoreError> {
        self.undo_or_why_not(Call::Bury(anonymous(claim), result.clone()))
            .await
    }
}

fn act(key: &str) -> Call {
    Call::Act {
        key: key.to_owned(),
    }
}

fn call_off(key: &str, of: &str) -> Call {
    Call::CallOff {
        key: key.to_owned(),
        of: of.to_owned(),
    }
}

impl PaymentProvider for Ports {
    async fn charge(&self, request: &ChargeRequest<'_>) -> Result<Charge, ProviderError> {
        match self.ask(act(request.key)).await {
            Reply::Charge(charge) => Ok(charge),
            reply => Err(party_error(&reply)),
        }
    }

    async fn refund(&self, request: &RefundRequest<'_>) -> Result<Refund, ProviderError> {
        match self.ask(call_off(request.key, request.charge_key)).await {
            Reply::Refund(refund) => Ok(refund),
            reply => Err(party_error(&reply)),
        }
    }
}

impl Warehouse for Ports {
    async fn ship(&self, request: &ShipRequest<'_>) -> Result<Shipment, ProviderError> {
        match self.ask(act(request.key)).await {
            Reply::Shipment(shipment) => Ok(shipment),
            reply => Err(party_error(&reply)),
        }
    }

    async fn cancel(&self, request: &CancelRequest<'_>) -> Result<Cancellation, ProviderError> {
        match self.ask(call_off(request.key, request.ship_key)).await {
            Reply::Cancellation(cancellation) => Ok(cancellation),
            reply => Err(party_error(&reply)),
        }
    }
}

impl TaskAnswers for Ports {
    async fn answer(
        &self,
        _token: &contracts::TaskToken,
        answer: &Answer,
    ) -> Result<Answered, Unavailable> {
        match self.ask(Call::Answer(answer.clone())).await {
            Reply::Answered(answered) => Ok(answered),
            _ => Err(Unavailable::new("model", NO_ANSWER)),
        }
    }
}

impl Queue for Ports {
    async fn delay(&self, _receipt_handle: &str, _delay: Duration) -> Result<(), QueueError> {
        self.route(Call::Delay, QueueOperation::Delay).await
    }

    async fn resend(&self, _delivery: &Delivery, _delay: Duration) -> Result<(), QueueError> {
        self.route(Call::Resend, QueueOperation::Resend).await
    }

    async fn dead_letter(
        &self,
        _delivery: &Delivery,
        _record: &FailureRecord,
    ) -> Result<(), QueueError> {
        self.route(Call::DeadLetter, QueueOperation::DeadLetter)
            .await
    }

    async fn quarantine(
        &self,
        _delivery: &Delivery,
        _record: &FailureRecord,
    ) -> Result<(), QueueError> {
        self.route(Call::Quarantine, QueueOperation::Quarantine)
            .await
    }
}
