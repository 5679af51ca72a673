//! The stock-worker function.

fn main() {}
