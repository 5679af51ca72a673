//! Which events travel in which request.

use std::collections::HashMap;

use crate::outbox::Outgoing;

/// Divides events into batches, by their index.
///
/// Two events of one order never share a batch: the bus may take the later and
/// refuse the earlier. Otherwise each event goes into the first batch with room
/// behind its predecessor's, so that batches are as full as that allows.
pub fn plan(events: &[&Outgoing], longest: usize, most_bytes: usize) -> Vec<Vec<usize>> {
    let mut batches: Vec<Batch> = Vec::new();
    let mut next_allowed: HashMap<&str, usize> = HashMap::new();
    for (index, event) in events.iter().enumerate() {
        let allowed = next_allowed.entry(&event.order_id).or_default();
        let size = event.body.len();
        let fits = |batch: &Batch| batch.events.len() < longest && batch.bytes + size <= most_bytes;
        let place = (*allowed..batches.len()).find(|place| fits(&batches[*place]));
        let place = place.unwrap_or(batches.len());
        if place == batches.len() {
            batches.push(Batch::default());
        }
        batches[place].events.push(index);
        batches[place].bytes += size;
        *allowed = place + 1;
    }
    batches.into_iter().map(|batch| batch.events).collect()
}

#[derive(Default)]
struct Batch {
    events: Vec<usize>,
    bytes: usize,
}
