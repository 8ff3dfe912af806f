//! The leaves of a policy: values, and names of what is in a database.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// No text of Postgres holds a NUL character.
const NO_NUL: &str = r"^[^\x00]*$";

/// The schema of a name of Postgres: bytes, not characters, are what it counts.
pub(super) fn identifier(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 63,
        "pattern": NO_NUL,
        "x-kubernetes-validations": [{
            "rule": "bytes(self).size() <= 63",
            "message": "must have at most 63 bytes: Postgres would cut it off and mean another name",
        }],
    })
}

/// The schema of a key of a JSON object.
pub(super) fn key(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 253, "pattern": NO_NUL})
}

/// A string or an integer, bound as text and cast to the column's own type;
/// booleans and decimals are written in quotes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// An integer.
    Integer(i64),
    /// A string.
    Text(String),
}

impl fmt::Display for Scalar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Integer(integer) => integer.fmt(formatter),
            Scalar::Text(text) => formatter.write_str(text),
        }
    }
}

impl JsonSchema for Scalar {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true, "maxLength": 4096, "pattern": NO_NUL,
        })
    }
}
