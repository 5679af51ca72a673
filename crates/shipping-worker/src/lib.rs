//! The shipping-worker function.
