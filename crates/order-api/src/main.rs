//! Wiring of the order API.

use aws_adapters::{Clients, DynamoOrders, Environment, init_logs};
use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use idempotency::SystemClock;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use order_api::{Access, OrderApi};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let environment = Environment;
    init_logs(environment);
    let clients = Clients::from_environment(environment)?;
    let orders = DynamoOrders::new(clients.dynamodb(), environment.text("ORDERS_TABLE")?);
    let access: Access = environment.text("AUTH_MODE")?.parse()?;
    let api = &OrderApi::new(orders, SystemClock, access);

    lambda_runtime::run(service_fn(
        move |event: LambdaEvent<ApiGatewayV2httpRequest>| async move {
            Ok::<_, Error>(api.handle(&event.payload).await)
        },
    ))
    .await
}
