//! The report as short as the kubelet demands.

use serde_json::Value;

use super::RunReport;
use crate::crd::MAX_TERMINATION_MESSAGE_BYTES;

impl RunReport {
    /// The report as the termination message carries it: at most 4096 bytes,
    /// since kubelet keeps only the *last* 4096 and would cut the head off.
    /// `name`, `matched`, `affected` and `remaining` of every rule stay; what
    /// goes, goes by importance, and then `truncated` is true.
    #[must_use]
    pub fn termination_message(&self) -> String {
        let mut report = self.clone();
        let message = report.as_short_json();
        if message.len() <= MAX_TERMINATION_MESSAGE_BYTES {
            return message;
        }
        report.truncated = true;
        for shorten in [
            RunReport::drop_earlier,
            RunReport::shorten_messages,
            RunReport::drop_rule_messages,
            RunReport::drop_rule_details,
        ] {
            shorten(&mut report);
            let message = report.as_short_json();
            if message.len() <= MAX_TERMINATION_MESSAGE_BYTES {
                return message;
            }
        }
        report.message.clear();
        report.as_short_json()
    }

    fn as_short_json(&self) -> String {
        let mut json = serde_json::to_value(self).unwrap_or_default();
        if self.truncated {
            drop_silent_fields(&mut json);
        }
        json.to_string()
    }

    fn drop_earlier(&mut self) {
        self.earlier.clear();
    }

    fn shorten_messages(&mut self) {
        self.message = shortened(&self.message, 512);
        for rule in &mut self.rules {
            rule.message = shortened(&rule.message, 256);
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

/// Leaves out of a rule what says nothing, so that a shortened report keeps more of the rest.
fn drop_silent_fields(report: &mut Value) {
    let rules = report.get_mut("rules").and_then(|rules| rules.as_array_mut());
    for rule in rules.into_iter().flatten() {
        if let Some(fields) = rule.as_object_mut() {
            fields.retain(|name, value| {
                matches!(name.as_str(), "name" | "matched" | "affected" | "remaining")
                    || !says_nothing(value)
            });
        }
    }
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

fn shortened(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let mut end = bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}
