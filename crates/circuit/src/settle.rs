//! Makes a mapping as its circuit wants it.

use ports::Unavailable;

use crate::{Circuit, CircuitStore, Mapping, Mappings, Switch, Wanted};

/// A circuit that changes under our hands more often than that is left to the next look.
const MOST_LOOKS: usize = 5;

/// Why a mapping may not be as its circuit wants it. The next look tries again.
#[derive(Debug, thiserror::Error)]
pub enum NotSettled {
    /// The circuit or the mapping could not be read.
    #[error("the circuit or its mapping could not be read")]
    Unread(#[source] Unavailable),
    /// The mapping could not be changed.
    #[error("the mapping could not be changed")]
    Unchanged(#[source] Unavailable),
    /// Others changed the circuit again and again.
    #[error("the circuit changes all the time")]
    Restless,
}

/// Makes the mapping of a consumer as its circuit wants it, for a consumer of this
/// full concurrency, and gives the circuit that it was made for.
///
/// After each change the circuit is read again. Otherwise an order that came between
/// the read and the change, such as a pause, would be undone by the older one. A
/// mapping that is being changed is left alone: it takes no other change before that
/// is done.
///
/// # Errors
/// [`NotSettled`]
pub async fn settle<S: CircuitStore, M: Mappings>(
    circuits: &S,
    mappings: &M,
    consumer: &str,
    full: u32,
) -> Result<Circuit, NotSettled> {
    let load = async || circuits.load(consumer).await.map_err(NotSettled::Unread);
    let mut circuit = load().await?;
    for _ in 0..MOST_LOOKS {
        let mapping = mappings.look(consumer).await;
        let mapping = mapping.map_err(NotSettled::Unread)?;
        let wanted = circuit.wanted(full);
        if mapping.switch == Switch::Changing || is_as_wanted(mapping, wanted) {
            return Ok(circuit);
        }
        let set = mappings.set(consumer, wanted).await;
        set.map_err(NotSettled::Unchanged)?;
        let now = load().await?;
        if now.version == circuit.version {
            return Ok(circuit);
        }
        circuit = now;
    }
    Err(NotSettled::Restless)
}

fn is_as_wanted(mapping: Mapping, wanted: Wanted) -> bool {
    match wanted {
        Wanted::Disabled => mapping.switch == Switch::Disabled,
        Wanted::Enabled(concurrency) => {
            mapping.switch == Switch::Enabled && mapping.concurrency == Some(concurrency)
        }
    }
}
