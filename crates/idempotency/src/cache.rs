//! Completed results, remembered within one process.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;

use crate::{Fingerprint, Key, Millis, ResultJson, Seconds};

/// The results of operations that this process saw completed: a bounded number,
/// of which those not asked for the longest go first.
///
/// Claims are never in it, because others change them. A result leaves it with
/// the expiry of its record, and after `max_age`.
#[derive(Debug)]
pub(crate) struct LocalCache {
    entries: Mutex<LruCache<Key, Entry>>,
    max_age: Duration,
}

/// A completed operation.
#[derive(Debug, Clone)]
pub(crate) struct Remembered {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) result: ResultJson,
    pub(crate) expires_at: Seconds,
}

#[derive(Debug)]
enum Entry {
    /// Holds until then.
    Completed(Remembered, Millis),
    /// Its undo began: a completion that is reported late is not remembered.
    Undone,
}

impl LocalCache {
    pub(crate) fn new(capacity: NonZeroUsize, max_age: Duration) -> Self {
        let entries = Mutex::new(LruCache::new(capacity));
        Self { entries, max_age }
    }

    /// What was remembered, if it still holds.
    pub(crate) fn get(&self, key: &Key, now: Millis) -> Option<Remembered> {
        let mut entries = self.entries();
        match entries.get(key)? {
            Entry::Undone => None,
            Entry::Completed(operation, stale_from)
                if operation.expires_at > now.to_seconds() && *stale_from > now =>
            {
                Some(operation.clone())
            }
            Entry::Completed(..) => {
                entries.pop(key);
                None
            }
        }
    }

    /// Remembers an operation that was seen completed now, unless it was undone.
    pub(crate) fn put(&self, key: Key, operation: Remembered, now: Millis) {
        let mut entries = self.entries();
        if !matches!(entries.get(&key), Some(Entry::Undone)) {
            entries.put(key, Entry::Completed(operation, now.plus(self.max_age)));
        }
    }

    /// Forgets an operation, since its undo begins.
    pub(crate) fn forget(&self, key: Key) {
        self.entries().put(key, Entry::Undone);
    }

    fn entries(&self) -> MutexGuard<'_, LruCache<Key, Entry>> {
        // A panic elsewhere cannot leave an entry half written.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis::new(100_000);

    fn cache(capacity: usize) -> LocalCache {
        LocalCache::new(
            NonZeroUsize::new(capacity).unwrap(),
            Duration::from_secs(10),
        )
    }

    fn key(name: &str) -> Key {
        Key::new(name).unwrap()
    }

    fn remembered(expires_at: u64) -> Remembered {
        Remembered {
            fingerprint: Fingerprint::of("payload"),
            result: ResultJson::encode(&"done").unwrap(),
            expires_at: Seconds::new(expires_at),
        }
    }

    #[test]
    fn the_one_not_asked_for_the_longest_goes_first() {
        let cache = cache(2);
        for name in ["a", "b"] {
            cache.put(key(name), remembered(1_000), NOW);
        }
        assert!(cache.get(&key("a"), NOW).is_some());
        cache.put(key("c"), remembered(1_000), NOW);
        let there = ["a", "b", "c"].map(|name| cache.get(&key(name), NOW).is_some());
        assert_eq!(there, [true, false, true]);
    }

    #[test]
    fn an_entry_ends_with_its_record() {
        let cache = cache(1);
        cache.put(key("a"), remembered(101), NOW);
        assert!(cache.get(&key("a"), Millis::new(100_999)).is_some());
        assert!(cache.get(&key("a"), Millis::new(101_000)).is_none());
        assert!(cache.get(&key("a"), NOW).is_none(), "it is gone for good");
    }

    #[test]
    fn an_entry_ends_with_its_age() {
        let cache = cache(1);
        cache.put(key("a"), remembered(1_000), NOW);
        assert!(cache.get(&key("a"), Millis::new(109_999)).is_some());
        assert!(cache.get(&key("a"), Millis::new(110_000)).is_none());
    }

    #[test]
    fn an_undone_operation_is_gone_and_a_late_completion_does_not_bring_it_back() {
        let cache = cache(1);
        cache.put(key("a"), remembered(1_000), NOW);
        cache.forget(key("a"));
        assert!(cache.get(&key("a"), NOW).is_none());
        cache.put(key("a"), remembered(1_000), NOW);
        assert!(cache.get(&key("a"), NOW).is_none());
    }
}
