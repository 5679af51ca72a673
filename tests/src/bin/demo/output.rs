//! Everything that the demo prints.

use std::io::{self, IsTerminal, Write};

use waybill_tests::columns;

/// Standard output, with colours where somebody can see them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// Whether a person watches.
    pub(crate) is_terminal: bool,
    has_colour: bool,
}

/// Colours by what they mean.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Colour {
    Good = 32,
    Bad = 31,
    Undone = 33,
    Heading = 1,
    Aside = 2,
}

impl Output {
    pub(crate) fn new() -> Self {
        let is_terminal = io::stdout().is_terminal() && io::stderr().is_terminal();
        let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            is_terminal,
            has_colour: is_terminal && !is_plain,
        }
    }

    /// Prints a line, or several. Nothing sensible can be done when the reader is gone.
    pub(crate) fn line(&self, text: &str) {
        let mut stdout = io::stdout().lock();
        let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    }

    /// Prints a heading above a part of the picture.
    pub(crate) fn heading(&self, text: &str) {
        self.line(&format!("\n{}", self.in_colour(Colour::Heading, text)));
    }

    pub(crate) fn in_colour(&self, colour: Colour, text: &str) -> String {
        if self.has_colour {
            format!("\u{1b}[{}m{text}\u{1b}[0m", colour as u8)
        } else {
            text.to_owned()
        }
    }

    /// Prints columns below their names. Columns whose name begins with `#` hold numbers.
    pub(crate) fn table(&self, headers: &[&str], rows: &[Vec<String>]) {
        self.line(&columns(headers, rows));
    }
}

/// Says on standard error what went wrong.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(
        io::stderr().lock(),
        "\nerror: the demo cannot go on: {text}"
    );
}

/// Minor units as people write them.
pub(crate) fn money(minor_units: u64) -> String {
    format!("{}.{:02} EUR", minor_units / 100, minor_units % 100)
}
