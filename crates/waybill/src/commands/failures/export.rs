//! `waybill failures export`.

use std::fmt::Display;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use failures::{FailureId, Query};
use tempfile::NamedTempFile;

use super::filter::{Filter, OPEN, failure_id};
use super::store::Store;
use super::summary::Detail;
use crate::cli::Context;
use crate::commands::input;
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
        let target = match &self.file {
            None => Target::Stdout(io::stdout()),
            Some(path) => Target::File(Draft::beside(path)?),
        };
        let mut sink = Sink::open(self.format, target)?;
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
        written?;
        sink.finish()?;
        note(&format!("exported {count}"));
        Ok(Exit::Ok)
    }
}

/// Where an export goes to.
enum Target {
    Stdout(io::Stdout),
    File(Draft),
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(bytes),
            Self::File(draft) => draft.file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::File(draft) => draft.file.flush(),
        }
    }
}

/// A file that gets its name when it is whole. Until then it has another one in the same
/// folder, and an export that fails takes it away.
struct Draft {
    file: NamedTempFile,
    path: PathBuf,
}

impl Draft {
    /// Only its owner may read it: it may hold personal data.
    fn beside(path: &Path) -> Result<Self, Failure> {
        // Whatever is there is left alone, also where it leads nowhere.
        if path.symlink_metadata().is_ok() {
            return Err(unmakeable(path, &"something of this name exists"));
        }
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let file = tempfile::Builder::new()
            .prefix(".waybill-export-")
            .tempfile_in(folder)
            .map_err(|error| unmakeable(path, &error))?;
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    fn publish(self) -> Result<(), Failure> {
        let named = self.file.persist_noclobber(&self.path);
        named.map_err(|error| unmakeable(&self.path, &error.error))?;
        Ok(())
    }
}

fn unmakeable(path: &Path, why: &dyn Display) -> Failure {
    Failure::Input(format!("{} cannot be made: {why}", input::name(path)))
}

/// Writes lines.
enum Sink {
    Jsonl(BufWriter<Target>),
    Csv(Box<csv::Writer<Target>>),
}

impl Sink {
    fn open(format: Format, target: Target) -> Result<Self, Failure> {
        match format {
            Format::Jsonl => Ok(Self::Jsonl(BufWriter::new(target))),
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

    /// Writes what is left, and gives the file its name.
    fn finish(self) -> Result<(), Failure> {
        let target = match self {
            Self::Jsonl(target) => target.into_inner().map_err(|error| error.into_error()),
            Self::Csv(writer) => writer.into_inner().map_err(|error| error.into_error()),
        };
        let mut target = target.map_err(unwritable)?;
        target.flush().map_err(unwritable)?;
        match target {
            Target::Stdout(_) => Ok(()),
            Target::File(draft) => draft.publish(),
        }
    }
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
