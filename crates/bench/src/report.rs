//! Tables of what was measured.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::measure::{Phase, Placement, Round, SHAPES, Shape, float};
use crate::statistics::Figure;
use crate::subject::{MINIMAL, NULL, PYTHON, Subject, TYPESCRIPT};

/// All rounds.
#[derive(Debug)]
pub(crate) struct Results {
    /// Requests that the stand-in answers in a second.
    pub(crate) capacity: f64,
    rounds: BTreeMap<(String, Placement), Vec<Round>>,
}

/// A figure of a round.
type Of<'a> = &'a dyn Fn(&Round) -> f64;

impl Results {
    pub(crate) fn new(capacity: f64) -> Self {
        Self {
            capacity,
            rounds: BTreeMap::new(),
        }
    }

    pub(crate) fn add(&mut self, placement: Placement, subject: &Subject, round: Round) {
        let key = (subject.name.clone(), placement);
        self.rounds.entry(key).or_default().push(round);
    }

    fn rounds(&self, name: &str, placement: Placement) -> &[Round] {
        let found = self.rounds.get(&(name.to_owned(), placement));
        found.map_or(&[], Vec::as_slice)
    }

    /// A figure over the rounds.
    pub(crate) fn figure(&self, name: &str, placement: Placement, of: Of<'_>) -> Option<Figure> {
        Figure::of(self.rounds(name, placement).iter().map(of))
    }

    /// A cold start, over all starts of all rounds.
    pub(crate) fn start(
        &self,
        name: &str,
        placement: Placement,
        of: impl Fn(&crate::measure::Start) -> f64,
    ) -> Option<Figure> {
        let rounds = self.rounds(name, placement);
        Figure::of(rounds.iter().flat_map(|it| &it.starts).map(of))
    }

    pub(crate) fn placements(&self) -> Vec<Placement> {
        let mut found: Vec<_> = self
            .rounds
            .keys()
            .map(|(_, placement)| *placement)
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Everything.
    pub(crate) fn tables(&self, subjects: &[Subject]) -> String {
        let mut text = String::new();
        for placement in self.placements() {
            let _ = writeln!(text, "#### With {}\n", title(placement));
            text += &self.cold(subjects, placement);
            text += &self.work(subjects, placement);
        }
        text += "#### Other batches, a third of whose messages comes again\n\n";
        text += &self.shapes(subjects);
        text += "#### What a record asks of AWS\n\n";
        text += &self.requests(subjects);
        text + "#### The stand-in\n\n" + &self.stand_in()
    }

    /// Whether the stand-in could have been what everybody waited for.
    fn stand_in(&self) -> String {
        let mut text = format!(
            "It answered {:.0} conditional puts a second with nothing else to do, {:.0} µs each.",
            self.capacity,
            1e6 / self.capacity,
        );
        for placement in self.placements() {
            let rounds = self.rounds.iter().filter(|((_, it), _)| *it == placement);
            let named =
                rounds.flat_map(|((name, _), rounds)| rounds.iter().map(move |it| (name, it)));
            let most = named.max_by(|(_, one), (_, other)| {
                let of = |it: &Round| it.first.requests_per_second();
                of(one).total_cmp(&of(other))
            });
            let Some((name, round)) = most else { continue };
            let asked = round.first.requests_per_second();
            let busy = 100.0 * round.first.driver_cpu / round.first.seconds;
            let _ = write!(
                text,
                " With {}, it was asked most by `{name}`: {asked:.0} requests a second, {:.0} % of that; \
                 the driver, with the store and the Runtime API in it, then computed for {busy:.0} % of the time.",
                title(placement),
                100.0 * asked / self.capacity,
            );
        }
        text + "\n"
    }

    fn cold(&self, subjects: &[Subject], placement: Placement) -> String {
        let mut text = "| cold start | ms to the first request for work | of null | of minimal | of python | of typescript | ms to the first answer | of minimal | peak MiB | program MiB | zip MiB |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n".to_owned();
        for subject in subjects {
            let name = &subject.name;
            let request = |name: &str| self.start(name, placement, |it| it.to_request);
            let answer = |name: &str| self.start(name, placement, |it| it.to_answer);
            let cells = [
                spread(request(name)),
                times(request(name), request(NULL)),
                times(request(name), request(MINIMAL)),
                times(request(name), request(PYTHON)),
                times(request(name), request(TYPESCRIPT)),
                spread(answer(name)),
                times(answer(name), answer(MINIMAL)),
                plain(self.figure(name, placement, &|it| it.peak_mib)),
                mib(subject.sizes.whole),
                mib(subject.sizes.zip),
            ];
            let _ = writeln!(text, "| `{name}` | {} |", cells.join(" | "));
        }
        text + "\n"
    }

    fn work(&self, subjects: &[Subject], placement: Placement) -> String {
        let mut text = "| at work | CPU s per 1,000 records | of null | of minimal | of python | of typescript | duplicates | records/s | duplicates | batch ms p50 | p99 | slow store p50 | p99 | function busy % | driver busy % |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n".to_owned();
        for subject in subjects {
            let name = &subject.name;
            let figure = |name: &str, of: Of<'_>| self.figure(name, placement, of);
            let cpu = |name: &str| figure(name, &|it| it.first.cpu_per_thousand());
            let cells = [
                spread(cpu(name)),
                times(cpu(name), cpu(NULL)),
                times(cpu(name), cpu(MINIMAL)),
                times(cpu(name), cpu(PYTHON)),
                times(cpu(name), cpu(TYPESCRIPT)),
                spread(figure(name, &|it| it.duplicate.cpu_per_thousand())),
                whole(figure(name, &|it| it.first.records_per_second())),
                whole(figure(name, &|it| it.duplicate.records_per_second())),
                plain(figure(name, &|it| it.first.p50)),
                plain(figure(name, &|it| it.first.p99)),
                plain(figure(name, &|it| it.slow.p50)),
                plain(figure(name, &|it| it.slow.p99)),
                whole(figure(name, &|it| 100.0 * it.first.cpu / it.first.seconds)),
                whole(figure(name, &|it| {
                    100.0 * it.first.driver_cpu / it.first.seconds
                })),
            ];
            let _ = writeln!(text, "| `{name}` | {} |", cells.join(" | "));
        }
        text + "\n"
    }

    /// Driver and function on one core.
    fn shapes(&self, subjects: &[Subject]) -> String {
        let title = |it: &Shape| format!("{} with {} ms", it.batch, it.latency_millis);
        let titles: Vec<_> = SHAPES.iter().map(title).collect();
        let mut text = format!(
            "| ms for a batch of so many, with so long a wait for each store request: p50, p99 | {} |\n|---|{}\n",
            titles.join(" | "),
            "---:|".repeat(SHAPES.len()),
        );
        for subject in subjects.iter().filter(|it| it.has_shapes) {
            let cell = |shape: usize| {
                let of = |of: fn(&Phase) -> f64| {
                    let rounds = self.rounds(&subject.name, Placement::Together);
                    plain(Figure::of(
                        rounds.iter().filter_map(|it| it.shapes.get(shape)).map(of),
                    ))
                };
                format!("{}, {}", of(|it| it.p50), of(|it| it.p99))
            };
            let cells: Vec<_> = (0..SHAPES.len()).map(cell).collect();
            let _ = writeln!(text, "| `{}` | {} |", subject.name, cells.join(" | "));
        }
        text + "\n"
    }

    fn requests(&self, subjects: &[Subject]) -> String {
        let mut text = "| per record | store requests | duplicate | write units | duplicate | requests of the sandbox | task answers, starts | publishes |\n|---|---:|---:|---:|---:|---:|---:|---:|\n".to_owned();
        for subject in subjects {
            let name = &subject.name;
            let per = |of: &dyn Fn(&Round) -> (&Phase, u64)| {
                let of = |round: &Round| {
                    let (phase, count) = of(round);
                    float(count) / phase.records
                };
                plain(self.figure(name, Placement::Together, &of))
            };
            let cells = [
                per(&|it| (&it.first, it.first.tally.store_requests())),
                per(&|it| (&it.duplicate, it.duplicate.tally.store_requests())),
                per(&|it| (&it.first, it.first.tally.write_units())),
                per(&|it| (&it.duplicate, it.duplicate.tally.write_units())),
                per(&|it| (&it.first, it.first.tally.sandbox_requests())),
                per(&|it| (&it.first, it.first.tally.of("Step Functions"))),
                per(&|it| (&it.first, it.first.tally.of("SNS"))),
            ];
            let _ = writeln!(text, "| `{name}` | {} |", cells.join(" | "));
        }
        text + "\n"
    }
}

/// A round in a line, so that one sees that it goes on.
pub(crate) fn line(round: usize, placement: Placement, subject: &Subject, it: &Round) -> String {
    let start = Figure::of(it.starts.iter().map(|it| it.to_request));
    format!(
        "{round} {:<9} {:<16} start {:>7} ms  CPU {:.3} s/1,000  {:>6.0}/s  slow batch {:.1} ms  {:.1} MiB",
        format!("{placement:?}").to_lowercase(),
        subject.name,
        plain(start),
        it.first.cpu_per_thousand(),
        it.first.records_per_second(),
        it.slow.p50,
        it.peak_mib,
    )
}

pub(crate) fn title(placement: Placement) -> &'static str {
    match placement {
        Placement::Together => "driver and function on one core",
        Placement::Apart => "driver and function on a core each",
    }
}

fn plain(figure: Option<Figure>) -> String {
    figure.map_or_else(String::new, |it| digits(it.median))
}

fn whole(figure: Option<Figure>) -> String {
    figure.map_or_else(String::new, |it| format!("{:.0}", it.median))
}

fn spread(figure: Option<Figure>) -> String {
    figure.map_or_else(String::new, |it| {
        let (median, least, most) = (digits(it.median), digits(it.least), digits(it.most));
        format!("{median} ({least}–{most})")
    })
}

fn times(of: Option<Figure>, other: Option<Figure>) -> String {
    match of.zip(other) {
        Some((of, other)) => digits(of.median / other.median),
        None => String::new(),
    }
}

fn mib(bytes: u64) -> String {
    format!("{:.2}", float(bytes) / 1024.0 / 1024.0)
}

/// As many digits as say something.
pub(crate) fn digits(value: f64) -> String {
    match value {
        _ if value >= 100.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ if value >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
