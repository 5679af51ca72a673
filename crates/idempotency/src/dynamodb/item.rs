//! How a record lies in the table.
//!
//! | attribute         | type | in states                                                    |
//! |-------------------|------|--------------------------------------------------------------|
//! | `id`              | S    | all; the partition key, whose name can be chosen             |
//! | `state`           | S    | `started`, `completed`, `undoing`, `undone`                  |
//! | `owner`           | S    | all; UUID of the attempt that wrote last                     |
//! | `expiresAt`       | N    | all; epoch seconds, for the table's time to live             |
//! | `leaseUntil`      | N    | started, undoing; epoch milliseconds, 0 = given back         |
//! | `fingerprint`     | S    | from started on; absent where the action never ran           |
//! | `result`          | S    | from completed on; JSON, kept while undoing and when undone  |
//! | `undoFingerprint` | S    | undoing, undone                                              |
//! | `undoResult`      | S    | undone; JSON                                                 |

use std::collections::HashMap;
use std::str::FromStr;

use aws_sdk_dynamodb::types::AttributeValue;

use crate::{
    ActionOutcome, Fingerprint, Millis, OwnerToken, Record, ResultJson, Seconds, State, StoreError,
};

pub(super) type Item = HashMap<String, AttributeValue>;

pub(super) const STATE: &str = "state";
pub(super) const OWNER: &str = "owner";
pub(super) const EXPIRES_AT: &str = "expiresAt";
pub(super) const LEASE_UNTIL: &str = "leaseUntil";
pub(super) const FINGERPRINT: &str = "fingerprint";
pub(super) const RESULT: &str = "result";
pub(super) const UNDO_FINGERPRINT: &str = "undoFingerprint";
pub(super) const UNDO_RESULT: &str = "undoResult";

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

/// The record in an item, if there is an item.
pub(super) fn read(item: Option<&Item>) -> Result<Option<Record>, StoreError> {
    let record = item.map(|item| Reader(item).record()).transpose();
    record.map_err(|corrupt| StoreError::Invalid(Box::new(corrupt)))
}

#[derive(Debug, thiserror::Error)]
#[error("attribute `{attribute}` of the record is missing or malformed")]
struct CorruptRecord {
    attribute: &'static str,
}

struct Reader<'a>(&'a Item);

impl Reader<'_> {
    fn record(&self) -> Result<Record, CorruptRecord> {
        let expires_at = Seconds::new(self.number(EXPIRES_AT)?);
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
            _ => Err(CorruptRecord { attribute: STATE }),
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

    fn fingerprint(&self, attribute: &'static str) -> Result<Fingerprint, CorruptRecord> {
        Ok(Fingerprint::from_stored(self.required(attribute)?.clone()))
    }

    fn result(&self, attribute: &'static str) -> Result<ResultJson, CorruptRecord> {
        Ok(ResultJson::from_stored(self.required(attribute)?.clone()))
    }

    fn number(&self, attribute: &'static str) -> Result<u64, CorruptRecord> {
        let value = self.0.get(attribute).and_then(|value| value.as_n().ok());
        parse(value.ok_or(CorruptRecord { attribute })?, attribute)
    }

    fn required(&self, attribute: &'static str) -> Result<&String, CorruptRecord> {
        self.optional(attribute).ok_or(CorruptRecord { attribute })
    }

    fn optional(&self, attribute: &'static str) -> Option<&String> {
        self.0.get(attribute).and_then(|value| value.as_s().ok())
    }
}

fn parse<T: FromStr>(text: &str, attribute: &'static str) -> Result<T, CorruptRecord> {
    text.parse().map_err(|_| CorruptRecord { attribute })
}
