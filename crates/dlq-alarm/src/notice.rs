//! What people read.

use std::fmt::Write;

use contracts::Timestamp;
use idempotency::Millis;
use ports::{Notice, QueueReport};

use crate::alarm::Alarm;

/// The most example requests that one notice lists.
const EXAMPLES: usize = 5;

/// What to do about the messages of a queue, by what the end of its name says of it.
fn next_steps(queue: &str) -> &'static str {
    const STEPS: &[(&str, &str)] = &[
        (
            "-relay-failures",
            "  Events of some orders were not published. Messages with an orderId name an order with an
  event that cannot be read; the others name records of the stream. Mend the cause, and publish
  the timelines of these orders, or of those that were changed at that time, again; a repeated
  event has no second effect. See docs/operations.md.",
        ),
        (
            "-saga-rescue-dlq",
            "  The body is the event of a saga that died. Start the saga-rescue state machine with it.",
        ),
        (
            "-alarm-failures-dlq",
            "  An alarm was not passed on, or a drain failed. Look at the alarms in CloudWatch and at the
  logs of dlq-alarm, then delete the message. The next scheduled drain makes up for it.",
        ),
        ("-quarantine", NOT_DRAINED),
        // Behind the others, whose names end in the same way.
        ("-dlq", NOT_DRAINED),
    ];
    let known = STEPS.iter().find(|(ending, _)| queue.ends_with(ending));
    known.map_or(
        "  Look at the messages, and at the logs of their consumer.",
        |(_, steps)| steps,
    )
}

/// Of queues that are drained people hear here only when that failed.
const NOT_DRAINED: &str =
    "  Not all messages could be moved into the failure store. They stay here, for up to 14 days.
  1. The logs of dlq-alarm say why: FailureNotStored, GroupNotStored, DeadLetterNotDeleted
     or QueueUnreadable, with the cause.
  2. Correct it. The next scheduled drain tries again; at once: waybill failures drain";

/// The notice of an alarm that has gone off.
pub(crate) fn ringing(alarm: &Alarm, report: Option<&QueueReport>, now: Millis) -> Notice {
    match (alarm.queue_name(), report) {
        (Some(queue), Some(report)) => waiting(alarm, queue, report, now),
        _ => Notice {
            subject: format!("ALARM {}", alarm.name()),
            text: format!(
                "The alarm {} rings since {}.\n{}\n",
                alarm.name(),
                alarm.changed_at(),
                alarm.reason()
            ),
            kind: "alarm",
        },
    }
}

fn waiting(alarm: &Alarm, queue: &str, report: &QueueReport, now: Millis) -> Notice {
    let mut text = format!("{} message(s) wait in {queue}.\n", report.depth);
    if let Some(oldest) = report.oldest_sent_at {
        let since = Timestamp::from_epoch_millis(oldest);
        let minutes = now.get().saturating_sub(oldest) / 60_000;
        line(
            &mut text,
            &format!("The oldest that was seen waits since {since} ({minutes} min)."),
        );
    }
    line(
        &mut text,
        &format!("Alarm: {}, since {}", alarm.name(), alarm.changed_at()),
    );
    let named = report
        .samples
        .iter()
        .filter(|sample| sample.correlation_id.is_some());
    let examples: Vec<_> = named.take(EXAMPLES).collect();
    if !examples.is_empty() {
        line(
            &mut text,
            "\nExamples (correlation id, message type, error):",
        );
    }
    for sample in examples {
        let or_unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".into());
        line(
            &mut text,
            &format!(
                "  {}  {}  {}",
                or_unknown(&sample.correlation_id),
                or_unknown(&sample.message_type),
                or_unknown(&sample.error_name)
            ),
        );
    }
    line(&mut text, "\nWhat to do next:");
    line(&mut text, next_steps(queue));
    Notice {
        subject: format!("{} message(s) wait in {queue}", report.depth),
        text,
        kind: "dead-letters",
    }
}

/// The notice of a message on the alarms' topic that is not an alarm.
pub(crate) fn unread() -> Notice {
    Notice {
        subject: "An alarm could not be read".to_owned(),
        text: "A message on the alarms' topic is not a CloudWatch alarm.\n\
               Look at the alarms in CloudWatch, and at the logs of dlq-alarm (AlarmUnreadable).\n"
            .to_owned(),
        kind: "alarm",
    }
}

/// Writing to a string cannot fail.
fn line(text: &mut String, line: &str) {
    let _always_ok = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use ports::Sample;

    use super::*;

    fn alarm(dimensions: &str) -> Alarm {
        let message = format!(
            r#"{{"AlarmName":"payment-dlq","NewStateValue":"ALARM","NewStateReason":"r",
                "StateChangeTime":"2026-11-21T17:56:15.859+0000",
                "Trigger":{{"Dimensions":[{dimensions}]}}}}"#
        );
        Alarm::parse(&message).unwrap()
    }

    #[test]
    fn a_notice_says_which_queue_how_many_since_when_whose_and_what_to_do() {
        let report = QueueReport {
            depth: 3,
            oldest_sent_at: Some(60_000),
            samples: vec![
                Sample {
                    correlation_id: Some("c-1".into()),
                    error_name: Some("ProviderUnavailable".into()),
                    message_type: Some("waybill.payment.charge.v1".into()),
                },
                Sample::default(),
            ],
        };
        let alarm = alarm(r#"{"name":"QueueName","value":"PaymentDlq"}"#);
        let notice = ringing(&alarm, Some(&report), Millis::new(180_000));
        assert_eq!(notice.subject, "3 message(s) wait in PaymentDlq");
        for part in [
            "1970-01-01T00:01:00.000Z (2 min)",
            "c-1",
            "ProviderUnavailable",
            "next",
        ] {
            assert!(
                notice.text.contains(part),
                "{part} is not in {}",
                notice.text
            );
        }
    }

    #[test]
    fn the_advice_fits_the_kind_of_queue() {
        for (queue, part) in [
            ("waybill-payment-dlq", "could be moved"),
            ("waybill-payment-delivery-dlq", "could be moved"),
            ("waybill-quarantine", "could be moved"),
            ("waybill-relay-failures", "docs/operations.md"),
            ("waybill-saga-rescue-dlq", "saga-rescue state machine"),
            ("waybill-alarm-failures-dlq", "Look at the alarms"),
            ("other", "logs of their consumer"),
        ] {
            assert!(
                next_steps(queue).contains(part),
                "{queue}: {}",
                next_steps(queue)
            );
        }
    }

    #[test]
    fn an_alarm_on_something_else_is_passed_on_in_its_own_words() {
        let notice = ringing(&alarm(""), None, Millis::new(0));
        assert_eq!(notice.subject, "ALARM payment-dlq");
    }
}
