//! The database: every statement on our own tables. How it is reached is in `runtime::database`.
//!
//! Statements are constants. No text of a user, and no message of the server, passes through here.
//! Functions take a transaction and return what they found; nothing is decided here.

pub mod after_hours;
pub mod analytics;
pub mod audit;
pub mod billing;
pub mod events;
pub mod groups;
pub mod idempotency_keys;
pub mod invites;
pub mod join_codes;
pub mod migrations;
pub mod participants;
pub mod partitions;
pub mod presence;
pub mod rate_limits;
pub mod roles;
pub mod sessions;
mod statement;
mod work;

pub use work::{Database, Pool, Work, in_time};

/// Statements of the server, by the module that runs them. Those of `migrate` are in its own script.
type Statements = &'static [(&'static str, &'static [&'static str])];

/// Those of requests that come all the time. Each connection prepares them when it opens: to parse and to plan is
/// half of what such a request costs the database.
pub const PREPARED: Statements = &[
    ("after_hours", after_hours::STATEMENTS),
    ("events", events::STATEMENTS),
    ("groups", groups::STATEMENTS),
    ("idempotency_keys", idempotency_keys::STATEMENTS),
    ("invites", invites::STATEMENTS),
    ("join_codes", join_codes::STATEMENTS),
    ("participants", participants::STATEMENTS),
    ("presence", presence::STATEMENTS),
    ("rate_limits", rate_limits::STATEMENTS),
    ("sessions", sessions::STATEMENTS),
];

/// Those of figures, for which a plan by what is asked for is worth more than its time, and those that are rare.
pub const PLANNED_EACH_TIME: Statements = &[
    ("analytics", analytics::STATEMENTS),
    ("audit", audit::STATEMENTS),
    ("billing", billing::STATEMENTS),
    ("partitions", partitions::STATEMENTS),
    ("work", work::STATEMENTS),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// What a module runs is what it lists, so that a test which prepares the list prepares all.
    #[test]
    fn no_statement_is_left_out_of_the_list() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/db");
        let mut modules = 0;
        for entry in std::fs::read_dir(folder).expect("the sources are there") {
            let path = entry.expect("a file").path();
            let module = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            if path.extension().is_none_or(|extension| extension != "rs")
                || ["migrations", "roles", "statement"].contains(&module)
            {
                continue;
            }
            modules += 1;
            let text = std::fs::read_to_string(&path).expect("a source");
            let list = text.split_once("STATEMENTS: &[&str] =").expect("a list").1;
            let list = list.split_once("&[").expect("its begin").1;
            let list = list.split_once("];").expect("its end").0;
            let listed: Vec<_> = list.split(',').map(str::trim).collect();
            for call in text.split("statement::query").skip(1) {
                let (_, inside) = call.split_once('(').expect("a call");
                let name = inside.split(')').next().unwrap_or_default().trim();
                assert!(listed.contains(&name), "{module} runs {name} and does not list it");
            }
            assert!(!text.contains("sqlx::query"), "{module} runs what may be named on the server");
        }
        assert_eq!(modules, PREPARED.len() + PLANNED_EACH_TIME.len());
    }
}
