//! The time line: what the tables, the histories and the failure store say, in one order.

use std::collections::BTreeMap;

use failures::Failure as StoredFailure;
use serde::Serialize;

use super::gather::Found;
use crate::output::{Column, table as aligned};
use crate::records::audit::Audited;
use crate::records::executions::Happening;
use crate::records::failures::DeadLetter;
use crate::records::order::{Attempt, StoredEvent};
use crate::records::{epoch_millis, moment, short_name};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    /// When, RFC 3339; absent where nobody wrote it down.
    pub(super) time: Option<String>,
    pub(super) origin: Origin,
    pub(super) what: String,
    pub(super) detail: String,
    /// The id of the message that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message_id: Option<String>,
    /// The event's number within its order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sequence: Option<u32>,
}

/// Where it is known from. Of what happened in the same millisecond, the cause comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Origin {
    /// The saga's history.
    Saga,
    /// The history of an attempt to finish the order.
    Recovery,
    /// A command on the bus.
    Command,
    /// The order's timeline, or the bus.
    Event,
    /// A message that waits to be drained.
    DeadLetter,
    /// The failure store.
    Failure,
}

impl Origin {
    fn name(self) -> &'static str {
        match self {
            Self::Saga => "saga",
            Self::Recovery => "recovery",
            Self::Command => "command",
            Self::Event => "event",
            Self::DeadLetter => "dead letter",
            Self::Failure => "failure",
        }
    }
}

impl Line {
    fn new(time: Option<String>, origin: Origin, what: String, detail: String) -> Self {
        Self {
            time,
            origin,
            what,
            detail,
            message_id: None,
            sequence: None,
        }
    }

    fn at(&self) -> u64 {
        let at = self.time.as_deref().and_then(epoch_millis);
        at.unwrap_or(u64::MAX)
    }
}

/// All of it, the earliest first.
pub(super) fn lines(found: &Found) -> Vec<Line> {
    let mut lines = messages(found);
    let saga = found.saga.iter().flatten();
    lines.extend(saga.map(|happening| happened(Origin::Saga, happening)));
    for (attempt, history) in &found.recoveries {
        lines.extend(recovery(attempt, history.as_deref().unwrap_or_default()));
    }
    lines.extend(found.failures.iter().flat_map(failure));
    lines.extend(found.dead_letters.found.iter().map(dead_letter));
    lines.sort_by_key(|line| (line.at(), line.origin));
    lines
}

/// A line for each message: events from the timeline, and what else was on the bus.
fn messages(found: &Found) -> Vec<Line> {
    let timeline = found.order.iter().flat_map(|order| &order.timeline);
    let mut of_timeline: BTreeMap<&str, &StoredEvent> =
        timeline.map(|event| (event.id(), event)).collect();
    let mut lines: Vec<_> = found
        .audit
        .iter()
        .map(|audited| {
            of_timeline.remove(audited.id.as_str());
            on_the_bus(audited)
        })
        .collect();
    lines.extend(of_timeline.into_values().map(not_on_the_bus));
    lines
}

fn on_the_bus(audited: &Audited) -> Line {
    let origin = match audited.sequence {
        Some(_) => Origin::Event,
        None => Origin::Command,
    };
    let late = lag(&audited.time, &audited.recorded_at);
    let detail = format!("from {}; audited {late}", source(&audited.source));
    Line {
        message_id: Some(audited.id.clone()),
        sequence: audited.sequence,
        ..Line::new(
            Some(audited.time.clone()),
            origin,
            audited.name.clone(),
            detail,
        )
    }
}

fn not_on_the_bus(event: &StoredEvent) -> Line {
    let detail = format!("from {}; not audited yet", source(event.source()));
    Line {
        message_id: Some(event.id().to_owned()),
        sequence: Some(event.sequence),
        ..Line::new(
            Some(event.time().to_owned()),
            Origin::Event,
            event.name(),
            detail,
        )
    }
}

/// `payment-worker` for `/waybill/payment-worker`.
fn source(source: &str) -> &str {
    source.rsplit('/').next().unwrap_or(source)
}

fn lag(time: &str, recorded_at: &str) -> String {
    match (epoch_millis(time), epoch_millis(recorded_at)) {
        (Some(time), Some(recorded)) => {
            let millis = recorded.saturating_sub(time);
            format!("{}.{:03} s later", millis / 1000, millis % 1000)
        }
        _ => format!("at {recorded_at}"),
    }
}

fn happened(origin: Origin, happening: &Happening) -> Line {
    let Happening { at, what, error } = happening;
    let detail = error.clone().unwrap_or_default();
    Line::new(at.map(moment), origin, what.clone(), detail)
}

fn recovery(attempt: &Attempt, history: &[Happening]) -> Vec<Line> {
    let Attempt {
        name,
        mode,
        by,
        why,
        started_at,
        ended_at,
        outcome,
    } = attempt;
    let resumed = Line::new(
        Some(started_at.clone()),
        Origin::Recovery,
        "resumed".to_owned(),
        format!("{mode}, by {by}: {why} ({name})"),
    );
    let mut lines = vec![resumed];
    lines.extend(
        history
            .iter()
            .map(|happening| happened(Origin::Recovery, happening)),
    );
    if let (Some(ended_at), Some(outcome)) = (ended_at, outcome) {
        lines.push(Line::new(
            Some(ended_at.clone()),
            Origin::Recovery,
            "attempt over".to_owned(),
            format!("{outcome} ({name})"),
        ));
    }
    lines
}

fn failure(failure: &StoredFailure) -> Vec<Line> {
    let message = failure.message_type.as_deref().map(short_name);
    let message = message.unwrap_or_else(|| "a message".to_owned());
    let line = |time: String, what: String, detail: String| Line {
        message_id: failure.event_id.clone(),
        ..Line::new(Some(time), Origin::Failure, what, detail)
    };
    let trouble = &failure.trouble;
    let cause = trouble.cause.join(": ");
    let failed = line(
        trouble.failed_at.to_string(),
        format!("{message} failed"),
        format!(
            "{} ({}) with {}: {cause}",
            trouble.name, trouble.class, failure.consumer
        ),
    );
    let history = failure.history.iter().map(|entry| {
        let what = format!("{message} {}", entry.action);
        let detail = match entry.detail.as_str() {
            "" => format!("by {} ({})", entry.by, failure.id),
            detail => format!("{detail}, by {} ({})", entry.by, failure.id),
        };
        line(entry.at.to_string(), what, detail)
    });
    std::iter::once(failed).chain(history).collect()
}

fn dead_letter(letter: &DeadLetter) -> Line {
    let name = letter.name.as_deref().unwrap_or("a message");
    let error = letter.error_name.as_deref().unwrap_or("no worker said why");
    Line {
        message_id: letter.message_id.clone(),
        ..Line::new(
            letter.since.clone(),
            Origin::DeadLetter,
            format!("{name} set aside"),
            format!("in {}: {error}", letter.queue),
        )
    }
}

/// The time line as people read it, each moment with its distance from the first.
pub(super) fn table(lines: &[Line]) -> String {
    let first = lines.first().map(Line::at);
    let rows = lines.iter().map(|line| {
        let since = match (line.at(), first) {
            (u64::MAX, _) | (_, None) => String::new(),
            (at, Some(first)) => {
                let millis = at.saturating_sub(first);
                format!("+{}.{:03} s", millis / 1000, millis % 1000)
            }
        };
        vec![
            Column::text(line.time.as_deref().unwrap_or("-")),
            Column::number(since),
            Column::text(line.origin.name()),
            Column::number(line.sequence.map_or(String::new(), |it| it.to_string())),
            Column::text(&line.what),
            Column::text(&line.detail),
        ]
    });
    aligned(&["TIME", "", "FROM", "NO", "WHAT", "DETAIL"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::order::trace::waiting::tests::{audited, found};
    use crate::records::order::tests::order;
    use serde_json::json;

    #[test]
    fn an_event_is_on_the_line_once_whether_it_was_audited_or_not() {
        let order = order(
            "paid",
            &[("order.placed", json!({})), ("payment.captured", json!({}))],
        );
        let placed = audited(order.timeline[0].id(), "order.placed", Some(1));
        let found = found(Some(order), vec![placed]);
        let lines = lines(&found);
        let told: Vec<_> = lines
            .iter()
            .map(|line| {
                (
                    line.what.as_str(),
                    line.sequence,
                    line.detail.contains("not audited"),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("order.placed", Some(1), false),
                ("payment.captured", Some(2), true)
            ]
        );
    }

    #[test]
    fn a_command_that_was_sent_twice_is_on_the_line_twice() {
        let twice = vec![
            audited("o/payment.refund", "payment.refund", None),
            Audited {
                time: "2026-11-21T18:56:00.000Z".to_owned(),
                ..audited("o/payment.refund", "payment.refund", None)
            },
        ];
        let lines = lines(&found(None, twice));
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.origin == Origin::Command));
        assert!(lines[0].time < lines[1].time);
    }

    #[test]
    fn a_set_aside_message_without_a_time_comes_last() {
        let letter = DeadLetter {
            queue: "payment-dlq".to_owned(),
            sqs_id: "m-1".to_owned(),
            message_id: None,
            name: None,
            since: None,
            error_name: None,
        };
        let mut found = found(
            None,
            vec![audited("o/payment.charge", "payment.charge", None)],
        );
        found.dead_letters.found.push(letter);
        let lines = lines(&found);
        assert_eq!(lines[1].origin, Origin::DeadLetter);
        assert!(table(&lines).contains("no worker said why"));
    }
}
