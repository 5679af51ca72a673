//! What is made of an input: changes of its JSON, and of its bytes.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;

use crate::corpus;

/// One change of a JSON document. Places are chosen by index, whatever the document is.
#[derive(Debug, Clone)]
enum Change {
    /// This text in the place of a value. It need not be JSON.
    Replace(Index, String),
    /// One more field under this name, which may be there already.
    Add(Index, Name, String),
    Remove(Index),
    /// The value in so many arrays.
    Nest(Index, usize),
    /// The text, or the array, so many times.
    Enlarge(Index, usize),
}

#[derive(Debug, Clone)]
enum Name {
    New(String),
    /// One that the object has.
    Again(Index),
}

/// One change of a text as bytes.
#[derive(Debug, Clone)]
enum Damage {
    Overwrite(Index, u8),
    Insert(Index, Vec<u8>),
    Cut(Index, Index),
}

/// Stands for a text that is put in when the document is written. No sample has it.
const PLACEHOLDER: char = '\u{e000}';

/// No queue, topic or gateway lets a larger input through.
const LARGEST: usize = 1024 * 1024;

/// A document with texts in it that are no values.
struct Draft {
    document: Value,
    texts: Vec<String>,
    /// Fields that are added under a name that is there.
    repeated: Vec<(String, String)>,
}

impl Draft {
    fn placeholder(&mut self, text: String) -> Value {
        self.texts.push(text);
        Value::String(format!(
            "{PLACEHOLDER}{}{PLACEHOLDER}",
            self.texts.len() - 1
        ))
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Replace(at, text) => {
                let value = self.placeholder(text);
                if let Some(place) = choose(&mut self.document, &at, |_| true) {
                    *place = value;
                }
            }
            Change::Add(at, name, text) => self.add(&at, &name, text),
            Change::Remove(at) => remove(&mut self.document, &at),
            Change::Nest(at, depth) => {
                let Some(place) = choose(&mut self.document, &at, |_| true) else {
                    return;
                };
                let inner = place.to_string();
                let nested = format!("{}{inner}{}", "[".repeat(depth), "]".repeat(depth));
                let value = self.placeholder(nested);
                if let Some(place) = choose(&mut self.document, &at, |_| true) {
                    *place = value;
                }
            }
            Change::Enlarge(at, times) if self.size() * times <= LARGEST => {
                match choose(&mut self.document, &at, |v| v.is_string() || v.is_array()) {
                    Some(Value::String(text)) => *text = text.repeat(times),
                    Some(Value::Array(values)) => {
                        let copies = std::iter::repeat_n(values.clone(), times);
                        *values = copies.flatten().collect();
                    }
                    _ => {}
                }
            }
            Change::Enlarge(..) => {}
        }
    }

    fn size(&self) -> usize {
        self.document.to_string().len()
    }

    fn add(&mut self, at: &Index, name: &Name, text: String) {
        let value = self.placeholder(text);
        let Some(Value::Object(fields)) = choose(&mut self.document, at, Value::is_object) else {
            return;
        };
        match name {
            Name::New(name) => drop(fields.insert(name.clone(), value)),
            Name::Again(index) => {
                let names: Vec<_> = fields.keys().cloned().collect();
                if !names.is_empty() {
                    let stand_in = format!("{PLACEHOLDER}name {}", self.repeated.len());
                    self.repeated
                        .push((stand_in.clone(), index.get(&names).clone()));
                    fields.insert(stand_in, value);
                }
            }
        }
    }

    fn write(self) -> String {
        let mut text = self.document.to_string();
        for (stand_in, name) in self.repeated {
            text = text.replace(&quoted(&stand_in), &quoted(&name));
        }
        // The last first: a text may have an earlier one inside.
        for (index, raw) in self.texts.iter().enumerate().rev() {
            text = text.replace(&quoted(&format!("{PLACEHOLDER}{index}{PLACEHOLDER}")), raw);
        }
        text
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn remove(document: &mut Value, at: &Index) {
    match choose(document, at, |v| v.is_object() || v.is_array()) {
        Some(Value::Object(fields)) => {
            let names: Vec<_> = fields.keys().cloned().collect();
            if !names.is_empty() {
                fields.remove(at.get(&names));
            }
        }
        Some(Value::Array(values)) => drop(values.pop()),
        _ => {}
    }
}

/// One of the values that the filter accepts.
fn choose<'a>(
    document: &'a mut Value,
    index: &Index,
    wanted: fn(&Value) -> bool,
) -> Option<&'a mut Value> {
    let mut places = Vec::new();
    collect(document, "", &mut places);
    places.retain(|place: &String| document.pointer(place).is_some_and(wanted));
    if places.is_empty() {
        return None;
    }
    document.pointer_mut(index.get::<String>(&places))
}

fn collect(value: &Value, pointer: &str, places: &mut Vec<String>) {
    places.push(pointer.to_owned());
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = name.replace('~', "~0").replace('/', "~1");
                collect(value, &format!("{pointer}/{name}"), places);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                collect(value, &format!("{pointer}/{index}"), places);
            }
        }
        _ => {}
    }
}

fn damaged(mut bytes: Vec<u8>, damage: &Damage) -> Vec<u8> {
    let length = bytes.len();
    match damage {
        Damage::Overwrite(at, byte) if length > 0 => bytes[at.index(length)] = *byte,
        Damage::Insert(at, text) => {
            let at = at.index(length + 1);
            bytes.splice(at..at, text.iter().copied());
        }
        Damage::Cut(from, to) => {
            let (from, to) = (from.index(length + 1), to.index(length + 1));
            bytes.drain(from.min(to)..from.max(to));
        }
        Damage::Overwrite(..) => {}
    }
    bytes
}

fn changed(seed: &[u8], changes: Vec<Change>, damages: &[Damage]) -> Vec<u8> {
    let bytes = match serde_json::from_slice(seed) {
        Ok(document) => {
            let mut draft = Draft {
                document,
                texts: Vec::new(),
                repeated: Vec::new(),
            };
            changes.into_iter().for_each(|change| draft.apply(change));
            draft.write().into_bytes()
        }
        Err(_) => seed.to_vec(),
    };
    damages.iter().fold(bytes, damaged)
}

fn change(fragments: &[String]) -> impl Strategy<Value = Change> + use<> {
    let text = || prop::sample::select(fragments.to_vec());
    let name = prop_oneof![
        any::<Index>().prop_map(Name::Again),
        prop::sample::select(vec!["", "addedLater", "__proto__", "tasktoken", "a/b~c"])
            .prop_map(|name| Name::New(name.to_owned())),
        any::<String>().prop_map(Name::New),
    ];
    let depths = prop::sample::select(vec![1usize, 100, 127, 128, 129, 10_000]);
    let times = prop::sample::select(vec![2usize, 51, 1000]);
    prop_oneof![
        8 => (any::<Index>(), text()).prop_map(|(at, text)| Change::Replace(at, text)),
        3 => (any::<Index>(), name, text()).prop_map(|(at, name, text)| Change::Add(at, name, text)),
        3 => any::<Index>().prop_map(Change::Remove),
        2 => (any::<Index>(), depths).prop_map(|(at, depth)| Change::Nest(at, depth)),
        2 => (any::<Index>(), times).prop_map(|(at, times)| Change::Enlarge(at, times)),
    ]
}

fn damage(fragments: Vec<Vec<u8>>) -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Overwrite(at, byte)),
        (any::<Index>(), prop::sample::select(fragments))
            .prop_map(|(at, text)| Damage::Insert(at, text)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Damage::Cut(from, to)),
    ]
}

/// Inputs that are made of these.
pub fn inputs(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let fragments = corpus::fragments();
    let texts: Vec<_> = fragments
        .iter()
        .filter_map(|bytes| String::from_utf8(bytes.clone()).ok())
        .collect();
    let changes = prop::collection::vec(change(&texts), 0..4);
    let damages = prop_oneof![
        3 => Just(Vec::new()),
        1 => prop::collection::vec(damage(fragments), 1..3),
    ];
    (prop::sample::select(seeds), changes, damages)
        .prop_map(|(seed, changes, damages)| changed(&seed, changes, &damages))
}
