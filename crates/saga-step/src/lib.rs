//! The protocol of one saga step, written once for all workers.
//!
//! A command is decoded, its record is claimed, the effect takes place, result
//! and event are committed together, and the saga gets its answer:
//!
//! ```text
//! decode ─▶ claim ─▶ effect (outside party) ─▶ commit ─▶ answer
//!             │                                            ▲
//!             └── done before: the stored result ──────────┘
//! ```
//!
//! A crash between any two arrows leads to a redelivery, and the redelivery
//! goes on where the first one stopped. An action and its undo share a record,
//! so that a late action finds its tombstone with the same one request that
//! would have claimed it.

mod claimed;
mod error;
mod handler;
mod settled;

use std::future::Future;
use std::time::Duration;

use contracts::CommandMessage;
use domain::Step;
use idempotency::{Claim, Clock, Fingerprint, Key, Lease, NoTimeLeft};
use message_worker::RecordContext;
use ports::Answer;

pub use claimed::{
    ClaimedSteps, Done, Effects, ORDER_ENDED, PROVIDER_TIME_LIMIT, already_undone, knowledge,
    order_change, order_ended, stored, undo_refusal,
};
pub use error::StepError;
pub use handler::StepHandler;
pub use settled::{Settled, StepOutcome, Told};

/// How long a step's record is kept: ten years, since an order is kept for good.
/// Whoever undoes or repeats a step must find what was done, also after a year.
pub const RETENTION: Duration = Duration::from_secs(3650 * 24 * 60 * 60);

/// How long a step is claimed for: twice an outside party's time limit, also where
/// the invocation ends before that. After a lost answer, nobody repeats or undoes
/// the step for the rest of it.
pub const LEASE: Duration = Duration::from_secs(20);

/// Carries out commands, each with the effect of one delivery however often it comes.
pub trait Steps: Send + Sync {
    /// Carries out a command, or finds that it was carried out before, and says what to answer.
    fn run(
        &self,
        message: &CommandMessage,
        context: &RecordContext,
    ) -> impl Future<Output = Result<Answer, StepError>> + Send;
}

/// The claim of a command: an action and its undo have the same key.
///
/// # Errors
/// [`StepError`] where no time is left to carry anything out.
pub fn claim(
    message: &CommandMessage,
    context: &RecordContext,
    clock: &impl Clock,
) -> Result<Claim, StepError> {
    if context.remaining().is_zero() {
        return Err(NoTimeLeft.into());
    }
    let now = clock.now();
    let lease = Lease::until_deadline(now, now.plus(LEASE))?;
    let key = Key::new(action_id(message)).map_err(|error| StepError::Damaged(Box::new(error)))?;
    Ok(Claim::new(key, fingerprint(message)?, lease, RETENTION))
}

/// The id of the action that a command asks for, or asks to undo. It is the
/// key of the step's record and the outside party's idempotency key.
pub fn action_id(message: &CommandMessage) -> String {
    step_id(message, message.step.action())
}

fn step_id(message: &CommandMessage, step: Step) -> String {
    format!("{}/{step}", message.envelope.order)
}

/// Of the data alone: a command that the saga sends again has another token and time.
fn fingerprint(message: &CommandMessage) -> Result<Fingerprint, StepError> {
    Fingerprint::of_json_text(message.envelope.data.get())
        .map_err(|error| StepError::Damaged(Box::new(error)))
}
