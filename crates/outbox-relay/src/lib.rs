//! The outbox-relay function.
