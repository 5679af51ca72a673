//! What a record is about: its key, the fingerprint of the payload, the owner of a claim.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The name of one operation and of its undo: 1 to 1,024 bytes.
///
/// Derive it from what the sender repeats on a redelivery (a message id that the
/// sender chose), never from an id that the transport gives anew each time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// The longest key, in bytes, the prefix included.
    pub const MAX_BYTES: usize = 1024;

    /// Checks and wraps a whole key.
    ///
    /// # Errors
    /// [`InvalidKey`] if it is empty or longer than [`Key::MAX_BYTES`].
    pub fn new(key: impl Into<String>) -> Result<Self, InvalidKey> {
        let key = key.into();
        match key.len() {
            0 => Err(InvalidKey::Empty),
            bytes if bytes > Self::MAX_BYTES => Err(InvalidKey::TooLong { bytes }),
            _ => Ok(Self(key)),
        }
    }

    /// The key `prefix#key`, so that several consumers can share one table.
    ///
    /// # Errors
    /// [`InvalidKey`] if either part is empty or the whole is too long.
    pub fn prefixed(prefix: &str, key: &str) -> Result<Self, InvalidKey> {
        if prefix.is_empty() || key.is_empty() {
            return Err(InvalidKey::Empty);
        }
        Self::new(format!("{prefix}#{key}"))
    }

    /// The key `prefix#digits`, for what is too long for a key, has several parts
    /// or is not to be read in the table: a personal datum, a whole payload.
    ///
    /// ```
    /// use idempotency::{Fingerprint, Key};
    ///
    /// let (customer, cart) = ("c-1", 7);
    /// let key = Key::hashed("checkout", &Fingerprint::of_json(&(customer, cart))?)?;
    /// assert_eq!(key.as_str().len(), "checkout#".len() + 64);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidKey`] if the prefix is empty or too long.
    pub fn hashed(prefix: &str, fingerprint: &Fingerprint) -> Result<Self, InvalidKey> {
        Self::prefixed(prefix, fingerprint.as_str())
    }

    /// The key as stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Why a text is no [`Key`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKey {
    /// An empty key would make all operations one.
    #[error("an idempotency key must not be empty")]
    Empty,
    /// The store could not hold it.
    #[error(
        "an idempotency key has at most {} bytes, this one has {bytes}; hash it",
        Key::MAX_BYTES
    )]
    TooLong {
        /// The length that was refused.
        bytes: usize,
    },
}

/// SHA-256 of the payload, as 64 hexadecimal digits: tells a repeated request
/// from another request that wrongly carries the same key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The fingerprint of exactly these bytes.
    pub fn of(payload: impl AsRef<[u8]>) -> Self {
        Self(format!("{:x}", Sha256::digest(payload)))
    }

    /// The fingerprint of a value's JSON form, in which neither white space nor
    /// the order of an object's members counts.
    ///
    /// # Errors
    /// The value has no JSON form.
    pub fn of_json(payload: &impl Serialize) -> Result<Self, serde_json::Error> {
        Ok(Self::of_value(serde_json::to_value(payload)?))
    }

    /// The same for a value that is JSON already, as text.
    ///
    /// # Errors
    /// The text is not JSON.
    pub fn of_json_text(payload: &str) -> Result<Self, serde_json::Error> {
        Ok(Self::of_value(serde_json::from_str(payload)?))
    }

    pub(crate) fn of_value(mut value: Value) -> Self {
        value.sort_all_objects();
        Self::of(value.to_string())
    }

    /// The hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    #[cfg(feature = "dynamodb")]
    pub(crate) fn from_stored(digits: String) -> Self {
        Self(digits)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Who holds a claim: one attempt of one process, never reused.
///
/// Everything that follows a claim is conditional on it, so that an attempt
/// that was overtaken cannot write over the one that overtook it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnerToken(Uuid);

impl OwnerToken {
    /// A token that nobody else has.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// A number from 0 to 1, as random as the token: for spreading out attempts.
    #[cfg(feature = "tokio")]
    pub(crate) fn fraction(self) -> f64 {
        let low = u16::from_be_bytes([self.0.as_bytes()[14], self.0.as_bytes()[15]]);
        f64::from(low) / f64::from(u16::MAX)
    }

    /// A chosen token, for simulations and tests that must be repeatable.
    pub const fn from_u128(number: u128) -> Self {
        Self(Uuid::from_u128(number))
    }
}

impl fmt::Display for OwnerToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for OwnerToken {
    type Err = InvalidOwnerToken;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(Uuid::parse_str(text)?))
    }
}

/// The text is no UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an owner token is a UUID")]
pub struct InvalidOwnerToken(#[from] uuid::Error);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_between_1_and_1024_bytes() {
        assert_eq!(Key::new(""), Err(InvalidKey::Empty));
        assert!(Key::new("k".repeat(1024)).is_ok());
        assert_eq!(
            Key::new("ü".repeat(513)),
            Err(InvalidKey::TooLong { bytes: 1026 })
        );
    }

    #[test]
    fn a_prefix_counts_and_neither_part_may_be_empty() {
        assert_eq!(
            Key::prefixed("payment", "42").unwrap().as_str(),
            "payment#42"
        );
        assert_eq!(Key::prefixed("", "42"), Err(InvalidKey::Empty));
        assert_eq!(Key::prefixed("payment", ""), Err(InvalidKey::Empty));
        assert!(Key::prefixed("p", &"k".repeat(1023)).is_err());
    }

    #[test]
    fn a_hashed_key_is_as_short_for_a_long_text_and_differs_with_it() {
        let hashed = |text: String| Key::hashed("p", &Fingerprint::of(text)).unwrap();
        let long = hashed("k".repeat(100_000));
        assert_eq!(long.as_str().len(), 66);
        assert_ne!(long, hashed("k".repeat(100_001)));
        assert_eq!(
            Key::hashed("", &Fingerprint::of("k")),
            Err(InvalidKey::Empty)
        );
    }

    #[test]
    fn a_fingerprint_is_sha256_in_hexadecimal() {
        assert_eq!(
            Fingerprint::of("abc").as_str(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn the_order_of_members_does_not_change_a_json_fingerprint_but_a_value_does() {
        let parse = |text| serde_json::from_str::<serde_json::Value>(text).unwrap();
        let of = |text| {
            let fingerprint = Fingerprint::of_json(&parse(text)).unwrap();
            assert_eq!(Fingerprint::of_json_text(text).unwrap(), fingerprint);
            fingerprint
        };
        assert_eq!(
            of(r#"{"a":{"x":1,"y":2},"b":3}"#),
            of(r#"{ "b":3, "a":{"y":2,"x":1} }"#)
        );
        assert_ne!(of(r#"{"a":1}"#), of(r#"{"a":2}"#));
    }

    #[test]
    fn an_owner_token_survives_its_text_form() {
        let owner = OwnerToken::random();
        assert_eq!(owner.to_string().parse(), Ok(owner));
        assert_ne!(owner, OwnerToken::random());
        assert!("nobody".parse::<OwnerToken>().is_err());
    }
}
