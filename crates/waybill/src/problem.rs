//! The API's problem documents (RFC 9457), made readable.

use std::fmt;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::output::printable;

/// What the API said instead of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Problem {
    status: u16,
    title: String,
    detail: Option<String>,
    correlation_id: Option<String>,
    faults: Vec<Fault>,
    document: Value,
}

/// One fault of a request, and where it is.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Fault {
    /// A JSON pointer into the request; empty for the document as a whole.
    #[serde(default)]
    pointer: String,
    #[serde(default)]
    detail: String,
}

/// The members that are shown. API Gateway itself sends only a `message`.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Members {
    title: Option<String>,
    detail: Option<String>,
    message: Option<String>,
    correlation_id: Option<String>,
    errors: Vec<Fault>,
}

impl Problem {
    /// Reads a body, whatever it is: a proxy on the way may answer with HTML.
    pub(crate) fn read(status: u16, body: &[u8]) -> Self {
        let document = serde_json::from_slice(body)
            .ok()
            .filter(Value::is_object)
            .unwrap_or_else(|| json!({ "status": status, "title": "not a problem document" }));
        let members: Members = Members::deserialize(&document).unwrap_or_default();
        let title = members.title.or(members.message);
        Self {
            status,
            title: title.unwrap_or_else(|| "no explanation".to_owned()),
            detail: members.detail,
            correlation_id: members.correlation_id,
            faults: members.errors,
            document,
        }
    }

    /// Whether the API itself says that there is no such thing. A gateway that
    /// knows no such path answers 404 as well, but in other words.
    pub(crate) fn is_not_found(&self) -> bool {
        self.status == 404 && self.document.get("type").is_some()
    }

    /// The document as the API sent it.
    pub(crate) fn document(&self) -> &Value {
        &self.document
    }

    /// The name under which the deployment's logs tell more.
    pub(crate) fn correlation_id(&self) -> Option<&str> {
        self.correlation_id.as_deref()
    }

    /// Whether the same request may succeed later.
    pub(crate) fn is_transient(&self) -> bool {
        self.status == 429 || self.status >= 500
    }

    /// What the sender can do about it.
    pub(crate) fn advice(&self) -> Option<String> {
        match self.status {
            401 => Some(
                "this deployment may expect a token of its JWT issuer: --jwt or WAYBILL_JWT"
                    .to_owned(),
            ),
            403 => Some(
                "allow execute-api:Invoke on this API to this identity, or use another --profile; \
                 with a token, only the customer's own orders"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A line of its own is ours to begin.
        write!(formatter, "{} ({})", printable(&self.title), self.status)?;
        if let Some(detail) = &self.detail {
            write!(formatter, ": {}", printable(detail))?;
        }
        for fault in &self.faults {
            let place = match fault.pointer.as_str() {
                "" => "(whole document)",
                pointer => pointer,
            };
            let (place, detail) = (printable(place), printable(&fault.detail));
            write!(formatter, "\n  {place}: {detail}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_shown_with_its_place() {
        let body = br#"{"title":"The order is not valid","status":422,"detail":"2 faults",
            "errors":[{"pointer":"/items/0/quantity","detail":"must be at least 1"},
                      {"pointer":"","detail":"unknown field x"}]}"#;
        assert_eq!(
            Problem::read(422, body).to_string(),
            "The order is not valid (422): 2 faults\n  \
             /items/0/quantity: must be at least 1\n  \
             (whole document): unknown field x"
        );
    }

    #[test]
    fn an_answer_of_the_gateway_itself_is_understood() {
        let problem = Problem::read(403, br#"{"message":"Forbidden"}"#);
        assert_eq!(problem.to_string(), "Forbidden (403)");
        assert!(problem.advice().unwrap().contains("execute-api:Invoke"));
    }

    #[test]
    fn a_gateway_without_the_path_is_not_an_unknown_order() {
        let order = br#"{"type":"urn:waybill:problem:order-not-found","title":"No"}"#;
        assert!(Problem::read(404, order).is_not_found());
        assert!(!Problem::read(404, br#"{"message":"Not Found"}"#).is_not_found());
    }

    #[test]
    fn a_body_that_is_no_document_is_not_shown() {
        let problem = Problem::read(502, b"<html>");
        assert!(problem.is_transient());
        assert_eq!(problem.to_string(), "not a problem document (502)");
    }
}
