//! JSON from strangers, read strictly.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

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
    serde_json::from_slice::<Strict>(body).map(|strict| strict.0)
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number is out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = access.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, Strict(value))) = access.next_entry::<String, Strict>()? {
            if object.insert(key, value).is_some() {
                return Err(de::Error::custom(DuplicateKeys));
            }
        }
        Ok(Value::Object(object))
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
