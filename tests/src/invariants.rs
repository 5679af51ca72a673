//! The invariants of the design, computed from what the tables, ledgers and queues hold.
//!
//! Nothing here asks the system whether it did well: the sandbox's ledger says
//! what was captured, the stock table what was taken, the queues what waits.

use std::collections::{BTreeMap, BTreeSet};

use domain::Step;
use futures_util::{StreamExt, stream};

use crate::{AuditEntry, CONSUMERS, Captured, Effect, Environment, Order, OrderView, StockLevel};

/// How many orders' records are read at a time.
const AT_ONCE: usize = 16;

/// One invariant, in the design's words, and whether it holds.
#[derive(Debug, Clone)]
pub struct Invariant {
    /// Its number in the design.
    pub number: u8,
    /// Its text.
    pub words: &'static str,
    /// The numbers that were compared.
    pub numbers: String,
    /// What contradicts it; empty where it holds.
    pub breaches: Vec<String>,
}

impl Invariant {
    /// Whether nothing contradicts it.
    pub fn holds(&self) -> bool {
        self.breaches.is_empty()
    }
}

/// What was asked of the system, to be held against what it did.
#[derive(Debug, Default)]
pub struct Asked {
    /// The orders that were accepted.
    pub orders: Vec<Order>,
    /// The articles of these orders, and no others', with the pieces that there were.
    pub stock: Vec<(String, i64)>,
    /// A text from each message that was put straight onto a queue and cannot be processed.
    pub strays: Vec<String>,
    /// How many deliveries there were beyond the first of each message.
    pub extra_deliveries: usize,
    /// What a subscriber of its own heard on the bus, in the order of delivery.
    pub heard: Vec<Captured>,
}

/// What is on record for one order.
#[derive(Debug)]
pub struct Account {
    /// Its id.
    pub id: String,
    /// What was ordered.
    pub order: Order,
    /// What the API says of it.
    pub view: OrderView,
    /// What really happened.
    pub ledger: Vec<Effect>,
    /// What went over the bus.
    pub audit: Vec<AuditEntry>,
    /// The commands that went over the bus and neither had their effect nor are kept anywhere.
    pub lost: Vec<String>,
    /// Its messages that wait in a dead letter queue, or as open failures in the store.
    pub dead_letters: usize,
    /// Its messages that are still in a consumer's queue.
    pub waiting: usize,
}

/// What is on record for all that was asked.
#[derive(Debug)]
pub struct Accounts {
    /// One account for each order.
    pub orders: Vec<Account>,
    stock: Vec<(String, i64, StockLevel)>,
    strays: Vec<(String, usize)>,
    extra_deliveries: usize,
    heard: Vec<Captured>,
}

impl Account {
    /// Reads what is on record, and looks for its messages among the waiting and the dead.
    async fn open(environment: &Environment, order: Order, kept: [&Vec<String>; 2]) -> Self {
        let id = order.id();
        let audit = environment.audit(&id).await;
        let [waiting, dead] = kept;
        Self {
            view: environment.order(&id).await,
            ledger: environment.ledger(&id).await,
            lost: lost(environment, &id, &audit, &kept).await,
            audit,
            dead_letters: containing(dead, &id),
            waiting: containing(waiting, &id),
            order,
            id,
        }
    }

    /// How often something happened.
    pub fn count(&self, kind: &str) -> usize {
        self.ledger
            .iter()
            .filter(|effect| effect.kind == kind)
            .count()
    }

    fn amount(&self, kind: &str) -> u64 {
        let effects = self.ledger.iter().filter(|effect| effect.kind == kind);
        effects.map(|effect| effect.amount).sum()
    }

    fn is(&self, status: &str) -> bool {
        self.view.status == status
    }

    /// Nothing of it is left: the money is back, the shipment is called off, the stock is free.
    fn is_undone(&self) -> bool {
        let times = |name: &str| {
            self.view
                .events
                .iter()
                .filter(|event| *event == name)
                .count()
        };
        // What was reserved comes back; what was shipped came out of the reservation.
        self.amount("capture") == self.amount("refund")
            && self.count("shipment") == self.count("shipment-cancelled")
            && times("stock.reserved") == times("stock.released")
    }

    /// The events that the audit trail has, by their numbers.
    fn published(&self) -> BTreeMap<u64, &str> {
        let numbered = self
            .audit
            .iter()
            .filter_map(|entry| Some((entry.sequence?, entry)));
        numbered
            .map(|(sequence, entry)| (sequence, entry.name.as_str()))
            .collect()
    }
}

impl Accounts {
    /// Reads everything that is on record.
    pub async fn open(environment: &Environment, asked: Asked) -> Self {
        let waiting = contents(environment, Environment::queue).await;
        let dead = contents(environment, Environment::dlq).await;
        let quarantined = bodies(environment, environment.quarantine()).await;
        let kept = [&waiting, &dead];
        let accounts = asked.orders.into_iter();
        let accounts = accounts.map(|order| Account::open(environment, order, kept));
        let orders = stream::iter(accounts).buffered(AT_ONCE).collect().await;
        let mut stock = Vec::new();
        for (sku, seeded) in asked.stock {
            let level = environment.stock(&sku).await;
            stock.push((sku, seeded, level));
        }
        let kept = |stray: &String| containing(&quarantined, stray) + containing(&dead, stray);
        Self {
            orders,
            stock,
            strays: asked
                .strays
                .iter()
                .map(|stray| (stray.clone(), kept(stray)))
                .collect(),
            extra_deliveries: asked.extra_deliveries,
            heard: asked.heard,
        }
    }

    /// All six.
    pub fn invariants(&self) -> Vec<Invariant> {
        vec![
            self.every_order_ends(),
            self.nobody_is_charged_twice(),
            self.stock_is_kept(),
            self.events_are_published(),
            self.nothing_is_lost(),
            self.repetition_is_harmless(),
        ]
    }

    /// Fails where one does not hold.
    ///
    /// # Panics
    /// With the breaches, where there are any.
    pub fn check(&self) {
        for invariant in self.invariants() {
            let Invariant {
                number,
                words,
                numbers,
                breaches,
            } = &invariant;
            assert!(
                breaches.is_empty(),
                "invariant {number} ({words}; {numbers}): {breaches:#?}"
            );
        }
    }

    fn ended_as(&self, status: &str) -> usize {
        self.orders
            .iter()
            .filter(|account| account.is(status))
            .count()
    }

    fn every_order_ends(&self) -> Invariant {
        let breach = |account: &Account| match account.view.status.as_str() {
            "failed" if !account.is_undone() => Some(format!(
                "{} failed and is not undone: {:?}",
                account.id, account.ledger
            )),
            "completed" | "failed" | "needs-attention" => None,
            other => Some(format!("{} is still {other}", account.id)),
        };
        Invariant {
            number: 1,
            words: "Every accepted order reaches exactly one of completed, failed and fully \
                    undone, needs attention.",
            numbers: format!(
                "{} accepted: {} completed, {} failed and undone, {} needing attention",
                self.orders.len(),
                self.ended_as("completed"),
                self.orders
                    .iter()
                    .filter(|it| it.is("failed") && it.is_undone())
                    .count(),
                self.ended_as("needs-attention"),
            ),
            breaches: self.orders.iter().filter_map(breach).collect(),
        }
    }

    fn nobody_is_charged_twice(&self) -> Invariant {
        let breach = |account: &Account| {
            let captures = account.count("capture");
            let expected = match account.view.status.as_str() {
                "completed" => captures == 1 && account.count("refund") == 0,
                "failed" => captures <= 1 && account.amount("refund") == account.amount("capture"),
                _ => captures <= 1,
            };
            let is_right_amount =
                captures == 0 || account.amount("capture") == account.order.total();
            let describe = || {
                format!(
                    "{} {}: {:?}",
                    account.id, account.view.status, account.ledger
                )
            };
            (!expected || !is_right_amount).then(describe)
        };
        let total = |kind| {
            self.orders
                .iter()
                .map(|account| account.count(kind))
                .sum::<usize>()
        };
        Invariant {
            number: 2,
            words: "A payment is captured at most once per order; captured and not completed \
                    means refunded.",
            numbers: format!(
                "{} captures, {} refunds, {} orders completed",
                total("capture"),
                total("refund"),
                self.ended_as("completed"),
            ),
            breaches: self.orders.iter().filter_map(breach).collect(),
        }
    }

    /// How many pieces of an article the completed orders took.
    fn sold(&self, sku: &str) -> i64 {
        let completed = self.orders.iter().filter(|account| account.is("completed"));
        let lines = completed.filter_map(|account| account.order.body["items"].as_array());
        let of_sku = lines.flatten().filter(|line| line["sku"] == sku);
        of_sku.filter_map(|line| line["quantity"].as_i64()).sum()
    }

    fn stock_is_kept(&self) -> Invariant {
        let breach = |(sku, seeded, level): &(String, i64, StockLevel)| {
            let wanted = StockLevel::new(seeded - self.sold(sku), 0, self.sold(sku));
            let describe = || format!("{sku}: {seeded} pieces, wanted {wanted:?}, found {level:?}");
            (*level != wanted).then(describe)
        };
        let sum = |part: fn(&StockLevel) -> i64| -> i64 {
            self.stock.iter().map(|(_, _, level)| part(level)).sum()
        };
        let seeded: i64 = self.stock.iter().map(|(_, seeded, _)| seeded).sum();
        Invariant {
            number: 3,
            words: "Stock never goes below zero; what is reserved is shipped or released, once.",
            numbers: format!(
                "{seeded} pieces: {} available, {} reserved, {} shipped",
                sum(|level| level.available),
                sum(|level| level.reserved),
                sum(|level| level.shipped),
            ),
            breaches: self.stock.iter().filter_map(breach).collect(),
        }
    }

    /// The numbers of an order's events in the order in which they were first heard.
    fn heard(&self, order: &str) -> Vec<u64> {
        let mut heard = Vec::new();
        for captured in self
            .heard
            .iter()
            .filter(|captured| captured.order() == order)
        {
            heard.extend(
                captured
                    .sequence()
                    .filter(|sequence| !heard.contains(sequence)),
            );
        }
        heard
    }

    fn events_are_published(&self) -> Invariant {
        let breach = |account: &Account| {
            let happened = account.view.events.iter().map(String::as_str);
            let happened: BTreeMap<u64, &str> = (1..).zip(happened).collect();
            let published = account.published();
            let heard = self.heard(&account.id);
            let is_in_order = self.heard.is_empty() || heard.iter().eq(happened.keys());
            let describe = || {
                format!(
                    "{}: {happened:?} but {published:?}, heard {heard:?}",
                    account.id
                )
            };
            (happened != published || !is_in_order).then(describe)
        };
        let happened: usize = self
            .orders
            .iter()
            .map(|account| account.view.events.len())
            .sum();
        let published: usize = self
            .orders
            .iter()
            .map(|account| account.published().len())
            .sum();
        Invariant {
            number: 4,
            words: "Each event of an order is published at least once, an order's events in \
                    order, and each carries its sequence number.",
            numbers: format!("{happened} events happened, {published} numbered events published"),
            breaches: self.orders.iter().filter_map(breach).collect(),
        }
    }

    fn nothing_is_lost(&self) -> Invariant {
        let stranded = self
            .strays
            .iter()
            .filter(|(_, kept)| *kept != 1)
            .map(|(stray, kept)| format!("{stray} is kept {kept} times"));
        let on_bus: usize = self.orders.iter().map(|account| account.audit.len()).sum();
        let waiting: usize = self.orders.iter().map(|account| account.waiting).sum();
        let dead: usize = self.orders.iter().map(|account| account.dead_letters).sum();
        // A completed order leaves nothing behind; one that was undone may, for a person to see.
        let left = self.orders.iter().filter(|account| account.is("completed"));
        let left = left.filter(|account| account.waiting + account.dead_letters > 0);
        let left = left.map(|account| format!("{} is completed and has messages", account.id));
        let lost = self.orders.iter().flat_map(|account| &account.lost);
        let lost = lost.map(|command| format!("{command} is nowhere"));
        Invariant {
            number: 5,
            words: "Every message ever accepted by a queue is processed, waiting, or in a DLQ, \
                    quarantine or the failure store.",
            numbers: format!(
                "{on_bus} messages on record, {waiting} waiting, {dead} dead letters in their \
                 queues or in the failure store; {} unprocessable, {} of them kept",
                self.strays.len(),
                self.strays.iter().filter(|(_, kept)| *kept == 1).count(),
            ),
            breaches: stranded.chain(left).chain(lost).collect(),
        }
    }

    fn repetition_is_harmless(&self) -> Invariant {
        let breach = |account: &Account| {
            let kinds: BTreeSet<&str> = account
                .ledger
                .iter()
                .map(|effect| effect.kind.as_str())
                .collect();
            let events: BTreeSet<&String> = account.view.events.iter().collect();
            let is_single =
                kinds.len() == account.ledger.len() && events.len() == account.view.events.len();
            let describe = || {
                format!(
                    "{}: {:?}, {:?}",
                    account.id, account.ledger, account.view.events
                )
            };
            (!is_single).then(describe)
        };
        let effects: usize = self.orders.iter().map(|account| account.ledger.len()).sum();
        let breaches: Vec<String> = self.orders.iter().filter_map(breach).collect();
        Invariant {
            number: 6,
            words: "The same message delivered n times has the effect of one delivery.",
            numbers: format!(
                "{} messages delivered again on purpose, {effects} effects, {} of them twice",
                self.extra_deliveries,
                breaches.len(),
            ),
            breaches,
        }
    }
}

/// The commands of an order without a finished step and without a copy in a queue.
async fn lost(
    environment: &Environment,
    order: &str,
    audit: &[AuditEntry],
    kept: &[&Vec<String>],
) -> Vec<String> {
    let mut lost = Vec::new();
    for step in audit
        .iter()
        .filter_map(|entry| entry.name.parse::<Step>().ok())
    {
        let state = environment.step_state(order, step.action().as_str()).await;
        let finished: &[&str] = if step.is_undo() {
            &["undone"]
        } else {
            &["completed", "undone"]
        };
        let is_finished = state.is_some_and(|state| finished.contains(&state.as_str()));
        let id = format!("{order}/{step}\"");
        if !is_finished && kept.iter().all(|bodies| containing(bodies, &id) == 0) {
            lost.push(format!("{order}/{step}"));
        }
    }
    lost
}

/// The bodies in all queues of a kind.
async fn contents(
    environment: &Environment,
    queue_of: for<'a> fn(&'a Environment, &str) -> &'a str,
) -> Vec<String> {
    let mut all = Vec::new();
    for consumer in CONSUMERS {
        all.extend(bodies(environment, queue_of(environment, consumer)).await);
    }
    all
}

async fn bodies(environment: &Environment, queue_url: &str) -> Vec<String> {
    let messages = environment.peek(queue_url).await;
    messages.into_iter().map(|message| message.body).collect()
}

fn containing(bodies: &[String], text: &str) -> usize {
    bodies.iter().filter(|body| body.contains(text)).count()
}
