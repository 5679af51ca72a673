//! The stock-worker function.
