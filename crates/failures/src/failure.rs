//! One message that failed, and everything that is known of it.

use std::collections::BTreeMap;
use std::fmt;

use contracts::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::group::GroupId;

/// The id of a failure: the id that its message had in the queue from which a worker
/// moved it, or the id that it has in the dead-letter queue where no worker did.
///
/// A drain that is repeated finds the record that it wrote the first time, and a message
/// that its worker moved twice is one record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FailureId(String);

impl FailureId {
    /// An id as it was stored or typed.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FailureId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The id of one replay: a plan of an operator, or one automatic attempt.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReplayId(String);

impl ReplayId {
    /// An id as it was stored or typed.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReplayId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Where a failure stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It waits for a person, or for its automatic replay.
    Waiting,
    /// It was claimed by a replay; the worker has not confirmed it yet.
    Replaying,
    /// A worker processed it, or a person says that it is done.
    Resolved,
    /// A person put it aside. It expires, and can be restored until then.
    Archived,
    /// An edited copy took its place; this one is never sent.
    Edited,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Waiting,
        Self::Replaying,
        Self::Resolved,
        Self::Archived,
        Self::Edited,
    ];

    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Replaying => "replaying",
            Self::Resolved => "resolved",
            Self::Archived => "archived",
            Self::Edited => "edited",
        }
    }

    /// Whether somebody still has to see to it.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Replaying)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// The value of a message attribute.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Value {
    /// A `String`, a `Number`, or a custom type of these.
    Text {
        /// The data type, such as `String`.
        #[serde(rename = "dataType")]
        data_type: String,
        /// The value.
        value: String,
    },
    /// A `Binary`, or a custom type of it.
    Binary {
        /// The data type, such as `Binary.png`.
        #[serde(rename = "dataType")]
        data_type: String,
        /// The bytes.
        #[serde(with = "serde_bytes")]
        value: Vec<u8>,
    },
}

/// Never with its value: an attribute may hold anything.
impl fmt::Debug for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { data_type, .. } | Self::Binary { data_type, .. } => {
                write!(formatter, "Value({data_type})")
            }
        }
    }
}

/// The message itself, as it will be sent again.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Letter {
    /// The body, unchanged.
    pub body: String,
    /// The sender's own attributes; those that describe the failure are not among them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Value>,
    /// SHA-256 of the body, in lowercase hexadecimal.
    pub body_sha256: String,
}

impl Letter {
    /// A message with the hash of its body.
    pub fn new(body: impl Into<String>, attributes: BTreeMap<String, Value>) -> Self {
        let body = body.into();
        let digest = Sha256::digest(&body);
        Self {
            body_sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            body,
            attributes,
        }
    }
}

/// Never with the body: it may hold a task token or personal data.
impl fmt::Debug for Letter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Letter({})", self.body_sha256)
    }
}

/// What went wrong, the last time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    /// `transient`, `ambiguous`, `business`, `poison`, `deferred`, or `unknown` where no worker said.
    pub class: String,
    /// The error's stable name. `ReceivesExhausted` where the queue's own policy moved
    /// the message, `DeliveryFailed` where the bus could not deliver it, `Unexplained`
    /// where nothing says why it is there.
    pub name: String,
    /// The error and its causes, outermost first.
    #[serde(default)]
    pub cause: Vec<String>,
    /// How often the message was received that time.
    #[serde(default)]
    pub attempts: u32,
    /// When it was given up.
    pub failed_at: Timestamp,
    /// The dead-letter queue it was found in.
    pub found_in: String,
    /// The id that it had there.
    pub message_id: String,
    /// The ARN of the queue that the worker received it from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_queue: Option<String>,
    /// The id that it had there, by which the worker's log lines name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_message_id: Option<String>,
}

/// A claim on the message by one replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replay {
    /// Which replay.
    pub id: ReplayId,
    /// Who.
    pub by: String,
    /// Whether the system did it by itself.
    pub automatic: bool,
    /// When the message was claimed for it.
    pub claimed_at: Timestamp,
    /// When the queue had confirmed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
    /// Whether an earlier claim, which this one took up, may have sent the message.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_be_sent: bool,
    /// The consumer to whose queue it goes.
    pub destination: String,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resolution {
    /// When.
    pub at: Timestamp,
    /// The consumer that processed it, or the person who says so.
    pub by: String,
    /// What became of it, such as `done` or `refused: Waybill.AlreadyUndone`.
    pub outcome: String,
}

/// Something that was done to the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// When.
    pub at: Timestamp,
    /// Who: an operator's identity, a consumer, or `drain`.
    pub by: String,
    /// The stable name of what was done, such as `stored` or `replayed`.
    pub action: String,
    /// More about it, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// One message that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// Its id.
    pub id: FailureId,
    /// Counts the changes, from 1. A change is stored only over the version it was made from.
    pub version: u64,
    /// Where it stands.
    pub status: Status,
    /// The consumer that failed, such as `payment`; `unknown` where nothing says.
    pub consumer: String,
    /// The group of like failures.
    pub group: GroupId,
    /// The message.
    pub letter: Letter,
    /// What went wrong, the last time.
    pub trouble: Trouble,
    /// The `type` of the message, where it can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_type: Option<String>,
    /// The CloudEvents `id`, where it can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// The order, where it can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
    /// The id of the conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The contract it was held against, and that contract's hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The contract's hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_hash: Option<String>,
    /// When the message was first received by a worker, as the worker wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<String>,
    /// When the record was made.
    pub stored_at: Timestamp,
    /// How often the message was given up: 1, and 1 more for each replay that failed.
    pub failed: u32,
    /// How often it was replayed by itself since a person last touched it.
    #[serde(default)]
    pub automatic_replays: u32,
    /// The dead letters that are in this record: a drain that repeats adds nothing.
    pub dead_letters: Vec<String>,
    /// The replay that has it, or had it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Replay>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Resolution>,
    /// The record that this one is an edited copy of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit_of: Option<FailureId>,
    /// The edited copy that took this one's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_as: Option<FailureId>,
    /// The last note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What was done, in order.
    pub history: Vec<HistoryEntry>,
    /// When the record is forgotten, in seconds since 1970. Open ones never are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

impl Failure {
    /// Whether its time is over. A store treats it as absent from then on, though it may
    /// take days to be deleted.
    pub fn is_forgotten(&self, now: Timestamp) -> bool {
        self.expires_at
            .is_some_and(|at| at <= now.epoch_millis() / 1000)
    }
}
