//! A client of the deployment's own API.

mod address;
pub(crate) mod order;
mod secret;
mod signer;

use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorSettings};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use clap::Args;

use crate::deployment::{Settings, region_of};
use crate::failure::{BoxError, Exit, Failure};
use crate::problem::Problem;
use crate::transport;
use address::Address;
use order::{Order, Placed};
use secret::Secret;
use signer::Signer;

/// How to reach the API.
#[derive(Debug, Clone, Args)]
pub(crate) struct ApiArgs {
    /// A token of the deployment's JWT issuer, instead of signing with AWS credentials
    #[arg(
        long,
        env = "WAYBILL_JWT",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    jwt: Option<Secret>,
    /// The API's address [default: the stack's output ApiUrl]. With --jwt, no AWS credentials are needed then
    #[arg(long, value_name = "URL")]
    api_url: Option<String>,
}

/// The API of one deployment.
#[derive(Debug)]
pub(crate) struct Api {
    address: Address,
    access: Access,
    connector: Connector,
}

#[derive(Debug)]
enum Access {
    Signed(Signer),
    Token(Secret),
}

/// What is sent, before it is signed.
struct Call<'a> {
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, &'a str)>,
    body: &'a [u8],
}

/// An answer, read to its end.
struct Answer {
    status: u16,
    replayed: bool,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

/// An HTTP API answers within 30 seconds or not at all.
const ANSWER_TIME: Duration = Duration::from_secs(35);
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// API Gateway sends no larger one.
const LARGEST_ANSWER: usize = 10 * 1024 * 1024;
/// How often a request is sent before the command gives up. All requests may be repeated:
/// an order carries its key.
const ATTEMPTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

impl ApiArgs {
    /// Finds the API, and decides how requests are allowed in.
    pub(crate) async fn connect(&self, settings: &Settings) -> Result<Api, Failure> {
        // An exported variable without a value means that there is no token.
        let token = self.jwt.as_ref().filter(|token| !token.is_empty());
        let (url, config) = match (&self.api_url, token) {
            (Some(url), Some(_)) => (url.clone(), None),
            (Some(url), None) => (url.clone(), Some(settings.aws_config().await?)),
            (None, _) => {
                let deployment = settings.deployment().await?;
                let url = deployment.output("ApiUrl")?.to_owned();
                (url, Some(deployment.config().clone()))
            }
        };
        let endpoint = config.as_ref().and_then(|config| config.endpoint_url());
        let address = Address::new(&url, endpoint.or(settings.endpoint_url.as_deref()))?;
        let access = match (token, &config) {
            (Some(token), _) => Access::Token(token.clone()),
            (None, Some(config)) => Access::Signed(Signer::new(
                config.credentials_provider(),
                region_of(config)?,
            )?),
            (None, None) => return Err(Failure::NoCredentials(None)),
        };
        let settings = HttpConnectorSettings::builder()
            .connect_timeout(CONNECT_TIME)
            .build();
        Ok(Api {
            address,
            access,
            connector: transport::connector(Some(&settings)),
        })
    }
}

impl Api {
    /// Places an order. The same key and content again give the same answer.
    pub(crate) async fn place(&self, order: &[u8], key: &str) -> Result<Placed, Failure> {
        let call = Call {
            method: "POST",
            path: "/orders".to_owned(),
            headers: vec![
                ("content-type", "application/json"),
                ("idempotency-key", key),
            ],
            body: order,
        };
        let answer = self.send(&call).await?;
        Ok(Placed {
            replayed: answer.replayed,
            order: answer.order()?,
        })
    }

    /// Reads an order.
    pub(crate) async fn order(&self, id: &str) -> Result<Order, Failure> {
        let call = Call {
            method: "GET",
            path: format!("/orders/{id}"),
            headers: Vec::new(),
            body: &[],
        };
        match self.send(&call).await {
            Ok(answer) => answer.order(),
            Err(Failure::Refused(problem)) if problem.is_not_found() => {
                Err(Failure::NoSuchOrder(id.to_owned()))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Sends a request, and again where that may help.
    async fn send(&self, call: &Call<'_>) -> Result<Answer, Failure> {
        let mut pause = FIRST_PAUSE;
        let mut attempt = 1;
        loop {
            let (failure, wanted) = match self.attempt(call).await {
                Ok(answer) if answer.is_success() => return Ok(answer),
                Ok(answer) => (answer.failure(), answer.retry_after),
                Err(failure) => (failure, None),
            };
            if attempt == ATTEMPTS || failure.exit() != Exit::Unavailable {
                return Err(failure);
            }
            tokio::time::sleep(wanted.unwrap_or(pause).min(LONGEST_PAUSE)).await;
            pause *= 3;
            attempt += 1;
        }
    }

    async fn attempt(&self, call: &Call<'_>) -> Result<Answer, Failure> {
        let request = self.request(call).await?;
        let exchange = async {
            let response = self.connector.call(request).await;
            self.read(response.map_err(|error| self.unreachable(error))?)
                .await
        };
        match tokio::time::timeout(ANSWER_TIME, exchange).await {
            Ok(answer) => answer,
            Err(elapsed) => Err(self.unreachable(elapsed)),
        }
    }

    /// Builds the request: named, and signed, for the API; addressed to where it is listened for.
    async fn request(&self, call: &Call<'_>) -> Result<HttpRequest, Failure> {
        let mut headers: Vec<(String, String)> = call
            .headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        headers.push(("host".to_owned(), self.address.host().to_owned()));
        match &self.access {
            Access::Token(token) => {
                headers.push((
                    "authorization".to_owned(),
                    format!("Bearer {}", token.expose()),
                ));
            }
            Access::Signed(signer) => {
                let url = self.address.named(&call.path);
                let signature = signer.sign(call.method, &url, &headers, call.body).await?;
                headers.extend(signature);
            }
        }
        let url = self.address.reached(&call.path);
        http_request(call.method, &url, headers, call.body)
            .map_err(|error| Failure::unexpected("the request cannot be written", error))
    }

    async fn read(&self, mut response: HttpResponse) -> Result<Answer, Failure> {
        let header = |name: &str| response.headers().get(name).map(str::to_owned);
        let replayed = header(REPLAYED).is_some_and(|value| value == "true");
        let retry_after = header("retry-after")
            .and_then(|value| value.parse().ok())
            .map(Duration::from_secs);
        Ok(Answer {
            status: response.status().as_u16(),
            replayed,
            retry_after,
            body: self.body(response.take_body()).await?,
        })
    }

    /// Reads a body as far as an API may send one.
    async fn body(&self, body: SdkBody) -> Result<Vec<u8>, Failure> {
        let mut stream = ByteStream::new(body);
        let mut read = Vec::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| self.unreachable(error))?;
            if read.len() + chunk.len() > LARGEST_ANSWER {
                return Err(Failure::Unexpected {
                    message: format!("the API's answer is larger than {LARGEST_ANSWER} bytes"),
                    source: None,
                });
            }
            read.extend_from_slice(&chunk);
        }
        Ok(read)
    }

    fn unreachable(&self, source: impl Into<BoxError>) -> Failure {
        Failure::ApiUnreachable {
            url: self.address.reached(""),
            source: source.into(),
        }
    }
}

fn http_request(
    method: &str,
    url: &str,
    headers: Vec<(String, String)>,
    body: &[u8],
) -> Result<HttpRequest, aws_smithy_runtime_api::http::HttpError> {
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_method(method)?;
    request.set_uri(url)?;
    for (name, value) in headers {
        request.headers_mut().try_insert(name, value)?;
    }
    let agent = concat!("waybill/", env!("CARGO_PKG_VERSION"));
    request.headers_mut().try_insert("user-agent", agent)?;
    Ok(request)
}

/// The header that marks a replay.
const REPLAYED: &str = "idempotency-replayed";

impl Answer {
    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn order(&self) -> Result<Order, Failure> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Failure::unexpected("the API's answer is not an order", error))
    }

    fn failure(&self) -> Failure {
        let problem = Box::new(Problem::read(self.status, &self.body));
        if problem.is_transient() {
            Failure::ApiUnavailable(problem)
        } else {
            Failure::Refused(problem)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            replayed: false,
            retry_after: None,
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn a_refusal_and_an_outage_exit_differently() {
        assert_eq!(answer(422, "{}").failure().exit(), Exit::Refused);
        assert_eq!(answer(403, "{}").failure().exit(), Exit::Refused);
        assert_eq!(answer(503, "{}").failure().exit(), Exit::Unavailable);
        assert_eq!(answer(429, "{}").failure().exit(), Exit::Unavailable);
    }
}
