//! What the tests of several models do alike.

use model::explored::Explored;
use model::report::{self, Checkable, Report};
use model::rest;

const THREADS: usize = 2;

/// Explores a scenario, in which all that must hold does.
pub(crate) fn holds<M: Checkable>(name: &str, model: M) -> Report {
    let report = report::check(model, THREADS);
    println!(
        "{name}: {} states, depth {}, {:?}",
        report.states, report.depth, report.time
    );
    for broken in &report.broken {
        println!("{broken}:\n{}\n", broken.path);
    }
    assert!(report.broken.is_empty(), "{name}");
    report
}

/// Explores a scenario, in which everything comes to rest from every state.
pub(crate) fn comes_to_rest<M: Explored>(name: &str, model: &M) {
    let rest = rest::explore(model);
    println!("{name}: {} states, {} at rest", rest.states, rest.at_rest);
    assert!(rest.at_rest > 0, "{name}");
    assert_eq!(rest.trap, None, "{name}");
}
