//! Orders, a fixed number of them on their way at a time.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::types::AttributeValue;
use contracts::Timestamp;
use futures_util::future::join_all;
use tokio::time::sleep;
use waybill_tests::proxy::Proxy;
use waybill_tests::{Environment, Order, SLOWLY, StockLevel, unique};

use crate::memory;
use crate::tally::Tally;

const PAUSE: Duration = Duration::from_millis(150);

/// Sends orders to one stack.
pub(crate) struct Load<'a> {
    environment: &'a Environment,
    tally: &'a Tally,
    proxy: &'a Proxy,
    clients: usize,
    sku: String,
}

/// What a number of orders took.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) orders: usize,
    pub(crate) took: Duration,
    /// Milliseconds from the 202 to completed, the shortest first.
    pub(crate) waits: Vec<u64>,
    /// Why orders failed that should not have.
    pub(crate) failures: Vec<String>,
    pub(crate) requests: u32,
    pub(crate) memory: BTreeMap<String, u32>,
}

impl Run {
    /// The wait that so many of a hundred orders did not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> u64 {
        let index = (self.waits.len() * percent).div_ceil(100).max(1) - 1;
        self.waits[index]
    }

    pub(crate) fn orders_per_second(&self) -> f64 {
        self.count() / self.took.as_secs_f64()
    }

    pub(crate) fn requests_per_order(&self) -> f64 {
        f64::from(self.requests) / self.count()
    }

    fn count(&self) -> f64 {
        f64::from(u32::try_from(self.orders).expect("a number of orders"))
    }
}

impl<'a> Load<'a> {
    pub(crate) async fn on(
        environment: &'a Environment,
        tally: &'a Tally,
        proxy: &'a Proxy,
        clients: usize,
    ) -> Self {
        let sku = unique("GROWTH");
        let plenty = StockLevel::new(100_000_000, 0, 0);
        environment.seed(&sku, plenty).await;
        Self {
            environment,
            tally,
            proxy,
            clients,
            sku,
        }
    }

    /// Sends so many orders, and waits until nothing of them moves.
    pub(crate) async fn run(&self, orders: usize) -> Run {
        self.tally.take();
        let left = RefCell::new(orders);
        let began = Instant::now();
        let clients = (0..self.clients).map(|_| self.client(&left));
        let ends: Vec<_> = join_all(clients).await.into_iter().flatten().collect();
        let took = began.elapsed();
        let (mut waits, mut failures) = (Vec::new(), Vec::new());
        for end in ends {
            match end {
                Ok(wait) => waits.push(wait),
                Err(reason) => failures.push(reason),
            }
        }
        // Some may, where the emulator is short of time; a measurement of failures is none.
        assert!(
            failures.len() * 100 <= orders,
            "orders failed: {failures:?}"
        );
        self.environment.all_dealt_with(SLOWLY).await;
        waits.sort_unstable();
        Run {
            orders,
            took,
            waits,
            failures,
            requests: self.tally.take(),
            memory: memory::resident(self.environment.stack()),
        }
    }

    async fn client(&self, left: &RefCell<usize>) -> Vec<Result<u64, String>> {
        let mut waits = Vec::new();
        loop {
            match left.replace_with(|it| it.saturating_sub(1)) {
                0 => return waits,
                _ => waits.push(self.order().await),
            }
        }
    }

    /// Gives the milliseconds from the 202 to completed, or why the order failed.
    async fn order(&self) -> Result<u64, String> {
        let order = Order::of(&self.sku);
        let answer = self
            .environment
            .send_by(&self.proxy.url(), &order.request())
            .await
            .unwrap_or_else(|fault| panic!("an order: {fault}"));
        assert_eq!(answer.status, 202, "an order: {}", answer.text());
        let accepted = SystemTime::now().duration_since(UNIX_EPOCH);
        let accepted = accepted.expect("a time after 1970").as_millis();
        let accepted = u64::try_from(accepted).expect("milliseconds");
        let id = answer.json()["orderId"].as_str().expect("an id").to_owned();
        let completed = self.completed(&id).await?;
        Ok(completed.saturating_sub(accepted))
    }

    /// When the saga wrote the end: its own time, which does not depend on how often one looks.
    async fn completed(&self, id: &str) -> Result<u64, String> {
        let limit = Instant::now() + SLOWLY;
        loop {
            sleep(PAUSE).await;
            let found = self
                .environment
                .dynamodb
                .get_item()
                .table_name(self.environment.output("OrdersTableName"))
                .key("orderId", AttributeValue::S(id.to_owned()))
                .projection_expression("#status, updatedAt, reason")
                .expression_attribute_names("#status", "status")
                .send()
                .await;
            let item = found.expect("an answer").item.unwrap_or_default();
            let text = |name: &str| item.get(name).and_then(|it| it.as_s().ok());
            let status = text("status").map_or("missing", String::as_str);
            if status == "completed" {
                let at: Timestamp = text("updatedAt").expect("a time").parse().expect("a time");
                return Ok(at.epoch_millis());
            }
            if status == "failed" {
                return Err(format!("{id}: {:?}", item.get("reason")));
            }
            assert!(Instant::now() < limit, "order {id} is still {status}");
        }
    }
}
