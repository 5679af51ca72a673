//! What a command is given in a file or on stdin.
//!
//! It is read and judged before anything is asked of AWS, and never held in memory
//! beyond the most that it may be.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::failure::Failure;
use crate::output::printable;

/// How large an input may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) bytes: usize,
    /// What it is, as in "a stock file".
    pub(crate) what: &'static str,
}

/// Reads a file, or stdin where the path is `-`.
///
/// # Errors
/// [`Failure::Input`], where it cannot be read or is larger than allowed.
pub(crate) fn read(path: &Path, limit: Limit) -> Result<Vec<u8>, Failure> {
    let read = match path == Path::new("-") {
        true => bounded(io::stdin().lock(), limit),
        false => File::open(path).and_then(|file| bounded(file, limit)),
    };
    let name = name(path);
    match read {
        Ok(content) if content.len() <= limit.bytes => Ok(content),
        Ok(_) => Err(Failure::Input(format!(
            "{name} is too large: {} has at most {} bytes",
            limit.what, limit.bytes
        ))),
        Err(error) => Err(Failure::Input(format!("{name} cannot be read: {error}"))),
    }
}

/// One byte more than allowed tells that there is more.
fn bounded(source: impl Read, limit: Limit) -> io::Result<Vec<u8>> {
    let most = u64::try_from(limit.bytes).unwrap_or(u64::MAX);
    let mut content = Vec::new();
    source
        .take(most.saturating_add(1))
        .read_to_end(&mut content)?;
    Ok(content)
}

/// Reads text in the same way.
///
/// # Errors
/// [`Failure::Input`], also where it is not UTF-8.
pub(crate) fn read_text(path: &Path, limit: Limit) -> Result<String, Failure> {
    let content = read(path, limit)?;
    String::from_utf8(content).map_err(|_| Failure::Input(format!("{} is not UTF-8", name(path))))
}

/// The input as messages name it.
pub(crate) fn name(path: &Path) -> String {
    match path == Path::new("-") {
        true => "stdin".to_owned(),
        false => printable(&path.display().to_string()),
    }
}

/// Says why an input is not the JSON that it should be.
pub(crate) fn not_json(name: &str, content: &[u8], error: &serde_json::Error) -> Failure {
    let is_blank = content.iter().all(u8::is_ascii_whitespace);
    let has_mark = MARKS.iter().any(|mark| content.starts_with(mark));
    let why = match (is_blank, has_mark) {
        (true, _) => "it is empty".to_owned(),
        (_, true) => "it begins with a byte order mark; save it as UTF-8 without one".to_owned(),
        _ => short(error),
    };
    Failure::Input(format!("{name} cannot be taken: {why}"))
}

/// Byte order marks of UTF-8 and UTF-16.
const MARKS: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"];

/// So much is shown of an error: it may repeat what it is about.
const SHOWN: usize = 300;

/// What a parser says, on one line and with its place at the end.
fn short(error: &serde_json::Error) -> String {
    let text = printable(&error.to_string());
    if text.chars().count() <= SHOWN {
        return text;
    }
    let head: String = text.chars().take(SHOWN).collect();
    format!("{head}… at line {} column {}", error.line(), error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit {
        bytes: 4,
        what: "a test",
    };

    #[test]
    fn no_more_is_read_than_tells_that_there_is_too_much() {
        for (given, kept) in [("", 0), ("1234", 4), ("12345", 5), ("123456789", 5)] {
            let read = bounded(given.as_bytes(), LIMIT).unwrap();
            assert_eq!(read.len(), kept, "{given}");
        }
        assert_eq!(bounded(io::repeat(b'x'), LIMIT).unwrap().len(), 5);
    }

    #[track_caller]
    fn says(content: &[u8], words: &str) {
        let error = contracts::parse_strict(content).unwrap_err();
        let told = not_json("f", content, &error).to_string();
        assert!(told.contains(words), "{told}");
    }

    #[test]
    fn what_is_no_json_is_told_by_what_can_be_done() {
        says(b"", "it is empty");
        says(b" \r\n", "it is empty");
        says(b"\xef\xbb\xbf{}", "byte order mark");
        says(b"\xff\xfe{\0}\0", "byte order mark");
        says(b"{\"a\":1,\"a\":2}", "names a key twice");
        says(b"{\n\"a\": nope}", "at line 2 column");
    }

    #[test]
    fn an_error_that_repeats_a_long_input_is_cut_and_keeps_its_place() {
        let text = format!("\"{}\"", "x".repeat(10_000));
        let error = serde_json::from_str::<u64>(&text).unwrap_err();
        let told = short(&error);
        assert!(told.len() < 400, "{}", told.len());
        assert!(told.contains("at line 1 column "), "{told}");
    }
}
