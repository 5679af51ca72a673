//! Where the API is: the name that requests carry, and where they are sent.
//!
//! On an emulator the API's name is `<id>.execute-api.localhost`. Names under
//! `localhost` do not resolve everywhere, so the request goes to the emulator's
//! endpoint and names the API in its `Host` header.

use http::Uri;

use crate::failure::Failure;

/// The two addresses of the API.
#[derive(Debug, PartialEq)]
pub(crate) struct Address {
    scheme: String,
    host: String,
    connect_to: String,
    base_path: String,
}

impl Address {
    /// `endpoint` is the emulator's, where there is one.
    pub(crate) fn new(api_url: &str, endpoint: Option<&str>) -> Result<Self, Failure> {
        let uri = parse(api_url, "the API's address")?;
        let scheme = uri.scheme_str().unwrap_or("https").to_owned();
        let host = host_header(&uri, &scheme);
        let connect_to = match (is_local_name(&uri), endpoint) {
            (false, _) => host.clone(),
            (true, Some(endpoint)) => authority(&parse(endpoint, "the endpoint")?),
            (true, None) => match uri.port_u16() {
                Some(port) => format!("127.0.0.1:{port}"),
                None => "127.0.0.1".to_owned(),
            },
        };
        Ok(Self {
            scheme,
            host,
            connect_to,
            base_path: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// The value of the `Host` header.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The URL that is signed.
    pub(crate) fn named(&self, path: &str) -> String {
        format!("{}://{}{}{path}", self.scheme, self.host, self.base_path)
    }

    /// The URL that is connected to.
    pub(crate) fn reached(&self, path: &str) -> String {
        format!(
            "{}://{}{}{path}",
            self.scheme, self.connect_to, self.base_path
        )
    }
}

fn parse(url: &str, what: &str) -> Result<Uri, Failure> {
    let refused = || Failure::Input(format!("{what} is not an http or https URL: {url}"));
    let uri: Uri = url.parse().map_err(|_| refused())?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(_)) => Ok(uri),
        _ => Err(refused()),
    }
}

fn is_local_name(uri: &Uri) -> bool {
    uri.host().is_some_and(|host| host.ends_with(".localhost"))
}

fn authority(uri: &Uri) -> String {
    uri.authority().map(ToString::to_string).unwrap_or_default()
}

/// The host, and the port unless it is the scheme's own: clients do not send that one.
fn host_header(uri: &Uri, scheme: &str) -> String {
    let default_port = if scheme == "http" { 80 } else { 443 };
    match uri.port_u16() {
        Some(port) if port == default_port => uri.host().unwrap_or_default().to_owned(),
        _ => authority(uri),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(api_url: &str, endpoint: Option<&str>, host: &str, reached: &str) {
        let address = Address::new(api_url, endpoint).unwrap();
        assert_eq!(address.host(), host);
        assert_eq!(address.reached("/orders"), reached);
    }

    #[test]
    fn an_api_on_aws_is_reached_by_its_name() {
        let host = "abc.execute-api.eu-central-1.amazonaws.com";
        let url = format!("https://{host}");
        check(&url, None, host, &format!("{url}/orders"));
        check(&format!("{url}:443/"), None, host, &format!("{url}/orders"));
        check(
            &format!("{url}/v1/"),
            None,
            host,
            &format!("{url}/v1/orders"),
        );
    }

    #[test]
    fn an_api_on_an_emulator_is_reached_at_the_endpoint_and_named_in_the_header() {
        check(
            "http://abc.execute-api.localhost:4566",
            Some("http://127.0.0.1:4999"),
            "abc.execute-api.localhost:4566",
            "http://127.0.0.1:4999/orders",
        );
        check(
            "http://abc.execute-api.localhost:4566",
            None,
            "abc.execute-api.localhost:4566",
            "http://127.0.0.1:4566/orders",
        );
    }

    #[test]
    fn an_address_that_is_no_url_is_refused() {
        for url in ["", "abc", "ftp://abc", "/orders"] {
            assert!(Address::new(url, None).is_err(), "{url}");
        }
    }
}
