//! What is printed on the way and at the end.

use std::io::{self, Write};

pub(crate) use waybill_tests::say as line;
use waybill_tests::{Ran, columns};

use crate::fault::FAULTS;
use crate::run::Run;
use crate::watch::{STATES, Sample};

pub(crate) fn heading(text: &str) {
    line(&format!("\n{text}"));
}

/// Prints columns below their names. Columns whose name begins with `#` hold numbers.
pub(crate) fn table(headers: &[&str], rows: &[Vec<String>]) {
    line(&columns(headers, rows));
}

/// Where the orders are now, and which faults are on.
pub(crate) fn progress(run: &Run, sample: &Sample) {
    let states = STATES.iter().zip(sample.counts).rev();
    let states = states.filter(|(_, count)| *count > 0);
    let states: Vec<_> = states
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    let faults = FAULTS.iter().filter(|fault| run.is_on(**fault));
    let faults: Vec<_> = faults.map(|it| it.words()).collect();
    let faults = match run.has_calmed() {
        true => "no faults any more".to_owned(),
        false if faults.is_empty() => "no fault".to_owned(),
        false => faults.join(", "),
    };
    let seconds = sample.at.as_secs();
    line(&format!(
        "  {:>2}:{:02}  {}\n         {faults}",
        seconds / 60,
        seconds % 60,
        states.join(", "),
    ));
}

/// Tells of a command that did not do what it was asked; it is repeated.
pub(crate) fn unless_done(what: &str, ran: &Ran) {
    if ran.code != 0 {
        line(&format!(
            "  {what}: exit {}: {}",
            ran.code,
            ran.stderr.trim()
        ));
    }
}

/// Says on standard error what went wrong.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "\nerror: chaos cannot go on: {text}");
}
