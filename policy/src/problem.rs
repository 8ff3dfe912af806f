//! What is wrong with a policy, and where.

use std::fmt;

use serde::Serialize;

/// One thing that is wrong, with the path of the field that has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// Path of the field, such as `spec.rules[0].where[1].age`.
    pub path: String,
    /// What is wrong with it and, where it is not obvious, the way out.
    pub message: String,
}

impl Problem {
    pub(crate) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.path, self.message)
    }
}
