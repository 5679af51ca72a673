//! Credentials that a request can carry.

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, SharedCredentialsProvider, future};

/// Refuses credentials that no header can carry, such as a key with a line end from a file
/// of another system: the SDK would panic over them.
pub(crate) fn checked(config: SdkConfig) -> SdkConfig {
    let Some(inner) = config.credentials_provider() else {
        return config;
    };
    let checked = SharedCredentialsProvider::new(Checked(inner));
    config.into_builder().credentials_provider(checked).build()
}

#[derive(Debug)]
struct Checked(SharedCredentialsProvider);

impl ProvideCredentials for Checked {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let credentials = self.0.provide_credentials().await?;
            check(credentials)
        })
    }
}

fn check(credentials: Credentials) -> provider::Result {
    let in_headers = [
        ("access key id", Some(credentials.access_key_id())),
        ("session token", credentials.session_token()),
    ];
    let is_odd =
        |value: &str| value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic());
    for (name, value) in in_headers {
        if value.is_some_and(is_odd) {
            // Never with the value: it may be most of a secret.
            return Err(CredentialsError::invalid_configuration(format!(
                "the {name} is empty, or has a space, a line end or another character that it cannot have"
            )));
        }
    }
    Ok(credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(key: &str, token: Option<&str>) -> provider::Result {
        check(Credentials::new(
            key,
            "secret",
            token.map(str::to_owned),
            None,
            "test",
        ))
    }

    #[test]
    fn only_what_a_header_can_carry_is_taken() {
        assert!(with("AKIA", None).is_ok());
        assert!(with("AKIA", Some("abc+/=")).is_ok());
        for odd in ["", "AKIA\r", "AKIA\n", "A KIA", "\u{1b}[2J", "é"] {
            for refused in [with(odd, None), with("AKIA", Some(odd))] {
                let told = format!("{:?}", refused.unwrap_err());
                assert!(odd.is_empty() || !told.contains(odd), "{told}");
            }
        }
    }
}
