//! The saga-starter function.

fn main() {}
