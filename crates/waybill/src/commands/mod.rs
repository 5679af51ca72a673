//! One module for each noun of the command line.

pub(crate) mod completions;
pub(crate) mod failures;
mod input;
pub(crate) mod order;
pub(crate) mod queues;
pub(crate) mod saga;
pub(crate) mod sandbox;
pub(crate) mod stock;
