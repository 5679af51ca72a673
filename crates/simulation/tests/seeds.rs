//! The default seeds: every invariant holds, and everything that is handled has happened.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test says so by failing"
)]

use std::ops::ControlFlow;

use simulation::coverage::missing;
use simulation::many::run_many;
use simulation::{Settings, run, trace};

/// Thousands of orders in all.
const SEEDS: u64 = 240;

#[test]
fn the_invariants_hold_in_every_seed_and_everything_that_is_handled_has_happened() {
    let settings = Settings::default();
    let summary = run_many(0, Some(SEEDS), &settings, |_| ControlFlow::Continue(()));
    if let Some(failed) = &summary.failed {
        let (_, told) = trace(failed.seed, &settings, None);
        panic!("{told}");
    }
    assert_eq!(summary.seeds, SEEDS);
    assert_eq!(missing(&summary.counts), Vec::<String>::new());
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in [1, 2, 3, 4] {
        let settings = Settings::default();
        let (one, other) = (run(seed, &settings), run(seed, &settings));
        assert_eq!(one.digest, other.digest, "seed {seed}");
        let (traced, _) = trace(seed, &settings, None);
        assert_eq!(one.digest, traced.digest, "seed {seed}, traced");
    }
    let settings = Settings::default();
    assert_ne!(run(1, &settings).digest, run(2, &settings).digest);
}
