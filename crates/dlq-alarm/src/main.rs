//! The dlq-alarm function.

fn main() {}
