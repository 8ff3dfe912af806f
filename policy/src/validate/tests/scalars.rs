//! What YAML makes of a value, and what a policy takes of that.

use serde_json::{Value, json};

use super::{GOOD, document, problems};
use crate::policy::{Condition, Test};
use crate::{Scalar, validate};

/// The value of the first condition of the second rule, as YAML.
fn written(value: &str) -> Value {
    document(&GOOD.replace("NotEquals, value: used", &format!("NotEquals, value: {value}")))
}

fn read(value: &str) -> Scalar {
    let policy = validate(&written(value)).unwrap();
    match &policy.rules()[1].conditions()[0] {
        Condition::Column(condition) => match &condition.test {
            Test::NotEquals(value) => value.clone(),
            other => unreachable!("{other:?}"),
        },
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn strings_and_integers_are_taken_to_the_letter() {
    let text = |text: &str| Scalar::Text(text.to_owned());
    for (value, expected) in [
        ("used", text("used")),
        ("''", text("")),
        ("'yes'", text("yes")),
        ("'null'", text("null")),
        ("'0777'", text("0777")),
        ("'1e3'", text("1e3")),
        ("'1.50'", text("1.50")),
        ("'9223372036854775808'", text("9223372036854775808")),
        ("' a '", text(" a ")),
        ("'$(DATABASE_URL)'", text("$(DATABASE_URL)")),
        ("2026-01-02", text("2026-01-02")),
        ("2026-01-02T03:04:05Z", text("2026-01-02T03:04:05Z")),
        ("12:30:00", text("12:30:00")),
        ("é\u{1F9F9}", text("é\u{1F9F9}")),
        ("\"a\\tb\\u2028\"", text("a\tb\u{2028}")),
        ("5", Scalar::Integer(5)),
        ("-0", Scalar::Integer(0)),
        ("9223372036854775807", Scalar::Integer(i64::MAX)),
        ("-9223372036854775808", Scalar::Integer(i64::MIN)),
    ] {
        assert_eq!(read(value), expected, "{value}");
    }
}

/// A cluster reads them in the same way, or as another number: nobody is to guess which.
#[test]
fn what_yaml_reads_as_something_else_is_refused_and_wants_quotes() {
    for (value, kind) in [
        ("yes", "boolean"),
        ("NO", "boolean"),
        ("on", "boolean"),
        ("y", "boolean"),
        ("true", "boolean"),
        ("0777", "decimal"),
        ("1e3", "decimal"),
        ("1.0", "decimal"),
        (".5", "decimal"),
        ("18446744073709551616", "decimal"),
        ("9223372036854775808", "a larger integer"),
        ("[a]", "array"),
        ("{a: b}", "object"),
    ] {
        let expected = format!(
            "spec.rules[1].where[0].value: must be a string or a 64-bit integer, not {kind}; put it in quotes"
        );
        assert_eq!(problems(&written(value)), [expected], "{value}");
    }
    for value in ["null", "~", ""] {
        let expected = "spec.rules[1].where[0].value: is required by operator NotEquals";
        assert_eq!(problems(&written(value)), [expected], "{value}");
    }
}

#[test]
fn a_name_that_yaml_reads_as_something_else_wants_quotes_too() {
    for (name, kind) in [("n", "boolean"), ("7", "integer"), ("1.0", "decimal")] {
        let document = document(&GOOD.replace("{column: expires_at", &format!("{{column: {name}")));
        let expected = format!(
            "spec.rules[0].where[0].column: must be of type string, not {kind}; put it in quotes"
        );
        assert_eq!(problems(&document), [expected], "{name}");
    }
}

#[test]
fn a_value_has_at_most_4096_characters() {
    assert_eq!(read(&"é".repeat(4096)), Scalar::Text("é".repeat(4096)));
    assert_eq!(
        problems(&written(&"é".repeat(4097))),
        ["spec.rules[1].where[0].value: must have at most 4096 characters"]
    );
    let mut document = document(GOOD);
    document["spec"]["rules"][1]["where"][0]["value"] = json!("\0");
    assert_eq!(
        problems(&document),
        ["spec.rules[1].where[0].value: must not contain a NUL character"]
    );
}
