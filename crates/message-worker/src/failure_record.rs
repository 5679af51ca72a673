//! What is known of a failure, carried beside the message that failed.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::class::{Classify, cause_chain};
use crate::delivery::Delivery;
use crate::handler::Description;
use crate::known_poison::KnownPoison;

/// Stands in where the clock is beyond reason, so that the record is not lost.
const EPOCH: &str = "1970-01-01T00:00:00Z";

/// The metadata of a dead-lettered or quarantined message. Times are RFC 3339,
/// in UTC. The body travels beside it, unchanged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FailureRecord {
    /// The name of the error's class, such as `transient`.
    pub error_class: String,
    /// The error's stable name.
    pub error_name: String,
    /// Where the error is that the same body was refused before, as
    /// [`KNOWN_POISON`](crate::KNOWN_POISON) names it: the name of the first error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_error_name: Option<String>,
    /// The error and its causes, outermost first. Cut where it would not fit.
    #[serde(default)]
    pub cause: Vec<String>,
    /// Who failed to handle the message.
    pub consumer: String,
    /// The ARN of the queue it was received from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_queue: Option<String>,
    /// The id of the contract that the body follows, or claims to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The hash of that contract, as the consumer knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_hash: Option<String>,
    /// SHA-256 of the body, in lowercase hexadecimal.
    pub body_sha256: String,
    /// How often the message was received.
    pub attempts: u32,
    /// When the message was first received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<String>,
    /// When it was given up.
    pub failed_at: String,
    /// The id of the conversation it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The id it had in the source queue.
    pub message_id: String,
}

impl FailureRecord {
    /// The attribute that holds the whole record as JSON.
    pub const ATTRIBUTE: &'static str = "failure";

    /// All attributes that tell of a failure: the record, and the parts of it that
    /// people filter by.
    pub const ATTRIBUTES: [&'static str; 6] = [
        Self::ATTRIBUTE,
        "errorClass",
        "errorName",
        "consumer",
        "correlationId",
        "bodySha256",
    ];

    /// Describes the failure of one delivery at the time `failed_at`.
    #[must_use]
    pub fn new(
        consumer: &str,
        delivery: &Delivery,
        description: &Description,
        error: &dyn Classify,
        failed_at: SystemTime,
    ) -> Self {
        let correlation_id = description.correlation_id.as_deref();
        Self {
            error_class: error.class().to_string(),
            error_name: error.name().to_owned(),
            original_error_name: None,
            cause: cause_chain(error),
            consumer: consumer.to_owned(),
            source_queue: delivery.source_arn().map(str::to_owned),
            schema: description.schema.clone(),
            schema_hash: description.schema_hash.clone(),
            body_sha256: sha256(delivery.body()),
            attempts: delivery.receive_count(),
            first_seen: delivery.first_received_at().and_then(timestamp),
            failed_at: timestamp(failed_at).unwrap_or_else(|| EPOCH.to_owned()),
            correlation_id: correlation_id
                .or_else(|| error.correlation_id())
                .map(str::to_owned),
            message_id: delivery.message_id().to_owned(),
        }
    }

    /// Tells of the first error as well, under which the body is known.
    pub(crate) fn known_as(mut self, known: &KnownPoison) -> Self {
        self.original_error_name = Some(known.original_name.clone());
        self.cause = known.original_cause();
        self
    }

    /// The name to group failures by: that of the first error, where it is known.
    #[must_use]
    pub fn group_name(&self) -> &str {
        self.original_error_name
            .as_deref()
            .unwrap_or(&self.error_name)
    }
}

fn sha256(body: &str) -> String {
    let digest = Sha256::digest(body);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 3339, to the millisecond; `None` for a time that it cannot express,
/// before 1970 or after the year 9999.
fn timestamp(at: SystemTime) -> Option<String> {
    let millis = at.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_millis();
    let nanos = i128::try_from(millis).ok()?.checked_mul(1_000_000)?;
    let at = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?;
    at.format(&Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_written_to_the_millisecond_and_absurd_ones_left_out() {
        #[track_caller]
        fn check(since_epoch: Duration, expected: Option<&str>) {
            let written = timestamp(SystemTime::UNIX_EPOCH + since_epoch);
            assert_eq!(written.as_deref(), expected);
        }
        check(Duration::ZERO, Some("1970-01-01T00:00:00Z"));
        check(
            Duration::from_nanos(1_795_284_000_123_456_789),
            Some("2026-11-21T18:00:00.123Z"),
        );
        check(Duration::from_millis(u64::MAX), None);
    }
}
