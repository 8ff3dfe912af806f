//! A policy that is known to be right: made by [`crate::validate()`] alone.

mod row;
mod rule;

use std::fmt;

use crate::age::Age;
use crate::crd::{ConcurrencyPolicy, DatabaseSpec, Mode, OnRuleError};
use crate::schedule::Schedule;

pub use row::{CellValue, NewCell, NewRow, ObjectField, RowValue};
pub use rule::{
    Action, Assignment, ColumnCondition, Condition, Due, Join, NewValue, Related, Rule, Test,
};

/// Namespace and name of a policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyName {
    /// Namespace; `default` for a file that names none.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl fmt::Display for PolicyName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

/// A policy that holds every rule of the language. Nothing checks it again.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    pub(crate) name: PolicyName,
    pub(crate) generation: i64,
    pub(crate) rules_hash: String,
    pub(crate) mode: Mode,
    pub(crate) concurrency: ConcurrencyPolicy,
    pub(crate) schedule: Schedule,
    pub(crate) limits: Limits,
    pub(crate) execution: Execution,
    pub(crate) rules: Vec<Rule>,
    pub(crate) report: Option<NewRow>,
    pub(crate) database: DatabaseSpec,
}

impl Policy {
    /// Namespace and name.
    #[must_use]
    pub fn name(&self) -> &PolicyName {
        &self.name
    }

    /// Generation of the object; 0 for a file.
    #[must_use]
    pub fn generation(&self) -> i64 {
        self.generation
    }

    /// 32 hexadecimal digits of the SHA-256 of rules, limits and database
    /// reference, with what stands at its default left out: an upgrade that
    /// adds a field changes no hash.
    #[must_use]
    pub fn rules_hash(&self) -> &str {
        &self.rules_hash
    }

    /// Whether rows change.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What happens to a run that meets an earlier one.
    #[must_use]
    pub fn concurrency(&self) -> ConcurrencyPolicy {
        self.concurrency
    }

    /// When runs are due.
    #[must_use]
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Caps and guards of the whole run.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How gently rows go.
    #[must_use]
    pub fn execution(&self) -> &Execution {
        &self.execution
    }

    /// The rules, in their order; at least one.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The row that a run writes once, when it closes; its values are never [`RowValue::Column`].
    #[must_use]
    pub fn report(&self) -> Option<&NewRow> {
        self.report.as_ref()
    }

    /// The Secrets that a Job finds its database by.
    #[must_use]
    pub fn database(&self) -> &DatabaseSpec {
        &self.database
    }

    /// The longest that a batch of any rule may take: a detached partition is counted while nobody
    /// but us can reach it.
    #[must_use]
    pub fn longest_batch(&self) -> Age {
        let drops = |rule: &Rule| matches!(rule.action(), Action::DropPartitions { .. });
        let Execution { batch_timeout, statement_timeout, .. } = self.execution;
        if self.rules.iter().any(drops) {
            batch_timeout.max(statement_timeout)
        } else {
            batch_timeout
        }
    }

    /// The same policy with another mode: `run --dry-run`.
    #[must_use]
    pub fn with_mode(self, mode: Mode) -> Self {
        Self { mode, ..self }
    }
}

/// Caps and guards of the whole run.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// A cap on rows over all rules.
    pub max_rows_per_run: i64,
}

/// How gently rows go.
#[derive(Clone, Debug, PartialEq)]
pub struct Execution {
    /// Rows of the first batch.
    pub batch_size: i64,
    /// How long a batch should take.
    pub target_batch_duration: Age,
    /// How long a batch may take.
    pub batch_timeout: Age,
    /// How long a batch waits for a lock.
    pub lock_timeout: Age,
    /// How long a count or a check may take.
    pub statement_timeout: Age,
    /// 0: no limit.
    pub max_rows_per_second: i64,
    /// The run pauses while a replica is further behind than this.
    pub max_replica_lag: Age,
    /// Of the whole run.
    pub max_duration: Age,
    /// What happens to the later rules when one fails.
    pub on_rule_error: OnRuleError,
}

impl Execution {
    /// The same with the time of a batch shared out among `statements` of it, so that all of them
    /// together end in time. A lock is waited for less long than that: the server would report a
    /// slow statement otherwise, where the app is in the way.
    #[must_use]
    pub fn for_statements(&self, statements: u32) -> Self {
        let batch_timeout = self.batch_timeout.share(statements);
        let lock_timeout = self.lock_timeout.min(batch_timeout.share(2));
        Self { batch_timeout, lock_timeout, ..self.clone() }
    }

    /// The same for a batch that holds up nobody: it may take as long as a count.
    #[must_use]
    pub fn out_of_the_way(&self) -> Self {
        let batch_timeout = self.batch_timeout.max(self.statement_timeout);
        Self { batch_timeout, ..self.clone() }
    }
}
