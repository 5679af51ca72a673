//! What a replay does to a record that it has claimed.

use message_worker::cause_chain;
use ports::Unavailable;

use crate::change::{Actor, Change};
use crate::drain::MOST_CONFLICTS;
use crate::failure::{Failure, ReplayId};
use crate::ports::{FailureStore, SendError};

/// Makes a change to a claimed record, also over others' changes.
pub(crate) async fn add(
    store: &impl FailureStore,
    mut claimed: Failure,
    change: &Change,
    actor: impl Fn() -> Actor,
) -> Result<(), Unavailable> {
    for _ in 0..MOST_CONFLICTS {
        // The worker may have been faster: then there is nothing to say any more.
        let Ok(next) = claimed.after(change, &actor()) else {
            return Ok(());
        };
        if store.replace(&next).await? {
            return Ok(());
        }
        match store.get(&claimed.id).await? {
            Some(current) => claimed = current,
            None => return Ok(()),
        }
    }
    Ok(())
}

/// How a claim is given back whose message was certainly not sent. Where nobody knows
/// whether it was, there is nothing to give back.
pub(crate) fn unclaim(replay: &ReplayId, error: &SendError) -> Option<Change> {
    let SendError::Refused(cause) = error else {
        return None;
    };
    Some(Change::Unclaim {
        replay: replay.clone(),
        why: format!("not sent: {}", cause_chain(cause).join(": ")),
    })
}
