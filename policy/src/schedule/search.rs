//! The next time a calendar fires in a zone: the walk of robfig's `SpecSchedule.Next`.
//!
//! A search that is right by the calendar would give other answers around clock changes. What
//! `CronJob` does there follows from the order of these steps and from how Go resolves a local time,
//! so change neither; `kubernetes.jsonl` holds the answers of the real controller.

use jiff::{
    Timestamp, ToSpan,
    civil::{DateTime, Time},
    tz::{Offset, TimeZone},
};

use super::calendar::Calendar;

const YEARS_SEARCHED: i16 = 5;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;

/// The first whole second after `instant` that fits. `None` also where time itself ends for jiff.
pub(super) fn after(calendar: &Calendar, zone: &TimeZone, instant: Timestamp) -> Option<Timestamp> {
    if calendar.is_never() {
        return None;
    }
    let floor = instant.as_second() - i64::from(instant.subsec_nanosecond() < 0);
    let now = Moment::at(zone, floor + 1)?;
    let last_year = now.local.year().checked_add(YEARS_SEARCHED)?;
    let mut search = Search { calendar, zone, now, has_moved: false };
    while search.now.local.year() <= last_year {
        if search.pass()? == Pass::Settled {
            // `45 3 * * *` in Pacific/Chatham, where 03:45 becomes 02:45 in April, settles on the
            // time that it began with, and the controller starts no Job any more.
            let fire = Timestamp::from_second(search.now.second).ok();
            return fire.filter(|fire| *fire > instant);
        }
    }
    None
}

/// A second since the epoch, with its local time.
#[derive(Clone, Copy)]
struct Moment {
    second: i64,
    local: DateTime,
}

impl Moment {
    fn at(zone: &TimeZone, second: i64) -> Option<Self> {
        let instant = Timestamp::from_second(second).ok()?;
        Some(Self { second, local: zone.to_offset(instant).to_datetime(instant) })
    }

    /// Go's `time.Date`: the offset is the one in force at the instant which the local time would
    /// be, had it the offset in force at that local time in UTC. So a skipped local time lands
    /// before the gap west of Greenwich and after it in the east.
    fn of(zone: &TimeZone, local: DateTime) -> Option<Self> {
        let in_utc = Offset::UTC.to_timestamp(local).ok()?;
        let guess = zone.to_offset(in_utc).to_timestamp(local).ok()?;
        let instant = zone.to_offset(guess).to_timestamp(local).ok()?;
        Self::at(zone, instant.as_second())
    }
}

/// How a pass over a field ends.
#[derive(Clone, Copy, PartialEq)]
enum Pass {
    /// The field fits.
    Settled,
    /// A larger field may have changed meanwhile: start again from the months.
    Wrapped,
}

struct Search<'a> {
    calendar: &'a Calendar,
    zone: &'a TimeZone,
    now: Moment,
    /// Set by the first step; from then on the smaller fields are at their start and stay as is.
    has_moved: bool,
}

impl Search<'_> {
    fn pass(&mut self) -> Option<Pass> {
        let fields = [Self::months, Self::days, Self::hours, Self::minutes, Self::seconds];
        for field in fields {
            if field(self)? == Pass::Wrapped {
                return Some(Pass::Wrapped);
            }
        }
        Some(Pass::Settled)
    }

    fn months(&mut self) -> Option<Pass> {
        while !self.calendar.months.has(self.now.local.month()) {
            if self.is_first_move() {
                self.go_to(self.now.local.date().first_of_month().to_datetime(Time::midnight()))?;
            }
            // Counted from the first of the month, so that a day it lacks runs over into the next.
            let local = self.now.local;
            let month = local.date().first_of_month().checked_add(1.month()).ok()?;
            let date = month.checked_add((local.day() - 1).days()).ok()?;
            self.go_to(date.to_datetime(local.time()))?;
            if self.now.local.month() == 1 {
                return Some(Pass::Wrapped);
            }
        }
        Some(Pass::Settled)
    }

    fn days(&mut self) -> Option<Pass> {
        while !self.calendar.has_day(self.now.local.date()) {
            if self.is_first_move() {
                self.go_to(self.now.local.date().to_datetime(Time::midnight()))?;
            }
            let before = self.now.second;
            self.go_to(self.now.local.checked_add(1.day()).ok()?)?;
            // Where a clock change skips midnight, or has just been.
            match i64::from(self.now.local.hour()) {
                0 => {}
                hour @ 13.. => self.advance((24 - hour) * HOUR)?,
                hour => self.advance(-hour * HOUR)?,
            }
            // robfig goes round for ever where a zone leaves out a whole day, as Pacific/Apia did
            // on 2011-12-30. We give up, and this check is what proves that every search ends.
            if self.now.second <= before {
                return None;
            }
            if self.now.local.day() == 1 {
                return Some(Pass::Wrapped);
            }
        }
        Some(Pass::Settled)
    }

    fn hours(&mut self) -> Option<Pass> {
        while !self.calendar.hours.has(self.now.local.hour()) {
            if self.is_first_move() {
                let local = self.now.local;
                self.go_to(local.date().at(local.hour(), 0, 0, 0))?;
            }
            self.advance(HOUR)?;
            if self.now.local.hour() == 0 {
                return Some(Pass::Wrapped);
            }
        }
        Some(Pass::Settled)
    }

    fn minutes(&mut self) -> Option<Pass> {
        while !self.calendar.minutes.has(self.now.local.minute()) {
            if self.is_first_move() {
                self.advance(-self.now.second.rem_euclid(MINUTE))?;
            }
            self.advance(MINUTE)?;
            if self.now.local.minute() == 0 {
                return Some(Pass::Wrapped);
            }
        }
        Some(Pass::Settled)
    }

    fn seconds(&mut self) -> Option<Pass> {
        if self.now.local.second() == 0 {
            return Some(Pass::Settled);
        }
        self.has_moved = true;
        while self.now.local.second() != 0 {
            self.advance(1)?;
        }
        Some(Pass::Wrapped)
    }

    fn is_first_move(&mut self) -> bool {
        !std::mem::replace(&mut self.has_moved, true)
    }

    fn go_to(&mut self, local: DateTime) -> Option<()> {
        self.now = Moment::of(self.zone, local)?;
        Some(())
    }

    fn advance(&mut self, seconds: i64) -> Option<()> {
        self.now = Moment::at(self.zone, self.now.second.checked_add(seconds)?)?;
        Some(())
    }
}
