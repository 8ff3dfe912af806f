//! `pgsweep validate`: everything that can be said of a policy without a database.

use policy::{Policy, Problem};
use serde_json::{Value, json};

use crate::args::{Output, ValidateArgs};
use crate::exit::Exit;
use crate::load::{self, Source};
use crate::output;

/// `pgsweep validate`.
pub fn validate(args: &ValidateArgs) -> Exit {
    let unread = |message: &str| {
        object(
            "",
            "",
            &Err(vec![Problem { path: String::new(), message: message.to_owned() }]),
            &[],
        )
    };
    let Ok(sources) = load::sources_or_words(&args.policies, args.output, unread) else {
        return Exit::Wrong;
    };
    let mut worst = Exit::Done;
    for source in &sources {
        let checked = source.policy();
        if checked.is_err() {
            worst = Exit::Wrong;
        }
        show(args.output, source, &checked);
    }
    worst
}

fn show(format: Output, source: &Source, checked: &Result<Policy, Vec<Problem>>) {
    let next = checked.as_ref().map(next_runs).unwrap_or_default();
    if format != Output::Table {
        output::object(format, &object(&source.name(), &source.origin, checked, &next));
        return;
    }
    match checked {
        Ok(policy) => {
            let rules = policy.rules().len();
            let (name, origin) = (source.name(), &source.origin);
            output::print(&format!("{name} ({origin}) is valid: {rules} rules. Next runs:"));
            for time in next {
                output::print(&format!("  {time}"));
            }
        }
        Err(problems) => {
            let (name, origin, count) = (source.name(), &source.origin, problems.len());
            let noun = if count == 1 { "problem" } else { "problems" };
            output::print(&format!("{name} ({origin}) has {count} {noun}:"));
            for problem in problems {
                output::print(&format!("  {problem}"));
            }
        }
    }
}

fn object(
    name: &str,
    origin: &str,
    checked: &Result<Policy, Vec<Problem>>,
    next: &[String],
) -> Value {
    json!({
        "policy": name,
        "origin": origin,
        "valid": checked.is_ok(),
        "rulesHash": checked.as_ref().map(Policy::rules_hash).unwrap_or_default(),
        "problems": checked.as_ref().err().cloned().unwrap_or_default(),
        "nextRuns": next,
    })
}

/// The next five runs, in the policy's own time zone.
fn next_runs(policy: &Policy) -> Vec<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "for people who read when the next run is; no run is decided by it"
    )]
    let now = jiff::Timestamp::now();
    let schedule = policy.schedule();
    let in_zone = |time: jiff::Timestamp| match time.in_tz(schedule.time_zone()) {
        Ok(zoned) => zoned.strftime("%a %Y-%m-%d %H:%M %Z").to_string(),
        Err(_) => time.to_string(),
    };
    schedule.upcoming(now, 5).into_iter().map(in_zone).collect()
}
