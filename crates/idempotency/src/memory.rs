//! Records in memory: for tests, simulations and demonstrations.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::record::{
    decide_begin, decide_begin_undo, decide_complete, decide_complete_undo, decide_completed_put,
    decide_release, decide_release_undo, decide_renew, decide_renew_undo, decide_tombstone_put,
    decide_undone_update,
};
use crate::{
    Begin, BeginUndo, Claim, Key, Millis, Record, Renew, ResultJson, Started, Store, StoreError,
    UndoStarted,
};

/// A [`Store`] without I/O: deterministic, and never pending. Clones share the records.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    records: Arc<Mutex<HashMap<Key, Record>>>,
}

/// What `DynamoDbStore` offers as parts of a transaction, each under the same name.
impl MemoryStore {
    /// The operation's result, for a claim that was made before.
    ///
    /// # Errors
    /// [`StoreError::Superseded`] unless this attempt holds the claim.
    pub fn completion(&self, started: &Started, result: &ResultJson) -> Result<(), StoreError> {
        self.settle(&started.key, |record| {
            Ok(decide_complete(record, started, result)?)
        })
    }

    /// The undo's result, for a claim that was made before.
    ///
    /// # Errors
    /// [`StoreError::Superseded`] unless this attempt holds the claim.
    pub fn undo_completion(
        &self,
        started: &UndoStarted,
        result: &ResultJson,
    ) -> Result<(), StoreError> {
        self.settle(&started.key, |record| {
            Ok(decide_complete_undo(record, started, result)?)
        })
    }

    /// Claim and completion in one step.
    ///
    /// # Errors
    /// Why not: never [`Begin::Start`].
    pub fn completed_put(&self, claim: &Claim, result: &ResultJson) -> Result<(), Begin> {
        self.settle(&claim.key, |record| {
            decide_completed_put(record, claim, result)
        })
    }

    /// Undoes a completed operation in one step.
    ///
    /// # Errors
    /// What the record says instead.
    pub fn undone_update(&self, claim: &Claim, result: &ResultJson) -> Result<(), BeginUndo> {
        self.settle(&claim.key, |record| {
            decide_undone_update(record, claim, result)
        })
    }

    /// Leaves a tombstone where there is nothing to undo.
    ///
    /// # Errors
    /// What the record says instead.
    pub fn tombstone_put(&self, claim: &Claim, result: &ResultJson) -> Result<(), BeginUndo> {
        self.settle(&claim.key, |record| {
            decide_tombstone_put(record, claim, result)
        })
    }

    fn settle<E>(
        &self,
        key: &Key,
        decide: impl FnOnce(Option<&Record>) -> Result<Record, E>,
    ) -> Result<(), E> {
        self.step(key, |record| match decide(record) {
            Ok(next) => (Ok(()), Some(next)),
            Err(refusal) => (Err(refusal), None),
        })
    }

    /// One atomic step: reads the record, and writes the next one if there is one.
    fn step<T>(&self, key: &Key, decide: impl FnOnce(Option<&Record>) -> (T, Option<Record>)) -> T {
        // A panic elsewhere cannot leave a record half written.
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let (answer, next) = decide(records.get(key));
        if let Some(next) = next {
            records.insert(key.clone(), next);
        }
        answer
    }
}

impl Store for MemoryStore {
    async fn begin(&self, claim: &Claim) -> Result<Begin, StoreError> {
        Ok(self.step(&claim.key, |record| {
            let answer = decide_begin(record, claim);
            let next = matches!(answer, Begin::Start(_)).then(|| Record::started(claim));
            (answer, next)
        }))
    }

    async fn complete(&self, started: &Started, result: &ResultJson) -> Result<(), StoreError> {
        self.completion(started, result)
    }

    async fn release(&self, started: &Started) -> Result<(), StoreError> {
        self.settle(&started.key, |record| Ok(decide_release(record, started)?))
    }

    async fn begin_undo(&self, claim: &Claim) -> Result<BeginUndo, StoreError> {
        Ok(self.step(&claim.key, |record| {
            let answer = decide_begin_undo(record, claim);
            let next = match &answer {
                BeginUndo::Start(undo) => Some(Record::undoing(claim, undo.action.clone())),
                _ => None,
            };
            (answer, next)
        }))
    }

    async fn complete_undo(
        &self,
        started: &UndoStarted,
        result: &ResultJson,
    ) -> Result<(), StoreError> {
        self.undo_completion(started, result)
    }

    async fn release_undo(&self, started: &UndoStarted) -> Result<(), StoreError> {
        self.settle(&started.key, |record| {
            Ok(decide_release_undo(record, started)?)
        })
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        Ok(self.step(key, |record| (record.cloned(), None)))
    }
}

impl Renew for MemoryStore {
    async fn renew(&self, started: &Started, until: Millis) -> Result<Started, StoreError> {
        let renewed = started.renewed(until);
        self.settle::<StoreError>(&started.key, |record| Ok(decide_renew(record, &renewed)?))?;
        Ok(renewed)
    }

    async fn renew_undo(
        &self,
        started: &UndoStarted,
        until: Millis,
    ) -> Result<UndoStarted, StoreError> {
        let renewed = started.renewed(until);
        self.settle::<StoreError>(&started.key, |record| {
            Ok(decide_renew_undo(record, &renewed)?)
        })?;
        Ok(renewed)
    }
}
