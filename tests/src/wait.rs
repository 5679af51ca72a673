//! Waiting for something to become true, never for time to pass.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// What should happen within moments. The limit is generous because tests run side by side.
pub const QUICKLY: Duration = Duration::from_secs(60);

/// What has to wait for a time limit of the saga or for an alarm first.
pub const SLOWLY: Duration = Duration::from_secs(150);

const PAUSE: Duration = Duration::from_millis(200);

/// Looks until there is an answer, and gives it.
///
/// `look` answers `Err` with what it saw while there is none.
///
/// # Panics
/// When `limit` is over; the message says what was awaited and what was seen last.
pub async fn wait_until<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let started = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) if started.elapsed() >= limit => {
                panic!(
                    "{what}: not within {} s; last seen: {seen}",
                    limit.as_secs()
                )
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}
