use std::time::Duration;

use super::{Schedule, Slots, timestamp};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

fn between(expression: &str, zone: &str, [after, until]: [&str; 2], limit: usize) -> Slots {
    let schedule = Schedule::parse(expression, zone).unwrap();
    schedule.between(timestamp(after), timestamp(until), limit)
}

#[test]
fn lists_what_lies_between_without_the_first_end_and_with_the_last() {
    let table: [(&str, &str, [&str; 2], &[&str]); 8] = [
        (
            "0 * * * *",
            "UTC",
            ["2026-05-05T01:00:00Z", "2026-05-05T03:00:00Z"],
            &["2026-05-05T02:00:00Z", "2026-05-05T03:00:00Z"],
        ),
        (
            "0 * * * *",
            "UTC",
            ["2026-05-05T00:59:59.9Z", "2026-05-05T01:59:59.9Z"],
            &["2026-05-05T01:00:00Z"],
        ),
        ("0 * * * *", "UTC", ["2026-05-05T01:00:00Z", "2026-05-05T01:00:00Z"], &[]),
        ("0 * * * *", "UTC", ["2026-05-05T03:00:00Z", "2026-05-05T01:00:00Z"], &[]),
        ("0 0 31 2 *", "UTC", ["2026-05-05T01:00:00Z", "2036-05-05T01:00:00Z"], &[]),
        // The clock is put forward at two and leaves this day out, put back at three and fires twice.
        (
            "30 2 * * *",
            "Europe/Berlin",
            ["2026-03-28T01:00:00Z", "2026-03-30T01:00:00Z"],
            &["2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"],
        ),
        (
            "30 2 * * *",
            "Europe/Berlin",
            ["2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z"],
            &["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"],
        ),
        // The controller is stuck after the first of these, and never runs again.
        (
            "45 3 * * *",
            "Pacific/Chatham",
            ["2026-04-04T12:00:00Z", "2026-04-07T00:00:00Z"],
            &["2026-04-04T14:00:00Z", "2026-04-05T15:00:00Z", "2026-04-06T15:00:00Z"],
        ),
    ];
    for (expression, zone, ends, times) in table {
        let times = times.iter().map(|time| timestamp(time)).collect();
        let expected = Slots { times, has_more: false };
        assert_eq!(between(expression, zone, ends, 10), expected, "{expression} {ends:?}");
    }
}

#[test]
fn says_that_there_are_more_than_the_limit() {
    let ends = ["2026-05-05T00:00:00Z", "2026-05-05T03:00:00Z"];
    for (limit, has_more) in [(0, true), (1, true), (2, true), (3, false), (4, false)] {
        let slots = between("0 * * * *", "UTC", ends, limit);
        assert_eq!(slots.times.len(), limit.min(3));
        assert_eq!(slots.has_more, has_more, "{limit}");
    }
    let none = ["2026-05-05T00:00:00Z", "2026-05-05T00:30:00Z"];
    assert_eq!(between("0 * * * *", "UTC", none, 0), Slots::default());
}

#[test]
fn centuries_away_cost_no_more_than_the_limit() {
    let ends = ["1970-01-01T00:00:00Z", "9999-12-30T22:00:00Z"];
    let slots = between("* * * * *", "Europe/Berlin", ends, 3);
    assert_eq!(slots.times.last(), Some(&timestamp("1970-01-01T00:03:00Z")));
    assert!(slots.has_more);
    assert!(!between(", * * * *", "UTC", ends, usize::MAX).has_more);
}

#[test]
fn the_interval_is_the_longest_gap_of_a_year() {
    let table = [
        ("* * * * *", Some(60)),
        ("*/5 * * * *", Some(300)),
        // 55 minutes past to the hour: the step does not divide sixty.
        ("*/25 * * * *", Some(25 * 60)),
        ("*/50 * * * *", Some(50 * 60)),
        ("@hourly", Some(HOUR)),
        ("0 */7 * * *", Some(7 * HOUR)),
        ("0 9,17 * * *", Some(16 * HOUR)),
        ("@daily", Some(DAY)),
        ("0 9 * * 1-5", Some(3 * DAY)),
        // From the last minute of Friday's office hours to the first of Monday's.
        ("* 9-17 * * 1-5", Some(2 * DAY + 15 * HOUR + 60)),
        ("30 6-16/4 * * 1-5", Some(2 * DAY + 16 * HOUR)),
        ("@weekly", Some(7 * DAY)),
        ("@monthly", Some(31 * DAY)),
        ("0 0 31 * *", Some(61 * DAY)),
        ("0 0 30 * *", Some(59 * DAY)),
        ("0 0 1,15 * 1", Some(7 * DAY)),
        ("0 0 1 1,6 *", Some(214 * DAY)),
        ("@yearly", Some(365 * DAY)),
        ("0 0 29 2 *", Some(1461 * DAY)),
        ("*/10 12 29 2 *", Some(1460 * DAY + 23 * HOUR + 10 * 60)),
        ("0 0 31 2 *", None),
        ("0 0 31 4,6,9,11 *", None),
        (", * * * *", None),
        ("* , * * *", None),
        ("0 0 , * *", None),
        ("0 0 1 , *", None),
    ];
    for (expression, seconds) in table {
        let schedule = Schedule::parse(expression, "Europe/Berlin").unwrap();
        let interval = schedule.interval(timestamp("2026-11-27T12:00:00Z"));
        assert_eq!(interval, seconds.map(Duration::from_secs), "{expression}");
    }
}

#[test]
fn the_interval_of_a_schedule_stays_as_it_is() {
    // Twice a year the clock changes, and most days have neither run nor gap of their own.
    for (expression, days) in [("30 2 * * *", 1), ("0 9 * * 1-5", 3), ("0 0 13 * *", 31)] {
        let schedule = Schedule::parse(expression, "Europe/Berlin").unwrap();
        for at in Schedule::parse("17 */5 * * *", "UTC")
            .unwrap()
            .upcoming(timestamp("2027-01-01T00:00:00Z"), 2000)
        {
            assert_eq!(schedule.interval(at), Some(Duration::from_secs(days * DAY)), "{at}");
        }
    }
}

#[test]
fn the_interval_has_an_answer_at_the_ends_of_time() {
    use jiff::Timestamp;

    for expression in ["* * * * *", "0 9 * * 1-5", "@yearly", "0 0 29 2 *", "0 0 31 2 *"] {
        for at in [Timestamp::MIN, Timestamp::MAX] {
            let _ = Schedule::parse(expression, "UTC").unwrap().interval(at);
        }
    }
}
