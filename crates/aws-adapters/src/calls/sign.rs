//! Signature Version 4 for requests of one form.
//!
//! The SDK's signer takes any request apart and puts it together again, and derives the
//! day's key for each: a quarter of a worker's CPU. The requests here are all alike: POST,
//! no path, no query, the same headers. What is signed is written down as
//! [AWS describes it](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html);
//! key and signature are the SDK's. A test compares the two for many requests.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

/// Signs requests to one service.
pub(super) struct Signer {
    credentials: Credentials,
    region: String,
    service: &'static str,
    /// The day, as `20261121`, and its key.
    key: Mutex<Option<(String, Vec<u8>)>>,
}

impl Signer {
    pub(super) fn new(credentials: Credentials, region: String, service: &'static str) -> Self {
        Self {
            credentials,
            region,
            service,
            key: Mutex::new(None),
        }
    }

    /// Signs a POST to the root of a host.
    ///
    /// # Errors
    /// Where the request lacks a header or a body that is signed.
    pub(super) fn sign(
        &self,
        request: &mut HttpRequest,
        host: &str,
        now: SystemTime,
    ) -> Result<(), BoxError> {
        let time = amz_date(now);
        let day = time.get(..8).unwrap_or_default();
        let body = request.body().bytes().ok_or("the body is not in memory")?;
        let header = |name| request.headers().get(name).ok_or("a header is missing");
        let token = self.credentials.session_token();
        let token_line = token.map(|token| ["x-amz-security-token:", token, "\n"].concat());
        let token_name = token.map_or("", |_| "x-amz-security-token;");
        let signed = [
            "content-length;content-type;host;x-amz-date;",
            token_name,
            "x-amz-target",
        ]
        .concat();
        let canonical = [
            "POST\n/\n\ncontent-length:",
            header("content-length")?,
            "\ncontent-type:",
            header("content-type")?,
            "\nhost:",
            host,
            "\nx-amz-date:",
            &time,
            "\n",
            token_line.as_deref().unwrap_or_default(),
            "x-amz-target:",
            header("x-amz-target")?,
            "\n\n",
            &signed,
            "\n",
            &sha256(body),
        ]
        .concat();
        let scope = [day, "/", &self.region, "/", self.service, "/aws4_request"].concat();
        let to_sign = [
            "AWS4-HMAC-SHA256",
            &time,
            &scope,
            &sha256(canonical.as_bytes()),
        ]
        .join("\n");
        let signature = self.signature(day, now, to_sign.as_bytes());
        let authorization = [
            "AWS4-HMAC-SHA256 Credential=",
            self.credentials.access_key_id(),
            "/",
            &scope,
            ", SignedHeaders=",
            &signed,
            ", Signature=",
            &signature,
        ]
        .concat();
        let token = token.map(str::to_owned);
        let headers = request.headers_mut();
        headers.try_insert("x-amz-date", time)?;
        if let Some(token) = token {
            headers.try_insert("x-amz-security-token", token)?;
        }
        headers.try_insert("authorization", authorization)?;
        Ok(())
    }

    fn signature(&self, day: &str, now: SystemTime, to_sign: &[u8]) -> String {
        let mut key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, key) = match key.take() {
            Some(known) if known.0 == day => key.insert(known),
            _ => {
                let secret = self.credentials.secret_access_key();
                let derived = generate_signing_key(secret, now, &self.region, self.service);
                key.insert((day.to_owned(), derived.as_ref().to_vec()))
            }
        };
        calculate_signature(key, to_sign)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Signer(hidden)")
    }
}

fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// As `20261121T175615Z`.
fn amz_date(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    let (date, (hour, minute, second)) = (time.date(), time.to_hms());
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a panic is how a test reports its failure"
)]
mod tests {
    use std::time::Duration;

    use aws_sigv4::http_request::{
        SignableBody, SignableRequest, SigningParams, SigningSettings, sign,
    };
    use aws_sigv4::sign::v4;
    use aws_smithy_types::body::SdkBody;
    use proptest::prelude::*;

    use super::*;

    fn request(host: &str, target: &str, body: &str) -> HttpRequest {
        let mut request = HttpRequest::new(SdkBody::from(body));
        request.set_method("POST").unwrap();
        request.set_uri(format!("https://{host}/")).unwrap();
        let headers = request.headers_mut();
        headers.insert("content-type", "application/x-amz-json-1.0");
        headers.insert("content-length", body.len().to_string());
        headers.insert("x-amz-target", target.to_owned());
        headers.insert("user-agent", "waybill");
        headers.insert(
            "x-amzn-trace-id",
            "Root=1-5759e988-bd862e3fe1be46a994272793",
        );
        request
    }

    /// The headers that the SDK's signer adds.
    fn by_the_sdk(
        request: &HttpRequest,
        credentials: &Credentials,
        (region, service): (&str, &str),
        now: SystemTime,
    ) -> Vec<(String, String)> {
        let identity = credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(service)
            .time(now)
            .settings(SigningSettings::default())
            .build()
            .unwrap();
        let signable = SignableRequest::new(
            request.method(),
            request.uri(),
            request.headers().iter(),
            SignableBody::Bytes(request.body().bytes().unwrap()),
        );
        let (instructions, _) = sign(signable.unwrap(), &SigningParams::V4(params))
            .unwrap()
            .into_parts();
        let headers = instructions.headers();
        headers.map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
    }

    proptest! {
        #[test]
        fn a_request_is_signed_as_the_sdk_signs_it(
            host in "[a-z]{1,9}\\.[a-z0-9-]{1,9}\\.com(:[1-9][0-9]{3})?",
            target in "[A-Za-z]{1,20}_[0-9]{8}\\.[A-Za-z]{1,20}",
            body in ".{0,300}",
            token in proptest::option::of("[A-Za-z0-9+/=]{1,200}"),
            secret in "[A-Za-z0-9+/]{20,60}",
            region in "[a-z]{2}-[a-z]{4,9}-[1-9]",
            seconds in 0_u64..4_000_000_000,
        ) {
            let credentials = Credentials::new("AKIDEXAMPLE", secret, token, None, "test");
            let signer = Signer::new(credentials.clone(), region.clone(), "dynamodb");
            // The same day, the next one, and the first again: each has its own key.
            for later in [0, 1, 86_400, 0] {
                let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds + later);
                let mut signed = request(&host, &target, &body);
                let wanted = by_the_sdk(&signed, &credentials, (&region, "dynamodb"), now);
                signer.sign(&mut signed, &host, now).unwrap();
                for (name, value) in wanted {
                    prop_assert_eq!(signed.headers().get(&name), Some(value.as_str()), "{}", name);
                }
            }
        }
    }

    #[test]
    fn a_signer_does_not_show_its_key() {
        let credentials = Credentials::new("id", "SECRET", None, None, "test");
        let signer = Signer::new(credentials, "eu-central-1".into(), "states");
        let mut signed = request("states.eu-central-1.amazonaws.com", "X.Y", "{}");
        signer
            .sign(
                &mut signed,
                "states.eu-central-1.amazonaws.com",
                SystemTime::now(),
            )
            .unwrap();
        assert_eq!(format!("{signer:?}"), "Signer(hidden)");
    }
}
