//! The conditions a second time: on the texts that Postgres writes, one row after the other, with
//! nothing of the language's own code and nothing clever.

use serde_json::{Value as Json, json};
use tests::decoder::Row;

/// Labels of the enum, in their order.
pub const LEVELS: [&str; 3] = ["low", "mid", "high"];

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Timestamptz,
    Timestamp,
    Date,
    Seconds,
    Millis,
    Numeric,
    Text,
    Bool,
    Level,
    Uuid,
}

impl Kind {
    /// Those that can say when a row is due.
    pub const TIMES: [Self; 6] = [
        Self::Timestamptz,
        Self::Timestamp,
        Self::Date,
        Self::Seconds,
        Self::Millis,
        Self::Numeric,
    ];
    pub const OTHERS: [Self; 5] = [Self::Text, Self::Bool, Self::Level, Self::Uuid, Self::Numeric];

    pub fn sql(self) -> &'static str {
        match self {
            Self::Timestamptz => "timestamptz",
            Self::Timestamp => "timestamp",
            Self::Date => "date",
            Self::Seconds => "integer",
            Self::Millis => "bigint",
            Self::Numeric => "numeric",
            Self::Text => "text COLLATE \"C\"",
            Self::Bool => "boolean",
            Self::Level => "level",
            Self::Uuid => "uuid",
        }
    }

    /// How an age condition has to say it.
    pub fn unit(self) -> Option<&'static str> {
        match self {
            Self::Seconds | Self::Numeric => Some("EpochSeconds"),
            Self::Millis => Some("EpochMillis"),
            _ => None,
        }
    }

    /// A text of this kind as something to compare with.
    pub fn read(self, text: &str) -> Value {
        match self {
            Self::Timestamptz | Self::Timestamp | Self::Date => Value::Number(micros(text)),
            Self::Seconds => Value::Number(text.parse::<i128>().expect("an integer") * 1_000_000),
            Self::Millis => Value::Number(text.parse::<i128>().expect("an integer") * 1_000),
            Self::Numeric => Value::Number(millionths(text)),
            Self::Bool => Value::Number(i128::from(text == "true" || text == "t")),
            Self::Level => {
                let place = LEVELS.iter().position(|level| *level == text).expect("a label");
                Value::Number(i128::try_from(place).expect("a small one"))
            }
            Self::Text | Self::Uuid => Value::Text(text.to_owned()),
        }
    }

    /// A moment in microseconds as this kind writes it.
    pub fn write(self, micros: i128) -> String {
        let seconds = micros.div_euclid(1_000_000);
        match self {
            Self::Timestamptz => format!("{}+00", written(micros)),
            Self::Timestamp => written(micros),
            Self::Date => written(micros).split(' ').next().unwrap_or_default().to_owned(),
            Self::Seconds => seconds.to_string(),
            Self::Millis => micros.div_euclid(1_000).to_string(),
            Self::Numeric => format!("{seconds}.{:06}", micros.rem_euclid(1_000_000)),
            _ => unreachable!("no time"),
        }
    }
}

/// Something to compare with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    Number(i128),
    Text(String),
}

const NEVER: i128 = i128::MIN;
const FOR_EVER: i128 = i128::MAX - 1;

/// Microseconds since 1970 of `2026-11-27 05:01:09.5+00`, also with a `T`, a `Z` or no time.
pub fn micros(text: &str) -> i128 {
    match text {
        "infinity" => return FOR_EVER,
        "-infinity" => return NEVER,
        _ => {}
    }
    let text = text.trim_end_matches("+00").trim_end_matches('Z');
    let (day, time) = text.split_once([' ', 'T']).unwrap_or((text, "00:00:00"));
    let day: Vec<i128> = day.split('-').map(|part| part.parse().expect("a day")).collect();
    let time: Vec<&str> = time.split(':').collect();
    let whole = |index: usize| time[index].parse::<i128>().expect("a time");
    let seconds = millionths(time[2]);
    days(day[0], day[1], day[2]) * 86_400_000_000
        + whole(0) * 3_600_000_000
        + whole(1) * 60_000_000
        + seconds
}

fn is_leap(year: i128) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

fn length(year: i128, month: i128) -> i128 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days(year: i128, month: i128, day: i128) -> i128 {
    let years: i128 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
    years + (1..month).map(|month| length(year, month)).sum::<i128>() + day - 1
}

fn written(micros: i128) -> String {
    let (mut day, within) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
    let (mut year, mut month) = (1970, 1);
    while day >= length(year, month) {
        day -= length(year, month);
        month += 1;
        if month > 12 {
            (year, month) = (year + 1, 1);
        }
    }
    let (seconds, rest) = (within / 1_000_000, within % 1_000_000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{:02} {hour:02}:{minute:02}:{second:02}.{rest:06}", day + 1)
}

/// Millionths of a decimal number with at most six places behind the point.
fn millionths(text: &str) -> i128 {
    match text {
        "NaN" => return i128::MAX,
        "Infinity" => return FOR_EVER,
        "-Infinity" => return NEVER,
        _ => {}
    }
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |text| (-1, text));
    let (whole, places) = text.split_once('.').unwrap_or((text, ""));
    sign * format!("{whole}{places:0<6}").parse::<i128>().expect("a number")
}

/// What is asked of one column.
#[derive(Debug, Clone)]
pub enum Test {
    Equals(String),
    NotEquals(String),
    LessThan(String),
    GreaterThan(String),
    In(Vec<String>),
    NotIn(Vec<String>),
    IsNull,
    IsNotNull,
    /// In seconds.
    OlderThan(i128),
    NewerThan(i128),
}

/// A condition on one column.
#[derive(Debug, Clone)]
pub struct Ask {
    pub column: String,
    pub kind: Kind,
    pub test: Test,
}

impl Ask {
    /// Whether it holds for a row; `now` in microseconds.
    pub fn holds(&self, row: &Row, now: i128) -> bool {
        let Some(text) = row.get(&self.column) else { return matches!(self.test, Test::IsNull) };
        let value = self.kind.read(text);
        let as_value = |text: &String| self.kind.read(text);
        let before = |seconds: i128| Value::Number(now - seconds * 1_000_000);
        match &self.test {
            Test::Equals(other) => value == as_value(other),
            Test::NotEquals(other) => value != as_value(other),
            Test::LessThan(other) => value < as_value(other),
            Test::GreaterThan(other) => value > as_value(other),
            Test::In(others) => others.iter().any(|other| value == as_value(other)),
            Test::NotIn(others) => others.iter().all(|other| value != as_value(other)),
            Test::IsNull => false,
            Test::IsNotNull => true,
            Test::OlderThan(age) => value != Value::Number(NEVER) && value < before(*age),
            Test::NewerThan(age) => value > before(*age),
        }
    }

    /// As a policy says it.
    pub fn written(&self) -> Json {
        let (operator, operand) = match &self.test {
            Test::Equals(value) => ("Equals", json!({"value": value})),
            Test::NotEquals(value) => ("NotEquals", json!({"value": value})),
            Test::LessThan(value) => ("LessThan", json!({"value": value})),
            Test::GreaterThan(value) => ("GreaterThan", json!({"value": value})),
            Test::In(values) => ("In", json!({"values": values})),
            Test::NotIn(values) => ("NotIn", json!({"values": values})),
            Test::IsNull => ("IsNull", json!({})),
            Test::IsNotNull => ("IsNotNull", json!({})),
            Test::OlderThan(age) => ("OlderThan", json!({"age": format!("{age}s")})),
            Test::NewerThan(age) => ("NewerThan", json!({"age": format!("{age}s")})),
        };
        let mut condition = json!({"column": self.column, "operator": operator});
        for (field, value) in operand.as_object().into_iter().flatten() {
            condition[field] = value.clone();
        }
        if let (Test::OlderThan(_) | Test::NewerThan(_), Some(unit)) =
            (&self.test, self.kind.unit())
        {
            condition["unit"] = json!(unit);
        }
        condition
    }
}

#[test]
fn the_second_reading_of_time_and_numbers_is_right() {
    assert_eq!(micros("1970-01-02 00:00:00+00"), 86_400_000_000);
    assert_eq!(micros("2026-11-27T05:01:09.5Z"), 1_795_755_669_500_000);
    assert_eq!(Kind::Timestamptz.write(1_795_755_669_500_000), "2026-11-27 05:01:09.500000+00");
    assert_eq!(Kind::Date.write(1_795_755_669_500_000), "2026-11-27");
    assert_eq!(Kind::Numeric.read("-1.5"), Value::Number(-1_500_000));
    assert!(Kind::Numeric.read("NaN") > Kind::Numeric.read("Infinity"));
    assert!(Kind::Level.read("low") < Kind::Level.read("high"));
}
