//! Names of tables and columns: parsed once, quoted always.

use std::fmt;

use serde::Deserialize;
use thiserror::Error;

/// The longest name that Postgres keeps (`NAMEDATALEN` − 1). It cuts a longer
/// one off without an error, and the statement then names another table.
pub const MAX_IDENTIFIER_BYTES: usize = 63;

/// The name of a schema, table or column, matched to the catalog byte by byte.
/// Its `Display` is quoted, so there is no way to put it into SQL bare.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Identifier(String);

/// Why a name cannot be one of Postgres.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IdentifierProblem {
    /// Nothing is there.
    #[error("must not be empty")]
    Empty,
    /// Postgres would cut it off.
    #[error("must have at most 63 bytes: Postgres would cut it off and mean another name")]
    TooLong,
    /// No name of Postgres has one.
    #[error("must not contain a NUL character")]
    Nul,
}

impl Identifier {
    /// Takes a name as it stands in the catalog, without quotes.
    pub fn parse(name: &str) -> Result<Self, IdentifierProblem> {
        if name.is_empty() {
            Err(IdentifierProblem::Empty)
        } else if name.len() > MAX_IDENTIFIER_BYTES {
            Err(IdentifierProblem::TooLong)
        } else if name.contains('\0') {
            Err(IdentifierProblem::Nul)
        } else {
            Ok(Self(name.to_owned()))
        }
    }

    /// The name as the catalog has it: to be bound or shown, never to be put into SQL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Identifier {
    type Error = IdentifierProblem;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::parse(&name)
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// A table with its schema; its `Display` is quoted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct QualifiedTable {
    /// Schema of the table.
    pub schema: Identifier,
    /// Name of the table.
    pub name: Identifier,
}

impl QualifiedTable {
    /// `schema.name` for people.
    #[must_use]
    pub fn plain(&self) -> String {
        format!("{}.{}", self.schema.as_str(), self.name.as_str())
    }
}

impl fmt::Display for QualifiedTable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.schema, self.name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_of_63_bytes_is_taken_and_one_of_64_is_refused() {
        assert!(Identifier::parse(&"é".repeat(31)).is_ok());
        assert!(Identifier::parse(&"x".repeat(63)).is_ok());
        assert_eq!(Identifier::parse(&"x".repeat(64)), Err(IdentifierProblem::TooLong));
        assert_eq!(Identifier::parse(&"é".repeat(32)), Err(IdentifierProblem::TooLong));
    }

    #[test]
    fn empty_and_nul_are_refused() {
        assert_eq!(Identifier::parse(""), Err(IdentifierProblem::Empty));
        assert_eq!(Identifier::parse("a\0b"), Err(IdentifierProblem::Nul));
    }

    #[test]
    fn a_table_is_plain_for_people_and_quoted_for_the_database() {
        let [schema, name] = ["app", "Codes"].map(|name| Identifier::parse(name).unwrap());
        let table = QualifiedTable { schema, name };
        assert_eq!(
            (table.plain().as_str(), table.to_string().as_str()),
            ("app.Codes", r#""app"."Codes""#)
        );
    }

    proptest! {
        #[test]
        fn no_name_ends_its_own_quotes(name in "[^\0]{1,20}") {
            prop_assume!(name.len() <= MAX_IDENTIFIER_BYTES);
            let quoted = Identifier::parse(&name).unwrap().to_string();
            let inner = &quoted[1..quoted.len() - 1];
            prop_assert_eq!(inner.replace("\"\"", "").matches('"').count(), 0);
            prop_assert_eq!(inner.replace("\"\"", "\""), name);
        }
    }
}
