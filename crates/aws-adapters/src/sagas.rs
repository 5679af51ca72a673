//! Sagas on Step Functions.

use aws_sdk_sfn::Client;
use domain::OrderId;
use ports::{SagaStart, Sagas, Unavailable};

/// Starts executions of one state machine.
#[derive(Debug, Clone)]
pub struct StepFunctionsSagas {
    client: Client,
    state_machine_arn: String,
}

impl StepFunctionsSagas {
    /// Starts executions of this state machine.
    pub fn new(client: Client, state_machine_arn: String) -> Self {
        Self {
            client,
            state_machine_arn,
        }
    }
}

impl Sagas for StepFunctionsSagas {
    async fn start(&self, order: OrderId, input: &str) -> Result<SagaStart, Unavailable> {
        let started = self
            .client
            .start_execution()
            .state_machine_arn(&self.state_machine_arn)
            // The name is what makes a second start of the same order impossible.
            .name(order.to_string())
            .input(input)
            .send()
            .await;
        match started {
            Ok(_) => Ok(SagaStart::Started),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|e| e.is_execution_already_exists()) =>
            {
                Ok(SagaStart::AlreadyExists)
            }
            Err(error) => Err(Unavailable::new("Step Functions", error)),
        }
    }
}
