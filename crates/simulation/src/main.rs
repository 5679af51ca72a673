//! `make simulate` and `make soak`: runs seeds, and tells the story of one.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use simulation::many::{Summary, run_many};
use simulation::{Settings, run, trace};

/// How often the line of progress is written.
const PROGRESS: Duration = Duration::from_secs(1);

/// Runs the whole of Waybill in simulated time, with every fault from a seed
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds
    #[arg(long, default_value_t = 300, conflicts_with = "seed")]
    seeds: u64,
    /// The first seed
    #[arg(long, conflicts_with = "seed")]
    from: Option<u64>,
    /// Run this seed alone
    #[arg(long)]
    seed: Option<u64>,
    /// Tell its story: that of an order, or of the order that it is about, or all with ''
    #[arg(long, value_name = "ORDER", num_args = 0..=1, requires = "seed")]
    trace: Option<Option<String>>,
    /// Run as many seeds as fit into this time, such as 90s, 10m or 8h
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with_all = ["seed", "seeds"])]
    r#for: Option<Duration>,
    /// Run until Ctrl-C, from a random seed unless --from says another
    #[arg(long, conflicts_with_all = ["seed", "seeds", "for"])]
    forever: bool,
    /// So many orders in each run
    #[arg(long)]
    orders: Option<usize>,
    /// Print how often each thing happened
    #[arg(long)]
    stats: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.len().saturating_sub(1));
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err("write 90s, 10m or 8h".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "write 90s, 10m or 8h")?;
    Ok(Duration::from_secs(number * factor))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<ExitCode> {
    let arguments = Arguments::parse();
    let is_stopped = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&is_stopped);
    let running = tokio::task::spawn_blocking(move || arguments.run(&is_stopped));
    tokio::select! {
        done = running => done?,
        pressed = tokio::signal::ctrl_c() => {
            pressed?;
            stop.store(true, Ordering::Relaxed);
            Ok(ExitCode::SUCCESS)
        }
    }
}

impl Arguments {
    fn run(self, is_stopped: &AtomicBool) -> io::Result<ExitCode> {
        let settings = Settings {
            orders: self.orders,
        };
        match self.seed {
            Some(seed) => self.run_one(seed, &settings),
            None => self.run_all(&settings, is_stopped),
        }
    }

    fn run_one(&self, seed: u64, settings: &Settings) -> io::Result<ExitCode> {
        let mut out = io::stdout().lock();
        let outcome = match &self.trace {
            Some(order) => {
                let (outcome, told) = trace(seed, settings, order.as_deref());
                writeln!(out, "{told}\n")?;
                outcome
            }
            None => run(seed, settings),
        };
        writeln!(
            out,
            "seed {seed}: {} orders, {} of simulated time, digest {}",
            outcome.orders,
            in_words(outcome.lasted),
            outcome.digest
        )?;
        if self.stats {
            stats(&mut out, &outcome.counts)?;
        }
        match outcome.violation {
            None => Ok(ExitCode::SUCCESS),
            Some(violation) => {
                writeln!(
                    out,
                    "VIOLATED: {}\nseen:     {}",
                    violation.invariant, violation.seen
                )?;
                Ok(ExitCode::FAILURE)
            }
        }
    }

    fn run_all(&self, settings: &Settings, is_stopped: &AtomicBool) -> io::Result<ExitCode> {
        let is_open_ended = self.forever || self.r#for.is_some();
        let from = self.from.unwrap_or(match is_open_ended {
            true => u64::from(fastrand::u32(..)),
            false => 0,
        });
        let seeds = (!is_open_ended).then_some(self.seeds);
        let (begun, mut last) = (Instant::now(), Instant::now());
        let mut err = io::stderr().lock();
        writeln!(err, "from seed {from} on")?;
        let summary = run_many(from, seeds, settings, |so_far| {
            if last.elapsed() > PROGRESS {
                last = Instant::now();
                let told = write!(err, "\r{}  ", in_short(so_far, begun.elapsed()))
                    .and_then(|()| err.flush());
                // Whoever closed the terminal does not want to see more.
                if told.is_err() {
                    return ControlFlow::Break(());
                }
            }
            let is_over = self.r#for.is_some_and(|limit| begun.elapsed() > limit);
            match is_over || is_stopped.load(Ordering::Relaxed) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        let mut out = io::stdout().lock();
        writeln!(err)?;
        writeln!(out, "{}", in_short(&summary, begun.elapsed()))?;
        if self.stats {
            stats(&mut out, &summary.counts)?;
        }
        match summary.failed {
            None => Ok(ExitCode::SUCCESS),
            Some(failed) => {
                let (_, told) = trace(failed.seed, settings, None);
                writeln!(out, "\n{told}")?;
                Ok(ExitCode::FAILURE)
            }
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a rate for people")]
fn in_short(summary: &Summary, time: Duration) -> String {
    let rate = summary.seeds as f64 / time.as_secs_f64();
    format!(
        "{} seeds ({rate:.1}/s), {} orders, {} mishaps, {}",
        summary.seeds,
        summary.orders,
        summary.mishaps(),
        match &summary.failed {
            Some(failed) => format!("seed {} FAILED", failed.seed),
            None => "all invariants hold".to_owned(),
        }
    )
}

fn in_words(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    format!("{} h {} min", minutes / 60, minutes % 60)
}

fn stats(out: &mut impl Write, counts: &std::collections::BTreeMap<String, u64>) -> io::Result<()> {
    writeln!(out)?;
    for (name, count) in counts {
        writeln!(out, "{count:>10}  {name}")?;
    }
    Ok(())
}
