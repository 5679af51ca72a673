//! What follows a first attempt that failed: the SDK's orchestrator, which takes that
//! attempt for its own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connection::CaptureSmithyConnection;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector,
    http_client_fn,
};
use aws_smithy_runtime_api::client::interceptors::context::Input;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_runtime_api::client::ser_de::{SerializeRequest, SharedRequestSerializer};
use aws_smithy_types::config_bag::{ConfigBag, Layer};
use aws_smithy_types::timeout::TimeoutConfig;

use super::first::Attempt;

/// Has the orchestrator begin with this attempt, and end within the time that is left.
/// Its input is then the request itself.
pub(super) fn after(
    attempt: Attempt,
    time_left: Option<Duration>,
    client: SharedHttpClient,
) -> StaticRuntimePlugin {
    let mut layer = Layer::new("resumed");
    layer.store_put(SharedRequestSerializer::new(Serialized));
    // Without it, a configuration of no limits would take the place of those that there are.
    if let Some(time_left) = time_left {
        let limits = TimeoutConfig::builder().operation_timeout(time_left);
        layer.store_put(limits.build());
    }
    let attempt = Arc::new(Mutex::new(Some(attempt)));
    let client = http_client_fn(move |settings, components| {
        SharedHttpConnector::new(Resumed {
            attempt: Arc::clone(&attempt),
            connector: client.http_connector(settings, components),
        })
    });
    let components = RuntimeComponentsBuilder::new("resumed").with_http_client(Some(client));
    StaticRuntimePlugin::new()
        .with_config(layer.freeze())
        .with_runtime_components(components)
}

/// The input is the request.
#[derive(Debug)]
struct Serialized;

impl SerializeRequest for Serialized {
    fn serialize_input(&self, input: Input, _: &mut ConfigBag) -> Result<HttpRequest, BoxError> {
        input
            .downcast()
            .map_err(|_| "the input is no request".into())
    }
}

/// Answers the first request with what came of it before, and sends the others.
#[derive(Debug)]
struct Resumed {
    attempt: Arc<Mutex<Option<Attempt>>>,
    connector: SharedHttpConnector,
}

impl HttpConnector for Resumed {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut attempt = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Attempt {
            outcome,
            connection,
        }) = attempt.take()
        else {
            return self.connector.call(request);
        };
        // So that a connection that led to an error is not used again.
        if let Some(wanted) = request.extension::<CaptureSmithyConnection>() {
            wanted.set_connection_retriever(move || connection.get());
        }
        HttpConnectorFuture::ready(outcome)
    }
}
