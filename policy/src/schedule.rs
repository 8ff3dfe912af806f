//! The schedule of a policy, read and followed exactly as the Kubernetes `CronJob` controller does.
//!
//! Kubernetes parses with `github.com/robfig/cron/v3`, so that library's answers are the rule here,
//! also where they surprise: a local time that a clock change skips does not fire that day, and one
//! that a clock change repeats fires twice. `kubernetes.jsonl` holds the answers of the controller's
//! own code, and `docs/schedule.md` says them for people. Nothing here reads a clock.
//!
//! Two things are ours: `@every` is refused, and zones come from the bundled IANA database, so an
//! answer never depends on the machine (nor on the zone files of the cluster, which may differ).

mod calendar;
mod interval;
mod search;
#[cfg(test)]
mod tests;

use std::{iter, time::Duration};

use jiff::{
    SignedDuration, Timestamp,
    tz::{TimeZone, TimeZoneDatabase},
};

use self::calendar::Calendar;

/// So much after a time at which the controller is stuck, the clock change that it met is over.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// The API server refuses longer parts of a zone name before it looks the name up.
const LONGEST_ZONE_PART: usize = 14;

/// When a policy runs: a cron expression and the time zone it is read in, both known to be valid.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    expression: String,
    time_zone: String,
    zone: TimeZone,
    calendar: Calendar,
}

/// Times at which a schedule was to fire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    /// The first ones, in order.
    pub times: Vec<Timestamp>,
    /// Whether there are more than `times` has room for.
    pub has_more: bool,
}

/// Why a schedule is refused, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleProblem {
    /// The expression is the empty string.
    #[error("the schedule is empty: write five fields such as */5 * * * *")]
    EmptyExpression,
    /// Kubernetes refuses the letters `TZ` anywhere in the schedule of a new `CronJob`.
    #[error("TZ= and CRON_TZ= do not belong in a schedule: set spec.timeZone instead")]
    ZoneInExpression,
    /// `CronJob` would take it. It counts from the last run, so no time can be told in advance.
    #[error("@every is not a calendar schedule; write five fields such as */5 * * * *")]
    Every,
    /// An expression that starts with `@` and is no macro.
    #[error(
        "{word:?} is not a schedule macro: write @yearly, @annually, @monthly, @weekly, @daily, \
         @midnight or @hourly and nothing else, or five fields such as */5 * * * *"
    )]
    UnknownMacro {
        /// The expression.
        word: String,
    },
    /// More or fewer than five fields.
    #[error(
        "a schedule has five fields (minute, hour, day of month, month, day of week), this one has \
         {found}: write * for any value; there is no field for seconds or years"
    )]
    FieldCount {
        /// How many fields were written.
        found: usize,
    },
    /// A value its field does not have.
    #[error("{value:?} is not a value of the {field} field: {range}")]
    Value {
        /// The name of the field.
        field: &'static str,
        /// A sentence on the values of the field.
        range: &'static str,
        /// The value as written.
        value: String,
    },
    /// A range with its ends swapped.
    #[error(
        "{term:?} in the {field} field runs backwards: write the lower end first, or two ranges \
         with a comma between them"
    )]
    Backwards {
        /// The name of the field.
        field: &'static str,
        /// The range as written.
        term: String,
    },
    /// Anything after a `/` that is not a positive number.
    #[error("the step {step:?} in the {field} field is not a whole number from 1 on, as in */5")]
    Step {
        /// The name of the field.
        field: &'static str,
        /// The step as written.
        step: String,
    },
    /// A second `-` or `/` in one term.
    #[error(
        "{term:?} in the {field} field has a - or / too many: write *, N, N-M, */S, N/S or N-M/S, \
         and commas between several of them"
    )]
    Malformed {
        /// The name of the field.
        field: &'static str,
        /// The term as written.
        term: String,
    },
    /// The time zone is the empty string, which Kubernetes does not read as UTC.
    #[error("the time zone is empty: leave spec.timeZone out for Etc/UTC, or name one")]
    EmptyTimeZone,
    /// `Local`, the zone of whichever machine runs the `CronJob` controller.
    #[error("the time zone {name:?} depends on a machine: write a name such as Europe/Berlin")]
    LocalTimeZone {
        /// The name as written.
        name: String,
    },
    /// A known zone in the wrong case; Kubernetes compares letter by letter.
    #[error("the time zone {name:?} is written {known:?}: capital letters matter")]
    TimeZoneLetters {
        /// The name as written.
        name: String,
        /// The name Kubernetes finds.
        known: String,
    },
    /// No zone has this name.
    #[error("there is no time zone {name:?}: write a name such as Etc/UTC or Europe/Berlin")]
    UnknownTimeZone {
        /// The name as written.
        name: String,
    },
}

impl ScheduleProblem {
    /// Whether `spec.timeZone` has to change; else it is `spec.schedule`.
    #[must_use]
    pub fn is_time_zone(&self) -> bool {
        match self {
            Self::EmptyTimeZone
            | Self::LocalTimeZone { .. }
            | Self::TimeZoneLetters { .. }
            | Self::UnknownTimeZone { .. } => true,
            Self::EmptyExpression
            | Self::ZoneInExpression
            | Self::Every
            | Self::UnknownMacro { .. }
            | Self::FieldCount { .. }
            | Self::Value { .. }
            | Self::Backwards { .. }
            | Self::Step { .. }
            | Self::Malformed { .. } => false,
        }
    }
}

impl Schedule {
    /// Reads a cron expression in the zone named `time_zone`. One problem is returned, and that of
    /// the expression first: parse each with a good partner to learn of both.
    pub fn parse(expression: &str, time_zone: &str) -> Result<Self, ScheduleProblem> {
        Ok(Self {
            calendar: Calendar::parse(expression)?,
            zone: find_zone(time_zone)?,
            expression: expression.to_owned(),
            time_zone: time_zone.to_owned(),
        })
    }

    /// The expression as it was written.
    #[must_use]
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// The IANA name of the zone the expression is read in.
    #[must_use]
    pub fn time_zone(&self) -> &str {
        &self.time_zone
    }

    /// The first time after `instant` at which this schedule fires, never `instant` itself; `None`
    /// if there is none within five calendar years, as for `0 0 31 2 *`, or if a controller that
    /// last ran at `instant` comes to none, which is a fault of it (see `docs/schedule.md`).
    #[must_use]
    pub fn after(&self, instant: Timestamp) -> Option<Timestamp> {
        search::after(&self.calendar, &self.zone, instant)
    }

    /// The first `n` times after `from`; fewer if the schedule runs dry.
    #[must_use]
    pub fn upcoming(&self, from: Timestamp, n: usize) -> Vec<Timestamp> {
        iter::successors(self.after(from), |fire| self.after(*fire)).take(n).collect()
    }

    /// The times at which this schedule was to fire after `after` and until `until`, which is one of
    /// them if it fires then. No more than `limit` are listed, so that the answer costs no more after
    /// a year away than after a day. Where the controller is stuck, what it should have run is listed.
    #[must_use]
    pub fn between(&self, after: Timestamp, until: Timestamp, limit: usize) -> Slots {
        let next = |slot| self.after(slot).or_else(|| self.after(slot.checked_add(DAY).ok()?));
        let mut rest =
            iter::successors(next(after), |slot| next(*slot)).take_while(|slot| *slot <= until);
        let times = rest.by_ref().take(limit).collect();
        Slots { times, has_more: rest.next().is_some() }
    }

    /// How far two runs in a row are apart at most, within a year from the first day that has a run,
    /// that of `at` or later: three days for `0 9 * * 1-5`, because of the weekend. `None` if the
    /// schedule does not fire twice.
    ///
    /// Read on the calendar, as if no clock were ever changed, so that it stays the same from day to
    /// day. A change moves a run by its hour, or leaves one out.
    #[must_use]
    pub fn interval(&self, at: Timestamp) -> Option<Duration> {
        interval::longest(&self.calendar, self.zone.to_datetime(at).date())
    }
}

/// Kubernetes checks the form of the name, then asks Go's `time.LoadLocation`, which minds case.
fn find_zone(name: &str) -> Result<TimeZone, ScheduleProblem> {
    let unknown = || ScheduleProblem::UnknownTimeZone { name: name.to_owned() };
    if name.is_empty() {
        return Err(ScheduleProblem::EmptyTimeZone);
    }
    if name.eq_ignore_ascii_case("local") {
        return Err(ScheduleProblem::LocalTimeZone { name: name.to_owned() });
    }
    if name.split('/').any(|part| part.len() > LONGEST_ZONE_PART) {
        return Err(unknown());
    }
    let zone = TimeZoneDatabase::bundled().get(name).map_err(|_| unknown())?;
    match zone.iana_name() {
        Some(known) if known == name => Ok(zone),
        Some(known) => {
            Err(ScheduleProblem::TimeZoneLetters { name: name.to_owned(), known: known.to_owned() })
        }
        // jiff's own `Etc/Unknown`, which is no zone of the IANA database.
        None => Err(unknown()),
    }
}
