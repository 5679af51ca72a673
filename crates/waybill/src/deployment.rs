//! Finds the deployment: the AWS configuration, and the stack's outputs.

use std::collections::HashMap;
use std::panic::{self, AssertUnwindSafe};

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_sdk_cloudformation::Client as CloudFormation;
use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use aws_sdk_cloudformation::types::Stack;
use clap::Args;
use futures_util::FutureExt;

use crate::failure::Failure;
use crate::{credentials, transport};

/// Which deployment to talk to. Flags win over the environment and the
/// configuration files, as with the AWS CLI.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Deployment")]
pub(crate) struct Settings {
    /// The CloudFormation stack of the deployment
    #[arg(
        long,
        global = true,
        env = "WAYBILL_STACK",
        default_value = "waybill",
        value_parser = clap::builder::NonEmptyStringValueParser::new(),
        value_name = "NAME"
    )]
    pub(crate) stack: String,
    /// The AWS region [else AWS_REGION, or the profile's]
    #[arg(long, global = true, value_name = "REGION")]
    pub(crate) region: Option<String>,
    /// The profile of the AWS configuration files [else AWS_PROFILE]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Another endpoint than AWS, such as an emulator [else AWS_ENDPOINT_URL, or the profile's]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) endpoint_url: Option<String>,
}

/// A deployed stack.
#[derive(Debug)]
pub(crate) struct Deployment {
    config: SdkConfig,
    stack: String,
    outputs: HashMap<String, String>,
}

impl Settings {
    /// Reads the configuration as the AWS CLI does.
    ///
    /// # Errors
    /// [`Failure::Settings`], where it cannot be read.
    pub(crate) async fn aws_config(&self) -> Result<SdkConfig, Failure> {
        let mut loader =
            aws_config::defaults(BehaviorVersion::latest()).http_client(transport::sdk_client());
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &self.profile {
            // Who names a profile means its keys, not those of the environment.
            let transport = ProviderConfig::default().with_http_client(transport::sdk_client());
            let keys = ProfileFileCredentialsProvider::builder()
                .configure(&transport)
                .profile_name(profile);
            loader = loader
                .profile_name(profile)
                .credentials_provider(keys.build());
        }
        if let Some(url) = &self.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        load(loader).await.map(credentials::checked)
    }

    /// Finds the stack and reads its outputs.
    pub(crate) async fn deployment(&self) -> Result<Deployment, Failure> {
        let config = self.aws_config().await?;
        let region = region_of(&config)?;
        let cloudformation = CloudFormation::new(&config);
        let outputs = match describe(&cloudformation, &self.stack).await? {
            Some(stack) => outputs_of(&stack),
            None => {
                return Err(Failure::NoSuchStack {
                    stack: self.stack.clone(),
                    region,
                    candidates: waybill_stacks(&cloudformation).await,
                });
            }
        };
        Ok(Deployment {
            config,
            stack: self.stack.clone(),
            outputs,
        })
    }
}

/// The SDK panics over a setting that it cannot read, such as `AWS_MAX_ATTEMPTS=many`.
async fn load(loader: ConfigLoader) -> Result<SdkConfig, Failure> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let loaded = AssertUnwindSafe(loader.load()).catch_unwind().await;
    panic::set_hook(hook);
    loaded.map_err(|cause| {
        let text = cause.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| cause.downcast_ref::<&str>().copied());
        Failure::Settings(text.unwrap_or("it cannot be read").to_owned())
    })
}

impl Deployment {
    /// The AWS configuration that the stack was found with.
    pub(crate) fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// A client for the deployment's tables.
    pub(crate) fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.config)
    }

    /// An output of the stack.
    pub(crate) fn output(&self, name: &'static str) -> Result<&str, Failure> {
        self.outputs
            .get(name)
            .map(String::as_str)
            .ok_or_else(|| Failure::OutputMissing {
                stack: self.stack.clone(),
                output: name,
            })
    }
}

/// The region, without which nothing can be signed.
pub(crate) fn region_of(config: &SdkConfig) -> Result<String, Failure> {
    config
        .region()
        .map(ToString::to_string)
        .ok_or(Failure::NoRegion)
}

async fn describe(client: &CloudFormation, name: &str) -> Result<Option<Stack>, Failure> {
    match client.describe_stacks().stack_name(name).send().await {
        Ok(answer) => Ok(answer.stacks.and_then(|stacks| stacks.into_iter().next())),
        // CloudFormation has no error of its own for this.
        Err(error)
            if error.code() == Some("ValidationError")
                && error
                    .message()
                    .is_some_and(|message| message.contains("does not exist")) =>
        {
            Ok(None)
        }
        Err(error) => Err(Failure::from_sdk("cloudformation:DescribeStacks", error)),
    }
}

/// The stacks that look like Waybill. A help in an error message, so its own errors are no news.
async fn waybill_stacks(client: &CloudFormation) -> Vec<String> {
    let Ok(answer) = client.describe_stacks().send().await else {
        return Vec::new();
    };
    let stacks = answer.stacks.unwrap_or_default();
    stacks
        .into_iter()
        .filter(|stack| is_waybill(&outputs_of(stack)))
        .filter_map(|stack| stack.stack_name)
        .collect()
}

fn is_waybill(outputs: &HashMap<String, String>) -> bool {
    ["ApiUrl", "OrdersTableName", "StockTableName"]
        .iter()
        .all(|name| outputs.contains_key(*name))
}

fn outputs_of(stack: &Stack) -> HashMap<String, String> {
    stack
        .outputs()
        .iter()
        .filter_map(|output| Some((output.output_key.clone()?, output.output_value.clone()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_cloudformation::types::Output;

    fn stack(names: &[&str]) -> Stack {
        let outputs = names.iter().map(|name| {
            Output::builder()
                .output_key(*name)
                .output_value("x")
                .build()
        });
        Stack::builder()
            .set_outputs(Some(outputs.collect()))
            .build()
    }

    #[test]
    fn a_stack_is_told_by_its_outputs() {
        let waybill = stack(&["StockTableName", "ApiUrl", "OrdersTableName", "More"]);
        assert!(is_waybill(&outputs_of(&waybill)));
        assert!(!is_waybill(&outputs_of(&stack(&["ApiUrl"]))));
    }
}
