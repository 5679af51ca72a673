//! The outbox-relay function.

fn main() {}
