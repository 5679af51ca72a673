//! What the programs that measure print, and write into a page.

use std::io::{self, Write as _};
use std::path::Path;

/// Prints a line at once. Nothing sensible can be done when the reader is gone.
pub fn say(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}

/// Puts a text between two markers of a page.
///
/// # Panics
/// Where the page, or a marker in it, is missing.
pub fn write_between(page: &Path, (begin, end): (&str, &str), text: &str) {
    let old = std::fs::read_to_string(page);
    let old = old.unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    let (head, rest) = old
        .split_once(begin)
        .expect("the page has the first marker");
    let (_, tail) = rest.split_once(end).expect("the page has the last marker");
    let new = format!("{head}{begin}\n{text}{end}{tail}");
    std::fs::write(page, new).expect("the page is written");
}
