//! Holds stock for orders, all lines or none, and makes it available again.
//!
//! The whole effect is in DynamoDB: one transaction is claim, effect and result.

use contracts::{Command, CommandMessage, Event, saga};
use domain::stock::{Movement, Reservation};
use domain::{ItemQuantity, Sku};
use idempotency::record::decide_begin_undo;
use idempotency::{ActionOutcome, Begin, BeginUndo, Claim, Clock, ResultJson};
use message_worker::RecordContext;
use ports::{Answer, OrderChange, Reserve, StockJournal};
use saga_step::{
    StepError, Steps, already_undone, claim, order_change, order_ended, stored, undo_refusal,
};

/// The reservation and its undo.
#[derive(Debug)]
pub struct Stock<J, C> {
    journal: J,
    clock: C,
}

const SOURCE: &str = "/waybill/stock-worker";

impl<J: StockJournal, C: Clock> Stock<J, C> {
    /// Holds and releases through this journal.
    pub fn new(journal: J, clock: C) -> Self {
        Self { journal, clock }
    }

    async fn reserve(
        &self,
        message: &CommandMessage,
        items: &[ItemQuantity],
        claim: &Claim,
    ) -> Result<Answer, StepError> {
        let event = Event::StockReserved(items.to_vec());
        let change = self.change(message, &event, Some((Movement::Reserve, items)));
        let reserved = Reservation::Reserved {
            items: items.to_vec(),
        };
        let result = stored(contracts::reservation::write(&reserved))?;
        match self.journal.commit_at_once(claim, &result, &change).await? {
            Reserve::Done => answer(&result),
            Reserve::Known(begin) => answer_known(begin, &result, claim),
            Reserve::Short(skus) => self.reject(message, skus, claim).await,
            Reserve::OrderEnded => Ok(order_ended()),
        }
    }

    /// Records that nothing is held. From here on the answer stays the same,
    /// also when there is stock again.
    async fn reject(
        &self,
        message: &CommandMessage,
        skus: Vec<Sku>,
        claim: &Claim,
    ) -> Result<Answer, StepError> {
        let change = self.change(message, &Event::StockRejected(skus.clone()), None);
        let result = stored(contracts::reservation::write(&Reservation::OutOfStock {
            skus,
        }))?;
        match self.journal.commit_at_once(claim, &result, &change).await? {
            Reserve::Done => answer(&result),
            Reserve::Known(begin) => answer_known(begin, &result, claim),
            Reserve::Short(_) | Reserve::OrderEnded => Err(StepError::Damaged(
                "a rejection moves no pieces and sets no status".into(),
            )),
        }
    }

    /// Undoes what the record says, never what the message claims.
    async fn release(&self, message: &CommandMessage, claim: &Claim) -> Result<Answer, StepError> {
        if let Some(refused) = undo_refusal(&self.journal, message).await? {
            return Ok(refused);
        }
        let record = self.journal.get(&claim.key).await?;
        let action = match decide_begin_undo(record.as_ref(), claim) {
            BeginUndo::Start(started) => started.action,
            known => return answer_known_undo(known, claim),
        };
        let items = match action {
            ActionOutcome::NeverRan => return self.bury(claim).await,
            ActionOutcome::Completed { result } => held(read(&result)?),
            ActionOutcome::Unknown => {
                return Err(StepError::Damaged(
                    "a reservation is never half done".into(),
                ));
            }
        };
        let change = items.map(|items| {
            let event = Event::StockReleased(items.clone());
            self.change(message, &event, Some((Movement::Release, &items)))
        });
        let result = stored(contracts::undo::write(change.is_some(), None))?;
        let refused = self
            .journal
            .undo_at_once(claim, &result, change.as_ref())
            .await?;
        answer_undo(refused, result, claim)
    }

    /// Leaves a tombstone: nothing was reserved, and from now on nothing will be.
    async fn bury(&self, claim: &Claim) -> Result<Answer, StepError> {
        let result = stored(contracts::undo::write(false, None))?;
        let refused = self.journal.bury(claim, &result).await?;
        answer_undo(refused, result, claim)
    }

    fn change(
        &self,
        message: &CommandMessage,
        event: &Event,
        stock: Option<(Movement, &[ItemQuantity])>,
    ) -> OrderChange {
        order_change(message, event, SOURCE, self.clock.now(), stock)
    }
}

impl<J: StockJournal, C: Clock> Steps for Stock<J, C> {
    async fn run(
        &self,
        message: &CommandMessage,
        context: &RecordContext,
    ) -> Result<Answer, StepError> {
        let claim = claim(message, context, &self.clock)?;
        match &message.command {
            Command::Reserve { items } => self.reserve(message, items, &claim).await,
            Command::Release => self.release(message, &claim).await,
            _ => Err(message.envelope.unknown_type().into()),
        }
    }
}

/// The answer to a reservation whose record was there before.
fn answer_known(begin: Begin, own: &ResultJson, claim: &Claim) -> Result<Answer, StepError> {
    match begin {
        // The record is this attempt's own: the store had repeated the request.
        Begin::Start(_) => answer(own),
        Begin::AlreadyCompleted { result, .. } => answer(&result),
        Begin::Undone => Ok(already_undone()),
        Begin::InProgress { until } => Err(StepError::held(claim.now, until)),
        Begin::FingerprintMismatch => Err(StepError::PayloadChanged),
        Begin::Abandoned => Err(StepError::Abandoned),
    }
}

/// The answer to a release, unless another delivery came before it.
fn answer_undo(
    refused: Option<BeginUndo>,
    result: ResultJson,
    claim: &Claim,
) -> Result<Answer, StepError> {
    match refused {
        None => Ok(Answer::Success(result.into_string())),
        Some(known) => answer_known_undo(known, claim),
    }
}

/// The answer to a release that another delivery came before.
fn answer_known_undo(begin: BeginUndo, claim: &Claim) -> Result<Answer, StepError> {
    match begin {
        BeginUndo::AlreadyUndone { result } => Ok(Answer::Success(result.into_string())),
        BeginUndo::InProgress { until } => Err(StepError::held(claim.now, until)),
        BeginUndo::FingerprintMismatch => Err(StepError::PayloadChanged),
        BeginUndo::Abandoned => Err(StepError::Abandoned),
        // The record changed between the look and the write: look again.
        BeginUndo::Start(_) => Err(StepError::Superseded),
    }
}

/// What a reservation holds, if anything.
fn held(reservation: Reservation) -> Option<Vec<ItemQuantity>> {
    match reservation {
        Reservation::Reserved { items } => Some(items),
        Reservation::OutOfStock { .. } => None,
    }
}

fn answer(result: &ResultJson) -> Result<Answer, StepError> {
    Ok(match read(result)? {
        Reservation::Reserved { .. } => Answer::Success(result.as_str().to_owned()),
        Reservation::OutOfStock { skus } => {
            let skus: Vec<_> = skus.iter().map(Sku::as_str).collect();
            let cause = format!("Out of stock: {}", skus.join(", "));
            Answer::Failure {
                error: saga::OUT_OF_STOCK,
                cause,
            }
        }
    })
}

fn read(result: &ResultJson) -> Result<Reservation, StepError> {
    contracts::reservation::read(result.as_str())
        .map_err(|error| StepError::Damaged(Box::new(error)))
}
