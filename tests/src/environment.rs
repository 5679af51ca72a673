//! The deployment under test.

use std::collections::HashMap;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};

use crate::http::{self, Http};

/// The consumers of the bus, as the outputs name their queues.
pub const CONSUMERS: [&str; 6] = ["Saga", "Payment", "Stock", "Shipping", "Audit", "Notify"];

/// A running deployment, found by the variables that `make up` writes.
///
/// Each test makes its own: connections belong to the runtime that opened them.
#[derive(Debug)]
pub struct Environment {
    stack: String,
    endpoint: String,
    region: String,
    outputs: HashMap<String, String>,
    pub(crate) http: Http,
    config: SdkConfig,
    /// The tables.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// The queues.
    pub sqs: aws_sdk_sqs::Client,
    /// The topics.
    pub sns: aws_sdk_sns::Client,
    cloudformation: aws_sdk_cloudformation::Client,
}

impl Environment {
    /// Connects to the environment that the process's variables name.
    ///
    /// # Panics
    /// Where one is missing, or nothing answers.
    pub async fn connect() -> Self {
        Self::connect_to(variable("WAYBILL_STACK")).await
    }

    /// Connects to another stack in the same place.
    ///
    /// # Panics
    /// Where a variable is missing, or nothing answers.
    pub async fn connect_to(stack: String) -> Self {
        let endpoint = variable("AWS_ENDPOINT_URL")
            .trim_end_matches('/')
            .to_owned();
        let region = variable("AWS_REGION");
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http::sdk_client())
            .region(Region::new(region.clone()))
            .load()
            .await;
        let credentials = credentials(&config).await;
        let cloudformation = aws_sdk_cloudformation::Client::new(&config);
        let outputs = outputs(&cloudformation, &stack, &endpoint).await;
        Self {
            http: Http::new(credentials, region.clone()),
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            sqs: aws_sdk_sqs::Client::new(&config),
            sns: aws_sdk_sns::Client::new(&config),
            cloudformation,
            config,
            stack,
            endpoint,
            region,
            outputs,
        }
    }

    /// The same services, called by somebody else.
    pub fn config_of(&self, access_key: &str, secret: &str) -> SdkConfig {
        let credentials = Credentials::new(access_key, secret, None, None, "test");
        self.config
            .to_builder()
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build()
    }

    /// The stack's name.
    pub fn stack(&self) -> &str {
        &self.stack
    }

    /// The region.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Where AWS is emulated.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// An output of the stack.
    ///
    /// # Panics
    /// Where there is none of this name.
    pub fn output(&self, name: &str) -> &str {
        match self.outputs.get(name) {
            Some(value) => value,
            None => panic!("the stack {} has no output {name}", self.stack),
        }
    }

    pub(crate) fn outputs(&self) -> &HashMap<String, String> {
        &self.outputs
    }

    /// The URL of a consumer's queue.
    pub fn queue(&self, consumer: &str) -> &str {
        self.output(&format!("{consumer}QueueUrl"))
    }

    /// The URL of a consumer's dead letter queue.
    pub fn dlq(&self, consumer: &str) -> &str {
        self.output(&format!("{consumer}DlqUrl"))
    }

    /// The URL of the quarantine queue.
    pub fn quarantine(&self) -> &str {
        self.output("QuarantineQueueUrl")
    }

    /// The physical ids of the stack's resources, by logical id.
    pub async fn resources(&self) -> HashMap<String, String> {
        let mut pages = self
            .cloudformation
            .list_stack_resources()
            .stack_name(&self.stack)
            .into_paginator()
            .items()
            .send();
        let mut resources = HashMap::new();
        while let Some(resource) = pages.next().await {
            let resource = resource.expect("the stack's resources");
            let names = (resource.logical_resource_id, resource.physical_resource_id);
            if let (Some(logical), Some(physical)) = names {
                resources.insert(logical, physical);
            }
        }
        resources
    }
}

fn variable(name: &str) -> String {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => value,
        _ => panic!(
            "{name} is not set: start an environment with `make up` and source .local/dev/env"
        ),
    }
}

async fn credentials(config: &SdkConfig) -> Credentials {
    let provider = config
        .credentials_provider()
        .expect("no credentials: start an environment with `make up` and source .local/dev/env");
    provider
        .provide_credentials()
        .await
        .unwrap_or_else(|error| panic!("no credentials ({error}): source .local/dev/env"))
}

async fn outputs(
    client: &aws_sdk_cloudformation::Client,
    stack: &str,
    endpoint: &str,
) -> HashMap<String, String> {
    let described = client.describe_stacks().stack_name(stack).send().await;
    let stacks = match described {
        Ok(answer) => answer.stacks.unwrap_or_default(),
        Err(error) => panic!("no stack {stack} at {endpoint} (is it up?): {error:?}"),
    };
    stacks
        .iter()
        .flat_map(|stack| stack.outputs())
        .filter_map(|output| Some((output.output_key.clone()?, output.output_value.clone()?)))
        .collect()
}
