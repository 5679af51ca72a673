"""From the order's item to the bus, and the consumers of events."""

from mutant import PROTOCOL, Mutant

RELAY = "crates/outbox-relay/src/lib.rs"
OUTBOX = "crates/outbox-relay/src/outbox.rs"
PUBLISHED = "4. each event is published at least once, in order, with its number"
UNIT = "outbox-relay/lib"

MUTANTS = [
    Mutant(
        name="unpublished-taken-for-published",
        file=RELAY,
        find="""                    "nothing of the batch is confirmed"
                );
                batch.to_vec()""",
        replace="""                    "nothing of the batch is confirmed"
                );
                Vec::new()""",
        breaks="events are taken for published when the bus did not answer",
        promise=PUBLISHED,
        by=PROTOCOL,
    ),
    Mutant(
        name="refused-event-taken-for-published",
        file=RELAY,
        find="                        Some(*index)\n",
        replace="                        None\n",
        breaks="an event that the bus refused is not reported",
        promise=PUBLISHED,
        by=PROTOCOL,
    ),
    Mutant(
        name="two-events-of-an-order-in-a-batch",
        file="crates/outbox-relay/src/plan.rs",
        find="        *allowed = place + 1;",
        replace="        *allowed = place;",
        breaks="the bus may take the later of two events of an order and refuse the earlier",
        promise=PUBLISHED,
        by=PROTOCOL,
    ),
    Mutant(
        name="only-the-last-event-published",
        file=OUTBOX,
        find="Ok(event) if index >= before =>",
        replace="Ok(event) if index >= before.max(after.len().saturating_sub(1)) =>",
        breaks="of two events that one change brought the first is left out",
        promise=PUBLISHED,
        by=(*PROTOCOL, UNIT),
    ),
    Mutant(
        name="sequence-that-repeats",
        file=OUTBOX,
        find="number(event, index + 1)",
        replace="number(event, index.max(1))",
        breaks="two events of an order have the same number",
        promise=PUBLISHED,
        by=PROTOCOL,
    ),
    Mutant(
        name="unreadable-record-not-reported",
        file=RELAY,
        find="        let failed = self.publish(&events).await.or(waiting);",
        replace="        let failed = self.publish(&events).await.or(waiting.filter(|_| false));",
        breaks="a stream record that cannot be read is passed over in silence",
        promise=PUBLISHED,
        by=(*PROTOCOL, UNIT),
    ),
    Mutant(
        name="held-order-not-told-of",
        file=RELAY,
        find="        let not_reported = self.hold(&outboxes[..done]).await;",
        replace="        let not_reported = self.hold(&outboxes[..done]).await.filter(|_| false);",
        breaks="an order is held though the report of it failed",
        promise=PUBLISHED,
        by=(*PROTOCOL, UNIT),
    ),
    Mutant(
        name="order-held-at-once",
        file=RELAY,
        find="unreadable.is_new && self.is_young(&record.change)",
        replace="unreadable.is_new && !self.is_young(&record.change)",
        breaks="an order is held before anybody can take a release back, and waits for ever later",
        promise=PUBLISHED,
        by=(*PROTOCOL, UNIT),
    ),
    Mutant(
        name="unreadable-event-passed-over",
        file=OUTBOX,
        find="                outbox.unreadable = Some(unreadable(index + 1, index >= before, error));\n                break;",
        replace="                outbox.unreadable = Some(unreadable(index + 1, index >= before, error));",
        breaks="events behind one that cannot be read are published, with a gap",
        promise=PUBLISHED,
        by=(*PROTOCOL, UNIT),
    ),
    Mutant(
        name="saga-not-started-and-message-done",
        file="crates/saga-starter/src/lib.rs",
        find="""        let start =
            started.map_err(|error| Failure::transient("SagaUnavailable").caused_by(error))?;""",
        replace="        let start = started.unwrap_or(SagaStart::AlreadyExists);",
        breaks="a message is done though its saga was not started",
        promise="1. every accepted order reaches an end",
        by=("simulation", "saga-starter/starter"),
    ),
    Mutant(
        name="audit-entry-not-written-and-message-done",
        file="crates/audit-recorder/src/lib.rs",
        find="        appended.map_err(|error| Failure::transient(\"AuditUnavailable\").caused_by(error))?;",
        replace="        drop(appended);",
        breaks="a message is done though it is not in the audit trail",
        promise="5. an accepted message is processed or waits",
        by=("simulation", "audit-recorder/audit"),
    ),
    Mutant(
        name="token-in-the-audit-trail",
        file="crates/audit-recorder/src/lib.rs",
        find='        "data": data,\n    })',
        replace='        "data": data,\n        "tasktoken": message.task_token.as_ref().map(|token| token.expose()),\n    })',
        breaks="whoever reads the audit trail can answer a saga",
        promise="no task token in the audit trail",
        by=("audit-recorder/lib", "audit-recorder/audit"),
    ),
    Mutant(
        name="people-told-by-every-delivery",
        file="crates/notifier/src/lib.rs",
        find='        let key = Key::prefixed("notify", &ending.event_id)',
        replace='        let key = Key::prefixed(&format!("notify{}", context.attempt()), &ending.event_id)',
        breaks="people are told again when a message is delivered again",
        promise="6. the same message n times is one effect",
        by=("simulation", "notifier/notifier"),
    ),
]
