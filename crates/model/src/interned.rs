//! Values too large to be part of each state: a state holds their numbers.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;

/// All values that were ever stored, each with a number.
#[derive(Debug)]
pub(crate) struct Interned<T> {
    known: RwLock<Known<T>>,
    hash: fn(&T) -> u64,
}

#[derive(Debug)]
struct Known<T> {
    all: Vec<Arc<T>>,
    by_hash: HashMap<u64, Vec<u16>>,
}

impl<T: Hash + PartialEq> Interned<T> {
    /// Of values that can be hashed.
    pub(crate) fn hashed() -> Self {
        Self::by(|value| {
            let mut hasher = DefaultHasher::new();
            value.hash(&mut hasher);
            hasher.finish()
        })
    }
}

impl<T: Serialize + PartialEq> Interned<T> {
    /// Of values that can be written only.
    pub(crate) fn written() -> Self {
        Self::by(hash_of_written)
    }
}

impl<T: PartialEq> Interned<T> {
    fn by(hash: fn(&T) -> u64) -> Self {
        let known = RwLock::new(Known {
            all: Vec::new(),
            by_hash: HashMap::new(),
        });
        Self { known, hash }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.all.len()
    }

    /// The value of a number.
    pub(crate) fn value(&self, number: u16) -> Arc<T> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&known.all[usize::from(number)])
    }

    /// The number of a value.
    #[allow(
        clippy::expect_used,
        reason = "a model with more values must be made smaller"
    )]
    pub(crate) fn number(&self, value: T) -> u16 {
        let hash = (self.hash)(&value);
        let find = |known: &Known<T>| {
            let mut alike = known.by_hash.get(&hash)?.iter();
            alike
                .find(|number| *known.all[usize::from(**number)] == value)
                .copied()
        };
        let known = find(&self.known.read().unwrap_or_else(PoisonError::into_inner));
        if let Some(number) = known {
            return number;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = find(&known) {
            return number;
        }
        let number = u16::try_from(known.all.len()).expect("there are some thousands");
        known.all.push(Arc::new(value));
        known.by_hash.entry(hash).or_default().push(number);
        number
    }
}

fn hash_of_written(value: &impl Serialize) -> u64 {
    let mut hashing = Hashing(DefaultHasher::new());
    // What cannot be written is told apart by comparison alone.
    let _written = serde_json::to_writer(&mut hashing, value);
    hashing.0.finish()
}

struct Hashing(DefaultHasher);

impl io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
