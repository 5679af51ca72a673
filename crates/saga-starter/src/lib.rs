//! The saga-starter function.
