//! What the function is asked to do.

use std::collections::BTreeMap;

use aws_lambda_events::event::sns::SnsEvent;
use contracts::JsonFault;
use failures::{Drained, DrainedQueue};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An alarm, or a wish to drain.
#[derive(Debug, Clone)]
pub enum Request {
    /// Alarms, as SNS delivers them.
    Alarms(SnsEvent),
    /// The schedule's event, or a person's.
    Drain(DrainRequest),
}

/// SQS allows so many characters.
const LONGEST_NAME: usize = 80;

/// What to drain: `{"drain": "all"}` or `{"drain": ["payment-dlq"]}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DrainRequest {
    drain: Which,
    /// Whether transient failures are then replayed. The schedule alone asks for it.
    #[serde(default)]
    pub automatic_replay: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Which {
    All(All),
    Named(Vec<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum All {
    All,
}

/// A request that cannot be carried out as it is.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRequest {
    /// It has none of the known forms.
    #[error("the event is neither an alarm nor a request to drain")]
    Unreadable(#[source] JsonFault),
    /// It names a queue that is not drained.
    #[error("no queue is drained under the name {name:?}; there are: {known}")]
    UnknownQueue {
        /// The name, or as much of it as any queue's can have.
        name: String,
        /// The queues that are drained.
        known: String,
    },
}

impl Request {
    /// Reads an event.
    ///
    /// # Errors
    /// [`InvalidRequest::Unreadable`].
    pub fn parse(event: Value) -> Result<Self, InvalidRequest> {
        let read = if event.get("drain").is_some() {
            serde_json::from_value(event).map(Self::Drain)
        } else {
            serde_json::from_value(event).map(Self::Alarms)
        };
        read.map_err(|error| InvalidRequest::Unreadable(error.into()))
    }
}

impl DrainRequest {
    /// The queues that are meant.
    pub(crate) fn select<'a>(
        &self,
        queues: &'a [DrainedQueue],
    ) -> Result<Vec<&'a DrainedQueue>, InvalidRequest> {
        let Which::Named(names) = &self.drain else {
            return Ok(queues.iter().collect());
        };
        for name in names {
            if !queues.iter().any(|queue| queue.is_meant_by(name)) {
                let known: Vec<_> = queues.iter().map(|queue| queue.name.as_str()).collect();
                return Err(InvalidRequest::UnknownQueue {
                    name: name.chars().take(LONGEST_NAME).collect(),
                    known: known.join(", "),
                });
            }
        }
        let is_meant = |queue: &&DrainedQueue| names.iter().any(|name| queue.is_meant_by(name));
        Ok(queues.iter().filter(is_meant).collect())
    }
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// What became of the messages of each queue, by its full name.
    pub queues: BTreeMap<String, Drained>,
    /// Of how many groups people were told.
    pub told: usize,
    /// How many messages were replayed by themselves.
    pub automatic_replays: usize,
}
