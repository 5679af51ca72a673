//! The command line of a Waybill deployment.

fn main() {}
