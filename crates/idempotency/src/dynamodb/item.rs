//! How a record lies in the table.
//!
//! | attribute         | type | in states                                                    |
//! |-------------------|------|--------------------------------------------------------------|
//! | `id`              | S    | all; the key, whose name can be chosen                       |
//! | `state`           | S    | `started`, `completed`, `undoing`, `undone`                  |
//! | `owner`           | S    | all; UUID of the attempt that wrote last                     |
//! | `expiresAt`       | N    | all; epoch seconds, for the time to live; name can be chosen |
//! | `leaseUntil`      | N    | started, undoing; epoch milliseconds, 0 = given back         |
//! | `fingerprint`     | S    | from started on; absent where the action never ran           |
//! | `result`          | S    | from completed on; JSON, kept while undoing and when undone  |
//! | `undoFingerprint` | S    | undoing, undone                                              |
//! | `undoResult`      | S    | undone; JSON                                                 |

use std::collections::HashMap;
use std::str::FromStr;

use aws_sdk_dynamodb::types::AttributeValue;

use crate::{
    ActionOutcome, Fingerprint, Key, Millis, OwnerToken, Record, ResultJson, Seconds, State,
    StoreError,
};

pub(super) type Item = HashMap<String, AttributeValue>;

pub(super) const STATE: &str = "state";
pub(super) const OWNER: &str = "owner";
pub(super) const LEASE_UNTIL: &str = "leaseUntil";
pub(super) const FINGERPRINT: &str = "fingerprint";
pub(super) const RESULT: &str = "result";
pub(super) const UNDO_FINGERPRINT: &str = "undoFingerprint";
pub(super) const UNDO_RESULT: &str = "undoResult";

/// The placeholder of the attribute whose name can be chosen.
const EXPIRES_AT: &str = "#expiresAt";
/// The attributes whose names are what they are; none contains another.
const FIXED: [&str; 7] = [
    STATE,
    OWNER,
    LEASE_UNTIL,
    FINGERPRINT,
    RESULT,
    UNDO_FINGERPRINT,
    UNDO_RESULT,
];

pub(super) const STARTED: &str = "started";
pub(super) const COMPLETED: &str = "completed";
pub(super) const UNDOING: &str = "undoing";
pub(super) const UNDONE: &str = "undone";

pub(super) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(super) fn millis(value: Millis) -> AttributeValue {
    AttributeValue::N(value.get().to_string())
}

pub(super) fn seconds(value: Seconds) -> AttributeValue {
    AttributeValue::N(value.get().to_string())
}

/// The names that the table's owner chooses.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// The attribute that holds the key: the table's partition key, or its sort
    /// key if there is a partition.
    pub(super) key: String,
    /// The partition that all records are in, by attribute and value.
    pub(super) partition: Option<(String, String)>,
    pub(super) expires_at: String,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            key: "id".to_owned(),
            partition: None,
            expires_at: "expiresAt".to_owned(),
        }
    }
}

impl Layout {
    /// The item's whole primary key.
    pub(super) fn primary_key(&self, key: &Key) -> Item {
        let partition = self.partition.iter();
        partition
            .map(|(name, value)| (name.clone(), text(value)))
            .chain([(self.key.clone(), text(key.as_str()))])
            .collect()
    }

    /// What the placeholders in an expression stand for. DynamoDB refuses names
    /// that an expression does not use.
    pub(super) fn names(&self, expression: &str) -> HashMap<String, String> {
        let chosen = [("#id", &self.key), (EXPIRES_AT, &self.expires_at)];
        let fixed = FIXED.map(|name| (format!("#{name}"), name.to_owned()));
        let all = chosen.map(|(placeholder, name)| (placeholder.to_owned(), name.clone()));
        all.into_iter()
            .chain(fixed)
            .filter(|(placeholder, _)| expression.contains(placeholder))
            .collect()
    }

    /// The record in an item, if there is an item.
    pub(super) fn read(&self, item: Option<&Item>) -> Result<Option<Record>, StoreError> {
        let reader = |item| Reader { item, layout: self };
        let record = item.map(|item| reader(item).record()).transpose();
        record.map_err(|corrupt| StoreError::Invalid(Box::new(corrupt)))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("attribute `{attribute}` of the record is missing or malformed")]
struct CorruptRecord {
    attribute: String,
}

impl CorruptRecord {
    fn at(attribute: &str) -> Self {
        Self {
            attribute: attribute.to_owned(),
        }
    }
}

struct Reader<'a> {
    item: &'a Item,
    layout: &'a Layout,
}

impl Reader<'_> {
    fn record(&self) -> Result<Record, CorruptRecord> {
        let expires_at = Seconds::new(self.number(&self.layout.expires_at)?);
        Ok(Record {
            state: self.state()?,
            expires_at,
        })
    }

    fn state(&self) -> Result<State, CorruptRecord> {
        let owner = self.owner()?;
        match self.required(STATE)?.as_str() {
            STARTED => Ok(State::Started {
                fingerprint: self.fingerprint(FINGERPRINT)?,
                owner,
                lease_until: Millis::new(self.number(LEASE_UNTIL)?),
            }),
            COMPLETED => Ok(State::Completed {
                fingerprint: self.fingerprint(FINGERPRINT)?,
                owner,
                result: self.result(RESULT)?,
            }),
            UNDOING => Ok(State::Undoing {
                action: self.action(),
                fingerprint: self.fingerprint(UNDO_FINGERPRINT)?,
                owner,
                lease_until: Millis::new(self.number(LEASE_UNTIL)?),
            }),
            UNDONE => Ok(State::Undone {
                action: self.action(),
                fingerprint: self.fingerprint(UNDO_FINGERPRINT)?,
                owner,
                result: self.result(UNDO_RESULT)?,
            }),
            _ => Err(CorruptRecord::at(STATE)),
        }
    }

    /// An update cannot write what it finds, so what the action left behind says
    /// how it ended: its result, or only the trace of an attempt, or nothing.
    fn action(&self) -> ActionOutcome {
        match (self.optional(RESULT), self.optional(FINGERPRINT)) {
            (Some(result), _) => ActionOutcome::Completed {
                result: ResultJson::from_stored(result.clone()),
            },
            (None, Some(_)) => ActionOutcome::Unknown,
            (None, None) => ActionOutcome::NeverRan,
        }
    }

    fn owner(&self) -> Result<OwnerToken, CorruptRecord> {
        parse(self.required(OWNER)?, OWNER)
    }

    fn fingerprint(&self, attribute: &str) -> Result<Fingerprint, CorruptRecord> {
        Ok(Fingerprint::from_stored(self.required(attribute)?.clone()))
    }

    fn result(&self, attribute: &str) -> Result<ResultJson, CorruptRecord> {
        Ok(ResultJson::from_stored(self.required(attribute)?.clone()))
    }

    fn number(&self, attribute: &str) -> Result<u64, CorruptRecord> {
        let value = self.item.get(attribute).and_then(|value| value.as_n().ok());
        parse(
            value.ok_or_else(|| CorruptRecord::at(attribute))?,
            attribute,
        )
    }

    fn required(&self, attribute: &str) -> Result<&String, CorruptRecord> {
        self.optional(attribute)
            .ok_or_else(|| CorruptRecord::at(attribute))
    }

    fn optional(&self, attribute: &str) -> Option<&String> {
        self.item.get(attribute).and_then(|value| value.as_s().ok())
    }
}

fn parse<T: FromStr>(text: &str, attribute: &str) -> Result<T, CorruptRecord> {
    text.parse().map_err(|_| CorruptRecord::at(attribute))
}
