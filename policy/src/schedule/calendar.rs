//! A cron expression as sets of values: robfig's `ParseStandard`, without its `TZ=` and `@every`.

use std::iter;

use jiff::civil::Date;

use super::ScheduleProblem;

/// What one of the five fields of an expression takes.
struct Field {
    name: &'static str,
    range: &'static str,
    first: i64,
    last: i64,
    /// Names of the values from `first` on.
    words: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", range: "minute is 0–59", first: 0, last: 59, words: &[] },
    Field { name: "hour", range: "hour is 0–23", first: 0, last: 23, words: &[] },
    Field { name: "day of month", range: "day of month is 1–31", first: 1, last: 31, words: &[] },
    Field {
        name: "month",
        range: "month is 1–12, or jan–dec",
        first: 1,
        last: 12,
        words: &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
    },
    Field {
        name: "day of week",
        range: "day of week is 0–6, Sunday is 0, or sun–sat",
        first: 0,
        last: 6,
        words: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    },
];

impl Field {
    fn parse(&self, text: &str) -> Result<Values, ScheduleProblem> {
        let mut values = Values { bits: 0, has_star: false };
        // An empty term is skipped, so "," is a field that no value fits. Kubernetes takes it.
        for term in text.split(',').filter(|term| !term.is_empty()) {
            self.add(term, &mut values)?;
        }
        Ok(values)
    }

    fn add(&self, term: &str, values: &mut Values) -> Result<(), ScheduleProblem> {
        let malformed = || ScheduleProblem::Malformed { field: self.name, term: term.to_owned() };
        let (range, step) = match term.split_once('/') {
            None => (term, None),
            Some((_, step)) if step.contains('/') => return Err(malformed()),
            Some((range, step)) => (range, Some(self.step(step)?)),
        };
        let (low, high) = range.split_once('-').map_or((range, None), |(l, h)| (l, Some(h)));
        let is_star = low == "*" || low == "?";
        let (first, last) = match high {
            // `*-5` is a star too: what follows is not looked at.
            _ if is_star => (self.first, self.last),
            Some(high) if high.contains('-') => return Err(malformed()),
            Some(high) => (self.value(low)?, self.value(high)?),
            // `N/S` is `N-max/S`, and so `N/1` is more than `N`.
            None if step.is_some() => (self.value(low)?, self.last),
            None => (self.value(low)?, self.value(low)?),
        };
        if first > last {
            return Err(ScheduleProblem::Backwards { field: self.name, term: term.to_owned() });
        }
        let step = step.unwrap_or(1);
        values.has_star |= is_star && step == 1;
        values.bits |= iter::successors(Some(first), |value| value.checked_add(step))
            .take_while(|value| *value <= last)
            .fold(0, |bits, value| bits | 1 << value);
        Ok(())
    }

    fn step(&self, text: &str) -> Result<i64, ScheduleProblem> {
        text.parse()
            .ok()
            .filter(|step| *step >= 1)
            .ok_or_else(|| ScheduleProblem::Step { field: self.name, step: text.to_owned() })
    }

    fn value(&self, text: &str) -> Result<i64, ScheduleProblem> {
        (self.first..)
            .zip(self.words)
            .find_map(|(value, word)| is_word(text, word).then_some(value))
            .or_else(|| text.parse().ok())
            .filter(|value| (self.first..=self.last).contains(value))
            .ok_or_else(|| ScheduleProblem::Value {
                field: self.name,
                range: self.range,
                value: text.to_owned(),
            })
    }
}

/// Go writes a name in small letters before it looks it up, and this capital is an `i` then.
fn is_word(text: &str, word: &str) -> bool {
    let small = |letter: char| if letter == '\u{130}' { 'i' } else { letter.to_ascii_lowercase() };
    text.chars().map(small).eq(word.chars())
}

/// The values a field matches. The star counts in the two day fields only: see `has_day`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Values {
    bits: u64,
    has_star: bool,
}

impl Values {
    pub(super) fn has(self, value: i8) -> bool {
        self.bits & (1 << value) != 0
    }
}

/// The fields of an expression. There is no field for seconds: a schedule fires on the minute.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Calendar {
    pub(super) minutes: Values,
    pub(super) hours: Values,
    days: Values,
    pub(super) months: Values,
    weekdays: Values,
}

impl Calendar {
    pub(super) fn parse(expression: &str) -> Result<Self, ScheduleProblem> {
        if expression.is_empty() {
            return Err(ScheduleProblem::EmptyExpression);
        }
        if expression.contains("TZ") {
            return Err(ScheduleProblem::ZoneInExpression);
        }
        let fields = match expression {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            _ if expression.split_whitespace().next() == Some("@every") => {
                return Err(ScheduleProblem::Every);
            }
            _ if expression.starts_with('@') => {
                return Err(ScheduleProblem::UnknownMacro { word: expression.to_owned() });
            }
            _ => expression,
        };
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(ScheduleProblem::FieldCount { found: fields.len() });
        };
        let [minutes, hours, days, months, weekdays] = &FIELDS;
        Ok(Self {
            minutes: minutes.parse(minute)?,
            hours: hours.parse(hour)?,
            days: days.parse(day)?,
            months: months.parse(month)?,
            weekdays: weekdays.parse(weekday)?,
        })
    }

    /// Spares a search of five years, minute by minute, for a field such as ",".
    pub(super) fn is_never(&self) -> bool {
        [self.minutes, self.hours, self.months].iter().any(|values| values.bits == 0)
    }

    /// Whether there are runs on this day, given that there are hours and minutes for them.
    pub(super) fn has_date(&self, date: Date) -> bool {
        self.months.has(date.month()) && self.has_day(date)
    }

    /// Days of month and of week both have to fit if one of them is a star; else one is enough.
    pub(super) fn has_day(&self, date: Date) -> bool {
        let day = self.days.has(date.day());
        let weekday = self.weekdays.has(date.weekday().to_sunday_zero_offset());
        if self.days.has_star || self.weekdays.has_star { day && weekday } else { day || weekday }
    }
}
