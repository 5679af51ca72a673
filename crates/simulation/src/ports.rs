//! What an execution environment sees of the outside: the ports in memory, over a
//! network on which each call may go wrong.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use contracts::TaskToken;
use domain::OrderId;
use domain::payment::{Charge, Refund};
use domain::shipment::{Cancellation, Shipment};
use failures::{
    CircuitStates, DeadLetter, DeadLetterQueues, FAILURE_ID, Failure, FailureId, FailureStore,
    Group, GroupId, GroupStore, Letter, Page, Plan, PlanStore, Query, REPLAY_ID, ReplayId,
    ReplayQueues, SendError, Value,
};
use idempotency::record::State;
use idempotency::{
    Begin, BeginUndo, Claim, Key, Millis, Record, ResultJson, Started, Store, StoreError,
    UndoStarted,
};
use message_worker::{Attribute, FailureRecord, Operation as QueueOperation, Queue, QueueError};
use ports::{
    Acceptance, Accepted, Answer, Answered, AuditEntry, AuditTrail, Bus, CancelRequest,
    ChargeRequest, CommitError, Completion, Completions, DeadLetters, Delivery, HeldOrder,
    HeldOrders, Notice, OrderChange, OrderReader, OrderRecord, OrderStore, PaymentProvider, People,
    ProviderError, QueueReport, RefundRequest, Reserve, SagaStart, Sagas, ShipRequest, StepJournal,
    StockJournal, TaskAnswers, Unavailable, Warehouse,
};
use tokio::time::sleep;

use crate::bus;
use crate::machines;
use crate::mishaps::Mishap;
use crate::sim::{Environment, Sim};
use crate::told::{Lost, Told};

/// As the adapter hides dead letters.
const DEAD_LETTERS_HIDDEN: Duration = Duration::from_secs(60);

/// All ports, for one environment.
#[derive(Clone)]
pub(crate) struct Ports {
    pub(crate) sim: Sim,
    pub(crate) environment: Environment,
    /// The consumer whose queue [`Queue`] means.
    pub(crate) consumer: &'static str,
}

impl Ports {
    /// One call: it takes a while, may go wrong on either way, and is written down.
    pub(crate) async fn call<T: Told + Send + 'static, E: Lost>(
        &self,
        operation: &'static str,
        about: impl Display + Send + Sync,
        effect: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, E> {
        let (latency, mishap) = self.draw();
        sleep(latency).await;
        let call = format!("{operation} {about}");
        match mishap {
            None => self.answered(operation, &call, effect.await),
            Some(Mishap::Delay) => {
                self.goes_wrong(&call, "is slow");
                sleep(self.sim.up_to(Duration::from_secs(40))).await;
                self.answered(operation, &call, effect.await)
            }
            Some(Mishap::ErrorBefore) => {
                self.goes_wrong(&call, "fails, without effect");
                Err(E::request())
            }
            Some(Mishap::ErrorAfter) => {
                let answer = self.answered(operation, &call, effect.await);
                self.goes_wrong(&call, "loses its answer");
                answer.and(Err(E::answer()))
            }
            Some(Mishap::SilenceBefore) => {
                self.goes_wrong(&call, "gets no answer, without effect");
                pending().await
            }
            Some(Mishap::LateEffect) => self.late(operation, call, effect).await,
            Some(Mishap::KilledBefore) => self.killed(&call).await,
            Some(mishap) => {
                let answer = self.answered(operation, &call, effect.await);
                drop(answer);
                if mishap == Mishap::KilledAfter {
                    self.killed(&call).await
                } else {
                    self.goes_wrong(&call, "gets no answer");
                    pending().await
                }
            }
        }
    }

    fn draw(&self) -> (Duration, Option<Mishap>) {
        let mut state = self.sim.state();
        let latency = state.up_to(Duration::from_millis(20));
        let mishap = Mishap::AT_CALLS
            .into_iter()
            .find(|mishap| state.draw(*mishap));
        (latency, mishap)
    }

    fn goes_wrong(&self, call: &str, how: &str) {
        self.sim
            .tell(&self.environment.name, format_args!("{call} {how}"));
    }

    fn answered<T: Told, E: Lost>(
        &self,
        operation: &str,
        call: &str,
        answer: Result<T, E>,
    ) -> Result<T, E> {
        let told = match &answer {
            Ok(answer) => answer.told(),
            Err(error) => error.words().into(),
        };
        self.sim
            .tell(&self.environment.name, format_args!("{call}: {told}"));
        if told.len() < 40 && !told.starts_with("received") && !told.ends_with("found") {
            self.sim.count(format!("{operation}: {told}"));
        }
        self.sim.check();
        answer
    }

    async fn killed<T>(&self, call: &str) -> T {
        self.goes_wrong(call, "is the last: the environment is lost");
        self.environment.lost.notify_one();
        pending().await
    }

    /// The caller hears of an error, or of nothing, and the request is still on its way.
    async fn late<T: Told + Send + 'static, E: Lost>(
        &self,
        operation: &'static str,
        call: String,
        effect: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, E> {
        let delay = self.sim.up_to(Duration::from_secs(60));
        self.goes_wrong(&call, "arrives late");
        let ports = self.clone();
        self.sim.spawn(async move {
            sleep(delay).await;
            drop(ports.answered(operation, &format!("{call} (late)"), effect.await));
        });
        if self.sim.state().random.bool() {
            pending::<()>().await;
        }
        Err(E::answer())
    }

    /// Whether an outside party serves. `Err` while it is down.
    fn party(&self, name: &'static str) -> Result<(), ProviderError> {
        let until = self.sim.state().down_until.get(name).copied();
        match until.is_some_and(|until| self.sim.now() < until) {
            true => {
                self.sim
                    .tell(&self.environment.name, format_args!("the {name} is down"));
                Err(ProviderError::Unavailable("it is down".into()))
            }
            false => Ok(()),
        }
    }
}

impl OrderStore for Ports {
    async fn accept(&self, acceptance: &Acceptance) -> Result<Accepted, Unavailable> {
        let (world, it) = (self.sim.world().clone(), acceptance.clone());
        let effect = async move { world.accept(&it).await };
        self.call("accept", acceptance.id, effect).await
    }
}

impl OrderReader for Ports {
    async fn find(&self, id: OrderId) -> Result<Option<OrderRecord>, Unavailable> {
        let world = self.sim.world().clone();
        self.call("find-order", id, async move {
            OrderReader::find(&world, id).await
        })
        .await
    }
}

impl Store for Ports {
    async fn begin(&self, claim: &Claim) -> Result<Begin, StoreError> {
        let (world, it) = (self.sim.world().clone(), claim.clone());
        let known = self.sim.world().record(claim.key.as_str());
        let had_lease = known.is_some_and(|known| match known.state {
            State::Started { lease_until, .. } => lease_until != Millis::EPOCH,
            _ => false,
        });
        let begun = self
            .call("begin", &claim.key, async move { world.begin(&it).await })
            .await;
        if had_lease && matches!(begun, Ok(Begin::Start(_))) {
            self.sim.count("begin: an abandoned lease is taken over");
        }
        begun
    }

    async fn complete(&self, started: &Started, result: &ResultJson) -> Result<(), StoreError> {
        let (world, it, result) = (self.sim.world().clone(), started.clone(), result.clone());
        let effect = async move { world.complete(&it, &result).await };
        self.call("complete", &started.key, effect).await
    }

    async fn release(&self, started: &Started) -> Result<(), StoreError> {
        let (world, it) = (self.sim.world().clone(), started.clone());
        let effect = async move { world.release(&it).await };
        self.call("release", &started.key, effect).await
    }

    async fn begin_undo(&self, claim: &Claim) -> Result<BeginUndo, StoreError> {
        let (world, it) = (self.sim.world().clone(), claim.clone());
        let effect = async move { world.begin_undo(&it).await };
        self.call("begin-undo", &claim.key, effect).await
    }

    async fn complete_undo(
        &self,
        started: &UndoStarted,
        result: &ResultJson,
    ) -> Result<(), StoreError> {
        let (world, it, result) = (self.sim.world().clone(), started.clone(), result.clone());
        let effect = async move { world.complete_undo(&it, &result).await };
        self.call("complete-undo", &started.key, effect).await
    }

    async fn release_undo(&self, started: &UndoStarted) -> Result<(), StoreError> {
        let (world, it) = (self.sim.world().clone(), started.clone());
        let effect = async move { world.release_undo(&it).await };
        self.call("release-undo", &started.key, effect).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        let (world, it) = (self.sim.world().clone(), key.clone());
        let effect = async move { Store::get(&world, &it).await };
        self.call("get-record", key, effect).await
    }
}

impl Completions for Ports {
    async fn completion(&self, order: OrderId) -> Result<Completion, StoreError> {
        let world = self.sim.world().clone();
        let effect = async move { world.completion(order).await };
        self.call("completion", order, effect).await
    }
}

impl StepJournal for Ports {
    async fn commit(
        &self,
        started: &Started,
        result: &ResultJson,
        change: Option<&OrderChange>,
    ) -> Result<(), CommitError> {
        let (world, it, result) = (self.sim.world().clone(), started.clone(), result.clone());
        let change = change.cloned();
        let effect = async move { world.commit(&it, &result, change.as_ref()).await };
        self.call("commit", &started.key, effect).await
    }

    async fn commit_undo(
        &self,
        started: &UndoStarted,
        result: &ResultJson,
        change: Option<&OrderChange>,
    ) -> Result<(), CommitError> {
        let (world, it, result) = (self.sim.world().clone(), started.clone(), result.clone());
        let change = change.cloned();
        let effect = async move { world.commit_undo(&it, &result, change.as_ref()).await };
        self.call("commit-undo", &started.key, effect).await
    }
}

impl StockJournal for Ports {
    async fn commit_at_once(
        &self,
        claim: &Claim,
        result: &ResultJson,
        change: &OrderChange,
    ) -> Result<Reserve, StoreError> {
        let (world, it, result) = (self.sim.world().clone(), claim.clone(), result.clone());
        let change = change.clone();
        let effect = async move { world.commit_at_once(&it, &result, &change).await };
        self.call("commit-at-once", &claim.key, effect).await
    }

    async fn undo_at_once(
        &self,
        claim: &Claim,
        result: &ResultJson,
        change: Option<&OrderChange>,
    ) -> Result<Option<BeginUndo>, StoreError> {
        let (world, it, result) = (self.sim.world().clone(), claim.clone(), result.clone());
        let change = change.cloned();
        let effect = async move { world.undo_at_once(&it, &result, change.as_ref()).await };
        self.call("undo-at-once", &claim.key, effect).await
    }

    async fn bury(
        &self,
        claim: &Claim,
        result: &ResultJson,
    ) -> Result<Option<BeginUndo>, StoreError> {
        let (world, it, result) = (self.sim.world().clone(), claim.clone(), result.clone());
        let effect = async move { world.bury(&it, &result).await };
        self.call("bury", &claim.key, effect).await
    }
}

impl PaymentProvider for Ports {
    async fn charge(&self, request: &ChargeRequest<'_>) -> Result<Charge, ProviderError> {
        self.party("payment provider")?;
        let world = self.sim.world().clone();
        let (key, method) = (request.key.to_owned(), request.method.clone());
        let (order, money) = (request.order, request.money);
        let effect = async move {
            let request = ChargeRequest {
                key: &key,
                order,
                money,
                method: &method,
            };
            world.charge(&request).await
        };
        self.call("charge", request.key, effect).await
    }

    async fn refund(&self, request: &RefundRequest<'_>) -> Result<Refund, ProviderError> {
        self.party("payment provider")?;
        let world = self.sim.world().clone();
        let (key, charge_key) = (request.key.to_owned(), request.charge_key.to_owned());
        let order = request.order;
        let effect = async move {
            let request = RefundRequest {
                key: &key,
                charge_key: &charge_key,
                order,
            };
            world.refund(&request).await
        };
        self.call("refund", request.key, effect).await
    }
}

impl Warehouse for Ports {
    async fn ship(&self, request: &ShipRequest<'_>) -> Result<Shipment, ProviderError> {
        self.party("warehouse")?;
        let world = self.sim.world().clone();
        let (key, items) = (request.key.to_owned(), request.items.to_vec());
        let (order, ship_to) = (request.order, request.ship_to.clone());
        let effect = async move {
            let request = ShipRequest {
                key: &key,
                order,
                items: &items,
                ship_to: &ship_to,
            };
            world.ship(&request).await
        };
        self.call("ship", request.key, effect).await
    }

    async fn cancel(&self, request: &CancelRequest<'_>) -> Result<Cancellation, ProviderError> {
        self.party("warehouse")?;
        let world = self.sim.world().clone();
        let (key, ship_key) = (request.key.to_owned(), request.ship_key.to_owned());
        let order = request.order;
        let effect = async move {
            let request = CancelRequest {
                key: &key,
                ship_key: &ship_key,
                order,
            };
            world.cancel(&request).await
        };
        self.call("cancel", request.key, effect).await
    }
}

impl AuditTrail for Ports {
    async fn append(&self, entry: &AuditEntry) -> Result<(), Unavailable> {
        let (world, it) = (self.sim.world().clone(), entry.clone());
        let effect = async move { world.append(&it).await };
        self.call("audit", &entry.message_id, effect).await
    }
}

impl People for Ports {
    async fn tell(&self, notice: &Notice) -> Result<(), Unavailable> {
        let (world, it) = (self.sim.world().clone(), notice.clone());
        let effect = async move { world.tell(&it).await };
        self.call("tell people", &notice.subject, effect).await
    }
}

impl DeadLetters for Ports {
    async fn look_into(&self, queue_name: &str) -> Result<Option<QueueReport>, Unavailable> {
        let effect = async move { Ok(None) };
        self.call("look-into", queue_name, effect).await
    }
}

impl CircuitStates for Ports {
    async fn is_closed(&self, consumer: &str) -> Result<bool, Unavailable> {
        let stored = dlq_alarm::StoredCircuits(self.clone());
        let is_closed = stored.is_closed(consumer).await?;
        let told = if is_closed { "closed" } else { "not closed" };
        self.sim
            .count(format!("automatic replay: its circuit is {told}"));
        Ok(is_closed)
    }
}

impl FailureStore for Ports {
    async fn get(&self, id: &FailureId) -> Result<Option<Failure>, Unavailable> {
        let (world, it) = (self.sim.world().clone(), id.clone());
        let effect = async move { FailureStore::get(&world, &it).await };
        self.call("get-failure", id, effect).await
    }

    async fn create(&self, failure: &Failure) -> Result<bool, Unavailable> {
        let (world, it) = (self.sim.world().clone(), failure.clone());
        let effect = async move { world.create(&it).await };
        self.call("create-failure", told(failure), effect).await
    }

    async fn replace(&self, next: &Failure) -> Result<bool, Unavailable> {
        let (world, it) = (self.sim.world().clone(), next.clone());
        let effect = async move { world.replace(&it).await };
        self.call("replace-failure", told(next), effect).await
    }

    async fn replace_and_create(&self, next: &Failure, new: &Failure) -> Result<bool, Unavailable> {
        let (world, it, new) = (self.sim.world().clone(), next.clone(), new.clone());
        let effect = async move { world.replace_and_create(&it, &new).await };
        self.call("replace-and-create-failure", told(next), effect)
            .await
    }

    async fn find(&self, query: &Query, from: Option<&str>) -> Result<Page<Failure>, Unavailable> {
        let (world, it) = (self.sim.world().clone(), query.clone());
        let from = from.map(str::to_owned);
        let effect = async move { FailureStore::find(&world, &it, from.as_deref()).await };
        self.call("find-failures", "", effect).await
    }
}

fn told(failure: &Failure) -> String {
    let last = failure.history.last();
    let last = last.map_or("", |entry| entry.action.as_str());
    let (id, status) = (&failure.id, failure.status);
    format!("{id} ({last}, {status}, {})", failure.trouble.name)
}

impl GroupStore for Ports {
    async fn get_group(&self, id: &GroupId) -> Result<Option<Group>, Unavailable> {
        let (world, it) = (self.sim.world().clone(), id.clone());
        let effect = async move { world.get_group(&it).await };
        self.call("get-group", id, effect).await
    }

    async fn put_group(&self, next: &Group) -> Result<bool, Unavailable> {
        let (world, it) = (self.sim.world().clone(), next.clone());
        let effect = async move { world.put_group(&it).await };
        self.call("put-group", &next.id, effect).await
    }

    async fn groups(&self) -> Result<Vec<Group>, Unavailable> {
        let world = self.sim.world().clone();
        self.call("list-groups", "", async move { world.groups().await })
            .await
    }
}

impl PlanStore for Ports {
    async fn create_plan(&self, plan: &Plan) -> Result<(), Unavailable> {
        let (world, it) = (self.sim.world().clone(), plan.clone());
        let effect = async move { world.create_plan(&it).await };
        self.call("create-plan", &plan.id, effect).await
    }

    async fn get_plan(&self, id: &ReplayId) -> Result<Option<Plan>, Unavailable> {
        let (world, it) = (self.sim.world().clone(), id.clone());
        let effect = async move { world.get_plan(&it).await };
        self.call("get-plan", id, effect).await
    }

    async fn put_progress(&self, next: &Plan) -> Result<bool, Unavailable> {
        let (world, it) = (self.sim.world().clone(), next.clone());
        let effect = async move { world.put_progress(&it).await };
        self.call("put-progress", &next.id, effect).await
    }

    async fn plans(&self) -> Result<Vec<Plan>, Unavailable> {
        let world = self.sim.world().clone();
        self.call("list-plans", "", async move { world.plans().await })
            .await
    }
}

impl Bus for Ports {
    const BATCH: usize = 10;
    const BATCH_BYTES: usize = 256 * 1024;

    async fn publish(&self, messages: &[&str]) -> Result<Vec<Delivery>, Unavailable> {
        let bodies: Vec<Arc<str>> = messages.iter().map(|body| Arc::from(*body)).collect();
        let ids = bodies.iter().filter_map(|body| contracts::peek(body).id);
        let about = ids.collect::<Vec<_>>().join(" ");
        let sim = self.sim.clone();
        let effect = async move { Ok(bus::publish_batch(&sim, &bodies)) };
        self.call("publish", about, effect).await
    }
}

/// No entry of a timeline is unreadable here: an order that is held lacks events at rest.
impl HeldOrders for Ports {
    async fn report(&self, order: &HeldOrder) -> Result<(), Unavailable> {
        let (world, held) = (self.sim.world().clone(), order.clone());
        let effect = async move { world.report(&held).await };
        self.call("hold-order", &order.order_id, effect).await
    }
}

impl Sagas for Ports {
    async fn start(&self, order: OrderId, input: &str) -> Result<SagaStart, Unavailable> {
        let (sim, it) = (self.sim.clone(), input.to_owned());
        let effect = async move { Ok(machines::start_saga(&sim, order, &it)) };
        self.call("start-saga", order, effect).await
    }
}

impl TaskAnswers for Ports {
    async fn answer(&self, token: &TaskToken, answer: &Answer) -> Result<Answered, Unavailable> {
        let about = match answer {
            Answer::Success(_) => "success",
            Answer::Failure { error, .. } => error,
        };
        let task = self.sim.state().machines.told(token.expose());
        let (sim, it, token) = (self.sim.clone(), answer.clone(), token.clone());
        let effect = async move { Ok(machines::answer(&sim, token.expose(), it)) };
        self.call("answer", format!("{task} with {about}"), effect)
            .await
    }
}

type Attributes = BTreeMap<String, Attribute>;

impl Ports {
    /// A message goes from the worker to a queue.
    async fn put(
        &self,
        operation: QueueOperation,
        delivery: &message_worker::Delivery,
        to: String,
        attributes: Attributes,
        delay: Duration,
    ) -> Result<(), QueueError> {
        let about = format!("{} to {to}", delivery.message_id());
        let (sim, body) = (self.sim.clone(), Arc::<str>::from(delivery.body()));
        let effect = async move {
            bus::send(&sim, &to, &body, attributes, delay);
            Ok(())
        };
        let name = match operation {
            QueueOperation::DeadLetter => "dead-letter",
            QueueOperation::Quarantine => "quarantine",
            _ => "resend",
        };
        self.call(name, about, effect).await
    }
}

impl Queue for Ports {
    async fn delay(&self, receipt_handle: &str, delay: Duration) -> Result<(), QueueError> {
        let (sim, queue) = (self.sim.clone(), self.consumer);
        let handle = receipt_handle.to_owned();
        let effect = async move {
            let until = sim.now().plus(delay);
            match sim.state().queues.hide(queue, &handle, until) {
                true => Ok(()),
                false => Err(QueueError::new(
                    QueueOperation::Delay,
                    "the receipt handle is stale",
                )),
            }
        };
        self.call("delay", receipt_handle, effect).await
    }

    async fn resend(
        &self,
        delivery: &message_worker::Delivery,
        delay: Duration,
    ) -> Result<(), QueueError> {
        let (to, attributes) = (self.consumer.to_owned(), delivery.attributes().clone());
        self.put(QueueOperation::Resend, delivery, to, attributes, delay)
            .await
    }

    async fn dead_letter(
        &self,
        delivery: &message_worker::Delivery,
        record: &FailureRecord,
    ) -> Result<(), QueueError> {
        let (to, attributes) = (
            format!("{}-dlq", self.consumer),
            with_record(delivery, record)?,
        );
        self.put(
            QueueOperation::DeadLetter,
            delivery,
            to,
            attributes,
            Duration::ZERO,
        )
        .await
    }

    async fn quarantine(
        &self,
        delivery: &message_worker::Delivery,
        record: &FailureRecord,
    ) -> Result<(), QueueError> {
        let (to, attributes) = ("quarantine".to_owned(), with_record(delivery, record)?);
        self.put(
            QueueOperation::Quarantine,
            delivery,
            to,
            attributes,
            Duration::ZERO,
        )
        .await
    }
}

fn with_record(
    delivery: &message_worker::Delivery,
    record: &FailureRecord,
) -> Result<Attributes, QueueError> {
    let unwritable = |error| QueueError::new(QueueOperation::DeadLetter, Box::new(error));
    let json = serde_json::to_string(record).map_err(unwritable)?;
    let mut attributes = delivery.attributes().clone();
    attributes.insert(FailureRecord::ATTRIBUTE.to_owned(), Attribute::text(json));
    Ok(attributes)
}

impl DeadLetterQueues for Ports {
    async fn receive(&self, queue: &str) -> Result<Vec<DeadLetter>, Unavailable> {
        let (sim, name) = (self.sim.clone(), queue.to_owned());
        let effect = async move {
            let now = sim.now();
            let mut state = sim.state();
            let state = &mut *state;
            let hidden = |_: &mut fastrand::Rng| DEAD_LETTERS_HIDDEN;
            let received = state
                .queues
                .receive(&name, 10, now, hidden, &mut state.random);
            Ok(received
                .iter()
                .map(|message| dead_letter(&name, message))
                .collect())
        };
        self.call("receive-dead-letters", queue, effect).await
    }

    async fn delete(&self, letter: &DeadLetter) -> Result<(), Unavailable> {
        let (sim, it) = (self.sim.clone(), letter.clone());
        let effect = async move {
            bus::delete_dead_letter(&sim, &it);
            Ok(())
        };
        let about = format!("{} of {}", letter.message_id, letter.queue);
        self.call("delete-dead-letter", about, effect).await
    }
}

/// As the adapter reads a message of a dead-letter queue.
fn dead_letter(queue: &str, message: &crate::queues::Message) -> DeadLetter {
    let text = |name: &str| message.attributes.get(name).and_then(Attribute::as_text);
    let replayed = text(FAILURE_ID).zip(text(REPLAY_ID));
    let record = text(FailureRecord::ATTRIBUTE);
    let own = message.attributes.iter().filter(|(name, _)| {
        ![FAILURE_ID, REPLAY_ID, FailureRecord::ATTRIBUTE].contains(&name.as_str())
    });
    let own = own.filter_map(|(name, value)| {
        let value = value.as_text()?.to_owned();
        let data_type = "String".to_owned();
        Some((name.clone(), Value::Text { data_type, value }))
    });
    DeadLetter {
        message_id: message.id.clone(),
        receipt_handle: message.handle.clone(),
        queue: queue.to_owned(),
        sent_at: message.sent_at.get(),
        letter: Letter::new(&*message.body, own.collect()),
        record: record.and_then(|record| serde_json::from_str(record).ok()),
        receives: message.receives,
        redriven: message.redriven,
        replayed: replayed.map(|(id, replay)| (FailureId::new(id), ReplayId::new(replay))),
    }
}

impl ReplayQueues for Ports {
    async fn send(
        &self,
        consumer: &str,
        letter: &Letter,
        failure: &FailureId,
        replay: &ReplayId,
    ) -> Result<(), SendError> {
        let mut attributes: Attributes = BTreeMap::new();
        attributes.insert(FAILURE_ID.to_owned(), Attribute::text(failure.as_str()));
        attributes.insert(REPLAY_ID.to_owned(), Attribute::text(replay.as_str()));
        let about = format!("{failure} to {consumer} as {replay}");
        let (sim, to) = (self.sim.clone(), consumer.to_owned());
        let body = Arc::<str>::from(letter.body.as_str());
        bus::must_have_claimed(&sim, failure, replay);
        let effect = async move {
            bus::replay(&sim, &to, &body, attributes);
            Ok(())
        };
        self.call("send-replay", about, effect).await
    }
}
