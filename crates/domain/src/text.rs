//! Checks that the text values share.

/// Why a value was refused, in words for the one who sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Rejected(pub &'static str);

/// Accepts 1 to `longest` characters (Unicode scalar values) without control characters.
pub(crate) fn line(value: &str, longest: usize, message: &'static str) -> Result<String, Rejected> {
    let length = value.chars().count();
    let fits = (1..=longest).contains(&length) && !value.trim().is_empty();
    if fits && !value.chars().any(char::is_control) {
        Ok(value.to_owned())
    } else {
        Err(Rejected(message))
    }
}

/// Accepts 1 to `longest` characters of a key: visible ASCII, no spaces.
pub(crate) fn token(
    value: &str,
    longest: usize,
    message: &'static str,
) -> Result<String, Rejected> {
    if (1..=longest).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(value.to_owned())
    } else {
        Err(Rejected(message))
    }
}

/// Declares a text type with a private field, a fallible constructor and `as_str`.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $check:path, $longest:expr, $message:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Checks a value that came from outside.
            pub fn new(value: &str) -> Result<Self, $crate::text::Rejected> {
                $check(value, $longest, $message).map(Self)
            }

            /// The value as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}
pub(crate) use text_type;
