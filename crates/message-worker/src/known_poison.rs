//! Bodies that were refused before are quarantined without another look.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::class::{Class, Classify, cause_chain};

/// How much a worker remembers of bodies that did not decode.
///
/// A message whose body was refused a moment ago, such as a duplicate or one
/// that somebody sends again and again, goes to quarantine without being
/// decoded. Its [`FailureRecord`](crate::FailureRecord) has the error name
/// [`KNOWN_POISON`], the first error's name beside it, and the first error's causes.
///
/// Only what [`Handler::decode`](crate::Handler::decode) calls poison is
/// remembered. What `handle` calls poison may depend on what is stored
/// elsewhere, and that may change. Turn this on only where decoding depends on
/// the body alone, not on the message's attributes.
///
/// Each worker remembers for itself, which on Lambda means each execution
/// environment. Nothing is shared: to look up every message in a table would
/// cost a request for each, to save work on a few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoisonMemory {
    /// How many bodies are remembered; the one that was not met for the
    /// longest time is forgotten first. A body takes up to about 10 KB, mostly
    /// for the text of its error.
    pub capacity: NonZeroUsize,
    /// How long after it was decoded a body is remembered. Then it is decoded again.
    pub time_to_live: Duration,
}

impl Default for PoisonMemory {
    /// 100 bodies, for five minutes.
    fn default() -> Self {
        Self {
            capacity: NonZeroUsize::MIN.saturating_add(99),
            time_to_live: Duration::from_secs(300),
        }
    }
}

/// The error name of a message that is quarantined because of what is
/// remembered of its body.
pub const KNOWN_POISON: &str = "KnownPoison";

/// What is remembered of an error: enough to tell it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) name: String,
    pub(crate) cause: Vec<String>,
}

impl Verdict {
    const MOST_CAUSES: usize = 8;
    const LONGEST_CAUSE: usize = 1024;

    fn of(error: &dyn Classify) -> Self {
        let mut cause = cause_chain(error);
        cause.truncate(Self::MOST_CAUSES);
        for text in &mut cause {
            text.truncate(text.floor_char_boundary(Self::LONGEST_CAUSE));
        }
        Self {
            name: error.name().to_owned(),
            cause,
        }
    }

    /// The error that the same body leads to again.
    pub(crate) fn again(&self) -> KnownPoison {
        let links = self.cause.iter().rev();
        let cause = links.fold(None, |source, text| {
            let text = text.clone();
            Some(Box::new(Link { text, source }))
        });
        KnownPoison {
            original_name: self.name.clone(),
            cause,
        }
    }
}

/// The same body was refused before.
#[derive(Debug)]
pub(crate) struct KnownPoison {
    pub(crate) original_name: String,
    cause: Option<Box<Link>>,
}

impl KnownPoison {
    /// The first error and its causes, outermost first.
    pub(crate) fn original_cause(&self) -> Vec<String> {
        self.source().map(cause_chain).unwrap_or_default()
    }
}

impl fmt::Display for KnownPoison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the same body was refused before")
    }
}

impl Error for KnownPoison {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.cause.as_deref()?)
    }
}

impl Classify for KnownPoison {
    fn class(&self) -> Class {
        Class::Poison
    }

    fn name(&self) -> &str {
        KNOWN_POISON
    }
}

/// One text of a chain of causes.
#[derive(Debug)]
struct Link {
    text: String,
    source: Option<Box<Self>>,
}

impl fmt::Display for Link {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Error for Link {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_deref()?)
    }
}

/// What a worker remembers. Those met last are at the back.
#[derive(Debug)]
pub(crate) struct PoisonCache {
    limits: PoisonMemory,
    entries: Mutex<VecDeque<Entry>>,
}

#[derive(Debug)]
struct Entry {
    body: [u8; 32],
    forgotten_at: Instant,
    verdict: Verdict,
}

impl PoisonCache {
    pub(crate) fn new(limits: PoisonMemory) -> Self {
        let entries = Mutex::default();
        Self { limits, entries }
    }

    /// What became of this body before, if that is remembered.
    pub(crate) fn recall(&self, body: &str) -> Option<Verdict> {
        let mut entries = self.lock();
        let now = Instant::now();
        entries.retain(|entry| now < entry.forgotten_at);
        // As long as nothing is poison, nothing is hashed.
        if entries.is_empty() {
            return None;
        }
        let body = digest(body);
        let place = entries.iter().position(|entry| entry.body == body)?;
        let entry = entries.remove(place)?;
        let verdict = entry.verdict.clone();
        entries.push_back(entry);
        Some(verdict)
    }

    /// Remembers the error that a body led to.
    pub(crate) fn remember(&self, body: &str, error: &dyn Classify) {
        // A time that the clock cannot express is as good as none.
        let Some(forgotten_at) = Instant::now().checked_add(self.limits.time_to_live) else {
            return;
        };
        let entry = Entry {
            body: digest(body),
            forgotten_at,
            verdict: Verdict::of(error),
        };
        let mut entries = self.lock();
        entries.retain(|known| known.body != entry.body);
        if entries.len() >= self.limits.capacity.get() {
            entries.pop_front();
        }
        entries.push_back(entry);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn digest(body: &str) -> [u8; 32] {
    Sha256::digest(body).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::Failure;

    const MINUTE: Duration = Duration::from_secs(60);

    fn cache(capacity: usize) -> PoisonCache {
        PoisonCache::new(PoisonMemory {
            capacity: capacity.try_into().unwrap(),
            time_to_live: MINUTE,
        })
    }

    fn remember(cache: &PoisonCache, body: &str) {
        cache.remember(body, &Failure::poison("NotJson").caused_by("at column 1"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_verdict_is_told_again_with_its_name_and_its_causes() {
        let cache = cache(2);
        remember(&cache, "a");
        let verdict = cache.recall("a").unwrap();
        let again = verdict.again();
        assert_eq!(
            (again.class(), again.name()),
            (Class::Poison, "KnownPoison")
        );
        assert_eq!(again.original_name, "NotJson");
        assert_eq!(
            cause_chain(&again),
            ["the same body was refused before", "NotJson", "at column 1"]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_body_that_was_not_met_for_the_longest_time_is_forgotten_first() {
        let cache = cache(2);
        remember(&cache, "a");
        remember(&cache, "b");
        assert!(cache.recall("a").is_some());
        remember(&cache, "c");
        let known = ["a", "b", "c"].map(|body| cache.recall(body).is_some());
        assert_eq!(known, [true, false, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_forgotten_in_time_however_often_it_is_met() {
        let cache = cache(2);
        remember(&cache, "a");
        tokio::time::advance(MINUTE - Duration::from_millis(1)).await;
        assert!(cache.recall("a").is_some());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(cache.recall("a").is_none());
        assert!(cache.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_body_is_remembered_once() {
        let cache = cache(2);
        remember(&cache, "a");
        remember(&cache, "b");
        remember(&cache, "b");
        assert!(cache.recall("a").is_some());
    }

    #[test]
    fn long_causes_are_remembered_in_part() {
        let long = "é".repeat(5000);
        let verdict = Verdict::of(&Failure::poison("NotJson").caused_by(long));
        assert_eq!(verdict.cause[0], "NotJson");
        assert_eq!(verdict.cause[1].len(), Verdict::LONGEST_CAUSE);
    }
}
