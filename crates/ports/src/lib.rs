//! What the functions need from the outside, in the domain's words.
