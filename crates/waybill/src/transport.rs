//! One HTTP stack for the AWS clients and for the deployment's own API.

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpClient};

/// The client for the AWS SDK. Like the AWS CLI it goes through the proxy that
/// the environment names.
pub(crate) fn sdk_client() -> SharedHttpClient {
    Builder::new().build_with_connector_fn(|settings, _| connector(settings))
}

/// A connector, with its own pool of connections.
pub(crate) fn connector(settings: Option<&HttpConnectorSettings>) -> Connector {
    let mut builder = Connector::builder().proxy_config(ProxyConfig::from_env());
    builder.set_connector_settings(settings.cloned());
    builder
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build()
}
