//! The picture at the end: what became of everything.

use serde_json::Value;
use waybill_tests::invariants::{Account, Accounts, Invariant};
use waybill_tests::{Answer, CONSUMERS, Environment, OrderView, QueuedMessage};

use crate::output::{Colour, Output, money};
use crate::script::{Act, Answers, Script};

/// What this is.
pub(crate) fn title(output: &Output, environment: &Environment) {
    output.heading("Waybill: orders of every kind, through the whole pipeline");
    output.line(&format!(
        "  The stack {}, as it is deployed to AWS, on an AWS emulated at {}.",
        environment.stack(),
        environment.endpoint()
    ));
}

/// What there is to sell.
pub(crate) fn shelf(output: &Output, script: &Script) {
    let articles = script
        .shelf
        .iter()
        .map(|(sku, pieces)| format!("{pieces} x {sku}"));
    let articles: Vec<_> = articles.collect();
    output.line(&format!("  On the shelf: {}.", articles.join(", ")));
}

/// What was asked, and what the API said to it.
pub(crate) fn answers(output: &Output, script: &Script, answers: &Answers) {
    output.heading("Asked");
    let mut rows = Vec::new();
    for (index, (act, answer)) in script.acts.iter().zip(&answers.accepted).enumerate() {
        rows.push(row(
            index + 1,
            act.title,
            format!("{} {}", answer.status, word(answer)),
        ));
    }
    let is_replay = answers.repeated.header("idempotency-replayed") == Some("true");
    let repeated = if is_replay {
        "the same answer, marked as a replay"
    } else {
        "not a replay"
    };
    let asides = [
        (
            "order 1 again, with the same key",
            &answers.repeated,
            repeated.to_owned(),
        ),
        (
            "the key of order 1 for another order",
            &answers.reused_key,
            "refused".to_owned(),
        ),
        (
            "an order with three faults",
            &answers.invalid,
            faults(&answers.invalid),
        ),
    ];
    let mut number = rows.len();
    for (title, answer, words) in asides {
        number += 1;
        rows.push(row(number, title, format!("{} {words}", answer.status)));
    }
    for garbage in &script.garbage {
        number += 1;
        rows.push(row(number, garbage.title, String::new()));
    }
    rows.push(row(
        number + 1,
        "the commands of order 1, later, each twice more",
        String::new(),
    ));
    output.table(&["#", "", "ANSWER"], &rows);
}

fn row(number: usize, title: &str, answer: String) -> Vec<String> {
    vec![number.to_string(), title.to_owned(), answer]
}

fn word(answer: &Answer) -> &'static str {
    if answer.status == 202 {
        "accepted"
    } else {
        "refused"
    }
}

/// Where the faults of a refused order are.
fn faults(answer: &Answer) -> String {
    let problem = answer.json();
    let faults = problem["errors"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let pointers: Vec<_> = faults
        .iter()
        .filter_map(|fault| fault["pointer"].as_str())
        .collect();
    format!("refused: {}", pointers.join(", "))
}

/// The way of an order as a line.
pub(crate) fn path(output: &Output, view: &OrderView) -> String {
    let mut path = String::new();
    let mut has_turned = false;
    // The reason is known only when the order has ended.
    let reason = match view.reason.as_str() {
        "" => "failed".to_owned(),
        reason => reason.replace('-', " "),
    };
    for event in &view.events {
        let turn = match event.as_str() {
            "payment.declined" => Some("payment declined".to_owned()),
            "stock.rejected" => Some("out of stock".to_owned()),
            "shipment.cancelled"
            | "stock.released"
            | "payment.refunded"
            | "order.failed"
            | "order.needs-attention" => Some(reason.clone()),
            _ => None,
        };
        if let Some(turn) = turn.filter(|_| !has_turned) {
            path.push_str(&output.in_colour(Colour::Bad, &format!(" ✗ {turn}")));
            has_turned = true;
        }
        path.push_str(&station(output, event));
    }
    path
}

fn station(output: &Output, event: &str) -> String {
    match event {
        "order.placed" => "accepted".to_owned(),
        "payment.captured" => " ─ paid".to_owned(),
        "stock.reserved" => " ─ reserved".to_owned(),
        "shipment.created" => " ─ shipped".to_owned(),
        "order.completed" => output.in_colour(Colour::Good, " ─ completed ✓"),
        "shipment.cancelled" => output.in_colour(Colour::Undone, " ↩ cancelled"),
        "stock.released" => output.in_colour(Colour::Undone, " ↩ released"),
        "payment.refunded" => output.in_colour(Colour::Undone, " ↩ refunded"),
        "order.failed" => " ─ failed".to_owned(),
        "order.needs-attention" => output.in_colour(Colour::Bad, " ─ needs attention"),
        _ => String::new(),
    }
}

/// Each order's way.
pub(crate) fn paths(output: &Output, acts: &[Act], views: &[OrderView]) {
    output.heading("What became of each order");
    for (index, (act, view)) in acts.iter().zip(views).enumerate() {
        output.line(&format!(
            "  {:>2}  {:<30}  {}",
            index + 1,
            act.title,
            path(output, view)
        ));
    }
    let key = "  ─ step done   ✗ turned back here   ↩ undone";
    output.line(&output.in_colour(Colour::Aside, key));
}

/// What the providers did, beside what the orders say.
pub(crate) fn ledger(output: &Output, acts: &[Act], accounts: &Accounts) {
    output.heading("What really happened: the ledger of payment provider and warehouse");
    let mut rows: Vec<_> = acts
        .iter()
        .zip(&accounts.orders)
        .enumerate()
        .map(|(index, (act, account))| {
            let status = account.view.status.clone();
            let mut row = vec![(index + 1).to_string(), act.title.to_owned(), status];
            row.push(times(account, "capture"));
            row.push(times(account, "refund"));
            row.push(times(account, "shipment"));
            row
        })
        .collect();
    let total = |kind| {
        let count: usize = accounts
            .orders
            .iter()
            .map(|account| account.count(kind))
            .sum();
        count.to_string()
    };
    let totals = ["capture", "refund", "shipment"].map(total);
    rows.push([["", "together", ""].map(str::to_owned).as_slice(), &totals].concat());
    output.table(
        &["#", "", "STATUS", "#CAPTURES", "#REFUNDS", "#SHIPMENTS"],
        &rows,
    );
}

/// How often, and how much.
fn times(account: &Account, kind: &str) -> String {
    let effects = account.ledger.iter().filter(|effect| effect.kind == kind);
    let amounts: Vec<_> = effects.map(|effect| effect.amount).collect();
    match (amounts.len(), amounts.iter().sum()) {
        (0, _) => "-".to_owned(),
        (count, 0) => count.to_string(),
        (count, amount) => format!("{count}  {:>10}", money(amount)),
    }
}

/// What is left on the shelf.
pub(crate) async fn stock(output: &Output, environment: &Environment, script: &Script) {
    output.heading("The shelf");
    let mut rows = Vec::new();
    for (sku, seeded) in &script.shelf {
        let level = environment.stock(sku).await;
        let counts = [*seeded, level.available, level.reserved, level.shipped];
        let counts = counts.map(|count| count.to_string());
        rows.push([[sku.clone()].as_slice(), &counts].concat());
    }
    output.table(
        &[
            "ARTICLE",
            "#AT FIRST",
            "#AVAILABLE",
            "#RESERVED",
            "#SHIPPED",
        ],
        &rows,
    );
}

/// Where the messages are that nobody could process, and why.
pub(crate) async fn unprocessed(output: &Output, environment: &Environment) {
    output.heading("What could not be processed, and where it waits for a person");
    let mut rows = waiting(environment.quarantine(), environment).await;
    for consumer in CONSUMERS {
        rows.extend(waiting(environment.dlq(consumer), environment).await);
    }
    if rows.is_empty() {
        output.line("  nothing");
    } else {
        output.table(&["QUEUE", "FROM", "ERROR", "CORRELATION ID", "BODY"], &rows);
    }
}

async fn waiting(queue_url: &str, environment: &Environment) -> Vec<Vec<String>> {
    let name = queue_url.rsplit('/').next().unwrap_or(queue_url).to_owned();
    let messages = environment.peek(queue_url).await;
    messages
        .iter()
        .map(|message| described(&name, message))
        .collect()
}

fn described(queue: &str, message: &QueuedMessage) -> Vec<String> {
    // What SQS itself moved, after a crash, has no record.
    let has_record = message.attributes.contains_key("failure");
    let failure = if has_record {
        message.failure()
    } else {
        Value::Null
    };
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let error = format!(
        "{} ({})",
        text(&failure["errorName"]),
        text(&failure["errorClass"])
    );
    let start: String = message.body.chars().take(34).collect();
    vec![
        queue.to_owned(),
        text(&failure["consumer"]),
        error,
        text(&failure["correlationId"]),
        format!("{start}…"),
    ]
}

/// Names the orders that ended otherwise than the script says, and counts them.
pub(crate) fn surprises(output: &Output, acts: &[Act], views: &[OrderView]) -> usize {
    let mut surprises = 0;
    for (act, view) in acts.iter().zip(views) {
        let ended = (view.status.as_str(), view.reason.as_str());
        if ended != act.expected {
            let text = format!(
                "  ✗ {}: expected {:?}, came to {ended:?}",
                act.title, act.expected
            );
            output.line(&output.in_colour(Colour::Bad, &text));
            surprises += 1;
        }
    }
    surprises
}

/// Shows the invariants with their numbers, and counts those that do not hold.
pub(crate) fn invariants(output: &Output, invariants: &[Invariant]) -> usize {
    output.heading("What must hold, whatever fails");
    for invariant in invariants {
        let mark = match invariant.holds() {
            true => output.in_colour(Colour::Good, "✓"),
            false => output.in_colour(Colour::Bad, "✗"),
        };
        output.line(&format!(
            "  {mark} {}. {}",
            invariant.number, invariant.words
        ));
        let numbers = format!("       {}", invariant.numbers);
        output.line(&output.in_colour(Colour::Aside, &numbers));
        for breach in &invariant.breaches {
            output.line(&output.in_colour(Colour::Bad, &format!("       {breach}")));
        }
    }
    invariants
        .iter()
        .filter(|invariant| !invariant.holds())
        .count()
}

/// What to try with one's own hands.
pub(crate) fn what_next(output: &Output) {
    output.heading("Try next");
    for (command, words) in [
        ("make up", "an environment like this one, which stays"),
        (
            ". .local/dev/env",
            "in your shell: where it is, and the keys to it",
        ),
        (
            "echo '{\"MUG-RED\": 100}' | waybill stock seed -",
            "something to sell",
        ),
        (
            "waybill order place docs/examples/order.json --wait",
            "an order of yours",
        ),
        ("waybill order list --status completed", "what there is"),
        ("make down", "ends it"),
    ] {
        output.line(&format!(
            "  {command:<54}{}",
            output.in_colour(Colour::Aside, words)
        ));
    }
}
