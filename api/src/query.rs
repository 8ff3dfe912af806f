//! What stands after the question mark, read like the fields of a body: every problem is found, and a
//! parameter that nobody asks for is one.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::body::Fields;
use crate::problem::{Code, FieldProblem, Problem};

/// How many rows a page has unless it is said.
const USUAL: i64 = 50;
/// And at the most.
const MOST: i64 = 100;

/// The parameters that nobody has asked for yet.
#[derive(Debug)]
pub struct Query(Fields);

/// A part of a list. Most are ordered by a time and, where that is the same, by an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<P = (Timestamp, Uuid)> {
    /// How many rows.
    pub limit: i64,
    /// The last row that was seen; nothing at the begin.
    pub after: Option<P>,
}

/// Where a row stands in its list, as the text of a cursor.
pub trait Place: Sized {
    /// Reads what [`Place::shown`] gave.
    fn read(text: &str) -> Option<Self>;
    /// The text.
    fn shown(&self) -> String;
}

impl Place for (Timestamp, Uuid) {
    fn read(text: &str) -> Option<Self> {
        let (at, id) = text.split_once('.')?;
        Some((microsecond(at)?, Uuid::try_parse(id).ok()?))
    }

    fn shown(&self) -> String {
        format!("{}.{}", self.0.as_microsecond(), self.1.simple())
    }
}

impl Place for (Timestamp, i64) {
    fn read(text: &str) -> Option<Self> {
        let (at, number) = text.split_once('.')?;
        Some((microsecond(at)?, whole(number)?))
    }

    fn shown(&self) -> String {
        format!("{}.{}", self.0.as_microsecond(), self.1)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::parse(parts.uri.query().unwrap_or_default())
    }
}

impl Query {
    fn parse(query: &str) -> Result<Self, Problem> {
        let mut values = Map::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (decoded(name), decoded(value)) else {
                return Err(unreadable());
            };
            if values.insert(name, Value::String(value)).is_some() {
                return Err(unreadable());
            }
        }
        Ok(Self(Fields::of(values)))
    }

    /// The parameters, to be read as texts.
    pub fn fields(&mut self) -> &mut Fields {
        &mut self.0
    }

    /// How many rows are wanted.
    pub fn limit(&mut self) -> i64 {
        let limit = |text: &str| {
            text.parse().ok().filter(|limit| (1..=MOST).contains(limit) && text.len() <= 3)
        };
        let message = format!("must be a whole number from 1 to {MOST}");
        let text = self.0.formed("limit", |text| limit(text).is_some(), &message);
        text.and_then(|text| limit(&text)).unwrap_or(USUAL)
    }

    /// The page that is wanted. Its cursor is what an answer before it gave as `next`.
    pub fn page<P: Place>(&mut self) -> Page<P> {
        let limit = self.limit();
        let is_cursor = |text: &str| P::read(text).is_some();
        let after = self.0.formed("cursor", is_cursor, "must be what an answer gave as next");
        Page { limit, after: after.and_then(|text| P::read(&text)) }
    }

    /// A time.
    pub fn time(&mut self, name: &'static str) -> Option<Timestamp> {
        let is_time = |text: &str| time(text).is_some();
        let text = self.0.formed(name, is_time, "must be a time such as 2026-01-31T12:00:00Z");
        text.and_then(|text| time(&text))
    }

    /// An id.
    pub fn id(&mut self, name: &'static str) -> Option<Uuid> {
        self.0.id(name)
    }

    /// Ends the reading.
    pub fn done(self) -> Result<(), Problem> {
        self.0.done()
    }
}

impl<P: Place> Page<P> {
    /// Cuts what was read one row beyond the page, and says where the next one begins.
    pub fn cut<T>(&self, rows: &mut Vec<T>, place: impl Fn(&T) -> P) -> Option<String> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        if rows.len() <= limit {
            return None;
        }
        rows.truncate(limit);
        rows.last().map(|row| place(row).shown())
    }

    /// How many rows are to be read: one more tells whether there is a next page.
    pub fn read(&self) -> i64 {
        self.limit + 1
    }
}

fn microsecond(text: &str) -> Option<Timestamp> {
    in_range(Timestamp::from_microsecond(text.parse().ok()?).ok()?)
}

/// A number that rows are counted or numbered by.
pub fn whole(text: &str) -> Option<i64> {
    text.parse().ok().filter(|number| *number >= 0)
}

fn time(text: &str) -> Option<Timestamp> {
    in_range(text.parse().ok()?)
}

/// Times that a sum with a day stays in the range of both sides.
fn in_range(at: Timestamp) -> Option<Timestamp> {
    let seconds = at.as_second();
    // The years 1970 to 9000.
    (0..221_845_392_000).contains(&seconds).then_some(at)
}

fn unreadable() -> Problem {
    let message = "a parameter is given twice, or is no text".to_owned();
    Problem::new(Code::ValidationFailed).errors(vec![FieldProblem { field: "", message }])
}

/// Undoes `%41` and `+`. Control characters are in no parameter of ours.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let [high, low, after @ ..] = rest else { return None };
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                let byte = digit(high)? * 16 + digit(low)?;
                bytes.push(u8::try_from(byte).ok()?);
                rest = after;
            }
            byte => bytes.push(*byte),
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.chars().any(char::is_control)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_what_cannot_be_is_refused() {
        let mut query = Query::parse("user_id=a%2Bb&app=tarot&limit=7").expect("a query");
        assert_eq!(query.fields().user("user_id").as_deref(), Some("a+b"));
        assert_eq!(query.limit(), 7);
        query.done().expect_err("app was not asked for");
        for wrong in ["a=1&a=2", "a=%", "a=%4", "a=%zz", "a=%ff", "a=%00", "a%0a=1"] {
            assert!(Query::parse(wrong).is_err(), "{wrong}");
        }
        for wrong in ["limit=0", "limit=101", "limit=x", "limit=+007", "cursor=1", "cursor=1.x"] {
            let mut query = Query::parse(wrong).expect("a query");
            query.page::<(Timestamp, Uuid)>();
            assert!(query.done().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_cursor_leads_behind_the_last_row_of_a_page() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let row = |second| (at(second), Uuid::from_u128(u128::try_from(second).expect("small")));
        let page = Page { limit: 2, after: None };
        let mut rows = vec![row(1), row(2), row(3)];
        let next = page.cut(&mut rows, |row| *row).expect("there is more");
        assert_eq!(rows, [row(1), row(2)]);
        let mut query = Query::parse(&format!("cursor={next}")).expect("a query");
        assert_eq!(query.page(), Page { limit: USUAL, after: Some(row(2)) });
        assert_eq!(page.cut(&mut vec![row(1)], |row| *row), None);
    }

    #[test]
    fn a_time_that_postgres_could_not_hold_is_none() {
        for (text, is_time) in [
            ("2026-01-31T12:00:00Z", true),
            ("2026-01-31T12:00:00+02:00", true),
            ("-009999-01-01T00:00:00Z", false),
            ("9999-12-31T00:00:00Z", false),
            ("yesterday", false),
        ] {
            assert_eq!(time(text).is_some(), is_time, "{text}");
        }
    }
}
