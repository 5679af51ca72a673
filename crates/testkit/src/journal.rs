//! Records, and the steps that are committed with them.

use domain::{OrderId, OrderStatus};
use idempotency::record::{
    decide_begin, decide_begin_undo, decide_complete, decide_complete_undo, decide_completed_put,
    decide_release, decide_release_undo, decide_tombstone_put, decide_undone_update,
};
use idempotency::{
    Begin, BeginUndo, Claim, Key, Record, ResultJson, Started, Store, StoreError, Superseded,
    UndoStarted,
};
use ports::{
    CommitError, Completion, Completions, OrderChange, Reserve, StepJournal, StockJournal,
};

use crate::faults::Operation;
use crate::orders::StoredOrder;
use crate::world::{State, World};

impl State {
    fn put(&mut self, key: &Key, record: Record) {
        self.records.insert(key.clone(), record);
    }

    /// Writes a record that a pure function decided on.
    fn settle(
        &mut self,
        key: &Key,
        decide: impl FnOnce(Option<&Record>) -> Result<Record, Superseded>,
    ) -> Result<(), StoreError> {
        let next = decide(self.records.get(key))?;
        self.put(key, next);
        Ok(())
    }

    /// Record, stock and event together, or nothing.
    fn commit(
        &mut self,
        key: &Key,
        decide: impl FnOnce(Option<&Record>) -> Result<Record, Superseded>,
        change: Option<&OrderChange>,
    ) -> Result<(), CommitError> {
        let before = self.records.get(key);
        let next = decide(before).map_err(StoreError::from)?;
        if before == Some(&next) {
            // It is committed already. As in DynamoDB, no second transaction
            // gets through, or the event would be there twice.
            return Err(StoreError::from(Superseded).into());
        }
        self.write(key, next, change)
    }

    /// Writes a record and a change, unless the order has ended or pieces are missing.
    fn write(
        &mut self,
        key: &Key,
        record: Record,
        change: Option<&OrderChange>,
    ) -> Result<(), CommitError> {
        if change.is_some_and(|change| self.would_reopen(change.order, &change.event)) {
            return Err(CommitError::OrderEnded);
        }
        let stock = change.and_then(|change| change.stock.as_ref());
        self.stock = self.stock_after(stock).map_err(CommitError::Short)?;
        self.put(key, record);
        if let Some(change) = change {
            self.append(change.order, &change.event);
        }
        Ok(())
    }
}

impl Store for World {
    async fn begin(&self, claim: &Claim) -> Result<Begin, StoreError> {
        self.call(Operation::Begin, |state| {
            let answer = decide_begin(state.records.get(&claim.key), claim);
            if matches!(answer, Begin::Start(_)) {
                state.put(&claim.key, Record::started(claim));
            }
            Ok(answer)
        })
        .await
    }

    async fn complete(&self, started: &Started, result: &ResultJson) -> Result<(), StoreError> {
        self.call(Operation::Complete, |state| {
            state.settle(&started.key, |record| {
                decide_complete(record, started, result)
            })
        })
        .await
    }

    async fn release(&self, started: &Started) -> Result<(), StoreError> {
        self.call(Operation::Release, |state| {
            state.settle(&started.key, |record| decide_release(record, started))
        })
        .await
    }

    async fn begin_undo(&self, claim: &Claim) -> Result<BeginUndo, StoreError> {
        self.call(Operation::BeginUndo, |state| {
            let answer = decide_begin_undo(state.records.get(&claim.key), claim);
            if let BeginUndo::Start(undo) = &answer {
                state.put(&claim.key, Record::undoing(claim, undo.action.clone()));
            }
            Ok(answer)
        })
        .await
    }

    async fn complete_undo(
        &self,
        started: &UndoStarted,
        result: &ResultJson,
    ) -> Result<(), StoreError> {
        self.call(Operation::CompleteUndo, |state| {
            state.settle(&started.key, |record| {
                decide_complete_undo(record, started, result)
            })
        })
        .await
    }

    async fn release_undo(&self, started: &UndoStarted) -> Result<(), StoreError> {
        self.call(Operation::ReleaseUndo, |state| {
            state.settle(&started.key, |record| decide_release_undo(record, started))
        })
        .await
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        self.call(Operation::GetRecord, |state| {
            Ok(state.records.get(key).cloned())
        })
        .await
    }
}

impl State {
    fn completion(&self, order: OrderId) -> Completion {
        let stored = self.orders.get(&order);
        match stored.and_then(|stored| stored.status) {
            Some(OrderStatus::Completed) => Completion::Completed,
            _ if stored.is_some_and(StoredOrder::is_completing) => Completion::UnderWay,
            _ => Completion::Open,
        }
    }
}

impl Completions for World {
    async fn completion(&self, order: OrderId) -> Result<Completion, StoreError> {
        self.call(Operation::Completion, |state| Ok(state.completion(order)))
            .await
    }
}

impl StepJournal for World {
    async fn commit(
        &self,
        started: &Started,
        result: &ResultJson,
        change: Option<&OrderChange>,
    ) -> Result<(), CommitError> {
        self.call(Operation::Commit, |state| {
            let decide = |record: Option<&Record>| decide_complete(record, started, result);
            state.commit(&started.key, decide, change)
        })
        .await
    }

    async fn commit_undo(
        &self,
        started: &UndoStarted,
        result: &ResultJson,
        change: Option<&OrderChange>,
    ) -> Result<(), CommitError> {
        self.call(Operation::CommitUndo, |state| {
            let decide = |record: Option<&Record>| decide_complete_undo(record, started, result);
            state.commit(&started.key, decide, change)
        })
        .await
    }
}

impl StockJournal for World {
    async fn commit_at_once(
        &self,
        claim: &Claim,
        result: &ResultJson,
        change: &OrderChange,
    ) -> Result<Reserve, StoreError> {
        self.call(Operation::CommitAtOnce, |state| match decide_completed_put(
            state.records.get(&claim.key),
            claim,
            result,
        ) {
            Err(known) => Ok(Reserve::Known(known)),
            Ok(record) => match state.write(&claim.key, record, Some(change)) {
                Ok(()) => Ok(Reserve::Done),
                Err(CommitError::Short(short)) => Ok(Reserve::Short(short)),
                Err(CommitError::OrderEnded) => Ok(Reserve::OrderEnded),
                Err(CommitError::Store(error)) => Err(error),
            },
        })
        .await
    }

    async fn undo_at_once(
        &self,
        claim: &Claim,
        result: &ResultJson,
        change: Option<&OrderChange>,
    ) -> Result<Option<BeginUndo>, StoreError> {
        self.call(Operation::UndoAtOnce, |state| {
            let completion = change.map(|change| state.completion(change.order));
            if completion.is_some_and(|completion| completion != Completion::Open) {
                return Err(Superseded.into());
            }
            match decide_undone_update(state.records.get(&claim.key), claim, result) {
                Err(known) => Ok(Some(known)),
                Ok(record) => {
                    let impossible = |error| StoreError::Invalid(Box::new(error));
                    state
                        .write(&claim.key, record, change)
                        .map_err(impossible)?;
                    Ok(None)
                }
            }
        })
        .await
    }

    async fn bury(
        &self,
        claim: &Claim,
        result: &ResultJson,
    ) -> Result<Option<BeginUndo>, StoreError> {
        self.call(Operation::Bury, |state| {
            match decide_tombstone_put(state.records.get(&claim.key), claim, result) {
                Err(known) => Ok(Some(known)),
                Ok(record) => {
                    state.put(&claim.key, record);
                    Ok(None)
                }
            }
        })
        .await
    }
}
