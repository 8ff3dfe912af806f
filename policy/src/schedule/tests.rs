mod controller;
mod slots;

use jiff::Timestamp;

use super::{Schedule, ScheduleProblem, Slots};

fn timestamp(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn problem(expression: &str, time_zone: &str) -> ScheduleProblem {
    Schedule::parse(expression, time_zone).unwrap_err()
}

#[test]
fn an_expression_problem_names_the_bad_part_and_the_way_out() {
    let table = [
        ("", "the schedule is empty: write five fields such as */5 * * * *"),
        (
            "TZ=UTC 0 0 * * *",
            "TZ= and CRON_TZ= do not belong in a schedule: set spec.timeZone instead",
        ),
        ("@every 5m", "@every is not a calendar schedule; write five fields such as */5 * * * *"),
        (
            "@Daily",
            "\"@Daily\" is not a schedule macro: write @yearly, @annually, @monthly, @weekly, @daily, @midnight or @hourly and nothing else, or five fields such as */5 * * * *",
        ),
        (
            "0 */5 * * * *",
            "a schedule has five fields (minute, hour, day of month, month, day of week), this one has 6: write * for any value; there is no field for seconds or years",
        ),
        (
            "0 0 * * 7",
            "\"7\" is not a value of the day of week field: day of week is 0–6, Sunday is 0, or sun–sat",
        ),
        ("0 0 * foo *", "\"foo\" is not a value of the month field: month is 1–12, or jan–dec"),
        (
            "0 0 * * fri-mon",
            "\"fri-mon\" in the day of week field runs backwards: write the lower end first, or two ranges with a comma between them",
        ),
        (
            "*/0 * * * *",
            "the step \"0\" in the minute field is not a whole number from 1 on, as in */5",
        ),
        (
            "0 1-2-3 * * *",
            "\"1-2-3\" in the hour field has a - or / too many: write *, N, N-M, */S, N/S or N-M/S, and commas between several of them",
        ),
    ];
    for (expression, sentence) in table {
        assert_eq!(problem(expression, "UTC").to_string(), sentence);
    }
}

#[test]
fn a_zone_problem_names_the_zone_and_the_way_out() {
    let table = [
        ("", "the time zone is empty: leave spec.timeZone out for Etc/UTC, or name one"),
        (
            "Local",
            "the time zone \"Local\" depends on a machine: write a name such as Europe/Berlin",
        ),
        (
            "europe/berlin",
            "the time zone \"europe/berlin\" is written \"Europe/Berlin\": capital letters matter",
        ),
        (
            "Mars/Olympus",
            "there is no time zone \"Mars/Olympus\": write a name such as Etc/UTC or Europe/Berlin",
        ),
    ];
    for (zone, sentence) in table {
        assert_eq!(problem("@daily", zone).to_string(), sentence);
    }
}

#[test]
fn upcoming_is_as_long_as_asked_or_as_there_is() {
    let from = timestamp("2026-01-01T00:00:00Z");
    let hourly = Schedule::parse("@hourly", "UTC").unwrap();
    assert_eq!(hourly.upcoming(from, 0), []);
    assert_eq!(hourly.upcoming(from, 30).len(), 30);
    assert_eq!(hourly.upcoming(from, 30)[29], timestamp("2026-01-02T06:00:00Z"));
    assert_eq!(Schedule::parse("0 0 31 2 *", "UTC").unwrap().upcoming(from, 5), []);
}

#[test]
fn every_search_ends() {
    // The controller itself hangs on a day its zone leaves out, so there is no answer to match.
    let schedule = Schedule::parse("0 0 30 * *", "Pacific/Apia").unwrap();
    assert_eq!(schedule.after(timestamp("2011-12-28T12:00:00Z")), None);
    for expression in ["* * * * *", "59 23 31 12 *", "0 0 29 2 1", ", * * * *"] {
        let schedule = Schedule::parse(expression, "Asia/Kolkata").unwrap();
        assert_eq!(schedule.after(Timestamp::MAX), None);
        let _ = schedule.after(Timestamp::MIN);
    }
}
