//! Everything that is printed. Results go to stdout, all else to stderr, so
//! that the output can be piped.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use comfy_table::{Cell, CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::failure::{Exit, Failure, causes};

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// One JSON document.
    Json,
}

/// Where results and notes go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
    colour: bool,
}

impl Output {
    /// Colours only a terminal, never a JSON document, and not where `NO_COLOR` is set.
    pub(crate) fn new(format: Format) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|value| value != "dumb");
        Self::of(format, wanted && io::stdout().is_terminal())
    }

    /// With colours, if they are wanted and the format can have them.
    pub(crate) fn of(format: Format, colour: bool) -> Self {
        Self {
            format,
            colour: colour && format != Format::Json,
        }
    }

    /// Whether a JSON document is asked for.
    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Prints a result: as a document, or as the text that `text` makes of it.
    pub(crate) fn result<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Json => self.document(value),
            Format::Table => self.line(&text(value)),
        }
    }

    /// Prints a JSON document.
    pub(crate) fn document<T: Serialize>(self, value: &T) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Failure::unexpected("the result cannot be written as JSON", error))?;
        self.line(&without_controls(&text))
    }

    /// Prints a line, or several.
    pub(crate) fn line(self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{text}")
            .and_then(|()| stdout.flush())
            .map_err(closed)
    }

    /// Prints bytes that are text already, such as a completion script.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout
            .write_all(bytes)
            .and_then(|()| stdout.flush())
            .map_err(closed)
    }

    /// Colours a status as far as colour is wanted.
    pub(crate) fn status(self, status: &str) -> String {
        let code = match status {
            "completed" | "resolved" => 32,
            "failed" | "waiting" => 33,
            "needs-attention" => 31,
            _ => 36,
        };
        self.coloured(code, &printable(status))
    }

    /// Colours a text that is safe to print, as far as colour is wanted.
    pub(crate) fn coloured(self, code: u8, text: &str) -> String {
        match self.colour {
            true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }
}

/// Says something beside the result.
pub(crate) fn note(text: &str) {
    // Nothing sensible can be done when stderr is gone.
    let _ = writeln!(io::stderr().lock(), "{}", printable_lines(text));
}

/// Prints what comes of a command line that asks for nothing but words: an error, help or
/// the version. What was typed wrong may have been copied from anywhere.
pub(crate) fn usage(error: &clap::Error) -> Result<Exit, Failure> {
    let text = error.render().to_string();
    let is_safe = |char: char| char == '\n' || !is_unseen(char);
    match (error.use_stderr(), text.chars().all(is_safe)) {
        (true, true) => {
            // Nothing sensible can be done when stderr is gone.
            let _ = error.print();
            Ok(Exit::Usage)
        }
        (true, false) => {
            note(&text);
            Ok(Exit::Usage)
        }
        (false, _) => {
            error.print().map_err(closed)?;
            io::stdout().flush().map_err(closed)?;
            Ok(Exit::Ok)
        }
    }
}

/// Says what went wrong, why, and what to do.
pub(crate) fn failure(failure: &Failure) {
    note(&failure_text(failure));
}

fn failure_text(failure: &Failure) -> String {
    let mut text = format!("error: {failure}");
    let mut last = failure.to_string();
    for cause in causes(failure).map(ToString::to_string) {
        // Layers of the SDK repeat each other, or only say that there was an error.
        if !last.contains(&cause) && !EMPTY_CAUSES.contains(&cause.as_str()) {
            text.push_str(&format!("\n  because: {cause}"));
        }
        last = cause;
    }
    if let Some(advice) = failure.advice() {
        text.push_str(&format!("\n  what to do: {advice}"));
    }
    text
}

/// Errors of the SDK that tell nothing without the one below.
const EMPTY_CAUSES: [&str; 4] = ["dispatch failure", "other", "io error", "service error"];

/// A progress bar on stderr; it shows itself on a terminal only.
pub(crate) fn progress_bar(length: u64, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len}, {eta} left");
    let bar = ProgressBar::new(length).with_message(what);
    match style {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}

/// A turning wheel on stderr; it shows itself on a terminal only.
pub(crate) struct Spinner(ProgressBar);

impl Spinner {
    /// A wheel beside a text.
    pub(crate) fn new(text: &str) -> Self {
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(std::time::Duration::from_millis(120));
        let spinner = Self(bar);
        spinner.say(text);
        spinner
    }

    /// Changes the text, which may come from outside.
    pub(crate) fn say(&self, text: &str) {
        self.0.set_message(printable(text));
    }

    /// Prints something while the wheel is out of the way.
    pub(crate) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.0.suspend(print)
    }

    /// Takes it away.
    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// A table with aligned columns and no lines, easy to read and to cut.
pub(crate) fn table(headers: &[&str], rows: impl IntoIterator<Item = Vec<Column>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(headers);
    for row in rows {
        table.add_row(row.into_iter().map(Cell::from));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// A value in a table.
pub(crate) enum Column {
    /// Aligned to the left.
    Text(String),
    /// Aligned to the right.
    Number(String),
}

impl Column {
    /// A text, made safe to print.
    pub(crate) fn text(value: impl AsRef<str>) -> Self {
        Self::Text(printable(value.as_ref()))
    }

    /// A number, with its unit or without, or nothing.
    pub(crate) fn number(value: impl AsRef<str>) -> Self {
        Self::Number(printable(value.as_ref()))
    }
}

impl From<Column> for Cell {
    fn from(column: Column) -> Self {
        match column {
            Column::Text(text) => Cell::new(text),
            Column::Number(text) => Cell::new(text).set_alignment(CellAlignment::Right),
        }
    }
}

/// A word of a command that somebody may copy into a shell: quoted where it is not plain.
/// An id may have been chosen by whoever sent the message.
pub(crate) fn word(text: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_./:@".contains(char);
    match !text.is_empty() && !text.starts_with('-') && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", printable(text).replace('\'', r"'\''")),
    }
}

/// Replaces what drives a terminal or deceives its reader: data from outside must do neither.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|char| if is_unseen(char) { '\u{fffd}' } else { char })
        .collect()
}

/// Whether a character is a command to the terminal, or is not seen and changes how
/// others are seen: their direction, or where a line ends.
fn is_unseen(char: char) -> bool {
    let turns = matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let has_no_width = matches!(
        char,
        '\u{200b}' | '\u{2060}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}'
    );
    let breaks_lines = matches!(char, '\u{2028}' | '\u{2029}');
    char.is_control() || turns || has_no_width || breaks_lines
}

/// Escapes such characters, which JSON may hold as they are. The document means what it
/// meant: they stand in its texts only.
pub(crate) fn without_controls(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for char in json.chars() {
        match char {
            // Between the values; within one, JSON has it escaped.
            '\n' => escaped.push(char),
            char if is_unseen(char) => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    escaped.push_str(&format!("\\u{unit:04x}"));
                }
            }
            char => escaped.push(char),
        }
    }
    escaped
}

pub(crate) fn printable_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(printable).collect();
    lines.join("\n")
}

fn closed(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::unexpected("the output cannot be written", error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_aligns_its_columns_and_leaves_no_trailing_spaces() {
        let rows = [("MUG", "5"), ("PLATE-LARGE", "120")]
            .map(|(sku, count)| vec![Column::text(sku), Column::number(count)]);
        assert_eq!(
            table(&["SKU", "AVAILABLE"], rows),
            "SKU          AVAILABLE\nMUG                  5\nPLATE-LARGE        120"
        );
    }

    #[test]
    fn data_from_outside_cannot_drive_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }

    #[test]
    fn data_from_outside_cannot_be_shown_as_other_than_it_is() {
        assert_eq!(
            printable("ord-\u{202e}321\u{2069}"),
            "ord-\u{fffd}321\u{fffd}"
        );
        assert_eq!(
            printable("a\u{200b}\u{feff}b\u{2028}"),
            "a\u{fffd}\u{fffd}b\u{fffd}"
        );
        assert_eq!(printable("Zoë 日本 مرحبا"), "Zoë 日本 مرحبا");
        let value = serde_json::json!("\u{202e}\u{e0041}");
        let document = without_controls(&value.to_string());
        assert_eq!(document, r#""\u202e\udb40\udc41""#);
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&document).unwrap(),
            value
        );
    }

    #[test]
    fn a_word_that_is_copied_into_a_shell_is_one_word() {
        for plain in [
            "f-1",
            "payment.ProviderFailed.1f3a9c02",
            "o-1/payment.charge",
        ] {
            assert_eq!(word(plain), plain);
        }
        assert_eq!(word("x; rm -rf ~"), "'x; rm -rf ~'");
        assert_eq!(word("$(id)'`id`"), r"'$(id)'\''`id`'");
        assert_eq!(word("--all"), "'--all'");
        assert_eq!(word(""), "''");
        assert_eq!(word("a\nb"), "'a\u{fffd}b'");
    }

    #[test]
    fn a_json_document_cannot_drive_the_terminal_and_means_what_it_meant() {
        let value = serde_json::json!({ "a\u{9b}": "\u{9b}2J\u{7f}\u{85}\u{1b}\n\t ü" });
        let document = without_controls(&serde_json::to_string_pretty(&value).unwrap());
        assert!(
            !document.contains(|char: char| char.is_control() && char != '\n'),
            "{document:?}"
        );
        assert!(document.contains("\\u009b2J\\u007f\\u0085"), "{document}");
        let read: serde_json::Value = serde_json::from_str(&document).unwrap();
        assert_eq!(read, value);
    }

    #[test]
    fn a_json_document_is_never_coloured() {
        assert_eq!(Output::of(Format::Json, true).coloured(31, "x"), "x");
        assert_ne!(Output::of(Format::Table, true).coloured(31, "x"), "x");
    }

    #[test]
    fn a_failure_is_told_with_its_cause_and_what_to_do() {
        let failure = Failure::Unreachable {
            what: "the API".to_owned(),
            source: "connection refused".into(),
        };
        let text = failure_text(&failure);
        assert!(
            text.starts_with("error: the API cannot be reached\n  because: connection refused")
        );
        assert!(text.contains("what to do: "));
    }
}
