//! One case, and the cases that come in families.

use std::fmt;

/// Written as a value: the field is left out.
pub const ABSENT: &str = "<absent>";

pub const MATCH: &str = "should match";
pub const EMPTY: &str = "should be at least 1 chars long";

/// One rule or bound.
pub struct Case {
    /// The field whose value is changed.
    pub at: String,
    /// Values that keep the rule, as YAML.
    pub accepted: Vec<String>,
    /// A value that breaks it.
    pub refused: String,
    /// What the API server says then.
    pub says: String,
    /// The field of which it says so.
    pub said_of: String,
    /// Where `policy::validate` finds the problem then.
    pub problem_at: String,
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.at)
    }
}

impl Case {
    /// The name of the field of which the API server speaks, without the path to it.
    pub fn field(&self) -> &str {
        self.said_of.rsplit_once('.').map_or(self.said_of.as_str(), |(_, field)| field)
    }

    /// The API server speaks of a field around.
    pub fn said_of(self, path: &str) -> Self {
        Self { said_of: path.to_owned(), ..self }
    }

    /// `policy::validate` speaks of a field inside, or beside.
    pub fn problem(self, path: &str) -> Self {
        Self { problem_at: path.to_owned(), ..self }
    }
}

pub fn case(at: &str, accepted: &[&str], refused: &str, says: &str) -> Case {
    Case {
        at: at.to_owned(),
        accepted: accepted.iter().map(|value| (*value).to_owned()).collect(),
        refused: refused.to_owned(),
        says: says.to_owned(),
        said_of: at.to_owned(),
        problem_at: at.to_owned(),
    }
}

/// A field that cannot be left out.
pub fn required(at: &str) -> Case {
    case(at, &[], ABSENT, &format!("{at}: Required value"))
}

/// A string of at most `most` characters.
pub fn longest(at: &str, most: usize) -> Case {
    let says = format!("Too long: may not be more than {most} ");
    case(at, &[&"x".repeat(most)], &"x".repeat(most + 1), &says)
}

/// An integer within bounds: one case below, one above.
pub fn range(at: &str, least: i64, most: i64) -> [Case; 2] {
    let accepted = [least.to_string(), most.to_string()];
    let accepted: Vec<&str> = accepted.iter().map(String::as_str).collect();
    let below = format!("should be greater than or equal to {least}");
    let above = format!("should be less than or equal to {most}");
    [
        case(at, &accepted, &(least - 1).to_string(), &below),
        case(at, &accepted, &(most + 1).to_string(), &above),
    ]
}

/// A list of 1 to `most` entries, each made by `entry` from its number.
pub fn entries(at: &str, most: usize, entry: impl Fn(usize) -> String) -> [Case; 2] {
    let list =
        |count: usize| format!("[{}]", (0..count).map(&entry).collect::<Vec<_>>().join(", "));
    let too_many = format!("must have at most {most} items");
    [
        case(at, &[&list(1), &list(most)], "[]", "should have at least 1 items"),
        case(at, &[], &list(most + 1), &too_many),
    ]
}
