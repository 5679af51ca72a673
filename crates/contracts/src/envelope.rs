//! The envelope that every message has: CloudEvents 1.0, structured JSON mode.

use std::fmt;

use domain::{CorrelationId, OrderId, Rejected};
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::json::{DuplicateKeys, FromObject, check_strict, optional_whole_number};
use crate::timestamp::has_rfc3339_form;

/// The answer to a callback of Step Functions goes to whoever holds this.
///
/// It is a capability: `Debug` hides it, and there is no `Display`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskToken(String);

impl TaskToken {
    /// Wraps a token.
    pub fn new(token: String) -> Self {
        Self(token)
    }

    /// The token itself, for the call that answers the task and for nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TaskToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TaskToken(hidden)")
    }
}

/// A W3C trace context (`traceparent`), version 00.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceParent(String);

impl TraceParent {
    /// Checks the form `00-<32 hex>-<16 hex>-<2 hex>`.
    pub fn new(text: &str) -> Result<Self, Rejected> {
        let mut parts = text.split('-');
        let wanted = [("00", 2), ("", 32), ("", 16), ("", 2)];
        let fits = wanted.iter().all(|(literal, length)| {
            parts.next().is_some_and(|part| {
                part.len() == *length
                    && (literal.is_empty() || part == *literal)
                    && part
                        .bytes()
                        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            })
        }) && parts.next().is_none();
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(Rejected("is not a W3C traceparent"))
        }
    }

    /// Takes over an X-Ray header (`Root=1-…-…;Parent=…;Sampled=…`), so that one
    /// trace shows the request and everything that follows from it.
    pub fn from_xray(header: &str) -> Option<Self> {
        let field = |name: &str| {
            header
                .split(';')
                .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
        };
        let (epoch, unique) = field("Root")?.strip_prefix("1-")?.split_once('-')?;
        // Where AWS begins the trace there is no parent yet; any span id will do.
        let parent = field("Parent").or_else(|| unique.get(8..))?;
        let sampled = u8::from(field("Sampled") == Some("1"));
        Self::new(&format!("00-{epoch}{unique}-{parent}-{sampled:02}")).ok()
    }

    /// The header's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A message type: `waybill.<noun>.<verb>.v<N>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageType<'a> {
    /// `<noun>.<verb>`.
    pub name: &'a str,
    /// The version of the data's schema.
    pub version: u32,
}

impl<'a> MessageType<'a> {
    /// Splits a type; `None` where it is not of this system's form.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (name, digits) = text.strip_prefix("waybill.")?.rsplit_once(".v")?;
        let version: u32 = digits.parse().ok()?;
        // One type has one spelling: `v01` and `v+1` are not `v1`.
        (version.to_string() == digits).then_some(Self { name, version })
    }
}

impl fmt::Display for MessageType<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "waybill.{}.v{}", self.name, self.version)
    }
}

/// Where JSON is not what was wanted.
///
/// `serde_json`'s own error quotes what it found, which may be an address or a
/// token; this one says only where it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at line {line} column {column}")]
pub struct JsonFault {
    kind: &'static str,
    line: usize,
    column: usize,
}

impl From<serde_json::Error> for JsonFault {
    fn from(error: serde_json::Error) -> Self {
        let kind = match error.classify() {
            Category::Io => "unreadable",
            Category::Syntax => "not JSON",
            Category::Data if DuplicateKeys::caused(&error) => "a name that stands twice",
            Category::Data => "a missing field or a value of the wrong type",
            Category::Eof => "an unexpected end",
        };
        Self {
            kind,
            line: error.line(),
            column: error.column(),
        }
    }
}

/// Why a body is not a message. Poison: reading it again will not help.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// Not JSON, or not an envelope.
    #[error("the body is not a CloudEvents message")]
    NotAnEnvelope(#[source] JsonFault),
    /// The type is not one that this consumer reads.
    #[error("the type is unknown here: {0}")]
    UnknownType(String),
    /// The version is newer than this consumer.
    #[error("version {version} of {name} is unknown here; versions 1 to {newest} are read")]
    UnknownVersion {
        /// The message's name.
        name: String,
        /// The version that it has.
        version: u32,
        /// The newest version that is read.
        newest: u32,
    },
    /// The data is not what the type's schema says.
    #[error("the data does not fit its schema")]
    Data(#[source] JsonFault),
    /// A value of the data is out of its range.
    #[error("the data breaks a rule: {0}")]
    Value(#[from] Rejected),
    /// Two fields that must agree do not.
    #[error("the envelope contradicts itself: {0}")]
    Inconsistent(&'static str),
}

impl ContractError {
    /// The stable name, for metrics and failure records.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotAnEnvelope(_) => "NotAnEnvelope",
            Self::UnknownType(_) => "UnknownType",
            Self::UnknownVersion { .. } => "UnknownVersion",
            Self::Data(_) | Self::Value(_) => "ContractBroken",
            Self::Inconsistent(_) => "EnvelopeInconsistent",
        }
    }
}

/// A message whose envelope is checked and whose data is still JSON.
#[derive(Debug)]
pub struct Envelope {
    /// `<order id>/<noun>.<verb>`: the idempotency key, the same on every delivery.
    pub id: String,
    /// Which component wrote it, as a URI reference.
    pub source: String,
    /// The type, as text.
    pub message_type: String,
    /// The order that it is about.
    pub order: OrderId,
    /// When it was written, RFC 3339.
    pub time: String,
    /// Ties it to the request.
    pub correlation: CorrelationId,
    /// The id of the message that caused it.
    pub causation: Option<String>,
    /// The trace that it belongs to.
    pub trace: Option<TraceParent>,
    /// Where the answer goes; on commands.
    pub task_token: Option<TaskToken>,
    /// The event's number within its order, from 1; on events.
    pub sequence: Option<u32>,
    /// The data, unread.
    pub data: Box<RawValue>,
}

/// The envelope's JSON. Unknown attributes are extensions, which CloudEvents allows.
#[derive(Serialize, Deserialize)]
struct EnvelopeWire {
    specversion: String,
    id: String,
    source: String,
    #[serde(rename = "type")]
    message_type: String,
    subject: String,
    time: String,
    datacontenttype: String,
    correlationid: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    causationid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tasktoken: Option<TaskToken>,
    #[serde(
        default,
        deserialize_with = "optional_whole_number",
        skip_serializing_if = "Option::is_none"
    )]
    sequence: Option<u32>,
    data: Box<RawValue>,
}

impl Envelope {
    /// Reads and checks an envelope; the data stays unread.
    pub fn parse(body: &str) -> Result<Self, ContractError> {
        let unreadable = |error: serde_json::Error| ContractError::NotAnEnvelope(error.into());
        // Whether a body is readable must not depend on how much of it a reader looks at.
        check_strict(body.as_bytes()).map_err(unreadable)?;
        let wire: FromObject<EnvelopeWire> = serde_json::from_str(body).map_err(unreadable)?;
        wire.0.read()
    }

    /// The message's name and version.
    pub fn kind(&self) -> Result<MessageType<'_>, ContractError> {
        MessageType::parse(&self.message_type).ok_or_else(|| self.unknown_type())
    }

    /// The error for a reader to whom this type means nothing.
    pub fn unknown_type(&self) -> ContractError {
        ContractError::UnknownType(shorten(&self.message_type))
    }

    /// Writes the message.
    pub fn to_json(&self) -> String {
        let wire = EnvelopeWire {
            specversion: "1.0".into(),
            id: self.id.clone(),
            source: self.source.clone(),
            message_type: self.message_type.clone(),
            subject: self.order.to_string(),
            time: self.time.clone(),
            datacontenttype: "application/json".into(),
            correlationid: self.correlation.to_string(),
            causationid: self.causation.clone(),
            traceparent: self.trace.as_ref().map(|trace| trace.as_str().to_owned()),
            tasktoken: self.task_token.clone(),
            sequence: self.sequence,
            data: self.data.clone(),
        };
        // Text keys and raw JSON always serialise.
        serde_json::to_string(&wire).unwrap_or_default()
    }
}

impl EnvelopeWire {
    fn read(self) -> Result<Envelope, ContractError> {
        self.check_fixed_attributes()?;
        let order: OrderId = self.subject.parse()?;
        let envelope = Envelope {
            id: self.id,
            source: self.source,
            message_type: self.message_type,
            order,
            time: self.time,
            correlation: CorrelationId::new(&self.correlationid)?,
            causation: self.causationid,
            // A trace that cannot be read is no reason to refuse an order's message.
            trace: self
                .traceparent
                .and_then(|text| TraceParent::new(&text).ok()),
            task_token: self.tasktoken,
            sequence: self.sequence,
            data: self.data,
        };
        let wanted_id = format!("{order}/{}", envelope.kind()?.name);
        if envelope.id != wanted_id {
            return Err(ContractError::Inconsistent(
                "id must be <subject>/<noun>.<verb> of the type",
            ));
        }
        Ok(envelope)
    }

    fn check_fixed_attributes(&self) -> Result<(), ContractError> {
        if self.specversion != "1.0" {
            return Err(ContractError::Inconsistent("specversion must be 1.0"));
        }
        if self.datacontenttype != "application/json" {
            return Err(ContractError::Inconsistent(
                "datacontenttype must be application/json",
            ));
        }
        if self.source.is_empty() {
            return Err(Rejected("source must not be empty").into());
        }
        if !has_rfc3339_form(&self.time) {
            return Err(Rejected("time must be a moment in the form of RFC 3339").into());
        }
        if self.sequence == Some(0) {
            return Err(Rejected("sequence must be 1 or more").into());
        }
        Ok(())
    }
}

/// What can be told of a body that may be broken; for logs, failure records and
/// for answering the task of a message that cannot be read.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Peek {
    /// The message's id, if it is text.
    #[serde(deserialize_with = "text_or_none")]
    pub id: Option<String>,
    /// The type, if it is text.
    #[serde(rename = "type", deserialize_with = "text_or_none")]
    pub message_type: Option<String>,
    /// What the message is about, an order's id, if it is text.
    #[serde(deserialize_with = "text_or_none")]
    pub subject: Option<String>,
    /// The correlation id, if it is text.
    #[serde(deserialize_with = "text_or_none")]
    pub correlationid: Option<String>,
    #[serde(deserialize_with = "text_or_none")]
    tasktoken: Option<String>,
}

impl Peek {
    /// The task token, if there is one.
    pub fn task_token(&self) -> Option<TaskToken> {
        self.tasktoken.clone().map(TaskToken)
    }

    /// The correlation id, if it is one that may be logged.
    pub fn correlation(&self) -> Option<CorrelationId> {
        CorrelationId::new(self.correlationid.as_deref()?).ok()
    }
}

fn text_or_none<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) => Some(text),
        _ => None,
    })
}

/// Reads what can be read of a body, however broken.
pub fn peek(body: &str) -> Peek {
    serde_json::from_str(body).unwrap_or_default()
}

/// Keeps a stranger's text short and printable in an error message.
fn shorten(text: &str) -> String {
    text.chars()
        .filter(|letter| !letter.is_control())
        .take(80)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_token_does_not_show_itself() {
        let token = TaskToken::new("secret".into());
        assert!(!format!("{token:?}").contains("secret"));
    }

    #[test]
    fn an_error_does_not_quote_what_it_could_not_read() {
        let whole_message_as_text = serde_json::to_string("{\"tasktoken\":\"SECRET\"}").unwrap();
        let error = Envelope::parse(&whole_message_as_text).unwrap_err();
        assert!(
            !format!("{error:?} {error}").contains("SECRET"),
            "{error:?}"
        );
    }

    #[test]
    fn an_xray_header_becomes_a_trace_parent() {
        let header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
        let trace = TraceParent::from_xray(header).unwrap();
        assert_eq!(
            trace.as_str(),
            "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01"
        );
        assert_eq!(TraceParent::from_xray("Root=1-5759e988"), None);
        let begun = TraceParent::from_xray("Root=1-5759e988-bd862e3fe1be46a994272793").unwrap();
        assert_eq!(
            begun.as_str(),
            "00-5759e988bd862e3fe1be46a994272793-e1be46a994272793-00"
        );
    }

    #[test]
    fn a_type_has_a_name_and_a_version() {
        let kind = MessageType::parse("waybill.order.needs-attention.v12").unwrap();
        assert_eq!((kind.name, kind.version), ("order.needs-attention", 12));
        for wrong in [
            "order.placed.v1",
            "waybill.order.placed",
            "waybill.order.placed.vx",
            "waybill.order.placed.v01",
            "waybill.order.placed.v+1",
            "",
        ] {
            assert_eq!(MessageType::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_broken_body_still_tells_what_it_can() {
        let told = peek(r#"{"id":7,"tasktoken":"t","correlationid":"c","data":[1]}"#);
        assert_eq!(told.id, None);
        assert_eq!(told.task_token().unwrap().expose(), "t");
        assert_eq!(told.correlation().unwrap().as_str(), "c");
        assert_eq!(peek("{"), Peek::default());
    }
}
