//! The `CleanupPolicy` language: its words, its CRD, its validation, and every
//! piece of SQL that touches a user's table.
//!
//! Pure: no client, no pool, no clock, no environment. Operator, job and session
//! API meet here and nowhere else. The type changes when the truth changes:
//!
//! ```text
//! JSON document ─validate→ Policy ─plan(catalog)→ Plan ─→ Statement { text, binds }
//! ```
//!
//! **policy**: a schedule, a database and rules. **rule**: which rows of one
//! **table** go (its **conditions**, with an **age** where time decides) and by
//! which **action**. **cutoff**: database time at the start of a **run**, minus
//! the age. **batch**: the rows of one transaction. **report**: what a run says.
//! **ledger**: what the database remembers of runs; **epoch**: the number that a run
//! begins by raising, and that each of its batches holds.
//! **backlog**: rows that a rule matches and has not yet handled; **overdue**: how
//! long the oldest of them has been due.
//!
//! ```
//! let document = serde_json::json!({
//!     "apiVersion": "pgsweep.dev/v1alpha1",
//!     "kind": "CleanupPolicy",
//!     "metadata": {"name": "codes", "namespace": "shop"},
//!     "spec": {
//!         "schedule": "*/5 * * * *",
//!         "mode": "Enforce",
//!         "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "uri"}}},
//!         "rules": [{
//!             "name": "delete-expired",
//!             "table": {"schema": "app", "name": "codes"},
//!             "where": [{"column": "expires_at", "operator": "OlderThan", "age": "1h"}],
//!             "action": {"delete": {}},
//!         }],
//!     },
//! });
//! let policy = policy::validate(&document).expect("a right policy");
//! let plan = policy::Plan::offline(&policy);
//! assert!(plan.steps()[0].count_matched().text.contains(r#"t."expires_at" < CAST($1 AS timestamptz)"#));
//! ```

mod age;
mod catalog;
mod crd;
mod explain;
mod identifier;
mod partition;
mod plan;
mod policy;
mod problem;
mod report;
mod schedule;
mod schema;
mod sql;
mod validate;

pub use age::{Age, AgeProblem};
pub use catalog::{
    ARCHIVE_COLUMNS, Cascade, Catalog, ColumnFacts, IndexFacts, OnDelete, PartitioningFacts,
    PublishedFacts, ReferenceFacts, RelationKind, SchemaProblem, SchemaProblemKind, TableFacts,
    TriggerFacts, archive_ddl, grants,
};
pub use crd::*;
pub use explain::Access;
pub use identifier::{Identifier, IdentifierProblem, MAX_IDENTIFIER_BYTES, QualifiedTable};
pub use partition::{Partition, PartitionBound};
pub use plan::{Advice, Named, Plan, Remark, Step, Warning};
pub use policy::{
    Action, Assignment, CellValue, ColumnCondition, Condition, Due, Execution, Join, Limits,
    NewCell, NewRow, NewValue, ObjectField, Policy, PolicyName, Related, RowValue, Rule, Test,
};
pub use problem::Problem;
pub use report::{
    ActionKind, EarlierRun, PreflightProblem, PreflightReport, RuleOutcome, RulePlan, RunReport,
    RunResult, StopReason, Strategy, Totals,
};
pub use schedule::{Schedule, ScheduleProblem, Slots};
pub use sql::{
    Bind, CATALOG_SQL, Counts, CutoffAs, Locked, Moment, REFERENCES_SQL, Statement, Value,
};
pub use validate::validate;
