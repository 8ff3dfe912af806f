//! A policy that is known to be right: made by [`crate::validate()`] alone.

use std::fmt;

use crate::age::Age;
use crate::crd::{ConcurrencyPolicy, Mode, OnRuleError, Scalar};
use crate::identifier::{Identifier, QualifiedTable};
use crate::report::ActionKind;
use crate::schedule::Schedule;

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
    /// Of the whole run.
    pub max_duration: Age,
    /// What happens to the later rules when one fails.
    pub on_rule_error: OnRuleError,
}

/// Which rows of one table go, and what happens to them.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub(crate) name: String,
    pub(crate) table: QualifiedTable,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) action: Action,
    pub(crate) max_rows: Option<i64>,
    pub(crate) max_percent_of_table: i64,
}

impl Rule {
    /// Name, unique in the policy.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The table whose rows go.
    #[must_use]
    pub fn table(&self) -> &QualifiedTable {
        &self.table
    }

    /// All of these hold for a row that goes; at least one.
    #[must_use]
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// What happens to the rows.
    #[must_use]
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// A cap on the rows of this rule.
    #[must_use]
    pub fn max_rows(&self) -> Option<i64> {
        self.max_rows
    }

    /// A guard, in percent of the table's rows: the rule's own or the policy's.
    #[must_use]
    pub fn max_percent_of_table(&self) -> i64 {
        self.max_percent_of_table
    }

    /// Every column that the rule reads or writes, without repeats.
    pub fn columns(&self) -> impl Iterator<Item = &Identifier> {
        let mut columns: Vec<_> = self.read_columns().chain(self.written_columns()).collect();
        columns.sort_unstable();
        columns.dedup();
        columns.into_iter()
    }

    /// The columns that the rule reads.
    pub fn read_columns(&self) -> impl Iterator<Item = &Identifier> {
        let conditions = self.column_conditions().map(|condition| &condition.column);
        let sources = self.assignments().iter().filter_map(|assignment| match &assignment.to {
            NewValue::Column(column) => Some(column),
            NewValue::Scalar(_) | NewValue::Now | NewValue::Null => None,
        });
        conditions.chain(sources)
    }

    /// The columns that the rule writes; none for a delete.
    pub fn written_columns(&self) -> impl Iterator<Item = &Identifier> {
        self.assignments().iter().map(|assignment| &assignment.column)
    }

    /// The columns that are compared with the start of the run.
    pub(crate) fn timed_columns(&self) -> impl Iterator<Item = &Identifier> {
        let timed = self
            .column_conditions()
            .filter(|condition| matches!(condition.test, Test::OlderThan(_) | Test::NewerThan(_)));
        timed.map(|condition| &condition.column)
    }

    /// Every condition on one column, those inside `anyOf` too.
    pub fn column_conditions(&self) -> impl Iterator<Item = &ColumnCondition> {
        conditions_of(&self.conditions)
    }

    /// The first condition that every row must be older than, if there is one.
    #[must_use]
    pub fn age_condition(&self) -> Option<(&Identifier, Age)> {
        self.conditions.iter().find_map(|condition| match condition {
            Condition::Column(ColumnCondition { column, test: Test::OlderThan(age) }) => {
                Some((column, *age))
            }
            _ => None,
        })
    }

    /// The ages that every row must have: those of top-level `OlderThan` conditions.
    pub(crate) fn older_than(&self) -> impl Iterator<Item = Age> {
        self.conditions.iter().filter_map(|condition| match condition {
            Condition::Column(ColumnCondition { test: Test::OlderThan(age), .. }) => Some(*age),
            _ => None,
        })
    }

    fn assignments(&self) -> &[Assignment] {
        match &self.action {
            Action::Update(assignments) => assignments,
            Action::Delete => &[],
        }
    }
}

/// Every condition on one column, those inside `anyOf` too.
pub(crate) fn conditions_of(conditions: &[Condition]) -> impl Iterator<Item = &ColumnCondition> {
    conditions.iter().flat_map(|condition| match condition {
        Condition::Column(condition) => std::slice::from_ref(condition),
        Condition::AnyOf(conditions) => conditions,
    })
}

/// One entry of `where`.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// The column passes the test.
    Column(ColumnCondition),
    /// One of these holds.
    AnyOf(Vec<ColumnCondition>),
}

/// A test of one column. NULL passes none but [`Test::IsNull`].
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnCondition {
    /// The column.
    pub column: Identifier,
    /// The test.
    pub test: Test,
}

/// What a column is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// `=`
    Equals(Scalar),
    /// `<>`
    NotEquals(Scalar),
    /// `= ANY`
    In(Vec<Scalar>),
    /// `<> ALL`
    NotIn(Vec<Scalar>),
    /// `<`
    LessThan(Scalar),
    /// `>`
    GreaterThan(Scalar),
    /// `IS NULL`
    IsNull,
    /// `IS NOT NULL`
    IsNotNull,
    /// Before the cutoff; never `-infinity`.
    OlderThan(Age),
    /// After the cutoff.
    NewerThan(Age),
}

/// What happens to the rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Columns are set.
    Update(Vec<Assignment>),
    /// The rows are deleted.
    Delete,
}

impl Action {
    /// The word of reports and metrics.
    #[must_use]
    pub fn kind(&self) -> ActionKind {
        match self {
            Action::Update(_) => ActionKind::Update,
            Action::Delete => ActionKind::Delete,
        }
    }
}

/// One column that is set.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    /// The column.
    pub column: Identifier,
    /// What it is set to.
    pub to: NewValue,
}

/// What a column is set to.
#[derive(Clone, Debug, PartialEq)]
pub enum NewValue {
    /// A value, cast to the column's type.
    Scalar(Scalar),
    /// The start of the run.
    Now,
    /// What another column of the row holds.
    Column(Identifier),
    /// NULL.
    Null,
}
