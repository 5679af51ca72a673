//! The circuit breaker on small scenarios; `make model` explores larger ones.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what was explored is for people to read; a sabotage without a scenario fails its test"
)]

use model::breaker::{Breaking, CIRCUIT, Sabotage, endless, quick, sabotaged};
use model::explored::invariants;
use model::report::check;
use model::rest;

const THREADS: usize = 2;

#[test]
fn a_circuit_holds_messages_back_and_loses_none() {
    for scenario in quick() {
        let report = check(Breaking::new(scenario.clone()), THREADS);
        println!(
            "{}: {} states, depth {}, {:?}",
            scenario.name, report.states, report.depth, report.time
        );
        for broken in &report.broken {
            println!("{broken}:\n{}\n", broken.path);
        }
        assert!(report.broken.is_empty(), "{}", scenario.name);
        assert!(
            report.unseen.is_empty(),
            "{}: {:?}",
            scenario.name,
            report.unseen
        );
    }
}

#[test]
fn from_every_state_the_circuit_is_closed_again_or_kept_by_a_person() {
    for scenario in quick() {
        let rest = rest::explore(&Breaking::new(scenario.clone()));
        println!(
            "{}: {} states, {} at rest",
            scenario.name, rest.states, rest.at_rest
        );
        assert!(rest.at_rest > 0, "{}", scenario.name);
        assert_eq!(rest.trap, None, "{}", scenario.name);
    }
}

#[track_caller]
fn breaks(sabotage: Sabotage, words: &str, part: &str) {
    let mut all = sabotaged().into_iter();
    let scenario = all.find(|scenario| scenario.sabotage == Some(sabotage));
    // With one thread the first way that is found is a shortest one.
    let report = check(Breaking::new(scenario.unwrap()), 1);
    for broken in &report.broken {
        println!("{sabotage:?} breaks {broken}:\n{}\n", broken.path);
    }
    let mut broken = report.broken.iter();
    let noticed = broken.any(|broken| broken.words == words && broken.parts.contains(&part));
    assert!(noticed, "not noticed in {} states", report.states);
}

#[test]
fn a_circuit_that_is_stored_over_any_version_is_noticed() {
    breaks(Sabotage::NoVersionCheck, CIRCUIT, "one probe at a time");
}

#[test]
fn a_mapping_that_does_not_change_is_noticed() {
    let part = "once it was looked after, a mapping lets through what its circuit wants";
    breaks(Sabotage::DeafMapping, CIRCUIT, part);
}

#[test]
fn a_probed_message_that_is_deleted_before_its_copy_is_sent_is_noticed() {
    let part = "no message is lost by a pause, a probe or an open circuit";
    breaks(Sabotage::DeleteBeforeCopy, invariants::MESSAGES, part);
}

#[test]
fn a_controller_that_forgets_a_pause_is_noticed() {
    let part = "a pause is begun and ended by a person only";
    breaks(Sabotage::PauseForgotten, CIRCUIT, part);
}

#[test]
fn a_probe_that_is_waited_for_without_end_is_noticed() {
    let rest = rest::explore(&Breaking::new(endless()));
    assert!(rest.trap.is_some(), "not noticed in {} states", rest.states);
}

#[test]
#[ignore = "scratch"]
fn scratch() {
    let n = |name: &str| std::env::var(name).ok().and_then(|it| it.parse::<u8>().ok()).unwrap_or(0);
    let mut s = quick().remove(0);
    s.messages = n("M").max(1);
    s.controllers = usize::from(n("C").max(1));
    s.workers = usize::from(n("W"));
    s.longest = n("L");
    s.slow_mapping = n("SLOW") > 0;
    s.is_open = n("OPEN") > 0;
    s.has_stream = n("STREAM") > 0;
    use model::breaker::{Memory, StepRecord};
    s.memories = match n("MEM") { 0 => &[Memory::Failures], 1 => &[Memory::Nothing, Memory::Failures], 2 => &[Memory::Failures, Memory::Tripped], _ => &[Memory::Nothing, Memory::Failures, Memory::Tripped] };
    if n("CLAIMED") > 0 { s.records = StepRecord::Claimed; }
    s.mishaps.outages = n("O");
    s.mishaps.timeouts = n("T");
    s.mishaps.crashes = n("X");
    s.mishaps.lost_answers = n("A");
    s.mishaps.persons = n("P");
    s.mishaps.by_hand = n("H");
    println!("{s:?}");
    if n("REST") > 0 {
        let model = Breaking::new(s);
        let rest = rest::explore(&model);
        println!("{} states, {} at rest, trap {}, places {:?}", rest.states, rest.at_rest, rest.trap.is_some(), model.seen());
        if let Some(path) = rest.trap { use model::explored::Explored; for (state, action) in &path { println!("{}", model.say(state, *action)); }
           let (state, action) = path.last().unwrap(); use stateright::Model; for l in model.describe(&model.next_state(state, *action).unwrap()) { println!("{l}"); } }
    } else {
        let report = check(Breaking::new(s), THREADS);
        println!("{} states, depth {}, {:?}", report.states, report.depth, report.time);
        for broken in &report.broken { println!("{broken}:\n{}\n", broken.path); }
        println!("unseen {:?}", report.unseen);
    }
}
