//! Many orders of the same content, each under a key of its own.

use std::collections::BTreeMap;
use std::time::Instant;

use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde_json::Value;

use super::place::PlacedOrder;
use super::watch;
use crate::api::Api;
use crate::api::order::Placed;
use crate::failure::{Exit, Failure};
use crate::output::{Column, note, progress_bar, table};

/// What to place.
pub(crate) struct Plan<'a> {
    pub(crate) api: &'a Api,
    pub(crate) order: &'a [u8],
    /// The beginning of each key; its end is the order's number, from 1.
    pub(crate) key: String,
    pub(crate) count: u32,
    /// How many requests are under way at once.
    pub(crate) concurrency: usize,
}

/// What came of each order, by number.
#[derive(Debug)]
pub(crate) struct Batch {
    orders: Vec<Outcome>,
    /// The worst that came of following the orders.
    followed: Exit,
}

/// What is printed.
#[derive(Debug, Serialize)]
pub(crate) struct Document<'a> {
    orders: &'a [Outcome],
    /// How many ended how: by status, or `refused`, `unavailable`, `error`.
    summary: BTreeMap<&'a str, usize>,
}

/// What came of one order.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Outcome {
    Placed(PlacedOrder),
    #[serde(rename_all = "camelCase")]
    NotPlaced {
        idempotency_key: String,
        error: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        problem: Option<Value>,
        #[serde(skip)]
        exit: Exit,
    },
}

impl Plan<'_> {
    /// Sends all orders. Stops where no further one can succeed.
    pub(crate) async fn place(&self) -> Result<Batch, Failure> {
        let started = Instant::now();
        let bar = progress_bar(self.count.into(), "placing");
        let mut answers = stream::iter(1..=self.count)
            .map(|number| async move {
                let key = format!("{}-{number}", self.key);
                let placed = self.api.place(self.order, &key).await;
                (key, placed)
            })
            // In order, so that the result does not depend on who was faster.
            .buffered(self.concurrency);
        let mut orders = Vec::new();
        while let Some((key, placed)) = answers.next().await {
            orders.push(Outcome::of(key, placed)?);
            bar.inc(1);
        }
        bar.finish_and_clear();
        note(&speed(orders.len(), started.elapsed().as_secs_f64()));
        Ok(Batch {
            orders,
            followed: Exit::Ok,
        })
    }

    /// Replaces each placed order by its last known state.
    pub(crate) async fn wait(&self, batch: &mut Batch, deadline: Option<tokio::time::Instant>) {
        let placed: Vec<_> = batch
            .orders
            .iter_mut()
            .filter_map(Outcome::placed)
            .collect();
        let bar = progress_bar(placed.len() as u64, "waiting");
        let mut waits = stream::iter(placed)
            .map(|placed| async {
                let id = placed.order.order_id.clone();
                match watch::until_final(self.api, &id, deadline, |_| Ok(())).await {
                    Ok(order) => {
                        placed.order = order;
                        watch::exit_of(&placed.order)
                    }
                    Err(failure) => {
                        bar.suspend(|| note(&format!("order {id} cannot be followed: {failure}")));
                        failure.exit()
                    }
                }
            })
            .buffer_unordered(self.concurrency);
        let mut followed = Exit::Ok;
        while let Some(exit) = waits.next().await {
            followed = worst([followed, exit]);
            bar.inc(1);
        }
        drop(waits);
        bar.finish_and_clear();
        batch.followed = followed;
    }
}

impl Batch {
    /// The exit code of the whole.
    pub(crate) fn exit(&self) -> Exit {
        let placed = worst(self.orders.iter().map(Outcome::exit));
        worst([placed, self.followed])
    }

    /// The different errors, with how often each occurred.
    pub(crate) fn errors(&self) -> BTreeMap<&str, usize> {
        counts(self.orders.iter().filter_map(Outcome::error))
    }

    /// All orders, and the sum.
    pub(crate) fn document(&self) -> Document<'_> {
        Document {
            orders: &self.orders,
            summary: counts(self.orders.iter().map(Outcome::name)),
        }
    }
}

impl Outcome {
    /// An error that would meet every further order as well is an error of the whole.
    fn of(key: String, placed: Result<Placed, Failure>) -> Result<Self, Failure> {
        match placed {
            Ok(placed) => Ok(Self::Placed(PlacedOrder::new(key, placed))),
            Err(failure) if failure.exit() == Exit::Unexpected => Err(failure),
            Err(failure) => Ok(Self::NotPlaced {
                idempotency_key: key,
                error: failure.to_string(),
                problem: failure.problem().map(|problem| problem.document().clone()),
                exit: failure.exit(),
            }),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Placed(_) => Exit::Ok,
            Self::NotPlaced { exit, .. } => *exit,
        }
    }

    fn placed(&mut self) -> Option<&mut PlacedOrder> {
        match self {
            Self::Placed(placed) => Some(placed),
            Self::NotPlaced { .. } => None,
        }
    }

    /// The name under which it is counted.
    fn name(&self) -> &str {
        match self {
            Self::Placed(placed) => &placed.order.status,
            Self::NotPlaced { exit, .. } => match exit {
                Exit::Refused => "refused",
                Exit::Unavailable => "unavailable",
                _ => "error",
            },
        }
    }

    fn error(&self) -> Option<&str> {
        match self {
            Self::Placed(_) => None,
            Self::NotPlaced { error, .. } => Some(error),
        }
    }
}

/// The sum, for people.
pub(crate) fn text(document: &Document<'_>) -> String {
    let rows = document
        .summary
        .iter()
        .map(|(name, count)| vec![Column::text(name), Column::number(count.to_string())]);
    table(&["OUTCOME", "ORDERS"], rows)
}

fn speed(orders: usize, seconds: f64) -> String {
    let rate = orders as f64 / seconds.max(0.001);
    format!("sent {orders} orders in {seconds:.1} s ({rate:.0} a second)")
}

fn counts<'a>(words: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for word in words {
        *counts.entry(word).or_default() += 1;
    }
    counts
}

/// The exit code that matters most: first what can be repeated, then what was refused.
fn worst(exits: impl IntoIterator<Item = Exit>) -> Exit {
    const BY_WEIGHT: [Exit; 5] = [
        Exit::Ok,
        Exit::StillUnderWay,
        Exit::OrderFailed,
        Exit::Refused,
        Exit::Unavailable,
    ];
    let weight = |exit: &Exit| {
        let place = BY_WEIGHT.iter().position(|known| known == exit);
        place.unwrap_or(BY_WEIGHT.len())
    };
    exits.into_iter().max_by_key(weight).unwrap_or(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::order::place::tests::placed;
    use crate::problem::Problem;

    fn refused() -> Result<Placed, Failure> {
        let problem = Problem::read(422, br#"{"title":"No"}"#);
        Err(Failure::Refused(Box::new(problem)))
    }

    #[test]
    fn a_batch_counts_how_its_orders_ended() {
        let orders = [placed("accepted"), placed("accepted"), refused()]
            .map(|result| Outcome::of("k".to_owned(), result).unwrap());
        let batch = Batch {
            orders: orders.into(),
            followed: Exit::OrderFailed,
        };
        let summary = batch.document().summary;
        assert_eq!((summary["accepted"], summary["refused"]), (2, 1));
        assert_eq!(batch.errors().into_values().sum::<usize>(), 1);
        assert_eq!(batch.exit(), Exit::Refused);
    }

    #[test]
    fn what_may_be_repeated_outweighs_what_was_refused() {
        let exits = [
            Exit::Refused,
            Exit::Unavailable,
            Exit::OrderFailed,
            Exit::Ok,
        ];
        assert_eq!(worst(exits), Exit::Unavailable);
        assert_eq!(worst([]), Exit::Ok);
    }

    #[test]
    fn an_error_that_meets_every_order_ends_the_batch() {
        assert!(Outcome::of("k".to_owned(), Err(Failure::NoCredentials(None))).is_err());
    }
}
