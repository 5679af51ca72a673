//! `waybill failures export`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use failures::{FailureId, Query};

use super::filter::{Filter, OPEN, failure_id};
use super::store::Store;
use super::summary::Detail;
use crate::cli::Context;
use crate::failure::{Exit, Failure};
use crate::output::{note, printable, without_controls};

/// `waybill failures export`
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The failures' ids; or choose by flags [default: all that are open]
    #[arg(value_name = "ID", value_parser = failure_id)]
    ids: Vec<FailureId>,
    #[command(flatten)]
    filter: Filter,
    /// One JSON document a line, or a table for a spreadsheet
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
    /// Write to this file, which must not exist yet [default: stdout]
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Export personal data in the messages too, and bodies that are no JSON objects; task tokens
    /// are never exported
    #[arg(long)]
    personal: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// JSON Lines
    #[default]
    Jsonl,
    /// Comma-separated values
    Csv,
}

const COLUMNS: [&str; 19] = [
    "id",
    "status",
    "consumer",
    "group",
    "class",
    "error",
    "messageType",
    "orderId",
    "failedAt",
    "storedAt",
    "firstSeen",
    "failed",
    "attempts",
    "cause",
    "foundIn",
    "correlationId",
    "note",
    "bodySha256",
    "body",
];

impl Arguments {
    pub(crate) async fn run(self, context: &Context) -> Result<Exit, Failure> {
        let statuses: &[_] = if self.ids.is_empty() { &OPEN } else { &[] };
        let query = Query {
            ids: self.ids.clone(),
            ..self.filter.query(statuses)?
        };
        let store = Store::open(context).await?;
        // Before the file is made: what is named and is not there is a mistake.
        store.named(&self.ids).await?;
        store.check_named(&query).await?;
        let mut sink = Sink::open(self.format, self.file.as_deref())?;
        let mut count = 0_usize;
        let personal = self.personal;
        let written = store
            .each(&query, |failure| {
                sink.write(&Detail::of(&failure, personal))
                    .map_err(unwritable)?;
                count += 1;
                Ok(true)
            })
            .await;
        sink.flush().map_err(unwritable)?;
        written?;
        note(&format!("exported {count}"));
        Ok(Exit::Ok)
    }
}

/// Where lines go.
enum Sink {
    Jsonl(Box<dyn Write + Send>),
    Csv(Box<csv::Writer<Box<dyn Write + Send>>>),
}

impl Sink {
    fn open(format: Format, file: Option<&Path>) -> Result<Self, Failure> {
        let target: Box<dyn Write + Send> = match file {
            None => Box::new(BufWriter::new(io::stdout())),
            Some(path) => Box::new(BufWriter::new(create(path)?)),
        };
        match format {
            Format::Jsonl => Ok(Self::Jsonl(target)),
            Format::Csv => {
                let mut writer = csv::Writer::from_writer(target);
                writer
                    .write_record(COLUMNS)
                    .map_err(|error| unwritable(error.into()))?;
                Ok(Self::Csv(Box::new(writer)))
            }
        }
    }

    fn write(&mut self, detail: &Detail) -> io::Result<()> {
        match self {
            Self::Jsonl(target) => {
                let document = serde_json::to_string(detail)?;
                writeln!(target, "{}", without_controls(&document))
            }
            Self::Csv(writer) => Ok(writer.write_record(cells(detail).map(|cell| safe(&cell)))?),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Jsonl(target) => target.flush(),
            Self::Csv(writer) => writer.flush(),
        }
    }
}

fn create(path: &Path) -> Result<File, Failure> {
    File::create_new(path)
        .map_err(|error| Failure::Input(format!("{} cannot be made: {error}", path.display())))
}

fn cells(detail: &Detail) -> [String; 19] {
    let summary = &detail.summary;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    [
        summary.id.clone(),
        summary.status.to_owned(),
        summary.consumer.clone(),
        summary.group.clone(),
        summary.class.clone(),
        summary.error.clone(),
        text(&summary.message_type),
        text(&summary.order_id),
        summary.failed_at.to_string(),
        summary.stored_at.to_string(),
        text(&summary.first_seen),
        summary.failed.to_string(),
        detail.attempts.to_string(),
        detail.cause.join(": "),
        detail.found_in.clone(),
        text(&detail.correlation_id),
        text(&summary.note),
        detail.body_sha256.clone(),
        detail.body.clone(),
    ]
}

/// A cell that neither drives a terminal nor runs in a spreadsheet.
fn safe(cell: &str) -> String {
    let lines: Vec<_> = cell.split('\n').map(printable).collect();
    inert(&lines.join("\n"))
}

/// A spreadsheet runs a cell that begins like a formula. Whoever sent the message wrote
/// it, so it is made a text.
fn inert(cell: &str) -> String {
    let begins_a_formula = cell
        .trim_start_matches(is_passed_over)
        .starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    match begins_a_formula {
        true => format!("'{cell}"),
        false => cell.to_owned(),
    }
}

/// Spaces of every width, and quotes. Tabs and line ends are begun with like a formula.
fn is_passed_over(char: char) -> bool {
    let is_space = char.is_whitespace() && !['\t', '\r', '\n'].contains(&char);
    is_space || ['"', '\''].contains(&char)
}

fn unwritable(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::unexpected("the export cannot be written", error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        let formulas = [
            "=1+1",
            "+1",
            "-1",
            "@SUM(A1)",
            "\t=1",
            " =1",
            "\r=1",
            "\u{3000}=1",
            "\u{2003}=1",
        ];
        for formula in formulas {
            assert!(inert(formula).starts_with('\''), "{formula:?}");
        }
        for text in ["", "f-1", "{\"a\":1}", "2026-11-21"] {
            assert_eq!(inert(text), text);
        }
    }

    #[test]
    fn no_cell_drives_a_terminal() {
        for control in ['\u{1b}', '\u{9b}', '\u{85}', '\u{7f}', '\r'] {
            let cell = safe(&format!("a{control}2Jb"));
            assert_eq!(cell, "a\u{fffd}2Jb", "{control:?}");
        }
        assert_eq!(safe("a\nb ü"), "a\nb ü");
        assert!(safe("\n=1+1").starts_with('\''));
        // What hides a formula's beginning leaves it harmless.
        assert_eq!(safe("\r=1"), "\u{fffd}=1");
        assert_eq!(safe("\u{feff}=1"), "\u{fffd}=1");
    }
}
