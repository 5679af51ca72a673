//! The shipping-worker function.

fn main() {}
