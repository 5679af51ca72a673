//! Wiring of the stock worker.

use aws_adapters::{
    Clients, DynamoJournal, Environment, StepFunctionsTasks, init_logs, queue_worker, serve_queue,
};
use domain::Step;
use idempotency::SystemClock;
use saga_step::StepHandler;
use stock_worker::Stock;

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

    let steps = Stock::new(journal, SystemClock);
    let tasks = StepFunctionsTasks::new(&clients)?;
    let handler = StepHandler::new(Step::Reserve, steps, tasks);
    serve_queue(queue_worker("stock", environment, &clients, handler)?).await
}
