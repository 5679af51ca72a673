//! Which failures are meant.

use contracts::Timestamp;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, FailureId, ReplayId, Status};
use crate::group::GroupId;

/// Failures that fit all that is given. An empty query means all.
///
/// An adapter finds candidates by the most telling index and lets [`Query::matches`]
/// decide, so that every store finds the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Query {
    /// One of these ids.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<FailureId>,
    /// One of these statuses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<Status>,
    /// This group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
    /// This consumer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// This error class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// This error name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_name: Option<String>,
    /// This message type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_type: Option<String>,
    /// This order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
    /// This replay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<ReplayId>,
    /// Failed at this time or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Failed before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// This text, in any case, in the id, the names, the causes, the notes or the body
    /// (but for what may be its task token).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl Query {
    /// Whether a failure fits.
    pub fn matches(&self, failure: &Failure) -> bool {
        fn fits<T: PartialEq>(wanted: &Option<T>, actual: &T) -> bool {
            wanted.as_ref().is_none_or(|wanted| wanted == actual)
        }
        fn fits_some<T: PartialEq>(wanted: &Option<T>, actual: Option<&T>) -> bool {
            wanted.as_ref().is_none_or(|wanted| Some(wanted) == actual)
        }
        let at = failure.trouble.failed_at;
        (self.ids.is_empty() || self.ids.contains(&failure.id))
            && (self.statuses.is_empty() || self.statuses.contains(&failure.status))
            && fits(&self.group, &failure.group)
            && fits(&self.consumer, &failure.consumer)
            && fits(&self.class, &failure.trouble.class)
            && fits(&self.error_name, &failure.trouble.name)
            && fits_some(&self.message_type, failure.message_type.as_ref())
            && fits_some(&self.order_id, failure.order_id.as_ref())
            && fits_some(
                &self.replay,
                failure.replay.as_ref().map(|replay| &replay.id),
            )
            && self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at < until)
            && self
                .text
                .as_ref()
                .is_none_or(|text| contains(failure, text))
    }
}

fn contains(failure: &Failure, text: &str) -> bool {
    let wanted = text.to_lowercase();
    let body = crate::mask::without_token(&failure.letter.body);
    let told = [
        Some(failure.id.as_str()),
        Some(failure.group.as_str()),
        Some(failure.trouble.name.as_str()),
        Some(body.as_str()),
        failure.message_type.as_deref(),
        failure.event_id.as_deref(),
        failure.correlation_id.as_deref(),
        failure.note.as_deref(),
    ];
    let causes = failure.trouble.cause.iter().map(String::as_str);
    let notes = failure.history.iter().map(|entry| entry.detail.as_str());
    told.into_iter()
        .flatten()
        .chain(causes)
        .chain(notes)
        .any(|told| told.to_lowercase().contains(&wanted))
}
