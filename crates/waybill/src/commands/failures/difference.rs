//! The difference between two texts, as a unified diff.

use similar::{ChangeTag, TextDiff};

use crate::output::{Output, printable};

/// Lines around a change.
const CONTEXT: usize = 3;

/// What changes from one text to the other; empty where nothing does.
pub(super) fn difference(before: &str, after: &str, output: Output) -> String {
    let diff = TextDiff::from_lines(before, after);
    let mut text = String::new();
    for hunk in diff.unified_diff().context_radius(CONTEXT).iter_hunks() {
        text.push_str(&format!("{}\n", hunk.header()));
        for change in hunk.iter_changes() {
            let line = printable(change.value().trim_end_matches('\n'));
            let line = format!("{}{line}", change.tag());
            text.push_str(&match change.tag() {
                ChangeTag::Equal => line,
                ChangeTag::Delete => output.coloured(31, &line),
                ChangeTag::Insert => output.coloured(32, &line),
            });
            text.push('\n');
        }
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    #[test]
    fn a_difference_names_what_goes_and_what_comes() {
        let shown = difference("a\nb\nc", "a\nB\nc", Output::new(Format::Json));
        assert_eq!(shown, "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c");
        assert_eq!(difference("a", "a", Output::new(Format::Json)), "");
    }
}
