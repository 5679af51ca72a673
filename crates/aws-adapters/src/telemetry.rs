//! Logs: one JSON object a line, on standard output, as CloudWatch Logs reads them.

use tracing::Level;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::environment::Environment;

/// Starts logging at the level of `LOG_LEVEL` (`info` where it is absent or unknown),
/// though never below `debug`: at `trace` the SDK writes whole requests.
///
/// Bodies, task tokens and personal data are never logged, at any level.
pub fn init_logs(environment: Environment) {
    let level = environment
        .optional("LOG_LEVEL")
        .and_then(|level| level.parse().ok())
        .map(|level: Level| level.min(Level::DEBUG));
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_span_events(FmtSpan::NONE)
        .with_target(false)
        .with_max_level(level.unwrap_or(Level::INFO))
        .finish();
    // Only a second call can fail, and then the first one's choice stands.
    let _already_set = tracing::subscriber::set_global_default(subscriber);
}
