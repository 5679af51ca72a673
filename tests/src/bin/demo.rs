//! A tour of the whole system.

fn main() {}
