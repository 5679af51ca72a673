//! Failures that are alike.

use std::collections::BTreeMap;
use std::fmt;

use contracts::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::failure::{Failure, FailureId, Status, Trouble};

/// The id of a group: consumer, error name and a short hash of the normalised cause,
/// such as `payment.ProviderFailed.1f3a9c02`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GroupId(String);

impl GroupId {
    /// An id as it was stored or typed.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What is kept of a group itself. Its counts come from its failures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// Counts the changes, from 1, as a failure's version does.
    pub version: u64,
    /// The consumer.
    pub consumer: String,
    /// The error's name.
    pub error_name: String,
    /// The normalised cause, to be read by people.
    pub cause: String,
    /// When a failure last joined it.
    pub last_failure_at: Timestamp,
    /// When people were last told of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_at: Option<Timestamp>,
    /// The `last_failure_at` that they were told of then; a later one is news.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_of: Option<Timestamp>,
    /// Until this time somebody is about to tell them, and nobody else does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telling_until: Option<Timestamp>,
    /// The failure that was replayed by itself last, to see whether the others may follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<FailureId>,
    /// What people noted about it, the last one last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<GroupNote>,
}

/// A note about a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupNote {
    /// When it was written.
    pub at: Timestamp,
    /// Who wrote it.
    pub by: String,
    /// What it says.
    pub text: String,
}

/// A group keeps so many notes; the oldest go.
const MOST_NOTES: usize = 20;

impl Group {
    /// The group in its next version, with a further note.
    #[must_use]
    pub fn noted(mut self, note: GroupNote) -> Self {
        self.version += 1;
        self.notes.push(note);
        let too_many = self.notes.len().saturating_sub(MOST_NOTES);
        self.notes.drain(..too_many);
        self
    }
}

/// The group of what went wrong with a consumer's message.
pub fn group_of(consumer: &str, trouble: &Trouble) -> GroupId {
    let cause = normalise(&trouble.cause.join(": "));
    let digest = Sha256::digest(format!("{consumer}\n{}\n{cause}", trouble.name));
    let short: String = digest
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    GroupId(format!(
        "{}.{}.{short}",
        plain(consumer),
        plain(&trouble.name)
    ))
}

/// Only what is safe in a shell, a URL and a key.
fn plain(text: &str) -> String {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    text.chars()
        .filter(|&letter| allowed(letter))
        .take(40)
        .collect()
}

/// A cause without what differs from one message to the next: ids, numbers, quoted
/// text, times and addresses become `…`. At most 500 characters.
pub fn normalise(cause: &str) -> String {
    let mut normalised = String::new();
    for word in without_quotes(cause).split_whitespace() {
        let word = if varies(word) { VARIES } else { word };
        // Runs of what varies count as one.
        if word == VARIES && normalised.ends_with(VARIES) {
            continue;
        }
        if !normalised.is_empty() {
            normalised.push(' ');
        }
        normalised.push_str(word);
    }
    let cut: String = normalised.chars().take(500).collect();
    cut.trim_end().to_owned()
}

/// Stands for what differs.
const VARIES: &str = "…";

/// Names of errors and types are shorter.
const LONGEST_NAME: usize = 60;

fn varies(word: &str) -> bool {
    word.contains(|letter: char| letter.is_ascii_digit() || letter == '@')
        || word.contains(VARIES)
        || word.contains("://")
        || word.len() > LONGEST_NAME
}

/// A text whose quoted parts are `…`. An apostrophe within a word quotes nothing.
fn without_quotes(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(['"', '\'', '`']) {
        let (before, quoted) = rest.split_at(start);
        plain.push_str(before);
        let mark = &quoted[..1];
        let inside = &quoted[1..];
        let in_a_word = plain.ends_with(char::is_alphanumeric);
        match inside.find(mark).filter(|_| !in_a_word) {
            Some(end) => {
                plain.push_str(VARIES);
                rest = &inside[end + 1..];
            }
            None => {
                plain.push_str(mark);
                rest = inside;
            }
        }
    }
    plain + rest
}

/// A group and the failures in it, counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The group.
    pub id: GroupId,
    /// The consumer.
    pub consumer: String,
    /// The error's class.
    pub class: String,
    /// The error's name.
    pub error_name: String,
    /// The normalised cause.
    pub cause: String,
    /// How many of its failures have each status.
    pub counts: BTreeMap<Status, usize>,
    /// When the first of them failed.
    pub first_failed_at: Timestamp,
    /// When the last of them failed.
    pub last_failed_at: Timestamp,
    /// How many failed again after a replay.
    pub failed_again: usize,
}

/// Counts failures by group; the group that failed last comes first.
pub fn summarize<'a>(failures: impl IntoIterator<Item = &'a Failure>) -> Vec<Summary> {
    let mut groups: BTreeMap<GroupId, Summary> = BTreeMap::new();
    for failure in failures {
        let at = failure.trouble.failed_at;
        let group = groups
            .entry(failure.group.clone())
            .or_insert_with(|| Summary {
                id: failure.group.clone(),
                consumer: failure.consumer.clone(),
                class: failure.trouble.class.clone(),
                error_name: failure.trouble.name.clone(),
                cause: normalise(&failure.trouble.cause.join(": ")),
                counts: BTreeMap::new(),
                first_failed_at: at,
                last_failed_at: at,
                failed_again: 0,
            });
        *group.counts.entry(failure.status).or_default() += 1;
        group.first_failed_at = group.first_failed_at.min(at);
        group.last_failed_at = group.last_failed_at.max(at);
        group.failed_again += usize::from(failure.failed > 1);
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.last_failed_at));
    groups
}
