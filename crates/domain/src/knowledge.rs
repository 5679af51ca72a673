//! What is known of an action when its undo begins.

/// What is known of an action, whose recorded outcome is a `T`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Knowledge<T> {
    /// It never began, and now never will.
    NeverRan,
    /// It came to this.
    Recorded(T),
    /// It began and its outcome was never recorded: only the outside party knows.
    Unknown,
}
