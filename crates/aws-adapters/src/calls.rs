//! The requests that are made for every message, at half the price.
//!
//! The SDK's clients put some twenty interceptors around each request, for metrics, for
//! features of endpoints and of user agents, and resolve the endpoint anew each time. For
//! a worker that was most of its CPU. A [`Call`] goes through the SDK's own orchestrator,
//! with the SDK's own serializers, types, errors, signer, retries and time limits, and with
//! no more around them than is needed here (`docs/decisions/0014-calls.md`).

use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::OnceLock;

use aws_runtime::auth::sigv4::{SCHEME_ID, SigV4AuthScheme};
use aws_runtime::recursion_detection::RecursionDetectionInterceptor;
use aws_runtime::retries::classifiers::AwsErrorCodeClassifier;
use aws_sdk_dynamodb::operation::put_item::{self, PutItem, PutItemInput};
use aws_sdk_dynamodb::operation::transact_write_items::{
    self, TransactWriteItems, TransactWriteItemsInput,
};
use aws_sdk_dynamodb::types::TransactWriteItem;
use aws_sdk_sfn::operation::send_task_success::{self, SendTaskSuccess};
use aws_smithy_runtime::client::defaults::{DefaultPluginParams, default_retry_config_plugin_v2};
use aws_smithy_runtime::client::http::connection_poisoning::ConnectionPoisoningInterceptor;
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime::client::orchestrator;
use aws_smithy_runtime::client::retries::classifiers::{
    HttpStatusCodeClassifier, ModeledAsRetryableClassifier, TransientErrorClassifier,
};
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
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
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
use idempotency::{BoxedPut, OwnerToken, SendPut};

/// One operation of one service, ready to be called. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Call<O> {
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
}

/// What finds an endpoint, and what it is found by.
pub type RulesOfEndpoint = (SharedEndpointResolver, EndpointResolverParams);

macro_rules! operation {
    ($operation:ty, $module:ident::{$input:ident, $output:ident, $error:ident}, $sdk:ident, $service:literal) => {
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
        }
    };
}

operation!(PutItem, put_item::{PutItemInput, PutItemOutput, PutItemError}, aws_sdk_dynamodb, "dynamodb");
operation!(
    TransactWriteItems,
    transact_write_items::{TransactWriteItemsInput, TransactWriteItemsOutput, TransactWriteItemsError},
    aws_sdk_dynamodb,
    "dynamodb"
);
operation!(
    SendTaskSuccess,
    send_task_success::{SendTaskSuccessInput, SendTaskSuccessOutput, SendTaskSuccessError},
    aws_sdk_sfn,
    "states"
);

/// What a call comes to.
pub type Called<O> =
    Result<<O as Operation>::Output, SdkError<<O as Operation>::Error, HttpResponse>>;

impl<O: Operation> Call<O> {
    /// Calls as this configuration says.
    ///
    /// # Errors
    /// Where it lacks the region, the credentials or the HTTP client, or where they make
    /// no endpoint.
    pub fn new(config: &SdkConfig, identity: Identity) -> Result<Self, BoxError> {
        let operation = O::default()
            .config()
            .ok_or("the operation has no configuration")?;
        let operation = StaticRuntimePlugin::new().with_config(operation);
        let own = StaticRuntimePlugin::new()
            .with_config(settings::<O>(config)?)
            .with_runtime_components(components::<O>(config, identity)?);
        Ok(Self {
            plugins: RuntimePlugins::new()
                .with_client_plugins(retries::<O>())
                .with_client_plugin(own)
                .with_client_plugin(operation),
            operation: PhantomData,
        })
    }

    /// Makes the call.
    ///
    /// # Errors
    /// As the SDK's client does.
    #[allow(
        clippy::expect_used,
        reason = "the types are those of the operation's own plugin"
    )]
    pub async fn send(&self, input: O::Input) -> Called<O> {
        let input = Input::erase(input);
        let output = orchestrator::invoke(O::SERVICE, O::NAME, input, &self.plugins).await;
        let output = output.map_err(|error| {
            error.map_service_error(|error| error.downcast().expect("the operation's error"))
        })?;
        Ok(output.downcast().expect("the operation's output"))
    }
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
    pub fn new(config: &SdkConfig, identity: &Identity) -> Result<Self, BoxError> {
        Ok(Self {
            put: Call::new(config, identity.clone())?,
            transact: Call::new(config, identity.clone())?,
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
        Box::pin(self.put.send(input))
    }
}

/// The strategy, and the budget that all calls to a service share.
fn retries<O: Operation>() -> Option<SharedRuntimePlugin> {
    let params = DefaultPluginParams::new()
        .with_retry_partition_name(O::SERVICE)
        .with_behavior_version(BehaviorVersion::latest())
        .with_is_aws_sdk(true);
    default_retry_config_plugin_v2(&params)
}

fn settings<O: Operation>(config: &SdkConfig) -> Result<FrozenLayer, BoxError> {
    let region = config.region().ok_or("no region")?.clone();
    let mut layer = Layer::new("calls");
    layer.store_put(SigningRegion::from(region));
    layer.store_put(SigningName::from_static(O::SERVICE));
    layer.store_put(EndpointResolverParams::new(()));
    layer.store_put(config.timeout_config().ok_or("no time limits")?.clone());
    layer.store_put(config.retry_config().ok_or("no retries")?.clone());
    Ok(layer.freeze())
}

fn components<O: Operation>(
    config: &SdkConfig,
    identity: Identity,
) -> Result<RuntimeComponentsBuilder, BoxError> {
    let region = config.region().ok_or("no region")?;
    let (resolver, params) = O::endpoint(region.as_ref(), config.endpoint_url())?;
    let endpoint = ResolvedOnce {
        resolver,
        params,
        endpoint: OnceLock::new(),
    };
    let signed = StaticAuthSchemeOptionResolver::new(vec![SCHEME_ID]);
    Ok(RuntimeComponentsBuilder::new("calls")
        .with_http_client(Some(config.http_client().ok_or("no HTTP client")?))
        .with_sleep_impl(Some(config.sleep_impl().ok_or("no timer")?))
        .with_time_source(Some(config.time_source().ok_or("no clock")?))
        .with_endpoint_resolver(Some(endpoint))
        .with_auth_scheme_option_resolver(Some(signed))
        .with_auth_scheme(SigV4AuthScheme::new())
        .with_identity_cache(Some(IdentityCache::no_cache()))
        .with_identity_resolver(SCHEME_ID, Fixed(identity))
        .with_interceptor(ConnectionPoisoningInterceptor::new())
        .with_interceptor(RecursionDetectionInterceptor::new())
        .with_interceptor(UserAgent)
        .with_retry_classifier(TransientErrorClassifier::<O::Error>::new())
        .with_retry_classifier(ModeledAsRetryableClassifier::<O::Error>::new())
        .with_retry_classifier(AwsErrorCodeClassifier::<O::Error>::new())
        .with_retry_classifier(HttpStatusCodeClassifier::default()))
}

/// The endpoint depends on nothing that changes between two calls.
#[derive(Debug)]
struct ResolvedOnce {
    resolver: SharedEndpointResolver,
    params: EndpointResolverParams,
    endpoint: OnceLock<Endpoint>,
}

impl ResolveEndpoint for ResolvedOnce {
    fn resolve_endpoint<'a>(&'a self, _: &'a EndpointResolverParams) -> EndpointFuture<'a> {
        if let Some(endpoint) = self.endpoint.get() {
            return EndpointFuture::ready(Ok(endpoint.clone()));
        }
        EndpointFuture::new(async move {
            let found = self.resolver.resolve_endpoint(&self.params).await?;
            Ok(self.endpoint.get_or_init(|| found).clone())
        })
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

/// Says who calls: CloudTrail shows it.
#[derive(Debug)]
struct UserAgent;

impl Intercept for UserAgent {
    fn name(&self) -> &'static str {
        "UserAgent"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let name = concat!("waybill/", env!("CARGO_PKG_VERSION"), " lang/rust");
        context
            .request_mut()
            .headers_mut()
            .insert("user-agent", name);
        Ok(())
    }
}
