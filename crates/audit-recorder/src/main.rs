//! The audit-recorder function.

fn main() {}
