mod slots;

use jiff::Timestamp;

use super::{Schedule, ScheduleProblem, Slots};

/// `expression | zone | from | fires`, the fires in UTC, written by robfig/cron v3.0.1 under Go 1.26.
const NEXT: &str = include_str!("robfig_next.txt");

/// What `ParseStandard` of robfig/cron v3.0.1 takes.
const ACCEPTED: &[&str] = &[
    "* * * * *",
    "*/5 * * * *",
    "  */5 *  * *\t*\n",
    "*\u{a0}*\u{2003}*\u{85}*\u{b}*",
    "? ? ? ? ?",
    "0 0 * * ?",
    "5/15 * * * *",
    "59/1 * * * *",
    "0-59 0-23 1-31 1-12 0-6",
    "0 0 1 1 0",
    "* * * * 6",
    "* * * * sun-SAT",
    "* * * * Mon,Wed,FRI",
    "* * * jan-dec *",
    "* * * JAN,7,Dec *",
    "* * * feb/3 *",
    "*/1 * * * *",
    "*/60 * * * *",
    "*/9223372036854775807 * * * *",
    "*/+2 * * * *",
    "+5 * * * *",
    "007 * * * *",
    "5-5 * * * *",
    "10-20/4 * * * *",
    "1,2,3 * * * *",
    "1,,3 * * * *",
    ",1, * * * *",
    ", * * * *",
    "*,5 * * * *",
    "*-5 * * * *",
    "*-x * * * *",
    "*-1-2/3 * * * *",
    "?/2 * * * *",
    "@yearly",
    "@annually",
    "@monthly",
    "@weekly",
    "@daily",
    "@midnight",
    "@hourly",
];

/// What it refuses, or the API server (`TZ`), or we (`@every`).
const REFUSED: &[&str] = &[
    "",
    " ",
    "60 * * * *",
    "0-60 * * * *",
    "* 24 * * *",
    "* * 0 * *",
    "* * 32 * *",
    "* * * 0 *",
    "* * * 13 *",
    "* * * * 7",
    "* * * * 5-7",
    "* * * * 7/1",
    "* * * * sat-sun",
    "* * * * mo",
    "* * * * monday",
    "* * * january *",
    "jan * * * *",
    "* * * * jan",
    "* * * mon *",
    "* * * * */sun",
    "* * * *",
    "* * * * * *",
    "0 0 12 * * ?",
    "*",
    "*/0 * * * *",
    "*/9223372036854775808 * * * *",
    "*/-1 * * * *",
    "*/ * * * *",
    "*/a * * * *",
    "*/2/3 * * * *",
    "1-2-3 * * * *",
    "-5 * * * *",
    "5- * * * *",
    "5-1 * * * *",
    "10-20/0 * * * *",
    "1,60 * * * *",
    "** * * * *",
    "*5 * * * *",
    "1.5 * * * *",
    "0x5 * * * *",
    "1_0 * * * *",
    "\u{665} * * * *",
    "L * * * *",
    "* * L * *",
    "* * 15W * *",
    "* * * * 5#2",
    "* * * * 5L",
    "H * * * *",
    "* * * * * 2026",
    "@Daily",
    "@daily ",
    " @daily",
    "@reboot",
    "@",
    "@minutely",
    "@every",
    "@every 1h",
    "@every 5m30s",
    "@everyday",
    "TZ=UTC * * * * *",
    "CRON_TZ=Europe/Berlin 0 0 * * *",
    "TZ=UTC",
    "* * * * TZ",
    "TZ=UTC @daily",
    "tz=UTC * * * * *",
    "# * * * * *",
];

fn timestamp(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn problem(expression: &str, time_zone: &str) -> ScheduleProblem {
    Schedule::parse(expression, time_zone).unwrap_err()
}

#[test]
fn accepts_what_kubernetes_accepts() {
    for expression in ACCEPTED {
        let schedule = Schedule::parse(expression, "Etc/UTC").unwrap();
        assert_eq!(schedule.expression(), *expression);
        assert_eq!(schedule.time_zone(), "Etc/UTC");
    }
}

#[test]
fn refuses_what_kubernetes_refuses() {
    for expression in REFUSED {
        let problem = Schedule::parse(expression, "UTC").map(|_| expression).unwrap_err();
        assert!(!problem.is_time_zone(), "{expression:?}");
    }
}

#[test]
fn fires_when_kubernetes_does() {
    for row in NEXT.lines() {
        let columns: Vec<&str> = row.split(" | ").collect();
        let [expression, zone, from, fires] = columns[..] else { panic!("{row}") };
        let schedule = Schedule::parse(expression, zone).unwrap();
        let expected: Vec<Timestamp> =
            fires.split(' ').filter(|fire| *fire != "never").map(timestamp).collect();
        assert_eq!(schedule.upcoming(timestamp(from), 3), expected, "{row}");
        assert_eq!(schedule.after(timestamp(from)), expected.first().copied(), "{row}");
    }
}

#[test]
fn takes_zone_names_as_kubernetes_does() {
    let accepted = "UTC Etc/UTC Zulu GMT+0 Etc/GMT-14 EST5EDT US/Pacific Asia/Calcutta America/Port-au-Prince \
                    America/Argentina/ComodRivadavia America/North_Dakota/New_Salem";
    for zone in accepted.split(' ') {
        assert_eq!(Schedule::parse("@daily", zone).unwrap().time_zone(), zone);
    }
    let refused = [
        "",
        "Local",
        "LOCAL",
        "local",
        "utc",
        "europe/berlin",
        "EUROPE/BERLIN",
        "Europe/Paris ",
        " UTC",
        "/UTC",
        "UTC/",
        "Europe//Berlin",
        "../UTC",
        "Europe",
        "Mars/Olympus",
        "Etc/Unknown",
        "UTC+1",
        "+01:00",
        "Z",
        "EST5EDT,M3.2.0,M11.1.0",
    ];
    for zone in refused {
        let problem = Schedule::parse("@daily", zone).map(|_| zone).unwrap_err();
        assert!(problem.is_time_zone(), "{zone:?}");
    }
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
