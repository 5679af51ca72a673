//! The order-api function.

fn main() {}
