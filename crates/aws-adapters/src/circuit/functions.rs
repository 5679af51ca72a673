//! Calls of functions.

use aws_sdk_lambda::Client;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use circuit::Wake;
use ports::Unavailable;

/// Starts the controller.
#[derive(Debug, Clone)]
pub struct LambdaWake {
    client: Client,
    function: String,
}

impl LambdaWake {
    /// Starts this function, which is the controller.
    pub fn new(client: Client, function: String) -> Self {
        Self { client, function }
    }
}

impl Wake for LambdaWake {
    async fn wake(&self) -> Result<(), Unavailable> {
        self.client
            .invoke()
            .function_name(&self.function)
            .invocation_type(InvocationType::Event)
            .payload(Blob::new("{}"))
            .send()
            .await
            .map_err(|error| Unavailable::new("Lambda", error))?;
        Ok(())
    }
}
