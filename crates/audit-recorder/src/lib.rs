//! The audit-recorder function.
