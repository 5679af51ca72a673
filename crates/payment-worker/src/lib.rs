//! The payment-worker function.
