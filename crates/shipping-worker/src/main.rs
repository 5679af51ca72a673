//! Wiring of the shipping worker.

use aws_adapters::sandbox::{Ledger, SandboxWarehouse};
use aws_adapters::{
    Clients, DynamoJournal, Environment, StepFunctionsTasks, init_logs, queue_worker,
    serve_guarded_queue, worker_breaker,
};
use domain::Step;
use idempotency::SystemClock;
use saga_step::{ClaimedSteps, StepHandler};
use shipping_worker::Shipments;

/// Requests are many small allocations, and the system's allocator is slow with them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let environment = Environment;
    init_logs(environment);
    let clients = Clients::from_environment(environment)?;
    let records = environment.text("IDEMPOTENCY_TABLE")?;
    let orders = environment.text("ORDERS_TABLE")?;
    let stock = environment.text("STOCK_TABLE")?;
    let journal = DynamoJournal::new(clients.dynamodb(), &records, orders, Some(stock))
        .with_calls(clients.dynamodb_calls()?);

    // The only warehouse so far. With a second one, match on the choice and serve each.
    environment.choice("WAREHOUSE_PROVIDER", &["sandbox"])?;
    let warehouse = SandboxWarehouse::new(Ledger::from_environment(environment, &clients)?);

    let breaker = worker_breaker("shipping", environment, &clients)?;
    let steps = ClaimedSteps::new(journal, Shipments::new(warehouse, SystemClock), SystemClock)
        .guarded_by(breaker.clone());
    let tasks = StepFunctionsTasks::new(&clients)?;
    let handler = StepHandler::new(Step::Ship, steps, tasks);
    let worker = queue_worker("shipping", environment, &clients, handler)?;
    serve_guarded_queue(worker, breaker).await
}
