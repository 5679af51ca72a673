//! Signs requests to the API with the AWS credentials (Signature Version 4).

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use tokio::sync::Mutex;

use crate::failure::{BoxError, Failure};

/// The name of the service that an HTTP API is, to IAM.
const SERVICE: &str = "execute-api";
/// Credentials this close to their end are fetched anew.
const MARGIN: Duration = Duration::from_secs(60);

/// Signs with whatever credentials the configuration gives.
#[derive(Debug)]
pub(crate) struct Signer {
    provider: SharedCredentialsProvider,
    region: String,
    /// Fetching can mean a request or a child process, so the credentials are kept.
    current: Mutex<Option<Credentials>>,
}

impl Signer {
    /// Refuses a configuration without any source of credentials.
    pub(crate) fn new(
        provider: Option<SharedCredentialsProvider>,
        region: String,
    ) -> Result<Self, Failure> {
        Ok(Self {
            provider: provider.ok_or(Failure::NoCredentials(None))?,
            region,
            current: Mutex::new(None),
        })
    }

    /// The headers to add to a request. `headers` are signed too.
    pub(crate) async fn sign(
        &self,
        method: &str,
        url: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> Result<Vec<(String, String)>, Failure> {
        let credentials = self.credentials().await?;
        let request = SignableRequest::new(
            method,
            url,
            headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
            SignableBody::Bytes(body),
        )
        .map_err(not_signed)?;
        signature(credentials, &self.region, SystemTime::now(), request)
    }

    async fn credentials(&self) -> Result<Credentials, Failure> {
        let mut current = self.current.lock().await;
        if let Some(credentials) = current.as_ref().filter(|kept| is_fresh(kept)) {
            return Ok(credentials.clone());
        }
        let fetched = self
            .provider
            .provide_credentials()
            .await
            .map_err(|error| Failure::NoCredentials(Some(error.into())))?;
        Ok(current.insert(fetched).clone())
    }
}

fn is_fresh(credentials: &Credentials) -> bool {
    credentials
        .expiry()
        .is_none_or(|expiry| SystemTime::now() + MARGIN < expiry)
}

fn signature(
    credentials: Credentials,
    region: &str,
    time: SystemTime,
    request: SignableRequest<'_>,
) -> Result<Vec<(String, String)>, Failure> {
    let identity = credentials.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(SERVICE)
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .map_err(not_signed)?;
    let (instructions, _) = sign(request, &parameters.into())
        .map_err(not_signed)?
        .into_parts();
    Ok(instructions
        .headers()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

fn not_signed(error: impl Into<BoxError> + Send) -> Failure {
    Failure::unexpected("the request cannot be signed", error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    async fn signed(token: Option<&str>) -> HashMap<String, String> {
        let credentials =
            Credentials::new("AKID", "secret", token.map(str::to_owned), None, "test");
        let provider = SharedCredentialsProvider::new(credentials);
        let signer = Signer::new(Some(provider), "eu-central-1".to_owned()).unwrap();
        let headers = [
            ("host", "abc.execute-api.localhost:4566"),
            ("idempotency-key", "k"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let url = "http://abc.execute-api.localhost:4566/orders";
        let signature = signer.sign("POST", url, &headers, b"{}").await.unwrap();
        signature.into_iter().collect()
    }

    #[tokio::test]
    async fn the_signature_covers_the_host_and_the_key_for_the_right_service() {
        let headers = signed(None).await;
        let authorization = &headers["authorization"];
        assert!(authorization.contains("/eu-central-1/execute-api/aws4_request"));
        assert!(authorization.contains("SignedHeaders=host;idempotency-key;x-amz-date"));
        assert!(headers.contains_key("x-amz-date"));
        assert!(!headers.contains_key("x-amz-security-token"));
    }

    #[tokio::test]
    async fn temporary_credentials_carry_their_session_token() {
        assert_eq!(
            signed(Some("session")).await["x-amz-security-token"],
            "session"
        );
    }

    #[test]
    fn a_configuration_without_credentials_is_refused() {
        assert!(Signer::new(None, "eu-central-1".to_owned()).is_err());
    }

    #[test]
    fn credentials_about_to_expire_are_not_used_again() {
        let at = |expiry| Credentials::new("a", "s", None, expiry, "test");
        assert!(is_fresh(&at(None)));
        assert!(is_fresh(&at(Some(SystemTime::now() + MARGIN * 2))));
        assert!(!is_fresh(&at(Some(SystemTime::now()))));
    }
}
