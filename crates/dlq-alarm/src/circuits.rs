//! What the circuits say, for the automatic replay.

use circuit::{CircuitStore, State};
use failures::CircuitStates;
use ports::Unavailable;

/// Looks at the stored circuits.
#[derive(Debug, Clone)]
pub struct StoredCircuits<S>(pub S);

impl<S: CircuitStore> CircuitStates for StoredCircuits<S> {
    /// A consumer that a person has paused is not well either.
    async fn is_closed(&self, consumer: &str) -> Result<bool, Unavailable> {
        let circuit = self.0.load(consumer).await?;
        Ok(circuit.state == State::Closed && circuit.pause.is_none())
    }
}
