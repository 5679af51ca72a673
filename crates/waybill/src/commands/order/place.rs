//! `waybill order place`.

use std::path::PathBuf;

use clap::Args;
use contracts::{MAX_ORDER_BYTES, parse_strict};
use domain::IdempotencyKey;
use serde::Serialize;
use uuid::Uuid;

use super::batch::{self, Plan};
use super::{view, watch};
use crate::api::order::{Order, Placed};
use crate::api::{Api, ApiArgs};
use crate::cli::Context;
use crate::commands::input::{self, Limit};
use crate::failure::{Exit, Failure};
use crate::output::{Output, Spinner, note};

/// The API reads no larger one.
const LIMIT: Limit = Limit {
    bytes: MAX_ORDER_BYTES,
    what: "an order",
};

/// `waybill order place FILE`
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A file with the order as JSON, or - for stdin
    file: PathBuf,
    /// The idempotency key: the same key and content again is the same order [default: a random one]
    #[arg(long, value_parser = parse_key)]
    key: Option<String>,
    /// Place this many orders of the same content, with the keys KEY-1 to KEY-N
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: Option<u32>,
    /// How many requests are under way at once, with --count
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
    /// Wait until the order is in a final state
    #[arg(long)]
    wait: bool,
    /// Stop waiting after this many seconds
    #[arg(long, requires = "wait", value_name = "SECONDS")]
    timeout: Option<u64>,
    #[command(flatten)]
    api: ApiArgs,
}

/// An order with the key that placed it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlacedOrder {
    pub(crate) idempotency_key: String,
    pub(crate) replayed: bool,
    #[serde(flatten)]
    pub(crate) order: Order,
}

impl Arguments {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let order = input::read(&self.file, LIMIT)?;
        // What it says is for the API to judge; what is no JSON need not be sent.
        parse_strict(&order)
            .map_err(|error| input::not_json(&input::name(&self.file), &order, &error))?;
        let key = self.key.clone().unwrap_or_else(random_key);
        let api = self.api.connect(&context.settings).await?;
        match self.count {
            None => self.one(&api, &order, key, context.output).await,
            Some(count) => {
                let plan = Plan {
                    api: &api,
                    order: &order,
                    key,
                    count,
                    concurrency: self.concurrency.into(),
                };
                self.many(&plan, context.output).await
            }
        }
    }

    async fn one(
        &self,
        api: &Api,
        order: &[u8],
        key: String,
        output: Output,
    ) -> Result<Exit, Failure> {
        let placed = match api.place(order, &key).await {
            Ok(placed) => placed,
            Err(failure) => return Err(show_problem(failure, output)?),
        };
        let mut placed = PlacedOrder::new(key, placed);
        let mut exit = Exit::Ok;
        if self.wait {
            // Should the waiting fail, the order is placed all the same.
            note(&format!("placed order {}", placed.order.order_id));
            placed.order = self.wait_for_one(api, &placed.order.order_id).await?;
            exit = watch::exit_of(&placed.order);
        }
        output.result(&placed, |placed| one_text(placed, output))?;
        Ok(exit)
    }

    async fn wait_for_one(&self, api: &Api, id: &str) -> Result<Order, Failure> {
        let spinner = Spinner::new("waiting");
        let seen = |order: &Order| {
            spinner.say(&order.status);
            Ok(())
        };
        let order = watch::until_final(api, id, watch::deadline(self.timeout), seen).await;
        spinner.finish();
        order
    }

    async fn many(&self, plan: &Plan<'_>, output: Output) -> Result<Exit, Failure> {
        let mut batch = plan.place().await?;
        if self.wait {
            plan.wait(&mut batch, watch::deadline(self.timeout)).await;
        }
        for (error, count) in batch.errors() {
            note(&format!("{count} × {error}"));
        }
        output.result(&batch.document(), batch::text)?;
        Ok(batch.exit())
    }
}

impl PlacedOrder {
    pub(crate) fn new(idempotency_key: String, placed: Placed) -> Self {
        Self {
            idempotency_key,
            replayed: placed.replayed,
            order: placed.order,
        }
    }
}

/// A header carries the key, so beside the domain's rules it is ASCII without space at its ends.
fn parse_key(key: &str) -> Result<String, String> {
    IdempotencyKey::new(key).map_err(|rejected| rejected.to_string())?;
    if key.is_ascii() && key.trim() == key {
        Ok(key.to_owned())
    } else {
        Err("must be ASCII, without spaces at its ends".to_owned())
    }
}

/// The key is told before anything is sent: who must repeat the command needs it.
fn random_key() -> String {
    let key = Uuid::new_v4().to_string();
    note(&format!(
        "idempotency key: {key} (to repeat this: --key {key})"
    ));
    key
}

/// As JSON, the problem document is the result.
fn show_problem(failure: Failure, output: Output) -> Result<Failure, Failure> {
    if let (true, Some(problem)) = (output.is_json(), failure.problem()) {
        output.document(problem.document())?;
    }
    Ok(failure)
}

fn one_text(placed: &PlacedOrder, output: Output) -> String {
    let order = view::whole(&placed.order, output);
    if placed.replayed {
        format!("{order}\n{:<12} this key had placed it before", "replayed")
    } else {
        order
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::commands::order::view::tests::order;

    pub(crate) fn placed(status: &str) -> Result<Placed, Failure> {
        Ok(Placed {
            order: order(status, &[]),
            replayed: false,
        })
    }

    #[test]
    fn a_key_that_a_header_cannot_carry_is_refused() {
        assert!(parse_key("order 42/a").is_ok());
        for key in ["", " a", "a ", "a\nb", "ключ", &"k".repeat(256)] {
            assert!(parse_key(key).is_err(), "{key:?}");
        }
    }

    #[test]
    fn the_document_of_a_placed_order_names_its_key() {
        let placed = PlacedOrder::new("k-1".to_owned(), placed("accepted").unwrap());
        let document = serde_json::to_value(&placed).unwrap();
        assert_eq!(document["idempotencyKey"], "k-1");
        assert_eq!(document["orderId"], "o-1");
        assert_eq!(document["replayed"], false);
    }
}
