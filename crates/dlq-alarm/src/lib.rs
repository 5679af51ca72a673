//! The dlq-alarm function.
