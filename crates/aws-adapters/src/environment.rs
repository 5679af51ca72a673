//! Configuration from the environment; a fault names the variable.

use std::str::FromStr;

/// The variables of a function. Read once, at start.
#[derive(Debug, Clone, Copy, Default)]
pub struct Environment;

/// A variable is missing or wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// There is no such variable, or it is empty.
    #[error("the environment variable {0} is not set; the template sets it")]
    Missing(&'static str),
    /// The value is not of the form that is wanted.
    #[error("the environment variable {name} must be {wanted}")]
    Wrong {
        /// The variable.
        name: &'static str,
        /// What it must be.
        wanted: &'static str,
    },
    /// The value is none of those that are known.
    #[error("the environment variable {name} must be one of: {known}")]
    Unknown {
        /// The variable.
        name: &'static str,
        /// What it may be.
        known: String,
    },
}

impl Environment {
    /// A value that must be there.
    ///
    /// # Errors
    /// [`EnvironmentError::Missing`].
    pub fn text(self, name: &'static str) -> Result<String, EnvironmentError> {
        self.optional(name).ok_or(EnvironmentError::Missing(name))
    }

    /// A value that may be absent; an empty one is absent.
    pub fn optional(self, name: &'static str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }

    /// A number that must be there.
    ///
    /// # Errors
    /// [`EnvironmentError`].
    pub fn number<T: FromStr>(self, name: &'static str) -> Result<T, EnvironmentError> {
        let wanted = "a whole number in range";
        self.text(name)?
            .parse()
            .map_err(|_| EnvironmentError::Wrong { name, wanted })
    }

    /// One of a few values.
    ///
    /// # Errors
    /// [`EnvironmentError::Unknown`] lists what is known.
    pub fn choice(
        self,
        name: &'static str,
        known: &[&'static str],
    ) -> Result<&'static str, EnvironmentError> {
        let value = self.text(name)?;
        let found = known.iter().find(|choice| **choice == value);
        found.copied().ok_or_else(|| EnvironmentError::Unknown {
            name,
            known: known.join(", "),
        })
    }
}
