//! A report as short as the kubelet demands.

use serde::Serialize;
use serde_json::Value;

use super::RunReport;
use crate::crd::{MAX_POLICY_NAME, MAX_TERMINATION_MESSAGE_BYTES};

/// A report that can be made shorter.
pub(super) trait Shorten: Clone + Serialize + 'static {
    /// What goes to make it fit, the least important first. Each is repeated while it helps; all of
    /// them together make the longest report fit.
    const CUTS: &'static [fn(&mut Self)];
    /// The fields of a rule that stay even where they say nothing.
    const KEPT: &'static [&'static str];

    /// Says that something was left out.
    fn mark_truncated(&mut self);
}

/// The report as the termination message carries it: at most 4096 bytes, since kubelet keeps only
/// the *last* 4096 and would cut the head off.
pub(super) fn message<R: Shorten>(report: &R) -> String {
    let whole = serde_json::to_value(report).unwrap_or_default().to_string();
    if fits(&whole) {
        return whole;
    }
    let mut report = report.clone();
    report.mark_truncated();
    let mut message = short_json(&report);
    for cut in R::CUTS {
        while !fits(&message) {
            cut(&mut report);
            let shorter = short_json(&report);
            if shorter.len() >= message.len() {
                break;
            }
            message = shorter;
        }
    }
    message
}

fn fits(message: &str) -> bool {
    message.len() <= MAX_TERMINATION_MESSAGE_BYTES
}

/// Leaves out of each rule what says nothing, so that a shortened report keeps more of the rest.
fn short_json<R: Shorten>(report: &R) -> String {
    let mut json = serde_json::to_value(report).unwrap_or_default();
    let rules = json.get_mut("rules").and_then(|rules| rules.as_array_mut());
    for rule in rules.into_iter().flatten() {
        if let Some(fields) = rule.as_object_mut() {
            fields.retain(|name, value| R::KEPT.contains(&name.as_str()) || !says_nothing(value));
        }
    }
    json.to_string()
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

/// Keeps the beginning of a text: at most so many bytes, with the sign that says so.
pub(super) fn shorten(text: &mut String, bytes: usize) {
    const SIGN: &str = "…";
    if text.len() <= bytes {
        return;
    }
    let mut end = bytes.saturating_sub(SIGN.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text.push_str(SIGN);
}

/// Cuts no name of a policy that is right, and no UID: of one that is wrong, and off a cluster, they
/// can be of any length.
pub(super) fn shorten_names(policy: &mut String, run_id: &mut String) {
    const LONGEST_NAMESPACE: usize = 63;
    shorten(policy, LONGEST_NAMESPACE + 1 + MAX_POLICY_NAME);
    shorten(run_id, 64);
}

impl RunReport {
    /// The report as the termination message carries it: at most 4096 bytes. `name`, `matched`,
    /// `affected` and `remaining` of every rule stay; what goes, goes by importance, and then
    /// `truncated` is true.
    #[must_use]
    pub fn termination_message(&self) -> String {
        message(self)
    }

    fn shorten_messages(&mut self) {
        shorten(&mut self.message, 512);
        for rule in &mut self.rules {
            shorten(&mut rule.message, 256);
        }
    }

    fn drop_rule_messages(&mut self) {
        for rule in &mut self.rules {
            rule.message.clear();
            rule.warnings.clear();
        }
    }

    fn drop_rule_details(&mut self) {
        for rule in &mut self.rules {
            rule.action = None;
            rule.strategy = None;
            rule.stop_reason = None;
            rule.sql_state.clear();
            rule.batches = 0;
            rule.failed = 0;
            rule.skipped_locked = 0;
            rule.oldest_overdue_seconds = 0;
            rule.matched_is_estimate = false;
        }
    }
}

impl Shorten for RunReport {
    const CUTS: &'static [fn(&mut Self)] = &[
        |report| shorten_names(&mut report.policy, &mut report.run_id),
        |report| report.earlier.clear(),
        Self::shorten_messages,
        Self::drop_rule_messages,
        Self::drop_rule_details,
        |report| report.message.clear(),
    ];
    const KEPT: &'static [&'static str] = &["name", "matched", "affected", "remaining"];

    fn mark_truncated(&mut self) {
        self.truncated = true;
    }
}
