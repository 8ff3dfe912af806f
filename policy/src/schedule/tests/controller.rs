//! Every line of `kubernetes.jsonl`, the answers of the real `CronJob` controller, against ours.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Schedule, timestamp};

/// Made by `tests/kubernetes/1.36/schedules`; its first line says of which versions.
const TABLE: &str = include_str!("../kubernetes.jsonl");

/// Zones whose clocks go otherwise in our zone data (2026e) than in those that Go 1.26.8 has built
/// in (2025c), and from when on. Ours are the newer ones: no difference of the readers. A zone
/// without a difference fails the test, so that the list goes when the table has newer data.
const NEWER_ZONES: [(&str, &str); 12] = [
    // Changes its clock at one in UTC as the rest of Europe, not at midnight.
    ("Europe/Chisinau", "2022-03-27T00:00:00Z"),
    // Morocco stays on UTC.
    ("Africa/Casablanca", "2026-09-20T01:00:00Z"),
    ("Africa/El_Aaiun", "2026-09-20T01:00:00Z"),
    // British Columbia, Alberta and Manitoba, and who keeps time with them, stay on summer time.
    ("America/Vancouver", "2026-11-01T07:00:00Z"),
    ("Canada/Pacific", "2026-11-01T07:00:00Z"),
    ("America/Edmonton", "2026-11-01T07:00:00Z"),
    ("America/Inuvik", "2026-11-01T07:00:00Z"),
    ("America/Yellowknife", "2026-11-01T07:00:00Z"),
    ("Canada/Mountain", "2026-11-01T07:00:00Z"),
    ("America/Winnipeg", "2026-11-01T07:00:00Z"),
    ("America/Rainy_River", "2026-11-01T07:00:00Z"),
    ("Canada/Central", "2026-11-01T07:00:00Z"),
];

/// What the controller says of one schedule.
struct Row {
    line: &'static str,
    expression: String,
    zone: String,
    from: String,
    answer: String,
}

fn rows() -> impl Iterator<Item = Row> {
    TABLE.lines().skip(1).map(|line| {
        let [expression, zone, from, answer] = serde_json::from_str(line).unwrap();
        Row { line, expression, zone, from, answer }
    })
}

impl Row {
    /// The fields that the API server refuses, as it names them.
    fn refused(&self) -> Option<&str> {
        self.answer.strip_prefix("refused: ")
    }

    /// What it takes and we do not: `@every` counts from the last run, so no time can be told in
    /// advance.
    fn is_refused_by_us_alone(&self) -> bool {
        self.expression.starts_with("@every ")
    }

    /// Times, and none where the controller comes to none: it never ends its search, or it comes
    /// back to the time that it began with.
    fn fires(&self) -> Vec<Timestamp> {
        let words = self.answer.split(' ').filter(|word| !matches!(*word, "never" | "stuck"));
        words.map(timestamp).collect()
    }
}

#[test]
fn takes_and_refuses_what_kubernetes_does() {
    for row in rows() {
        let refused: Vec<&str> = row.refused().unwrap_or_default().split(' ').collect();
        let expression = Schedule::parse(&row.expression, "UTC");
        let is_refused = refused.contains(&"schedule") || row.is_refused_by_us_alone();
        assert_eq!(expression.is_err(), is_refused, "{}: {expression:?}", row.line);
        let zone = Schedule::parse("@daily", &row.zone);
        assert_eq!(zone.is_err(), refused.contains(&"timeZone"), "{}: {zone:?}", row.line);
        assert!(expression.err().is_none_or(|problem| !problem.is_time_zone()));
        assert!(zone.err().is_none_or(|problem| problem.is_time_zone()));
    }
}

#[test]
fn fires_when_kubernetes_does() {
    let mut newer = BTreeMap::from(NEWER_ZONES.map(|(zone, since)| (zone, (timestamp(since), 0))));
    for row in rows().filter(|row| row.refused().is_none() && !row.is_refused_by_us_alone()) {
        let schedule = Schedule::parse(&row.expression, &row.zone).unwrap();
        let (ours, theirs) = (schedule.upcoming(timestamp(&row.from), 4), row.fires());
        let Some((since, differences)) = newer.get_mut(row.zone.as_str()) else {
            assert_eq!(ours, theirs, "{}", row.line);
            continue;
        };
        let is_older = |time: &&Timestamp| **time < *since;
        let [our_past, their_past] =
            [&ours, &theirs].map(|times| times.iter().take_while(is_older));
        assert!(our_past.eq(their_past), "{}\n{ours:?}", row.line);
        *differences += usize::from(ours != theirs);
    }
    for (zone, (_, differences)) in newer {
        assert_ne!(differences, 0, "{zone} has the same data now: take it off the list");
    }
}
