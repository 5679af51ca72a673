//! An order as people read it.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::api::order::{Money, Order, TimelineEntry};
use crate::output::{Output, printable};

/// The whole order.
pub(crate) fn whole(order: &Order, output: Output) -> String {
    let mut lines = vec![head(order)];
    lines.extend(events(order, 0));
    lines.push(end(order, output));
    lines.join("\n")
}

/// What does not change any more.
pub(crate) fn head(order: &Order) -> String {
    let mut text = field("order", &order.order_id);
    if let Some(total) = &order.total {
        text.push_str(&format!("\n{}", field("total", &money(total))));
    }
    if let Some(correlation) = &order.correlation_id {
        text.push_str(&format!("\n{}", field("correlation", correlation)));
    }
    text
}

/// A line for each event from the number `from` on, with the time since the first.
pub(crate) fn events(order: &Order, from: usize) -> Vec<String> {
    let timeline = order.timeline.as_deref().unwrap_or_default();
    let Some(first) = timeline.first() else {
        return Vec::new();
    };
    timeline
        .iter()
        .skip(from)
        .map(|entry| event(first, entry))
        .collect()
}

/// How it stands, and why.
pub(crate) fn end(order: &Order, output: Output) -> String {
    let mut text = format!("{:<12} {}", "status", output.status(&order.status));
    if let Some(reason) = &order.reason {
        let reason = format!("{}: {}", reason.code, reason.message);
        text.push_str(&format!("\n{}", field("reason", &reason)));
    }
    text
}

/// An amount with its currency. Minor units: how many make a major one differs by currency.
pub(crate) fn money(money: &Money) -> String {
    format!("{} {} (minor units)", money.amount, money.currency)
}

fn field(name: &str, value: &str) -> String {
    format!("{name:<12} {}", printable(value))
}

fn event(first: &TimelineEntry, entry: &TimelineEntry) -> String {
    let name = short_name(&entry.event_type);
    let since = since(&first.time, &entry.time).unwrap_or_default();
    printable(&format!("  {:<26} {since:>10}  {name}", entry.time))
}

/// `order.placed` for `waybill.order.placed.v1`.
fn short_name(event_type: &str) -> &str {
    let name = event_type.strip_prefix("waybill.").unwrap_or(event_type);
    match name.rsplit_once(".v") {
        Some((name, version)) if version.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => name,
    }
}

fn since(first: &str, time: &str) -> Option<String> {
    let first = OffsetDateTime::parse(first, &Rfc3339).ok()?;
    let time = OffsetDateTime::parse(time, &Rfc3339).ok()?;
    Some(format!("{:+.3} s", (time - first).as_seconds_f64()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::api::order::Reason;
    use crate::output::Format;

    pub(crate) fn order(status: &str, events: &[(&str, &str)]) -> Order {
        let timeline = events.iter().map(|(event_type, time)| TimelineEntry {
            event_type: (*event_type).to_owned(),
            time: (*time).to_owned(),
            sequence: None,
        });
        Order {
            order_id: "o-1".to_owned(),
            status: status.to_owned(),
            correlation_id: Some("c-1".to_owned()),
            total: Some(Money {
                amount: 2500,
                currency: "EUR".to_owned(),
            }),
            links: None,
            timeline: Some(timeline.collect()),
            reason: None,
        }
    }

    #[test]
    fn an_order_is_shown_with_its_timeline_and_the_reason() {
        let mut failed = order(
            "failed",
            &[
                ("waybill.order.placed.v1", "2026-11-21T17:56:15.800Z"),
                ("waybill.stock.rejected.v1", "2026-11-21T17:56:17.050Z"),
            ],
        );
        failed.reason = Some(Reason {
            code: "out-of-stock".to_owned(),
            message: "no MUG-RED".to_owned(),
        });
        assert_eq!(
            whole(&failed, Output::new(Format::Json)),
            "order        o-1\n\
             total        2500 EUR (minor units)\n\
             correlation  c-1\n  \
             2026-11-21T17:56:15.800Z     +0.000 s  order.placed\n  \
             2026-11-21T17:56:17.050Z     +1.250 s  stock.rejected\n\
             status       failed\n\
             reason       out-of-stock: no MUG-RED"
        );
    }

    #[test]
    fn only_new_events_are_shown_while_watching() {
        let placed = order("accepted", &[("waybill.order.placed.v1", "t")]);
        assert_eq!(events(&placed, 0).len(), 1);
        assert!(events(&placed, 1).is_empty());
        assert!(events(&order("accepted", &[]), 0).is_empty());
    }

    #[test]
    fn a_name_without_a_version_is_left_as_it_is() {
        assert_eq!(short_name("waybill.order.placed.v12"), "order.placed");
        assert_eq!(short_name("other.vendor"), "other.vendor");
    }
}
