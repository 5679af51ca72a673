//! Many seeds, side by side.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, mpsc};
use std::thread::available_parallelism;

use crate::{Outcome, Settings, run};

/// What many runs came to.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// How many runs.
    pub seeds: u64,
    /// How many orders, all together.
    pub orders: usize,
    /// How often each thing happened.
    pub counts: BTreeMap<String, u64>,
    /// The first run in which an invariant did not hold.
    pub failed: Option<Outcome>,
}

impl Summary {
    /// How often something went wrong.
    pub fn mishaps(&self) -> u64 {
        let counts = self
            .counts
            .iter()
            .filter(|(name, _)| name.starts_with("mishap"));
        counts.map(|(_, count)| count).sum()
    }

    fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.orders += outcome.orders;
        for (name, count) in &outcome.counts {
            *self.counts.entry(name.clone()).or_default() += count;
        }
        // The smallest seed, whichever thread was faster.
        let is_first = self
            .failed
            .as_ref()
            .is_none_or(|failed| outcome.seed < failed.seed);
        if outcome.violation.is_some() && is_first {
            self.failed = Some(outcome);
        }
    }
}

/// Runs the seeds from one on, on all processors, until one fails, there are no more, or
/// `watch`, which sees the sum so far after each run, says stop.
pub fn run_many(
    from: u64,
    seeds: Option<u64>,
    settings: &Settings,
    mut watch: impl FnMut(&Summary) -> ControlFlow<()>,
) -> Summary {
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let summary = Mutex::new(Summary::default());
    let (done, finished) = mpsc::channel();
    let threads = available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (next, stop, summary, done) = (&next, &stop, &summary, done.clone());
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if seeds.is_some_and(|seeds| index >= seeds) {
                        return;
                    }
                    let outcome = run(from.wrapping_add(index), settings);
                    if outcome.violation.is_some() {
                        stop.store(true, Ordering::Relaxed);
                    }
                    lock(summary).add(outcome);
                    if done.send(()).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        for () in finished {
            let so_far = lock(&summary).clone();
            if watch(&so_far).is_break() {
                stop.store(true, Ordering::Relaxed);
            }
        }
    });
    summary.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
