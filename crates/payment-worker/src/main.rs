//! The payment-worker function.

fn main() {}
