//! Bills: what was used, by sessions that ended in a period.

pub mod usage;

use jiff::{SignedDuration, Timestamp};

use crate::problem::{Code, FieldProblem, Problem};

/// A leap year.
const LONGEST: SignedDuration = SignedDuration::from_hours(366 * 24);

/// From the first moment up to, and without, the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// The first moment.
    pub from: Timestamp,
    /// The first one that is not in it any more.
    pub to: Timestamp,
}

impl Period {
    /// A period that can be counted.
    pub fn of(from: Timestamp, to: Timestamp) -> Result<Self, Problem> {
        let length = to.duration_since(from);
        if length.is_positive() && length <= LONGEST {
            return Ok(Self { from, to });
        }
        let message = "must be after from, and not more than 366 days".to_owned();
        Err(Problem::new(Code::ValidationFailed)
            .errors(vec![FieldProblem { field: "to", message }]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_has_a_length_and_not_too_much_of_it() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let of = |from: &str, to: &str| Period::of(at(from), at(to)).is_ok();
        assert!(of("2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"));
        assert!(!of("2024-01-01T00:00:00Z", "2025-01-01T00:00:01Z"));
        assert!(!of("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"));
        assert!(!of("2024-01-02T00:00:00Z", "2024-01-01T00:00:00Z"));
    }
}
