//! The difference between two texts, as a unified diff.

use std::time::Duration;

use similar::{ChangeTag, TextDiff};

use crate::output::{Output, printable};

/// After so long, any difference will do.
const LONGEST: Duration = Duration::from_secs(1);

/// Lines around a change.
const CONTEXT: usize = 3;

/// What changes from one text to the other, without colours; empty where nothing does.
pub(super) fn difference(before: &str, after: &str) -> String {
    // Two texts can differ in such a way that the shortest difference takes for ever to find.
    let diff = TextDiff::configure()
        .timeout(LONGEST)
        .diff_lines(before, after);
    let mut text = String::new();
    for hunk in diff.unified_diff().context_radius(CONTEXT).iter_hunks() {
        text.push_str(&format!("{}\n", hunk.header()));
        for change in hunk.iter_changes() {
            let line = printable(change.value().trim_end_matches('\n'));
            text.push_str(&format!("{}{line}\n", change.tag()));
        }
    }
    text.trim_end().to_owned()
}

/// The difference with its lines coloured, as far as colour is wanted.
pub(super) fn coloured(difference: &str, output: Output) -> String {
    let sign = |tag: ChangeTag| tag.to_string();
    let lines = difference.lines().map(|line| match line {
        line if line.starts_with(&sign(ChangeTag::Delete)) => output.coloured(31, line),
        line if line.starts_with(&sign(ChangeTag::Insert)) => output.coloured(32, line),
        line => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    #[test]
    fn a_difference_names_what_goes_and_what_comes() {
        let shown = difference("a\nb\nc", "a\nB\nc");
        assert_eq!(shown, "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c");
        assert_eq!(difference("a", "a"), "");
    }

    #[test]
    fn a_difference_is_coloured_for_a_terminal_only() {
        let shown = difference("a\nb", "a\nB");
        assert_eq!(
            coloured(&shown, Output::of(Format::Table, true)),
            "@@ -1,2 +1,2 @@\n a\n\u{1b}[31m-b\u{1b}[0m\n\u{1b}[32m+B\u{1b}[0m"
        );
        for output in [
            Output::of(Format::Json, true),
            Output::of(Format::Table, false),
        ] {
            assert_eq!(coloured(&shown, output), shown);
        }
    }
}
