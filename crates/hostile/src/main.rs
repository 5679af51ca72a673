//! Feeds bad input to all that faces outside, and reads what they log about it.
//!
//! The functions log to standard output, as in Lambda. So they run in a process of
//! their own, and this one reads along.

use std::io::BufReader;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use aws_adapters::{Environment, init_logs};
use clap::Parser;
use hostile::logs;
use hostile::run::{Plan, run};

#[derive(Debug, Parser)]
struct Arguments {
    /// How many inputs to make for each target and round
    #[arg(long, default_value_t = 300)]
    cases: u32,
    /// The inputs follow from this
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Begin new rounds for so long: 90s, 10m, 2h
    #[arg(long = "for", value_name = "TIME", value_parser = duration, default_value = "0s")]
    lasts: Duration,
    /// Only this target
    #[arg(long)]
    target: Option<String>,
    /// Run the functions in this process, and let others read their log
    #[arg(long, hide = true)]
    here: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = if arguments.here {
        feed(arguments)
    } else {
        read_along()
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn feed(arguments: Arguments) -> Result<(), String> {
    init_logs(Environment);
    let plan = Plan {
        cases: arguments.cases,
        seed: arguments.seed,
        lasts: arguments.lasts,
        target: arguments.target,
    };
    run(&plan, &|line| eprintln!("{line}"))
}

/// Starts the same again with the functions in it.
fn read_along() -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let own = std::env::current_exe().map_err(text)?;
    let mut child = Command::new(own)
        .args(std::env::args_os().skip(1))
        .arg("--here")
        .env("LOG_LEVEL", "trace")
        .stdout(Stdio::piped())
        .spawn()
        .map_err(text)?;
    let log = child.stdout.take().ok_or("there is no log")?;
    let lines = logs::check(BufReader::new(log));
    if lines.is_err() {
        child.kill().map_err(text)?;
    }
    let status = child.wait().map_err(text)?;
    let lines = lines?;
    if !status.success() {
        return Err("a property was broken; see above".to_owned());
    }
    eprintln!("{lines} lines of log, each one JSON object");
    Ok(())
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a time like 90s, 10m or 2h");
    let (number, seconds) = [("s", 1), ("m", 60), ("h", 3600)]
        .iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, *seconds)))
        .ok_or_else(wrong)?;
    let number: u32 = number.parse().map_err(|_| wrong())?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}
