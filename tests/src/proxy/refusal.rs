//! How each service says that it does not serve a request now.

use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use serde_json::json;

/// Why a request is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There are too many.
    Throttled,
    /// The service has a fault of its own.
    Unavailable,
}

const TEXT: &str = "refused on purpose";

impl Refusal {
    /// The service's own answer: its status, the name of its error, its format.
    pub(super) fn answer(self, service: &str) -> Response<Full<Bytes>> {
        let (status, name) = self.status_and_name(service);
        let (content_type, body) = match service {
            "sns" => ("text/xml", xml(status, name)),
            "execute-api" => ("application/json", json!({ "message": name }).to_string()),
            _ => {
                let body = json!({ "__type": name, "message": TEXT });
                ("application/x-amz-json-1.0", body.to_string())
            }
        };
        Response::builder()
            .status(status)
            .header("content-type", content_type)
            // Where services of the REST kind name their error.
            .header("x-amzn-errortype", name)
            .body(Full::new(body.into()))
            .expect("a valid answer")
    }

    fn status_and_name(self, service: &str) -> (StatusCode, &'static str) {
        let (status, name) = match (self, service) {
            (Self::Throttled, "dynamodb") => (
                400,
                "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
            ),
            (Self::Throttled, "sqs") => (400, "com.amazonaws.sqs#RequestThrottled"),
            (Self::Throttled, "states") => (400, "ThrottlingException"),
            (Self::Throttled, "sns") => (429, "Throttled"),
            (Self::Throttled, "lambda") => (429, "TooManyRequestsException"),
            (Self::Throttled, "execute-api") => (429, "Too Many Requests"),
            (Self::Throttled, _) => (400, "ThrottlingException"),
            (Self::Unavailable, "dynamodb") => {
                (500, "com.amazonaws.dynamodb.v20120810#InternalServerError")
            }
            (Self::Unavailable, "sns") => (500, "InternalError"),
            (Self::Unavailable, "lambda") => (500, "ServiceException"),
            (Self::Unavailable, "execute-api") => (503, "Service Unavailable"),
            (Self::Unavailable, _) => (503, "ServiceUnavailable"),
        };
        let status = StatusCode::from_u16(status).expect("a status");
        (status, name)
    }
}

fn xml(status: StatusCode, name: &str) -> String {
    let fault = if status.is_server_error() {
        "Receiver"
    } else {
        "Sender"
    };
    format!(
        "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error>\
         <Type>{fault}</Type><Code>{name}</Code><Message>{TEXT}</Message></Error>\
         <RequestId>00000000-0000-0000-0000-000000000000</RequestId></ErrorResponse>"
    )
}
