//! Takes out of texts and objects what differs each time, and puts a word in its place.

use std::collections::BTreeSet;

use serde_json::Value;

/// Units of the durations that reports and conditions speak of.
const UNITS: &[&str] = &["ms", "s", "min", "h", "d", "seconds"];
/// Those of them in which what was done just now is told.
const SHORT_UNITS: &[&str] = &["ms", "s", "min", "seconds"];

/// What is known of a namespace.
#[derive(Debug, Clone)]
pub(crate) struct Words {
    /// Nothing where its name is the same each time.
    namespace: Option<String>,
    policies: BTreeSet<String>,
    units: &'static [&'static str],
}

impl Words {
    pub(super) fn of(namespace: &str, policies: BTreeSet<String>) -> Self {
        Self { namespace: Some(namespace.to_owned()), policies, units: UNITS }
    }

    /// For what programs print: names of namespaces and durations of days stay.
    pub(crate) fn of_session(policies: BTreeSet<String>) -> Self {
        Self { namespace: None, policies, units: SHORT_UNITS }
    }

    /// An object in which durations are what a user set.
    pub(super) fn of_object(&self, value: &Value) -> Value {
        map(value, &|text| self.names(text))
    }

    /// A status: what it measured is taken out, too.
    pub(super) fn of_status(&self, value: &Value) -> Value {
        let mut status = map(value, &|text| self.of_text(text));
        forget_measured_times(&mut status);
        status
    }

    /// What is written for people.
    pub(crate) fn of_text(&self, text: &str) -> String {
        without_durations(&self.names(text), self.units)
    }

    fn names(&self, text: &str) -> String {
        let mut replaced = String::with_capacity(text.len());
        for piece in text.split_inclusive(is_between) {
            let word = piece.trim_end_matches(is_between);
            // The full stop of a sentence is none of the word's.
            let bare = word.trim_end_matches(['.', ':']);
            replaced += &self.name(bare);
            replaced += &piece[bare.len()..];
        }
        replaced
    }

    fn name(&self, word: &str) -> String {
        if self.namespace.as_deref() == Some(word) {
            return "<namespace>".to_owned();
        }
        if is_uid(word) {
            return "<uid>".to_owned();
        }
        if is_time(word) {
            return "<time>".to_owned();
        }
        let job = self.policies.iter().find_map(|policy| {
            let rest = word.strip_prefix(policy.as_str())?.strip_prefix('-')?;
            let kind = kind_of_job(rest)?;
            Some(format!("{policy}-{kind}"))
        });
        job.unwrap_or_else(|| word.to_owned())
    }
}

fn map(value: &Value, change: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(change(text)),
        Value::Array(values) => values.iter().map(|value| map(value, change)).collect(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| (key.clone(), map(value, change)));
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

/// Like `durationSeconds`.
fn forget_measured_times(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(forget_measured_times),
        Value::Object(fields) => {
            for (key, value) in fields {
                if key.ends_with("Seconds") {
                    *value = Value::Null;
                }
                forget_measured_times(value);
            }
        }
        _ => {}
    }
}

fn is_between(character: char) -> bool {
    !(character.is_ascii_alphanumeric() || "-.:+_".contains(character))
}

/// What stands behind a policy's name in that of a Job, and in that of a Job's pod.
fn kind_of_job(rest: &str) -> Option<String> {
    let (job, pod) = match rest.split_once('-') {
        Some((job, pod)) if pod.len() == 5 => (job, "-<pod>"),
        Some(_) => return None,
        None => (rest, ""),
    };
    let hex = |text: &str| text.len() == 8 && text.chars().all(|digit| digit.is_ascii_hexdigit());
    let kind = match job.split_at_checked(1)? {
        ("r", digits) if hex(digits) => "r<hash>",
        ("p", digits) if hex(digits) => "p<hash>",
        // Minutes since 1970, of the CronJob controller.
        _ if job.len() >= 8 && job.chars().all(|digit| digit.is_ascii_digit()) => "<minute>",
        _ => return None,
    };
    Some(format!("{kind}{pod}"))
}

fn is_uid(word: &str) -> bool {
    let lengths: Vec<usize> = word.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12]
        && word.chars().all(|character| character == '-' || character.is_ascii_hexdigit())
}

/// Like `2026-11-21T03:00:00.123Z`.
fn is_time(word: &str) -> bool {
    let pattern = "dddd-dd-ddTdd:dd:dd";
    word.len() >= pattern.len()
        && pattern.chars().zip(word.chars()).all(|(expected, found)| match expected {
            'd' => found.is_ascii_digit(),
            expected => expected == found,
        })
}

fn without_durations(text: &str, units: &[&str]) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let unit = word.trim_end_matches([',', '.', ';', ':', ')', '"']);
        match words.last_mut() {
            Some(number) if units.contains(&unit) && is_number(number) => {
                *number = format!("<duration>{}", &word[unit.len()..]);
            }
            _ => words.push(word.to_owned()),
        }
    }
    words.join(" ")
}

fn is_number(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_digit())
        && word.chars().all(|digit| digit.is_ascii_digit() || ".,".contains(digit))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words() -> Words {
        Words::of("shop-1a2b3c4d", ["codes", "codes-old"].map(str::to_owned).into())
    }

    #[test]
    fn what_differs_each_time_is_a_word() {
        let cases = [
            (
                "Job codes-r0123abcd: deleted 3 rows in 0.4 s",
                "Job codes-r<hash>: deleted 3 rows in <duration>",
            ),
            (
                "codes-29370000 and codes-p0123abcd-x7k2p.",
                "codes-<minute> and codes-p<hash>-<pod>.",
            ),
            ("codes-old-29370000", "codes-old-<minute>"),
            ("codes-older", "codes-older"),
            ("created CronJob codes", "created CronJob codes"),
            ("kubectl -n shop-1a2b3c4d get", "kubectl -n <namespace> get"),
            ("shop-1a2b3c4d/codes", "<namespace>/codes"),
            ("at 2026-11-21T03:00:00Z, 5 rows", "at <time>, 5 rows"),
            ("7a0e6a4e-7d0c-4c5e-9d5f-0123456789ab", "<uid>"),
            (
                "gave up after 30 s; oldest due for 3 d",
                "gave up after <duration>; oldest due for <duration>",
            ),
            ("2 rows d", "2 rows d"),
        ];
        for (text, expected) in cases {
            assert_eq!(words().of_text(text), expected);
        }
    }

    #[test]
    fn what_a_user_set_stays_and_what_was_measured_goes() {
        let spec = json!({"age": "30 d", "activeDeadlineSeconds": 60, "n": ["shop-1a2b3c4d"]});
        let kept = json!({"age": "30 d", "activeDeadlineSeconds": 60, "n": ["<namespace>"]});
        assert_eq!(words().of_object(&spec), kept);
        let status = json!({"durationSeconds": 1.5, "rowsAffected": 3, "uids": [
            "7a0e6a4e-7d0c-4c5e-9d5f-0123456789ab"
        ]});
        let kept = json!({"durationSeconds": null, "rowsAffected": 3, "uids": ["<uid>"]});
        assert_eq!(words().of_status(&status), kept);
    }
}
