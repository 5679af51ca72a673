//! What happened in a run: its digest always, its lines where somebody will read them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::hash::{DefaultHasher, Hasher};

/// Writes down what happens.
#[derive(Debug, Default)]
pub(crate) struct Story {
    digest: DefaultHasher,
    lines: Option<Vec<String>>,
    /// How often each thing happened.
    counts: BTreeMap<String, u64>,
    buffer: String,
}

impl Story {
    /// One whose lines are kept, or not.
    pub(crate) fn new(is_kept: bool) -> Self {
        Self {
            lines: is_kept.then(Vec::new),
            ..Self::default()
        }
    }

    /// Something that happened, and who did it, so many milliseconds after the beginning.
    pub(crate) fn tell(&mut self, at: u64, actor: &str, what: std::fmt::Arguments<'_>) {
        self.buffer.clear();
        let (seconds, millis) = (at / 1000, at % 1000);
        // Writing to a string cannot fail.
        let _always_ok = write!(
            self.buffer,
            "{:02}:{:02}:{:02}.{millis:03}  {actor:<20} {what}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        );
        self.digest.write(self.buffer.as_bytes());
        self.digest.write_u8(b'\n');
        if let Some(lines) = &mut self.lines {
            lines.push(self.buffer.clone());
        }
    }

    /// Counts something.
    pub(crate) fn count(&mut self, what: impl Into<String>) {
        *self.counts.entry(what.into()).or_default() += 1;
    }

    pub(crate) fn counts(&self) -> &BTreeMap<String, u64> {
        &self.counts
    }

    /// The same for two runs in which the same happened in the same order.
    pub(crate) fn digest(&self) -> String {
        format!("{:016x}", self.digest.finish())
    }

    /// The lines in which one of these names occurs, or all.
    pub(crate) fn lines_about(&self, names: &BTreeSet<String>) -> Vec<String> {
        let lines = self.lines.iter().flatten();
        let is_meant = |line: &&String| {
            names.is_empty() || names.iter().any(|name| line.contains(name.as_str()))
        };
        lines.filter(is_meant).cloned().collect()
    }
}
