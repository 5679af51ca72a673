//! Counts the instructions of a record, by the part of the program that they are in.
//!
//! Valgrind's callgrind counts what a function executes. That repeats nearly exactly and
//! does not depend on who else uses the machine. A function is run twice, the second time
//! with more records; the difference is theirs, without the start. What the kernel does is
//! not in it.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use crate::Fault;
use crate::measure::{Bench, float};
use crate::subject::Subject;

/// How long callgrind may take to write what it counted.
pub(crate) const WRITING: Duration = Duration::from_secs(60);

/// The parts, each with what the names of its functions begin with. The first name of a
/// crate in a function's name decides.
const PARTS: [(&str, &[&str]); 8] = [
    (
        "the SDK: orchestration",
        &[
            "aws_smithy_runtime",
            "aws_smithy_types",
            "aws_smithy_async",
            "aws_runtime",
            "aws_config",
            "aws_credential_types",
            "aws_types",
            "aws_smithy_http",
            "aws_smithy_observability",
            "aws_smithy_schema",
            "aws_sdk_dynamodb",
            "aws_sdk_sfn",
            "aws_sdk_sns",
            "aws_sdk_sqs",
            "aws_sdk_lambda",
            "arc_swap",
        ],
    ),
    (
        "signing",
        &[
            "aws_sigv4",
            "hmac",
            "hex",
            "digest",
            "block_buffer",
            "percent_encoding",
            "form_urlencoded",
        ],
    ),
    (
        "HTTP",
        &[
            "hyper",
            "hyper_util",
            "http",
            "http_body",
            "http_body_util",
            "httparse",
            "httpdate",
            "bytes",
            "aws_smithy_http_client",
            "hyper_rustls",
            "tower",
            "tower_service",
            "want",
            "itoa",
        ],
    ),
    (
        "tokio",
        &[
            "tokio",
            "tokio_util",
            "tokio_stream",
            "mio",
            "futures_util",
            "futures_core",
            "futures_channel",
            "parking_lot",
        ],
    ),
    (
        "JSON",
        &[
            "serde_json",
            "serde",
            "serde_core",
            "aws_smithy_json",
            "ryu",
            "zmij",
            "base64_simd",
        ],
    ),
    (
        "logs",
        &[
            "tracing",
            "tracing_core",
            "tracing_subscriber",
            "tracing_serde",
            "sharded_slab",
            "thread_local",
        ],
    ),
    (
        "Lambda's runtime",
        &[
            "lambda_runtime",
            "lambda_runtime_api_client",
            "aws_lambda_events",
        ],
    ),
    (
        "our code",
        &[
            "contracts",
            "domain",
            "ports",
            "idempotency",
            "message_worker",
            "failures",
            "circuit",
            "saga_step",
            "aws_adapters",
            "payment_worker",
            "stock_worker",
            "shipping_worker",
            "audit_recorder",
            "notifier",
            "order_api",
            "outbox_relay",
            "saga_starter",
            "dlq_alarm",
            "circuit_control",
            "bench_minimal",
            "bench_null",
            "uuid",
            "time",
        ],
    ),
];
/// Valgrind's processor has no instructions for SHA-256, as those of Lambda have: what takes
/// thousands of instructions here takes hundreds there. So it is shown and not added.
const HASHING: (&str, &[&str]) = ("hashing, not added", &["sha2"]);
const ALLOCATION: &str = "allocation";
const COPYING: &str = "copying and comparing";
const LIBRARY: &str = "Rust's library, and the rest";

/// The instructions of each function, without those of the functions that it calls.
type Counts = HashMap<String, u64>;

/// Runs a function twice, the second time with so many records more.
pub(crate) fn of(
    bench: &Bench<'_>,
    mut subject: Subject,
    records: usize,
    batch: usize,
) -> Result<Profile, Fault> {
    let file = bench.logs.join(format!("{}.callgrind", subject.name));
    under_callgrind(&mut subject, &file);
    let batches = records.div_ceil(subject.workload.records_of(batch));
    let count = |batches| -> Result<Counts, Fault> {
        bench.only_first(&subject, batches, batch)?;
        read(&std::fs::read_to_string(&file)?)
    };
    let (fewer, more) = (count(0)?, count(batches)?);
    let records = batches * subject.workload.records_of(batch);
    Profile::of_difference(&subject.name, &fewer, &more, records)
}

/// The same function under callgrind, which writes what it counts into this file.
fn under_callgrind(subject: &mut Subject, counts: &Path) {
    let program = std::mem::replace(&mut subject.program, "valgrind".into());
    let mut arguments = vec![
        "--tool=callgrind".to_owned(),
        "--compress-strings=no".to_owned(),
        "--compress-pos=no".to_owned(),
        format!("--callgrind-out-file={}", counts.display()),
        program.display().to_string(),
    ];
    arguments.append(&mut subject.arguments);
    subject.arguments = arguments;
}

/// Reads what callgrind wrote.
fn read(text: &str) -> Result<Counts, Fault> {
    let mut counts = Counts::new();
    let mut function = "";
    let mut of_call = false;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("fn=") {
            function = name;
        } else if line.starts_with("calls=") {
            // The next line is what the called function took.
            of_call = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit()) {
            let cost = line.split(' ').nth(1).ok_or("a line has no cost")?;
            if !std::mem::take(&mut of_call) {
                *counts.entry(function.to_owned()).or_default() += cost.parse::<u64>()?;
            }
        }
    }
    if counts.is_empty() {
        return Err("callgrind counted nothing".into());
    }
    Ok(counts)
}

/// What a record takes, in thousands of instructions, by part and by function.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) name: String,
    parts: BTreeMap<&'static str, f64>,
    functions: Vec<(String, f64)>,
}

impl Profile {
    fn of_difference(
        name: &str,
        fewer: &Counts,
        more: &Counts,
        records: usize,
    ) -> Result<Self, Fault> {
        let thousands = float(u64::try_from(records)?) * 1_000.0;
        let mut parts = BTreeMap::new();
        let mut functions = Vec::new();
        for (function, count) in more {
            let before = fewer.get(function).copied().unwrap_or_default();
            let cost = float(count.saturating_sub(before)) / thousands;
            *parts.entry(part(function)).or_default() += cost;
            functions.push((function.clone(), cost));
        }
        functions.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        Ok(Self {
            name: name.to_owned(),
            parts,
            functions,
        })
    }

    fn total(&self) -> f64 {
        let parts = self.parts.iter().filter(|(part, _)| **part != HASHING.0);
        parts.map(|(_, cost)| cost).sum()
    }

    /// The functions that take most.
    pub(crate) fn costliest(&self, count: usize) -> String {
        let shown = self.functions.iter().take(count);
        shown
            .map(|(function, cost)| {
                let short: String = function.chars().take(120).collect();
                format!("{cost:8.2}  {:<28}  {short}\n", part(function))
            })
            .collect()
    }
}

/// A table with a column for each profile.
pub(crate) fn table(profiles: &[Profile]) -> String {
    let names: String = profiles
        .iter()
        .map(|it| format!(" `{}` |", it.name))
        .collect();
    let mut text = format!(
        "| thousands of instructions for a record |{names}\n|---|{}\n",
        "---:|".repeat(profiles.len())
    );
    let known = PARTS.iter().map(|(part, _)| *part);
    for part in known.chain([ALLOCATION, COPYING, LIBRARY]) {
        let cost = |it: &Profile| it.parts.get(part).copied().unwrap_or_default();
        let costs: String = profiles
            .iter()
            .map(|it| format!(" {:.1} |", cost(it)))
            .collect();
        text += &format!("| {part} |{costs}\n");
    }
    let totals: String = profiles
        .iter()
        .map(|it| format!(" **{:.1}** |", it.total()))
        .collect();
    let hashing = profiles
        .iter()
        .map(|it| it.parts.get(HASHING.0).copied().unwrap_or_default());
    let hashing: String = hashing.map(|cost| format!(" {cost:.1} |")).collect();
    text + &format!("| **together** |{totals}\n| {} |{hashing}\n", HASHING.0)
}

/// The part that a function is in.
fn part(function: &str) -> &'static str {
    const ALLOCATORS: [&str; 10] = [
        "malloc",
        "free",
        "realloc",
        "calloc",
        "_int_",
        "unlink_chunk",
        "mi_",
        "_mi_",
        "sysmalloc",
        "__rust_",
    ];
    const COPIERS: [&str; 7] = ["mem", "__mem", "bcmp", "strlen", "__str", "_mm", "__bcmp"];
    if !function.contains("::") {
        return if ALLOCATORS.iter().any(|it| function.starts_with(it)) {
            ALLOCATION
        } else if COPIERS.iter().any(|it| function.starts_with(it)) {
            COPYING
        } else {
            LIBRARY
        };
    }
    crates_in(function)
        .find_map(part_of_crate)
        .unwrap_or(LIBRARY)
}

fn part_of_crate(name: &str) -> Option<&'static str> {
    let found = PARTS
        .iter()
        .chain([&HASHING])
        .find(|(_, crates)| crates.contains(&name));
    found.map(|(part, _)| *part)
}

/// The beginnings of the paths in a function's name: `a` and `d` in `<a::b::C as d::E>::f`.
fn crates_in(function: &str) -> impl Iterator<Item = &str> {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
    function
        .split(move |letter| !is_part(letter))
        .filter_map(|path| {
            let (first, rest) = path.split_once("::")?;
            (!first.is_empty() && !rest.is_empty()).then_some(first)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_has_its_own_instructions_and_not_those_of_what_it_calls() {
        let text = "events: Ir\n\nfn=a\n0 7\ncfn=b\ncalls=2 0\n0 100\n0 3\n\nfn=b\n0 100\n";
        let counts = read(text).unwrap();
        assert_eq!((counts["a"], counts["b"]), (10, 100));
        assert!(read("events: Ir\n").is_err());
    }

    #[test]
    fn the_first_crate_in_a_functions_name_decides_where_it_belongs() {
        assert_eq!(
            part("hyper::proto::h1::io::Buffered<T,B>::poll_flush"),
            "HTTP"
        );
        assert_eq!(
            part("core::ptr::drop_in_place<alloc::vec::Vec<tracing::Span>>"),
            "logs"
        );
        assert_eq!(part("<&T as core::fmt::Display>::fmt"), LIBRARY);
        assert_eq!(part("sha2::sha256::compress256"), HASHING.0);
        assert_eq!(part("_int_malloc"), ALLOCATION);
        assert_eq!(part("__memcpy_avx_unaligned_erms"), COPYING);
    }

    #[test]
    fn what_both_runs_took_is_no_records() {
        let fewer = Counts::from([
            ("serde_json::a".to_owned(), 1_000),
            ("malloc".to_owned(), 500),
        ]);
        let more = Counts::from([
            ("serde_json::a".to_owned(), 21_000),
            ("malloc".to_owned(), 500),
        ]);
        let profile = Profile::of_difference("x", &fewer, &more, 10).unwrap();
        assert!((profile.total() - 2.0).abs() < 1e-9);
        let table = table(&[profile]);
        assert!(table.contains("| JSON | 2.0 |") && table.contains("| **together** | **2.0** |"));
    }
}
