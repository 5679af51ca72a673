//! JSON from strangers, read strictly.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

/// The message of the error that a repeated key causes.
#[derive(Debug, Clone, Copy)]
pub struct DuplicateKeys;

impl DuplicateKeys {
    /// Whether it is this that an error tells of.
    pub(crate) fn caused(error: &serde_json::Error) -> bool {
        error.to_string().starts_with(&Self.to_string())
    }
}

impl fmt::Display for DuplicateKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object names a key twice")
    }
}

/// Parses JSON and refuses an object that names a key twice.
///
/// Parsers disagree on which of the two counts; a total that one reader sees
/// as 10 and the next as 1000 must not get in.
pub fn parse_strict(body: &[u8]) -> Result<Value, serde_json::Error> {
    check_strict(body)?;
    serde_json::from_slice(body)
}

/// Checks JSON as [`parse_strict`] does, and keeps nothing of it.
pub(crate) fn check_strict(body: &[u8]) -> Result<(), serde_json::Error> {
    serde_json::from_slice::<Checked>(body).map(drop)
}

struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CheckingVisitor).map(|()| Self)
    }
}

struct CheckingVisitor;

impl<'de> Visitor<'de> for CheckingVisitor {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        while access.next_element::<Checked>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let mut names = BTreeSet::new();
        while let Some((Name(name), Checked)) = access.next_entry()? {
            if !names.insert(name) {
                return Err(de::Error::custom(DuplicateKeys));
            }
        }
        Ok(())
    }
}

/// A name in an object; borrowed, unless it is spelled with escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor).map(Self)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// The whole number that a JSON number is, if it is one and not negative.
///
/// JSON has one kind of number: `2`, `2.0` and `2e0` are the same.
pub(crate) fn whole(number: &Number) -> Option<u64> {
    /// Up to here a double holds every whole number.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let float = number.as_f64()?;
    let from_float = || {
        let fits = float.fract() == 0.0 && (0.0..=EXACT).contains(&float);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range was checked, so that nothing is cut off"
        )]
        fits.then_some(float as u64)
    };
    number.as_u64().or_else(from_float)
}

/// Reads a whole number, for `deserialize_with`.
pub(crate) fn whole_number<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    narrow(&Number::deserialize(deserializer)?)
}

/// Reads a whole number that may be missing or null, for `deserialize_with`.
pub(crate) fn optional_whole_number<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    let number = Option::<Number>::deserialize(deserializer)?;
    number.as_ref().map(narrow).transpose()
}

fn narrow<T: TryFrom<u64>, E: de::Error>(number: &Number) -> Result<T, E> {
    whole(number)
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| E::custom("a number is not whole, or out of range"))
}

/// Reads a structure from an object only.
///
/// Derived code takes an array of the fields' values as well, which no schema allows.
pub(crate) struct FromObject<T>(pub(crate) T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for FromObject<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for ObjectVisitor<T> {
    type Value = FromObject<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<FromObject<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(access)).map(FromObject)
    }
}

/// Reads a structure from an object, for `deserialize_with`.
pub(crate) fn object<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    FromObject::deserialize(deserializer).map(|read| read.0)
}

/// Reads structures from an array of objects, for `deserialize_with`.
pub(crate) fn objects<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let read = Vec::<FromObject<T>>::deserialize(deserializer)?;
    Ok(read.into_iter().map(|read| read.0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_stands_twice_is_refused_at_any_depth() {
        assert!(parse_strict(br#"{"a":1,"b":2}"#).is_ok());
        assert!(parse_strict(br#"{"a":1,"a":2}"#).is_err());
        assert!(parse_strict(br#"{"x":[{"a":1,"\u0061":2}]}"#).is_err());
    }

    #[test]
    fn depth_is_bounded() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert!(parse_strict(deep.as_bytes()).is_err());
    }

    #[test]
    fn a_value_reads_as_the_usual_parser_reads_it() {
        let text = r#"{"a":[null,true,-1,1.5,18446744073709551615,"é"],"b":{}}"#;
        let usual: Value = serde_json::from_str(text).unwrap();
        assert_eq!(parse_strict(text.as_bytes()).unwrap(), usual);
    }
}
