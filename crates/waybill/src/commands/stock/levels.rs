//! The file of `stock seed`.

use std::collections::HashSet;
use std::fmt;

use domain::Sku;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// How much of an article is to be available.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Level {
    pub(crate) sku: Sku,
    pub(crate) available: u64,
}

/// Reads `{"MUG-RED": 100}` or `[{"sku": "MUG-RED", "available": 100}]`.
/// An article that is named twice is an error: which of the two was meant?
pub(crate) fn read(content: &[u8]) -> Result<Vec<Level>, serde_json::Error> {
    serde_json::from_slice::<Levels>(content).map(|levels| levels.0)
}

/// The most that every reader of JSON takes for the same number; far from where the
/// table's counts would end.
const MOST: u64 = (1 << 53) - 1;

struct Levels(Vec<Level>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    sku: String,
    available: u64,
}

impl<'de> Deserialize<'de> for Levels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LevelsVisitor)
    }
}

struct LevelsVisitor;

impl<'de> Visitor<'de> for LevelsVisitor {
    type Value = Levels;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(
            r#"an object such as {"MUG-RED": 100} or a list such as [{"sku": "MUG-RED", "available": 100}]"#,
        )
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Levels, A::Error> {
        let mut levels = Collected::default();
        while let Some((sku, available)) = map.next_entry::<String, u64>()? {
            levels.add(&sku, available)?;
        }
        Ok(Levels(levels.levels))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Levels, A::Error> {
        let mut levels = Collected::default();
        while let Some(Object(entry)) = list.next_element()? {
            levels.add(&entry.sku, entry.available)?;
        }
        Ok(Levels(levels.levels))
    }
}

/// An entry from an object only: derived code takes a list of the fields' values as well.
struct Object(Entry);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(r#"an object such as {"sku": "MUG-RED", "available": 100}"#)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object, A::Error> {
        Entry::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

#[derive(Default)]
struct Collected {
    levels: Vec<Level>,
    seen: HashSet<Sku>,
}

impl Collected {
    fn add<E: Error>(&mut self, sku: &str, available: u64) -> Result<(), E> {
        let sku = Sku::new(sku).map_err(|rejected| E::custom(format!("sku {sku:?} {rejected}")))?;
        if available > MOST {
            return Err(E::custom(format!("{sku}: {available} is more than {MOST}")));
        }
        if !self.seen.insert(sku.clone()) {
            return Err(E::custom(format!("{sku} is named twice")));
        }
        self.levels.push(Level { sku, available });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads(content: &str) {
        let levels = read(content.as_bytes()).unwrap();
        let read: Vec<_> = levels
            .iter()
            .map(|level| (level.sku.as_str(), level.available))
            .collect();
        assert_eq!(read, [("MUG-RED", 100), ("PLATE", 0)]);
    }

    #[track_caller]
    fn refuses(content: &str, word: &str) {
        let message = read(content.as_bytes()).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }

    #[test]
    fn both_forms_are_read_in_their_order() {
        reads(r#"{"MUG-RED": 100, "PLATE": 0}"#);
        reads(r#"[{"sku": "MUG-RED", "available": 100}, {"sku": "PLATE", "available": 0}]"#);
    }

    #[test]
    fn a_faulty_file_is_refused_with_the_reason() {
        refuses(r#"{"A": 1, "A": 2}"#, "named twice");
        refuses(
            r#"[{"sku": "A", "available": 1}, {"sku": "A", "available": 1}]"#,
            "named twice",
        );
        refuses(r#"{"A": -1}"#, "-1");
        refuses(r#"{"A": 1.5}"#, "1.5");
        refuses(r#"{"A": 9007199254740992}"#, "more than");
        refuses(r#"{"A": 18446744073709551616}"#, "invalid type");
        refuses(r#"{"A B": 1}"#, "A B");
        refuses(r#"[{"sku": "A", "avaliable": 1}]"#, "avaliable");
        refuses(r#""A""#, "an object such as");
        refuses(r#"[["A", 1]]"#, "an object such as");
        refuses("{", "line 1");
    }
}
