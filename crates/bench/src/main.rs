//! `make bench`: the functions beside a floor, a minimal worker and peers, in one run.

mod capacity;
mod chart;
mod document;
mod http;
mod measure;
mod process;
mod profile;
mod report;
mod runtime_api;
mod standin;
mod statistics;
mod subject;
mod targets;
mod workload;
mod zip;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;

use self::http::Server;
use self::measure::{Amount, Bench, Placement};
use self::report::Results;
use self::standin::StandIn;
use self::subject::{Places, Subject};

/// What went wrong, in words.
pub(crate) type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Measures functions side by side.
#[derive(Debug, Parser)]
pub(crate) struct Arguments {
    /// How often everything is measured, one function after the other.
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// Records of each function and round, delivered once and then again.
    #[arg(long, default_value_t = 2_000)]
    pub(crate) records: usize,
    /// Records in a batch.
    #[arg(long, default_value_t = 10)]
    pub(crate) batch: usize,
    /// Cold starts of each function and round; a fifth of it for the peers.
    #[arg(long, default_value_t = 10)]
    pub(crate) starts: usize,
    /// Milliseconds that each request to a table takes longer, in one of the phases.
    #[arg(long, default_value_t = 3.0)]
    pub(crate) latency: f64,
    /// Batches in that phase.
    #[arg(long, default_value_t = 50)]
    pub(crate) slow_batches: usize,
    /// What is measured; everything if nothing is named.
    #[arg(long, value_delimiter = ',')]
    pub(crate) functions: Vec<String>,
    /// Another program, and whose work it gets: `NAME=payment-worker=path/to/bootstrap`.
    #[arg(long)]
    pub(crate) other: Vec<String>,
    /// Where the release builds are.
    #[arg(long)]
    pub(crate) programs: PathBuf,
    /// Count the instructions of a record with valgrind instead, which must be installed.
    /// The programs must have their symbols.
    #[arg(long)]
    pub(crate) profile: bool,
    /// Write docs/performance.md and its chart.
    #[arg(long)]
    pub(crate) write: bool,
    /// Where the repository is.
    #[arg(long, default_value = ".")]
    pub(crate) root: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            say(&format!("error: {fault}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Fault> {
    let subjects = subjects(arguments)?;
    if arguments.profile {
        return profile(arguments, subjects);
    }
    let load = document::load()?;
    let cores = process::cores()?;
    let driver_core = *cores.first().ok_or("no core may be used")?;
    let other_core = cores.get(1).copied();
    let logs = arguments.root.join(".local/bench-logs");
    std::fs::create_dir_all(&logs)?;
    process::bind(driver_core)?;

    let aws = Arc::new(StandIn::default());
    let server = Server::start(Arc::clone(&aws))?;
    let mut results = Results::new(capacity::of(
        server.address(),
        other_core.unwrap_or(driver_core),
    )?);
    say(&format!(
        "the stand-in answers {:.0} requests/s",
        results.capacity
    ));
    aws.take_tally();

    for round in 1..=arguments.rounds {
        let apart = other_core.map(|core| (Placement::Apart, core));
        for (placement, core) in [(Placement::Together, driver_core)]
            .into_iter()
            .chain(apart)
        {
            let bench = Bench {
                aws: &aws,
                endpoint: format!("http://{}", server.address()),
                driver_core,
                function_core: core,
                logs: &logs,
            };
            for subject in &subjects {
                let measured = bench.round(subject, amount(arguments))?;
                say(&report::line(round, placement, subject, &measured));
                results.add(placement, subject, measured);
            }
        }
    }
    let load = format!("{load} at the start, {} at the end", document::load()?);
    let text = page(arguments, &results, &subjects, cores.len(), &load)?;
    say(&text);
    if arguments.write {
        write(arguments, &results, &subjects, &text)?;
    }
    Ok(())
}

/// Prints how many instructions a record takes, and where.
fn profile(arguments: &Arguments, subjects: Vec<Subject>) -> Result<(), Fault> {
    let core = *process::cores()?.first().ok_or("no core may be used")?;
    let logs = arguments.root.join(".local/bench-logs");
    std::fs::create_dir_all(&logs)?;
    let aws = Arc::new(StandIn::default());
    let server = Server::start(Arc::clone(&aws))?;
    let bench = Bench {
        aws: &aws,
        endpoint: format!("http://{}", server.address()),
        driver_core: core,
        function_core: core,
        logs: &logs,
    };
    let mut profiles = Vec::new();
    for subject in subjects {
        let profile = profile::of(&bench, subject, arguments.records, arguments.batch)?;
        say(&format!("{}\n{}", profile.name, profile.costliest(40)));
        profiles.push(profile);
    }
    say(&profile::table(&profiles));
    Ok(())
}

/// What is written into the page.
fn page(
    arguments: &Arguments,
    results: &Results,
    subjects: &[Subject],
    cores: usize,
    load: &str,
) -> Result<String, Fault> {
    let node = subjects.iter().find(|it| it.name == subject::TYPESCRIPT);
    let node = node.map(|it| it.program.as_path());
    let circumstances = document::circumstances(&arguments.root, node, cores)?;
    let Arguments {
        rounds,
        records,
        batch,
        starts,
        slow_batches,
        latency,
        ..
    } = arguments;
    let targets = targets::table(results, subjects, *batch, *latency);
    let tables = results.tables(subjects);
    Ok(format!(
        "{circumstances}- {rounds} rounds, each with {starts} starts and {records} records in batches of {batch}, \
         and {slow_batches} batches with {latency} ms for each store request; load average {load}\n\n\
         #### Targets\n\n{targets}\n{tables}"
    ))
}

fn write(
    arguments: &Arguments,
    results: &Results,
    subjects: &[Subject],
    text: &str,
) -> Result<(), Fault> {
    let docs = arguments.root.join("docs");
    let page = docs.join("performance.md");
    let new = document::replace(&std::fs::read_to_string(&page)?, text)?;
    std::fs::write(&page, new)?;
    let chart = chart::draw(results, subjects, arguments.latency);
    std::fs::write(docs.join("performance.svg"), chart)?;
    say("docs/performance.md and docs/performance.svg are written");
    Ok(())
}

fn amount(arguments: &Arguments) -> Amount {
    Amount {
        records: arguments.records,
        batch: arguments.batch,
        starts: arguments.starts,
        slow_batches: arguments.slow_batches,
        latency: Duration::from_secs_f64(arguments.latency / 1_000.0),
    }
}

fn subjects(arguments: &Arguments) -> Result<Vec<Subject>, Fault> {
    let root = arguments.root.canonicalize()?;
    let places = Places {
        programs: arguments.programs.clone(),
        events: root.join("events"),
        peers: root.join("crates/bench/peers"),
        tools: root.join(".local"),
    };
    let known = subject::names();
    let wanted: Vec<&str> = match arguments.functions.as_slice() {
        [] => known.clone(),
        some => some.iter().map(String::as_str).collect(),
    };
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(name)) {
        return Err(format!("{unknown} is not known; there are: {}", known.join(", ")).into());
    }
    let mut subjects = Vec::new();
    for name in wanted {
        subjects.push(Subject::find(name, &places)?);
    }
    for other in &arguments.other {
        let parts: Vec<_> = other.splitn(3, '=').collect();
        let [name, like, program] = parts.as_slice() else {
            return Err(format!("{other} is not NAME=FUNCTION=PATH").into());
        };
        subjects.push(Subject::program(name, program.as_ref(), like, &places)?);
    }
    Ok(subjects)
}

/// Prints a line. Nothing sensible can be done when the reader is gone.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
