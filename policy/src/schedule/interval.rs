//! How far runs are apart at most: what an alert on a run that did not come has to wait for.
//!
//! Days are compared instead of runs. A schedule that fires every minute of the working week has
//! its longest gap over the weekend, thousands of runs away.

use std::time::Duration;

use jiff::{ToSpan, civil::Date};

use super::calendar::Calendar;

/// Gaps begin on this many days, from the first one with a run: all of a schedule that fires each
/// year, and only the next one of a schedule that fires once a year.
const YEAR: i64 = 365;
/// No gap is longer: `Schedule::after` searches no further either.
const LONGEST: i64 = 5 * 366;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The longest gap between runs, from the first run on `from` or later.
pub(super) fn longest(calendar: &Calendar, from: Date) -> Option<Duration> {
    let day = Day::of(calendar)?;
    let first = next_day(calendar, from)?;
    let end = first.checked_add(YEAR.days()).ok()?;
    let mut longest = None;
    let mut last = first;
    while last < end
        && let Some(next) = last.tomorrow().ok().and_then(|date| next_day(calendar, date))
    {
        longest = longest.max(Some(days_between(last, next)));
        last = next;
    }
    let between_days = longest.map(|days| days * DAY + day.first - day.last);
    between_days.max(day.longest_gap).map(Duration::from_secs)
}

/// The runs of any day that has some, in seconds from midnight.
struct Day {
    first: u64,
    last: u64,
    /// `None` for a day of one run.
    longest_gap: Option<u64>,
}

impl Day {
    fn of(calendar: &Calendar) -> Option<Self> {
        let hours = (0..24).zip(0_u64..).filter(|(hour, _)| calendar.hours.has(*hour));
        let mut runs = hours.flat_map(|(_, hour)| {
            let minutes = (0..60).zip(0_u64..).filter(|(minute, _)| calendar.minutes.has(*minute));
            minutes.map(move |(_, minute)| hour * HOUR + minute * MINUTE)
        });
        let first = runs.next()?;
        let mut day = Self { first, last: first, longest_gap: None };
        for run in runs {
            day.longest_gap = day.longest_gap.max(Some(run - day.last));
            day.last = run;
        }
        Some(day)
    }
}

fn next_day(calendar: &Calendar, from: Date) -> Option<Date> {
    let end = from.checked_add(LONGEST.days()).ok()?;
    let mut date = from;
    while !calendar.has_date(date) {
        if date == end {
            return None;
        }
        date = date.tomorrow().ok()?;
    }
    Some(date)
}

fn days_between(first: Date, last: Date) -> u64 {
    // Whole days, since a civil date has no hours to lose.
    first.duration_until(last).unsigned_abs().as_secs() / DAY
}
