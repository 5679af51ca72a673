//! A probe: one message, handed to the worker.

use circuit::{ProbeAnswer, ProbeMessages, ProbeOutcome, Taken, Verdict};
use message_worker::cause_chain;
use ports::Unavailable;

/// Tries one message of a consumer's queue.
///
/// What the worker acknowledged is deleted. Of anything else a copy is sent
/// first and the original deleted then, so that the message has not used up a
/// receive. Whoever dies in between leaves the message twice, which does no harm,
/// or to come back by itself.
pub(crate) async fn run<P: ProbeMessages>(
    messages: &P,
    consumer: &str,
) -> Result<ProbeOutcome, Unavailable> {
    let message = match messages.take(consumer).await? {
        Taken::Message(message) => message,
        Taken::Waiting => return Ok(ProbeOutcome::Waiting),
        Taken::Nothing => return Ok(ProbeOutcome::Empty),
    };
    let answer = messages.hand_over(consumer, &message).await;
    let answer = answer.unwrap_or_else(|error| unanswered(consumer, &error));
    if !answer.acknowledged {
        messages.copy(consumer, &message).await?;
    }
    messages.delete(consumer, &message).await?;
    Ok(match answer.verdict {
        Verdict::Healthy => ProbeOutcome::Healthy,
        Verdict::Unhealthy => ProbeOutcome::Unhealthy,
        Verdict::Untested => ProbeOutcome::Untested,
    })
}

/// A worker that fails as a whole says nothing about the outside party.
fn unanswered(consumer: &str, error: &Unavailable) -> ProbeAnswer {
    let cause = cause_chain(error).join(": ");
    tracing::warn!(
        consumer,
        cause,
        error_name = "ProbeUnanswered",
        "the worker did not answer a probe"
    );
    ProbeAnswer {
        acknowledged: false,
        verdict: Verdict::Untested,
    }
}
