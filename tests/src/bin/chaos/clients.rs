//! The clients: they send orders through the proxy, and repeat what was not answered.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::sleep;
use waybill_tests::{Answer, Environment, Order};

use crate::plan::{Planned, Then};
use crate::run::Run;

const CLIENTS: usize = 12;
const PAUSE: Duration = Duration::from_millis(250);
/// A client that has not been answered after so many requests does not believe in it any more.
const PATIENCE: usize = 60;

/// What the clients saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The ids of the orders that were answered with 202.
    pub(crate) accepted: Vec<String>,
    /// Requests that were not answered, or not with what was asked for.
    pub(crate) unanswered: usize,
    /// Requests with the same key and content, answered as a replay.
    pub(crate) replays: usize,
    /// Requests with the same key and another content, refused.
    pub(crate) refused: usize,
    /// Answers that are wrong.
    pub(crate) wrong: Vec<String>,
}

/// Sends all orders of the plan, each at its time.
pub(crate) async fn place_all(
    run: &Arc<Run>,
    environment: &'static Environment,
    proxy: &str,
) -> Seen {
    let clients = (0..CLIENTS).map(async |number| {
        let client = Client { environment, proxy };
        let mut seen = Seen::default();
        for planned in run.plan.orders.iter().skip(number).step_by(CLIENTS) {
            run.until(planned.at).await;
            run.has_room().await;
            client.place(planned, &mut seen).await;
        }
        seen
    });
    let mut all = Seen::default();
    for seen in join_all(clients).await {
        all.add(seen);
    }
    all
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.accepted.extend(other.accepted);
        self.unanswered += other.unanswered;
        self.replays += other.replays;
        self.refused += other.refused;
        self.wrong.extend(other.wrong);
    }

    /// Notes an answer that is not what it must be.
    fn expect(&mut self, order: &Order, answer: &Answer, status: u16) {
        if answer.status != status {
            let wrong = format!(
                "{}: {} instead of {status}: {}",
                order.id(),
                answer.status,
                answer.text()
            );
            self.wrong.push(wrong);
        }
    }
}

struct Client<'a> {
    environment: &'static Environment,
    proxy: &'a str,
}

impl Client<'_> {
    async fn place(&self, planned: &Planned, seen: &mut Seen) {
        let order = &planned.order;
        let patience = if planned.gives_up { 1 } else { PATIENCE };
        let Some(answer) = self.ask(order, patience, seen).await else {
            return;
        };
        seen.expect(order, &answer, 202);
        if answer.status != 202 {
            return;
        }
        seen.accepted.push(order.id());
        match planned.then {
            Then::Nothing => {}
            Then::Same => self.same(order, &answer, seen).await,
            Then::Other => self.other(order, seen).await,
        }
    }

    async fn same(&self, order: &Order, first: &Answer, seen: &mut Seen) {
        let Some(again) = self.ask(order, PATIENCE, seen).await else {
            return;
        };
        seen.expect(order, &again, 202);
        let is_replay = again.header("idempotency-replayed") == Some("true");
        let is_same = identity(&again) == identity(first);
        if is_replay && is_same {
            seen.replays += 1;
        } else {
            let wrong = format!("{} again: {}", order.id(), again.text());
            seen.wrong.push(wrong);
        }
    }

    async fn other(&self, order: &Order, seen: &mut Seen) {
        let other = order.clone().pieces(9);
        if let Some(answer) = self.ask(&other, PATIENCE, seen).await {
            seen.expect(&other, &answer, 422);
            seen.refused += usize::from(answer.status == 422);
        }
    }

    /// Sends until somebody answers who has decided.
    async fn ask(&self, order: &Order, patience: usize, seen: &mut Seen) -> Option<Answer> {
        for _ in 0..patience {
            let answer = self.environment.send_by(self.proxy, &order.request()).await;
            match answer {
                Ok(answer) if answer.status < 500 && answer.status != 429 => return Some(answer),
                _ => seen.unanswered += 1,
            }
            sleep(PAUSE).await;
        }
        None
    }
}

/// What must be the same in each answer to one order.
fn identity(answer: &Answer) -> (Value, Value, Value) {
    let mut document = answer.json();
    ["orderId", "correlationId", "total"]
        .map(|name| document[name].take())
        .into()
}
