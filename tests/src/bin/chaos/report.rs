//! The end: what was injected, what the operators did, and whether the promises held.

use std::collections::BTreeSet;
use std::time::Duration;

use waybill_tests::invariants::{Accounts, Invariant};

use crate::clients::Seen;
use crate::fault::{FAULTS, Fault};
use crate::operations::Replays;
use crate::output;
use crate::plan::{Period, Plan};
use crate::run::Run;
use crate::settle::Work;

/// What this run is.
pub(crate) fn title(plan: &Plan, stack: &str) {
    output::heading("Waybill: everything that can fail, fails");
    output::line(&format!(
        "  {} orders within {} s, or slower where they pile up, to the stack {stack}; seed {}.\n  \
         The seed decides the orders and when which fault is on, not how processes and network \
         are timed: two runs with one seed are alike, not equal.",
        plan.orders.len(),
        plan.length.as_secs(),
        plan.seed,
    ));
    output::heading("When which fault is on, in seconds (and so on, until all orders are sent)");
    let rows: Vec<_> = FAULTS
        .iter()
        .map(|fault| vec![fault.words().to_owned(), moments(plan, *fault)])
        .collect();
    output::table(&["FAULT", "ON"], &rows);
    output::heading("On their way");
}

fn moments(plan: &Plan, fault: Fault) -> String {
    let seconds = |moment: Duration| moment.as_secs();
    let period = |it: &Period| format!("{}-{}", seconds(it.from), seconds(it.until));
    let planned = plan.of(fault).filter(|it| it.from < plan.length);
    planned.map(period).collect::<Vec<_>>().join(", ")
}

/// How many of each fault there were; says which kinds never happened.
pub(crate) fn faults(run: &Run) -> Vec<String> {
    output::heading("What was done to it");
    let counted = |fault: &Fault| row(&run.tally.count(*fault), fault.counted());
    let rows: Vec<_> = FAULTS.iter().map(counted).collect();
    output::table(&["#COUNT", "FAULT"], &rows);
    let missing = FAULTS.iter().filter(|fault| run.tally.count(**fault) == 0);
    missing
        .map(|fault| format!("no {}: this run shows nothing about it", fault.words()))
        .collect()
}

/// What the clients saw; says what contradicts what they were told.
pub(crate) fn clients(seen: &Seen, stored: &[String], planned: &Plan) -> Vec<String> {
    let stored: BTreeSet<&String> = stored.iter().collect();
    let accepted: BTreeSet<&String> = seen.accepted.iter().collect();
    let ids: BTreeSet<String> = planned.orders.iter().map(|it| it.order.id()).collect();
    output::heading("What the clients saw");
    let unheard = stored.difference(&accepted).count();
    let rows = [
        row(
            &ids.len(),
            "orders were sent, until an answer came or the client gave up",
        ),
        row(&accepted.len(), "were answered with 202"),
        row(
            &unheard,
            "were stored, and the client never heard of it: they count as accepted",
        ),
        row(&seen.unanswered, "requests got no answer, or a 5xx or 429"),
        row(
            &seen.replays,
            "orders were sent again: the same answer, marked as a replay",
        ),
        row(
            &seen.refused,
            "keys were used again for another order: refused",
        ),
    ];
    output::table(&["#COUNT", ""], &rows);
    let lost = accepted.difference(&stored);
    let lost = lost.map(|id| format!("{id} was answered with 202 and is not stored"));
    let strange = stored.iter().filter(|id| !ids.contains(**id));
    let strange = strange.map(|id| format!("{id} is stored and was never sent"));
    let wrong = seen.wrong.iter().cloned();
    lost.chain(strange).chain(wrong).collect()
}

/// What the operators had to do; says what they could not.
pub(crate) fn work(work: &Work, replays: &Replays) -> Vec<String> {
    output::heading("What the operators did");
    let finished = |status| work.resumed.values().filter(|it| *it == status).count();
    let resumed = format!(
        "orders that needed attention: {} completed, {} undone and failed",
        finished("completed"),
        finished("failed"),
    );
    let taken_over = "of them were broken off, and later ones took over what was left";
    let rows = [
        row(&replays.all, "replays, during the faults and after"),
        row(&replays.unfinished, taken_over),
        row(&replays.messages, "messages in them"),
        row(&work.resumed.len(), &resumed),
    ];
    output::table(&["#COUNT", ""], &rows);
    let left = work.left.iter();
    let left = left.map(|left| format!("did not come to rest: {left}"));
    let stuck = work.resumed.iter();
    let stuck = stuck.filter(|(_, became)| !matches!(became.as_str(), "completed" | "failed"));
    let stuck = stuck.map(|(order, became)| format!("{order} could not be finished: {became}"));
    left.chain(stuck).collect()
}

fn row(count: &impl ToString, words: &str) -> Vec<String> {
    vec![count.to_string(), words.to_owned()]
}

/// How the orders ended, counted from the ledgers.
pub(crate) fn ledgers(accounts: &Accounts) {
    output::heading("What really happened: the ledgers of payment provider and warehouse");
    let mut rows = Vec::new();
    for status in ["completed", "failed", "needs-attention"] {
        let of: Vec<_> = accounts
            .orders
            .iter()
            .filter(|it| it.view.status == status)
            .collect();
        let count = |kind: &str| {
            of.iter()
                .map(|it| it.count(kind))
                .sum::<usize>()
                .to_string()
        };
        let kinds = ["capture", "refund", "shipment", "shipment-cancelled"].map(count);
        let first = [status.to_owned(), of.len().to_string()];
        rows.push([first.as_slice(), &kinds].concat());
    }
    output::table(
        &[
            "STATUS",
            "#ORDERS",
            "#CAPTURES",
            "#REFUNDS",
            "#SHIPMENTS",
            "#CANCELLED",
        ],
        &rows,
    );
}

/// Shows the invariants with their numbers; gives what contradicts them.
pub(crate) fn invariants(invariants: &[Invariant]) -> Vec<String> {
    output::heading("What must hold, whatever fails");
    for invariant in invariants {
        let mark = if invariant.holds() { "✓" } else { "✗" };
        output::line(&format!(
            "  {mark} {}. {}",
            invariant.number, invariant.words
        ));
        output::line(&format!("       {}", invariant.numbers));
    }
    let breaches = invariants.iter().flat_map(|it| {
        let number = it.number;
        it.breaches
            .iter()
            .map(move |breach| format!("invariant {number}: {breach}"))
    });
    breaches.collect()
}

/// Lists what is wrong, and says whether nothing is.
pub(crate) fn verdict(wrong: &[String]) -> bool {
    if wrong.is_empty() {
        output::heading("The promises held: no order was lost, and nobody was charged twice.");
    } else {
        output::heading("✗ This must not be:");
        for what in wrong {
            output::line(&format!("  {what}"));
        }
    }
    wrong.is_empty()
}
