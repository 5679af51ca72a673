//! Signed HTTP requests, for the deployment's API and for the services that need no SDK here.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorSettings, SharedHttpClient,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;

use crate::Answer;

const ANSWER_TIME: Duration = Duration::from_secs(35);

/// A request as a client would send it.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: &'static str,
    /// The path, with its query.
    pub path: String,
    /// Headers, besides those of the signature.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Whether it is signed; the API refuses one that is not.
    pub is_signed: bool,
}

impl Request {
    /// A signed request without a body.
    pub fn get(path: impl Into<String>) -> Self {
        Self {
            method: "GET",
            path: path.into(),
            headers: Vec::new(),
            body: Vec::new(),
            is_signed: true,
        }
    }

    /// A signed request with a body.
    pub fn post(path: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self {
            method: "POST",
            body: body.into(),
            ..Self::get(path)
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Leaves the signature out.
    #[must_use]
    pub fn unsigned(mut self) -> Self {
        self.is_signed = false;
        self
    }
}

/// Where requests go, and for whom they are signed.
#[derive(Debug, Clone)]
pub(crate) struct Target<'a> {
    /// The service's name in a signature.
    pub(crate) service: &'a str,
    /// The `Host` header.
    pub(crate) host: &'a str,
    /// Scheme, host and port to connect to.
    pub(crate) origin: &'a str,
}

/// Sends requests.
#[derive(Debug)]
pub(crate) struct Http {
    connector: Connector,
    credentials: Credentials,
    region: String,
}

impl Http {
    pub(crate) fn new(credentials: Credentials, region: String) -> Self {
        Self {
            connector: connector(None),
            credentials,
            region,
        }
    }

    /// Sends a request that must be answered, and reads the answer to its end.
    pub(crate) async fn send(&self, target: &Target<'_>, request: &Request) -> Answer {
        let answer = self.attempt(target, request).await;
        answer.unwrap_or_else(|fault| {
            panic!(
                "{} {}{}: {fault}",
                request.method, target.origin, request.path
            )
        })
    }

    /// Sends a request; says what came between where there is no whole answer.
    pub(crate) async fn attempt(
        &self,
        target: &Target<'_>,
        request: &Request,
    ) -> Result<Answer, String> {
        let exchange = self.exchange(target, request);
        let answer = tokio::time::timeout(ANSWER_TIME, exchange).await;
        answer.map_err(|_| format!("no answer within {} s", ANSWER_TIME.as_secs()))?
    }

    async fn exchange(&self, target: &Target<'_>, request: &Request) -> Result<Answer, String> {
        let written = self.write(target, request);
        let response = self.connector.call(written).await;
        let mut response = response.map_err(|error| format!("{error:?}"))?;
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let body = ByteStream::new(response.take_body()).collect().await;
        let body = body.map_err(|error| format!("the answer broke off: {error}"))?;
        Ok(Answer {
            status: response.status().as_u16(),
            headers,
            body: body.to_vec(),
        })
    }

    fn write(&self, target: &Target<'_>, request: &Request) -> HttpRequest {
        let mut headers = request.headers.clone();
        headers.push(("host".to_owned(), target.host.to_owned()));
        if request.is_signed {
            let signature = self.sign(target, request, &headers);
            headers.extend(signature);
        }
        let mut written = HttpRequest::new(SdkBody::from(request.body.as_slice()));
        written.set_method(request.method).expect("a method");
        written
            .set_uri(format!("{}{}", target.origin, request.path))
            .expect("a URI");
        for (name, value) in headers {
            written
                .headers_mut()
                .try_insert(name, value)
                .expect("a header");
        }
        written
    }

    fn sign(
        &self,
        target: &Target<'_>,
        request: &Request,
        headers: &[(String, String)],
    ) -> Vec<(String, String)> {
        let url = format!("http://{}{}", target.host, request.path);
        let signable = SignableRequest::new(
            request.method,
            &url,
            headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
            SignableBody::Bytes(&request.body),
        );
        let identity = self.credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(target.service)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .expect("all parameters of a signature");
        let (instructions, _) = sign(signable.expect("a request to sign"), &parameters.into())
            .expect("a signature")
            .into_parts();
        let signature = instructions.headers();
        signature
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }
}

/// The HTTP client of the SDK's clients.
pub(crate) fn sdk_client() -> SharedHttpClient {
    Builder::new().build_with_connector_fn(|settings, _| connector(settings))
}

fn connector(settings: Option<&HttpConnectorSettings>) -> Connector {
    let mut builder = Connector::builder();
    builder.set_connector_settings(settings.cloned());
    builder
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build()
}
