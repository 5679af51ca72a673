//! What came of a change to several failures.

use serde::Serialize;

use super::store::Changed;
use crate::failure::{Exit, Failure};
use crate::output::{Output, note, printable};

/// What is printed.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    changed: Vec<String>,
    refused: Vec<Refusal>,
    missing: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Refusal {
    id: String,
    why: String,
}

impl Report {
    pub(super) fn add(&mut self, id: &str, changed: &Changed) {
        match changed {
            Changed::Done => self.changed.push(id.to_owned()),
            Changed::Missing => self.missing.push(id.to_owned()),
            Changed::Refused(refused) => self.refused.push(Refusal {
                id: id.to_owned(),
                why: refused.to_string(),
            }),
        }
    }

    /// Says what was done before an error ended it.
    pub(super) fn broken_off(&self) {
        if let done @ 1.. = self.changed.len() {
            note(&format!(
                "{done} were changed before the error, and stay so; repeat it for the rest: \
                 what is changed already is left alone"
            ));
        }
    }

    /// Whether nothing was to be changed.
    pub(super) fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.refused.is_empty() && self.missing.is_empty()
    }

    /// Prints it. What was refused or is not there decides how the command ends.
    pub(super) fn print(self, done: &str, output: Output) -> Result<Exit, Failure> {
        output.result(&self, |report| format!("{done} {}", report.changed.len()))?;
        for refusal in &self.refused {
            note(&printable(&format!("{}: {}", refusal.id, refusal.why)));
        }
        if !self.missing.is_empty() {
            return Err(Failure::NotInStore(self.missing));
        }
        Ok(match self.refused.is_empty() {
            true => Exit::Ok,
            false => Exit::Refused,
        })
    }
}
