//! Lengths of time: `25ms`, `90s`, `30m`, `24h`, `7d`, `2w`, `1h30m`.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

/// A length of time, in whole milliseconds. A day is 24 hours, also across a
/// clock change: `1 day` of Postgres is not, and no such interval is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Age(Duration);

/// Why a text is no length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AgeProblem {
    /// Not numbers with units.
    #[error(
        "must be numbers with units, such as 90s, 30m, 24h, 7d, 2w or 1h30m (units: w, d, h, m, s, ms)"
    )]
    Malformed,
    /// Beyond what any database could hold.
    #[error("must be at most 1000 years")]
    TooLong,
}

const MAX_MILLIS: u64 = 1000 * 366 * 86_400 * 1000;

impl Age {
    /// Reads numbers with units, one after the other, without spaces or signs.
    pub fn parse(text: &str) -> Result<Self, AgeProblem> {
        let mut rest = text;
        let mut millis: u64 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(AgeProblem::Malformed)?;
            let (number, tail) = rest.split_at(digits);
            let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(letters);
            if number.is_empty() {
                return Err(AgeProblem::Malformed);
            }
            let unit = millis_of(unit).ok_or(AgeProblem::Malformed)?;
            let number: u64 = number.parse().map_err(|_| AgeProblem::TooLong)?;
            millis = number
                .checked_mul(unit)
                .and_then(|part| part.checked_add(millis))
                .filter(|millis| *millis <= MAX_MILLIS)
                .ok_or(AgeProblem::TooLong)?;
            rest = tail;
        }
        if text.is_empty() {
            Err(AgeProblem::Malformed)
        } else {
            Ok(Self(Duration::from_millis(millis)))
        }
    }

    /// As the standard library has it.
    #[must_use]
    pub fn duration(self) -> Duration {
        self.0
    }

    /// One of `parts` equal parts of it, at least one millisecond.
    pub(crate) fn share(self, parts: u32) -> Self {
        Self((self.0 / parts.max(1)).max(Duration::from_millis(1)))
    }

    /// In whole milliseconds.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        i64::try_from(self.0.as_millis()).unwrap_or(i64::MAX)
    }
}

fn millis_of(unit: &str) -> Option<u64> {
    Some(match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 604_800_000,
        _ => return None,
    })
}

impl fmt::Display for Age {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut millis = self.as_millis();
        if millis == 0 {
            return formatter.write_str("0s");
        }
        for (unit, size) in
            [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)]
        {
            if millis >= size {
                write!(formatter, "{}{unit}", millis / size)?;
                millis %= size;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_unit_is_read() {
        for (text, millis) in [
            ("0s", 0),
            ("25ms", 25),
            ("90s", 90_000),
            ("30m", 1_800_000),
            ("24h", 86_400_000),
            ("1d", 86_400_000),
            ("2w", 1_209_600_000),
            ("1h30m", 5_400_000),
        ] {
            assert_eq!(Age::parse(text).map(Age::as_millis), Ok(millis), "{text}");
        }
    }

    #[test]
    fn what_is_no_length_of_time_is_refused() {
        for text in ["", "5", "m", "-5m", "5 m", "1.5h", "5y", "5M", "5min", "٣m", "1h-30m", "+1h"]
        {
            assert_eq!(Age::parse(text), Err(AgeProblem::Malformed), "{text}");
        }
        for text in ["99999999999999999999s", "18446744073709551615w", "400000d"] {
            assert_eq!(Age::parse(text), Err(AgeProblem::TooLong), "{text}");
        }
    }

    #[test]
    fn a_thousand_years_are_the_most() {
        assert_eq!(Age::parse("366000d").map(Age::as_millis), Ok(31_622_400_000_000));
        assert_eq!(Age::parse("366000d1ms"), Err(AgeProblem::TooLong));
    }

    #[test]
    fn a_share_is_an_equal_part_and_never_nothing() {
        let share = |text, parts| Age::parse(text).unwrap().share(parts).as_millis();
        assert_eq!(share("2s", 4), 500);
        assert_eq!((share("2s", 1), share("2s", 0)), (2000, 2000));
        assert_eq!(share("2ms", 100), 1);
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(millis in 0..MAX_MILLIS) {
            let age = Age(Duration::from_millis(millis));
            prop_assert_eq!(Age::parse(&age.to_string()), Ok(age));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            let _ = Age::parse(&text);
        }
    }
}
