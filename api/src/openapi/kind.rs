//! What the fields of requests must be.

use serde_json::{Value, json};

/// What a field of a request must be.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A line of so many characters.
    Line(u32),
    /// Lines of so many characters.
    Lines(u32),
    /// A name for machines of so many characters.
    Name(u32),
    /// What the app calls somebody.
    User,
    /// Two of them.
    Users,
    Id,
    OneOf(&'static [&'static str]),
    Whole(i32, i32),
    Truth,
    Code,
    InviteToken,
    Time,
    /// Characters of ASCII without a space.
    Key,
    /// The number of a line.
    Number,
    Cursor,
    /// A cursor of rows that have a time and a number.
    NumberedCursor,
    /// A cursor of tables, which ends with a name where they have one.
    TableCursor,
    /// A cursor that may be a text of the app's.
    AnyCursor,
}

/// A line of text has something in it to see, and nothing that steers a terminal.
const LINE: &str = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$";
/// The same of several.
const LINES: &str = r"^[^\u0000-\u0009\u000b-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u0009\u000b-\u001f\u007f-\u009f]*$";

impl Kind {
    /// In the words of JSON Schema.
    pub fn schema(self) -> Value {
        let user = json!({"type": "string", "pattern": "^[!-~]{1,128}$"});
        match self {
            Self::Line(most) => json!({"type": "string", "pattern": LINE, "maxLength": most}),
            Self::Lines(most) => json!({"type": "string", "pattern": LINES, "maxLength": most}),
            Self::Name(most) => {
                json!({"type": "string", "pattern": format!("^[A-Za-z0-9_.-]{{1,{most}}}$")})
            }
            Self::User | Self::Key => user,
            Self::Users => {
                json!({"type": "array", "items": user, "minItems": 2, "maxItems": 2, "uniqueItems": true})
            }
            Self::Id => json!({"type": "string", "format": "uuid"}),
            Self::OneOf(words) => json!({"type": "string", "enum": words}),
            Self::Whole(least, most) => {
                json!({"type": "integer", "minimum": least, "maximum": most})
            }
            Self::Truth => json!({"type": "boolean"}),
            Self::Code => json!({"type": "string", "pattern": "^[0-9]{6}$"}),
            Self::InviteToken => json!({"type": "string", "pattern": "^in_[0-9A-Fa-f]{64}$"}),
            Self::Time => json!({"type": "string", "format": "date-time"}),
            Self::Number => json!({"type": "string", "pattern": "^[0-9]{1,18}$"}),
            Self::Cursor => json!({"type": "string", "pattern": r"^[0-9]{1,17}\.[0-9a-f]{32}$"}),
            Self::NumberedCursor => {
                json!({"type": "string", "pattern": r"^[0-9]{1,17}\.[0-9]{1,18}$"})
            }
            Self::TableCursor => json!({
                "type": "string",
                "pattern": r"^[0-9]{1,18}\.[0-9]{1,18}(\.[^\u0000-\u001f\u007f-\u009f]*)?$",
            }),
            Self::AnyCursor => json!({"type": "string", "maxLength": 128}),
        }
    }
}
