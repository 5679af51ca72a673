//! The tables: each call of a store is one step, decided by the pure functions of
//! `idempotency` and `domain`, as both real stores do.

use domain::stock::Movement;
use domain::{EventKind, OrderStatus, evolve};
use idempotency::record::{
    Begin, BeginUndo, Claim, OnAbandoned, Superseded, decide_begin, decide_begin_undo,
    decide_complete, decide_complete_undo, decide_completed_put, decide_release,
    decide_release_undo, decide_tombstone_put, decide_undone_update,
};
use idempotency::{ActionOutcome, Key, Record, Started, UndoStarted};
use ports::{OrderChange, StockMove};

use crate::calls::{Call, Reply, THIS_RUN};
use crate::model::Protocol;
use crate::scenario::Sabotage;
use crate::state::{Run, State, label, owner, token};

impl Protocol {
    /// Carries out a call of a store; `None` where the call is none.
    pub(crate) fn store_call(&self, state: &mut State, run: &Run, call: &Call) -> Option<Reply> {
        let mut table = Table {
            model: self,
            state,
            order: usize::from(run.message.order),
            label: run.label,
        };
        Some(match call {
            Call::Begin(claim) => Reply::Begin(table.begin(&table.own(claim))),
            Call::BeginUndo(claim) => Reply::BeginUndo(table.begin_undo(&table.own(claim))),
            Call::Get(key) => Reply::Record(table.read(key)),
            Call::Release(started) => {
                let started = table.own_started(started);
                table.settle(&started.key, |record| decide_release(record, &started))
            }
            Call::ReleaseUndo(started) => {
                let started = table.own_undo(started);
                table.settle(&started.key, |record| decide_release_undo(record, &started))
            }
            Call::Commit(started, result, change) => {
                let started = table.own_started(started);
                let decide = |record: Option<&Record>| decide_complete(record, &started, result);
                table.commit(&started.key, decide, change.as_ref())
            }
            Call::CommitUndo(started, result, change) => {
                let started = table.own_undo(started);
                let decide =
                    |record: Option<&Record>| decide_complete_undo(record, &started, result);
                let reply = table.commit(&started.key, decide, change.as_ref());
                if started.action == ActionOutcome::NeverRan && reply == Reply::Done {
                    table.forget_if(Sabotage::NoTombstone, &started.key);
                }
                reply
            }
            Call::CommitAtOnce(claim, result, change) => {
                let claim = table.own(claim);
                match decide_completed_put(table.get(&claim.key).as_ref(), &claim, result) {
                    Err(known) => Reply::Known(anonymous(known)),
                    Ok(record) => table.write(&claim.key, record, Some(change)),
                }
            }
            Call::UndoAtOnce(claim, result, change) => {
                let claim = table.own(claim);
                match decide_undone_update(table.get(&claim.key).as_ref(), &claim, result) {
                    Err(known) => Reply::KnownUndo(anonymous_undo(known)),
                    Ok(record) => match table.write(&claim.key, record, change.as_ref()) {
                        Reply::Done => Reply::Done,
                        _ => Reply::Damaged,
                    },
                }
            }
            Call::Bury(claim, result) => {
                let claim = table.own(claim);
                match decide_tombstone_put(table.get(&claim.key).as_ref(), &claim, result) {
                    Err(known) => Reply::KnownUndo(anonymous_undo(known)),
                    Ok(record) => {
                        table.put(&claim.key, record);
                        table.forget_if(Sabotage::NoTombstone, &claim.key);
                        Reply::Done
                    }
                }
            }
            _ => return None,
        })
    }
}

/// The tables, as one run sees them.
struct Table<'a> {
    model: &'a Protocol,
    state: &'a mut State,
    order: usize,
    label: u8,
}

impl Table<'_> {
    fn begin(&mut self, claim: &Claim) -> Begin {
        let begin = decide_begin(self.get(&claim.key).as_ref(), claim);
        if matches!(begin, Begin::Start(_)) {
            self.put(&claim.key, Record::started(claim));
        }
        anonymous(begin)
    }

    fn begin_undo(&mut self, claim: &Claim) -> BeginUndo {
        let begin = decide_begin_undo(self.get(&claim.key).as_ref(), claim);
        if let BeginUndo::Start(undo) = &begin {
            self.put(&claim.key, Record::undoing(claim, undo.action.clone()));
        }
        anonymous_undo(begin)
    }

    fn settle(
        &mut self,
        key: &Key,
        decide: impl FnOnce(Option<&Record>) -> Result<Record, Superseded>,
    ) -> Reply {
        match decide(self.get(key).as_ref()) {
            Ok(record) => {
                self.put(key, record);
                Reply::Done
            }
            Err(Superseded) => Reply::Superseded,
        }
    }

    /// Record, event and stock together, or nothing.
    fn commit(
        &mut self,
        key: &Key,
        decide: impl Fn(Option<&Record>) -> Result<Record, Superseded>,
        change: Option<&OrderChange>,
    ) -> Reply {
        if self.model.is(Sabotage::OrderBeforeRecord) && change.is_some_and(|c| self.is_late(c)) {
            return Reply::OrderEnded;
        }
        let before = self.get(key);
        let next = match self.model.is(Sabotage::NoFencing) {
            // As if this attempt had never lost its claim.
            true => self.model.unfenced(before.as_ref(), self.label, &decide),
            false => decide(before.as_ref()),
        };
        match next {
            // A transaction is not committed twice: its condition asks for the claim.
            Ok(next) if before.as_ref() == Some(&next) && !self.model.is(Sabotage::NoFencing) => {
                Reply::Superseded
            }
            Ok(next) => self.write(key, next, change),
            Err(Superseded) => Reply::Superseded,
        }
    }

    /// Writes a record and a change, unless the order has ended or pieces are missing.
    fn write(&mut self, key: &Key, record: Record, change: Option<&OrderChange>) -> Reply {
        if let Some(change) = change {
            let ended = self.is_late(change);
            if ended && !self.model.is(Sabotage::CommitAfterEnd) {
                return Reply::OrderEnded;
            }
            if let Some(Err(reply)) = change.stock.as_ref().map(|moved| self.move_pieces(moved)) {
                return reply;
            }
            let order = &mut self.state.orders[self.order];
            order.append(change.event.kind);
        }
        self.put(key, record);
        Reply::Done
    }

    /// Whether a change would set a status of an order that has ended.
    fn is_late(&self, change: &OrderChange) -> bool {
        let order = &self.state.orders[self.order];
        evolve(change.event.kind).is_some() && order.status.is_final()
    }

    fn move_pieces(&mut self, moved: &StockMove) -> Result<(), Reply> {
        let mut level = self.state.level();
        for item in &moved.items {
            let short = |_| Reply::Short(vec![item.sku.clone()]);
            level = level.apply(moved.movement, item.quantity).map_err(short)?;
        }
        self.state.set_level(level);
        if !moved.items.is_empty() {
            let movement = match moved.movement {
                Movement::Reserve => 0,
                Movement::Release => 1,
                Movement::Ship => 2,
                Movement::CancelShipment => 3,
            };
            self.state.orders[self.order].moves[movement] += 1;
        }
        Ok(())
    }

    fn get(&self, key: &Key) -> Option<Record> {
        let key = self.model.number(key.as_str());
        let records = &self.state.orders[self.order].records;
        let (_, stored) = records.iter().find(|(known, _)| *known == key)?;
        Some(self.model.records.load(*stored))
    }

    /// The record, with this run's owner under the name that the run knows.
    fn read(&self, key: &Key) -> Option<Record> {
        let mut record = self.get(key)?;
        let name = if record.owner() == token(self.label) {
            THIS_RUN
        } else {
            token(0)
        };
        *owner(&mut record) = name;
        Some(record)
    }

    fn put(&mut self, key: &Key, record: Record) {
        let label = label(&record);
        let stored = self.model.records.store(record, label);
        let key = self.model.number(key.as_str());
        let records = &mut self.state.orders[self.order].records;
        records.retain(|(known, _)| *known != key);
        records.push((key, stored));
    }

    fn forget_if(&mut self, sabotage: Sabotage, key: &Key) {
        if self.model.is(sabotage) {
            let key = self.model.number(key.as_str());
            let records = &mut self.state.orders[self.order].records;
            records.retain(|(known, _)| *known != key);
        }
    }

    fn own(&self, claim: &Claim) -> Claim {
        Claim {
            owner: token(self.label),
            ..claim.clone()
        }
    }

    fn own_started(&self, started: &Started) -> Started {
        let mut started = started.clone();
        started.owner = token(self.label);
        started
    }

    fn own_undo(&self, started: &UndoStarted) -> UndoStarted {
        let mut started = started.clone();
        started.owner = token(self.label);
        started
    }
}

impl Protocol {
    /// What the completion would write if the claim still were this run's.
    fn unfenced(
        &self,
        record: Option<&Record>,
        label: u8,
        decide: impl Fn(Option<&Record>) -> Result<Record, Superseded>,
    ) -> Result<Record, Superseded> {
        let Some(record) = record else {
            return Err(Superseded);
        };
        let claim = Claim {
            // A completion looks at the owner and the kind of the state alone.
            key: self.any_key.clone(),
            fingerprint: self.any_fingerprint.clone(),
            owner: token(label),
            now: crate::worker::NOW,
            lease_until: crate::worker::NOW,
            expires_at: record.expires_at,
            on_abandoned: OnAbandoned::Retry,
        };
        decide(Some(&Record::started(&claim)))
            .or_else(|_| decide(Some(&Record::undoing(&claim, ActionOutcome::Unknown))))
    }
}

fn anonymous(begin: Begin) -> Begin {
    match begin {
        Begin::Start(mut started) => {
            started.owner = THIS_RUN;
            Begin::Start(started)
        }
        other => other,
    }
}

fn anonymous_undo(begin: BeginUndo) -> BeginUndo {
    match begin {
        BeginUndo::Start(mut started) => {
            started.owner = THIS_RUN;
            BeginUndo::Start(started)
        }
        other => other,
    }
}

/// The event that an end of the order is.
pub(crate) fn end_event(status: OrderStatus) -> EventKind {
    match status {
        OrderStatus::Completed => EventKind::OrderCompleted,
        OrderStatus::Failed => EventKind::OrderFailed,
        _ => EventKind::OrderNeedsAttention,
    }
}
