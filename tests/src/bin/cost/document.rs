//! The tables, and where they go.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use waybill_tests::cost::{Kind, Usage};

use crate::bill::{self, Bill};
use crate::fixed::Fixed;
use crate::prices::Prices;

/// Around what is written into the page.
pub(crate) const MARKERS: (&str, &str) = ("<!-- written by make cost -->", "<!-- end -->");
const ORDERS: [Kind; 3] = [Kind::Completed, Kind::Declined, Kind::Undone];

/// All tables.
pub(crate) fn write(counted: &BTreeMap<Kind, Usage>, prices: &Prices, fixed: &Fixed) -> String {
    let mut text = String::new();
    for kind in ORDERS {
        text += &dollars(kind, &counted[&kind], prices);
    }
    text += &monthly(fixed, prices);
    text += &amounts(counted);
    text += &requests(counted);
    text.trim_end().to_owned() + "\n"
}

fn dollars(kind: Kind, usage: &Usage, prices: &Prices) -> String {
    assert!(
        bill::ten_fit(usage),
        "ten messages no longer fit into one publish request"
    );
    let bills = [
        Bill::of(usage, 1.0),
        Bill::of(usage, 10.0),
        Bill::plain(usage),
    ];
    let columns = bills.map(|bill| bill.dollars(prices));
    let mut text = format!(
        "### A million orders, {}\n\nDollars, at the list prices of {} for {}.\n\n\
         | service | one message a batch | ten a batch | the plain design |\n|---|---:|---:|---:|\n",
        kind.name(),
        prices.text("date"),
        prices.text("region"),
    );
    for (row, (service, _)) in columns[0].iter().enumerate() {
        let [one, ten, plain] = [0, 1, 2].map(|column: usize| columns[column][row].1);
        let _ = writeln!(text, "| {service} | {one:.2} | {ten:.2} | {plain:.2} |");
    }
    let [one, ten, plain] = columns.map(|column| column.iter().map(|(_, it)| it).sum::<f64>());
    let _ = writeln!(
        text,
        "| **all** | **{one:.2}** | **{ten:.2}** | **{plain:.2}** |\n"
    );
    text
}

fn monthly(fixed: &Fixed, prices: &Prices) -> String {
    let mut text = format!(
        "### A month without any order\n\n{} alarms, {} metrics, {} queues that Lambda reads.\n\n\
         | what | dollars |\n|---|---:|\n",
        fixed.alarms, fixed.metrics, fixed.queues
    );
    for (what, dollars) in fixed.dollars(prices) {
        let _ = writeln!(text, "| {what} | {dollars:.2} |");
    }
    text + "\n"
}

type Amount = fn(&Usage) -> f64;

fn amounts(counted: &BTreeMap<Kind, Usage>) -> String {
    let names: Vec<_> = counted.keys().map(|kind| kind.name()).collect();
    let mut text = format!(
        "### Amounts for one\n\n| amount | {} |\n",
        names.join(" | ")
    );
    text += &format!("|---|{}\n", "---:|".repeat(names.len()));
    let rows: [(&str, Amount); 5] = [
        ("DynamoDB write units", |it| it.write_units),
        ("DynamoDB read units", |it| it.read_units),
        ("bytes filtered by SNS", |it| it.filtered_bytes),
        ("bytes logged", |it| it.log_bytes),
        ("milliseconds of functions, as they were built here", |it| {
            it.function_millis
        }),
    ];
    for (name, of) in rows {
        let cells: Vec<_> = counted
            .values()
            .map(|usage| format!("{:.0}", of(usage)))
            .collect();
        let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
    }
    text + "\n"
}

fn requests(counted: &BTreeMap<Kind, Usage>) -> String {
    let names: Vec<_> = counted.keys().map(|kind| kind.name()).collect();
    let mut text = format!(
        "### Requests for one\n\n| request | {} |\n",
        names.join(" | ")
    );
    text += &format!("|---|{}\n", "---:|".repeat(names.len()));
    let all: BTreeSet<_> = counted
        .values()
        .flat_map(|usage| usage.requests.keys())
        .collect();
    for name in all {
        let count = |usage: &Usage| {
            usage
                .requests
                .get(name)
                .map_or(String::new(), f64::to_string)
        };
        let cells: Vec<_> = counted.values().map(count).collect();
        let _ = writeln!(text, "| `{name}` | {} |", cells.join(" | "));
    }
    text + "\n"
}
