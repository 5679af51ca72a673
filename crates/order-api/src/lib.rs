//! The order-api function.
