//! Chaos: a load of orders of every kind goes through the deployed stack while
//! everything around it fails; then the ledgers say whether the promises held.
//!
//! `make chaos` runs it in an environment of its own. It exits with 1 where an
//! invariant is broken, something does not come to rest, or a fault never happened.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the panic hook turns a panic into the program's own error message"
)]
#![allow(clippy::large_futures, reason = "each is awaited once")]

mod clients;
mod copies;
mod fault;
mod network;
mod operations;
mod output;
mod picture;
mod plan;
mod processes;
mod report;
mod run;
mod settle;
mod troubles;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tokio::join;
use waybill_tests::invariants::{Accounts, Asked};
use waybill_tests::proxy::Proxy;
use waybill_tests::{Environment, StockLevel, Tap};

use clients::Seen;
use fault::Fault;
use network::Network;
use plan::Plan;
use run::Run;
use settle::Work;
use watch::Sample;

/// Faults on the deployed stack, and whether the promises hold
#[derive(Debug, Parser)]
struct Arguments {
    /// How many orders
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    orders: u32,
    /// Decides the orders and when which fault is on
    #[arg(long)]
    seed: u64,
    /// For how many minutes orders are sent and things fail
    #[arg(long, default_value_t = 4.0)]
    minutes: f64,
    /// Where the picture goes
    #[arg(long)]
    picture: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload();
        let text = text.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.payload().downcast_ref::<&str>().copied());
        output::complain(text.unwrap_or("something unexpected happened"));
    }));
    match Box::pin(chaos(&arguments)).await {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// What was seen while it ran.
struct Outcome {
    seen: Seen,
    work: Work,
    samples: Vec<Sample>,
}

async fn chaos(arguments: &Arguments) -> bool {
    // It is used by tasks of their own, to the end of the program.
    let environment: &'static Environment = Box::leak(Box::new(Environment::connect().await));
    let orders = usize::try_from(arguments.orders).expect("a number of orders");
    let length = Duration::from_secs_f64(arguments.minutes * 60.0);
    let plan = Plan::draw(arguments.seed, orders, length);
    assert!(
        watch::stored_orders(environment).await.is_empty(),
        "there are orders already; take the environment down first, as each run needs a new one"
    );
    for (sku, pieces) in &plan.stock {
        environment.seed(sku, StockLevel::new(*pieces, 0, 0)).await;
    }
    report::title(&plan, environment.stack());
    let mut tap = Tap::on_bus(environment, None).await;
    let run = Arc::new(Run::begin(plan));
    // The functions need it to the end: without faults it passes everything on.
    let proxy = proxy(&run, environment).await;
    let outcome = let_it_fail(&run, environment, &proxy.url(), &mut tap).await;
    tap.listen().await;
    judge(&run, environment, &tap, &outcome, &arguments.picture).await
}

async fn proxy(run: &Arc<Run>, environment: &Environment) -> Proxy {
    let network = Arc::new(Network::new(run.clone(), environment.stack()));
    let address = std::env::var("WAYBILL_PROXY")
        .expect("WAYBILL_PROXY is not set: the functions are to call AWS through a proxy");
    Proxy::start(&address, environment.endpoint(), network).await
}

/// Sends the orders, injects the faults, and sees to what is left.
async fn let_it_fail(
    run: &Arc<Run>,
    environment: &'static Environment,
    proxy: &str,
    tap: &mut Tap<'_>,
) -> Outcome {
    let load = async {
        let sent = async {
            let seen = clients::place_all(run, environment, proxy).await;
            run.until(run.plan.length).await;
            run.calm();
            seen
        };
        let (seen, ..) = join!(
            sent,
            troubles::outages(run, environment, Fault::PaymentDown, "payment"),
            troubles::outages(run, environment, Fault::WarehouseDown, "warehouse"),
            troubles::stops(run, environment),
            troubles::operator(run, proxy, 1),
            troubles::operator(run, proxy, 2),
        );
        let work = settle::settle(run, environment).await;
        run.end();
        (seen, work)
    };
    let ((seen, work), (), samples) = join!(
        load,
        copies::hear(run, environment, tap),
        watch::samples(run, environment),
    );
    Outcome {
        seen,
        work,
        samples,
    }
}

/// Counts from the ledgers, prints everything, and draws the picture.
async fn judge(
    run: &Arc<Run>,
    environment: &Environment,
    tap: &Tap<'_>,
    outcome: &Outcome,
    picture: &std::path::Path,
) -> bool {
    troubles::count_outages(run, environment).await;
    let stored = watch::stored_orders(environment).await;
    let orders = run.plan.orders.iter().map(|it| it.order.clone());
    let asked = Asked {
        orders: orders.filter(|it| stored.contains(&it.id())).collect(),
        stock: run.plan.stock.clone(),
        strays: Vec::new(),
        extra_deliveries: run.tally.count(Fault::Copied),
        heard: tap.captured().to_vec(),
    };
    let accounts = Accounts::open(environment, asked).await;
    let mut wrong = report::faults(run);
    wrong.extend(report::clients(&outcome.seen, &stored, &run.plan));
    let replays = operations::replays(environment).await;
    wrong.extend(report::work(&outcome.work, &replays));
    report::ledgers(&accounts);
    wrong.extend(report::invariants(&accounts.invariants()));
    picture::draw(picture, run, &outcome.samples, wrong.is_empty());
    output::line(&format!("\n  The picture is in {}.", picture.display()));
    report::verdict(&wrong)
}
