//! What the API reads of a request.

use std::borrow::Cow;

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use contracts::{MAX_ORDER_BYTES, TraceParent};
use domain::{CorrelationId, IdempotencyKey};

use crate::problem::Problem;

/// The API's routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    Place,
    Show { order_id: &'a str },
    Unknown,
}

pub(crate) fn route(request: &ApiGatewayV2httpRequest) -> Route<'_> {
    let order_id = request.path_parameters.get("orderId").map(String::as_str);
    match (request.request_context.http.method.as_str(), order_id) {
        ("POST", None) => Route::Place,
        ("GET", Some(order_id)) => Route::Show { order_id },
        _ => Route::Unknown,
    }
}

pub(crate) fn header<'a>(request: &'a ApiGatewayV2httpRequest, name: &str) -> Option<&'a str> {
    request.headers.get(name)?.to_str().ok()
}

/// The caller's correlation id, if it is one that may be logged; otherwise the
/// gateway's id for the request.
pub(crate) fn correlation(request: &ApiGatewayV2httpRequest) -> Option<CorrelationId> {
    let given = header(request, "x-correlation-id").and_then(|text| CorrelationId::new(text).ok());
    let own = || CorrelationId::new(request.request_context.request_id.as_deref()?).ok();
    given.or_else(own)
}

/// The caller's trace, or the one that AWS began.
pub(crate) fn trace(request: &ApiGatewayV2httpRequest) -> Option<TraceParent> {
    let given = header(request, "traceparent").and_then(|text| TraceParent::new(text).ok());
    given.or_else(|| TraceParent::from_xray(header(request, "x-amzn-trace-id")?))
}

/// The subject of the caller's token, where the gateway has checked one.
pub(crate) fn subject(request: &ApiGatewayV2httpRequest) -> Option<&str> {
    let jwt = request.request_context.authorizer.as_ref()?.jwt.as_ref()?;
    jwt.claims.get("sub").map(String::as_str)
}

pub(crate) fn idempotency_key(
    request: &ApiGatewayV2httpRequest,
) -> Result<IdempotencyKey, Problem> {
    let Some(value) = request.headers.get("idempotency-key") else {
        return Err(Problem::MissingIdempotencyKey);
    };
    let text = String::from_utf8_lossy(value.as_bytes());
    if text.is_empty() {
        return Err(Problem::MissingIdempotencyKey);
    }
    IdempotencyKey::new(&text).map_err(|rejected| Problem::InvalidIdempotencyKey(rejected.0))
}

pub(crate) fn json_body(request: &ApiGatewayV2httpRequest) -> Result<Cow<'_, [u8]>, Problem> {
    if !is_json(header(request, "content-type").unwrap_or_default()) {
        return Err(Problem::UnsupportedMediaType);
    }
    let text = request.body.as_deref().unwrap_or_default();
    // Base64 makes four characters of three bytes.
    if text.len() > MAX_ORDER_BYTES * 4 / 3 + 4 {
        return Err(Problem::PayloadTooLarge);
    }
    let body = if request.is_base64_encoded {
        let decoded = aws_smithy_types::base64::decode(text);
        Cow::from(decoded.map_err(|_| Problem::MalformedRequest("not base64".to_owned()))?)
    } else {
        Cow::from(text.as_bytes())
    };
    if body.len() > MAX_ORDER_BYTES {
        Err(Problem::PayloadTooLarge)
    } else {
        Ok(body)
    }
}

fn is_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_the_media_type_do_not_matter() {
        assert!(is_json("application/json"));
        assert!(is_json("Application/JSON; charset=utf-8"));
        assert!(!is_json("text/json"));
        assert!(!is_json(""));
    }
}
