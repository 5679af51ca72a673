//! A provider that serves nobody, and consumers that are held back.
//!
//! What happens here concerns every order of the deployment. So these tests are
//! a program of their own, which `make e2e` runs after the others, and they run
//! one after the other.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is the failure report of a test"
)]
#![allow(clippy::large_futures, reason = "a test's future is awaited once")]

mod outage;
mod upkeep;

use tokio::sync::{Mutex, MutexGuard};

/// One test at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

async fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().await
}
