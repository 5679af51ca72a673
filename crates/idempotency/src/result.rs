//! The stored answer of an operation.

use std::fmt;

use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

/// What an operation or its undo answered, as JSON: a duplicate gets this again.
///
/// Stored as plain text, so keep secrets out of it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ResultJson(String);

impl ResultJson {
    /// The default limit in bytes: a DynamoDB item holds 400 KiB, and a record
    /// may keep the results of both the operation and its undo.
    pub const DEFAULT_LIMIT: usize = 64 * 1024;

    /// The JSON form of a value, of at most [`ResultJson::DEFAULT_LIMIT`] bytes.
    ///
    /// # Errors
    /// [`InvalidResult`] if the value has no JSON form or too long a one.
    pub fn encode(value: &impl Serialize) -> Result<Self, InvalidResult> {
        Self::encode_within(value, Self::DEFAULT_LIMIT)
    }

    /// The JSON form of a value, with a limit in bytes of the caller's choice.
    ///
    /// # Errors
    /// [`InvalidResult`] if the value has no JSON form or too long a one.
    pub fn encode_within(value: &impl Serialize, limit: usize) -> Result<Self, InvalidResult> {
        Self::limited(serde_json::to_string(value)?, limit)
    }

    /// Wraps text that is JSON already, of at most [`ResultJson::DEFAULT_LIMIT`] bytes.
    ///
    /// # Errors
    /// [`InvalidResult`] if the text is not JSON or too long.
    pub fn from_json(text: impl Into<String>) -> Result<Self, InvalidResult> {
        let text = text.into();
        serde_json::from_str::<IgnoredAny>(&text)?;
        Self::limited(text, Self::DEFAULT_LIMIT)
    }

    /// The stored value, typed again.
    ///
    /// # Errors
    /// [`InvalidResult::Json`] if another type was stored.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, InvalidResult> {
        Ok(serde_json::from_str(&self.0)?)
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The JSON text, owned.
    pub fn into_string(self) -> String {
        self.0
    }

    fn limited(text: String, limit: usize) -> Result<Self, InvalidResult> {
        if text.len() > limit {
            return Err(InvalidResult::TooLarge {
                bytes: text.len(),
                limit,
            });
        }
        Ok(Self(text))
    }

    #[cfg(feature = "dynamodb")]
    pub(crate) fn from_stored(text: String) -> Self {
        Self(text)
    }
}

/// Shows the length only: results may hold what a log must not.
impl fmt::Debug for ResultJson {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ResultJson({} bytes)", self.0.len())
    }
}

/// Why a result cannot be stored or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidResult {
    /// It would not fit into the record.
    #[error("the result has {bytes} bytes, more than the limit of {limit}")]
    TooLarge {
        /// The length that was refused.
        bytes: usize,
        /// The limit in force.
        limit: usize,
    },
    /// It is not JSON, or JSON of another type.
    #[error("the result is not the expected JSON")]
    Json(#[from] serde_json::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typed_result_survives_storage() {
        let stored = ResultJson::encode(&("ref-1", 1250)).unwrap();
        assert_eq!(stored.as_str(), r#"["ref-1",1250]"#);
        assert_eq!(
            stored.decode::<(String, u32)>().unwrap(),
            ("ref-1".to_owned(), 1250)
        );
        assert!(matches!(
            stored.decode::<bool>(),
            Err(InvalidResult::Json(_))
        ));
    }

    #[test]
    fn a_result_over_the_limit_is_refused_with_both_numbers() {
        let error = ResultJson::encode_within(&"four", 5).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the result has 6 bytes, more than the limit of 5"
        );
        let quoted = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
        assert!(ResultJson::from_json(quoted(ResultJson::DEFAULT_LIMIT)).is_ok());
        assert!(ResultJson::from_json(quoted(ResultJson::DEFAULT_LIMIT + 1)).is_err());
    }

    #[test]
    fn text_that_is_not_json_is_refused() {
        assert!(matches!(
            ResultJson::from_json("done"),
            Err(InvalidResult::Json(_))
        ));
    }

    #[test]
    fn debug_output_hides_the_content() {
        assert_eq!(
            format!("{:?}", ResultJson::encode(&"secret").unwrap()),
            "ResultJson(8 bytes)"
        );
    }
}
