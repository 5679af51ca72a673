//! What is logged about bad input: each line one JSON object, and nothing secret in it.

use std::io::BufRead;

use serde_json::{Map, Value};

/// The task token and the address of the samples. Neither may ever be logged.
const SECRETS: [&str; 4] = [
    "secret-token",
    "EXAMPLEtaskToken",
    "Ada Lovelace",
    "Invalidenstra",
];

/// A line is longer only if somebody else decides how long it is.
const LONGEST: usize = 16 * 1024;

/// Reads a log to its end and counts its lines.
///
/// # Errors
/// The first line that is not as it must be.
pub fn check(log: impl BufRead) -> Result<usize, String> {
    let mut count = 0;
    for line in log.split(b'\n') {
        let line = line.map_err(|error| error.to_string())?;
        check_line(&line).map_err(|why| {
            let shown: String = String::from_utf8_lossy(&line).chars().take(2000).collect();
            format!("a line of the log {why}: {shown}")
        })?;
        count += 1;
    }
    Ok(count)
}

/// JSON has no line breaks or escape sequences that are not spelled out.
fn check_line(line: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(line).map_err(|_| "is not UTF-8")?;
    let _object: Map<String, Value> =
        serde_json::from_str(text).map_err(|_| "is not one JSON object")?;
    if text.len() > LONGEST {
        return Err(format!("has {} bytes", text.len()));
    }
    let found = SECRETS.iter().find(|secret| text.contains(**secret));
    found.map_or(Ok(()), |secret| Err(format!("tells {secret:?}")))
}
