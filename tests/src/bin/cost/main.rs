//! What orders cost: their requests, counted on a deployment, times a list of prices.
//!
//! `make cost` runs it in an environment of its own, and it writes docs/cost.md and the
//! counts that the tests hold the code to.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the panic's message is the program's own error message"
)]
#![allow(clippy::large_futures, reason = "each is awaited once")]

mod bill;
mod document;
mod fixed;
mod prices;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Parser;
use serde_json::{Value, json};
use waybill_tests::cost::{Counter, KINDS, Kind, Usage};
use waybill_tests::{say, write_between};

/// Counts what orders ask of AWS, and what that costs
#[derive(Debug, Parser)]
struct Arguments {
    /// How many orders of each kind; the middle one counts
    #[arg(long, default_value_t = 5)]
    orders: usize,
    /// The list of prices
    #[arg(long)]
    prices: PathBuf,
    /// The page that gets the tables, between its markers
    #[arg(long)]
    document: PathBuf,
    /// The file that gets the counts
    #[arg(long)]
    counts: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments = Arguments::parse();
    let prices = prices::Prices::read(&arguments.prices);
    let counter = Counter::start().await;
    let mut counted = BTreeMap::new();
    for kind in KINDS {
        say(&format!("  {} …", kind.name()));
        counted.insert(kind, counter.count(kind, arguments.orders).await);
    }
    let fixed = fixed::Fixed::count(&counter).await;
    let text = document::write(&counted, &prices, &fixed);
    say(&text);
    write_between(&arguments.document, document::MARKERS, &text);
    let written = format!("{:#}\n", counts(&counted));
    std::fs::write(&arguments.counts, written).expect("the counts are written");
}

fn counts(counted: &BTreeMap<Kind, Usage>) -> Value {
    let counts = counted.iter();
    counts
        .map(|(kind, usage)| (kind.name().to_owned(), json!(usage.requests)))
        .collect()
}
