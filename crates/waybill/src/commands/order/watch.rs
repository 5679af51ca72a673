//! Waits until an order is in a final state.

use std::time::Duration;

use domain::OrderStatus;
use tokio::time::Instant;

use crate::api::Api;
use crate::api::order::Order;
use crate::failure::{Exit, Failure};

const FIRST_PAUSE: Duration = Duration::from_millis(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// Polls the order until it is final or the time is up, and gives its last state.
/// `seen` is called with each state, the last one included.
pub(crate) async fn until_final(
    api: &Api,
    id: &str,
    deadline: Option<Instant>,
    mut seen: impl FnMut(&Order) -> Result<(), Failure>,
) -> Result<Order, Failure> {
    let mut pause = FIRST_PAUSE;
    loop {
        let order = api.order(id).await?;
        seen(&order)?;
        let time_is_up = deadline.is_some_and(|deadline| Instant::now() + pause > deadline);
        if exit_of(&order) != Exit::StillUnderWay || time_is_up {
            return Ok(order);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}

/// When to stop waiting.
pub(crate) fn deadline(timeout: Option<u64>) -> Option<Instant> {
    // A time limit beyond what the clock can hold is no limit.
    timeout.and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds)))
}

/// The exit code that tells how an order ended.
pub(crate) fn exit_of(order: &Order) -> Exit {
    match order.status.parse() {
        Ok(OrderStatus::Completed) => Exit::Ok,
        Ok(OrderStatus::Failed | OrderStatus::NeedsAttention) => Exit::OrderFailed,
        // A status of a newer deployment is not known to be final.
        _ => Exit::StillUnderWay,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::order::view::tests::order;

    #[test]
    fn the_exit_code_tells_how_the_order_ended() {
        for status in OrderStatus::ALL {
            let exit = exit_of(&order(status.as_str(), &[]));
            assert_eq!(exit != Exit::StillUnderWay, status.is_final(), "{status}");
        }
        assert_eq!(exit_of(&order("completed", &[])), Exit::Ok);
        assert_eq!(exit_of(&order("needs-attention", &[])), Exit::OrderFailed);
    }
}
