//! `make model`: explores the protocol, prints what was explored, and fails
//! where an invariant does not hold or a sabotage goes unnoticed.

use std::fmt::Debug;
use std::io::{self, Write};
use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::Instant;

use model::breaker::{self, Breaking, CIRCUIT};
use model::explored::{Explored, invariants};
use model::intake::{self, INTAKE, Intake};
use model::letters::{self, DeadLetters};
use model::relay::Publication;
use model::report::{Checkable, Report, check};
use model::scenario::{forgetful_parties, prompt_parties, quick, sabotaged, thorough};
use model::{Protocol, rest};
use outbox_relay::Failures;

fn main() -> io::Result<ExitCode> {
    let threads = available_parallelism().map_or(1, usize::from);
    let mut out = Output {
        out: io::stdout().lock(),
        threads,
        failed: false,
    };
    let started = Instant::now();
    out.line("The invariants:\n")?;
    for words in invariants::ALL.into_iter().chain([CIRCUIT, INTAKE]) {
        out.line(words)?;
    }
    out.every_state()?;
    out.rest()?;
    out.sabotages()?;
    let seconds = started.elapsed().as_secs();
    let verdict = if out.failed { "FAILED" } else { "all hold" };
    out.line(&format!("\n{verdict}, after {seconds} seconds"))?;
    Ok(ExitCode::from(u8::from(out.failed)))
}

struct Output<W> {
    out: W,
    threads: usize,
    failed: bool,
}

impl<W: Write> Output<W> {
    fn line(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.out, "{line}")?;
        self.out.flush()
    }

    /// Checks that all invariants hold.
    fn every_state(&mut self) -> io::Result<()> {
        self.line("\nThey hold in every state that can be reached:\n")?;
        self.heading("orders, sagas, workers, outside parties: 1, 2, 3, 5, 6")?;
        for scenario in [quick(), thorough(), vec![prompt_parties()]].concat() {
            let name = format!("{} order(s): {}", scenario.orders, scenario.name);
            self.holds(&name, Protocol::new(scenario))?;
        }
        self.heading("events, relay, bus: 4")?;
        for failures in [Failures::BySequence, Failures::ByError] {
            let publication = Publication::new(failures, 4);
            self.holds(&format!("4 mishaps, {failures:?}"), publication)?;
            let unreadable = Publication::unreadable(failures, 4);
            self.holds(&format!("an unreadable event, {failures:?}"), unreadable)?;
        }
        self.heading("dead letters, failure store, replays: 5, 6")?;
        for scenario in [letters::quick(), letters::thorough()].concat() {
            let name = format!("{} message(s): {}", scenario.messages, scenario.name);
            self.holds(&name, DeadLetters::new(scenario))?;
        }
        self.heading("circuit, mapping, controllers: 5, and what a circuit promises")?;
        for scenario in [breaker::quick(), breaker::thorough()].concat() {
            self.holds(scenario.name, Breaking::new(scenario.clone()))?;
        }
        self.heading("requests under one key: what intake promises")?;
        for scenario in [intake::quick(), intake::thorough()].concat() {
            self.holds(scenario.name, Intake::new(scenario.clone()))?;
        }
        Ok(())
    }

    fn heading(&mut self, what: &str) -> io::Result<()> {
        let (states, depth, seconds) = ("states", "depth", "seconds");
        self.line(&format!("{what:<64} {states:>10} {depth:>5} {seconds:>8}"))
    }

    fn holds(&mut self, name: &str, model: impl Checkable) -> io::Result<()> {
        let report = check(model, self.threads);
        let (states, depth) = (report.states, report.depth);
        let seconds = report.time.as_secs_f64();
        self.line(&format!(
            "  {name:<62} {states:>10} {depth:>5} {seconds:>8.1}"
        ))?;
        for broken in &report.broken {
            self.line(&format!("\nBROKEN: {broken}\n{}\n", broken.path))?;
        }
        self.failed |= !report.broken.is_empty();
        Ok(())
    }

    /// Checks that every path comes to rest.
    fn rest(&mut self) -> io::Result<()> {
        self.line("\nFrom every state all comes to rest without a further mishap:\n")?;
        for scenario in quick() {
            let name = format!("{} order(s): {}", scenario.orders, scenario.name);
            self.comes_to_rest(&name, &Protocol::new(scenario))?;
        }
        for scenario in letters::quick() {
            let name = format!("{} message(s): {}", scenario.messages, scenario.name);
            self.comes_to_rest(&name, &DeadLetters::new(scenario))?;
        }
        for scenario in breaker::quick() {
            self.comes_to_rest(scenario.name, &Breaking::new(scenario.clone()))?;
        }
        for scenario in intake::quick() {
            self.comes_to_rest(scenario.name, &Intake::new(scenario.clone()))?;
        }
        Ok(())
    }

    fn comes_to_rest(&mut self, name: &str, model: &impl Explored) -> io::Result<()> {
        let rest = rest::explore(model);
        let verdict = match rest.trap {
            None => "yes",
            Some(_) => "A TRAP",
        };
        self.failed |= rest.trap.is_some();
        let (states, at_rest) = (rest.states, rest.at_rest);
        self.line(&format!(
            "  {name:<62} {states:>10} states, {at_rest} at rest: {verdict}"
        ))
    }

    /// Checks that each sabotage breaks an invariant.
    fn sabotages(&mut self) -> io::Result<()> {
        self.line("\nBroken on purpose; the shortest way to see it:")?;
        for scenario in [sabotaged(), vec![forgetful_parties()]].concat() {
            let name = scenario.name;
            let what = named(scenario.sabotage.as_ref(), name);
            self.breaks(&what, Protocol::new(scenario))?;
        }
        for scenario in letters::sabotaged() {
            let what = named(scenario.sabotage.as_ref(), scenario.name);
            self.breaks(&what, DeadLetters::new(scenario))?;
        }
        for scenario in breaker::sabotaged() {
            let what = named(scenario.sabotage.as_ref(), scenario.name);
            self.breaks(&what, Breaking::new(scenario))?;
        }
        self.hangs("EndlessProbe", &Breaking::new(breaker::endless()))?;
        for scenario in intake::sabotaged() {
            let what = named(scenario.sabotage.as_ref(), scenario.name);
            self.breaks(&what, Intake::new(scenario))?;
        }
        let mut publication = Publication::new(Failures::BySequence, 3);
        publication.lying_bus = true;
        self.breaks("LyingBus", publication)
    }

    /// Checks that a sabotage leaves a state from which nothing comes to rest.
    fn hangs<M: Explored>(&mut self, what: &str, model: &M) -> io::Result<()> {
        let rest = rest::explore(model);
        self.failed |= rest.trap.is_none();
        let Some(path) = rest.trap else {
            let states = rest.states;
            return self.line(&format!("\n{what}: NOT NOTICED in {states} states"));
        };
        self.line(&format!("\n{what}: from here nothing comes to rest:"))?;
        for (number, (state, action)) in (1..).zip(&path) {
            self.line(&format!("{number:>4}. {}", model.say(state, *action)))?;
        }
        Ok(())
    }

    fn breaks(&mut self, what: &str, model: impl Checkable) -> io::Result<()> {
        // With one thread the first way that is found is a shortest one.
        let Report { states, broken, .. } = check(model, 1);
        self.failed |= broken.is_empty();
        match broken.first() {
            Some(broken) => self.line(&format!("\n{what} breaks {broken}:\n{}", broken.path)),
            None => self.line(&format!("\n{what}: NOT NOTICED in {states} states")),
        }
    }
}

fn named(sabotage: Option<&impl Debug>, otherwise: &str) -> String {
    sabotage.map_or_else(|| otherwise.to_owned(), |sabotage| format!("{sabotage:?}"))
}
