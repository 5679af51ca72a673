//! How fast orders go through the deployed stack, against the same stack whose functions
//! only pass on, and whether more orders make an order slower or a function larger.
//!
//! `make growth` runs it in an environment of its own, and it writes a section of
//! docs/performance.md.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the panic's message is the program's own error message"
)]
#![allow(clippy::large_futures, reason = "each is awaited once")]

mod document;
mod load;
mod memory;
mod tally;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use waybill_tests::proxy::Proxy;
use waybill_tests::{Environment, say, write_between};

use load::Load;
use tally::Tally;

/// Orders per second, time per order, requests and memory, for more and more orders
#[derive(Debug, Parser)]
struct Arguments {
    /// How many orders, one number after the other
    #[arg(long, value_delimiter = ',', required = true)]
    sizes: Vec<usize>,
    /// How many orders measure the ceiling, before and after each
    #[arg(long, default_value_t = 300)]
    ceiling: usize,
    /// How many orders are on their way at a time
    #[arg(long, default_value_t = 10)]
    clients: usize,
    /// How the functions were built
    #[arg(long)]
    build: String,
    /// The page that gets the section, between its markers
    #[arg(long)]
    document: PathBuf,
}

/// Orders that let every function start before anything is measured.
const WARM_UP: usize = 30;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments = Arguments::parse();
    let environment = Environment::connect().await;
    let stack = std::env::var("WAYBILL_CEILING")
        .expect("WAYBILL_CEILING is not set: start the environment with --ceiling");
    let ceiling = Environment::connect_to(stack).await;
    let address = std::env::var("WAYBILL_PROXY")
        .expect("WAYBILL_PROXY is not set: start the environment with --proxied");
    let tally = Arc::new(Tally::of(environment.stack()));
    let proxy = Proxy::start(&address, environment.endpoint(), tally.clone()).await;
    let ours = Load::on(&environment, &tally, &proxy, arguments.clients).await;
    let theirs = Load::on(&ceiling, &tally, &proxy, arguments.clients).await;

    ours.run(WARM_UP).await;
    theirs.run(WARM_UP).await;
    // Others may use the machine too, so the ceiling is measured on both sides of each run.
    let mut ceilings = vec![theirs.run(arguments.ceiling).await];
    let mut runs = Vec::new();
    let mut text = String::new();
    for size in &arguments.sizes {
        say(&format!("  {size} orders …"));
        runs.push(ours.run(*size).await);
        ceilings.push(theirs.run(arguments.ceiling).await);
        // What was measured is kept, should a longer run not come to its end.
        text = document::write(&runs, &ceilings, &arguments);
        write_between(&arguments.document, document::MARKERS, &text);
    }
    say(&text);
}
