//! A replay that was decided on: frozen, so that it does not change while it runs.

use std::collections::BTreeMap;

use contracts::Timestamp;
use serde::{Deserialize, Serialize};

use crate::failure::{FailureId, ReplayId};
use crate::group::GroupId;
use crate::query::Query;

/// What an operator decided to replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Its id; the messages carry it.
    pub id: ReplayId,
    /// Counts the changes, from 1, as a failure's version does.
    pub version: u64,
    /// Who.
    pub by: String,
    /// When it was frozen. What failed later is not in it.
    pub cut_off: Timestamp,
    /// What was asked for.
    pub query: Query,
    /// The consumer whose queue the messages go to, where it is not their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// How many of each group are sent first, to see whether they fail again.
    pub canaries: usize,
    /// At most so many messages a second.
    pub rate: u32,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Where it stands.
    pub progress: Progress,
    /// What is replayed, in order. Stored in parts beside the plan.
    #[serde(skip)]
    pub entries: Vec<Entry>,
}

/// Where a plan stands. What became of each message is in its failure record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// How many messages the plan has.
    pub planned: usize,
    /// Groups whose canary failed again; the rest of them is not sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aborted: Vec<GroupId>,
    /// When everything that was to be sent had been sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// What was seen of each group, the last time somebody looked.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<GroupId, Tally>,
    /// The process that carries the plan out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner: Option<Runner>,
}

/// How many entries of a group stand where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tally {
    /// Not sent yet.
    pub due: usize,
    /// Sent, and not confirmed by a worker yet. One that was claimed and may have
    /// been sent counts here.
    pub under_way: usize,
    /// Processed by a worker.
    pub processed: usize,
    /// Failed again.
    pub failed_again: usize,
    /// Not sent, and never to be sent by this plan.
    pub skipped: usize,
}

/// A plan is carried out by one process at a time: two would send messages twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Runner {
    /// Names the process, at random.
    pub run: String,
    /// Who.
    pub by: String,
    /// Another may go on with the plan from then on. It is put off while the process lives.
    pub until: Timestamp,
}

/// One message of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Which failure.
    pub failure: FailureId,
    /// Its group when the plan was frozen.
    pub group: GroupId,
    /// The body that was looked at; another one is not sent.
    pub body_sha256: String,
    /// How often it had failed by then: more, and not in this plan, means that another
    /// replay of it failed since.
    pub failed: u32,
    /// The unconfirmed replay that it is taken over from, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<ReplayId>,
}

/// What became of an entry, read from its failure record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryState {
    /// Not sent yet.
    Due,
    /// Claimed for this plan; whether it was sent is unknown.
    Claimed,
    /// Sent; no worker has confirmed it yet.
    Sent,
    /// Processed, with this outcome.
    Processed(String),
    /// It failed again, with the error of this name.
    FailedAgain(String),
    /// It is not sent, for this reason.
    Skipped(String),
}
