//! The chart: what differs most, side by side, as SVG.

use std::fmt::Write as _;

use crate::measure::{Placement, float};
use crate::report::{Results, digits};
use crate::statistics::Figure;
use crate::subject::{MINIMAL, NULL, PYTHON, Subject, TYPESCRIPT};

const WIDTH: f64 = 1200.0;
const PANEL: f64 = 270.0;
const NAMES: f64 = 120.0;
const TOP: f64 = 78.0;
const ROW: f64 = 26.0;
/// Room for the number behind a bar.
const NUMBER: f64 = 46.0;

const FLOOR: &str = "#8a8a99";
const PEER: &str = "#e1963c";
const OWN: &str = "#2e8b57";

/// A figure of each function.
struct Panel {
    title: &'static str,
    rows: Vec<Option<Figure>>,
}

/// Draws it.
pub(crate) fn draw(results: &Results, subjects: &[Subject], latency: f64) -> String {
    let names: Vec<&str> = subjects.iter().map(|it| it.name.as_str()).collect();
    let panels = panels(results, subjects);
    let height = TOP + ROW * float(names.len().try_into().unwrap_or(u64::MAX)) + 16.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"12\" y=\"22\" font-size=\"15\">Waybill's functions beside the bare runtime, a minimal worker, and Powertools in Python and TypeScript</text>\n\
         <text x=\"12\" y=\"40\" fill=\"#555\">Logarithmic scales, less is better; medians, and a line from the least to the most. A slow store takes {latency} ms longer.</text>\n"
    );
    for (row, name) in names.iter().enumerate() {
        let y = row_y(row) + ROW / 2.0;
        let _ = writeln!(svg, "<text x=\"12\" y=\"{y:.1}\">{}</text>", escaped(name));
    }
    let mut x = NAMES;
    for panel in panels {
        svg += &drawn(&panel, &names, x);
        x += PANEL;
    }
    svg + "</svg>\n"
}

fn panels(results: &Results, subjects: &[Subject]) -> Vec<Panel> {
    let place = Placement::Together;
    let of = |get: &dyn Fn(&Subject) -> Option<Figure>| subjects.iter().map(get).collect();
    vec![
        Panel {
            title: "cold start, ms to the first request",
            rows: of(&|it| results.start(&it.name, place, |start| start.to_request)),
        },
        Panel {
            title: "CPU seconds per 1,000 records",
            rows: of(&|it| results.figure(&it.name, place, &|it| it.first.cpu_per_thousand())),
        },
        Panel {
            title: "ms for a batch, slow store",
            rows: of(&|it| results.figure(&it.name, place, &|it| it.slow.p50)),
        },
        Panel {
            title: "MiB of memory at the peak",
            rows: of(&|it| results.figure(&it.name, place, &|it| it.peak_mib)),
        },
    ]
}

fn drawn(panel: &Panel, names: &[&str], x: f64) -> String {
    let mut svg = format!(
        "<text x=\"{x}\" y=\"64\" font-weight=\"bold\">{}</text>\n",
        panel.title
    );
    let scale = Scale::over(panel.rows.iter().flatten());
    for (row, (figure, name)) in panel.rows.iter().zip(names).enumerate() {
        let Some(figure) = figure else { continue };
        let (y, colour) = (row_y(row), colour(name));
        let at = |value| x + scale.length(value);
        let (width, middle) = (scale.length(figure.median), y + ROW / 2.0 - 4.0);
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>",
            ROW - 8.0
        );
        let (least, most) = (at(figure.least), at(figure.most));
        let _ = writeln!(
            svg,
            "<path d=\"M{least:.1} {middle:.1}H{most:.1}\" stroke=\"#333\"/>"
        );
        let (end, base) = (at(figure.median.max(figure.most)) + 4.0, middle + 4.0);
        let number = digits(figure.median);
        let _ = writeln!(svg, "<text x=\"{end:.1}\" y=\"{base:.1}\">{number}</text>");
    }
    svg
}

fn row_y(row: usize) -> f64 {
    TOP + ROW * float(row.try_into().unwrap_or(u64::MAX))
}

fn colour(name: &str) -> &'static str {
    match name {
        NULL | MINIMAL => FLOOR,
        PYTHON | TYPESCRIPT => PEER,
        _ => OWN,
    }
}

/// A logarithmic scale. What is least is seen as well, as a short bar.
#[derive(Debug)]
struct Scale {
    least: f64,
    most: f64,
}

impl Scale {
    fn over<'a>(figures: impl Iterator<Item = &'a Figure>) -> Self {
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for figure in figures {
            least = least.min(figure.least);
            most = most.max(figure.most);
        }
        Self {
            least: least.max(1e-6) / 1.5,
            most: most.max(1e-6),
        }
    }

    fn length(&self, value: f64) -> f64 {
        let share = (value / self.least).ln() / (self.most / self.least).ln();
        share.clamp(0.0, 1.0) * (PANEL - NUMBER)
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_ends_at_the_most_and_shows_the_least() {
        let figure = |value| Figure {
            median: value,
            least: value,
            most: value,
        };
        let scale = Scale::over([figure(1.0), figure(100.0)].iter());
        assert!((scale.length(100.0) - (PANEL - NUMBER)).abs() < 1e-9);
        assert!(scale.length(1.0) > 5.0);
        assert!(scale.length(10.0) > scale.length(2.0));
        assert!(scale.length(0.0).abs() < 1e-9);
    }

    #[test]
    fn each_figure_has_a_bar_and_what_is_missing_has_none() {
        let figure = Figure {
            median: 2.0,
            least: 1.0,
            most: 3.0,
        };
        let panel = Panel {
            title: "x",
            rows: vec![Some(figure), None, Some(figure)],
        };
        let svg = drawn(&panel, &["null", "python", "own"], 0.0);
        assert_eq!(svg.matches("<rect").count(), 2);
        assert!(svg.contains(FLOOR) && svg.contains(OWN) && !svg.contains(PEER));
    }

    #[test]
    fn a_name_cannot_break_the_picture() {
        assert_eq!(escaped("a<b&c"), "a&lt;b&amp;c");
    }
}
