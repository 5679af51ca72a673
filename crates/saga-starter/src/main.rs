//! Wiring of the saga starter.

use aws_adapters::{
    Clients, Environment, StepFunctionsSagas, init_logs, queue_worker, serve_queue,
};
use saga_starter::SagaStarter;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let environment = Environment;
    init_logs(environment);
    let clients = Clients::from_environment(environment)?;
    let state_machine = environment.text("ORDER_SAGA_ARN")?;
    let sagas = StepFunctionsSagas::new(clients.step_functions(), state_machine);
    serve_queue(queue_worker(
        "saga",
        environment,
        &clients,
        SagaStarter::new(sagas),
    )?)
    .await
}
