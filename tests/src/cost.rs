//! What an order asks of AWS that AWS bills, counted on a deployment of its own.
//!
//! The functions call AWS through a [`Recorder`]; one order at a time is placed, and what
//! is recorded until everything rests is its own. What the services do among themselves no
//! proxy sees: it is read from the saga's history, from the subscriptions' filters and
//! from the functions' logs. What runs by the clock, whether there are orders or not, is
//! told apart by its function.

mod inside;
mod units;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;

use crate::proxy::{Proxy, Recorded, Recorder};
use crate::{Environment, Order, QUICKLY, StockLevel, Tap, unique, wait_until};

use inside::Invocation;
use units::Units;

/// The functions that an order passes. The others run by a schedule or when something fails.
pub const ON_THE_WAY: [&str; 8] = [
    "order-api",
    "outbox-relay",
    "saga-starter",
    "payment-worker",
    "stock-worker",
    "shipping-worker",
    "audit-recorder",
    "notifier",
];

/// What the sandbox keeps stands for a provider, whom nobody pays by the request.
const OF_THE_SANDBOX: &str = "Sandbox";

/// What is done, and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An order that is paid, reserved and shipped.
    Completed,
    /// An order whose payment is declined.
    Declined,
    /// An order whose shipment is refused: the stock is released, the payment refunded.
    Undone,
    /// The request that placed an order, sent again.
    PlacedAgain,
    /// The command to charge, delivered again.
    ChargedAgain,
    /// The command to reserve, delivered again.
    ReservedAgain,
    /// The command to ship, delivered again.
    ShippedAgain,
}

/// All of it.
pub const KINDS: [Kind; 7] = [
    Kind::Completed,
    Kind::Declined,
    Kind::Undone,
    Kind::PlacedAgain,
    Kind::ChargedAgain,
    Kind::ReservedAgain,
    Kind::ShippedAgain,
];

impl Kind {
    /// As files and tables name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Declined => "declined",
            Self::Undone => "undone",
            Self::PlacedAgain => "placed again",
            Self::ChargedAgain => "charged again",
            Self::ReservedAgain => "reserved again",
            Self::ShippedAgain => "shipped again",
        }
    }

    /// The consumer and the command that is delivered to it again.
    fn again(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::ChargedAgain => Some(("Payment", "payment.charge")),
            Self::ReservedAgain => Some(("Stock", "stock.reserve")),
            Self::ShippedAgain => Some(("Shipping", "shipment.create")),
            _ => None,
        }
    }

    fn order(self, sku: &str) -> Order {
        match self {
            Self::Declined => Order::of(sku).paid_by("pm_card_chargeDeclined"),
            Self::Undone => Order::of(sku).shipped_to("00000"),
            _ => Order::of(sku),
        }
    }
}

/// What was asked, in the numbers that bills are made of.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Usage {
    /// How often what was asked: `caller service:Operation table`.
    pub requests: BTreeMap<String, f64>,
    /// Write units of tables and their indexes.
    pub write_units: f64,
    /// What of them writing the order's item took, as if no write were in a transaction.
    pub order_units: f64,
    /// Read units.
    pub read_units: f64,
    /// Bytes of messages that were matched against filters on the body.
    pub filtered_bytes: f64,
    /// Bytes of log lines.
    pub log_bytes: f64,
    /// Invocations that there really were; requests count the most that there can be.
    pub invocations: f64,
    /// Milliseconds for which functions ran.
    pub function_millis: f64,
    /// Events that the order has.
    pub events: f64,
}

impl Usage {
    /// The sum of the requests whose name begins and ends like this.
    pub fn sum(&self, begins: &str, ends: &str) -> f64 {
        let mut sum = 0.0;
        for (name, count) in &self.requests {
            if name.starts_with(begins) && name.ends_with(ends) {
                sum += count;
            }
        }
        sum
    }

    /// The requests of a function to the stores that it needs in production.
    pub fn store_requests(&self, function: &str) -> f64 {
        let begins = format!("{function} dynamodb:");
        let of_sandbox = self
            .requests
            .iter()
            .filter(|(name, _)| name.starts_with(&begins) && name.contains(OF_THE_SANDBOX));
        self.sum(&begins, "") - of_sandbox.map(|(_, count)| count).sum::<f64>()
    }

    /// The middle one of several, number by number: one late retry does not move it.
    pub fn median(all: &[Self]) -> Self {
        let middle = |number: &dyn Fn(&Self) -> f64| {
            let mut numbers: Vec<f64> = all.iter().map(number).collect();
            numbers.sort_by(f64::total_cmp);
            numbers.get(numbers.len() / 2).copied().unwrap_or_default()
        };
        let names = all.iter().flat_map(|usage| usage.requests.keys().cloned());
        let of = |usage: &Self, name: &String| usage.requests.get(name).copied().unwrap_or(0.0);
        let requests = names.map(|name| (name.clone(), middle(&|usage| of(usage, &name))));
        Self {
            requests: requests.filter(|(_, count)| *count > 0.0).collect(),
            write_units: middle(&|it| it.write_units),
            order_units: middle(&|it| it.order_units),
            read_units: middle(&|it| it.read_units),
            filtered_bytes: middle(&|it| it.filtered_bytes),
            log_bytes: middle(&|it| it.log_bytes),
            invocations: middle(&|it| it.invocations),
            function_millis: middle(&|it| it.function_millis),
            events: middle(&|it| it.events),
        }
    }

    /// Batches depend on the moment, so the worst is counted: each message and each event
    /// comes by itself. More than that is counted as it was.
    fn as_if_nothing_came_together(&mut self) {
        let consumers = [
            ("Saga", "saga-starter"),
            ("Payment", "payment-worker"),
            ("Stock", "stock-worker"),
            ("Shipping", "shipping-worker"),
            ("Audit", "audit-recorder"),
            ("Notify", "notifier"),
        ];
        for (consumer, function) in consumers {
            let delivered = self.sum(&format!("{consumer} sqs:Delivery"), "");
            self.at_least(&format!("{function} lambda:Invoke"), delivered);
        }
        self.at_least("outbox-relay lambda:Invoke", self.events);
        self.at_least("outbox-relay sns:PublishBatch", self.events);
    }

    fn at_least(&mut self, name: &str, count: f64) {
        if count > 0.0 {
            let counted = self.requests.entry(name.to_owned()).or_default();
            *counted = counted.max(count);
        }
    }

    fn add(&mut self, name: String, count: f64) {
        *self.requests.entry(name).or_default() += count;
    }
}

/// Counts on a deployment whose functions call AWS through a proxy.
#[derive(Debug)]
pub struct Counter {
    environment: Environment,
    recorder: Arc<Recorder>,
    proxy: Proxy,
    /// The names in the template, by the real ones.
    logical: HashMap<String, String>,
    sku: String,
}

impl Counter {
    /// Starts the proxy that the functions of the environment are set to call.
    ///
    /// # Panics
    /// Where the environment was not started with `--proxied`.
    pub async fn start() -> Self {
        let environment = Environment::connect().await;
        let address = std::env::var("WAYBILL_PROXY")
            .expect("WAYBILL_PROXY is not set: start the environment with --proxied");
        let recorder = Arc::new(Recorder::of(environment.stack()));
        let proxy = Proxy::start(&address, environment.endpoint(), recorder.clone()).await;
        let resources = environment.resources().await;
        let logical = resources.into_iter().map(|(logical, real)| (real, logical));
        let sku = unique("COST");
        environment
            .seed(&sku, StockLevel::new(1_000_000, 0, 0))
            .await;
        Self {
            logical: logical.collect(),
            environment,
            recorder,
            proxy,
            sku,
        }
    }

    /// The deployment.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// What the middle one of so many of a kind asks. One before them warms the functions up.
    pub async fn count(&self, kind: Kind, times: usize) -> Usage {
        self.count_one(kind).await;
        let mut all = Vec::new();
        for _ in 0..times {
            all.push(self.count_one(kind).await);
        }
        Usage::median(&all)
    }

    async fn count_one(&self, kind: Kind) -> Usage {
        let order = kind.order(&self.sku);
        let mut tap = Tap::on_order(&self.environment, &order.id()).await;
        let before = self.begin().await;
        self.place(&order).await;
        let usage = self.rest_of(&order, &mut tap, before).await;
        let usage = match (kind, kind.again()) {
            (Kind::PlacedAgain, _) => {
                let before = self.begin().await;
                self.place(&order).await;
                self.finish(&order, &[], before).await
            }
            (_, Some((consumer, name))) => {
                let command = tap.next(name).await;
                let before = self.begin().await;
                let queue = self.environment.queue(consumer);
                self.environment.put(queue, &command.body).await;
                self.environment.all_dealt_with(QUICKLY).await;
                self.finish(&order, &[], before).await
            }
            _ => usage,
        };
        tap.close().await;
        usage
    }

    async fn place(&self, order: &Order) {
        let url = self.proxy.url();
        let answer = self.environment.send_by(&url, &order.request()).await;
        let answer = answer.unwrap_or_else(|fault| panic!("{}: {fault}", order.id()));
        assert_eq!(answer.status, 202, "{}: {}", order.id(), answer.text());
    }

    async fn begin(&self) -> HashMap<String, usize> {
        let mut lines = HashMap::new();
        for function in ON_THE_WAY {
            let logged = self.environment.log_lines(function, "").await;
            lines.insert(function.to_owned(), logged.len());
        }
        self.recorder.take();
        lines
    }

    /// Waits until the order has ended and every message of it is dealt with.
    async fn rest_of(
        &self,
        order: &Order,
        tap: &mut Tap<'_>,
        before: HashMap<String, usize>,
    ) -> Usage {
        let id = order.id();
        let sent = wait_until(&format!("{id} ends"), QUICKLY, async || {
            let item = self.environment.order_item(&id).await;
            let status = item["status"]["S"].as_str().unwrap_or_default().to_owned();
            let history = self.environment.history(&id).await;
            let events = item["timeline"]["L"].as_array().map_or(0, Vec::len);
            match status.as_str() {
                "completed" | "failed" if history.has_ended => Ok(events + history.publishes),
                _ => Err(status),
            }
        })
        .await;
        wait_until(&format!("{id} is audited"), QUICKLY, async || {
            match self.environment.audit(&id).await.len() {
                audited if audited >= sent => Ok(()),
                audited => Err(format!("{audited} of {sent} messages")),
            }
        })
        .await;
        self.environment.all_dealt_with(QUICKLY).await;
        tap.until("all messages are heard", QUICKLY, |tap| {
            tap.captured().len() >= sent
        })
        .await;
        let bodies: Vec<Value> = tap.captured().iter().map(|it| it.message.clone()).collect();
        let mut usage = self.finish(order, &bodies, before).await;
        self.add_saga(&id, &mut usage).await;
        usage
    }

    /// What was recorded, logged and delivered since it began. A duplicate causes no messages.
    async fn finish(
        &self,
        order: &Order,
        messages: &[Value],
        before: HashMap<String, usize>,
    ) -> Usage {
        let mut usage = Usage::default();
        let calls = self.recorder.take();
        for call in &calls {
            self.add_call(call, &mut usage);
        }
        let mut units = Units::of(&self.environment, &order.id(), messages.is_empty());
        for call in calls.iter().filter(|it| it.service == "dynamodb") {
            let sandbox = self
                .tables(call)
                .iter()
                .all(|it| it.contains(OF_THE_SANDBOX));
            if is_on_the_way(call) && !sandbox {
                units.add(call).await;
            }
        }
        units.write_into(&mut usage);
        for function in ON_THE_WAY {
            let lines = self.environment.log_lines(function, "").await;
            let new = Invocation::read(&lines[before[function]..]);
            if new.count > 0.0 {
                usage.add(format!("{function} lambda:Invoke"), new.count);
            }
            usage.invocations += new.count;
            usage.log_bytes += new.log_bytes;
            usage.function_millis += new.millis;
        }
        let bus = self.environment.deliveries(messages).await;
        for (consumer, count) in bus.by_consumer {
            usage.add(format!("{consumer} sqs:Delivery"), count);
        }
        usage.filtered_bytes = bus.filtered_bytes;
        usage
    }

    fn add_call(&self, call: &Recorded, usage: &mut Usage) {
        if call.service == "execute-api" {
            usage.add("client http-api:Request".to_owned(), 1.0);
        } else if is_on_the_way(call) {
            let tables = self.tables(call).join("+");
            let operation = format!("{} {}:{}", call.caller, call.service, call.operation);
            usage.add(format!("{operation} {tables}").trim_end().to_owned(), 1.0);
        }
    }

    /// The tables that a call names, as the template names them.
    fn tables(&self, call: &Recorded) -> Vec<String> {
        let mut tables: Vec<_> = units::tables(&call.body)
            .iter()
            .map(|real| {
                self.logical
                    .get(*real)
                    .unwrap_or_else(|| panic!("no table {real}"))
            })
            .cloned()
            .collect();
        tables.sort();
        tables.dedup();
        tables
    }

    /// The saga's own requests and transitions.
    async fn add_saga(&self, order: &str, usage: &mut Usage) {
        let history = self.environment.history(order).await;
        let add = |usage: &mut Usage, name: &str, count: usize| {
            if count > 0 {
                usage.add(name.to_owned(), number(count));
            }
        };
        add(usage, "order-saga states:Transition", history.transitions);
        add(usage, "order-saga sns:Publish", history.publishes);
        add(
            usage,
            "order-saga dynamodb:UpdateItem OrdersTable",
            history.updates,
        );
        let item = self.environment.order_item(order).await;
        let kilobytes = units::kilobytes(&item);
        let updates = number(history.updates);
        usage.order_units += updates * kilobytes;
        usage.write_units += updates * (kilobytes + units::OF_INDEX);
        let events = item["timeline"]["L"].as_array().map_or(0, Vec::len);
        usage.events = number(events);
        usage.as_if_nothing_came_together();
    }
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).expect("a number that a bill can have"))
}

fn is_on_the_way(call: &Recorded) -> bool {
    ON_THE_WAY.contains(&call.caller.as_str())
}
