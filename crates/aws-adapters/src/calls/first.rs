//! The first attempt of a call.

use std::sync::OnceLock;
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connection::CaptureSmithyConnection;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::interceptors::context::{Error, Input, Output};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::client::runtime_plugin::{RuntimePlugins, StaticRuntimePlugin};
use aws_smithy_runtime_api::client::ser_de::{
    DeserializeResponse, SerializeRequest, SharedRequestSerializer, SharedResponseDeserializer,
};
use aws_smithy_runtime_api::http::Headers;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use tokio::time::Instant;

use super::sign::Signer;
use super::{EndpointOnce, resumed};

/// What an attempt needs, put together once and not for each request.
#[derive(Debug)]
pub(super) struct FirstAttempts {
    components: RuntimeComponents,
    config: ConfigBag,
    endpoint: EndpointOnce,
    signer: Signer,
    client: SharedHttpClient,
    connector: OnceLock<SharedHttpConnector>,
    limits: TimeoutConfig,
}

/// What came of an attempt.
#[derive(Debug)]
pub(super) struct Attempt {
    /// The response with its body, or why there is none.
    pub(super) outcome: Result<HttpResponse, ConnectorError>,
    /// Over which it was made.
    pub(super) connection: CaptureSmithyConnection,
}

impl FirstAttempts {
    /// Attempts that do what these plugins would have the orchestrator do.
    pub(super) fn new(
        config: &SdkConfig,
        signer: Signer,
        endpoint: EndpointOnce,
        plugins: &RuntimePlugins,
    ) -> Result<Self, BoxError> {
        let limits = config.timeout_config().ok_or("no time limits")?.clone();
        let client = config.http_client().ok_or("no HTTP client")?;
        let mut config = ConfigBag::base();
        let components = plugins.apply_client_configuration(&mut config)?.build()?;
        Ok(Self {
            components,
            config,
            endpoint,
            signer,
            client,
            connector: OnceLock::new(),
            limits,
        })
    }

    /// The request for an input, neither addressed nor signed.
    pub(super) fn request(&self, input: Input) -> Result<HttpRequest, BoxError> {
        let serializer = self.config.load::<SharedRequestSerializer>();
        let serializer = serializer.ok_or("no serializer")?;
        serializer.serialize_input(input, &mut ConfigBag::base())
    }

    /// Sends a request, within the time of one attempt.
    pub(super) async fn make(&self, request: HttpRequest) -> Attempt {
        let connection = CaptureSmithyConnection::new();
        let exchange = self.exchange(request, connection.clone());
        let limits = [
            self.limits.operation_attempt_timeout(),
            self.limits.operation_timeout(),
        ];
        let limit = limits.into_iter().flatten().min();
        let outcome = tokio::time::timeout(limit.unwrap_or(Duration::MAX), exchange).await;
        let outcome = outcome.unwrap_or_else(|late| Err(ConnectorError::timeout(late.into())));
        Attempt {
            outcome,
            connection,
        }
    }

    async fn exchange(
        &self,
        mut request: HttpRequest,
        connection: CaptureSmithyConnection,
    ) -> Result<HttpResponse, ConnectorError> {
        self.prepare(&mut request)
            .await
            .map_err(ConnectorError::user)?;
        request.add_extension(connection);
        let mut response = self.connector().call(request).await?;
        let body = ByteStream::new(response.take_body()).collect().await;
        let body = body.map_err(|error| ConnectorError::io(error.into()))?;
        *response.body_mut() = SdkBody::from(body.into_bytes());
        Ok(response)
    }

    /// Addresses and signs a request.
    async fn prepare(&self, request: &mut HttpRequest) -> Result<(), BoxError> {
        let address = &self.endpoint.find().await?.address;
        request.set_uri(address.uri.clone())?;
        add_headers(request.headers_mut());
        let now = self.components.time_source().unwrap_or_default().now();
        self.signer.sign(request, &address.host, now)
    }

    fn connector(&self) -> &SharedHttpConnector {
        self.connector.get_or_init(|| {
            let mut settings = HttpConnectorSettings::builder();
            settings.set_connect_timeout(self.limits.connect_timeout());
            settings.set_read_timeout(self.limits.read_timeout());
            self.client
                .http_connector(&settings.build(), &self.components)
        })
    }

    /// What a response says: an output, the operation's error, or what is neither.
    pub(super) fn read(&self, response: &HttpResponse) -> Result<Output, Option<Error>> {
        let deserializer = self.config.load::<SharedResponseDeserializer>();
        let read = deserializer
            .ok_or(None)?
            .deserialize_nonstreaming_with_config(response, &self.config);
        read.map_err(|error| {
            let mut of_operation = None;
            let _ = error.map_operation_error(|error| of_operation = Some(error));
            of_operation
        })
    }

    /// Has the orchestrator go on after an attempt that began a while ago.
    pub(super) fn resume(&self, attempt: Attempt, began: Instant) -> StaticRuntimePlugin {
        let all = self.limits.operation_timeout();
        let left = all.map(|all| all.saturating_sub(began.elapsed()));
        resumed::after(attempt, left, self.client.clone())
    }
}

/// Says who calls, which CloudTrail shows, and on whose behalf, by which AWS detects
/// functions that call each other without end.
pub(super) fn add_headers(headers: &mut Headers) {
    headers.insert(
        "user-agent",
        concat!("waybill/", env!("CARGO_PKG_VERSION"), " lang/rust"),
    );
    if let Ok(trace) = std::env::var("_X_AMZN_TRACE_ID") {
        // Lambda writes it, and writes nothing that is no header.
        let _ = headers.try_insert("x-amzn-trace-id", trace);
    }
}
