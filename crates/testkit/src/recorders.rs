//! The ports that only take something in: they record it.

use contracts::TaskToken;
use domain::OrderId;
use ports::{
    Answer, Answered, AuditEntry, AuditTrail, Bus, DeadLetters, Delivery, HeldOrder, HeldOrders,
    Notice, People, QueueReport, SagaStart, Sagas, TaskAnswers, Unavailable,
};

use crate::faults::Operation;
use crate::world::World;

impl World {
    /// The answers that reached the saga: the token and what it was told.
    pub fn answers(&self) -> Vec<(String, Answer)> {
        self.state().answers.clone()
    }

    /// From now on nobody waits at this token.
    pub fn time_out(&self, token: &str) {
        self.state().stale.insert(token.to_owned());
    }

    /// The messages that the bus took.
    pub fn published(&self) -> Vec<String> {
        self.state().published.clone()
    }

    /// The orders whose events are held back.
    pub fn held(&self) -> Vec<HeldOrder> {
        self.state().held.clone()
    }

    /// The sagas that were started, with their input.
    pub fn sagas(&self) -> Vec<(OrderId, String)> {
        self.state().sagas.clone().into_iter().collect()
    }

    /// The audit trail.
    pub fn trail(&self) -> Vec<AuditEntry> {
        self.state().trail.clone()
    }

    /// What people were told.
    pub fn notices(&self) -> Vec<Notice> {
        self.state().notices.clone()
    }

    /// Puts up a dead-letter queue with something in it.
    pub fn put_queue(&self, name: &str, report: QueueReport) {
        self.state().queues.insert(name.to_owned(), report);
    }
}

impl TaskAnswers for World {
    /// A token takes one answer; from then on nobody waits.
    async fn answer(&self, token: &TaskToken, answer: &Answer) -> Result<Answered, Unavailable> {
        self.call(Operation::Answer, |state| {
            if !state.stale.insert(token.expose().to_owned()) {
                return Ok(Answered::Stale);
            }
            let told = (token.expose().to_owned(), answer.clone());
            state.answers.push(told);
            Ok(Answered::Delivered)
        })
        .await
    }
}

impl Bus for World {
    const BATCH: usize = 10;
    const BATCH_BYTES: usize = 256 * 1024;

    async fn publish(&self, messages: &[&str]) -> Result<Vec<Delivery>, Unavailable> {
        self.call(Operation::Publish, |state| {
            let texts = messages.iter().map(|message| (*message).to_owned());
            state.published.extend(texts);
            Ok(messages.iter().map(|_| Delivery::Published).collect())
        })
        .await
    }
}

impl HeldOrders for World {
    async fn report(&self, order: &HeldOrder) -> Result<(), Unavailable> {
        self.call(Operation::HoldOrder, |state| {
            state.held.push(order.clone());
            Ok(())
        })
        .await
    }
}

impl Sagas for World {
    async fn start(&self, order: OrderId, input: &str) -> Result<SagaStart, Unavailable> {
        self.call(Operation::StartSaga, |state| {
            if state.sagas.contains_key(&order) {
                return Ok(SagaStart::AlreadyExists);
            }
            state.sagas.insert(order, input.to_owned());
            Ok(SagaStart::Started)
        })
        .await
    }
}

impl AuditTrail for World {
    async fn append(&self, entry: &AuditEntry) -> Result<(), Unavailable> {
        self.call(Operation::AppendAudit, |state| {
            if !state.trail.iter().any(|known| key(known) == key(entry)) {
                state.trail.push(entry.clone());
            }
            Ok(())
        })
        .await
    }
}

fn key(entry: &AuditEntry) -> [&str; 4] {
    [
        &entry.order_id,
        &entry.time,
        &entry.message_id,
        &entry.message_type,
    ]
}

impl People for World {
    async fn tell(&self, notice: &Notice) -> Result<(), Unavailable> {
        self.call(Operation::TellPeople, |state| {
            state.notices.push(notice.clone());
            Ok(())
        })
        .await
    }
}

impl DeadLetters for World {
    async fn look_into(&self, queue_name: &str) -> Result<Option<QueueReport>, Unavailable> {
        self.call(Operation::LookInto, |state| {
            Ok(state.queues.get(queue_name).cloned())
        })
        .await
    }
}
