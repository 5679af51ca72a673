//! The protocol of one saga step: claim, effect, commit, answer; action and undo.
