//! Parts of a JSON payload, chosen by JSON pointers.

use serde_json::Value;

use crate::Fingerprint;

/// The parts of a payload that count, named by JSON pointers (RFC 6901): for a
/// key, what makes two requests the same request; for a fingerprint, what must
/// then be the same too.
///
/// ```
/// use idempotency::{Key, Parts};
/// use serde_json::json;
///
/// let event = json!({"customer": "c-1", "cart": {"id": 7}, "sentAt": "12:00"});
/// let parts = Parts::at(["/customer", "/cart/id"])?;
/// let key = Key::hashed("checkout", &parts.fingerprint(&event)?)?;
///
/// let repeated = json!({"customer": "c-1", "cart": {"id": 7}, "sentAt": "12:05"});
/// assert_eq!(key, Key::hashed("checkout", &parts.fingerprint(&repeated)?)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A payload inside a string, such as the body of an HTTP request or of an SQS
/// message, must be parsed first: a pointer does not look into strings. For a
/// payload that has a type of its own, no pointers are needed:
/// [`Fingerprint::of_json`] takes any value, such as a tuple of its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    pointers: Vec<String>,
    may_be_missing: bool,
}

impl Parts {
    /// The parts at these pointers; `""` is the whole payload. Each must be there.
    ///
    /// # Errors
    /// [`InvalidParts`] if there is no pointer, or one is malformed.
    pub fn at<I>(pointers: I) -> Result<Self, InvalidParts>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let pointers: Vec<String> = pointers.into_iter().map(Into::into).collect();
        if pointers.is_empty() {
            return Err(InvalidParts::NoPointer);
        }
        match pointers.iter().find(|pointer| !is_pointer(pointer)) {
            Some(pointer) => Err(InvalidParts::Malformed {
                pointer: pointer.clone(),
            }),
            None => Ok(Self {
                pointers,
                may_be_missing: false,
            }),
        }
    }

    /// The same parts, of which some may be missing, though not all.
    #[must_use]
    pub fn allow_missing(self) -> Self {
        Self {
            may_be_missing: true,
            ..self
        }
    }

    /// The fingerprint of these parts, in the order of the pointers. A part that
    /// is missing and may be counts as `null`.
    ///
    /// # Errors
    /// [`MissingPart`] if a part that must be there is not, or is `null`.
    pub fn fingerprint(&self, payload: &Value) -> Result<Fingerprint, MissingPart> {
        let parts = self.of(payload)?;
        Ok(Fingerprint::of_value(Value::from(parts)))
    }

    fn of(&self, payload: &Value) -> Result<Vec<Value>, MissingPart> {
        let part = |pointer: &String| payload.pointer(pointer).filter(|part| !part.is_null());
        let parts: Vec<_> = self.pointers.iter().map(part).collect();
        let first_missing = parts.iter().position(Option::is_none);
        let none_is_there = parts.iter().all(Option::is_none);
        match first_missing {
            Some(missing) if none_is_there || !self.may_be_missing => Err(MissingPart {
                pointer: self.pointers[missing].clone(),
            }),
            _ => Ok(parts
                .into_iter()
                .map(Option::<&Value>::cloned)
                .map(Value::from)
                .collect()),
        }
    }
}

/// Empty, or parts that each begin with `/`, with no `~` but in `~0` and `~1`.
fn is_pointer(text: &str) -> bool {
    let begins_well = text.is_empty() || text.starts_with('/');
    let mut escapes = text.split('~').skip(1);
    begins_well && escapes.all(|rest| rest.starts_with(['0', '1']))
}

/// Why some texts are no [`Parts`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidParts {
    /// No part at all would make all payloads one.
    #[error("no JSON pointer says which part of the payload counts")]
    NoPointer,
    /// A pointer is neither empty nor begins with `/`, or has a `~` too many.
    #[error("`{pointer}` is no JSON pointer")]
    Malformed {
        /// The text that was refused.
        pointer: String,
    },
}

/// A payload lacks a part that counts: the request is in error. Its content is
/// in neither text nor fields, so that it may be logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the payload has nothing at `{pointer}`")]
pub struct MissingPart {
    /// Where nothing was found.
    pub pointer: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parts(pointers: &[&str]) -> Parts {
        Parts::at(pointers.iter().copied()).unwrap()
    }

    #[test]
    fn only_the_chosen_parts_count() {
        let parts = parts(&["/a", "/b/0"]);
        let of = |payload| parts.fingerprint(&payload).unwrap();
        let first = of(json!({"a": {"x": 1, "y": 2}, "b": [3, 4], "c": 5}));
        assert_eq!(first, of(json!({"b": [3], "a": {"y": 2, "x": 1}})));
        assert_ne!(first, of(json!({"a": {"x": 1, "y": 2}, "b": [4]})));
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let parts = parts(&["/a", "/b"]);
        let of = |payload| parts.fingerprint(&payload).unwrap();
        assert_ne!(
            of(json!({"a": "1", "b": "23"})),
            of(json!({"a": "12", "b": "3"}))
        );
        assert_ne!(of(json!({"a": 1, "b": 2})), of(json!({"a": "1", "b": 2})));
        assert_ne!(of(json!({"a": 1, "b": 2})), of(json!({"a": 2, "b": 1})));
    }

    #[test]
    fn a_missing_part_is_an_error_that_names_it() {
        for payload in [json!({"a": 1}), json!({"a": 1, "b": null}), json!("a")] {
            let error = parts(&["/b", "/a"]).fingerprint(&payload).unwrap_err();
            assert_eq!(error.to_string(), "the payload has nothing at `/b`");
        }
    }

    #[test]
    fn parts_may_be_missing_if_so_chosen_but_never_all() {
        let parts = parts(&["/a", "/b"]).allow_missing();
        let with = parts.fingerprint(&json!({"a": 1})).unwrap();
        assert_eq!(
            with,
            parts.fingerprint(&json!({"a": 1, "b": null})).unwrap()
        );
        assert!(parts.fingerprint(&json!({"c": 1})).is_err());
    }

    #[test]
    fn the_empty_pointer_is_the_whole_payload() {
        let payload = json!({"b": 1, "a": 2});
        let whole = Fingerprint::of_json(&[&payload]).unwrap();
        assert_eq!(parts(&[""]).fingerprint(&payload).unwrap(), whole);
    }

    #[test]
    fn a_text_that_is_no_pointer_is_refused() {
        let malformed = |pointer: &str| {
            Err(InvalidParts::Malformed {
                pointer: pointer.to_owned(),
            })
        };
        for pointer in ["a", "a/b", "/a~", "/a~2", "$.a"] {
            assert_eq!(Parts::at([pointer]), malformed(pointer));
        }
        assert!(Parts::at(["/a~0b~1c", "/~01", "/"]).is_ok());
        assert_eq!(Parts::at([""; 0]), Err(InvalidParts::NoPointer));
    }
}
