//! The AWS clients of a function.

use std::sync::OnceLock;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sfn::operation::send_task_success::SendTaskSuccess;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::SystemTimeSource;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_runtime::client::retries::RetryPartition;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;

use crate::calls::{Call, DynamoCalls, retry_budget};
use crate::environment::{Environment, EnvironmentError};

/// Makes clients that share one HTTP connection pool.
#[derive(Debug, Clone)]
pub struct Clients {
    config: SdkConfig,
    credentials: Credentials,
    dynamodb_budget: RetryPartition,
    states_budget: RetryPartition,
    dynamodb: OnceLock<aws_sdk_dynamodb::Client>,
}

impl Clients {
    /// Takes region, credentials and, for a local run, the endpoint from the environment.
    ///
    /// # Errors
    /// [`EnvironmentError`] names the variable that Lambda should have set.
    pub fn from_environment(environment: Environment) -> Result<Self, EnvironmentError> {
        let credentials = Credentials::new(
            environment.text("AWS_ACCESS_KEY_ID")?,
            environment.text("AWS_SECRET_ACCESS_KEY")?,
            environment.optional("AWS_SESSION_TOKEN"),
            None,
            "lambda-environment",
        );
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let mut config = SdkConfig::builder()
            .behavior_version(aws_sdk_dynamodb::config::BehaviorVersion::latest())
            .region(Region::new(environment.text("AWS_REGION")?))
            .credentials_provider(SharedCredentialsProvider::new(credentials.clone()))
            .http_client(http)
            .sleep_impl(TokioSleep::new())
            .time_source(SystemTimeSource::new())
            .retry_config(RetryConfig::standard())
            .timeout_config(timeouts());
        config.set_endpoint_url(environment.optional("AWS_ENDPOINT_URL"));
        Ok(Self {
            config: config.build(),
            credentials,
            dynamodb_budget: retry_budget("dynamodb"),
            states_budget: retry_budget("states"),
            dynamodb: OnceLock::new(),
        })
    }

    /// DynamoDB: one client, however many tables are asked through it. Making one
    /// is a part of the cold start.
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        let client = || {
            let config = aws_sdk_dynamodb::config::Builder::from(&self.config)
                .retry_partition(self.dynamodb_budget.clone());
            aws_sdk_dynamodb::Client::from_conf(config.build())
        };
        self.dynamodb.get_or_init(client).clone()
    }

    /// The requests to DynamoDB that are made for every message.
    ///
    /// # Errors
    /// [`EnvironmentError`] where region and endpoint make no address.
    pub fn dynamodb_calls(&self) -> Result<DynamoCalls, EnvironmentError> {
        DynamoCalls::new(&self.config, &self.credentials, &self.dynamodb_budget)
            .map_err(|_| NO_ADDRESS)
    }

    /// The answer to Step Functions that is given for every message.
    ///
    /// # Errors
    /// [`EnvironmentError`] where region and endpoint make no address.
    pub fn task_success(&self) -> Result<Call<SendTaskSuccess>, EnvironmentError> {
        Call::new(&self.config, &self.credentials, &self.states_budget).map_err(|_| NO_ADDRESS)
    }

    /// SNS.
    pub fn sns(&self) -> aws_sdk_sns::Client {
        aws_sdk_sns::Client::new(&self.config)
    }

    /// SQS.
    pub fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.config)
    }

    /// Lambda, to look at functions and mappings and to start functions.
    #[cfg(feature = "lambda")]
    pub fn lambda(&self) -> aws_sdk_lambda::Client {
        aws_sdk_lambda::Client::new(&self.config)
    }

    /// Lambda, with the patience to wait for what a function answers. A call is
    /// not repeated: nobody knows how far the function got.
    #[cfg(feature = "lambda")]
    pub fn patient_lambda(&self, patience: Duration) -> aws_sdk_lambda::Client {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(1))
            .operation_timeout(patience)
            .build();
        let config = aws_sdk_lambda::config::Builder::from(&self.config)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::disabled())
            .build();
        aws_sdk_lambda::Client::from_conf(config)
    }

    /// Step Functions.
    pub fn step_functions(&self) -> aws_sdk_sfn::Client {
        let config = aws_sdk_sfn::config::Builder::from(&self.config)
            .retry_partition(self.states_budget.clone());
        aws_sdk_sfn::Client::from_conf(config.build())
    }
}

/// All else that a call needs is always there.
const NO_ADDRESS: EnvironmentError = EnvironmentError::Wrong {
    name: "AWS_REGION",
    wanted: "a region, and AWS_ENDPOINT_URL, where it is set, an address without a path",
};

/// All attempts of one call end before the shortest time-out of a function (10 s),
/// so that a caller gets an answer and not a broken connection.
fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(Duration::from_secs(3))
        .operation_timeout(Duration::from_secs(8))
        .build()
}
