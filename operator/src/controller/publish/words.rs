//! Numbers and runs in sentences, for conditions and events.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use policy::{ActionKind, Mode, RuleOutcome};

use crate::controller::observe::{Cause, StuckJob};

/// Between two things that are wrong at once.
pub const ALSO: &str = "; also: ";

/// So many stuck Jobs are told of; the others wait for the same, most likely.
pub const MOST_STUCK: usize = 3;

/// `1204` as `1,204`.
pub fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

/// `1.84` as `1.8 s`, `125` as `2 min 5 s`.
pub fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float saturates; a run ends within a week"
    )]
    let seconds = seconds.round() as i64;
    match (seconds / 3600, seconds % 3600 / 60, seconds % 60) {
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// How long something has been due: `90` as `1 min`, `200000` as `2 d 7 h`.
pub fn span(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds % 86_400 / 3600, seconds % 3600 / 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, 0) => format!("{hours} h"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, 0, _) => format!("{days} d"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// A point in time, as one says it: `2026-11-21 03:00:07 UTC`, without the seconds where there are none.
pub fn when(time: Timestamp) -> String {
    let form =
        if time.as_second() % 60 == 0 { "%Y-%m-%d %H:%M UTC" } else { "%Y-%m-%d %H:%M:%S UTC" };
    time.to_zoned(TimeZone::UTC).strftime(form).to_string()
}

/// `1 row`, `1,204 rows`.
pub fn rows(number: i64) -> String {
    if number == 1 { "1 row".to_owned() } else { format!("{} rows", grouped(number)) }
}

/// Why a Job does not begin.
pub fn stuck(job: &StuckJob) -> String {
    let why = match &job.cause {
        Cause::NoPod { refusal } if refusal.is_empty() => {
            "Kubernetes has made no pod for it and does not say why; does kube-controller-manager work?"
        }
        Cause::NoPod { refusal } => &format!("Kubernetes cannot make its pod: {refusal}"),
        Cause::Waiting(said) => said,
        Cause::Suspended => {
            "somebody holds it back: spec.suspend of the Job is true, which may be a queue's doing"
        }
    };
    format!("{}{}: {why}", beginning(&job.name), when(job.since))
}

fn beginning(job_name: &str) -> String {
    format!("Job {job_name} has not begun since ")
}

/// Whether a message says that this Job is stuck.
pub fn names_job(message: &str, job_name: &str) -> bool {
    message.contains(&beginning(job_name))
}

/// What such a message says of why.
pub fn why_stuck<'a>(message: &'a str, job_name: &str) -> Option<&'a str> {
    let (_, rest) = message.split_once(&beginning(job_name))?;
    let (_, why) = rest.split_once(": ")?;
    Some(why.split(ALSO).next().unwrap_or(why))
}

/// What the rules did, such as `deleted 1,204 rows, updated 300; 0 left; took 1.8 s`.
pub fn summary(mode: Mode, rules: &[RuleOutcome], seconds: f64) -> String {
    let took = format!("took {}", duration(seconds));
    if rules.iter().all(|rule| rule.matched == 0 && rule.affected == 0) {
        return format!("no row was due; {took}");
    }
    let left = rules.iter().map(|rule| rule.remaining).fold(0, i64::saturating_add);
    match mode {
        Mode::Enforce => {
            let done = by_action(rules, |rule| rule.affected, ["deleted", "updated", "changed"]);
            format!("{done}; {} left; {took}", grouped(left))
        }
        Mode::DryRun => {
            let due = by_action(rules, |rule| rule.matched, ["delete", "update", "change"]);
            format!("would {due}; nothing was changed; {took}")
        }
    }
}

fn by_action(
    rules: &[RuleOutcome],
    count: impl Fn(&RuleOutcome) -> i64,
    verbs: [&str; 3],
) -> String {
    let [delete, update, change] = verbs;
    // A report that was shortened names no actions.
    let actions =
        [(Some(ActionKind::Delete), delete), (Some(ActionKind::Update), update), (None, change)];
    let mut parts = Vec::new();
    for (action, verb) in actions {
        let mut own = rules.iter().filter(|rule| rule.action == action).peekable();
        if own.peek().is_none() {
            continue;
        }
        let rows = own.map(&count).fold(0, i64::saturating_add);
        let noun = match (parts.is_empty(), rows) {
            (false, _) => "",
            (true, 1) => " row",
            (true, _) => " rows",
        };
        parts.push(format!("{verb} {}{noun}", grouped(rows)));
    }
    parts.join(", ")
}

/// Cuts a text to at most `most` bytes, with a mark where it was cut.
pub fn cut(text: &str, most: usize) -> String {
    const MARK: &str = " …";
    if text.len() <= most {
        return text.to_owned();
    }
    let mut end = most.saturating_sub(MARK.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{MARK}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::examples;

    #[test]
    fn numbers_and_durations_are_readable() {
        let numbers = [0, 7, 999, 1204, 88_211, 1_000_000, -1204].map(grouped);
        assert_eq!(numbers, ["0", "7", "999", "1,204", "88,211", "1,000,000", "-1,204"]);
        let durations = [0.04, 1.84, 59.9, 60.0, 125.4, 7300.0].map(duration);
        assert_eq!(durations, ["0.0 s", "1.8 s", "59.9 s", "1 min 0 s", "2 min 5 s", "2 h 1 min"]);
    }

    #[test]
    fn times_are_said_as_one_says_them() {
        let at = |text: &str| when(text.parse().expect("a time"));
        assert_eq!(at("2026-11-21T03:00:00Z"), "2026-11-21 03:00 UTC");
        assert_eq!(at("2026-11-21T04:00:07.25+01:00"), "2026-11-21 03:00:07 UTC");
        let spans = [-1, 59, 90, 3_600, 5_400, 86_400, 200_000].map(span);
        assert_eq!(spans, ["0 s", "59 s", "1 min", "1 h", "1 h 30 min", "1 d", "2 d 7 h"]);
        assert_eq!([rows(1), rows(1204)], ["1 row", "1,204 rows"]);
    }

    #[test]
    fn what_is_said_of_a_stuck_job_is_found_again() {
        let cause = Cause::NoPod { refusal: "exceeded quota: none".into() };
        let since = "2026-11-21T03:00:07Z".parse().expect("a time");
        let job = StuckJob { name: "codes-1".into(), uid: "j1".into(), since, cause };
        let message = format!("{}{ALSO}3 runs in a row have failed", stuck(&job));
        assert!(names_job(&message, "codes-1") && !names_job(&message, "codes"));
        let why = why_stuck(&message, "codes-1");
        assert_eq!(why, Some("Kubernetes cannot make its pod: exceeded quota: none"));
        assert_eq!(why_stuck(&message, "codes-2"), None);
    }

    #[test]
    fn a_run_is_summed_up_in_a_sentence() {
        let delete = |rows| examples::rule("a", Some(ActionKind::Delete), rows, rows);
        let update = |rows| examples::rule("b", Some(ActionKind::Update), rows, rows);
        let unknown = examples::rule("c", None, 5, 4);
        let check = |mode, rules: &[RuleOutcome]| summary(mode, rules, 1.84);
        let cases = [
            (
                check(Mode::Enforce, &[delete(1204), update(300)]),
                "deleted 1,204 rows, updated 300; 0 left; took 1.8 s",
            ),
            (check(Mode::Enforce, &[update(1)]), "updated 1 row; 0 left; took 1.8 s"),
            (check(Mode::Enforce, &[unknown]), "changed 4 rows; 1 left; took 1.8 s"),
            (check(Mode::Enforce, &[delete(0), update(0)]), "no row was due; took 1.8 s"),
            (check(Mode::Enforce, &[]), "no row was due; took 1.8 s"),
            (
                check(Mode::DryRun, &[delete(1204), update(300)]),
                "would delete 1,204 rows, update 300; nothing was changed; took 1.8 s",
            ),
        ];
        for (sentence, expected) in cases {
            assert_eq!(sentence, expected);
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("ääääää", 8), "ää …");
        assert!(cut(&"x".repeat(2000), 1024).len() <= 1024);
    }
}
