//! What the function is invoked with.

use serde::Deserialize;

/// The stream of the circuits' table, the schedule, or the controller itself.
#[derive(Debug, Default, Deserialize)]
pub struct Invocation {
    /// The stream's records. The schedule's event has none.
    #[serde(rename = "Records", default)]
    records: Vec<Record>,
}

/// Only that there is one counts: the table itself says what is the case.
#[derive(Debug, Deserialize)]
struct Record {}

impl Invocation {
    /// Whether a circuit was just opened, paused or resumed.
    pub fn is_news(&self) -> bool {
        !self.records.is_empty()
    }
}
