//! Feeding the targets.

use std::cell::Cell;
use std::time::{Duration, Instant};

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::targets::{TARGETS, Target, Verdict};
use crate::{corpus, mutation};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many inputs are made for each target and round.
    pub cases: u32,
    /// From this the inputs follow.
    pub seed: u64,
    /// Rounds, each with the next seed, begin until then. One is always made.
    pub lasts: Duration,
    /// Only this target.
    pub target: Option<String>,
}

/// How many inputs came to what.
#[derive(Debug, Default)]
struct Tally {
    accepted: Cell<u64>,
    refused: Cell<u64>,
}

impl Tally {
    fn note(&self, verdict: Verdict) {
        let count = match verdict {
            Verdict::Accepted => &self.accepted,
            Verdict::Refused => &self.refused,
        };
        count.set(count.get() + 1);
    }
}

/// Carries it out; what broke is kept in the corpus and told.
///
/// # Errors
/// What broke.
pub fn run(plan: &Plan, tell: &dyn Fn(String)) -> Result<(), String> {
    let began = Instant::now();
    let wanted = |target: &&Target| {
        plan.target
            .as_deref()
            .is_none_or(|name| name == target.name)
    };
    let targets: Vec<_> = TARGETS.iter().filter(wanted).collect();
    if targets.is_empty() {
        let known: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        return Err(format!("no such target; there are: {}", known.join(", ")));
    }
    for seed in plan.seed.. {
        for target in &targets {
            let tally = feed(target, plan.cases, seed)?;
            tell(format!(
                "{:<10} seed {seed}: {} accepted, {} refused",
                target.name,
                tally.accepted.get(),
                tally.refused.get()
            ));
        }
        if began.elapsed() >= plan.lasts {
            break;
        }
    }
    Ok(())
}

/// The corpus first, then what is made of it.
fn feed(target: &Target, cases: u32, seed: u64) -> Result<Tally, String> {
    let (tally, seeds) = (Tally::default(), (target.seeds)());
    for input in &seeds {
        tally.note((target.check)(input));
    }
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 2000,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let outcome = runner.run(&mutation::inputs(seeds), |input| {
        tally.note((target.check)(&input));
        Ok::<(), TestCaseError>(())
    });
    match outcome {
        Ok(()) => Ok(tally),
        Err(TestError::Fail(why, input)) => Err(format!(
            "{} with seed {seed}: {why}\nthe input is kept in {}",
            target.name,
            corpus::keep(target.name, &input).display()
        )),
        Err(TestError::Abort(why)) => Err(format!("{}: {why}", target.name)),
    }
}
