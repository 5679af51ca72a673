//! What people read about circuits.

use circuit::{Circuit, State, Telling};
use contracts::Timestamp;
use idempotency::Millis;
use ports::Notice;

/// The notice of a change, or of the lack of one.
pub(crate) fn of(circuit: &Circuit, telling: Telling, now: Millis) -> Notice {
    let consumer = &circuit.consumer;
    let (kind, subject, text) = match telling {
        Telling::Opened => (
            "circuit-opened",
            format!("Waybill: the circuit of {consumer} is open"),
            opened(circuit),
        ),
        Telling::StillOpen => (
            "circuit-still-open",
            format!("Waybill: the circuit of {consumer} is still open"),
            still_open(circuit, now),
        ),
        Telling::Closed => (
            "circuit-closed",
            format!("Waybill: the circuit of {consumer} is closed again"),
            format!(
                "The outside party of {consumer} serves again, and all messages pass. Nothing is to be done."
            ),
        ),
    };
    Notice {
        subject,
        text,
        kind,
    }
}

fn opened(circuit: &Circuit) -> String {
    let consumer = &circuit.consumer;
    let cause = match &circuit.state {
        State::Open(open) => format!(" ({})", open.cause),
        _ => String::new(),
    };
    format!(
        "The outside party of {consumer} does not serve{cause}. Since {} its messages wait in \
         their queue; none of them is lost, and none uses up a receive. Single messages are \
         tried until one succeeds, and then the traffic returns by itself. Look whether the \
         outside party reports an outage. A step that waits longer than its time limit is undone.",
        since(circuit)
    )
}

fn still_open(circuit: &Circuit, now: Millis) -> String {
    let consumer = &circuit.consumer;
    let minutes = circuit
        .opened_at
        .map_or(0, |opened| now.since(opened).as_secs() / 60);
    let probes = match &circuit.state {
        State::Open(open) => format!("{} probes in a row have failed", open.failed_probes),
        _ => "the traffic is returning".to_owned(),
    };
    format!(
        "The outside party of {consumer} has not served for {minutes} minutes, since {}; {probes}. \
         Messages wait in the queue for up to twelve days. Speak to the outside party.",
        since(circuit)
    )
}

fn since(circuit: &Circuit) -> String {
    circuit.opened_at.map_or_else(
        || "now".to_owned(),
        |opened| Timestamp::from_epoch_millis(opened.get()).to_string(),
    )
}
