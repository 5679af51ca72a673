//! The requests that are made for every message, at a fraction of the price.
//!
//! The SDK's clients put some twenty interceptors around each request, for metrics, for
//! features of endpoints and of user agents, and resolve the endpoint anew each time. For
//! a worker that was most of its CPU. A [`Call`] makes its first attempt by itself, of the
//! SDK's own serializers, HTTP client and types, and signs it by the shortest way that
//! comes to the SDK's signature. Nearly all calls end there. Where one does not, the SDK's
//! orchestrator is given what came of the attempt, and goes on with its own rules for what
//! is repeated, and when (`docs/decisions/0014-calls.md`).

mod first;
mod resumed;
mod sign;

use std::fmt::Debug;
use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use aws_credential_types::Credentials;
use aws_runtime::auth::sigv4::{SCHEME_ID, SigV4AuthScheme};
use aws_sdk_dynamodb::operation::put_item::{self, PutItem, PutItemError, PutItemInput};
use aws_sdk_dynamodb::operation::transact_write_items::{
    self, TransactWriteItems, TransactWriteItemsError, TransactWriteItemsInput,
};
use aws_sdk_dynamodb::types::TransactWriteItem;
use aws_sdk_sfn::operation::send_task_success::{self, SendTaskSuccess, SendTaskSuccessError};
use aws_smithy_runtime::client::defaults::{DefaultPluginParams, default_retry_config_plugin_v2};
use aws_smithy_runtime::client::http::connection_poisoning::ConnectionPoisoningInterceptor;
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime::client::orchestrator;
use aws_smithy_runtime::client::retries::classifiers::HttpStatusCodeClassifier;
use aws_smithy_runtime::client::retries::{RetryPartition, TokenBucket};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::endpoint::{
    EndpointFuture, EndpointResolverParams, ResolveEndpoint, SharedEndpointResolver,
};
use aws_smithy_runtime_api::client::identity::{Identity, IdentityFuture, ResolveIdentity};
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeTransmitInterceptorContextMut, Input,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_components::{
    RuntimeComponents, RuntimeComponentsBuilder,
};
use aws_smithy_runtime_api::client::runtime_plugin::{
    RuntimePlugin, RuntimePlugins, SharedRuntimePlugin, StaticRuntimePlugin,
};
use aws_smithy_types::config_bag::{ConfigBag, FrozenLayer, Layer};
use aws_smithy_types::endpoint::Endpoint;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::retry::ProvideErrorKind;
use aws_types::region::SigningRegion;
use aws_types::{SdkConfig, SigningName};
use http::Uri;
use idempotency::{BoxedPut, OwnerToken, SendPut};
use tokio::time::Instant;

use self::first::{Attempt, FirstAttempts};
use self::sign::Signer;

/// One operation of one service, ready to be called. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Call<O> {
    first: Arc<FirstAttempts>,
    plugins: RuntimePlugins,
    operation: PhantomData<fn() -> O>,
}

/// An operation of the SDK.
pub trait Operation: RuntimePlugin + Default + 'static {
    /// What is sent.
    type Input: Debug + Send + Sync + 'static;
    /// What comes back.
    type Output: Debug + Send + Sync + 'static;
    /// What the service refuses with.
    type Error: std::error::Error + ProvideErrorMetadata + ProvideErrorKind + Send + Sync + 'static;
    /// The service's name, as requests to it are signed.
    const SERVICE: &'static str;
    /// The operation's name.
    const NAME: &'static str;

    /// Where the service is, by the rules of the SDK.
    ///
    /// # Errors
    /// Where the region or the address makes no endpoint.
    fn endpoint(region: &str, url: Option<&str>) -> Result<RulesOfEndpoint, BoxError>;

    /// Whether it is an answer like another: a condition that does not hold, which
    /// the same request would meet again.
    fn is_answer(error: &Self::Error) -> bool;
}

/// What finds an endpoint, and what it is found by.
pub type RulesOfEndpoint = (SharedEndpointResolver, EndpointResolverParams);

macro_rules! operation {
    ($operation:ty, $module:ident::{$input:ident, $output:ident, $error:ident}, $sdk:ident, $service:literal, $answers:pat) => {
        impl Operation for $operation {
            type Input = $module::$input;
            type Output = $module::$output;
            type Error = $module::$error;
            const SERVICE: &'static str = $service;
            const NAME: &'static str = stringify!($operation);

            fn endpoint(region: &str, url: Option<&str>) -> Result<RulesOfEndpoint, BoxError> {
                use $sdk::config::endpoint::{DefaultResolver, Params, ResolveEndpoint as _};
                let params = Params::builder()
                    .region(region)
                    .set_endpoint(url.map(str::to_owned))
                    .build()?;
                let resolver = DefaultResolver::new().into_shared_resolver();
                Ok((resolver, EndpointResolverParams::new(params)))
            }

            fn is_answer(error: &Self::Error) -> bool {
                matches!(error, $answers)
            }
        }
    };
}

operation!(
    PutItem,
    put_item::{PutItemInput, PutItemOutput, PutItemError},
    aws_sdk_dynamodb,
    "dynamodb",
    PutItemError::ConditionalCheckFailedException(_)
);
operation!(
    TransactWriteItems,
    transact_write_items::{TransactWriteItemsInput, TransactWriteItemsOutput, TransactWriteItemsError},
    aws_sdk_dynamodb,
    "dynamodb",
    TransactWriteItemsError::TransactionCanceledException(_)
);
operation!(
    SendTaskSuccess,
    send_task_success::{SendTaskSuccessInput, SendTaskSuccessOutput, SendTaskSuccessError},
    aws_sdk_sfn,
    "states",
    SendTaskSuccessError::TaskTimedOut(_)
        | SendTaskSuccessError::TaskDoesNotExist(_)
        | SendTaskSuccessError::InvalidToken(_)
);

/// What a call comes to.
pub type Called<O> =
    Result<<O as Operation>::Output, SdkError<<O as Operation>::Error, HttpResponse>>;

/// A call on its way.
pub type BoxedCall<'a, O> = Pin<Box<dyn Future<Output = Called<O>> + Send + 'a>>;

impl<O: Operation> Call<O> {
    /// Calls as this configuration says.
    ///
    /// # Errors
    /// Where it lacks the region, the credentials or the HTTP client, or where they make
    /// no endpoint.
    pub fn new(
        config: &SdkConfig,
        credentials: &Credentials,
        budget: &RetryPartition,
    ) -> Result<Self, BoxError> {
        let region = config.region().ok_or("no region")?;
        config.endpoint_url().map(Address::of).transpose()?;
        let endpoint = EndpointOnce::new(O::endpoint(region.as_ref(), config.endpoint_url())?);
        let operation = O::default()
            .config()
            .ok_or("the operation has no configuration")?;
        let operation = StaticRuntimePlugin::new().with_config(operation);
        let own = StaticRuntimePlugin::new()
            .with_config(settings::<O>(config, budget)?)
            .with_runtime_components(components::<O>(config, credentials, &endpoint)?);
        let plugins = RuntimePlugins::new()
            .with_client_plugins(retries::<O>())
            .with_client_plugin(own)
            .with_client_plugin(operation);
        let signer = Signer::new(credentials.clone(), region.to_string(), O::SERVICE);
        Ok(Self {
            first: Arc::new(FirstAttempts::new(config, signer, endpoint, &plugins)?),
            plugins,
            operation: PhantomData,
        })
    }

    /// Makes the call, which comes to what the SDK's client comes to.
    ///
    /// Boxed: several are within the future of a record, which is moved as it is built.
    pub fn send(&self, input: O::Input) -> BoxedCall<'_, O> {
        Box::pin(self.make(input))
    }

    async fn make(&self, input: O::Input) -> Called<O> {
        let began = Instant::now();
        let request = self.first.request(Input::erase(input));
        let request = request.map_err(SdkError::construction_failure)?;
        let again = request
            .try_clone()
            .ok_or("a body that cannot be sent again");
        let again = again.map_err(SdkError::construction_failure)?;
        match self.settle(self.first.make(request).await) {
            ControlFlow::Break(called) => called,
            ControlFlow::Continue(attempt) => {
                // Boxed, since it is large and rare: a future is as large as its largest part.
                Box::pin(self.go_on(again, attempt, began)).await
            }
        }
    }

    /// Ends the call, unless the attempt failed so that another one may help.
    fn settle(&self, attempt: Attempt) -> ControlFlow<Called<O>, Attempt> {
        let Attempt {
            outcome: Ok(response),
            connection,
        } = attempt
        else {
            return ControlFlow::Continue(attempt);
        };
        match self.first.read(&response) {
            Ok(output) => ControlFlow::Break(Ok(expected(output.downcast()))),
            Err(Some(error)) if error.downcast_ref().is_some_and(O::is_answer) => {
                let error = expected(error.downcast());
                ControlFlow::Break(Err(SdkError::service_error(error, response)))
            }
            Err(_) => ControlFlow::Continue(Attempt {
                outcome: Ok(response),
                connection,
            }),
        }
    }

    /// The rest, as the SDK's client would go on.
    async fn go_on(&self, request: HttpRequest, attempt: Attempt, began: Instant) -> Called<O> {
        let resumed = self.first.resume(attempt, began);
        let plugins = self.plugins.clone().with_operation_plugin(resumed);
        let input = Input::erase(request);
        let output = orchestrator::invoke(O::SERVICE, O::NAME, input, &plugins).await;
        let output =
            output.map_err(|error| error.map_service_error(|error| expected(error.downcast())))?;
        Ok(expected(output.downcast()))
    }
}

/// A type that the operation's own plugin chose.
#[allow(
    clippy::expect_used,
    reason = "the types are those of the operation's own plugin"
)]
fn expected<T, E: Debug>(downcast: Result<T, E>) -> T {
    downcast.expect("the operation's type")
}

/// The two requests that a step makes of its tables. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DynamoCalls {
    put: Call<PutItem>,
    transact: Call<TransactWriteItems>,
}

impl DynamoCalls {
    /// Calls as this configuration says.
    ///
    /// # Errors
    /// As [`Call::new`].
    pub fn new(
        config: &SdkConfig,
        credentials: &Credentials,
        budget: &RetryPartition,
    ) -> Result<Self, BoxError> {
        Ok(Self {
            put: Call::new(config, credentials, budget)?,
            transact: Call::new(config, credentials, budget)?,
        })
    }

    /// Writes all or nothing. The token tells a repeated request from a second one: if the
    /// first one's answer was lost, DynamoDB gives it again.
    ///
    /// # Errors
    /// As the SDK's client does.
    pub async fn transact(&self, items: Vec<TransactWriteItem>) -> Called<TransactWriteItems> {
        let input = TransactWriteItemsInput::builder()
            .set_transact_items(Some(items))
            .client_request_token(OwnerToken::random().to_string())
            .build()
            .map_err(SdkError::construction_failure)?;
        self.transact.send(input).await
    }
}

impl SendPut for DynamoCalls {
    fn put(&self, input: PutItemInput) -> BoxedPut<'_> {
        self.put.send(input)
    }
}

/// The strategy, without the budget of the clients: it grows with each success, and of
/// those that follow a first attempt it never hears.
fn retries<O: Operation>() -> Option<SharedRuntimePlugin> {
    let params = DefaultPluginParams::new()
        .with_retry_partition_name(O::SERVICE)
        .with_behavior_version(BehaviorVersion::latest())
        .with_is_aws_sdk(true);
    default_retry_config_plugin_v2(&params)
}

/// A budget of the same size that grows with time, for the calls and the client of one
/// service: where all of it is used up, ten requests a second are repeated.
pub fn retry_budget(service: &'static str) -> RetryPartition {
    let tokens = TokenBucket::builder().refill_rate(100.0).build();
    RetryPartition::custom(service).token_bucket(tokens).build()
}

fn settings<O: Operation>(
    config: &SdkConfig,
    budget: &RetryPartition,
) -> Result<FrozenLayer, BoxError> {
    let region = config.region().ok_or("no region")?.clone();
    let mut layer = Layer::new("calls");
    layer.store_put(SigningRegion::from(region));
    layer.store_put(SigningName::from_static(O::SERVICE));
    layer.store_put(EndpointResolverParams::new(()));
    layer.store_put(config.timeout_config().ok_or("no time limits")?.clone());
    layer.store_put(config.retry_config().ok_or("no retries")?.clone());
    layer.store_put(budget.clone());
    Ok(layer.freeze())
}

fn components<O: Operation>(
    config: &SdkConfig,
    credentials: &Credentials,
    endpoint: &EndpointOnce,
) -> Result<RuntimeComponentsBuilder, BoxError> {
    let signed = StaticAuthSchemeOptionResolver::new(vec![SCHEME_ID]);
    let operation = O::default();
    let nothing = RuntimeComponentsBuilder::new("nothing");
    let operation = operation.runtime_components(&nothing);
    let mut components = RuntimeComponentsBuilder::new("calls");
    // What the operation's own client takes for an error that may pass.
    components.extend_retry_classifiers(operation.retry_classifiers());
    Ok(components
        .with_http_client(Some(config.http_client().ok_or("no HTTP client")?))
        .with_sleep_impl(Some(config.sleep_impl().ok_or("no timer")?))
        .with_time_source(Some(config.time_source().ok_or("no clock")?))
        .with_endpoint_resolver(Some(endpoint.clone()))
        .with_auth_scheme_option_resolver(Some(signed))
        .with_auth_scheme(SigV4AuthScheme::new())
        .with_identity_cache(Some(IdentityCache::no_cache()))
        .with_identity_resolver(SCHEME_ID, Fixed(credentials.clone().into()))
        .with_interceptor(ConnectionPoisoningInterceptor::new())
        .with_interceptor(AddHeaders)
        .with_retry_classifier(HttpStatusCodeClassifier::default()))
}

/// The endpoint, which depends on nothing that changes between two requests. It is found
/// with the first one.
#[derive(Debug, Clone)]
struct EndpointOnce(Arc<(RulesOfEndpoint, OnceLock<Found>)>);

/// An endpoint, in the form that the SDK has for it and in the one that requests need.
#[derive(Debug)]
struct Found {
    endpoint: Endpoint,
    address: Address,
}

/// Where requests go to.
#[derive(Debug)]
struct Address {
    uri: Uri,
    /// With its port, unless that is the usual one: as in the header.
    host: String,
}

impl EndpointOnce {
    fn new(rules: RulesOfEndpoint) -> Self {
        Self(Arc::new((rules, OnceLock::new())))
    }

    async fn find(&self) -> Result<&Found, BoxError> {
        let ((resolver, params), found) = &*self.0;
        if let Some(found) = found.get() {
            return Ok(found);
        }
        let endpoint = resolver.resolve_endpoint(params).await?;
        let address = Address::of(endpoint.url())?;
        Ok(found.get_or_init(|| Found { endpoint, address }))
    }
}

impl Address {
    fn of(url: &str) -> Result<Self, BoxError> {
        let uri: Uri = url.parse()?;
        if uri.path() != "/" || uri.query().is_some() {
            return Err("an AWS endpoint with a path".into());
        }
        let host = uri.host().ok_or("an AWS endpoint without a host")?;
        let usual = match uri.scheme_str() {
            Some("https") => 443,
            _ => 80,
        };
        let host = match uri.port_u16() {
            Some(port) if port != usual => format!("{host}:{port}"),
            _ => host.to_owned(),
        };
        Ok(Self { uri, host })
    }
}

impl ResolveEndpoint for EndpointOnce {
    fn resolve_endpoint<'a>(&'a self, _: &'a EndpointResolverParams) -> EndpointFuture<'a> {
        EndpointFuture::new(async move { Ok(self.find().await?.endpoint.clone()) })
    }
}

/// Lambda gives an environment its credentials once; they outlive it.
#[derive(Debug)]
struct Fixed(Identity);

impl ResolveIdentity for Fixed {
    fn resolve_identity<'a>(
        &'a self,
        _: &'a RuntimeComponents,
        _: &'a ConfigBag,
    ) -> IdentityFuture<'a> {
        IdentityFuture::ready(Ok(self.0.clone()))
    }
}

/// The headers of the first attempt, for those that follow it.
#[derive(Debug)]
struct AddHeaders;

impl Intercept for AddHeaders {
    fn name(&self) -> &'static str {
        "AddHeaders"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        first::add_headers(context.request_mut().headers_mut());
        Ok(())
    }
}
