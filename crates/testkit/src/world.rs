//! Everything outside the functions.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::stock::StockLevel;
use domain::{OrderId, Sku};
use idempotency::{Key, Record};
use ports::{Answer, AuditEntry, HeldOrder, Notice, QueueReport, StockMove};

use crate::clock::VirtualClock;
use crate::failures::Kept;
use crate::faults::{Fault, Injected, Lost, Operation, Plan};
use crate::orders::{OrderChanged, StoredOrder};
use crate::providers::Ledger;

/// Tables, providers, bus, state machine and people, in memory. Clones are the same world.
#[derive(Debug, Clone)]
pub struct World {
    clock: VirtualClock,
    state: Arc<Mutex<State>>,
    plan: Arc<Mutex<Plan>>,
}

/// What is there. Two equal states cannot be told apart by any port.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct State {
    pub(crate) orders: BTreeMap<OrderId, StoredOrder>,
    pub(crate) changes: Vec<OrderChanged>,
    pub(crate) stock: BTreeMap<Sku, StockLevel>,
    pub(crate) records: BTreeMap<Key, Record>,
    pub(crate) ledger: Ledger,
    pub(crate) answers: Vec<(String, Answer)>,
    pub(crate) stale: BTreeSet<String>,
    pub(crate) published: Vec<String>,
    pub(crate) held: Vec<HeldOrder>,
    pub(crate) sagas: BTreeMap<OrderId, String>,
    pub(crate) trail: Vec<AuditEntry>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) queues: BTreeMap<String, QueueReport>,
    pub(crate) kept: Kept,
}

impl World {
    /// An empty world, at [`VirtualClock::START`]. Call it inside a runtime.
    pub fn new() -> Self {
        Self {
            clock: VirtualClock::start(),
            state: Arc::default(),
            plan: Arc::default(),
        }
    }

    /// The one clock of this world.
    pub fn clock(&self) -> VirtualClock {
        self.clock
    }

    /// Makes the call of this number go wrong, whatever operation it is. Calls
    /// of all ports together are counted from 0.
    pub fn fail_call(&self, number: usize, fault: Fault) {
        self.plan().at_call(number, fault);
    }

    /// Makes a call of one operation go wrong, counted from 0.
    pub fn fail(&self, operation: Operation, number: usize, fault: Fault) {
        self.plan().at(operation, number, fault);
    }

    /// The operations called so far, in order.
    pub fn calls(&self) -> Vec<Operation> {
        self.plan().calls().to_vec()
    }

    /// Sets the counts of an article.
    pub fn put_stock(&self, sku: &Sku, level: StockLevel) {
        self.state().stock.insert(sku.clone(), level);
    }

    /// The counts of an article.
    pub fn stock(&self, sku: &Sku) -> StockLevel {
        self.state().stock.get(sku).copied().unwrap_or_default()
    }

    /// The counts of all articles.
    pub fn stocks(&self) -> BTreeMap<Sku, StockLevel> {
        self.state().stock.clone()
    }

    /// A step's record.
    pub fn record(&self, key: &str) -> Option<Record> {
        let key = Key::new(key).ok()?;
        self.state().records.get(&key).cloned()
    }

    /// Whether the other world holds the same.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let own = self.state().clone();
        own == *other.state()
    }

    /// One call of a port: yields, goes wrong where the plan says so, and has
    /// its effect in one step.
    pub(crate) async fn call<T, E: Lost>(
        &self,
        operation: Operation,
        effect: impl FnOnce(&mut State) -> Result<T, E> + Send,
    ) -> Result<T, E> {
        tokio::task::yield_now().await;
        let fault = self.plan().next(operation);
        match fault {
            None => effect(&mut self.state()),
            Some(Fault::Delay(time)) => {
                tokio::time::sleep(time).await;
                effect(&mut self.state())
            }
            Some(Fault::ErrorBefore) => Err(E::request(Injected(operation))),
            Some(Fault::SilenceBefore) => pending().await,
            Some(Fault::ErrorAfter) => {
                effect(&mut self.state()).and(Err(E::answer(Injected(operation))))
            }
            Some(Fault::SilenceAfter) => {
                // Nobody hears how it went.
                drop(effect(&mut self.state()));
                pending().await
            }
        }
    }

    /// A panic in a test elsewhere cannot leave a step half done.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// The stock after a movement, or the articles of which there are too few.
    pub(crate) fn stock_after(
        &self,
        stock: Option<&StockMove>,
    ) -> Result<BTreeMap<Sku, StockLevel>, Vec<Sku>> {
        let mut next = self.stock.clone();
        let Some(StockMove { movement, items }) = stock else {
            return Ok(next);
        };
        let articles: BTreeSet<_> = items.iter().map(|line| &line.sku).collect();
        assert_eq!(
            articles.len(),
            items.len(),
            "a DynamoDB transaction refuses to touch an item twice"
        );
        let mut short = Vec::new();
        for line in items {
            let level = self.stock.get(&line.sku).copied().unwrap_or_default();
            match level.apply(*movement, line.quantity) {
                Ok(level) => drop(next.insert(line.sku.clone(), level)),
                Err(_) => short.push(line.sku.clone()),
            }
        }
        if short.is_empty() {
            Ok(next)
        } else {
            Err(short)
        }
    }
}
