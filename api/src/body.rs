//! The fields of a body, read one by one: every problem is found, never only the first.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::problem::{Code, FieldProblem, Problem};

/// The fields that nobody has asked for yet, and what was wrong with those that somebody has.
#[derive(Debug)]
pub struct Fields {
    values: Map<String, Value>,
    problems: Vec<FieldProblem>,
    digest: [u8; 32],
}

/// What is to be in place of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// What is there.
    Unchanged,
    /// Nothing.
    Nothing,
    /// Another one.
    Text(String),
}

/// Whether a body is waited for: that a request takes long is then the doing of its client.
#[derive(Clone, Debug, Default)]
pub struct Awaited(Arc<AtomicBool>);

impl Awaited {
    fn set(&self, is_awaited: bool) {
        self.0.store(is_awaited, Ordering::Relaxed);
    }

    /// Whether it is.
    pub fn is_awaited(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let media_type = request.headers().get(header::CONTENT_TYPE);
        let is_json = media_type.and_then(|value| value.to_str().ok()).is_some_and(is_json);
        let awaited = request.extensions().get::<Awaited>().cloned().unwrap_or_default();
        awaited.set(true);
        let bytes = Bytes::from_request(request, state).await;
        awaited.set(false);
        let bytes = bytes.map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                Problem::new(Code::BodyTooLarge)
            } else {
                Problem::new(Code::RequestMalformed)
            }
        })?;
        // Where every field may be missing, so may the body.
        if bytes.is_empty() {
            return Ok(Self::of(Map::new()));
        }
        if !is_json {
            return Err(Problem::new(Code::MediaTypeUnsupported));
        }
        Self::parse(&bytes)
    }
}

fn is_user(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// JSON knows one kind of number, and JSON Schema takes `60.0` for a whole one.
fn whole(value: &Value) -> Option<i32> {
    let is_whole = |number: &f64| number.fract() == 0.0 && number.abs() <= f64::from(i32::MAX);
    #[expect(clippy::cast_possible_truncation, reason = "only those that fit are left")]
    value.as_f64().filter(is_whole).map(|number| number as i32)
}

/// Parameters, such as a character set, change nothing.
fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

impl Fields {
    /// Reads one JSON object.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let values =
            serde_json::from_slice(bytes).map_err(|_| Problem::new(Code::RequestMalformed));
        Ok(Self { values: values?, problems: Vec::new(), digest: Sha256::digest(bytes).into() })
    }

    /// Fields that were read elsewhere.
    pub fn of(values: Map<String, Value>) -> Self {
        Self { values, problems: Vec::new(), digest: [0; 32] }
    }

    /// What tells this body from others.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    fn wrong(&mut self, field: &'static str, message: impl Into<String>) {
        self.problems.push(FieldProblem { field, message: message.into() });
    }

    /// A field that may be missing; null is missing.
    fn take(&mut self, field: &'static str) -> Option<Value> {
        self.values.remove(field).filter(|value| !value.is_null())
    }

    /// Demands what was read.
    pub fn required<T: Default>(&mut self, field: &'static str, read: Option<T>) -> T {
        let is_told = self.problems.iter().any(|problem| problem.field == field);
        if read.is_none() && !is_told {
            self.wrong(field, "must be given");
        }
        read.unwrap_or_default()
    }

    /// A line of text for people.
    pub fn text(&mut self, field: &'static str, longest: usize) -> Option<String> {
        let value = self.take(field)?;
        let is_line = |text: &&str| {
            !text.trim().is_empty()
                && text.chars().count() <= longest
                && !text.chars().any(char::is_control)
        };
        let text = value.as_str().filter(is_line).map(str::to_owned);
        if text.is_none() {
            let message = format!("must be a line of 1 to {longest} characters");
            self.wrong(field, message);
        }
        text
    }

    /// The same, where null means that there shall be none.
    pub fn replacement(&mut self, field: &'static str, longest: usize) -> Replacement {
        if self.values.get(field).is_some_and(Value::is_null) {
            self.values.remove(field);
            return Replacement::Nothing;
        }
        self.text(field, longest).map_or(Replacement::Unchanged, Replacement::Text)
    }

    /// A name for machines, as `table_042`.
    pub fn name(&mut self, field: &'static str, longest: usize) -> Option<String> {
        let is_name = |text: &str| {
            text.len() <= longest
                && !text.is_empty()
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
        };
        let message =
            format!("must be 1 to {longest} letters, digits, underscores, hyphens or dots");
        self.formed(field, is_name, &message)
    }

    /// What an app calls somebody. We take its word for it.
    pub fn user(&mut self, field: &'static str) -> Option<String> {
        self.formed(field, is_user, "must be 1 to 128 characters of ASCII without spaces")
    }

    /// Some of them, at most ten.
    pub fn users(&mut self, field: &'static str) -> Option<Vec<String>> {
        let value = self.take(field)?;
        let texts = value.as_array().filter(|texts| texts.len() <= 10);
        let users = texts.and_then(|texts| {
            texts.iter().map(|text| text.as_str().filter(|text| is_user(text))).collect()
        });
        if users.is_none() {
            self.wrong(
                field,
                "must be a list of texts of 1 to 128 characters of ASCII without spaces",
            );
        }
        users.map(|users: Vec<&str>| users.into_iter().map(str::to_owned).collect())
    }

    /// An id of ours.
    pub fn id(&mut self, field: &'static str) -> Option<Uuid> {
        let text = self.formed(field, |text| Uuid::try_parse(text).is_ok(), "must be an id");
        text.and_then(|text| Uuid::try_parse(&text).ok())
    }

    /// A text of a form of its own.
    pub fn formed(
        &mut self,
        field: &'static str,
        is_right: impl Fn(&str) -> bool,
        message: &str,
    ) -> Option<String> {
        let value = self.take(field)?;
        let text = value.as_str().filter(|text| is_right(text)).map(str::to_owned);
        if text.is_none() {
            self.wrong(field, message);
        }
        text
    }

    /// One of some words.
    pub fn choice(
        &mut self,
        field: &'static str,
        words: &'static [&'static str],
    ) -> Option<&'static str> {
        let value = self.take(field)?;
        let word = words.iter().copied().find(|word| value.as_str() == Some(word));
        if word.is_none() {
            self.wrong(field, format!("must be one of {}", words.join(", ")));
        }
        word
    }

    /// A whole number.
    pub fn whole(&mut self, field: &'static str, range: RangeInclusive<i32>) -> Option<i32> {
        let value = self.take(field)?;
        let number = whole(&value).filter(|number| range.contains(number));
        if number.is_none() {
            let message =
                format!("must be a whole number from {} to {}", range.start(), range.end());
            self.wrong(field, message);
        }
        number
    }

    /// Yes or no.
    pub fn truth(&mut self, field: &'static str) -> Option<bool> {
        let value = self.take(field)?;
        if value.as_bool().is_none() {
            self.wrong(field, "must be true or false");
        }
        value.as_bool()
    }

    /// Ends the reading: a field that nobody asked for is a problem too. Its name is the client's own
    /// text, and is not repeated.
    pub fn done(mut self) -> Result<(), Problem> {
        if !self.values.is_empty() {
            self.wrong("", "there are fields that this request does not have");
        }
        if self.problems.is_empty() {
            return Ok(());
        }
        Err(Problem::new(Code::ValidationFailed).errors(self.problems))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Fields {
        Fields::parse(text.as_bytes()).expect("an object")
    }

    #[test]
    fn every_problem_of_a_body_is_told_at_once() {
        let mut fields =
            fields(r#"{"app": "chess", "title": "a\u0007", "ttl": 1.5, "ready": "yes", "x": 1}"#);
        let app = fields.choice("app", &["tarot"]);
        fields.required("app", app);
        let mode = fields.choice("mode", &["single"]);
        fields.required("mode", mode);
        assert_eq!(fields.text("title", 10), None);
        assert_eq!(fields.whole("ttl", 1..=9), None);
        assert_eq!(fields.truth("ready"), None);
        let wrong: Vec<_> = fields.problems.iter().map(|problem| problem.field).collect();
        assert_eq!(wrong, ["app", "mode", "title", "ttl", "ready"]);
        assert_eq!(fields.done().expect_err("wrong").code(), Code::ValidationFailed);
    }

    #[test]
    fn a_field_that_is_right_is_taken_and_null_is_missing() {
        let mut fields =
            fields(r#"{"name": "table_042", "title": null, "count": 9, "sum": 9.0, "n": null}"#);
        assert_eq!(fields.name("name", 9).as_deref(), Some("table_042"));
        assert_eq!(fields.replacement("title", 10), Replacement::Nothing);
        assert_eq!(fields.replacement("other", 10), Replacement::Unchanged);
        assert_eq!(fields.whole("count", 1..=9), Some(9));
        assert_eq!(fields.whole("sum", 1..=9), Some(9));
        assert_eq!(fields.whole("n", 1..=9), None);
        fields.done().expect("all is right");
    }

    #[test]
    fn what_is_no_object_is_malformed() {
        for text in ["", "[]", "1", "{", "{}{}"] {
            let problem = Fields::parse(text.as_bytes()).expect_err(text);
            assert_eq!(problem.code(), Code::RequestMalformed, "{text}");
        }
        assert!(is_json("application/json; charset=utf-8") && !is_json("text/plain"));
    }
}
